// SPDX-License-Identifier: Apache-2.0
#include "berth/core/turns.h"

#include <algorithm>

#include "berth/base/assert.h"

namespace berth::core {
namespace {

/// A server that has served keeps its place this share of R without a new job.
constexpr std::int32_t kTurnLingerShare = 4;
constexpr Instant kNever{Duration::min()};

std::int32_t home_group(ServerClass job_class) {
  switch (job_class) {
    case ServerClass::chat:
      return 0;
    case ServerClass::image:
      return 1;
    case ServerClass::video:
      return 2;
    case ServerClass::batch:
      return 3;
  }
  return 3;
}

}  // namespace

std::int32_t aged_class(const Waiting& job, Instant now, const Policy& policy) {
  const auto steps = (now - job.arrived) / policy.ageing;
  return static_cast<std::int32_t>(
      std::max<std::int64_t>(static_cast<std::int64_t>(job.job_class) - steps, 0));
}

Rank rank_of(const State& state, const Server& server, const Waiting& job, Instant now) {
  return {aged_class(job, now, state.config.policy), server.last_served.value_or(kNever),
          job.arrived, job.id};
}

const Waiting& head_of(const State& state, const Server& server, Instant now) {
  BERTH_ASSERT(!server.queue.empty());
  const Policy& policy = state.config.policy;
  const Waiting* best = nullptr;
  std::int32_t best_class = 0;
  for (const Waiting& job : server.queue) {
    const std::int32_t aged = aged_class(job, now, policy);
    if (best != nullptr && aged >= best_class) continue;
    best = &job;
    best_class = aged;
  }
  return *best;
}

Duration swap_time(const State& state, const Server& server) {
  return server.swap.value_or(state.config.policy.swap_guess);
}

Duration round_trip(const State& state, const Claim& claim) {
  Duration back{0};
  for (const ServerId victim : claim.victims) {
    back = std::max(back, swap_time(state, state.server(victim)));
  }
  return swap_time(state, state.server(claim.newcomer)) + back;
}

std::optional<Instant> turn_ends(const State& state, const Server& victim, Duration round_trip) {
  if (victim.state == ServerState::starting) return std::nullopt;
  if (victim.state != ServerState::ready) return kNever;
  const Policy& policy = state.config.policy;
  const Instant lasted = victim.ready_at + policy.patience * round_trip;
  if (!victim.idle()) return lasted;
  if (!victim.served_in_turn) return kNever;
  const Duration linger = std::min(policy.turn_linger_max, round_trip / kTurnLingerShare);
  return std::min(lasted, victim.idle_since + linger);
}

HomeOrder home_order(ServerId id, const Server& server) {
  return {server.wanted != Wanted::on, home_group(server.config.job_class), id};
}

}  // namespace berth::core
