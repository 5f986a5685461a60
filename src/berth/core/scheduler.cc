// SPDX-License-Identifier: Apache-2.0
// Events: what each of them changes. What follows from the change is in scheduler_settle.cc.
#include "berth/core/scheduler.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/base/assert.h"
#include "berth/core/foretell.h"
#include "berth/core/holding.h"
#include "berth/core/planner.h"
#include "berth/core/planted.h"
#include "berth/core/turns.h"

namespace berth::core {
namespace {

/// An adopted server worked for nobody for so long that no linger holds it.
constexpr Duration kLongAgo = 24h;
constexpr std::int32_t kDoublingsMax = 16;
/// A request that crashes its server does so twice (ADR 0007); those who wait behind it are served
/// by the third process.
constexpr std::int32_t kCrashesAtOnce = 2;
/// A server that ran out of memory is promised this share of its footprint more.
constexpr std::int64_t kOutOfMemoryShare = 8;
/// How much the newest request weighs in the learned service time.
constexpr std::int64_t kServiceShare = 4;

void learn_service(Server& server, Duration took) {
  const Duration known = server.service.value_or(took);
  server.service = known + (took - known) / kServiceShare;
}

Duration back_off(std::int32_t failures, const Policy& policy) {
  const std::int32_t doublings = std::clamp(failures - 1, 0, kDoublingsMax);
  return std::min(policy.retry_first * (1 << doublings), policy.retry_max);
}

}  // namespace

std::vector<Action> Scheduler::apply(Instant now, const Event& event) {
  BERTH_ASSERT(now >= now_);
  BERTH_ASSERT(recovered_ || std::holds_alternative<Recovered>(event));
  now_ = now;
  std::visit([this](const auto& e) { on(e); }, event);
  forget_footprints();
  settle();
  return std::exchange(actions_, {});
}

// ---- Jobs ---------------------------------------------------------------------------------------

void Scheduler::on(const JobArrived& event) {
  BERTH_ASSERT(!state_.jobs.contains(event.job));
  if (event.kind != JobKind::request) return place_arrived(event);
  BERTH_ASSERT(event.server.value < state_.config.servers.size());
  Server& target = server(event.server);
  const std::string& name = target.config.name;
  if (target.wanted == Wanted::off) {
    return reject(event.job,
                  {ErrorCode::stopped_by_user,
                   fmt::format("server \"{}\" was stopped by the user; `berth start {}` brings it "
                               "back",
                               name, name)});
  }
  if (target.state == ServerState::failed && target.retry_at > now_) {
    return reject(event.job, *target.failure, *target.retry_at - now_);
  }
  if (static_cast<std::int32_t>(target.queue.size()) >= state_.config.policy.queue_max) {
    return reject(event.job,
                  {ErrorCode::queue_full,
                   fmt::format("{} jobs wait for server \"{}\" already; try again later",
                               target.queue.size(), name)},
                  swap_time(state_, target));
  }
  const Foretold foretold = foretell_arrival(event);
  if (foretold.is_late) return refuse_late(event, *foretold.eta);
  state_.jobs.emplace(event.job, Job{.id = event.job,
                                     .kind = event.kind,
                                     .server = event.server,
                                     .asked = event.server,
                                     .job_class = event.job_class,
                                     .client = event.client,
                                     .need = event.need,
                                     .parent = event.parent,
                                     .hold = event.hold,
                                     .arrived = now_});
  if (event.parent) state_.tool_calls += 1;
  if (event.hold) state_.jobs_of_holds += 1;
  target.queue.push_back({.id = event.job,
                          .job_class = event.job_class,
                          .arrived = now_,
                          .has_need = event.need.has_value(),
                          .has_parent = event.parent.has_value(),
                          .hold_until = hold_until(target.config, event, now_)});
  meet_displacement(event.job, foretold);
}

void Scheduler::on(const JobWithdrawn& event) {
  const auto found = state_.jobs.find(event.job);
  if (found == state_.jobs.end()) return;
  Job& job = found->second;
  if (!job.running) {
    if (is_planted(Planted::displacement_lost_on_cancel)) {
      for (Server& each : state_.servers)
        if (each.displaced && each.displaced->by == job.server) each.displaced.reset();
    }
    return forget(event.job);
  }
  if (std::exchange(job.cancelled, true)) return;
  emit(Cancel{event.job, CancelReason::client_gone});
}

void Scheduler::on(const JobEnded& event) {
  const auto found = state_.jobs.find(event.job);
  if (found == state_.jobs.end() || !found->second.running) return;
  Server& target = server(found->second.server);
  target.last_served = now_;
  target.served_in_turn = true;
  if (event.how == JobEnd::done) {
    target.failures = 0;
    learn_service(target, now_ - found->second.started);
  }
  forget(event.job);
}

void Scheduler::forget(JobId id) {
  const ServerId place = state_.jobs.at(id).server;
  Server& target = server(place);
  if (target.kind == JobKind::hold) scatter(state_.jobs.at(id));
  const bool was_idle = target.idle();
  std::erase_if(target.queue, [id](const Waiting& job) { return job.id == id; });
  std::erase(target.running, id);
  if (state_.jobs.at(id).parent) state_.tool_calls -= 1;
  if (state_.jobs.at(id).hold) state_.jobs_of_holds -= 1;
  state_.jobs.erase(id);
  if (!was_idle && target.idle()) target.idle_since = now_;
  if (target.is_place()) leave_place(place);
}

void Scheduler::end_jobs_of(Server& target) {
  for (const JobId id : std::vector<JobId>(target.running))
    forget(id);
}

void Scheduler::reject(JobId id, Error error, std::optional<Duration> retry_after) {
  if (state_.jobs.contains(id)) forget(id);
  emit(Reject{id, std::move(error), retry_after});
}

void Scheduler::reject_queue(Server& target, const Error& error,
                             std::optional<Duration> retry_after) {
  for (const Waiting& job : std::vector<Waiting>(target.queue))
    reject(job.id, error, retry_after);
}

// ---- Effects ------------------------------------------------------------------------------------

void Scheduler::on(const EffectEnded& event) {
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i) {
    Server& candidate = state_.servers[i];
    if (candidate.commits.contains(event.effect)) return commit_ended(candidate, event);
    if (candidate.move == event.effect) return move_ended(ServerId{i}, event);
  }
}

