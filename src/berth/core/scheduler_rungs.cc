// SPDX-License-Identifier: Apache-2.0
// Servers that can be freed: they end, or load again, by themselves (design section 6, rule 8).
#include <algorithm>
#include <utility>

#include "berth/core/planner.h"
#include "berth/core/scheduler.h"

namespace berth::core {
namespace {

/// A server that loads again unasked beyond the limit is put out so often; then it is left alone
/// until the next turn begins.
constexpr std::int32_t kAppearancesMax = 3;

}  // namespace

/// It serves, whoever asked it to. Beyond the limit it has no right to the place: what it is owed
/// stands, and it is freed again as soon as it is idle.
void Scheduler::appeared(ServerId id) {
  Server& target = server(id);
  leave_claims(id);
  target.freed = false;
  target.state = ServerState::ready;
  target.gate_open = true;
  target.ready_at = now_;
  target.idle_since = now_;
  target.served_in_turn = false;
  state_.ledger.reserve(id, target.generation, target.config.footprint, now_);
  state_.ledger.hold(id, target.generation, now_);
  emit(Announce{.reason = Reason::appeared, .server = id});
  if (target.wanted == Wanted::off) {
    target.retiring = true;
  } else if (is_beyond_limit(state_, id)) {
    target.appearances += 1;
    target.intruder = target.appearances <= kAppearancesMax;
  } else if (std::exchange(target.displaced, std::nullopt)) {
    commit(id);
  }
}

/// What was planned of a freed server does not hold any more: it is not as it was.
void Scheduler::leave_claims(ServerId id) {
  const auto concerned = [&](const Claim& claim) {
    const auto& victims = claim.victims;
    const bool leaves = std::find(victims.begin(), victims.end(), id) != victims.end();
    return claim.newcomer == id || (leaves && claim.phase != ClaimPhase::starting);
  };
  while (true) {
    const auto found = std::find_if(state_.claims.begin(), state_.claims.end(), concerned);
    if (found == state_.claims.end()) return;
    const Claim claim = *found;
    if (claim.first_signal) {
      drop(claim);
    } else {
      fall(claim);
    }
  }
}

/// Its process is gone or useless: nothing of it stays in memory.
void Scheduler::freed_one_ended(ServerId id) {
  Server& target = server(id);
  leave_claims(id);
  target.retiring = false;
  move(id, Rung::absent, /*keep=*/true);
}

/// Rule 8.
bool Scheduler::put_out_again() {
  for (std::uint32_t i = 0; i < state_.servers.size(); ++i) {
    Server& target = state_.servers[i];
    const ServerId id{i};
    const bool may = target.intruder && target.state == ServerState::ready && target.idle() &&
                     !target.pinned && !target.held_by && !target.retiring &&
                     !in_a_claim(state_, id);
    if (!may) continue;
    if (!is_beyond_limit(state_, id)) {  // its rival has left: it may stay
      target.intruder = false;
      if (std::exchange(target.displaced, std::nullopt)) commit(id);
      return true;
    }
    emit(Announce{.reason = Reason::put_out_again, .server = id});
    target.gate_open = false;
    move(id, Rung::freed, /*keep=*/true);
    return true;
  }
  return false;
}

}  // namespace berth::core
