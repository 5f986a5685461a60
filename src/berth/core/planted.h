// SPDX-License-Identifier: Apache-2.0
// Bugs that the simulator must find: a check that cannot fail proves nothing. Compiled in only with
// BERTH_PLANTED_BUGS (never in a release); everywhere else is_planted() is the constant false.
#pragma once

#include <cstdint>

namespace berth::core {

enum class Planted : std::uint8_t {
  none,
  stop_before_commit,
  memory_free_on_exit,
  displacement_lost_on_cancel,
  stale_generation_accepted,
  backfill_past_the_claim,
  user_stop_ignored,
  restore_while_displacer_works,
  no_barrier_on_the_way_back,
  two_starts_after_recovery,
  home_order_ignored,
  ageing_forgotten,
  claim_when_gates_close,
  victims_only_idle,
  child_checked_against_own_plan,
};

#if defined(BERTH_PLANTED_BUGS)
/// The one bug that is switched on; the simulator sets it before its first world.
inline Planted planted_bug = Planted::none;
inline bool is_planted(Planted bug) {
  return planted_bug == bug;
}
#else
constexpr bool is_planted(Planted) {
  return false;
}
#endif

}  // namespace berth::core