void Scheduler::commit_ended(Server& target, const EffectEnded& event) {
  target.commits.erase(event.effect);
  target.commit_error = event.result.error;
  if (!event.result.error) return;
  emit(Announce{.reason = Reason::commit_failed,
                .server = ServerId{static_cast<std::uint32_t>(&target - state_.servers.data())},
                .error = event.result.error});
}

void Scheduler::move_ended(ServerId id, const EffectEnded& event) {
  Server& target = server(id);
  target.move.reset();
  switch (target.state) {
    case ServerState::starting:
      if (event.result.error) return start_failed(id, *event.result.error);
      return became_ready(id, event.result);
    case ServerState::stopping:
      if (!event.result.error) target.stop = now_ - target.move_since;
      return became_absent(id, event.result);
    case ServerState::absent:
    case ServerState::ready:
    case ServerState::failed:
    case ServerState::unkillable:
      BERTH_ASSERT(false && "a move ended in a state that has none");
  }
}

void Scheduler::became_ready(ServerId id, const EffectResult& result) {
  Server& target = server(id);
  target.state = ServerState::ready;
  target.gate_open = true;
  target.ready_at = now_;
  target.idle_since = now_;
  target.served_in_turn = false;
  target.retry_at.reset();
  target.failure.reset();
  state_.ledger.hold(id, target.generation, now_);
  for (Server& each : state_.servers) {
    if (each.config.footprint.touches(target.config.footprint)) each.appearances = 0;
  }
  const bool was_displaced = target.displaced.has_value();
  target.displaced.reset();
  if (was_displaced) commit(id);
  Announce announce{.reason = was_displaced ? Reason::restored : Reason::ready, .server = id};
  if (Claim* claim = claim_of_newcomer(id)) {
    if (claim->first_signal) {
      target.swap = (now_ - *claim->first_signal) / 100 * state_.config.policy.swap_percent;
    }
    announce.victims = claim->victims;
    drop(*claim);
  }
  if (result.state_restored == false) {
    announce.error = Error{ErrorCode::io, "its saved state did not come back"};
  }
  emit(std::move(announce));
}

