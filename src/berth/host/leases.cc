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
  job->since = stamp_now().at;
  if (job->request.kind != core::JobKind::lease) return;
  job->server = action.server;
  job->generation = action.generation;
  job->tag = fmt::format("{}={}", kLeaseVariable, unguessable(job->id));
  leases_.push_back(job);
}

/// The holder is told, and is over for the core at once; what a lease's processes hold is counted
/// until they are gone.
void HostImpl::revoke(PendingJob& job, core::CancelReason reason) {
  if (std::exchange(job.over, true)) return;
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
