// SPDX-License-Identifier: Apache-2.0
// Carrying out: each action of the core becomes a coroutine that ends in an event.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "berth/base/assert.h"
#include "berth/host/host_impl.h"
#include "berth/host/text.h"
#include "berth/host/world.h"
#include "berth/servers/failpoint.h"

namespace berth::host {
namespace {

constexpr std::size_t kRecordsMax = 4096;

}  // namespace

HostImpl::HostImpl(Executor executor, config::Config config)
    : executor_(std::move(executor)),
      config_(std::move(config)),
      core_config_(complete_config(config_)) {}

HostImpl::~HostImpl() {
  *alive_token_ = false;
  for (const auto& [id, job] : jobs_)  // a hold without an owner is not given back by this
    job->over = true;
}

// ---- Events in ----------------------------------------------------------------------------------

void HostImpl::post(core::Event event) {
  if (going_down_) return;
  inbox_.push_back(std::move(event));
  if (std::exchange(applying_, true)) return;
  while (!inbox_.empty()) {
    const core::Event next = std::move(inbox_.front());
    inbox_.pop_front();
    const Journal::Stamp stamp = stamp_now();
    journal_->write(stamp, next, core_config_);
    if (const auto* ended = std::get_if<core::JobEnded>(&next)) {
      const auto job = pending(ended->job);
      if (job) note_work_done(*job, ended->how);
      if (job && job->is_request()) ++counts(job->server).jobs[std::string(name(ended->how))];
      if (job)
        step("job_done", job->server, fmt::format("job {}: {}", job->id.value, name(ended->how)));
    }
    const std::vector<core::Action> actions = scheduler_.apply(stamp.at, next);
    forecasts_.reset();
    for (const core::Action& action : actions) {
      journal_->write(stamp, action, core_config_);
      carry_out(action);
    }
  }
  applying_ = false;
  if (recovering_ && is_settled()) recovering_ = false;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    const bool open = state().server(ServerId{i}).gate_open;
    const std::size_t limit = open ? http::Spool::kLimitNormal : http::Spool::kLimitDraining;
    if (slots_[i]->spool.limit() != limit) slots_[i]->spool.set_limit(limit);
  }
  changed_.set();
  changed_.reset();
}

void HostImpl::user_asked(core::UserAsked::What what, ServerId server) {
  if (what == core::UserAsked::What::start) look_at_model(server);
  const std::set<EffectId>& commits = state().server(server).commits;
  const EffectId newest = commits.empty() ? EffectId{} : *commits.rbegin();
  post(core::UserAsked{what, server});
  const auto own = commits.upper_bound(newest);  // the wish's row; that of a start comes behind it
  if (own != commits.end()) slots_[server.value]->wish = *own;
}

void HostImpl::carry_out(const core::Action& action) {
  std::visit([this](const auto& a) { take(a); }, action);
}

// ---- Commit -------------------------------------------------------------------------------------

void HostImpl::take(const core::Commit& action) {
  Slot& slot = *slots_[action.row.server.value];
  slot.commits.push_back(action);
  if (!std::exchange(slot.committing, true)) spawn(executor_, pump_commits(action.row.server));
}

/// Rows of one server are written in order.
Task<void> HostImpl::pump_commits(ServerId server) {
  Slot& slot = *slots_[server.value];
  while (!slot.commits.empty()) {
    const core::Commit commit = slot.commits.front();
    slot.commits.pop_front();
    recovery_failpoint("recovery_before_commit");
    auto frozen = co_await freeze_launch(server, commit.row);
    core::EffectResult result;
    slot.not_stored.reset();
    if (!frozen) {
      result.error = frozen.error();  // it cannot be started, and that is what will be said
    } else {
      std::string launch_json = process::to_json(slot.launch);
      auto stored = co_await store_row(commit.row, std::move(launch_json));
      if (!stored) slot.not_stored = result.error = stored.error();
    }
    if (!result.error) {
      const bool displaced = commit.row.displaced.has_value();
      const bool was = std::exchange(slot.recorded_displaced, displaced);
      const bool cleared = was && !displaced;
      if (displaced && !was) ++counts(server).displacements;
      if (displaced && !was) step("row_committed", server, "its displacement is on the disk");
      if (cleared) step("row_cleared", server, "its displacement is over");
    }
    recovery_failpoint("recovery_after_commit");
    post(core::EffectEnded{commit.effect, result});
  }
  slot.committing = false;
}

/// A new start gets a fresh launch spec from the configuration; a displaced server comes back with
/// the one it was started with.
Task<Status> HostImpl::freeze_launch(ServerId server, core::Row row) {
  Slot& slot = *slots_[server.value];
  if (row.generation <= slot.launch_generation) co_return Status{};
  if (!row.displaced || slot.launch.argv.empty()) {
    auto fresh = co_await slot.adapter->launch_spec();
    if (!fresh) co_return fail(fresh.error());
    slot.launch = *fresh;
    show_devices(server, slot.launch);
  }
  slot.launch_generation = row.generation;
  co_return Status{};
}

