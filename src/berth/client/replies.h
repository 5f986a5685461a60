// SPDX-License-Identifier: Apache-2.0
// The replies of the control API as values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/result.h"
#include "berth/base/time.h"

namespace berth::client {

/// What processes take; nothing: unknown.
struct UsageInfo {
  std::optional<Bytes> ram;
  std::optional<Bytes> vram;
  std::optional<double> cpu_percent;  ///< of all processors together
};

/// How a server is run, as the configuration says. What it does not say is nothing or "".
struct ServerConfigInfo {
  std::string model;      ///< path of its file
  std::int64_t port = 0;  ///< that clients know, as it was given; 0: none, or any
  std::optional<std::int64_t> threads;
  std::optional<std::int64_t> gpu_layers;  ///< -1: all
  std::optional<std::int64_t> context_size;
  std::optional<std::int64_t> parallel;
  std::string flash_attention;  ///< auto, on, off
};

struct ServerInfo {
  std::string name;
  std::string kind;
  std::string state;   ///< absent, starting, ready, stopping, failed, unkillable
  std::string wanted;  ///< on_demand, on, off
  bool displaced = false;
  bool pinned = false;
  std::string displaced_by;
  bool comes_back = true;  ///< from its displacement, by itself
  std::optional<Duration> displaced_for;
  bool gate_open = true;
  std::int64_t generation = 0;  ///< of its newest start
  std::optional<std::int64_t> pid;
  std::optional<Bytes> used;
  UsageInfo uses;
  Bytes footprint;
  std::vector<std::pair<std::string, Bytes>> footprint_shares;  ///< by pool
  std::string footprint_source;  ///< declared, formula, header, learned
  std::int64_t running = 0;
  std::int64_t waiting = 0;
  std::optional<Duration> bound;  ///< a request that comes now is served within this
  std::string no_bound_because;
  std::int64_t front_port = 0;  ///< 0: it has none
  std::string state_note;
  std::string failure;
  ServerConfigInfo config;
};

struct PoolInfo {
  std::string name;
  std::string kind;
  Bytes capacity;
  Bytes limit;
  std::optional<Bytes> free;
  Bytes promised;
  std::optional<Bytes> foreign;
  bool foreign_inferred = false;
  std::optional<std::int64_t> utilisation;  ///< percent, of a GPU
};

/// A process that is not Berth's and uses memory that Berth hands out.
struct ForeignInfo {
  std::int64_t pid = 0;
  std::string program;
  UsageInfo uses;
};

/// A lease or hold: waiting, granted, or releasing (over, and not everything of it is gone).
struct LeaseInfo {
  std::int64_t job = 0;
  std::string kind;   ///< lease, hold
  std::string state;  ///< waiting, granted, releasing
  std::string holder;
  std::vector<std::pair<std::string, Bytes>> bytes;  ///< of a lease, by pool
  std::vector<std::string> servers;                  ///< of a hold
  bool exclusive = false;
  Duration since{0};
  std::optional<Duration> limit;
  std::optional<Bytes> seen;           ///< what its processes hold
  std::vector<std::string> processes;  ///< who holds that: "python3 (pid 4711)"
};

/// A job that waits.
struct WaitingInfo {
  std::int64_t job = 0;
  std::string server;
  std::int64_t place = 1;  ///< 1: the next of its server
  Duration waited{0};
  std::optional<Duration> eta;  ///< nothing: not as things are
  bool is_guess = false;
  std::string waits_for;
};

/// What a server was seen to take at most.
struct FootprintInfo {
  std::string server;
  bool current = false;  ///< as it is configured now
  std::string pool;
  std::string stage;  ///< load, steady, work, raised
  std::string shape;  ///< of its work
  Bytes bytes;
};

/// One line of the stream that a lease or hold lives by.
struct LeaseNews {
  std::string state;  ///< waiting, granted, refused, revoked
  std::int64_t job = 0;
  std::map<std::string, std::string> environment;  ///< of granted: for its holder's processes
  Error error;                                     ///< of refused and revoked
};

struct DaemonStatus {
  std::string version;
  std::int64_t pid = 0;
  std::string state_dir;
  std::string address;
  Duration uptime{0};
  std::vector<ServerInfo> servers;
  std::vector<PoolInfo> pools;
  std::vector<LeaseInfo> leases;
  std::vector<WaitingInfo> waiting;
  std::vector<ForeignInfo> foreign;
  std::string probe = "ok";  ///< ok, failed, stuck
  std::string probe_detail;
};

/// One line of the story. See host::Record.
struct RecordInfo {
  std::uint64_t number = 0;
  WallTime wall;
  std::string kind;
  std::string name;
  std::string server;
  std::string text;
  std::int64_t step = 0;  ///< of a picture's progress
  std::int64_t steps = 0;
};

/// What is kept of a displaced server.
struct SavedStateInfo {
  ServerConfigInfo config;
  std::vector<std::string> argv;  ///< its frozen command line
  bool was_running = true;
  WallTime saved_at;
  std::string displaced_by;
  bool comes_back = true;  ///< by itself
};

/// Each reads the JSON of one reply. Members that are missing keep their defaults, so an older
/// client understands a newer Berth. Errors: upstream if it is no JSON of the expected shape.
Result<DaemonStatus> read_status(std::string_view json);
Result<ServerInfo> read_server(std::string_view json);
Result<RecordInfo> read_record(std::string_view json);
Result<std::vector<RecordInfo>> read_records(std::string_view json);
/// The jobs that wait, of the reply of `explain`.
Result<std::vector<WaitingInfo>> read_waiting(std::string_view json);
Result<std::vector<std::string>> read_lines(std::string_view json);
Result<std::vector<LeaseInfo>> read_leases(std::string_view json);
Result<std::vector<FootprintInfo>> read_footprints(std::string_view json);
Result<LeaseNews> read_lease_news(std::string_view json);
/// Of "would an offload be needed?": who would have to leave.
Result<std::vector<std::string>> read_offload_victims(std::string_view json);
/// Nothing: the server is not displaced.
Result<std::optional<SavedStateInfo>> read_saved_state(std::string_view json);

/// Returns the error that a reply with that status and envelope stands for.
Error read_error(int status, std::string_view body);

}  // namespace berth::client
