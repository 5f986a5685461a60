// SPDX-License-Identifier: Apache-2.0
// Points that must be reached now and then: a simulator that never gets there proves nothing there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace berth::sim {

// clang-format off
#define BERTH_PROBES(X) \
  X(fits) X(offload) X(oversize) X(impossible) X(waits_for_turn) X(gate_closed) X(claim_fell) \
  X(drain_limit) X(room_seen) X(room_seen_oversize) X(room_not_seen) X(ready) X(restored) \
  X(comes_back) X(start_failed) X(stop_failed) X(exited) X(stopped_by_user) X(started_by_user) \
  X(saved_state_cleared) X(commit_failed) X(recovered_adopted) X(recovered_never_stopped) \
  X(recovered_stopping) X(waits_for_itself) X(needs_more) X(appeared) X(put_out_again) \
  X(refused_displaced) X(uses_fallback) X(held_too_long) X(foretold) X(not_in_time) X(learned) \
  X(queue_full) X(rejected_in_back_off) X(two_claims) X(three_victims) \
  X(return_puts_somebody_out) X(memory_stuck) X(swept) X(start_given_up) X(stale_event) \
  X(user_start_while_displaced) X(user_stop_while_displaced) X(clear_while_displaced) \
  X(clear_while_not_displaced) X(crash_draining) X(crash_stopping) X(crash_in_barrier) \
  X(crash_starting) X(crash_amid_actions) X(crash_right_after_recovery) \
  X(commit_lost_in_crash) X(left_while_queued) X(left_while_running) X(left_while_draining) \
  X(unkillable_died_at_last) X(foreign_blocks) X(tool_call) X(bound_checked) \
  X(picture_while_llm_starts) X(freed) X(freed_then_stopped) X(fallback_is_loaded) \
  X(lease_granted) X(hold_granted) X(exclusive_hold_granted) X(revoked) \
  X(hold_kept)
// clang-format on

enum class Probe : std::uint8_t {
#define X(name) name,
  BERTH_PROBES(X)
#undef X
      count
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(Probe::count)> kProbeNames{
#define X(name) #name,
    BERTH_PROBES(X)
#undef X
};

using ProbeCounts = std::array<std::uint64_t, static_cast<std::size_t>(Probe::count)>;

}  // namespace berth::sim