Task<Status> HostImpl::store_row(core::Row row, std::string launch_json) {
  struct Answer {
    Event done;
    Status status;
  };
  const auto answer = std::make_shared<Answer>();
  const Executor executor = executor_;
  store_->put(to_store(row, core_config_, std::move(launch_json), stamp_now()),
              [answer, executor](Status status) {
                berth::post(executor, [answer, status = std::move(status)] {
                  answer->status = status;
                  answer->done.set();
                });
              });
  co_await answer->done.wait();
  co_return answer->status;
}

// ---- MoveTo -------------------------------------------------------------------------------------

void HostImpl::take(const core::MoveTo& action) {
  // Only what the configuration says can be freed is freed.
  BERTH_ASSERT(action.rung != core::Rung::freed ||
               core_config_.servers[action.server.value].freed.has_value());
  if (action.rung == core::Rung::resident) {
    spawn(executor_, start_server(action));
  } else {
    spawn(executor_, stop_server(action));
  }
}

Task<void> HostImpl::start_server(core::MoveTo move) {
  Slot& slot = *slots_[move.server.value];
  while (slot.moving) {
    co_await slot.moved.wait();
  }
  slot.moving = true;
  Event abort;
  slot.abort = &abort;
  servers::StartContext context;
  context.generation = move.generation;
  context.launch = slot.launch;
  context.deadline = move.deadline;
  context.abort = &abort;
  const bool lived = std::exchange(slot.freed, false);
  if (!lived) {
    slot.has_served = false;
    slot.seen = {};
    slot.key = footprint_key(config_.servers[move.server.value]);
  }
  look_at_model(move.server);
  recovery_failpoint("recovery_before_move");
  auto started = co_await slot.adapter->start(std::move(context));
  recovery_failpoint("recovery_after_move");
  slot.abort = nullptr;
  slot.moving = false;
  note_session(move.server, move.generation);
  slot.moved.set();
  slot.moved.reset();
  core::EffectResult result;
  if (!started) result.error = started.error();
  if (started) result.state_restored = started->state_restored;
  if (started && !lived) note_mark(move.server, store::Stage::load);
  post(core::EffectEnded{move.effect, result});
}

Task<void> HostImpl::stop_server(core::MoveTo move) {
  Slot& slot = *slots_[move.server.value];
  if (slot.abort != nullptr) slot.abort->set();
  while (slot.moving) {
    co_await slot.moved.wait();
  }
  slot.moving = true;
  note_session(move.server, move.generation);
  if (state().server(move.server).displaced) {
    step("drained", move.server, "nothing of ours runs there any more");
  }
  auto held = learned(move.server);
  recovery_failpoint("recovery_before_move");
  Status stopped;
  if (move.rung == core::Rung::freed) {
    stopped = co_await slot.adapter->free_models();
    slot.freed = stopped.has_value();
  } else {
    stopped = co_await slot.adapter->stop(move.keep, move.deadline);
    slot.freed = false;
  }
  recovery_failpoint("recovery_after_move");
  slot.moving = false;
  slot.moved.set();
  slot.moved.reset();
  core::EffectResult result;
  if (!stopped) result.error = stopped.error();
  if (stopped) result.measured = std::move(held);
  post(core::EffectEnded{move.effect, result});
  if (!stopped && stopped.error().code == ErrorCode::unkillable) {
    spawn(executor_, await_late_end(move.server, move.generation));
  }
}

/// A server that would not die may do so later, when its driver comes back: its memory is free
/// then.
Task<void> HostImpl::await_late_end(ServerId server, Generation generation) {
  process::Process* process = slots_[server.value]->adapter->process();
  if (process == nullptr) co_return;
  const std::shared_ptr<bool> alive = alive_token_;
  const process::ExitStatus how = co_await process->exited();
  if (!*alive) co_return;  // told by the end of the host, not of the server
  post(core::ServerChanged{server, generation, core::ServerChanged::Fact::exited,
                           process::to_text(how)});
}

// ---- Jobs, timers, answers ----------------------------------------------------------------------

void HostImpl::take(const core::Dispatch& action) {
  const auto job = pending(action.job);
  if (!job) return post(core::JobEnded{action.job, core::JobEnd::cancelled});
  job->granted = true;
  job->server = action.server;
  job->since = stamp_now().at;
  note_wait(*job, "ran");
  if (job->is_request()) counts(job->server).waits.add(job->since - job->arrived);
  if (!job->is_request()) grant(job, action);
  step("dispatched", action.server, fmt::format("job {}", action.job.value));
  job->answered.set();
  if (!job->is_request()) return;
  slots_[action.server.value]->shape = job->request.shape;
  spawn(executor_, watch_work());
  const auto& limit = core_config_.servers[action.server.value].job_limit;
  if (limit) spawn(executor_, cut_after(job, *limit));
}

