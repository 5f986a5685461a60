// SPDX-License-Identifier: Apache-2.0
// Jobs between the gateway and the core, and the status that people see.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/core/admission.h"
#include "berth/core/planner.h"
#include "berth/core/predict.h"
#include "berth/core/turns.h"
#include "berth/host/host_impl.h"
#include "berth/host/second_pools.h"
#include "berth/host/text.h"
#include "berth/host/world.h"

namespace berth::host {
namespace {

class JobImpl final : public Job {
 public:
  JobImpl(HostImpl& host, std::shared_ptr<PendingJob> job) : host_(host), job_(std::move(job)) {}
  ~JobImpl() override {
    if (job_->granted) {
      ended(core::JobEnd::failed);
    } else {
      withdraw();
    }
  }

  JobId id() const override { return job_->id; }
  ServerId server() const override { return job_->server; }
  Event& answered() override { return job_->answered; }

  Task<Status> granted(Event& gone) override {
    std::vector<Event*> events;
    events.push_back(&job_->answered);
    events.push_back(&gone);
    static_cast<void>(co_await wait_any(std::move(events)));
    if (job_->error) co_return fail(*job_->error);
    if (!gone.is_set()) co_return Status{};
    if (job_->granted) {
      ended(core::JobEnd::cancelled);
    } else {
      withdraw();
    }
    co_return fail(ErrorCode::cancelled, "the client left while its request waited");
  }

  std::optional<Foretold> foretold() const override { return job_->foretold; }
  Duration waited() const override {
    const bool over = job_->granted || job_->over;
    return (over ? job_->since : stamp_now().at) - job_->arrived;
  }
  std::optional<std::int64_t> retry_after_seconds() const override {
    if (!job_->retry_after) return std::nullopt;
    return std::max<std::int64_t>(
        std::chrono::ceil<std::chrono::seconds>(*job_->retry_after).count(), 1);
  }

  std::map<std::string, std::string> environment() const override {
    if (!job_->granted || job_->is_request()) return {};
    if (job_->request.kind == core::JobKind::hold)
      return {{kHoldVariable, std::to_string(job_->id.value)}};
    return {{kLeaseVariable, job_->tag.substr(job_->tag.find('=') + 1)}};
  }
  servers::Adapter& adapter() override { return host_.adapter(job_->server); }
  Event& cut() override { return job_->cut; }
  const Error& why_cut() const override { return job_->why_cut; }
  http::Spool& spool() override { return host_.spool(job_->server); }

  void withdraw() override {
    if (job_->over) return;
    if (!job_->granted) {
      job_->over = true;
      job_->since = stamp_now().at;
      host_.note_wait(*job_, "left");
      host_.forget_hold(*job_);
    }
    host_.post(core::JobWithdrawn{job_->id});
  }

  void ended(core::JobEnd how) override {
    if (std::exchange(job_->over, true)) return;
    host_.forget_hold(*job_);
    host_.post(core::JobEnded{job_->id, how});
  }

