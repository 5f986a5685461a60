// SPDX-License-Identifier: Apache-2.0
// The release barrier and the samples it needs (design section 5).
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/core/admission.h"
#include "berth/core/planner.h"
#include "berth/core/scheduler.h"

namespace berth::core {
namespace {

/// The kernel offers no event for memory that comes back; sampled this often while somebody waits.
constexpr Duration kBarrierInterval = 10ms;
/// ... this often while nobody does, ...
constexpr Duration kReleaseInterval = 250ms;
/// ... and this often while foreign use may be what stands in somebody's way.
constexpr Duration kForeignInterval = 1s;
/// For an oversize newcomer free memory must have stood still for this long (design section 5).
constexpr Duration kStillFor = 500ms;

std::string text_of(const std::vector<Holder>& holders, const Config& config) {
  std::string text;
  for (const Holder& holder : holders) {
    std::int64_t bytes = 0;
    for (const PoolShare& share : holder.bytes.shares)
      bytes += config.pools[share.pool.value].again ? 0 : share.bytes.count;
    text += fmt::format("{}{} (pid {}, {})", text.empty() ? "" : ", ", holder.program, holder.pid,
                        to_text(Bytes{bytes}));
  }
  return text.empty() ? "nobody that is known" : text;
}

/// An oversize newcomer also goes on when the victims' processes are gone and free memory has risen
/// by 90 % of what they held and then stood still.
bool released_and_still(const State& state, const Claim& claim, const PoolSample& sample,
                        Instant now) {
  if (!claim.oversize || claim.before.empty() || now - claim.still_since < kStillFor) return false;
  Bytes held;
  for (const Holder& holder : claim.held_before) {
    const bool is_victim = holder.server && std::find(claim.victims.begin(), claim.victims.end(),
                                                      *holder.server) != claim.victims.end();
    if (is_victim) held += holder.bytes.in(sample.pool);
  }
  const bool gone = std::none_of(claim.victims.begin(), claim.victims.end(),
                                 [&](ServerId id) { return state.ledger.leaving(id); });
  const Bytes risen = sample.free - claim.before[sample.pool.value].free;
  return gone && risen.count * 10 >= held.count * 9;
}

std::vector<Holder> leftovers(const State& state) {
  std::vector<Holder> left;
  for (const Holder& holder : state.holders) {
    const bool going =
        !holder.server || std::any_of(state.ledger.entries().begin(), state.ledger.entries().end(),
                                      [&](const LedgerEntry& entry) {
                                        return entry.server == *holder.server &&
                                               entry.generation == holder.generation &&
                                               (entry.state == EntryState::releasing ||
                                                entry.state == EntryState::stuck);
                                      });
    if (going) left.push_back(holder);
  }
  return left;
}

}  // namespace

bool Scheduler::advance_barrier(Claim& claim) {
  if (last_sample_ <= claim.barrier_since) return false;  // none since the victims were gone
  const bool swept = std::any_of(claim.victims.begin(), claim.victims.end(), [this](ServerId id) {
    return server(id).state == ServerState::stopping;
  });
  bool room = fits_now(state_, claim) && !swept;
  bool by_release = false;
  for (const PoolShare& share : claim.need.shares) {
    const PoolSample& sample = state_.sample[share.pool.value];
    if (sample.free != claim.last_free) claim.still_since = now_;
    claim.last_free = sample.free;
    const Bytes own = own_in(state_, claim.newcomer, share.pool);
    const Bytes target = barrier_target({.need = share.bytes - own,
                                         .others = state_.ledger.staying(share.pool),
                                         .reserve = {},
                                         .capacity = sample.capacity,
                                         .foreign = sample.foreign});
    if (claim.numbers && claim.numbers->pool == share.pool) claim.numbers->free = sample.free;
    // One sample can end several barriers: what was promised since then is not free any more.
    const Bytes available = sample.free - state_.ledger.not_taken(share.pool, state_.holders);
    if (available >= target) continue;
    by_release = released_and_still(state_, claim, sample, now_);
    room = room && by_release;
  }
  if (room) {
    if (!server(claim.newcomer).commits.empty()) return false;
    emit(Announce{.reason = by_release ? Reason::room_seen_oversize : Reason::room_seen,
                  .server = claim.newcomer,
                  .victims = claim.victims,
                  .numbers = claim.numbers});
    return start_newcomer(claim);
  }
  if (now_ < *claim.barrier_deadline) return false;
  const std::vector<Holder> holders = leftovers(state_);
  const Error error{
      ErrorCode::memory_not_released,
      fmt::format("memory for server \"{}\" was not given back within {}; it is held "
                  "by {}; stop that program and try again",
                  server(claim.newcomer).config.name,
                  to_text(state_.config.policy.release_deadline), text_of(holders, state_.config))};
  const ServerId newcomer = claim.newcomer;
  const bool is_return = claim.is_return;
  emit(Announce{.reason = Reason::room_not_seen,
                .server = newcomer,
                .victims = claim.victims,
                .numbers = claim.numbers,
                .holders = holders,
                .error = error});
  fail(claim, error, Reason::start_failed);
  if (is_return) {  // tried again, like any start that failed
    server(newcomer).state = ServerState::failed;
    server(newcomer).failure = error;
    server(newcomer).retry_at = now_ + state_.config.policy.retry_first;
  }
  return true;
}

/// What did not give its memory back in time is swept: a second move to absent ends what is left
/// of its session. Until it is seen gone it stays on the books.
void Scheduler::expire_releases() {
  for (const LedgerEntry& entry :
       state_.ledger.mark_stuck(now_, state_.config.policy.release_deadline)) {
    Server& target = server(entry.server);
    if (target.is_place()) continue;  // nobody can end what a lease has left
    const bool resting = target.state == ServerState::absent || target.state == ServerState::failed;
    if (!resting || target.generation != entry.generation || target.move) continue;
    const bool loads_there = target.freed && claim_of_newcomer(entry.server) != nullptr;
    if (loads_there) leave_claims(entry.server);
    move(entry.server, Rung::absent, /*keep=*/true);
  }
}

/// Somebody waits or is owed its return, and its place is partly in foreign hands.
bool Scheduler::foreign_may_block() const {
  std::vector<ServerId> held;  // by holds that wait
  for (const Server& place : state_.servers) {
    if (place.kind != JobKind::hold || place.queue.empty()) continue;
    const auto& named = state_.jobs.at(place.queue.front().id).holds;
    held.insert(held.end(), named.begin(), named.end());
  }
  std::uint32_t index = 0;
  return std::any_of(state_.servers.begin(), state_.servers.end(), [&](const Server& each) {
    const ServerId id{index++};
    const bool wanted =
        !each.queue.empty() || each.owed() || std::find(held.begin(), held.end(), id) != held.end();
    return each.state == ServerState::absent && wanted &&
           std::any_of(state_.sample.begin(), state_.sample.end(), [&](const PoolSample& sample) {
             return sample.foreign.count > 0 && each.config.footprint.in(sample.pool).count > 0;
           });
  });
}

/// Others use the pool too, and the newest sample is old: what they hold is looked at before a
/// place there is promised. Nothing is promised while the probe says nothing.
bool Scheduler::must_look(const Footprint& need) {
  const bool shared =
      std::any_of(need.shares.begin(), need.shares.end(), [&](const PoolShare& share) {
        return share.bytes.count > 0 &&
               state_.config.pools[share.pool.value].kind != PoolKind::capped;
      });
  const bool fresh = trusts_samples_ || (seen_at_ && now_ - *seen_at_ <= kForeignInterval);
  look_ = look_ || (shared && !fresh);
  return shared && !fresh;
}

bool Scheduler::others_took_place(const Claim& claim) const {
  const bool used =
      std::any_of(claim.need.shares.begin(), claim.need.shares.end(), [&](const PoolShare& share) {
        return share.bytes.count > 0 && state_.sample[share.pool.value].foreign.count > 0;
      });
  return used && !fits_now(state_, claim);
}

void Scheduler::sample_if_needed() {
  const bool barrier =
      std::any_of(state_.claims.begin(), state_.claims.end(),
                  [](const Claim& claim) { return claim.phase == ClaimPhase::barrier; });
  const bool going =
      state_.ledger.any(EntryState::releasing) || state_.ledger.any(EntryState::stuck);
  const bool foreign = foreign_may_block();
  const bool needed = barrier || going || foreign || look_;
  if (!needed) next_sample_.reset();
  if (!needed || sample_) return;
  if (next_sample_ && *next_sample_ > now_) return;
  sample_ = next_effect();
  sample_asked_ = now_;
  next_sample_ = now_ + (barrier ? kBarrierInterval : going ? kReleaseInterval : kForeignInterval);
  emit(Measure{*sample_});
}

}  // namespace berth::core
