// SPDX-License-Identifier: Apache-2.0
// Whose turn it is: rank of waiting jobs, end of a turn, home order. Pure functions over State.
#pragma once

#include <compare>
#include <optional>
#include <string>

#include "berth/core/state.h"

namespace berth::core {

/// Order of a waiting job among servers; smaller is served first (design section 6).
struct Rank {
  std::int32_t job_class = 0;  ///< after ageing
  Instant last_served;         ///< of its server; never served = first
  Instant arrived;
  JobId job;

  auto operator<=>(const Rank&) const = default;
};

/// Returns the job's class after ageing: one class better per `policy.ageing` waited.
std::int32_t aged_class(const Waiting& job, Instant now, const Policy& policy);

/// Returns the rank of a job in the queue of `server`.
Rank rank_of(const State& state, const Server& server, const Waiting& job, Instant now);

/// Returns the server's queued job that runs next: better class first, then arrival.
/// The server's queue must not be empty.
const Waiting& head_of(const State& state, const Server& server, Instant now);

/// Returns the queued job that a free slot of the server is for; null: none. Holds take no slot.
const Waiting* next_to_run(const State& state, const Server& server, Instant now);

/// Returns S: the learned time from the first signal until `server` is ready, else the guess.
Duration swap_time(const State& state, const Server& server);

/// Returns R: the time there and back between the newcomer and the slowest of its victims.
Duration round_trip(const State& state, const Claim& claim);

/// Returns when the victim's turn is over for the claim's job: now or earlier means it is over.
/// Nothing: not while it starts.
std::optional<Instant> turn_ends(const State& state, const Server& victim, Duration round_trip);

/// Place in the home order: wanted on before on demand; then LLM, image, video, rest; then the
/// order of the configuration. A server returns unasked only over servers behind it.
struct HomeOrder {
  bool on_demand = false;
  std::int32_t group = 0;
  ServerId id;

  auto operator<=>(const HomeOrder&) const = default;
};

HomeOrder home_order(ServerId id, const Server& server);

/// Until when a server with a waiting job is served.
struct Bound {
  std::optional<Duration> within;  ///< from the job's arrival
  std::string why_not;             ///< where there is none: "no bound, because ..."
};

/// Returns the bound of a job of `job_class` that finds `before` jobs in the queue of `server`:
///
///     levels x ageing + (M-1)(S + L + e) + S + e + ceil(before / slots) x M(S + L + e)
///
/// M servers share memory with it, one after the other; S and R are the largest swap and pair, L =
/// patience x R, e the longest drain (a chat and another job), levels the classes above its own.
/// Source: design section 6, rule 9.
Bound bound_of(const State& state, ServerId server, ServerClass job_class, std::size_t before);

}  // namespace berth::core
