// SPDX-License-Identifier: Apache-2.0
// Jobs that wait: who may be refused or sent elsewhere, and how long anybody waits (sections 6.6,
// 7).
#include <algorithm>

#include <fmt/format.h>

#include "berth/sim/checks.h"
#include "berth/sim/checks_common.h"

namespace berth::sim {
namespace {

using core::ServerState;

/// The simulated timers are late by up to 1 ms.
constexpr Duration kTimersLate = 2ms;

}  // namespace

/// As it was before this step.
bool Checks::served(ServerId id) const {
  const Shadow& shadow = shadows_[id.value];
  return shadow.state == ServerState::ready && !shadow.closed_at;
}

/// Before a step: nobody has waited for longer than was promised, except for a load that has begun.
/// After it would be too late to see that nothing woke the core.
void Checks::check_holds(const core::State& state) {
  for (const auto& [id, job] : ground_.jobs) {
    if (job.state != JobTruth::State::queued || !job.hold_until) continue;
    if (ground_.now <= *job.hold_until + kTimersLate) continue;
    const auto known = state.jobs.find(id);
    if (known == state.jobs.end() || known->second.running) continue;
    const ServerId server = known->second.server;
    if (state.server(server).state == ServerState::starting) continue;
    broken(fmt::format("max_hold: job {} for {} waits for {} too long", id.value, name(server),
                       berth::to_text(ground_.now - *job.hold_until)));
  }
}

void Checks::check(const core::State& state, const core::Event& event, const core::Reject& action) {
  const auto found = ground_.jobs.find(action.job);
  if (found == ground_.jobs.end() || found->second.state != JobTruth::State::queued) {
    return broken(fmt::format("I7: job {} is rejected but does not wait", action.job.value));
  }
  check_refusal(state, event, action);
}

void Checks::check_refusal(const core::State& state, const core::Event& event,
                           const core::Reject& action) {
  const JobTruth& job = ground_.jobs.at(action.job);
  const std::string& who = name(job.server);
  if (action.error.code == ErrorCode::held_too_long) {
    const bool loads = shadows_[job.server.value].state == ServerState::starting &&
                       state.server(job.server).state == ServerState::starting;
    if (loads)
      broken(fmt::format("max_hold: job {} is refused while {} loads", action.job.value, who));
    if (!job.hold_until || ground_.now < *job.hold_until) {
      broken(fmt::format("max_hold: job {} for {} is refused too early", action.job.value, who));
    }
  }
  const auto* arrival = std::get_if<core::JobArrived>(&event);
  const bool asked_now = arrival != nullptr && arrival->job == action.job;
  if (action.error.code == ErrorCode::not_in_time) {
    const bool late = job.hold_until && ground_.now + *action.retry_after > *job.hold_until;
    if (!asked_now || !late) broken(fmt::format("max_hold: job {} was in time", action.job.value));
  }
  if (action.error.code != ErrorCode::displaced) return;
  const core::ServerConfig& config = ground_.world->config.servers[job.server.value];
  if (!asked_now || config.while_displaced != core::WhileDisplaced::refuse) {
    broken(fmt::format("while_displaced: job {} for {} was to be held", action.job.value, who));
  }
  if (served(job.server) || shadows_[job.server.value].state == ServerState::starting) {
    broken(fmt::format("while_displaced: job {} is refused although {} serves or is about to",
                       action.job.value, who));
  }
}

/// Rule 6: no call waits for a claim that waits for the call's own caller.
void Checks::check_calls(const core::State& state) {
  for (const auto& [id, job] : ground_.jobs) {
    if (!job.parent || job.state != JobTruth::State::queued) continue;
    const auto caller = ground_.jobs.find(*job.parent);
    const auto known = state.jobs.find(id);
    if (known == state.jobs.end()) continue;
    const core::Server& server = state.server(known->second.server);
    if (caller == ground_.jobs.end() || server.state == ServerState::ready) continue;
    const std::vector<JobId>& runs = state.server(caller->second.server).running;
    if (std::find(runs.begin(), runs.end(), caller->first) == runs.end()) continue;
    for (const core::Claim& claim : state.claims) {
      const bool waits_for_it = claim.need.touches(server.config.footprint);
      if (!waits_for_it || !has(claim.victims, caller->second.server)) continue;
      broken(fmt::format("rule 6: call {} waits for the place of its caller {} on {}", id.value,
                         caller->first.value, name(caller->second.server)));
    }
  }
}

/// It goes along the chain of fallbacks, to one that puts nobody out and is no dead end.
void Checks::check_fallback(const core::State& state, const core::Announce& action) {
  const ServerId to = action.victims.front();
  const std::string what = fmt::format("fallback: job {} goes from {} to {}", action.job->value,
                                       name(action.server), name(to));
  if (served(action.server)) return broken(what + " although the first serves");
  std::optional<ServerId> next = action.server;
  do {
    next = ground_.world->config.servers[next->value].fallback;
  } while (next && *next != to);
  if (!next) return broken(what + " which is none of its fallbacks");
  for (const core::Claim& claim : state.claims) {
    if (claim.newcomer == to && !claim.victims.empty() && !claim.first_signal) {
      broken(what + " which puts somebody out");
    }
  }
  const std::vector<JobId>& running = state.server(to).running;
  if (static_cast<std::int32_t>(running.size()) < state.server(to).config.slots) return;
  const auto runs = [&](JobId id) {
    return std::find(running.begin(), running.end(), id) != running.end();
  };
  if (runs(*action.job)) return;
  std::optional<JobId> caller = ground_.jobs.at(*action.job).parent;
  while (caller && ground_.jobs.contains(*caller)) {
    if (runs(*caller)) return broken(what + " whose last slot its caller has");
    caller = ground_.jobs.at(*caller).parent;
  }
}

}  // namespace berth::sim
