// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <utility>
#include <variant>

#include "berth/core/rehearsal.h"
#include "berth/core/turns.h"
#include "berth/sim/policies.h"

namespace berth::sim {
namespace {

/// The bound of each request as Berth would print it for this workload: jobs are limited by the
/// longest of their server, S is what is believed of the real one. Where S is believed too short,
/// the bound grows by as much.
class Bounds {
 public:
  explicit Bounds(const Workload& workload)
      : percent_(std::min(workload.config.policy.swap_percent, 100)) {
    core::Scheduler scheduler;
    scheduler.apply(Instant{}, core::Recovered{.config = workload.config});
    state_ = scheduler.state();
    for (core::Server& server : state_.servers)
      server.config.drain_limit = server.config.job_limit = Duration{0};
    for (const OpenTask& each : workload.open)
      limit(each.task);
    for (const Loop& loop : workload.loops) {
      for (const Loop::Turn& turn : loop.turns)
        limit(turn.task);
    }
    Duration down{0};
    for (const core::MoveTimes& moves : workload.moves)
      down = std::max(down, moves.down);
    for (std::size_t i = 0; i < workload.moves.size(); ++i)
      state_.servers[i].swap =
          (workload.moves[i].up + down) / 100 * workload.config.policy.swap_percent;
  }

  void arrived(JobId job, const Task& task, std::size_t before) {
    const core::Bound bound = core::bound_of(state_, task.server, task.job_class, before);
    if (bound.within) bounds_[job] = *bound.within / percent_ * 100;
  }
  void started(JobId job, Duration waited, Summary& summary) {
    const auto bound = bounds_.find(job);
    if (bound == bounds_.end()) return;
    const auto share =
        static_cast<double>(waited.count()) / static_cast<double>(bound->second.count());
    summary.of_bound = std::max(summary.of_bound.value_or(0), share);
    if (waited > bound->second) summary.beyond_bound += 1;
  }

 private:
  void limit(const Task& task) {
    core::ServerConfig& config = state_.server(task.server).config;
    config.job_limit = config.drain_limit = std::max(*config.job_limit, task.service);
  }

  core::State state_;
  std::int32_t percent_;
  std::map<JobId, Duration> bounds_;
};

class BerthRun {
 public:
  explicit BerthRun(const Workload& workload)
      : workload_(workload),
        clients_(workload),
        bounds_(workload),
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
    bounds_.started(action.job, at - arrived_.at(action.job), sums_);
  }
  void on(const core::Reject& action, Duration at) {
    record_.refused(action.job);
    clients_.over(action.job, at);
    open_ -= 1;
  }
  void arrived_at_rung(const core::EffectEnded& ended, Duration at);

  const Workload& workload_;
  Clients clients_;
  Bounds bounds_;
  std::map<JobId, Duration> arrived_;
  Summary sums_;  ///< of the bound only
  Record record_;
  core::Rehearsal rehearsal_;
  std::map<EffectId, core::MoveTo> moves_;
  std::int64_t open_ = 0;  ///< jobs that are not over
};

void BerthRun::ask() {
  const Clients::Request request = clients_.take();
  record_.arrived(request.job, request.at, request.task.job_class);
  rehearsal_.set_service(request.job, request.task.service);
  arrived_[request.job] = request.at;
  bounds_.arrived(request.job, request.task,
                  rehearsal_.state().server(request.task.server).queue.size());
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
  summary.beyond_bound = sums_.beyond_bound;
  summary.of_bound = sums_.of_bound;
  summary.is_cut = rehearsal_.steps() >= kRunStepsMax;
  return summary;
}

}  // namespace

Summary run_berth(const Workload& workload) {
  return BerthRun(workload).run();
}

}  // namespace berth::sim
