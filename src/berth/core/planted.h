// SPDX-License-Identifier: Apache-2.0
// Bugs that the simulator must find: a check that cannot fail proves nothing. Compiled in only with
// BERTH_PLANTED_BUGS (never in a release); everywhere else is_planted() is the constant false.
#pragma once

#include <cstdint>
#include <string_view>

namespace berth::core {

// clang-format off
#define BERTH_PLANTED(X) \
  X(none) \
  X(stop_before_commit) \
  X(memory_free_on_exit) \
  X(displacement_lost_on_cancel) \
  X(stale_generation_accepted) \
  X(backfill_past_the_claim) \
  X(user_stop_ignored) \
  X(restore_while_displacer_works) \
  X(no_barrier_on_the_way_back) \
  X(two_starts_after_recovery) \
  X(home_order_ignored) \
  X(ageing_forgotten) \
  X(claim_when_gates_close) \
  X(victims_only_idle) \
  X(child_checked_against_own_plan) \
  X(lease_memory_granted_at_once)
// clang-format on

enum class Planted : std::uint8_t {
#define X(name) name,
  BERTH_PLANTED(X)
#undef X
};

inline constexpr std::string_view kPlantedNames[] = {
#define X(name) #name,
    BERTH_PLANTED(X)
#undef X
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
