// SPDX-License-Identifier: Apache-2.0
// What follows from the state: dispatch, claims, hand-over, returns (design section 6).
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/base/assert.h"
#include "berth/core/admission.h"
#include "berth/core/holding.h"
#include "berth/core/planner.h"
#include "berth/core/planted.h"
#include "berth/core/scheduler.h"
#include "berth/core/tool_calls.h"
#include "berth/core/turns.h"

namespace berth::core {
namespace {

/// No event can start more than this many steps; more is a livelock, which is a bug.
constexpr int kSettleStepsMax = 10'000;
/// What is blocked blocks whoever needs as much in the same pools and may put out no others.
bool as_large_as_any(const Footprint& need, const std::vector<Footprint>& blocked) {
  return std::any_of(blocked.begin(), blocked.end(), [&](const Footprint& other) {
    return std::all_of(other.shares.begin(), other.shares.end(),
                       [&](const PoolShare& share) { return need.in(share.pool) >= share.bytes; });
  });
}

/// Of a server that is larger than the limit, with policy.oversize = "refuse".
Error oversize_error(const State& state, ServerId id, const Admission& numbers) {
  const PoolConfig& pool = state.config.pools[numbers.pool.value];
  const Bytes limit = limit_of(pool.capacity, {}, policy_in(pool, state.config.policy));
  return {ErrorCode::does_not_fit,
          fmt::format("server \"{}\" needs {} of pool \"{}\", more than the limit of the empty "
                      "machine, {} of {}; set policy.oversize = \"try\", or a smaller model",
                      state.server(id).config.name, to_text(numbers.need), pool.name,
                      to_text(limit), to_text(pool.capacity))};
}

}  // namespace

void Scheduler::settle() {
  look_ = false;
  expire_releases();
  for (Server& each : state_.servers) {  // back-off is over
    const bool again = each.state == ServerState::failed && each.retry_at <= now_ && each.retry_at;
    if (again) each.state = ServerState::absent;
  }
  for (int step = 0; step < kSettleStepsMax; ++step) {
    if (dispatch_jobs() || refuse_held_too_long() || refuse_doomed_calls() ||
        refuse_stuck_jobs_of_holds() || revoke_places() || gather_holds() || retire_servers() ||
        put_out_again() || advance_claims() || claim_jobs() || claim_returns()) {
      continue;
    }
    sample_if_needed();
    set_wake();
    return;
  }
  BERTH_ASSERT(false && "settling does not end");
}

/// Rule 1: a job whose server is resident, has a free slot and an open gate runs at once. Rule 6: a
/// tool call passes a closed gate; whoever waits for it may be what the gate waits for.
bool Scheduler::dispatch_jobs() {
  bool changed = false;
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i) {
    Server& target = state_.servers[i];
    while (target.state == ServerState::ready && !target.queue.empty() &&
           static_cast<std::int32_t>(target.running.size()) < target.config.slots) {
      const Waiting* next = next_for(target);
      if (next == nullptr) break;
      const JobId id = next->id;
      std::erase_if(target.queue, [id](const Waiting& job) { return job.id == id; });
      target.running.push_back(id);
      target.last_served = now_;
      Job& job = state_.jobs.at(id);
      job.running = true;
      job.started = now_;
      if (target.is_place() && job.limit) target.until = now_ + *job.limit;
      for (const ServerId held : job.holds) {  // they are there: it waits in no queue of theirs
        std::erase_if(server(held).queue, [id](const Waiting& each) { return each.id == id; });
        if (server(held).idle()) server(held).idle_since = now_;
      }
      emit(Dispatch{id, ServerId{i}, target.generation});
      changed = true;
    }
  }
  return changed;
}

const Waiting* Scheduler::next_for(const Server& target) const {
  if (target.gate_open) return next_to_run(state_, target, now_);
  const auto call = std::find_if(target.queue.begin(), target.queue.end(), [&](const Waiting& job) {
    return job.has_parent && !ancestors_of(state_, job.id).empty();
  });
  return call == target.queue.end() ? nullptr : &*call;
}