 private:
  HostImpl& host_;
  // Shared with the host's table, which forgets it when the core does.
  std::shared_ptr<PendingJob> job_;
};

/// How many waits are remembered.
constexpr std::size_t kPastWaitsMax = 1000;
/// What was foretold holds until something happens; what takes longer than foretold is no event.
constexpr Duration kForecastsAge = 1s;

std::string text_of(const std::optional<Error>& error) {
  return error ? error->message : "";
}

/// What an end and a new start take at least.
constexpr Duration kBackAfter = 5s;

}  // namespace

void turn_away(PendingJob& job) {
  job.over = true;
  job.retry_after = kBackAfter;
  if (!job.granted) {
    job.error = Error{ErrorCode::shutting_down, "Berth is going down; try again when it is back"};
  }
  job.answered.set();
}

std::shared_ptr<PendingJob> HostImpl::pending(JobId id) const {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : found->second;
}

std::unique_ptr<Job> HostImpl::job_of(std::shared_ptr<PendingJob> job) {
  return std::make_unique<JobImpl>(*this, std::move(job));
}

std::unique_ptr<Job> HostImpl::submit(JobRequest request) {
  if (request.resumes) {
    const auto found = without_owner_.find(*request.resumes);
    if (found != without_owner_.end()) {
      step("hold_resumed", found->second->server(),
           fmt::format("the owner of hold {} is back", found->first.value));
      return std::move(without_owner_.extract(found).mapped());
    }
  }
  const auto job = std::make_shared<PendingJob>();
  job->id = JobId{++last_job_};
  job->server = request.server;
  job->request = std::move(request);
  job->arrived = job->since = stamp_now().at;
  if (going_down_) {
    turn_away(*job);
    return job_of(job);
  }
  if (job->request.resumes) {
    job->over = true;
    job->error = Error{ErrorCode::conflict,
                       fmt::format("hold {} does not wait for its owner (any more); ask for a new "
                                   "one",
                                   job->request.resumes->value)};
    job->answered.set();
    return job_of(job);
  }
  std::erase_if(jobs_, [](const auto& entry) { return entry.second->over; });
  jobs_.emplace(job->id, job);
  const JobRequest& what = job->request;
  for (const ServerId id : what.servers.empty() ? std::vector{what.server} : what.servers) {
    const bool starts =
        id != core::kNoServer && state().server(id).state != core::ServerState::ready;
    if (starts) look_at_model(id);
  }
  step("job_arrived", what.server,
       fmt::format("job {} ({}){}{}", job->id.value,
                   job->is_request() ? name(what.job_class) : name(what.kind),
                   what.client.empty() ? "" : " from ", what.client));
  post(core::JobArrived{
      .job = job->id,
      .kind = what.kind,
      .server = what.server,
      .job_class = what.job_class,
      .client = what.client,
      .need = what.need ? std::optional(in_second_pools(*what.need, core_config_)) : std::nullopt,
      .parent = what.parent,
      .hold = what.hold,
      .servers = what.servers,
      .exclusive = what.exclusive,
      .limit = what.limit,
      .kept_alive = what.kept_alive});
  return job_of(job);
}

Task<Status> HostImpl::wish_stored(ServerId server) {
  const Slot& slot = *slots_[server.value];
  while (!going_down_ && state().server(server).commits.contains(slot.wish))
    co_await changed_.wait();
  if (going_down_) co_return fail(ErrorCode::shutting_down, "Berth is going down");
  const std::optional<Error>& why = slot.not_stored;
  if (!why) co_return Status{};
  co_return fail(why->code,
                 fmt::format("{}; what was asked of server \"{}\" holds until Berth ends, "
                             "and is forgotten then",
                             why->message, server_name(server)));
}

Task<Status> HostImpl::settled(ServerId server) {
  while (!going_down_) {
    const core::Server& each = state().server(server);
    const bool resident = each.state == core::ServerState::ready && !each.retiring;
    const bool moving = each.move.has_value() || !each.commits.empty() || each.retiring;
    const bool failed =
        each.state == core::ServerState::failed || each.state == core::ServerState::unkillable;
    if (failed) co_return fail(each.failure.value_or(Error{ErrorCode::internal, "it failed"}));
    if (each.wanted == core::Wanted::off && !resident && !moving) co_return Status{};
    if (each.wanted != core::Wanted::off && (resident || each.displaced)) co_return Status{};
    const auto kept_out = error_if_kept_out(server);
    if (kept_out && !moving) co_return fail(*kept_out);
    co_await changed_.wait();
  }
  co_return fail(ErrorCode::shutting_down, "Berth is going down");
}

/// Of a server that is wanted and will not come unasked.
std::optional<Error> HostImpl::error_if_kept_out(ServerId id) const {
  const core::Server& server = state().server(id);
  const bool waits = server.wanted == core::Wanted::on && server.queue.empty() &&
                     server.state == core::ServerState::absent && !core::in_a_claim(state(), id);
  const auto keepers = waits ? core::keepers_at_home(state(), id) : std::vector<ServerId>{};
  if (keepers.empty()) return std::nullopt;
  std::string names;
  for (const ServerId keeper : keepers)
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", server_name(keeper));
  return Error{
      ErrorCode::conflict,
      fmt::format("\"{0}\" is wanted from now on, but does not fit beside {1}, which is "
                  "wanted, too, and comes first; it is loaded when a request for it comes, "
                  "or after `berth stop` of the others",
                  server.config.name, names)};
}

std::optional<ServerId> HostImpl::find(std::string_view name) const {
  return find_server(core_config_, name);
}

void HostImpl::set_front_port(ServerId server, std::uint16_t port) {
  slots_[server.value]->front_port = port;
}

std::vector<std::string> HostImpl::log_tail(ServerId server, int lines) const {
  auto found = process::scan(places_root());
  if (!found) return {};
  const process::FoundDirectory* newest = nullptr;
  for (const process::FoundDirectory& each : *found) {
    if (each.server == server_name(server)) newest = &each;  // oldest generation first
  }
  return newest == nullptr ? std::vector<std::string>{}
                           : process::log_tail(newest->directory, lines);
}

std::string HostImpl::server_name(ServerId server) const {
  if (server.value < core_config_.servers.size()) return core_config_.servers[server.value].name;
  const bool has_place = server.value < state().servers.size();
  return has_place ? state().server(server).config.name : "";
}

ServerStatus HostImpl::server_status(ServerId id) const {
  const core::Server& server = state().server(id);
  const Slot& slot = *slots_[id.value];
  ServerStatus each;
  each.name = server.config.name;
  each.kind = config::kind_name(config_.servers[id.value]);
  each.state = name(server.state);
  each.wanted = name(server.wanted);
  each.displaced = server.displaced.has_value();
  each.pinned = server.pinned;
  if (server.displaced) {
    const std::string by = server_name(server.displaced->by);
    each.displaced_by = by.empty() ? std::string(kPlaceName) : by;
    each.displaced_for = stamp_now().at - server.displaced->since;
  }
  each.gate_open = server.gate_open;
  each.generation = server.generation;
  process::Process* process = slot.adapter->process();
  if (process != nullptr && process->running()) each.pid = process->identity().pid;
  if (sampled_) {
    each.used = Bytes{};
    for (const core::Holder& holder : newest_sample_.holders) {
      if (holder.server != id) continue;
      for (const core::PoolShare& share : holder.bytes.shares)
        *each.used += share.bytes;
    }
  }
  each.uses = meter_.usage(id);
  for (const core::PoolShare& share : server.config.footprint.shares) {
    const bool again = core_config_.pools[share.pool.value].again.has_value();
    (again ? each.known : each.footprint) += share.bytes;
    if (!again) {
      each.footprint_shares.push_back({core_config_.pools[share.pool.value].name, share.bytes});
    }
  }
  if (config_.preset == config::Preset::measured) each.known = each.footprint;
  each.footprint_source = name(server.config.source);
  each.running = server.running.size();
  each.waiting = server.queue.size();
  each.front_port = slot.front_port;
  each.state_note = slot.adapter->state_note();
  each.failure = text_of(server.failure);
  core::Bound bound = core::bound_of(state(), id, server.config.job_class, server.queue.size());
  each.bound = bound.within;
  each.no_bound_because = std::move(bound.why_not);
  return each;
}

/// Runs a copy of the scheduler ahead, once until the next event; bounded by
/// core::kRehearsalStepsMax.
std::vector<WaitingStatus> HostImpl::waiting() const {
  const Instant now = stamp_now().at;
  if (!forecasts_ || now - forecasts_->first > kForecastsAge) {
    forecasts_.emplace(now, core::predict(scheduler_, now));
  }
  const Duration age = now - forecasts_->first;
  std::vector<WaitingStatus> out;
  for (const core::Forecast& each : forecasts_->second) {
    WaitingStatus waiting{.job = each.job,
                          .server = server_name(each.server),
                          .place = each.place_in_queue,
                          .waited = now - state().jobs.at(each.job).arrived,
                          .eta = std::nullopt,
                          .is_guess = each.is_guess,
                          .waits_for = core::to_text(each.blocker, state(), now)};
    if (each.eta) waiting.eta = std::max(*each.eta - age, Duration{0});
    out.push_back(std::move(waiting));
  }
  return out;
}

void HostImpl::note_wait(const PendingJob& job, std::string_view how) {
  if (!job.foretold) return;
  past_waits_.push_back({.job = job.id,
                         .server = server_name(job.server),
                         .foretold = *job.foretold,
                         .waited = job.since - job.arrived,
                         .how = std::string(how)});
  if (past_waits_.size() > kPastWaitsMax) past_waits_.pop_front();
}

HostStatus HostImpl::status() const {
  HostStatus out;
  out.waiting = waiting();
  for (std::uint32_t i = 0; i < slots_.size(); ++i)  // behind them: places of leases and holds
    out.servers.push_back(server_status(ServerId{i}));
  out.leases = lease_status();
  out.foreign = meter_.foreign();
  out.probe = probe_status_;
  for (std::uint32_t i = 0; i < core_config_.pools.size(); ++i) {
    const core::PoolConfig& pool = core_config_.pools[i];
    if (pool.again) continue;
    const core::PoolSample& sample = sampled_ ? newest_sample_.pools[i] : state().sample[i];
    PoolStatus each{.name = pool.name,
                    .kind = std::string(name(pool.kind)),
                    .capacity = sample.capacity,
                    .limit = core::limit_of(sample.capacity, sample.foreign, core_config_.policy),
                    .free = std::nullopt,
                    .promised = state().ledger.promised(PoolId{i})};
    if (sampled_) each.free = newest_sample_.pools[i].free;
    meter_.describe(PoolId{i}, each);
    out.pools.push_back(std::move(each));
  }
  return out;
}

}  // namespace berth::host
