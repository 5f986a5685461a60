// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <variant>

#include "berth/core/rehearsal.h"
#include "berth/sim/policies.h"

namespace berth::sim {
namespace {

class BerthRun {
 public:
  explicit BerthRun(const Workload& workload)
      : workload_(workload),
        clients_(workload),
        record_(workload),
        rehearsal_(fresh(), Instant{}, pace(), kRunStepsMax) {}

  Summary run();

 private:
  [[nodiscard]] core::Scheduler fresh() const {
    core::Scheduler scheduler;
    scheduler.apply(Instant{}, core::Recovered{.config = workload_.config});
    return scheduler;
  }
  [[nodiscard]] core::Pace pace() const {
    core::Pace pace;
    for (std::uint32_t i = 0; i < workload_.moves.size(); ++i)
      pace.moves[ServerId{i}] = workload_.moves[i];
    return pace;
  }
  void ask();
  void note(const core::RehearsalStep& step);
  void on(const core::MoveTo& action, Duration at);
  template <class Action>
  void on(const Action&, Duration) {}
  void on(const core::Dispatch& action, Duration at) {
    record_.started(action.job, action.server, at);
  }
  void on(const core::Reject& action, Duration at) {
    record_.refused(action.job);
    clients_.over(action.job, at);
    open_ -= 1;
  }
  void arrived_at_rung(const core::EffectEnded& ended, Duration at);

  const Workload& workload_;
  Clients clients_;
  Record record_;
  core::Rehearsal rehearsal_;
  std::map<EffectId, core::MoveTo> moves_;
  std::int64_t open_ = 0;  ///< jobs that are not over
};

void BerthRun::ask() {
  const Clients::Request request = clients_.take();
  record_.arrived(request.job, request.at, request.task.job_class);
  rehearsal_.set_service(request.job, request.task.service);
  open_ += 1;
  note(rehearsal_.feed(Instant{request.at}, core::JobArrived{.job = request.job,
                                                             .server = request.task.server,
                                                             .job_class = request.task.job_class,
                                                             .client = "simulated"}));
}

void BerthRun::on(const core::MoveTo& action, Duration at) {
  moves_[action.effect] = action;
  if (action.rung == core::Rung::resident) {
    record_.loading(action.server, at);
  } else {
    record_.stopping(action.server, at);
  }
}

void BerthRun::arrived_at_rung(const core::EffectEnded& ended, Duration at) {
  const auto found = moves_.find(ended.effect);
  if (found == moves_.end()) return;
  if (found->second.rung == core::Rung::resident) {
    record_.ready(found->second.server, at);
  } else {
    record_.gone(found->second.server, at);
  }
  moves_.erase(found);
}

void BerthRun::note(const core::RehearsalStep& step) {
  const Duration at = step.at.since_start;
  if (const auto* ended = std::get_if<core::EffectEnded>(&step.event)) arrived_at_rung(*ended, at);
  if (const auto* ended = std::get_if<core::JobEnded>(&step.event)) {
    record_.ended(ended->job, at);
    clients_.over(ended->job, at);
    open_ -= 1;
  }
  for (const core::Action& action : step.actions)
    std::visit([&](const auto& a) { on(a, at); }, action);
}

Summary BerthRun::run() {
  while (true) {
    const auto asks = clients_.next_at();
    const auto due = rehearsal_.next_at();
    if (open_ == 0 && !asks) break;
    const bool steps_left = rehearsal_.steps() < kRunStepsMax;
    if (!steps_left || (!asks && !due)) break;
    if (due && (!asks || due->since_start <= *asks)) {
      note(rehearsal_.step());
    } else {
      ask();
    }
  }
  Summary summary = record_.sum("berth");
  summary.is_cut = rehearsal_.steps() >= kRunStepsMax;
  return summary;
}

}  // namespace

Summary run_berth(const Workload& workload) {
  return BerthRun(workload).run();
}

}  // namespace berth::sim
