// SPDX-License-Identifier: Apache-2.0
#include "berth/core/predict.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "berth/core/foreign.h"
#include "berth/core/planner.h"
#include "berth/core/rehearsal.h"
#include "berth/core/turns.h"

namespace berth::core {
namespace {

// ---- What stands in the way ---------------------------------------------------------------------

const Claim* claim_for(const State& state, ServerId newcomer) {
  const auto found = std::find_if(state.claims.begin(), state.claims.end(),
                                  [&](const Claim& claim) { return claim.newcomer == newcomer; });
  return found == state.claims.end() ? nullptr : &*found;
}

const Claim* claim_against(const State& state, ServerId victim) {
  const auto found =
      std::find_if(state.claims.begin(), state.claims.end(), [&](const Claim& claim) {
        return std::find(claim.victims.begin(), claim.victims.end(), victim) != claim.victims.end();
      });
  return found == state.claims.end() ? nullptr : &*found;
}

/// A claim whose place is not made yet: for a victim's turn, or for the end of what it runs.
Blocker blocker_of(const State& state, const Claim& claim, Instant now) {
  for (const ServerId id : claim.victims) {
    const Server& victim = state.server(id);
    if (claim.phase == ClaimPhase::waiting && !claim.is_return) {
      const auto ends = turn_ends(state, victim, round_trip(state, claim));
      if (!ends || *ends > now) return {.reason = WaitReason::turn, .server = id, .until = ends};
    }
    if (claim.phase == ClaimPhase::draining && !victim.running.empty()) {
      return {.reason = WaitReason::drain, .server = id, .until = victim.drain_until};
    }
  }
  return {.reason = WaitReason::moving, .server = claim.newcomer};
}

/// Who stays whatever waits: pinned, held or leased.
std::optional<Blocker> keeper_in_the_way(const State& state, ServerId id, Instant now) {
  const auto keeper = keeper_of_place(state, id, state.server(id).queue.front().job_class, now);
  if (!keeper) return std::nullopt;
  const Server& stays = state.server(*keeper);
  const WaitReason reason = stays.is_place() ? WaitReason::lease
                            : stays.held_by  ? WaitReason::hold
                                             : WaitReason::pin;
  return Blocker{.reason = reason, .server = keeper, .until = stays.until};
}

/// No claim is its own: somebody else's comes first, or there is no plan at all.
Blocker blocker_without_claim(const State& state, ServerId id, Instant now) {
  const Footprint need = need_of(state, state.server(id));
  for (const Claim& claim : state.claims) {
    if (!claim.victims.empty() && shares_pool(claim, need)) {
      return {.reason = WaitReason::claim, .server = claim.newcomer};
    }
  }
  if (const auto keeper = keeper_in_the_way(state, id, now)) return *keeper;
  if (const auto foreign = foreign_in_the_way(state, id, now)) {
    return {.reason = WaitReason::foreign_use, .pool = foreign->pool, .bytes = foreign->foreign};
  }
  Blocker blocker{.reason = WaitReason::memory};
  for (std::uint32_t i = 0; i < state.servers.size(); ++i) {
    const Server& other = state.servers[i];
    const bool holds = other.state != ServerState::absent && other.state != ServerState::failed;
    if (ServerId{i} == id || !holds || !other.config.footprint.touches(need)) continue;
    blocker.server = ServerId{i};
    if (other.held_by) blocker.reason = WaitReason::hold;
    if (other.state == ServerState::unkillable) blocker.reason = WaitReason::unkillable;
    if (other.state == ServerState::unkillable) break;
  }
  return blocker;
}

/// A hold waits for the first of its servers that is not there; those may wait for each other.
ServerId place_of(const State& state, ServerId id) {
  const Server& server = state.server(id);
  if (server.kind != JobKind::hold) return id;
  for (const ServerId held : state.jobs.at(server.queue.front().id).holds) {
    const Server& each = state.server(held);
    if (each.state != ServerState::ready && !each.queue.empty()) return held;
  }
  return id;
}

Blocker blocker_for(const State& state, ServerId waiter, Instant now) {
  const ServerId id = place_of(state, waiter);
  const Server& server = state.server(id);
  switch (server.state) {
    case ServerState::ready: {
      if (server.gate_open) return {.reason = WaitReason::slot, .server = id};
      const Claim* claim = claim_against(state, id);
      return {.reason = WaitReason::gate,
              .server = claim != nullptr ? std::optional(claim->newcomer) : std::nullopt};
    }
    case ServerState::starting:
      return {.reason = WaitReason::moving, .server = id};
    case ServerState::stopping: {
      const Claim* claim = claim_against(state, id);
      return {.reason = claim != nullptr ? WaitReason::gate : WaitReason::moving,
              .server = claim != nullptr ? claim->newcomer : id};
    }
    case ServerState::unkillable:
      return {.reason = WaitReason::unkillable, .server = id};
    case ServerState::failed:
      return {.reason = WaitReason::back_off, .server = id, .until = server.retry_at};
    case ServerState::absent:
      break;
  }
  const Claim* claim = claim_for(state, id);
  return claim != nullptr ? blocker_of(state, *claim, now) : blocker_without_claim(state, id, now);
}

// ---- Places -------------------------------------------------------------------------------------

/// The servers that jobs wait for: whose place is being made comes first, then by rank.
std::vector<ServerId> servers_in_order(const State& state, Instant now) {
  std::vector<std::tuple<bool, Rank, ServerId>> waiters;
  for (std::uint32_t i = 0; i < state.servers.size(); ++i) {
    const Server& server = state.servers[i];
    const Waiting* head = next_to_run(state, server, now);
    if (head == nullptr) continue;
    const bool resident = server.state == ServerState::ready && server.gate_open;
    const bool later = !resident && claim_for(state, ServerId{i}) == nullptr;
    waiters.emplace_back(later, rank_of(state, server, *head, now), ServerId{i});
  }
  std::sort(waiters.begin(), waiters.end());
  std::vector<ServerId> order;
  for (const auto& waiter : waiters)
    order.push_back(std::get<ServerId>(waiter));
  return order;
}

/// In the order in which the server takes them: class after ageing, then arrival.
std::vector<Waiting> queue_in_order(const State& state, const Server& server, Instant now) {
  std::vector<Waiting> queue = server.queue;
  std::erase_if(queue, [](const Waiting& job) { return job.is_hold; });  // it has its own place
  std::stable_sort(queue.begin(), queue.end(), [&](const Waiting& a, const Waiting& b) {
    return aged_class(a, now, state.config.policy) < aged_class(b, now, state.config.policy);
  });
  return queue;
}

// ---- Times --------------------------------------------------------------------------------------

struct Expected {
  Duration in{0};
  bool is_guess = false;
};

/// Runs ahead until every job that waits now has run.
std::map<JobId, Expected> expected_starts(const Scheduler& scheduler, Instant now) {
  std::size_t waiting = 0;
  for (const auto& [id, job] : scheduler.state().jobs)
    waiting += job.running ? 0 : 1;
  std::map<JobId, Expected> starts;
  Rehearsal rehearsal(scheduler, now);
  while (waiting > 0) {
    const auto at = rehearsal.next_at();
    if (!at || *at > now + kPredictionHorizon) break;
    for (const Action& action : rehearsal.step().actions) {
      const auto* dispatch = std::get_if<Dispatch>(&action);
      const bool over = dispatch != nullptr || std::holds_alternative<Reject>(action);
      if (over) waiting -= 1;
      if (dispatch == nullptr) continue;
      starts[dispatch->job] = {rehearsal.now() - now, rehearsal.is_guess()};
    }
  }
  return starts;
}

}  // namespace

std::vector<Forecast> predict(const Scheduler& scheduler, Instant now) {
  const State& state = scheduler.state();
  const std::vector<ServerId> order = servers_in_order(state, now);
  if (order.empty()) return {};
  const std::map<JobId, Expected> starts = expected_starts(scheduler, now);
  std::vector<Forecast> forecasts;
  std::int32_t place_of_server = 0;
  for (const ServerId id : order) {
    Forecast forecast{.server = id, .place_of_server = ++place_of_server};
    forecast.blocker = blocker_for(state, id, now);
    std::int32_t place = 0;
    for (const Waiting& job : queue_in_order(state, state.server(id), now)) {
      forecast.job = job.id;
      forecast.place_in_queue = ++place;
      const auto start = starts.find(job.id);
      const bool known = start != starts.end();
      forecast.eta = known ? std::optional(start->second.in) : std::nullopt;
      forecast.is_guess = known && start->second.is_guess;
      forecasts.push_back(forecast);
    }
  }
  return forecasts;
}

namespace {

std::string name_of(const Server& server) {
  return server.is_place() ? server.config.name : fmt::format("server \"{}\"", server.config.name);
}

}  // namespace

std::string to_text(const Blocker& blocker, const State& state, Instant now) {
  const std::string name = blocker.server ? name_of(state.server(*blocker.server)) : "";
  const std::string more =
      blocker.until && *blocker.until > now
          ? fmt::format(", {} more at most", berth::to_text(*blocker.until - now))
          : "";
  switch (blocker.reason) {
    case WaitReason::slot:
      return name + " works for others";
    case WaitReason::gate:
      return name.empty() ? "its server was told to stop" : "its server makes room for " + name;
    case WaitReason::turn:
      return fmt::format("the turn of {}{}", name, more);
    case WaitReason::drain:
      return fmt::format("the running work of {}{}", name, more);
    case WaitReason::moving:
      return name + " comes";
    case WaitReason::claim:
      return fmt::format("the place of {} comes first", name);
    case WaitReason::memory:
      return name.empty() ? "memory is in use" : "memory is in use by " + name;
    case WaitReason::pin:
      return name + " is pinned";
    case WaitReason::hold:
      return name + " is held";
    case WaitReason::lease:
      return name + more;
    case WaitReason::foreign_use:
      return foreign_text(state, *blocker.pool);
    case WaitReason::back_off:
      return fmt::format("{} failed and is tried again{}", name, more);
    case WaitReason::unkillable:
      return name + " does not die";
  }
  return "";
}

}  // namespace berth::core
