// SPDX-License-Identifier: Apache-2.0
// What people ask and nothing follows from: what would be, and what is kept for a return.
#include <functional>
#include <memory>
#include <utility>

#include "berth/host/host_impl.h"
#include "berth/host/model_list.h"
#include "berth/host/world.h"
#include "berth/servers/capture.h"

namespace berth::host {
namespace {

/// Work for on_thread(). GCC 12 destroys captures twice if the lambda stands in the coroutine.
std::function<Status()> reading(config::Config config, std::optional<std::string> id,
                                std::shared_ptr<std::string> text) {
  return [config = std::move(config), id = std::move(id), text = std::move(text)]() -> Status {
    Result<std::string> read = id ? model_json(config, *id) : models_json(config);
    if (!read) return fail(read.error());
    *text = std::move(*read);
    return {};
  };
}

}  // namespace

Task<Result<std::string>> HostImpl::models(std::optional<std::string> id) {
  const auto text = std::make_shared<std::string>();
  std::function<Status()> work = reading(config_, std::move(id), text);
  const Status read = co_await servers::on_thread(std::move(work));
  if (!read) co_return fail(read.error());
  co_return *text;
}

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
