// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/ids.h"
#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/config/config.h"
#include "berth/core/actions.h"
#include "berth/core/events.h"
#include "berth/core/offload_question.h"
#include "berth/core/state.h"
#include "berth/host/counters.h"
#include "berth/http/async.h"
#include "berth/http/message.h"
#include "berth/http/relay.h"
#include "berth/servers/adapter.h"

namespace berth::host {

/// A request, hold or lease as the gateway hands it over.
struct JobRequest {
  core::JobKind kind = core::JobKind::request;
  ServerId server;  ///< of a lease `core::kNoServer`, of a hold the first of `servers`
  core::ServerClass job_class = core::ServerClass::chat;
  std::string client;           ///< from X-Berth-Client, else the peer's address; for people
  std::optional<JobId> parent;  ///< it is a tool call of this job (X-Berth-Parent)
  bool kept_alive = false;      ///< its client gets signs of life while it waits
  std::optional<JobId> hold;    ///< it belongs to this hold (X-Berth-Hold)
  std::optional<core::Footprint> need;  ///< of a lease
  std::vector<ServerId> servers;        ///< of a hold
  bool exclusive = false;               ///< of a hold: whoever may leave is out meanwhile
  std::optional<Duration> limit;        ///< of a hold or lease, from its grant
  std::string shape;                    ///< of its work, by which memory is told apart: "64x64"
  std::optional<JobId> resumes;         ///< of a hold: its owner is back after a restart of Berth
};

/// What a request that had to wait was told when it arrived.
struct Foretold {
  Duration eta{0};
  bool is_guess = false;  ///< a time was needed that was never measured here
};

/// A job between its arrival and its end. Made by Host::submit(); destroying it withdraws the job.
/// Of a hold or lease there is no work: granted() is all it asks for, ended() tells that its holder
/// has left, and cut() that it was revoked, which has ended it already.
class Job {
 public:
  virtual ~Job() = default;
  [[nodiscard]] virtual JobId id() const = 0;
  /// Returns the server that the job is for: once granted, perhaps the fallback of the one that was
  /// asked for.
  [[nodiscard]] virtual ServerId server() const = 0;
  /// Set once granted() need not wait any more.
  virtual Event& answered() = 0;
  /// Waits until the core dispatches the job to its server. On success the caller sends the request
  /// to `adapter().endpoint()` and must call ended().
  /// Errors: what the core rejected it with; cancelled if `gone` was set first. The job is over
  ///   then.
  virtual Task<Status> granted(Event& gone) = 0;
  /// Nothing: it had not to wait, or nobody knew for how long.
  [[nodiscard]] virtual std::optional<Foretold> foretold() const = 0;
  /// How long it has waited, until it was answered or until now.
  [[nodiscard]] virtual Duration waited() const = 0;
  /// After an error: in how many seconds a new try makes sense.
  [[nodiscard]] virtual std::optional<std::int64_t> retry_after_seconds() const = 0;
  /// What the holder's processes shall have in their environment: BERTH_LEASE, by which their
  /// memory is found, or BERTH_HOLD. Empty for a request, and before the grant.
  [[nodiscard]] virtual std::map<std::string, std::string> environment() const = 0;
  /// Of a request only.
  [[nodiscard]] virtual servers::Adapter& adapter() = 0;
  /// Set when the core cuts the running job, at the drain limit, or revokes it. Close upstream, end
  /// the reply.
  virtual Event& cut() = 0;
  /// Why it was cut: drain_limit, job_limit, the limit of a hold or lease, or Berth goes down.
  /// Meaningful once cut() is set.
  [[nodiscard]] virtual const Error& why_cut() const = 0;
  /// The client is gone; the work may still run. Call ended() when it does no more.
  virtual void withdraw() = 0;
  /// The work has really stopped (servers::Work::ended() has returned).
  virtual void ended(core::JobEnd how) = 0;
  /// Of a request only: the spool of the server's streams. Its limit is raised while the server is
  /// drained.
  virtual http::Spool& spool() = 0;
};

/// One line of the story: a decision of the core, a step of a move, or progress of a picture.
struct Record {
  std::uint64_t number = 0;  ///< counts from 1 in this run
  WallTime wall;
  Instant at;
  std::string kind;    ///< "decision", "step", "progress"
  std::string name;    ///< "offload", "victim_gone", "diffusion"
  std::string server;  ///< its name; "" if none
  std::string text;    ///< a sentence for a person, with the numbers
  std::string json;    ///< the whole record as one JSON object, as it stands in the journal
};

/// What processes take, in the newest sample. Nothing: unknown.
struct Usage {
  std::optional<Bytes> ram;           ///< ours: Pss; others: anonymous and shared memory
  std::optional<Bytes> vram;          ///< over all devices of the configuration
  std::optional<double> cpu_percent;  ///< of all processors together, since the sample before
};

/// A process that is not ours and uses memory that Berth hands out.
struct ForeignStatus {
  std::int64_t pid = 0;
  std::string program;
  Usage uses;
};

/// Whether the machine can be read.
struct ProbeStatus {
  std::string state = "ok";  ///< ok, failed, stuck
  std::string detail;        ///< a sentence, with what is known of it
};

/// Bytes in one pool, by its name.
struct NamedShare {
  std::string pool;
  Bytes bytes;
};

/// A server as status shows it: the core's view, and what the shell knows.
struct ServerStatus {
  std::string name;
  std::string kind;
  std::string state;  ///< absent, starting, ready, stopping, failed, unkillable
  std::string wanted;
  bool displaced = false;
  bool pinned = false;  ///< it stays whatever others want, until it is unpinned or Berth ends
  std::string displaced_by;
  std::optional<Duration> displaced_for;  ///< how long ago it was put out
  std::optional<Duration> bound;          ///< a request that comes now is served within this
  std::string no_bound_because;           ///< where there is no bound
  bool gate_open = true;
  Generation generation;
  std::optional<std::int64_t> pid;
  std::optional<Bytes> used;  ///< in its pools, in the newest sample; nothing: unknown
  Usage uses;
  Bytes footprint;
  std::vector<NamedShare> footprint_shares;  ///< by pool
  std::string footprint_source;
  Bytes known;  ///< the most that it was seen to take here, else the footprint
  std::size_t running = 0;
  std::size_t waiting = 0;
  std::uint16_t front_port = 0;
  std::string state_note;
  std::string failure;
};

struct PoolStatus {
  std::string name;
  std::string kind;
  Bytes capacity;
  Bytes limit;
  std::optional<Bytes> free;       ///< of the newest sample
  Bytes promised;                  ///< on the ledger
  std::string device;              ///< of a device pool: the UUID of the GPU
  std::optional<Bytes> foreign;    ///< in use by others; nothing: unknown, or none can be
  bool foreign_inferred = false;   ///< used less promised: the driver does not tell whose it is
  std::optional<int> utilisation;  ///< of the GPU, percent; nothing: unknown
};

/// A hold or lease that waits or is granted, or a lease that is over and whose processes still hold
/// memory.
struct LeaseStatus {
  JobId job;
  std::string kind;                  ///< hold, lease
  std::string state;                 ///< waiting, granted, releasing
  std::string holder;                ///< as it was named
  std::vector<NamedShare> bytes;     ///< of a lease: what it was granted
  std::vector<std::string> servers;  ///< of a hold
  bool exclusive = false;
  Duration since{0};  ///< how long it has been in this state; of releasing: since granted
  std::optional<Duration> limit;        ///< from its grant; nothing = none
  std::optional<Bytes> seen;            ///< what its processes hold, in the newest sample
  std::vector<core::Holder> processes;  ///< who holds that
};

/// A job that waits, and what is to be expected for it (core/predict.h).
struct WaitingStatus {
  JobId job;
  std::string server;      ///< of a lease or hold its place: "lease 7"
  std::int32_t place = 1;  ///< 1: the next of its server
  Duration waited{0};
  std::optional<Duration> eta;  ///< nothing: not as things are, see `waits_for`
  bool is_guess = false;        ///< a time was needed that was never measured here
  std::string waits_for;        ///< "the turn of server "llm", 12 s more"
};

/// What a request was told when it arrived, against what happened.
struct PastWait {
  JobId job;
  std::string server;
  Foretold foretold;
  Duration waited{0};
  std::string how;  ///< ran, refused, left
};

/// What a server was seen to take at most, here and in the runs before.
struct KnownFootprint {
  std::string server;    ///< its name then
  bool current = false;  ///< it stands for a server of the configuration as that is now
  std::string pool;
  std::string stage;  ///< load, steady, work; raised: not measured, it ran out of memory with less
  std::string shape;  ///< of its work: "1024x768"; "" where all of it takes the same
  Bytes bytes;
};

struct HostStatus {
  std::vector<ServerStatus> servers;
  std::vector<PoolStatus> pools;
  std::vector<LeaseStatus> leases;     ///< holds too, oldest first
  std::vector<WaitingStatus> waiting;  ///< by server and place
  std::vector<ForeignStatus> foreign;  ///< bounded, the largest first
  ProbeStatus probe;
};

/// With what a displaced server comes back: the view of its row that people get.
struct SavedState {
  std::vector<std::string> argv;  ///< as it was started, and will be again
  WallTime since;                 ///< when it was put out
  std::string displaced_by;
  core::After after = core::After::restore;
};

class ImageJobs;

/// The shell: executes the core's actions, owns clock, store, probe, keepers, journal.
///
/// Threads: the strand of the executor. Destroying it leaves servers running (they are adopted by
/// the next Berth); shut_down() stops them.
class Host {
 public:
  virtual ~Host() = default;