/// Rule 6: a tool call that would wait for a place which its own caller keeps is answered at once,
/// whichever of claim and call came second.
bool Scheduler::refuse_doomed_calls() {
  if (state_.tool_calls == 0) return false;
  const auto doomed = doomed_call(state_);
  if (!doomed) return false;
  std::string chain = fmt::format("{}", doomed->job.value);
  for (const JobId ancestor : ancestors_of(state_, doomed->job))
    chain += fmt::format(" <- {}", ancestor.value);
  const Error error{
      ErrorCode::conflict,
      fmt::format("this tool call would wait for itself: {} (jobs {}); make the servers fit side "
                  "by side, add slots, or call after the reply",
                  doomed->why, chain)};
  const ServerId id = state_.jobs.at(doomed->job).server;
  emit(Announce{
      .reason = Reason::waits_for_itself, .server = id, .job = doomed->job, .error = error});
  reject(doomed->job, error);
  return true;
}

/// The user stopped it: running work ends first, a start is given up at once.
bool Scheduler::retire_servers() {
  bool changed = false;
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i) {
    Server& target = state_.servers[i];
    const ServerId id{i};
    if (!target.retiring || !target.commits.empty()) continue;
    if (target.wanted != Wanted::off) {
      target.retiring = false;
      target.gate_open = true;
      changed = true;
    } else if (target.state == ServerState::starting) {
      if (const Claim* claim = claim_of_newcomer(id)) drop(*claim);
      move(id, Rung::absent, /*keep=*/false);
      changed = true;
    } else if (target.state == ServerState::ready) {
      target.gate_open = false;
      if (!target.running.empty()) continue;
      move(id, Rung::absent, /*keep=*/false);
      changed = true;
    } else if (target.rests_freed()) {
      move(id, Rung::absent, /*keep=*/false);
      changed = true;
    }
  }
  return changed;
}

bool Scheduler::advance_claims() {
  // One step at a time: a step may erase its claim.
  return std::any_of(state_.claims.begin(), state_.claims.end(),
                     [this](Claim& claim) { return advance(claim); });
}

bool Scheduler::advance(Claim& claim) {
  const Server& newcomer = server(claim.newcomer);
  const bool unasked = claim.is_return && !newcomer.owed();
  const bool waived = ((unasked || newcomer.is_place()) && newcomer.queue.empty()) ||
                      !is_gathered(state_, newcomer);
  const bool placed = claim.phase == ClaimPhase::starting;
  if ((newcomer.wanted == Wanted::off || waived) && claim.first_signal && !placed) {
    // The user's word goes before the plan; rule 5 brings back whom it has put out.
    emit(
        Announce{.reason = Reason::claim_fell, .server = claim.newcomer, .victims = claim.victims});
    drop(claim);
    return true;
  }
  switch (claim.phase) {
    case ClaimPhase::waiting:
      return advance_waiting(claim);
    case ClaimPhase::draining:
      return advance_draining(claim);
    case ClaimPhase::stopping:
      return advance_stopping(claim);
    case ClaimPhase::barrier:
      return advance_barrier(claim);
    case ClaimPhase::starting:
      return false;  // its EffectEnded ends it
  }
  return false;
}

/// The claim falls if its last job leaves before the first signal, or if a return is not owed any
/// more or would put out a server that has work again.
bool Scheduler::must_fall(const Claim& claim) const {
  const Server& newcomer = server(claim.newcomer);
  if (kept_out_by(state_, claim.newcomer)) return true;
  const bool pinned = std::any_of(claim.victims.begin(), claim.victims.end(),
                                  [this](ServerId id) { return server(id).pinned; });
  if (pinned) return true;  // since the plan was made
  if (!claim.is_return) return newcomer.queue.empty() || !is_gathered(state_, newcomer);
  const bool victim_works = std::any_of(claim.victims.begin(), claim.victims.end(),
                                        [this](ServerId id) { return !server(id).idle(); });
  const bool hindered = victim_works && !is_planted(Planted::restore_while_displacer_works);
  return hindered || (!newcomer.owed() && newcomer.queue.empty());
}

