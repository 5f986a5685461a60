// SPDX-License-Identifier: Apache-2.0
// Berth's own life: killed at any moment, started again, and at last left in peace.
#include <algorithm>
#include <utility>

#include "berth/sim/simulator.h"
#include "berth/sim/trace.h"

namespace berth::sim {

using core::ClaimPhase;

namespace {

/// How long the owner of a hold has to come back for it.
constexpr Duration kHoldGrace = 60s;

}  // namespace

void Simulator::crash() {
  for (const core::Claim& claim : core_->state().claims) {
    if (claim.phase == ClaimPhase::draining) hit(Probe::crash_draining);
    if (claim.phase == ClaimPhase::stopping) hit(Probe::crash_stopping);
    if (claim.phase == ClaimPhase::barrier) hit(Probe::crash_in_barrier);
    if (claim.phase == ClaimPhase::starting) hit(Probe::crash_starting);
  }
  if (trace_) trace_("---- kill -9 of berth");
  core_.reset();
  // What was on its way to the disk is there or not, in order; what was on its way to a server was
  // sent or not.
  std::priority_queue<Due> kept;
  std::vector<bool> torn(world_.config.servers.size());
  for (; !dues_.empty(); dues_.pop()) {
    Due due = dues_.top();
    if (due.kind == Kind::commit_done && due.life == life_) {
      const bool lost = torn[due.server.value] || due.bad || rng_.chance(500);
      torn[due.server.value] = lost;
      if (lost) hit(Probe::commit_lost_in_crash);
      if (!lost) ground_.rows[due.server.value] = *due.row;
      continue;
    }
    if (due.kind == Kind::down_done && due.life == life_ && rng_.chance(500)) continue;
    if (due.kind == Kind::timer || due.kind == Kind::sample_told || due.kind == Kind::work_done) {
      continue;
    }
    kept.push(std::move(due));
  }
  dues_ = std::move(kept);
  life_ += 1;
  core_dues_ = 0;
  std::erase_if(ground_.processes,
                [this](const Process& process) { return ground_.is_place(process.server); });
  // Their clients saw a closed connection; the owner of a hold may come back for it.
  std::erase_if(ground_.jobs, [this](const auto& entry) {
    const JobTruth& job = entry.second;
    const bool granted = job.kind == core::JobKind::hold && job.state == JobTruth::State::running;
    return !granted || !rng_.chance(700);
  });
  for (auto& [id, job] : ground_.jobs)
    job.state = JobTruth::State::queued;
  checks_.host_died();
  push(rng_.between(Duration{1ms}, Duration{3s}), {.kind = Kind::recover});
}

/// Plays the host's start: of two generations the newest stays, what is dead is on no books.
void Simulator::recover() {
  core::Recovered event{.config = world_.config, .rows = {}, .found = {}, .holds = {}};
  for (const auto& row : ground_.rows) {
    if (row) event.rows.push_back(*row);
  }
  for (std::uint32_t i = 0; i < world_.config.servers.size(); ++i) {
    const Process* newest = ground_.newest_alive(ServerId{i});
    for (std::size_t k = 0; k < ground_.processes.size(); ++k) {
      Process& process = ground_.processes[k];
      const bool stranger = process.server.value == i && process.alive && &process != newest;
      if (stranger) end_process(process);
    }
    newest = ground_.newest_alive(ServerId{i});
    if (newest == nullptr) continue;
    const bool healthy = (newest->ready || newest->freed) && !newest->deaf;
    event.found.push_back({newest->server, newest->generation, healthy, newest->freed});
  }
  for (Process& process : ground_.processes) {
    process.forgotten = !process.alive;
    // The adapter of the new Berth knows it and can stop it, however far its start had come.
    if (process.alive) process.ready = !process.freed;
  }
  for (const auto& [id, job] : ground_.jobs) {
    hit(Probe::hold_kept);
    event.holds.push_back(arrival_of(id, job));
    if (rng_.chance(500)) push(kHoldGrace, {.kind = Kind::leaves, .job = id});
  }
  core_ = std::make_unique<core::Scheduler>();
  std::fill(moves_.begin(), moves_.end(), EffectId{});
  past_effects_.clear();
  feed(event);
}

/// No new faults and no new work from here on: everything must end well.
void Simulator::calm_down() {
  calm_ = true;
  if (trace_) trace_("---- calm");
  for (Bytes& bytes : ground_.foreign)
    bytes = {};
  for (Process& process : ground_.processes) {
    if (!process.alive) give_back(process, 1s, Bytes{0});
    if (std::exchange(process.deaf, false)) {
      push(1s, {.kind = Kind::dies, .server = process.server, .generation = process.generation});
    }
  }
  for (std::uint32_t i = 0; core_ && i < world_.config.servers.size(); ++i) {
    if (core_->state().servers[i].pinned) {
      feed(core::UserAsked{core::UserAsked::What::unpin, ServerId{i}});
    }
  }
}

void Simulator::probe_event(const core::Event& event) {
  const auto* user = std::get_if<core::UserAsked>(&event);
  if (user == nullptr) return;
  const bool displaced = core_->state().server(user->server).displaced.has_value();
  using What = core::UserAsked::What;
  if (user->what == What::start && displaced) hit(Probe::user_start_while_displaced);
  if (user->what == What::stop && displaced) hit(Probe::user_stop_while_displaced);
  if (user->what == What::clear_saved_state) {
    hit(displaced ? Probe::clear_while_displaced : Probe::clear_while_not_displaced);
  }
}

void Simulator::probe_state() {
  const core::State& state = core_->state();
  if (has_bound(world_)) hit(Probe::bound_checked);
  if (state.claims.size() >= 2) hit(Probe::two_claims);
  if (state.ledger.any(core::EntryState::stuck)) hit(Probe::memory_stuck);
  const auto& servers = state.servers;
  const auto starts = [](const core::Server& each) {
    return each.config.job_class == core::ServerClass::chat &&
           each.state == core::ServerState::starting;
  };
  const bool llm_starts = std::any_of(servers.begin(), servers.end(), starts);
  for (const core::Server& each : servers) {
    if (each.queue.empty() || each.state != core::ServerState::absent) continue;
    if (llm_starts && each.config.job_class == core::ServerClass::image) {
      hit(Probe::picture_while_llm_starts);
    }
    const auto taken = [&](const core::PoolSample& pool) {
      return pool.foreign.count > 0 && each.config.footprint.in(pool.pool).count > 0;
    };
    if (std::any_of(state.sample.begin(), state.sample.end(), taken)) hit(Probe::foreign_blocks);
  }
}

}  // namespace berth::sim