Task<void> HostImpl::cut_after(std::shared_ptr<PendingJob> job, Duration limit) {
  co_await delay(limit);
  if (job->over) co_return;
  const std::string server = server_name(job->server);
  job->why_cut = Error{
      ErrorCode::deadline,
      fmt::format("\"{}\" did not answer within its job_limit ({}) and was given up; ask again, or "
                  "raise server.{}.job_limit",
                  server, to_text(limit), server)};
  job->cut.set();
}

void HostImpl::take(const core::Cancel& action) {
  const auto job = pending(action.job);
  if (!job) return;
  if (!job->is_request()) return revoke(*job, action.reason);
  const core::ServerConfig& server = core_config_.servers[job->server.value];
  job->why_cut = Error{
      ErrorCode::deadline,
      fmt::format("the reply was cut off by Berth: \"{}\" had to stop and the reply still ran at "
                  "its drain_limit ({}); ask again, or raise server.{}.drain_limit",
                  server.name, to_text(server.drain_limit.value_or(Duration{0})), server.name)};
  job->cut.set();
}

void HostImpl::take(const core::SetTimer& action) {
  const Duration wait = action.at - stamp_now().at;
  spawn(executor_, fire_after(action, std::max(wait, Duration{0})));
}

Task<void> HostImpl::fire_after(core::SetTimer timer, Duration wait) {
  co_await delay(wait);
  post(core::TimerFired{timer.timer});
}

void HostImpl::take(const core::Reject& action) {
  const auto job = pending(action.job);
  if (!job) return;
  job->error = action.error;
  job->retry_after = action.retry_after;
  job->over = true;
  job->since = stamp_now().at;
  if (action.error.code != ErrorCode::not_in_time) note_wait(*job, "refused");
  if (job->is_request()) ++counts(job->server).jobs["refused"];
  forget_hold(*job);
  jobs_.erase(action.job);
  job->answered.set();
}

void HostImpl::take(const core::Announce& action) {
  keep(journal_->decision(stamp_now(), action, core_config_));
  ++counters_.decisions[std::string(name(action.reason))];
  const bool is_server = action.server.value < slots_.size();
  const bool displaced = is_server && state().server(action.server).displaced.has_value();
  if (const auto job = action.job ? pending(*action.job) : nullptr; job && action.eta) {
    job->foretold = Foretold{*action.eta, action.is_guess};
  }
  if (action.reason == core::Reason::needs_more) note_raised(action.server);
  if (action.reason == core::Reason::gate_closed) {
    step("gate_closed", action.server, "new requests wait");
  }
  if (action.reason == core::Reason::room_seen ||
      action.reason == core::Reason::room_seen_oversize) {
    step(displaced ? "room_for_victim" : "room_for_newcomer", action.server, "memory is seen free");
  }
  if (action.reason == core::Reason::comes_back && !action.victims.empty()) {
    step("linger_over", action.victims.front(), "it was idle long enough");
  }
}

// ---- Records ------------------------------------------------------------------------------------

void HostImpl::keep(Record record) {
  records_.push_back(std::move(record));
  if (records_.size() > kRecordsMax) records_.pop_front();
  recorded_.set();
  recorded_.reset();
}

/// Each step of an offload cycle has the name of its failpoint.
void HostImpl::step(std::string_view name, ServerId server, std::string text) {
  keep(journal_->step(stamp_now(), name, server_name(server), std::move(text)));
  servers::failpoint(name);
}

/// The adapter says what it does; who the server is in this cycle is known here.
void HostImpl::adapter_step(ServerId server, std::string_view name, std::string text) {
  const bool victim =
      state().servers.size() > server.value && state().server(server).displaced.has_value();
  std::string full(name);
  if (name == "stopping" || name == "gone" || name == "ready") {
    full = fmt::format("{}_{}", victim ? "victim" : "newcomer", name);
  }
  step(full, server, std::move(text));
}

Task<std::vector<Record>> HostImpl::records_after(std::uint64_t number, Event& gone) {
  while (true) {
    std::vector<Record> out;
    for (const Record& record : records_) {
      if (record.number > number) out.push_back(record);
    }
    if (!out.empty() || gone.is_set()) co_return out;
    std::vector<Event*> events;
    events.push_back(&gone);
    events.push_back(&recorded_);
    static_cast<void>(co_await wait_any(std::move(events)));
  }
}

}  // namespace berth::host