bool Scheduler::advance_waiting(Claim& claim) {
  if (must_fall(claim)) {
    drop(claim);
    return true;
  }
  const Duration there_and_back = round_trip(state_, claim);
  for (const ServerId id : claim.victims) {
    const auto ends = turn_ends(state_, server(id), there_and_back);
    if (claim.is_return || (ends && *ends <= now_)) continue;
    if (!std::exchange(claim.announced_wait, true)) {
      emit(Announce{.reason = Reason::waits_for_turn,
                    .server = claim.newcomer,
                    .victims = claim.victims,
                    .numbers = claim.numbers});
    }
    return false;
  }
  begin_draining(claim);
  return true;
}

/// Rows are written while replies still run. A victim that could never return over the newcomer
/// unasked (rule 5) is not displaced, just absent: no debt is recorded that nobody could pay.
void Scheduler::begin_draining(Claim& claim) {
  claim.phase = ClaimPhase::draining;
  const ServerId rival = displacer_of(state_, claim);
  for (const ServerId id : claim.victims) {
    Server& victim = server(id);
    if (victim.is_place()) continue;  // it ends by itself, and is owed nothing
    // It gives up the rest, or has come up by itself: what it is owed stands in its row already.
    if (victim.freed || (victim.intruder && victim.displaced)) continue;
    const HomeOrder theirs = home_order(rival, server(rival));
    const HomeOrder own = home_order(id, victim);
    const bool is_peer = own.group == theirs.group && !server(rival).is_place();  // ADR 0010
    const bool homeless = victim.wanted == Wanted::on_demand && (is_peer || theirs < own);
    if (victim.wanted == Wanted::off || homeless) continue;
    const After after =
        std::exchange(victim.skip_next_restore, false) ? After::on_request : After::restore;
    victim.displaced = Displacement{now_, rival, after};
    commit(id);
  }
  if (!server(claim.newcomer).freed) server(claim.newcomer).generation.value += 1;
  if (!server(claim.newcomer).is_place()) commit(claim.newcomer);
  if (claim.oversize && !claim.victims.empty() && !sample_) {
    sample_ = claim.sample_before = next_effect();
    sample_asked_ = now_;
    emit(Measure{*sample_});
  }
}

/// Rule 4: gates close at once for all but chats, for chats when nothing else runs on any victim.
bool Scheduler::close_gates(Claim& claim) {
  // By the server's kind of work: batch jobs on an LLM must not keep its gate open for each other.
  const bool others_run =
      std::any_of(claim.victims.begin(), claim.victims.end(), [this](ServerId id) {
        const Server& victim = server(id);
        return victim.config.job_class != ServerClass::chat && !victim.running.empty();
      });
  bool changed = false;
  for (const ServerId id : claim.victims) {
    Server& victim = server(id);
    const bool chats = victim.config.job_class == ServerClass::chat;
    if (!victim.gate_open || victim.state != ServerState::ready || (chats && others_run)) continue;
    victim.gate_open = false;
    if (chats && victim.config.drain_limit) victim.drain_until = now_ + *victim.config.drain_limit;
    emit(Announce{.reason = Reason::gate_closed, .server = id, .victims = {claim.newcomer}});
    changed = true;
  }
  return changed;
}

bool Scheduler::cut_at_drain_limit(const Claim& claim) {
  bool changed = false;
  for (const ServerId id : claim.victims) {
    if (!server(id).drain_until || *server(id).drain_until > now_) continue;
    for (const JobId job : server(id).running) {
      if (std::exchange(state_.jobs.at(job).cancelled, true)) continue;
      emit(Announce{.reason = Reason::drain_limit, .server = id, .job = job});
      emit(Cancel{job, CancelReason::drain_limit});
      changed = true;
    }
  }
  return changed;
}

