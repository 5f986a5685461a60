// SPDX-License-Identifier: Apache-2.0
// The invariants of design section 13 that the core's inputs and outputs can show. They are written
// from the promises, not from the scheduler: where both do a sum, they do it apart.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "berth/core/actions.h"
#include "berth/core/events.h"
#include "berth/core/state.h"
#include "berth/sim/ground.h"

namespace berth::sim {

/// Looks at every step of one world. `what` of a violation starts with the invariant's name, as
/// reliability.md numbers it.
class Checks {
 public:
  explicit Checks(const Ground& ground);

  /// Before the core gets `event`. `state` is its state now; null before the first event.
  void before(const core::State* state, const core::Event& event);
  /// After it answered with `actions`, none of them carried out. Returns what is broken.
  std::optional<std::string> after(const core::State& state, const core::Event& event,
                                   const std::vector<core::Action>& actions);
  /// Berth was killed: what it had not written down is forgotten, also here.
  void host_died();
  /// Something waits and nothing will happen: called when no event of the core is on its way.
  [[nodiscard]] std::optional<std::string> stranded(const core::State& state) const;
  /// Once everything has come to rest.
  [[nodiscard]] std::optional<std::string> at_rest(const core::State& state) const;

 private:
  static constexpr std::size_t kClasses = 4;

  struct Shadow {
    core::ServerState state = core::ServerState::absent;
    bool off = false;          ///< the user's word
    bool debt = false;         ///< it was put out for a rival and is owed its return
    bool skip = false;         ///< the user waived the next return
    bool cleared = false;      ///< the user waived this return
    bool unwritten = false;    ///< its newest row failed, and that was said
    bool starts_free = true;   ///< no start has failed since the user or a success
    bool appeared = false;     ///< it came up by itself and is still there
    std::int32_t put_out = 0;  ///< for that, in this turn
    std::int32_t failures = 0;
    std::optional<Instant> failed_at;
    std::optional<Instant> closed_at;       ///< its gate
    std::optional<Instant> unserved_since;  ///< somebody waits since then
    std::array<Duration, kClasses> bounds{};
  };

  void broken(std::string what);
  void check(const core::State& state, const core::Event& event, const core::Commit& action);
  void check(const core::State& state, const core::Event& event, const core::MoveTo& action);
  void check(const core::State& state, const core::Event& event, const core::Dispatch& action);
  void check(const core::State& state, const core::Event& event, const core::Cancel& action);
  void check(const core::State& state, const core::Event& event, const core::Reject& action);
  void check(const core::State& state, const core::Event& event, const core::Announce& action);
  template <class Action>
  void check(const core::State&, const core::Event&, const Action&) {}
  void check_start(const core::State& state, const core::MoveTo& move);
  void check_room(const core::State& state, const core::Claim& claim);
  void check_barrier(const core::State& state, const core::Claim& claim);
  void check_stop(const core::State& state, const core::Event& event, const core::MoveTo& move);
  void check_lease(const core::State& state, const core::Dispatch& action);
  void check_hold(const core::State& state, const core::Dispatch& action);
  [[nodiscard]] bool is_held(ServerId server) const;
  void check_intruder(const core::State& state, const core::MoveTo& move);
  void check_victim(const core::State& state, const core::Claim& claim, const core::MoveTo& move);
  void check_states(const core::State& state, const core::Event& event);
  void check_ledger(const core::State& state);
  void check_debts(const core::State& state);
  void check_calls(const core::State& state);
  void check_raised(const core::State& state);
  [[nodiscard]] bool served(ServerId id) const;
  void check_holds(const core::State& state);
  void check_refusal(const core::State& state, const core::Event& event,
                     const core::Reject& action);
  void check_fallback(const core::State& state, const core::Announce& action);
  void compute_bounds(const core::State& state);
  void check_bound(const core::State& state);
  void note_user(const core::State& state, const core::UserAsked& event);
  [[nodiscard]] const std::string& name(ServerId id) const {
    return ground_.is_place(id) ? place_ : ground_.world->config.servers[id.value].name;
  }

  const Ground& ground_;
  const std::string place_ = "the place of a lease or hold";
  std::map<JobId, const Stream*> holds_;  ///< that were granted
  std::vector<Shadow> shadows_;
  std::optional<std::string> broken_;
  bool bounds_known_ = false;
  bool bound_;                                                   ///< is there one in this world
  std::vector<ServerId> placed_;                                 ///< started by this step, in order
  std::optional<std::pair<ServerId, core::Footprint>> starved_;  ///< as it was before this step
};

}  // namespace berth::sim
