// SPDX-License-Identifier: Apache-2.0
// What requests get while their server is displaced (design section 7). Pure functions over State.
#pragma once

#include <optional>
#include <vector>

#include "berth/core/events.h"
#include "berth/core/state.h"

namespace berth::core {

/// A stream whose client sees signs of life waits at least this long: nobody's timeout ends it.
inline constexpr Duration kKeptAliveHold = 10min;

/// Returns until when a request for a server with `config` may wait; nothing: for ever.
std::optional<Instant> hold_until(const ServerConfig& config, const JobArrived& job, Instant now);

/// Does a rival keep `server`, which has a waiting job, from its clients? That is:
/// - it was put out for a rival's job (`Server::displaced`; one that is just absent is not
///   displaced, and a request is what loads it), and
/// - it serves nobody: it is not ready, or its gate is closed because it leaves, and
/// - a job of it would wait for the rival: it is still leaving; or its place can be had only from
///   a server that works, has jobs waiting or is within its turn; or it cannot be had now.
///
/// So it is not kept away once its load or the swap for it has begun, and not when its rivals are
/// idle and their turns are over: then its next job takes the place back.
bool kept_away(const State& state, ServerId server, Instant now);

/// What becomes of a request that has just arrived.
struct Arrival {
  enum class What : std::uint8_t { waits, refused, elsewhere };
  What what = What::waits;
  ServerId server;  ///< `elsewhere`: who serves it
};

/// Decides by `while_displaced` of the server at which the job waits. `fallback` is followed from
/// server to server to the first that serves, or can be loaded without putting anybody out; if
/// there is none, or if it would be a tool call to its own caller's last slot, the job waits. A job
/// of a hold waits too: it is for the servers that are held (rule 7).
Arrival meet(const State& state, JobId job, Instant now);

/// Returns how long it takes at least until a displaced server serves again: what is left of its
/// rivals' turns, and its own swap.
Duration return_estimate(const State& state, ServerId server, Instant now);

/// Returns the jobs that have waited for max_hold. Not those of a server that is being loaded: a
/// load that has begun is finished, and serves them.
std::vector<Waiting> held_too_long(const State& state, Instant now);

/// Returns when the first job of the queue will have waited for max_hold.
std::optional<Instant> hold_ends(const Server& server);

}  // namespace berth::core