bool Scheduler::advance_draining(Claim& claim) {
  const bool hopeless =
      std::any_of(claim.victims.begin(), claim.victims.end(),
                  [this](ServerId id) { return server(id).state == ServerState::unkillable; });
  if (must_fall(claim) || hopeless) {
    fall(claim);
    return true;
  }
  std::vector<ServerId> moved = claim.victims;
  moved.push_back(claim.newcomer);
  for (const ServerId id : moved) {
    if (!server(id).commit_error) continue;
    const Error error = *std::exchange(server(id).commit_error, std::nullopt);
    const ServerId newcomer = claim.newcomer;
    fall(claim);
    start_failed(newcomer, error);
    return true;
  }
  if (close_gates(claim) || cut_at_drain_limit(claim)) return true;
  const bool ready = std::all_of(moved.begin(), moved.end(), [&](ServerId id) {
    const Server& each = server(id);
    const bool drained = id == claim.newcomer || each.state != ServerState::ready ||
                         (!each.gate_open && each.running.empty());
    // What a return needs written is needed for its start, not for the stop of who makes room.
    const bool later = id == claim.newcomer && claim.is_return;
    const bool written = later || each.commits.empty() || is_planted(Planted::stop_before_commit);
    return drained && written && each.state != ServerState::starting;
  });
  if (!ready || (claim.sample_before && sample_ == claim.sample_before)) return false;
  if (must_look(claim.need)) return false;
  if (others_took_place(claim)) {  // since the plan was made: nobody is put out for nothing
    fall(claim);
    return true;
  }
  claim.first_signal = now_;
  claim.phase = ClaimPhase::stopping;
  for (const ServerId id : claim.victims) {
    const Server& victim = server(id);
    const bool enough = claim.victims_to == Rung::freed && victim.config.freed.has_value();
    BERTH_ASSERT(!victim.is_place() || victim.state == ServerState::absent);
    if (victim.state == ServerState::ready) {
      move(id, enough ? Rung::freed : Rung::absent, /*keep=*/true);
    } else if (victim.rests_freed()) {
      move(id, Rung::absent, /*keep=*/true);
    }
  }
  return true;
}

bool Scheduler::advance_stopping(Claim& claim) {
  for (const ServerId id : claim.victims) {
    const Server& victim = server(id);
    if (victim.state == ServerState::stopping) return false;
    if (victim.state != ServerState::unkillable) continue;
    fail(claim, victim.failure.value_or(Error{ErrorCode::unkillable, "a victim does not die"}),
         Reason::stop_failed);
    return true;
  }
  const bool blind = claim.is_return && is_planted(Planted::no_barrier_on_the_way_back);
  if (blind || (claim.victims.empty() && !state_.ledger.any(EntryState::releasing))) {
    return start_newcomer(claim);
  }
  claim.phase = ClaimPhase::barrier;
  claim.barrier_deadline = now_ + state_.config.policy.release_deadline;
  claim.barrier_since = EffectId{last_effect_};
  claim.still_since = now_;
  next_sample_ = now_;
  return true;
}

/// False: its row is not written yet.
bool Scheduler::start_newcomer(Claim& claim) {
  Server& newcomer = server(claim.newcomer);
  if (!newcomer.commits.empty() && !is_planted(Planted::stop_before_commit)) return false;
  if (newcomer.commit_error) {
    start_failed(claim.newcomer, *std::exchange(newcomer.commit_error, std::nullopt));
    return true;
  }
  claim.phase = ClaimPhase::starting;
  state_.ledger.reserve(claim.newcomer, newcomer.generation, claim.need, now_);
  if (newcomer.is_place()) {  // nothing has to load
    became_ready(claim.newcomer, {});
    return true;
  }
  move(claim.newcomer, Rung::resident, /*keep=*/true);
  return true;
}

/// Rule 4, before the first signal: nobody was touched, so the rows go back to what they were.
void Scheduler::fall(const Claim& claim) {
  emit(Announce{.reason = Reason::claim_fell, .server = claim.newcomer, .victims = claim.victims});
  const std::vector<ServerId> victims = claim.victims;
  drop(claim);
  for (const ServerId id : victims) {
    Server& victim = server(id);
    if (!victim.displaced || victim.freed || victim.intruder) continue;
    // It was not put out: what the user said of its next return stands.
    victim.skip_next_restore = victim.displaced->after == After::on_request;
    victim.displaced.reset();
    commit(id);
  }
}

