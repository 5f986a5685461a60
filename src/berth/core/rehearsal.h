// SPDX-License-Identifier: Apache-2.0
// The scheduler run ahead: what would happen from now on if nothing went wrong.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "berth/core/scheduler.h"

namespace berth::core {

/// No rehearsal is longer than this unless its owner says so.
inline constexpr std::int64_t kRehearsalStepsMax = 10'000;

/// How long one server takes to come and to go.
struct MoveTimes {
  Duration up{0};
  Duration down{0};
};

/// Known times, which go before learned ones: how long a job runs, how long a server moves.
struct Pace {
  std::map<ServerId, MoveTimes> moves;
  std::map<JobId, Duration> services;
};

/// One event that a rehearsal gave to its scheduler, and the answer.
struct RehearsalStep {
  Instant at;
  Event event;
  std::vector<Action> actions;
};

/// Runs a copy of a scheduler forward under virtual time. Rows are written at once, a server comes
/// and goes within its learned times, a sample says that what is going is gone, a request runs for
/// the learned service time of its server, a hold or lease until its limit. What is under way in
/// the copy goes on. The original is not touched.
///
/// Threads: none of its own. Bounded by `steps_max`.
class Rehearsal {
 public:
  Rehearsal(Scheduler copy, Instant now, Pace pace = {},
            std::int64_t steps_max = kRehearsalStepsMax);

  /// Returns when the next event is due. Nothing: nothing is under way, or the steps are used up.
  [[nodiscard]] std::optional<Instant> next_at() const;
  /// Gives the next due event to the scheduler. There must be one.
  RehearsalStep step();
  /// Gives it an event from outside. `at` is neither before the last step nor behind `next_at()`.
  RehearsalStep feed(Instant at, Event event);
  /// A job that does not run yet will run for this long.
  void set_service(JobId job, Duration service) { pace_.services[job] = service; }

  [[nodiscard]] const State& state() const { return scheduler_.state(); }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  /// A time was needed that nobody has learned yet, so what comes out is a guess.
  [[nodiscard]] bool is_guess() const { return is_guess_; }

 private:
  void continue_moves();
  void continue_jobs();
  void push(Instant at, Event event);
  RehearsalStep give(Event event);
  void take(const Commit& action);
  void take(const MoveTo& action);
  void take(const Dispatch& action);
  void take(const Cancel& action);
  void take(const Measure& action);
  void take(const SetTimer& action);
  void take(const Reject&) {}
  void take(const Announce&) {}
  [[nodiscard]] bool sample_matters() const;
  [[nodiscard]] bool has_call(JobId job) const;
  Measured sample() const;
  Event next_event();
  Duration service_of(const Job& job);
  Instant move_ends(ServerId id);

  Scheduler scheduler_;
  Instant now_;
  Pace pace_;
  std::int64_t steps_max_;
  std::int64_t steps_ = 0;
  bool is_guess_ = false;
  std::map<std::pair<Instant, std::uint64_t>, Event> dues_;
  std::uint64_t order_ = 0;
  std::optional<SetTimer> wake_;  ///< the newest; older ones change nothing
  std::optional<EffectId> sample_;
  std::set<JobId> waits_for_call_;  ///< they end when their tool call has ended
};

}  // namespace berth::core
