// SPDX-License-Identifier: Apache-2.0
// What the core is told. The list is closed: a new server kind adds nothing here.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "berth/base/error.h"
#include "berth/core/types.h"

namespace berth::core {

/// A piece of work wants a server. `need` replaces the server's footprint where the job's shape
/// needs more; it is computed before, from facts that the host has read. A lease names no server
/// (`kNoServer`) and needs `need` for a process that Berth does not run; Dispatch tells under which
/// server and generation samples show what it holds. A hold names all of `servers`, `server` among
/// them.
struct JobArrived {
  JobId job;
  JobKind kind = JobKind::request;
  ServerId server;
  ServerClass job_class = ServerClass::chat;
  std::string client;
  std::optional<Footprint> need;
  std::optional<JobId> parent;
  std::optional<JobId> hold;      ///< it belongs to this hold
  std::vector<ServerId> servers;  ///< of a hold
  bool exclusive = false;         ///< of a hold: whoever may leave is out meanwhile
  std::optional<Duration> limit;  ///< of a hold or lease, from its grant: revoked then
  bool kept_alive = false;        ///< its client gets signs of life while it waits
};

/// The client is gone. The work may still run.
struct JobWithdrawn {
  JobId job;
};

enum class JobEnd : std::uint8_t { done, failed, cancelled, cut };

/// The work has really stopped: the server said so, or is gone.
struct JobEnded {
  JobId job;
  JobEnd how = JobEnd::done;
};

/// How a Commit or a MoveTo ended.
struct EffectResult {
  std::optional<Error> error;          ///< nothing: it succeeded
  std::optional<bool> state_restored;  ///< of a move to resident: did saved state come back
  /// Of a move to absent, after a job was done: the most that it was seen to hold. Of pools that
  /// are not named nothing is learned. A pool that it was not known to use is one from then on.
  std::optional<Footprint> measured;
};

struct EffectEnded {
  EffectId effect;
  EffectResult result;
};

/// Something a server did by itself.
struct ServerChanged {
  /// `out_of_memory`: it exited because it could not get its memory. `appeared`: it was freed and
  /// has loaded its models again, unasked.
  enum class Fact : std::uint8_t { exited, unresponsive, out_of_memory, appeared };
  ServerId server;
  Generation generation;
  Fact fact = Fact::exited;
  std::string detail;  ///< "exit code 1", "killed by signal 9 (SIGKILL)"
};

/// One stamped sample, answer to Measure: the pools, and all processes that hold memory in them.
struct Measured {
  EffectId effect;
  std::optional<Error> error;  ///< the probe failed or is stuck; the sample says nothing
  std::vector<PoolSample> pools;
  std::vector<Holder> holders;
};

struct UserAsked {
  /// `forget`: what was learned of its memory is not believed any more; `footprint` is.
  enum class What : std::uint8_t { start, stop, pin, unpin, clear_saved_state, forget };
  What what = What::start;
  ServerId server;
  std::optional<Footprint> footprint = std::nullopt;
  FootprintSource source = FootprintSource::formula;
};

struct TimerFired {
  TimerId timer;
};

/// A server process that was found alive at start.
struct FoundServer {
  ServerId server;
  Generation generation;
  bool healthy = false;  ///< answers, and works for nobody any more
  bool freed = false;    ///< its process lives, its models are not in memory

  bool operator==(const FoundServer&) const = default;
};

/// Once, before any port opens: everything that is configured, recorded and found.
struct Recovered {
  Config config;
  std::vector<Row> rows;
  std::vector<FoundServer> found;
  /// Holds that were granted, and whose owners may come back for them; and requests that outlived
  /// Berth and that their servers still work on.
  std::vector<JobArrived> holds;
};

using Event = std::variant<JobArrived, JobWithdrawn, JobEnded, EffectEnded, ServerChanged, Measured,
                           UserAsked, TimerFired, Recovered>;

}  // namespace berth::core