void Scheduler::drop(const Claim& claim) {
  for (const ServerId id : claim.victims) {
    server(id).gate_open = true;
    server(id).drain_until.reset();
  }
  const ServerId newcomer = claim.newcomer;
  std::erase_if(state_.claims, [&](const Claim& each) { return each.newcomer == newcomer; });
}

/// After the first signal: the newcomer's clients get the reason; rule 5 brings the victims back.
void Scheduler::fail(const Claim& claim, const Error& error, Reason reason) {
  emit(Announce{.reason = reason,
                .server = claim.newcomer,
                .victims = claim.victims,
                .numbers = claim.numbers,
                .error = error});
  const ServerId newcomer = claim.newcomer;
  drop(claim);
  const std::optional<Instant> retry_at = server(newcomer).retry_at;
  reject_queue(server(newcomer), error,
               retry_at && *retry_at > now_ ? std::optional(*retry_at - now_) : std::nullopt);
}

/// Is memory that is being given back all that stands between the newcomer and a plan?
bool Scheduler::waits_for_release(ServerId newcomer) {
  if (!state_.ledger.any(EntryState::releasing)) return false;
  Ledger books = state_.ledger;
  state_.ledger.forget_releasing();
  const Verdict verdict = plan_for_job(state_, newcomer, now_).verdict;
  state_.ledger = std::move(books);
  return verdict == Verdict::fits || verdict == Verdict::offload;
}

/// Somebody of a better rank claims as soon as memory that is being given back is seen free: a
/// claim in its pools now would come before it, again and again.
bool Scheduler::is_promised_soon(const Footprint& need) const {
  return std::any_of(soon_.begin(), soon_.end(),
                     [&](const Footprint& other) { return other.touches(need); });
}

/// Rule 2: of the waiters for absent servers that can be helped, the best ranked claims its place.
bool Scheduler::claim_jobs() {
  std::vector<std::pair<Rank, ServerId>> waiters;
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i) {
    const Server& each = state_.servers[i];
    const bool absent = each.state == ServerState::absent && is_gathered(state_, each);
    if (absent && !each.queue.empty() && !in_a_claim(state_, ServerId{i})) {
      waiters.emplace_back(rank_of(state_, each, head_of(state_, each, now_), now_), ServerId{i});
    }
  }
  std::sort(waiters.begin(), waiters.end());
  std::vector<Footprint> blocked;  // by somebody of the same or a better class
  soon_.clear();
  for (const auto& [rank, id] : waiters) {
    // One claim per device: beside one that puts somebody out only what fits as it is may start.
    const Footprint need = need_of(state_, server(id));
    const bool taken = std::any_of(
        state_.claims.begin(), state_.claims.end(),
        [&](const Claim& claim) { return !claim.victims.empty() && shares_pool(claim, need); });
    if (!is_oversize_need(state_, need) && as_large_as_any(need, blocked)) continue;
    if (is_promised_soon(need)) continue;
    const bool is_hold = server(id).kind == JobKind::hold;
    const Plan plan = is_hold ? plan_hold(state_, id, now_)
                      : taken ? plan_beside(state_, id)
                              : plan_for_job(state_, id, now_);
    const JobId job = rank.job;
    if (plan.verdict == Verdict::impossible) {
      const Error error = oversize_error(state_, id, *plan.claim.numbers);
      emit(Announce{.reason = Reason::impossible,
                    .server = id,
                    .job = job,
                    .numbers = plan.claim.numbers,
                    .error = error});
      reject_queue(server(id), error, std::nullopt);
      return true;
    }
    if (plan.verdict == Verdict::blocked) {
      const bool kept_out = is_hold || kept_out_by(state_, id);  // whatever it needs
      if (!taken && !kept_out && waits_for_release(id)) soon_.push_back(need);
      if (!taken && !kept_out) blocked.push_back(need);
      continue;
    }
    if (must_look(plan.claim.need)) return false;  // no lower rank passes meanwhile
    const Reason reason = plan.claim.oversize                ? Reason::oversize
                          : plan.verdict == Verdict::offload ? Reason::offload
                                                             : Reason::fits;
    emit(Announce{.reason = reason,
                  .server = id,
                  .victims = plan.claim.victims,
                  .job = job,
                  .numbers = plan.claim.numbers});
    state_.claims.push_back(plan.claim);
    return true;
  }
  return false;
}