void Scheduler::start_failed(ServerId id, const Error& error) {
  Server& target = server(id);
  target.state = ServerState::failed;
  target.failures += 1;
  target.retry_at = now_ + back_off(target.failures, state_.config.policy);
  target.failure = error;
  if (!target.freed) state_.ledger.release(id, target.generation, now_);
  if (error.code == ErrorCode::out_of_memory) raise_footprint(id, error);
  if (Claim* claim = claim_of_newcomer(id)) {
    fail(*claim, error, Reason::start_failed);
  } else {
    emit(Announce{.reason = Reason::start_failed, .server = id, .error = error});
    reject_queue(target, error, *target.retry_at - now_);
  }
}

/// Before it is tried again. Never beyond the pool: what needs all of it is alone in it anyway.
void Scheduler::raise_footprint(ServerId id, const Error& error) {
  Server& target = server(id);
  target.forgotten_to.reset();
  for (PoolShare& share : target.config.footprint.shares) {
    const Bytes capacity = state_.config.pools[share.pool.value].capacity;
    const Bytes more{(share.bytes.count + kOutOfMemoryShare - 1) / kOutOfMemoryShare};
    share.bytes = std::max(share.bytes, std::min(share.bytes + more, capacity));
  }
  target.config.source = FootprintSource::learned;
  const Claim probe{.newcomer = id, .need = target.config.footprint};
  emit(Announce{.reason = Reason::needs_more,
                .server = id,
                .numbers = numbers_of(state_, probe, false),
                .error = error});
}

/// What was measured goes before what was planned, from its next start on.
void Scheduler::learn_footprint(ServerId id, const Footprint& measured) {
  ServerConfig& config = server(id).config;
  const Footprint before = config.footprint;
  std::vector<PoolShare>& shares = config.footprint.shares;
  for (const PoolShare& seen : measured.shares) {
    if (seen.bytes.count == 0 || seen.bytes == config.footprint.in(seen.pool)) continue;
    auto at = std::find_if(shares.begin(), shares.end(),
                           [&](const PoolShare& share) { return share.pool >= seen.pool; });
    if (at == shares.end() || at->pool != seen.pool) at = shares.insert(at, seen);
    at->bytes = seen.bytes;
    if (!state_.config.pools[seen.pool.value].again) config.source = FootprintSource::learned;
  }
  if (config.footprint == before) return;
  const Claim probe{.newcomer = id, .need = config.footprint};
  emit(Announce{
      .reason = Reason::learned, .server = id, .numbers = numbers_of(state_, probe, false)});
}

/// A place on the books that is taken, or about to be, stays as it was promised.
void Scheduler::forget_footprints() {
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i) {
    Server& target = state_.servers[i];
    const bool rests = target.state == ServerState::absent || target.state == ServerState::failed;
    if (!target.forgotten_to || !rests || target.freed || claim_of_newcomer(ServerId{i})) continue;
    target.config.footprint = *std::exchange(target.forgotten_to, std::nullopt);
    target.config.source = target.forgotten_source;
  }
}

void Scheduler::became_absent(ServerId id, const EffectResult& result) {
  Server& target = server(id);
  target.gate_open = true;
  target.drain_until.reset();
  if (result.error && target.freed) return move(id, Rung::absent, /*keep=*/true);
  if (result.error) {
    target.state = ServerState::unkillable;
    target.failure = result.error;
    emit(Announce{.reason = Reason::stop_failed, .server = id, .error = result.error});
    return;
  }
  if (result.measured && target.forgotten_to) {
    target.config.footprint = *std::exchange(target.forgotten_to, std::nullopt);
  }
  if (result.measured) learn_footprint(id, *result.measured);
  // A sweep after a failed start ends here too: its back-off goes on.
  target.state = target.retry_at > now_ ? ServerState::failed : ServerState::absent;
  target.retiring = target.freed && target.wanted == Wanted::off;
  target.intruder = false;
  end_jobs_of(target);
  state_.ledger.release(id, target.generation, now_,
                        target.freed ? target.config.freed : std::nullopt);
  if (is_planted(Planted::memory_free_on_exit)) state_.ledger.observe({}, now_);
  next_sample_ = now_;
}

