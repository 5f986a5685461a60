// SPDX-License-Identifier: Apache-2.0
#include "berth/core/holding.h"

#include <algorithm>

#include "berth/core/planner.h"
#include "berth/core/tool_calls.h"
#include "berth/core/turns.h"

namespace berth::core {
namespace {

/// One that may have to be waited for: it works, or its turn is not over.
bool is_in_the_way(const State& state, ServerId victim, const Claim& claim, Instant now) {
  const auto ends = turn_ends(state, state.server(victim), round_trip(state, claim));
  return !state.server(victim).idle() || !ends || *ends > now;
}

bool any_in_the_way(const State& state, const Claim& claim, Instant now) {
  return std::any_of(claim.victims.begin(), claim.victims.end(),
                     [&](ServerId victim) { return is_in_the_way(state, victim, claim, now); });
}

const Claim* claim_for(const State& state, ServerId newcomer) {
  const auto found = std::find_if(state.claims.begin(), state.claims.end(),
                                  [&](const Claim& claim) { return claim.newcomer == newcomer; });
  return found == state.claims.end() ? nullptr : &*found;
}

/// A swap of others on one of its devices comes first.
bool is_taken(const State& state, const Server& server) {
  const Footprint need = need_of(state, server);
  return std::any_of(state.claims.begin(), state.claims.end(), [&](const Claim& claim) {
    return !claim.victims.empty() && shares_pool(claim, need);
  });
}

bool calls_a_full_ancestor(const State& state, JobId job, ServerId id) {
  const Server& server = state.server(id);
  if (static_cast<std::int32_t>(server.running.size()) < server.config.slots) return false;
  const std::vector<JobId> ancestors = ancestors_of(state, job);
  return std::any_of(ancestors.begin(), ancestors.end(),
                     [&](JobId ancestor) { return state.jobs.at(ancestor).server == id; });
}

/// Serves, or can be loaded beside what is there.
bool can_stand_in(const State& state, JobId job, ServerId id) {
  const Server& server = state.server(id);
  const auto waiting = static_cast<std::int32_t>(server.queue.size());
  if (server.wanted == Wanted::off || waiting >= state.config.policy.queue_max) return false;
  if (calls_a_full_ancestor(state, job, id)) return false;
  switch (server.state) {
    case ServerState::ready:
      return server.gate_open;
    case ServerState::starting:
      return true;
    case ServerState::absent:
      return !in_a_claim(state, id) && plan_beside(state, id).verdict == Verdict::fits;
    case ServerState::stopping:
    case ServerState::failed:
    case ServerState::unkillable:
      return false;
  }
  return false;
}

}  // namespace

std::optional<Instant> hold_until(const ServerConfig& config, const JobArrived& job, Instant now) {
  if (!config.max_hold) return std::nullopt;
  return now + (job.kept_alive ? std::max(*config.max_hold, kKeptAliveHold) : *config.max_hold);
}

bool kept_away(const State& state, ServerId id, Instant now) {
  const Server& server = state.server(id);
  if (!server.displaced) return false;
  if (server.state == ServerState::ready) return !server.gate_open;
  if (server.state == ServerState::stopping) return true;
  if (const Claim* own = claim_for(state, id)) {
    return !own->first_signal && any_in_the_way(state, *own, now);
  }
  const Plan plan = is_taken(state, server) ? plan_beside(state, id) : plan_for_job(state, id, now);
  return plan.verdict == Verdict::blocked ||
         (plan.verdict == Verdict::offload && any_in_the_way(state, plan.claim, now));
}

Arrival meet(const State& state, JobId id, Instant now) {
  const Job& job = state.jobs.at(id);
  const ServerConfig& config = state.server(job.server).config;
  if (config.while_displaced == WhileDisplaced::hold || job.hold ||
      !kept_away(state, job.server, now)) {
    return {};  // a job of a hold is for the servers that are held, see rule 7
  }
  if (config.while_displaced == WhileDisplaced::refuse) return {Arrival::What::refused, job.server};
  std::optional<ServerId> next = config.fallback;
  for (std::size_t i = 0; next && i < state.servers.size(); ++i) {  // a ring is refused elsewhere
    if (can_stand_in(state, id, *next)) return {Arrival::What::elsewhere, *next};
    next = state.server(*next).config.fallback;
  }
  return {};
}

Duration return_estimate(const State& state, ServerId id, Instant now) {
  const Server& server = state.server(id);
  Duration turn{0};
  for (std::uint32_t i = 0; i < state.servers.size(); ++i) {
    const Server& rival = state.servers[i];
    if (ServerId{i} == id || !rival.config.footprint.touches(server.config.footprint)) continue;
    const Claim claim{.newcomer = id, .victims = {ServerId{i}}};
    const Instant ends = turn_ends(state, rival, round_trip(state, claim)).value_or(now);
    if (ends > now) turn = std::max(turn, ends - now);
  }
  return turn + swap_time(state, server);
}

std::vector<Waiting> held_too_long(const State& state, Instant now) {
  std::vector<Waiting> late;
  for (const Server& server : state.servers) {
    if (server.state == ServerState::starting) continue;
    for (const Waiting& job : server.queue) {
      if (job.hold_until && *job.hold_until <= now) late.push_back(job);
    }
  }
  return late;
}

std::optional<Instant> hold_ends(const Server& server) {
  std::optional<Instant> first;
  for (const Waiting& job : server.queue) {
    if (job.hold_until && (!first || *job.hold_until < *first)) first = job.hold_until;
  }
  return first;
}

}  // namespace berth::core