/// Rule 5: an owed server returns when no waiting job can be helped (claim_jobs came first), if it
/// fits or those it puts out have been idle for `linger` and stand behind it.
bool Scheduler::claim_returns() {
  if (look_) return false;  // for somebody who waits
  std::vector<ServerId> owed;
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i) {
    const Server& each = state_.servers[i];
    if (each.owed() && each.state == ServerState::absent && each.queue.empty() &&
        !in_a_claim(state_, ServerId{i})) {
      owed.push_back(ServerId{i});
    }
  }
  std::sort(owed.begin(), owed.end(), [&](ServerId a, ServerId b) {
    return home_order(a, server(a)) < home_order(b, server(b));
  });
  for (const ServerId id : owed) {
    const Footprint need = need_of(state_, server(id));
    const bool taken = std::any_of(state_.claims.begin(), state_.claims.end(),
                                   [&](const Claim& claim) { return shares_pool(claim, need); });
    if (taken || is_promised_soon(need)) continue;
    const Plan plan = plan_return(state_, id, now_);
    if (plan.verdict != Verdict::fits && plan.verdict != Verdict::offload) continue;
    if (must_look(plan.claim.need)) return false;
    emit(Announce{.reason = Reason::comes_back,
                  .server = id,
                  .victims = plan.claim.victims,
                  .numbers = plan.claim.numbers});
    state_.claims.push_back(plan.claim);
    return true;
  }
  return false;
}

// ---- Waking up ----------------------------------------------------------------------------------

std::optional<Instant> Scheduler::next_wake() const {
  std::optional<Instant> at;
  const auto consider = [&](std::optional<Instant> candidate) {
    if (candidate && *candidate > now_ && (!at || *candidate < *at)) at = candidate;
  };
  if (next_sample_ && !sample_) consider(next_sample_);
  for (const Claim& claim : state_.claims) {
    if (claim.phase == ClaimPhase::barrier) consider(claim.barrier_deadline);
    if (claim.phase != ClaimPhase::waiting) continue;
    for (const ServerId id : claim.victims) {
      consider(turn_ends(state_, server(id), round_trip(state_, claim)));
    }
  }
  for (const LedgerEntry& entry : state_.ledger.entries()) {
    if (entry.state == EntryState::releasing) {
      consider(entry.since + state_.config.policy.release_deadline);
    }
  }
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i) {
    const Server& each = state_.servers[i];
    consider(each.drain_until);
    consider(each.until);
    consider(hold_ends(each));
    if (each.state == ServerState::failed) consider(each.retry_at);
    if (each.state != ServerState::absent) continue;
    for (const Waiting& job : each.queue) {  // its next class by ageing
      const Duration ageing = state_.config.policy.ageing;
      const auto steps = (now_ - job.arrived) / ageing;
      if (steps < static_cast<std::int64_t>(job.job_class)) {
        consider(job.arrived + (steps + 1) * ageing);
      }
    }
    if (!each.owed()) continue;
    for (const Server& victim : state_.servers) {
      if (victim.state == ServerState::ready && victim.idle()) {
        consider(linger_ends(state_, ServerId{i}, victim));
      }
    }
  }
  return at;
}

void Scheduler::set_wake() {
  const std::optional<Instant> at = next_wake();
  if (!at || (wake_at_ && *wake_at_ <= *at)) return;
  wake_at_ = at;
  emit(SetTimer{TimerId{++last_timer_}, *at});
}

}  // namespace berth::core
