// SPDX-License-Identifier: Apache-2.0
// Holds and leases: granted, revoked, shown. A lease's processes are found by a tag in their
// environment.
#include <sys/random.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "berth/base/assert.h"
#include "berth/host/host_impl.h"
#include "berth/host/text.h"
#include "berth/host/world.h"

namespace berth::host {
namespace {

/// Returns a value that no other process can know, so that nobody counts as a lease's by accident.
std::string unguessable(JobId id) {
  std::uint64_t random[2] = {};
  const ssize_t count = ::getrandom(random, sizeof random, 0);
  BERTH_ASSERT(count == sizeof random);  // so few bytes are never cut short
  return fmt::format("{}-{:016x}{:016x}", id.value, random[0], random[1]);
}

Error limit_error(const PendingJob& job) {
  const std::string_view kind = name(job.request.kind);
  return {ErrorCode::deadline,
          fmt::format("the {} reached its limit ({}) and was revoked; ask for a longer one (`max`) "
                      "where the work takes longer",
                      kind, to_text(job.request.limit.value_or(Duration{0})))};
}

}  // namespace

void HostImpl::grant(const std::shared_ptr<PendingJob>& job, const core::Dispatch& action) {
  if (job->request.kind == core::JobKind::hold) return keep_hold(*job);
  job->server = action.server;
  job->generation = action.generation;
  job->tag = fmt::format("{}={}", kLeaseVariable, unguessable(job->id));
  leases_.push_back(job);
}

/// Its owner comes back for it if Berth crashes. Nobody waits for the disk: a hold whose row was
/// lost is asked for again.
void HostImpl::keep_hold(const PendingJob& job) {
  store::HoldRow row{.job = job.id.value,
                     .holder = job.request.client,
                     .servers = {},
                     .exclusive = job.request.exclusive,
                     .ends_unix_ms = std::nullopt};
  for (const ServerId server : job.request.servers)
    row.servers.push_back(server_name(server));
  if (job.request.limit) {
    row.ends_unix_ms = stamp_now().wall.unix_ms + milliseconds(*job.request.limit);
  }
  store_->put(std::move(row), [](const Status&) {});
}

void HostImpl::forget_hold(const PendingJob& job) {
  if (job.request.kind != core::JobKind::hold) return;
  store_->put(store::HoldEnded{job.id.value}, [](const Status&) {});
}

/// Nothing: it is over, or names a server that is no longer configured.
std::optional<core::JobArrived> HostImpl::recover_hold(const store::HoldRow& row,
                                                       Journal::Stamp now) {
  const auto job = std::make_shared<PendingJob>();
  job->id = JobId{row.job};
  last_job_ = std::max(last_job_, row.job);
  JobRequest& request = job->request;
  request = {.kind = core::JobKind::hold,
             .job_class = core::ServerClass::video,
             .client = row.holder,
             .exclusive = row.exclusive};
  for (const std::string& name : row.servers) {
    const auto server = find_server(core_config_, name);
    if (server) request.servers.push_back(*server);
  }
  if (row.ends_unix_ms)
    request.limit = std::chrono::milliseconds(*row.ends_unix_ms - now.wall.unix_ms);
  const bool over = request.limit && *request.limit <= Duration{0};
  if (over || request.servers.empty() || request.servers.size() != row.servers.size()) {
    forget_hold(*job);
    return std::nullopt;
  }
  job->server = request.server = request.servers.front();
  job->arrived = job->since = now.at;
  jobs_.emplace(job->id, job);
  without_owner_.emplace(job->id, job_of(job));
  spawn(executor_, await_owner(job->id));
  step("hold_kept", job->server,
       fmt::format("hold {} ({}) waits {} for its owner", row.job, row.holder,
                   to_text(config_.hold_grace)));
  return core::JobArrived{.job = job->id,
                          .kind = core::JobKind::hold,
                          .server = request.server,
                          .job_class = request.job_class,
                          .client = request.client,
                          .servers = request.servers,
                          .exclusive = request.exclusive,
                          .limit = request.limit};
}

Task<void> HostImpl::await_owner(JobId hold) {
  co_await delay(config_.hold_grace);
  if (without_owner_.erase(hold) == 0) co_return;
  step("hold_dropped", ServerId{0},
       fmt::format("the owner of hold {} did not come back", hold.value));
}

/// The holder is told, and is over for the core at once; what a lease's processes hold is counted
/// until they are gone.
void HostImpl::revoke(PendingJob& job, core::CancelReason reason) {
  if (std::exchange(job.over, true)) return;
  forget_hold(job);
  job.why_cut = reason == core::CancelReason::limit_reached
                    ? limit_error(job)
                    : Error{ErrorCode::cancelled, "it was given back"};
  job.cut.set();
  post(core::JobEnded{job.id, core::JobEnd::cut});
}

/// A lease is looked for until it is over and was not seen after that.
void HostImpl::forget_leases(const std::vector<core::Holder>& holders,
                             const std::vector<std::string>& ended_tags) {
  std::erase_if(leases_, [&](const std::shared_ptr<PendingJob>& lease) {
    const auto ended = std::find(ended_tags.begin(), ended_tags.end(), lease->tag);
    if (ended == ended_tags.end()) return false;
    return std::none_of(holders.begin(), holders.end(), [&](const core::Holder& holder) {
      return holder.server == lease->server && holder.generation == lease->generation;
    });
  });
}

std::vector<LeaseStatus> HostImpl::lease_status() const {
  std::vector<LeaseStatus> out;
  for (const auto& job : leases_) {
    if (job->over) out.push_back(lease_status(*job, "releasing"));
  }
  for (const auto& [id, job] : jobs_) {
    if (job->is_request() || job->over) continue;
    out.push_back(lease_status(*job, job->granted ? "granted" : "waiting"));
  }
  std::sort(out.begin(), out.end(),
            [](const LeaseStatus& a, const LeaseStatus& b) { return a.job < b.job; });
  return out;
}

LeaseStatus HostImpl::lease_status(const PendingJob& job, std::string_view in_state) const {
  LeaseStatus out;
  out.job = job.id;
  out.kind = name(job.request.kind);
  out.state = in_state;
  out.holder = job.request.client;
  out.exclusive = job.request.exclusive;
  out.since = stamp_now().at - job.since;
  out.limit = job.request.limit;
  for (const ServerId server : job.request.servers)
    out.servers.push_back(server_name(server));
  if (job.request.kind != core::JobKind::lease) return out;
  for (const core::PoolShare& share : job.request.need->shares)
    out.bytes.push_back({core_config_.pools[share.pool.value].name, share.bytes});
  if (!sampled_ || !job.granted) return out;
  out.seen = Bytes{};
  for (const core::Holder& holder : newest_sample_.holders) {
    if (holder.server != job.server || holder.generation != job.generation) continue;
    for (const core::PoolShare& share : holder.bytes.shares)
      *out.seen += share.bytes;
    out.processes.push_back(holder);
  }
  return out;
}

}  // namespace berth::host
