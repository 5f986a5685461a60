// SPDX-License-Identifier: Apache-2.0
#include "berth/core/offload_question.h"

#include <set>

#include "berth/core/planner.h"
#include "berth/core/predict.h"
#include "berth/core/rehearsal.h"

namespace berth::core {
namespace {

bool is_resident(const Server& server) {
  return server.state == ServerState::ready || server.state == ServerState::starting;
}

/// Who is displaced by `newcomer` in `state`, of those that were in memory in `before`.
void add_victims(const State& before, const State& state, ServerId newcomer,
                 std::set<ServerId>& victims) {
  for (std::uint32_t i = 0; i < before.config.servers.size(); ++i) {
    const auto& displaced = state.servers[i].displaced;
    const bool left = displaced && displaced->by == newcomer;
    if (left && is_resident(before.servers[i])) victims.insert(ServerId{i});
  }
}

/// Returns true once the request runs or is refused.
bool note_end(const std::vector<Action>& actions, JobId job, OffloadAnswer& answer) {
  for (const Action& action : actions) {
    const auto* dispatch = std::get_if<Dispatch>(&action);
    if (dispatch != nullptr && dispatch->job == job) answer.runs = true;
    const auto* rejected = std::get_if<Reject>(&action);
    if (rejected != nullptr && rejected->job == job) answer.refused = rejected->error;
  }
  return answer.runs || answer.refused;
}

}  // namespace

OffloadAnswer would_need_offload(const Scheduler& scheduler, Instant now,
                                 const JobArrived& request) {
  const State& before = scheduler.state();
  Rehearsal rehearsal(scheduler, now, {}, kQuestionSteps);
  OffloadAnswer answer;
  std::set<ServerId> victims;
  bool over = note_end(rehearsal.feed(now, request).actions, request.job, answer);
  add_victims(before, rehearsal.state(), request.server, victims);
  while (!over) {
    const std::optional<Instant> at = rehearsal.next_at();
    if (!at || *at > now + kPredictionHorizon) break;
    over = note_end(rehearsal.step().actions, request.job, answer);
    add_victims(before, rehearsal.state(), request.server, victims);
  }
  answer.victims.assign(victims.begin(), victims.end());
  if (!answer.runs) answer.stays = keeper_of_place(before, request.server, request.job_class, now);
  return answer;
}

}  // namespace berth::core
