// SPDX-License-Identifier: Apache-2.0
// When each waiting job's turn comes, and what it waits for now.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "berth/core/scheduler.h"

namespace berth::core {

/// A prediction looks no further ahead than this.
inline constexpr Duration kPredictionHorizon = 24h;

/// What a waiting job waits for. Do not change the names; they stand in the API.
enum class WaitReason : std::uint8_t {
  slot,         ///< its server works for others
  gate,         ///< its server makes room for `server`, or was told to stop
  turn,         ///< the turn of `server`, until `until`
  drain,        ///< running work of `server` ends first
  moving,       ///< its place is being made, or its server comes or goes
  claim,        ///< the place that `server` was promised comes first
  memory,       ///< memory that is in use
  pin,          ///< `server` is pinned
  hold,         ///< `server` is held for a job
  lease,        ///< the memory is leased to `server`, until `until`
  foreign_use,  ///< `bytes` of `pool` are used by others than Berth's servers
  back_off,     ///< its server failed and is tried again at `until`
  unkillable,   ///< `server` does not die
};

/// The one thing that a job waits for first.
struct Blocker {
  WaitReason reason = WaitReason::slot;
  std::optional<ServerId> server;
  std::optional<Instant> until;
  std::optional<PoolId> pool;
  Bytes bytes;

  bool operator==(const Blocker&) const = default;
};

/// What is to be expected for one waiting job.
struct Forecast {
  JobId job;
  ServerId server;
  std::int32_t place_in_queue = 1;   ///< 1: the next of its server
  std::int32_t place_of_server = 1;  ///< 1: its server is the next, of those that jobs wait for
  std::optional<Duration> eta;       ///< until it runs. Nothing: not as things are; see `blocker`
  bool is_guess = false;             ///< on the way a time was needed that nobody has learned yet
  Blocker blocker;
};

/// Returns a forecast for every waiting job, by server and place. Runs a copy of the scheduler
/// ahead, as if nothing went wrong and nobody else asked; the scheduler itself does not change.
std::vector<Forecast> predict(const Scheduler& scheduler, Instant now);

/// Returns the blocker for a person: "the turn of server \"llm\", 12 s more".
std::string to_text(const Blocker& blocker, const State& state, Instant now);

}  // namespace berth::core
