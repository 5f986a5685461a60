// SPDX-License-Identifier: Apache-2.0
#include "berth/core/foretell.h"

#include <utility>
#include <vector>

#include "berth/core/predict.h"
#include "berth/core/rehearsal.h"

namespace berth::core {
namespace {

/// How the wait of `job` ends in these actions: true: it runs. Nothing: it waits on.
std::optional<bool> ends_wait(const std::vector<Action>& actions, JobId job) {
  for (const Action& action : actions) {
    const auto* dispatch = std::get_if<Dispatch>(&action);
    if (dispatch != nullptr && dispatch->job == job) return true;
    const auto* rejected = std::get_if<Reject>(&action);
    if (rejected != nullptr && rejected->job == job) return false;
  }
  return std::nullopt;
}

}  // namespace

Foretold foretell(Scheduler copy, Instant now, const JobArrived& request,
                  std::optional<Instant> until, std::int32_t steps) {
  Rehearsal rehearsal(std::move(copy), now, {}, steps);
  bool loads = false;  // when it has waited for as long as it may
  std::vector<Action> actions = rehearsal.feed(now, request).actions;
  while (true) {
    const std::optional<bool> runs = ends_wait(actions, request.job);
    if (runs == false) return {};
    if (runs == true) {
      const bool is_late = until && rehearsal.now() > *until && !loads && !rehearsal.is_guess();
      return {rehearsal.now() - now, rehearsal.is_guess(), is_late};
    }
    const auto at = rehearsal.next_at();
    if (!at || *at > now + kPredictionHorizon) return {};
    if (until && rehearsal.now() <= *until && *at > *until) {
      loads = rehearsal.state().server(request.server).state == ServerState::starting;
    }
    actions = rehearsal.step().actions;
  }
}

}  // namespace berth::core