void Scheduler::on(const ServerChanged& event) {
  Server& target = server(event.server);
  const bool stale = event.generation != target.generation;
  if (stale && !is_planted(Planted::stale_generation_accepted)) return;
  if (target.rests_freed()) {
    if (event.fact == ServerChanged::Fact::appeared) return appeared(event.server);
    return freed_one_ended(event.server);
  }
  if (event.fact == ServerChanged::Fact::appeared) return;  // the move that is under way loads it
  const bool gone = event.fact != ServerChanged::Fact::unresponsive;
  if (target.state == ServerState::unkillable && gone) {
    return became_absent(event.server, {});  // it died after all
  }
  if (target.state != ServerState::ready) return;  // the move that is under way reports it
  const bool out_of_memory = event.fact == ServerChanged::Fact::out_of_memory;
  const std::string what =
      gone ? fmt::format("ended by itself ({}); its log tells more", event.detail)
           : fmt::format("must end ({})", event.detail);
  const Error error{out_of_memory ? ErrorCode::out_of_memory : ErrorCode::server_gone,
                    fmt::format("server \"{}\" {}", target.config.name, what)};
  emit(Announce{.reason = Reason::exited, .server = event.server, .error = error});
  if (!gone) return move(event.server, Rung::absent, /*keep=*/true);
  if (out_of_memory) raise_footprint(event.server, error);
  became_absent(event.server, {});
  if (target.failures++ < kCrashesAtOnce) return;  // it is started again at once
  target.state = ServerState::failed;
  target.failure = error;
  target.retry_at = now_ + back_off(target.failures - kCrashesAtOnce, state_.config.policy);
  reject_queue(target, error, *target.retry_at - now_);
}

void Scheduler::on(const Measured& event) {
  if (event.effect != sample_) return;
  sample_.reset();
  if (event.error) return;  // it says nothing; the deadlines go on
  last_sample_ = event.effect;
  seen_at_ = now_;
  for (const PoolSample& sample : event.pools)
    state_.sample.at(sample.pool.value) = sample;
  state_.holders = event.holders;
  state_.ledger.observe(event.holders, sample_asked_);
  for (Claim& claim : state_.claims) {
    if (claim.sample_before != event.effect) continue;
    claim.before = event.pools;
    claim.held_before = event.holders;
  }
}

void Scheduler::on(const TimerFired& event) {
  if (event.timer.value == last_timer_) wake_at_.reset();
}

// ---- The user -----------------------------------------------------------------------------------

void Scheduler::on(const UserAsked& event) {
  switch (event.what) {
    case UserAsked::What::start:
      return user_start(event.server);
    case UserAsked::What::stop:
      return user_stop(event.server);
    case UserAsked::What::pin:
      server(event.server).pinned = true;
      return;
    case UserAsked::What::unpin:
      server(event.server).pinned = false;
      return;
    case UserAsked::What::clear_saved_state:
      return user_clear(event.server);
    case UserAsked::What::forget:
      server(event.server).forgotten_to = event.footprint;
      server(event.server).forgotten_source = event.source;
      return;
  }
}

void Scheduler::user_start(ServerId id) {
  Server& target = server(id);
  target.wanted = Wanted::on;
  target.displaced.reset();  // it is owed as wanted on from here on
  target.skip_next_restore = false;
  target.failures = 0;
  target.retry_at.reset();
  if (target.state == ServerState::failed) target.state = ServerState::absent;
  commit(id);
  emit(Announce{.reason = Reason::started_by_user, .server = id});
}

void Scheduler::user_stop(ServerId id) {
  Server& target = server(id);
  if (target.displaced && is_planted(Planted::user_stop_ignored)) return;
  target.wanted = Wanted::off;
  target.displaced.reset();
  target.skip_next_restore = false;
  commit(id);
  emit(Announce{.reason = Reason::stopped_by_user, .server = id});
  reject_queue(
      target,
      {ErrorCode::stopped_by_user,
       fmt::format("server \"{}\" was stopped by the user; `berth start {}` brings it back",
                   target.config.name, target.config.name)},
      std::nullopt);
  target.retry_at.reset();
  if (target.state == ServerState::failed) target.state = ServerState::absent;
  target.retiring =
      target.state == ServerState::ready || target.state == ServerState::starting || target.freed;
}

void Scheduler::user_clear(ServerId id) {
  Server& target = server(id);
  if (target.displaced) {
    target.displaced->after = After::on_request;
  } else {
    target.skip_next_restore = true;
  }
  commit(id);
  emit(Announce{.reason = Reason::saved_state_cleared, .server = id});
}

// ---- Recovery -----------------------------------------------------------------------------------

