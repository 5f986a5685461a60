// SPDX-License-Identifier: Apache-2.0
#include "berth/core/rehearsal.h"

#include <algorithm>

#include "berth/base/assert.h"
#include "berth/core/turns.h"

namespace berth::core {
namespace {

/// What takes longer than was learned is expected to take this share of that more.
constexpr std::int64_t kOverdueShare = 4;

/// How long a request runs on a server that has answered none yet.
Duration guessed_service(ServerClass job_class) {
  switch (job_class) {
    case ServerClass::video:
      return 5min;
    case ServerClass::image:
      return 30s;
    case ServerClass::chat:
      return 20s;
    case ServerClass::batch:
      return 1min;
  }
  return 1min;
}

/// When something that began at `since` and takes `learned` ends, seen from `now`.
Instant end_of(Instant since, Duration learned, Instant now) {
  const Instant end = since + learned;
  return end > now ? end : now + learned / kOverdueShare;
}

}  // namespace

Rehearsal::Rehearsal(Scheduler copy, Instant now, Pace pace, std::int64_t steps_max)
    : scheduler_(std::move(copy)), now_(now), pace_(std::move(pace)), steps_max_(steps_max) {
  scheduler_.trust_samples();
  const Scheduler::Pending pending = scheduler_.pending();
  wake_ = pending.wake;
  sample_ = pending.sample;
  continue_moves();
  continue_jobs();
}

void Rehearsal::continue_moves() {
  for (std::uint32_t i = 0; i < state().servers.size(); ++i) {
    const Server& server = state().servers[i];
    for (const EffectId commit : server.commits)
      push(now_, EffectEnded{commit, {}});
    if (server.move) push(move_ends(ServerId{i}), EffectEnded{*server.move, {}});
  }
}

void Rehearsal::continue_jobs() {
  for (const auto& [id, job] : state().jobs) {
    const bool stays = job.kind != JobKind::request && !job.cancelled;
    if (!job.running || stays) continue;
    const Instant end = job.cancelled ? now_ : end_of(job.started, service_of(job), now_);
    push(end, JobEnded{id, job.cancelled ? JobEnd::cancelled : JobEnd::done});
  }
}

std::optional<Instant> Rehearsal::next_at() const {
  if (steps_ >= steps_max_) return std::nullopt;
  if (sample_ && sample_matters()) return now_;
  std::optional<Instant> at;
  if (!dues_.empty()) at = dues_.begin()->first.first;
  if (wake_ && (!at || wake_->at < *at)) at = std::max(wake_->at, now_);
  return at;
}

RehearsalStep Rehearsal::step() {
  const auto at = next_at();
  BERTH_ASSERT(at.has_value());
  now_ = *at;
  Event event = next_event();
  return give(std::move(event));
}

RehearsalStep Rehearsal::feed(Instant at, Event event) {
  BERTH_ASSERT(at >= now_);
  now_ = at;
  return give(std::move(event));
}

Event Rehearsal::next_event() {
  if (sample_ && sample_matters()) return sample();
  if (wake_ && (dues_.empty() || wake_->at < dues_.begin()->first.first)) {
    return TimerFired{std::exchange(wake_, std::nullopt)->timer};
  }
  return std::move(dues_.extract(dues_.begin()).mapped());
}

/// A job that waits for its tool call goes on, and ends, when that has ended.
RehearsalStep Rehearsal::give(Event event) {
  steps_ += 1;
  if (std::holds_alternative<Measured>(event)) sample_.reset();
  RehearsalStep step{now_, std::move(event), {}};
  const auto* ended = std::get_if<JobEnded>(&step.event);
  if (ended != nullptr && ended->how == JobEnd::done && has_call(ended->job)) {
    waits_for_call_.insert(ended->job);
    return step;
  }
  step.actions = scheduler_.apply(now_, step.event);
  for (const Action& action : step.actions)
    std::visit([this](const auto& a) { take(a); }, action);
  for (const JobId job : std::set<JobId>(waits_for_call_)) {
    if (has_call(job)) continue;
    waits_for_call_.erase(job);
    push(now_, JobEnded{job, JobEnd::done});
  }
  return step;
}

void Rehearsal::push(Instant at, Event event) {
  dues_.emplace(std::pair(std::max(at, now_), ++order_), std::move(event));
}

// ---- What the shell would do --------------------------------------------------------------------

void Rehearsal::take(const Commit& action) {
  push(now_, EffectEnded{action.effect, {}});
}

void Rehearsal::take(const MoveTo& action) {
  push(move_ends(action.server), EffectEnded{action.effect, {}});
}

/// A hold or lease stays until it is revoked: who waits for one without a limit has no ETA.
void Rehearsal::take(const Dispatch& action) {
  const Job& job = state().jobs.at(action.job);
  if (job.kind != JobKind::request) return;
  push(now_ + service_of(job), JobEnded{action.job, JobEnd::done});
}

void Rehearsal::take(const Cancel& action) {
  std::erase_if(dues_, [&](const auto& due) {
    const auto* ended = std::get_if<JobEnded>(&due.second);
    return ended != nullptr && ended->job == action.job;
  });
  const bool cut = action.reason == CancelReason::drain_limit;
  push(now_, JobEnded{action.job, cut ? JobEnd::cut : JobEnd::cancelled});
}

void Rehearsal::take(const Measure& action) {
  sample_ = action.effect;
}

void Rehearsal::take(const SetTimer& action) {
  wake_ = action;
}

/// Stop and start of a move that is under way. S counts from the first signal to the victims.
Instant Rehearsal::move_ends(ServerId id) {
  const Server& server = state().server(id);
  const auto known = pace_.moves.find(id);
  if (server.state != ServerState::starting) {
    const Duration down =
        known != pace_.moves.end() ? known->second.down : server.stop.value_or(Duration{0});
    return end_of(server.move_since, down, now_);
  }
  if (known != pace_.moves.end()) return end_of(server.move_since, known->second.up, now_);
  if (!server.swap) is_guess_ = true;
  Instant since = server.move_since;
  for (const Claim& claim : state().claims) {
    if (claim.newcomer == id && claim.first_signal) since = *claim.first_signal;
  }
  return end_of(since, swap_time(state(), server), now_);
}

Duration Rehearsal::service_of(const Job& job) {
  const auto known = pace_.services.find(job.id);
  if (known != pace_.services.end()) return known->second;
  const Server& server = state().server(job.server);
  if (!server.service) is_guess_ = true;
  return server.service.value_or(guessed_service(job.job_class));
}

bool Rehearsal::has_call(JobId id) const {
  if (state().tool_calls == 0) return false;
  return std::any_of(state().jobs.begin(), state().jobs.end(),
                     [id](const auto& entry) { return entry.second.parent == id; });
}

/// Foreign use does not change here, so a sample that only looks for it need not be told.
bool Rehearsal::sample_matters() const {
  const Ledger& ledger = state().ledger;
  return ledger.any(EntryState::releasing) || ledger.any(EntryState::stuck) ||
         std::any_of(state().claims.begin(), state().claims.end(), [this](const Claim& claim) {
           return claim.phase == ClaimPhase::barrier || claim.sample_before == sample_;
         });
}

/// What is going is gone, what was promised is taken, foreign use is what it was.
Measured Rehearsal::sample() const {
  Measured measured{.effect = *sample_, .pools = state().sample};
  for (PoolSample& pool : measured.pools)
    pool.free = pool.capacity - pool.foreign - state().ledger.staying(pool.pool);
  for (const LedgerEntry& entry : state().ledger.entries()) {
    if (entry.state != EntryState::reserved && entry.state != EntryState::held) continue;
    measured.holders.push_back(
        {.server = entry.server, .generation = entry.generation, .bytes = entry.bytes});
  }
  return measured;
}

}  // namespace berth::core
