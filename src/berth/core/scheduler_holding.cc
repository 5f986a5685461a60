// SPDX-License-Identifier: Apache-2.0
// Jobs that do not wait, or no longer: what holding.h says becomes of them (design section 7).
#include <algorithm>

#include <fmt/format.h>

#include "berth/core/holding.h"
#include "berth/core/scheduler.h"

namespace berth::core {

/// It was put into its server's queue just now.
void Scheduler::meet_displacement(JobId id) {
  const Arrival arrival = meet(state_, id, now_);
  const ServerId asked = state_.jobs.at(id).asked;
  const Server& target = server(asked);
  switch (arrival.what) {
    case Arrival::What::waits:
      return;
    case Arrival::What::elsewhere:
      return send_to_fallback(id, arrival.server);
    case Arrival::What::refused:
      break;
  }
  const Error error{ErrorCode::displaced,
                    fmt::format("server \"{}\" gave its place to \"{}\" and comes back by itself; "
                                "try again later, or set server.{}.while_displaced to \"hold\"",
                                target.config.name, state_.displacer_name(target.displaced->by),
                                target.config.name)};
  emit(Announce{.reason = Reason::refused_displaced,
                .server = asked,
                .victims = {target.displaced->by},
                .job = id,
                .error = error});
  reject(id, error, return_estimate(state_, asked, now_));
}

void Scheduler::send_to_fallback(JobId id, ServerId fallback) {
  Job& job = state_.jobs.at(id);
  std::vector<Waiting>& from = server(job.server).queue;
  const auto place =
      std::find_if(from.begin(), from.end(), [id](const Waiting& each) { return each.id == id; });
  server(fallback).queue.push_back(*place);
  from.erase(place);
  job.server = fallback;
  emit(Announce{
      .reason = Reason::uses_fallback, .server = job.asked, .victims = {fallback}, .job = id});
}

/// All at once: a step for each would make a long queue look like a livelock.
bool Scheduler::refuse_held_too_long() {
  const std::vector<Waiting> late = held_too_long(state_, now_);
  for (const Waiting& job : late) {
    const ServerId id = state_.jobs.at(job.id).server;
    const Error error{
        ErrorCode::held_too_long,
        fmt::format("server \"{}\" could not take the request within max_hold ({}); `berth "
                    "explain` says why",
                    server(id).config.name, to_text(*job.hold_until - job.arrived))};
    emit(Announce{.reason = Reason::held_too_long, .server = id, .job = job.id, .error = error});
    reject(job.id, error);
  }
  return !late.empty();
}

}  // namespace berth::core