void Scheduler::on(const Recovered& event) {
  BERTH_ASSERT(!recovered_);
  recovered_ = true;
  state_.config = event.config;
  for (std::uint32_t i = 0; i < event.config.pools.size(); ++i) {
    const Bytes capacity = event.config.pools[i].capacity;
    state_.sample.push_back({PoolId{i}, capacity, capacity, {}});
  }
  for (const ServerConfig& config : event.config.servers) {
    Server fresh;
    fresh.config = config;
    fresh.wanted = config.wanted;
    state_.servers.push_back(std::move(fresh));
  }
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i) {
    const auto row = std::find_if(event.rows.begin(), event.rows.end(),
                                  [&](const Row& r) { return r.server.value == i; });
    const auto found = std::find_if(event.found.begin(), event.found.end(),
                                    [&](const FoundServer& f) { return f.server.value == i; });
    recover(ServerId{i}, row == event.rows.end() ? nullptr : &*row,
            found == event.found.end() ? nullptr : &*found);
  }
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i)
    recover_displaced(ServerId{i});
  for (const JobArrived& job : event.holds)
    on(job);
}

/// Recorded as displaced and resident: it was never stopped, or has come up by itself since then.
void Scheduler::recover_displaced(ServerId id) {
  Server& target = server(id);
  if (target.state != ServerState::ready || !target.displaced) return;
  target.intruder = target.config.freed && is_beyond_limit(state_, id);
  if (target.intruder) return emit(Announce{.reason = Reason::appeared, .server = id});
  target.displaced.reset();
  commit(id);
  emit(Announce{.reason = Reason::recovered_never_stopped, .server = id});
}

/// The table of design section 4. 1 unwanted: stop it. 2 no answer: stop it, start it if owed.
/// 3 displaced but alive: the stop never happened. 4 alive: adopt. Not there: rule 5 restores.
void Scheduler::recover(ServerId id, const Row* row, const FoundServer* found) {
  Server& target = server(id);
  if (row != nullptr) {
    if (row->wanted != Wanted::on_demand) target.wanted = row->wanted;
    target.generation = row->generation;
    target.displaced = row->displaced;
    target.skip_next_restore = row->skip_next_restore;
  }
  if (found == nullptr) return;
  if (!found->healthy && is_planted(Planted::two_starts_after_recovery)) return;
  target.generation = std::max(target.generation, found->generation);
  target.freed = found->freed;
  target.state = found->freed ? ServerState::absent : ServerState::ready;
  target.ready_at = now_ - kLongAgo;
  target.idle_since = now_ - kLongAgo;
  state_.ledger.reserve(id, target.generation, target.config.footprint, now_);
  state_.ledger.hold(id, target.generation, now_);
  if (found->freed) state_.ledger.release(id, target.generation, now_, target.config.freed);
  const bool unwanted = row == nullptr || target.wanted == Wanted::off;
  if (unwanted || !found->healthy) {  // 1, 2
    emit(Announce{.reason = Reason::recovered_stopping, .server = id});
    move(id, Rung::absent, /*keep=*/!unwanted);
    return;
  }
  if (target.displaced && !found->freed) return;  // 3: once all are on the books
  emit(Announce{.reason = Reason::recovered_adopted, .server = id});  // 4
}

// ---- Emitting -----------------------------------------------------------------------------------

void Scheduler::commit(ServerId id) {
  Server& target = server(id);
  const EffectId effect = next_effect();
  target.commits.insert(effect);
  target.commit_error.reset();  // the new row holds all that the last one did
  emit(Commit{effect, Row{.server = id,
                          .wanted = target.wanted,
                          .generation = target.generation,
                          .displaced = target.displaced,
                          .skip_next_restore = target.skip_next_restore}});
}

void Scheduler::move(ServerId id, Rung rung, bool keep) {
  Server& target = server(id);
  const EffectId effect = next_effect();
  target.move = effect;
  target.move_since = now_;
  const bool up = rung == Rung::resident;
  target.freed = rung == Rung::freed;
  target.state = up ? ServerState::starting : ServerState::stopping;
  emit(MoveTo{effect, id, rung, keep, target.generation,
              up ? target.config.start_deadline : target.config.stop_deadline});
}

Claim* Scheduler::claim_of_newcomer(ServerId id) {
  const auto found = std::find_if(state_.claims.begin(), state_.claims.end(),
                                  [&](const Claim& claim) { return claim.newcomer == id; });
  return found == state_.claims.end() ? nullptr : &*found;
}

}  // namespace berth::core