  /// Takes the state directory, opens the store, finds what is alive, and feeds Recovered to the
  /// core. Returns before the servers that are wanted on are up.
  /// Errors: already_running with the owner's pid; io; bad_config; port errors come from the
  /// gateway.
  static Task<Result<std::unique_ptr<Host>>> start(Executor executor, config::Config config);

  virtual std::unique_ptr<Job> submit(JobRequest request) = 0;
  virtual void user_asked(core::UserAsked::What what, ServerId server) = 0;
  /// Waits until what was asked of the server is in the database.
  /// Errors: what keeps it from there; it holds until Berth ends then.
  virtual Task<Status> wish_stored(ServerId server) = 0;
  /// Waits until the server has the state that the user asked for, or has failed to reach it.
  virtual Task<Status> settled(ServerId server) = 0;

  [[nodiscard]] virtual const config::Config& config() const = 0;
  [[nodiscard]] virtual std::optional<ServerId> find(std::string_view name) const = 0;
  virtual servers::Adapter& adapter(ServerId server) = 0;
  [[nodiscard]] virtual const core::State& state() const = 0;
  [[nodiscard]] virtual HostStatus status() const = 0;
  /// Every job that waits, by server and place. Cheap while nothing has happened since it was asked
  /// for last.
  [[nodiscard]] virtual std::vector<WaitingStatus> waiting() const = 0;
  /// The newest waits that were foretold (bounded), oldest first.
  [[nodiscard]] virtual const std::deque<PastWait>& past_waits() const = 0;
  /// Returns, as JSON, the models of the configuration; with an id all that is known of that one.
  /// Reads headers on a thread of its own.
  /// Errors: not_found with ids that exist; why its header cannot be used.
  virtual Task<Result<std::string>> models(std::optional<std::string> id) = 0;
  /// What happened since this Berth started.
  [[nodiscard]] virtual const Counters& counters() const = 0;
  /// Would a request that came now for this server put another one out?
  [[nodiscard]] virtual core::OffloadAnswer would_need_offload(ServerId server) const = 0;
  /// Nothing: the server is not displaced.
  [[nodiscard]] virtual std::optional<SavedState> saved_state(ServerId server) const = 0;
  [[nodiscard]] virtual std::vector<std::string> log_tail(ServerId server, int lines) const = 0;

  /// By server, pool, stage and shape.
  [[nodiscard]] virtual std::vector<KnownFootprint> known_footprints() const = 0;
  /// What was learned of a server, or of all, is not believed any more: it is planned with what the
  /// preset says of one that never ran; one that is in memory keeps its place until it leaves.
  virtual void forget_footprints(std::optional<ServerId> server) = 0;

  /// Pictures that are asked for by an id.
  virtual ImageJobs& images() = 0;

  /// Takes a fresh sample so that status() shows current memory.
  virtual Task<void> refresh() = 0;

  /// The newest records (bounded), oldest first.
  [[nodiscard]] virtual const std::deque<Record>& records() const = 0;
  /// Set whenever a record was added; a reader resets it and reads records().
  /// Waits until there are records after `number` or `gone` is set.
  virtual Task<std::vector<Record>> records_after(std::uint64_t number, Event& gone) = 0;

  /// The gateway tells which front port a server really got.
  virtual void set_front_port(ServerId server, std::uint16_t port) = 0;

  /// Rejects what waits, ends what runs, stops every server and keeper, writes the rest.
  virtual Task<void> shut_down() = 0;
};

}  // namespace berth::host
