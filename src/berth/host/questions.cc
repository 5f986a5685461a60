// SPDX-License-Identifier: Apache-2.0
// What people ask and nothing follows from: what would be, and what is kept for a return.
#include "berth/host/host_impl.h"
#include "berth/host/world.h"

namespace berth::host {

core::OffloadAnswer HostImpl::would_need_offload(ServerId server) const {
  const core::JobArrived request{.job = JobId{last_job_ + 1},
                                 .server = server,
                                 .job_class = core_config_.servers.at(server.value).job_class};
  return core::would_need_offload(scheduler_, stamp_now().at, request);
}

std::optional<SavedState> HostImpl::saved_state(ServerId server) const {
  const auto& displaced = state().server(server).displaced;
  if (!displaced) return std::nullopt;
  const Journal::Stamp now = stamp_now();
  const std::int64_t since = now.wall.unix_ms - milliseconds(now.at - displaced->since);
  return SavedState{.argv = slots_[server.value]->launch.argv,
                    .since = WallTime{since},
                    .displaced_by = state().displacer_name(displaced->by),
                    .after = displaced->after};
}

}  // namespace berth::host
