// SPDX-License-Identifier: Apache-2.0
// Leases and holds: jobs that keep memory, or servers, for somebody else (design section 6, rule
// 7).
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/core/planner.h"
#include "berth/core/planted.h"
#include "berth/core/scheduler.h"
#include "berth/core/turns.h"

namespace berth::core {
namespace {

std::vector<ServerId> once_each(std::vector<ServerId> servers) {
  std::sort(servers.begin(), servers.end());
  servers.erase(std::unique(servers.begin(), servers.end()), servers.end());
  return servers;
}

std::string_view kind_name(JobKind kind) {
  return kind == JobKind::lease ? "lease" : "hold";
}

/// The bytes of all the servers together.
Footprint together(const State& state, const std::vector<ServerId>& servers) {
  Footprint sum;
  for (std::uint32_t i = 0; i < state.config.pools.size(); ++i) {
    Bytes bytes;
    for (const ServerId id : servers)
      bytes += state.server(id).config.footprint.in(PoolId{i});
    if (bytes.count > 0) sum.shares.push_back({PoolId{i}, bytes});
  }
  return sum;
}

/// Nothing: it can be granted on this machine.
std::optional<Error> refusal_of_lease(const State& state, const Footprint& need) {
  for (const PoolShare& share : need.shares) {
    const PoolConfig& pool = state.config.pools[share.pool.value];
    const bool refused = is_oversize_need(state, Footprint{{share}}) &&
                         state.config.policy.oversize == Oversize::refuse;
    if (share.bytes <= pool.capacity && !refused) continue;
    return Error{ErrorCode::does_not_fit,
                 fmt::format("a lease of {} cannot fit into pool \"{}\" of {}; ask for less",
                             to_text(share.bytes), pool.name, to_text(pool.capacity))};
  }
  return std::nullopt;
}

/// Nothing: it can be granted as things are, sooner or later.
std::optional<Error> refusal_of_hold(const State& state, const std::vector<ServerId>& servers) {
  for (const ServerId id : servers) {
    const std::string& name = state.server(id).config.name;
    if (state.server(id).wanted != Wanted::off) continue;
    return Error{ErrorCode::stopped_by_user,
                 fmt::format("server \"{}\" was stopped by the user; `berth start {}` brings it "
                             "back",
                             name, name)};
  }
  const bool oversize = is_oversize_need(state, together(state, servers));
  const bool alone = servers.size() == 1 && state.config.policy.oversize == Oversize::attempt;
  if (!oversize || alone) return std::nullopt;
  return Error{ErrorCode::does_not_fit,
               "what this hold names does not fit, not even on the empty machine; hold fewer "
               "servers at a time, or smaller ones"};
}

}  // namespace

void Scheduler::place_arrived(const JobArrived& event) {
  const auto error = event.kind == JobKind::lease ? refusal_of_lease(state_, *event.need)
                                                  : refusal_of_hold(state_, event.servers);
  if (error) return reject(event.job, *error);
  const auto waiting = std::count_if(state_.servers.begin(), state_.servers.end(), [](auto& each) {
    return each.is_place() && !each.queue.empty();
  });
  if (waiting >= state_.config.policy.queue_max) {
    return reject(event.job,
                  {ErrorCode::queue_full,
                   fmt::format("{} leases and holds wait already; try again later", waiting)},
                  state_.config.policy.swap_guess);
  }
  const auto is_free = [this](ServerId id) {
    const Server& each = server(id);
    const auto& entries = state_.ledger.entries();
    return each.is_place() && each.idle() && each.state == ServerState::absent &&
           !in_a_claim(state_, id) &&
           std::none_of(entries.begin(), entries.end(), [&](auto& e) { return e.server == id; });
  };
  ServerId place{static_cast<std::uint32_t>(state_.config.servers.size())};
  while (place.value < state_.servers.size() && !is_free(place))
    ++place.value;
  if (place.value == state_.servers.size()) state_.servers.emplace_back();
  Server& target = server(place);
  const Generation generation = target.generation;
  const std::optional<Instant> served = target.last_served;
  target = Server{};
  target.kind = event.kind;
  target.generation = generation;
  target.last_served = served;
  target.config.name = fmt::format("{} {}", kind_name(event.kind), event.job.value);
  target.config.job_class = event.job_class;
  target.config.footprint = event.need.value_or(Footprint{});
  target.config.job_limit = event.limit;
  target.config.drain_limit.reset();  // nobody cuts a lease but its own limit
  target.queue.push_back({.id = event.job, .job_class = event.job_class, .arrived = now_});
  state_.jobs.emplace(event.job, Job{.id = event.job,
                                     .kind = event.kind,
                                     .server = place,
                                     .job_class = event.job_class,
                                     .client = event.client,
                                     .hold = event.hold,
                                     .holds = once_each(event.servers),
                                     .exclusive = event.exclusive,
                                     .limit = event.limit,
                                     .arrived = now_});
  if (event.hold) state_.jobs_of_holds += 1;
}

/// Its job is over. What a lease has left in memory stays on the books until it is seen gone.
void Scheduler::leave_place(ServerId id) {
  Server& place = server(id);
  place.until.reset();
  if (place.state != ServerState::ready) return;
  place.state = ServerState::absent;
  place.gate_open = true;
  place.drain_until.reset();
  state_.ledger.release(id, place.generation, now_);
  if (is_planted(Planted::lease_memory_granted_at_once)) state_.ledger.observe({}, now_);
  next_sample_ = now_;
}

bool Scheduler::revoke_places() {
  bool changed = false;
  for (const Server& place : state_.servers) {
    if (!place.until || *place.until > now_) continue;
    for (const JobId id : place.running) {
      if (std::exchange(state_.jobs.at(id).cancelled, true)) continue;
      emit(Cancel{id, CancelReason::limit_reached});
      changed = true;
    }
  }
  return changed;
}

// ---- Holds --------------------------------------------------------------------------------------

/// Servers of the best placed hold are protected one and all while they are brought together, so
/// that none is put out for the other; one hold at a time, so that two never wait for each other.
bool Scheduler::gather_holds() {
  const Job* first = nullptr;
  const Job* gathering = nullptr;
  for (std::size_t i = state_.config.servers.size(); i < state_.servers.size(); ++i) {
    const Server& place = state_.servers[i];
    if (place.kind != JobKind::hold || place.queue.empty()) continue;
    const Job& hold = state_.jobs.at(place.queue.front().id);
    if (const auto error = refusal_of_hold(state_, hold.holds)) {
      reject(hold.id, *error);
      return true;
    }
    if (server(hold.holds.front()).held_by == hold.id) gathering = &hold;
    const bool earlier = first == nullptr || hold.id < first->id;
    if (earlier && can_gather(hold)) first = &hold;
  }
  if (gathering != nullptr) {
    if (can_gather(*gathering)) return gather(*gathering);
    scatter(*gathering);
    return true;
  }
  return first != nullptr && gather(*first);
}

/// Each of its servers is there, on its way, or has a plan in which the others stay.
bool Scheduler::can_gather(const Job& hold) const {
  State trial = state_;
  for (const ServerId id : hold.holds) {
    const Server& each = server(id);
    if (each.held_by && each.held_by != hold.id) return false;
    trial.server(id).held_by = hold.id;
  }
  std::erase_if(trial.claims, [&](const Claim& claim) {  // its own are no hindrance
    return std::find(hold.holds.begin(), hold.holds.end(), claim.newcomer) != hold.holds.end();
  });
  const Waiting& head = server(hold.server).queue.front();
  const std::int32_t job_class = aged_class(head, now_, state_.config.policy);
  return std::all_of(hold.holds.begin(), hold.holds.end(), [&](ServerId id) {
    const Server& each = server(id);
    const auto leaves = [id](const Claim& claim) {
      return std::find(claim.victims.begin(), claim.victims.end(), id) != claim.victims.end();
    };
    if (std::any_of(state_.claims.begin(), state_.claims.end(), leaves)) return false;
    if (each.retiring || each.state == ServerState::unkillable) return false;
    if (each.state == ServerState::ready || in_a_claim(state_, id)) return true;
    if (each.state != ServerState::absent) return false;
    const Verdict verdict = plan_for_class(trial, id, job_class, now_).verdict;
    return verdict == Verdict::fits || verdict == Verdict::offload;
  });
}

/// False: nothing was missing. One that was there and ended by itself has to come again.
bool Scheduler::gather(const Job& hold) {
  bool changed = false;
  for (const ServerId id : hold.holds) {
    Server& each = server(id);
    changed = changed || each.held_by != hold.id;
    each.held_by = hold.id;
    const bool waits = std::any_of(each.queue.begin(), each.queue.end(),
                                   [&](const Waiting& job) { return job.id == hold.id; });
    if (each.state == ServerState::ready || waits) continue;
    each.queue.push_back(
        {.id = hold.id, .job_class = hold.job_class, .arrived = hold.arrived, .is_hold = true});
    changed = true;
  }
  return changed;
}

void Scheduler::scatter(const Job& hold) {
  for (const ServerId id : hold.holds) {
    Server& each = server(id);
    const bool was_idle = each.idle();
    std::erase_if(each.queue, [&](const Waiting& job) { return job.id == hold.id; });
    if (!was_idle && each.idle()) each.idle_since = now_;
    if (each.held_by == hold.id) each.held_by.reset();
  }
}

/// Rule 7: a job of a hold that would have to wait for a hold, a pin or a lease would wait for
/// whoever waits for it.
bool Scheduler::refuse_stuck_jobs_of_holds() {
  if (state_.jobs_of_holds == 0) return false;
  for (const auto& [id, job] : state_.jobs) {
    if (!job.hold || job.running) continue;
    const std::vector<ServerId> wanted =
        job.kind == JobKind::hold ? job.holds : std::vector<ServerId>{job.server};
    for (const ServerId target : wanted) {
      const std::optional<ServerId> stays = keeper_of_place(state_, target, job.job_class, now_);
      if (!stays) continue;
      const Error error{
          ErrorCode::conflict,
          fmt::format("this job of hold {} would wait for \"{}\", which stays: it is pinned, held "
                      "or leased; name server \"{}\" in the hold too, or ask without the hold",
                      job.hold->value, server(*stays).config.name, server(target).config.name)};
      emit(Announce{
          .reason = Reason::waits_for_itself, .server = target, .job = id, .error = error});
      reject(JobId{id}, error);
      return true;
    }
  }
  return false;
}

}  // namespace berth::core
