// SPDX-License-Identifier: Apache-2.0
#include "berth/sim/simulator.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/base/assert.h"
#include "berth/sim/trace.h"

namespace berth::sim {
namespace {

using core::ServerState;

/// More events than this after the faults have stopped is a livelock.
constexpr std::int64_t kRestEventsMax = 40'000;
constexpr Duration kProbeDeadline = 5s;

}  // namespace

Simulator::Simulator(World world, ProbeCounts& probes,
                     std::function<void(const std::string&)> trace)
    : world_(std::move(world)),
      probes_(probes),
      trace_(std::move(trace)),
      rng_(world_.seed ^ 0x5eed),
      ground_(world_),
      checks_(ground_),
      moves_(world_.config.servers.size()),
      disk_free_(world_.config.servers.size()) {}

Simulator::~Simulator() = default;

Outcome Simulator::run() {
  for (std::uint32_t i = 0; i < world_.streams.size(); ++i) {
    const Duration first = rng_.between(Duration{0}, world_.streams[i].pause);
    push(first, {.kind = Kind::arrival, .stream = i});
  }
  if (world_.faults.user > 0) push(10s, {.kind = Kind::user});
  if (world_.faults.stale > 0) push(1s, {.kind = Kind::stale});
  if (world_.faults.foreign > 0) push(5s, {.kind = Kind::foreign});
  recover();
  std::int64_t rest = 0;
  while (!violation_ && !dues_.empty()) {
    if (!calm_ && events_ >= world_.events_max) calm_down();
    if (calm_ && ++rest > kRestEventsMax) {
      violation_ = "liveness: it does not come to rest";
      break;
    }
    const Due due = dues_.top();
    dues_.pop();
    ground_.now = std::max(ground_.now, due.at);
    if (is_for_core(due.kind) && due.life == life_) core_dues_ -= 1;
    happen(due);
    if (!violation_ && core_ && core_dues_ == 0) violation_ = checks_.stranded(core_->state());
  }
  if (!violation_ && core_) violation_ = checks_.at_rest(core_->state());
  return {violation_, events_, puts_out_};
}

void Simulator::push(Duration in, Due due) {
  due.at = ground_.now + in;
  due.order = ++order_;
  due.life = life_;
  if (is_for_core(due.kind)) core_dues_ += 1;
  dues_.push(std::move(due));
}

bool Simulator::is_for_core(Kind kind) {
  switch (kind) {
    case Kind::commit_done:
    case Kind::up_done:
    case Kind::down_done:
    case Kind::sample_told:
    case Kind::timer:
    case Kind::work_done:
    case Kind::exit_told:
    case Kind::deaf_told:
    case Kind::appear_told:
    case Kind::call:
      return true;
    case Kind::stale:
    case Kind::arrival:
    case Kind::leaves:
    case Kind::memory_back:
    case Kind::dies:
    case Kind::appears:
    case Kind::user:
    case Kind::foreign:
    case Kind::recover:
      return false;
  }
  return false;
}

/// What happens in the world; the core hears of it only if the Berth that asked still lives.
void Simulator::happen(const Due& due) {
  const bool heard = core_ && due.life == life_;
  switch (due.kind) {
    case Kind::commit_done:
      if (heard) written(due);
      return;
    case Kind::up_done:
      return came_up(due);
    case Kind::down_done:
      return went_down(due);
    case Kind::sample_told:
      if (!heard) return;
      if (!due.sample->error) {
        ground_.sample = *due.sample;
        ground_.sampled_at = due.taken_at;
      }
      return feed(*due.sample);
    case Kind::timer:
      if (heard) feed(core::TimerFired{due.timer});
      return;
    case Kind::work_done:
      if (heard) work_ended(due);
      return;
    case Kind::exit_told:
    case Kind::deaf_told:
      if (!heard) return;
      return feed(core::ServerChanged{due.server, due.generation,
                                      due.kind == Kind::deaf_told
                                          ? core::ServerChanged::Fact::unresponsive
                                      : due.bad ? core::ServerChanged::Fact::out_of_memory
                                                : core::ServerChanged::Fact::exited,
                                      "simulated"});
    case Kind::stale:
      if (calm_) return;
      if (core_) feed_stale();
      return push(rng_.between(Duration{10ms}, Duration{20s}), {.kind = Kind::stale});
    case Kind::arrival:
      return arrive(due);
    case Kind::leaves:
      if (heard) leave(due);
      return;
    case Kind::call:
      if (heard) call_tool(due);
      return;
    case Kind::memory_back:
      return gave_back(due);
    case Kind::dies:
      return died(due);
    case Kind::appears:
      return appears(due);
    case Kind::appear_told:
      if (heard) appeared(due);
      return;
    case Kind::user:
      if (calm_) return;
      if (core_) user_acts();
      return push(rng_.between(Duration{100ms}, Duration{60s}), {.kind = Kind::user});
    case Kind::foreign:
      if (calm_) return;
      change_foreign();
      return push(rng_.between(Duration{100ms}, Duration{60s}), {.kind = Kind::foreign});
    case Kind::recover:
      return recover();
  }
}

void Simulator::written(const Due& due) {
  if (!due.bad) ground_.rows[due.server.value] = *due.row;
  core::EffectResult result;
  if (due.bad) result.error = Error{ErrorCode::disk_full, "the disk is full"};
  feed(core::EffectEnded{due.effect, result});
}

void Simulator::gave_back(const Due& due) {
  Process* process = ground_.find(due.server, due.generation);
  const bool loaded_again = process != nullptr && process->alive && !process->freed;
  if (process == nullptr || loaded_again) return;
  for (core::PoolShare& share : process->bytes.shares) {
    const bool freed = process->freed;
    const Bytes keep =
        freed ? world_.config.servers[due.server.value].freed->in(share.pool) : due.bytes;
    share.bytes = std::min(share.bytes, keep);
  }
  ground_.bury();
}

void Simulator::appeared(const Due& due) {
  Process* process = ground_.find(due.server, due.generation);
  if (process == nullptr || !process->alive || process->freed) return;
  process->ready = true;
  feed(core::ServerChanged{due.server, due.generation, core::ServerChanged::Fact::appeared,
                           "simulated"});
}

/// A ready server ends, or stops to answer, by itself.
void Simulator::died(const Due& due) {
  Process* process = ground_.find(due.server, due.generation);
  if (process == nullptr || !process->alive || !(process->ready || process->freed)) return;
  const bool moving = core_ && core_->state().server(due.server).move.has_value();
  if (due.bad && core_ && !moving) {
    return push(1ms, {.kind = Kind::deaf_told, .server = due.server, .generation = due.generation});
  }
  const bool was_deaf = std::exchange(process->deaf, false);
  end_process(*process);
  if (was_deaf) hit(Probe::unkillable_died_at_last);
  if (!moving) {
    const Duration in = rng_.between(Duration{0}, Duration{5ms});
    const bool out_of_memory = chance(world_.faults.out_of_memory);
    push(in, {.kind = Kind::exit_told,
              .server = due.server,
              .generation = due.generation,
              .bad = out_of_memory});
  }
}

void Simulator::feed(const core::Event& event) {
  if (violation_) return;
  events_ += 1;
  probe_event(event);
  if (trace_) trace_(to_text(ground_.now, event));
  checks_.before(std::holds_alternative<core::Recovered>(event) ? nullptr : &core_->state(), event);
  const std::vector<core::Action> actions = core_->apply(ground_.now, event);
  if (trace_) {
    for (const core::Action& action : actions)
      trace_("    " + to_text(action));
    trace_(to_text(core_->state()));
  }
  violation_ = checks_.after(core_->state(), event, actions);
  probe_state();
  if (violation_) return;
  std::size_t carried_out = actions.size();
  const bool dies = chance(world_.faults.host_crash);
  if (dies) {
    carried_out = rng_.below(actions.size() + 1);
    if (carried_out > 0 && carried_out < actions.size()) hit(Probe::crash_amid_actions);
    if (std::holds_alternative<core::Recovered>(event)) hit(Probe::crash_right_after_recovery);
  }
  const std::uint64_t life = life_;
  for (std::size_t i = 0; i < carried_out && life == life_ && !violation_; ++i)
    std::visit([this](const auto& a) { take(a); }, actions[i]);
  if (dies && life == life_) crash();
}

// ---- Actions ------------------------------------------------------------------------------------

void Simulator::take(const core::Commit& action) {
  const ServerId server = action.row.server;
  Instant& free = disk_free_[server.value];
  free = std::max(free, ground_.now) + rng_.between(Duration{1ms}, Duration{20ms});
  push(free - ground_.now, {.kind = Kind::commit_done,
                            .server = server,
                            .effect = action.effect,
                            .bad = chance(world_.faults.commit_fails),
                            .row = std::make_shared<core::Row>(action.row)});
}

void Simulator::take(const core::MoveTo& action) {
  EffectId& newest = moves_[action.server.value];
  if (newest.value != 0) past_effects_.push_back(newest);
  newest = action.effect;
  if (action.rung == core::Rung::resident) {
    go_up(action);
  } else {
    go_down(action);
  }
}

void Simulator::take(const core::Dispatch& action) {
  JobTruth& job = ground_.jobs.at(action.job);
  job.state = JobTruth::State::running;
  job.generation = action.generation;
  if (ground_.is_place(action.server)) return granted(action);
  const Process* process = ground_.find(action.server, action.generation);
  if (process == nullptr || !process->alive) {  // its exit is on the way to the core
    return push(1ms, {.kind = Kind::work_done, .job = action.job, .how = core::JobEnd::failed});
  }
  const Duration longest = world_.traits[action.server.value].work;
  const core::JobEnd how = rng_.chance(50) ? core::JobEnd::failed : core::JobEnd::done;
  const bool chat = world_.config.servers[action.server.value].job_class == core::ServerClass::chat;
  if (chat && chance(world_.faults.tool_calls)) {  // it ends when its call has been answered
    job.call = JobId{++last_job_};
    return push(rng_.between(Duration{1ms}, longest),
                {.kind = Kind::call, .generation = action.generation, .job = action.job});
  }
  push(rng_.between(Duration{1ms}, longest),
       {.kind = Kind::work_done, .job = action.job, .how = how});
}

/// A lease's holder loads something, and now and then stays too long; a hold just lasts.
void Simulator::granted(const core::Dispatch& action) {
  JobTruth& job = ground_.jobs.at(action.job);
  job.server = action.server;
  const Stream& stream = world_.streams[job.stream];
  if (job.kind == core::JobKind::lease) {
    Process process{.server = action.server, .generation = action.generation};
    process.bytes = stream.need;
    const std::int64_t per_cent = rng_.between(20, 100);
    for (core::PoolShare& share : process.bytes.shares)
      share.bytes = Bytes{share.bytes.count / 100 * per_cent};
    ground_.processes.push_back(std::move(process));
    hit(Probe::lease_granted);
  } else {
    hit(stream.exclusive ? Probe::exclusive_hold_granted : Probe::hold_granted);
  }
  push(rng_.between(Duration{1ms}, stream.limit / 2 * 3),
       {.kind = Kind::work_done, .job = action.job});
}

void Simulator::take(const core::Cancel& action) {
  if (action.reason == core::CancelReason::limit_reached) hit(Probe::revoked);
  const bool slow = chance(world_.faults.cancel_slow);
  const Duration longest = slow ? Duration{20s} : Duration{50ms};
  push(rng_.between(Duration{0}, longest),
       {.kind = Kind::work_done,
        .job = action.job,
        .how = action.reason == core::CancelReason::drain_limit ? core::JobEnd::cut
                                                                : core::JobEnd::cancelled});
}

void Simulator::take(const core::Measure& action) {
  Due due{.kind = Kind::sample_told, .effect = action.effect, .taken_at = ground_.now};
  due.sample = std::make_shared<core::Measured>(ground_.measure(action.effect));
  Duration takes = rng_.between(Duration{200us}, Duration{2ms});
  if (chance(world_.faults.sample_lost)) {
    takes = kProbeDeadline;
    due.sample = std::make_shared<core::Measured>();
    due.sample->effect = action.effect;
    due.sample->error = Error{ErrorCode::deadline, "the probe is stuck"};
  } else if (chance(world_.faults.sample_late)) {
    takes = rng_.between(Duration{10ms}, Duration{1s});
  }
  push(takes, std::move(due));
}

void Simulator::take(const core::SetTimer& action) {
  const Duration late = rng_.between(Duration{0}, Duration{1ms});
  push(std::max(action.at - ground_.now, Duration{0}) + late,
       {.kind = Kind::timer, .timer = action.timer});
}

void Simulator::take(const core::Reject& action) {
  if (action.error.code == ErrorCode::queue_full) hit(Probe::queue_full);
  if (action.retry_after && action.error.code == ErrorCode::start_failed) {
    hit(Probe::rejected_in_back_off);
  }
  finish(action.job);
}

void Simulator::take(const core::Announce& action) {
  hit(static_cast<Probe>(action.reason));  // the probes begin with the reasons, in their order
  if (action.reason == core::Reason::offload) puts_out_ += action.victims.size();
  if (action.victims.size() >= 3) hit(Probe::three_victims);
  if (action.reason == core::Reason::comes_back && !action.victims.empty()) {
    hit(Probe::return_puts_somebody_out);
  }
  if (action.reason == core::Reason::uses_fallback) {
    const ServerId fallback = action.victims.front();
    ground_.jobs.at(*action.job).server = fallback;
    if (core_->state().server(fallback).state != ServerState::ready) hit(Probe::fallback_is_loaded);
  }
}

// ---- Clients, user, others ----------------------------------------------------------------------

void Simulator::arrive(const Due& due) {
  const Stream& stream = world_.streams[due.stream];
  if (calm_) return;
  const std::int64_t count = stream.size;
  for (std::int64_t i = 0; i < count && core_ && !violation_; ++i) {
    const JobId id{++last_job_};
    ground_.jobs.emplace(id, JobTruth{.server = stream.server,
                                      .job_class = stream.job_class,
                                      .kind = stream.kind,
                                      .stream = due.stream});
    const bool kept_alive = stream.kind == core::JobKind::request && promise_answer(id);
    if (chance(world_.faults.client_leaves)) {
      push(rng_.between(Duration{1ms}, Duration{30s}), {.kind = Kind::leaves, .job = id});
    }
    core::JobArrived event = arrival_of(id, ground_.jobs.at(id));
    event.kept_alive = kept_alive;
    feed(event);
  }
  const bool render = stream.pattern == Stream::Pattern::overnight;
  push(render ? stream.pause : rng_.between(Duration{1ms}, 2 * stream.pause),
       {.kind = Kind::arrival, .stream = due.stream});
}

core::JobArrived Simulator::arrival_of(JobId id, const JobTruth& job) const {
  const Stream& stream = world_.streams[job.stream];
  core::JobArrived event{.job = id,
                         .kind = stream.kind,
                         .server = stream.server,
                         .job_class = stream.job_class,
                         .client = "sim"};
  if (stream.kind != core::JobKind::request) event.limit = stream.limit;
  if (stream.kind == core::JobKind::lease) event.need = stream.need;
  event.servers = stream.servers;
  event.exclusive = stream.exclusive;
  return event;
}

/// Returns whether its client gets signs of life, and so waits for longer.
bool Simulator::promise_answer(JobId id) {
  JobTruth& job = ground_.jobs.at(id);
  const std::optional<Duration> hold = world_.config.servers[job.server.value].max_hold;
  if (!hold) return false;
  const bool kept_alive = rng_.chance(200);
  job.hold_until = ground_.now + (kept_alive ? std::max<Duration>(*hold, 10min) : *hold);
  return kept_alive;
}

void Simulator::leave(const Due& due) {
  const auto found = ground_.jobs.find(due.job);
  if (found == ground_.jobs.end() || found->second.state == JobTruth::State::over) return;
  if (found->second.state == JobTruth::State::queued) {
    hit(Probe::left_while_queued);
    finish(due.job);
  } else {
    const core::Server& server = core_->state().server(found->second.server);
    hit(server.gate_open ? Probe::left_while_running : Probe::left_while_draining);
  }
  feed(core::JobWithdrawn{due.job});
}

void Simulator::work_ended(const Due& due) {
  const auto found = ground_.jobs.find(due.job);
  if (found == ground_.jobs.end() || found->second.state != JobTruth::State::running) return;
  const bool lease = found->second.kind == core::JobKind::lease;
  const ServerId place = found->second.server;
  const Generation generation = found->second.generation;
  finish(due.job);
  if (lease) end_process(*ground_.find(place, generation));  // what it holds may outlive it
  feed(core::JobEnded{due.job, due.how});
}

void Simulator::finish(JobId id) {
  const std::optional<JobId> parent = ground_.jobs.at(id).parent;
  ground_.jobs.erase(id);
  if (!parent || !ground_.jobs.contains(*parent)) return;
  push(rng_.between(Duration{1ms}, Duration{500ms}), {.kind = Kind::work_done, .job = *parent});
}

/// A running chat asks another server, or its own, and waits for the answer.
void Simulator::call_tool(const Due& due) {
  const auto parent = ground_.jobs.find(due.job);
  if (parent == ground_.jobs.end() || parent->second.state != JobTruth::State::running) return;
  const JobId id = *parent->second.call;
  const ServerId server{static_cast<std::uint32_t>(rng_.below(world_.config.servers.size()))};
  const core::ServerClass job_class = world_.config.servers[server.value].job_class;
  hit(Probe::tool_call);
  ground_.jobs.emplace(id, JobTruth{.server = server, .job_class = job_class, .parent = due.job});
  const bool kept_alive = promise_answer(id);
  feed(core::JobArrived{.job = id,
                        .server = server,
                        .job_class = job_class,
                        .client = "sim",
                        .parent = due.job,
                        .kept_alive = kept_alive});
}

void Simulator::change_foreign() {
  const std::uint64_t pool = rng_.below(ground_.foreign.size());
  if (world_.config.pools[pool].kind == core::PoolKind::capped) return;
  const std::int64_t capacity = world_.config.pools[pool].capacity.count;
  ground_.foreign[pool] = rng_.chance(500) ? Bytes{0} : Bytes{rng_.between(0, capacity / 2)};
}

void Simulator::user_acts() {
  const core::State& state = core_->state();
  const ServerId server{static_cast<std::uint32_t>(rng_.below(state.config.servers.size()))};
  core::UserAsked asked{static_cast<core::UserAsked::What>(rng_.below(6)), server};
  if (asked.what == core::UserAsked::What::forget) {
    asked.footprint = world_.config.servers[server.value].footprint;
  }
  feed(asked);
}

/// News of a past generation, an effect that has ended, a job that is over, a timer of long ago.
void Simulator::feed_stale() {
  hit(Probe::stale_event);
  const ServerId id{static_cast<std::uint32_t>(rng_.below(world_.config.servers.size()))};
  const core::Server& server = core_->state().server(id);
  switch (rng_.below(5)) {
    case 0:
      if (server.generation.value < 1) return;
      return feed(core::ServerChanged{id, Generation{server.generation.value - 1},
                                      core::ServerChanged::Fact::exited, "of long ago"});
    case 1:
      if (past_effects_.empty()) return;
      return feed(core::EffectEnded{past_effects_[rng_.below(past_effects_.size())], {}});
    case 2:
      if (past_effects_.empty()) return;
      return feed(core::Measured{.effect = past_effects_.front()});
    case 3:
      return feed(core::TimerFired{TimerId{1}});
    default:
      return feed(core::JobWithdrawn{JobId{last_job_ + 1'000'000}});
  }
}

}  // namespace berth::sim
