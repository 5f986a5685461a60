// SPDX-License-Identifier: Apache-2.0
// Jobs that do not wait, or no longer: what holding.h says becomes of them (design section 7).
#include <algorithm>

#include <fmt/format.h>

#include "berth/core/foreign.h"
#include "berth/core/foretell.h"
#include "berth/core/holding.h"
#include "berth/core/planner.h"
#include "berth/core/scheduler.h"

namespace berth::core {

/// Before it is queued. Each job before it takes two events at least: where those are more than a
/// copy may take, it would not get there.
Foretold Scheduler::foretell_arrival(const JobArrived& event) const {
  const Server& target = server(event.server);
  const std::int32_t steps = state_.config.policy.foretell_steps;
  const bool has_slot = static_cast<std::int32_t>(target.running.size()) < target.config.slots;
  const bool at_once = target.state == ServerState::ready && target.gate_open && has_slot;
  if (at_once && target.queue.empty()) return {};
  if (static_cast<std::int64_t>(state_.jobs.size()) * 2 >= steps) return {};
  Scheduler copy = *this;
  copy.state_.config.policy.foretell_steps = 0;
  ServerConfig& config = copy.server(event.server).config;
  config.max_hold.reset();
  if (config.while_displaced == WhileDisplaced::refuse)
    config.while_displaced = WhileDisplaced::hold;
  return foretell(std::move(copy), now_, event, hold_until(target.config, event, now_), steps);
}

void Scheduler::refuse_late(const JobArrived& event, Duration eta) {
  const ServerConfig& config = server(event.server).config;
  const Duration held = *hold_until(config, event, now_) - now_;
  const Error error{ErrorCode::not_in_time,
                    fmt::format("server \"{}\" can take the request in about {}, and it would be "
                                "held for {} (max_hold); try again then, or set "
                                "server.{}.max_hold",
                                config.name, to_text(eta), to_text(held), config.name)};
  emit(Announce{.reason = Reason::not_in_time,
                .server = event.server,
                .job = event.job,
                .error = error,
                .eta = eta});
  reject(event.job, error, eta);
}

/// It was put into its server's queue just now.
void Scheduler::meet_displacement(JobId id, const Foretold& foretold) {
  const Arrival arrival = meet(state_, id, now_);
  const ServerId asked = state_.jobs.at(id).asked;
  const Server& target = server(asked);
  if (arrival.what == Arrival::What::refused) {
    const Error error{ErrorCode::displaced,
                      fmt::format("server \"{}\" gave its place to \"{}\" and comes back by "
                                  "itself; try again later, or set server.{}.while_displaced to "
                                  "\"hold\"",
                                  target.config.name, state_.displacer_name(target.displaced->by),
                                  target.config.name)};
    emit(Announce{.reason = Reason::refused_displaced,
                  .server = asked,
                  .victims = {target.displaced->by},
                  .job = id,
                  .error = error,
                  .eta = foretold.eta,
                  .is_guess = foretold.is_guess});
    const bool known = foretold.eta && !foretold.is_guess;
    return reject(id, error, known ? *foretold.eta : return_estimate(state_, asked, now_));
  }
  if (arrival.what == Arrival::What::elsewhere) send_to_fallback(id, arrival.server);
  if (foretold.eta.value_or(Duration{0}) == Duration{0}) return;
  emit(Announce{.reason = Reason::foretold,
                .server = state_.jobs.at(id).server,
                .job = id,
                .eta = foretold.eta,
                .is_guess = foretold.is_guess});
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

/// What a request is told that waited for too long, and who holds its memory, where others do.
Announce Scheduler::why_too_long(const Waiting& job) const {
  const ServerId id = state_.jobs.at(job.id).server;
  Announce announce{.reason = Reason::held_too_long, .server = id, .job = job.id};
  const std::string waited =
      fmt::format("server \"{}\" could not take the request within max_hold ({})",
                  server(id).config.name, to_text(*job.hold_until - job.arrived));
  const bool absent = server(id).state == ServerState::absent && !in_a_claim(state_, id);
  const auto foreign = absent ? foreign_in_the_way(state_, id, now_) : std::nullopt;
  if (foreign) {
    announce.holders = others_in(state_, foreign->pool);
    announce.error = Error{ErrorCode::memory_not_released,
                           fmt::format("{}: {}; stop such a program, or ask for a smaller model",
                                       waited, foreign_text(state_, foreign->pool))};
  } else {
    announce.error =
        Error{ErrorCode::held_too_long, fmt::format("{}; `berth explain` says why", waited)};
  }
  return announce;
}

/// All at once: a step for each would make a long queue look like a livelock.
bool Scheduler::refuse_held_too_long() {
  const std::vector<Waiting> late = held_too_long(state_, now_);
  for (const Waiting& job : late) {
    Announce announce = why_too_long(job);
    const Error error = *announce.error;
    emit(std::move(announce));
    reject(job.id, error);
  }
  return !late.empty();
}

}  // namespace berth::core
