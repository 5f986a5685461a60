// SPDX-License-Identifier: Apache-2.0
// Image jobs over a restart of Berth: those that their servers still draw are gone on with.
#include <utility>

#include <fmt/format.h>

#include "berth/host/host_impl.h"
#include "berth/host/world.h"

namespace berth::host {

/// Before servers are adopted: they are told what they may still be at work on.
void HostImpl::open_images(const std::vector<store::ImageJobRow>& rows) {
  const auto put = [this](store::Change change, std::function<void(Status)> done) {
    store_->put(std::move(change), [executor = executor_, done = std::move(done)](Status status) {
      berth::post(executor, [done, status = std::move(status)] { done(status); });
    });
  };
  images_ = std::make_unique<ImageJobs>(executor_, *this,
                                        ImageJobs::Options{.folder = config_.state_dir + "/images",
                                                           .result_ttl = config_.image_result_ttl,
                                                           .put = put});
  for (ImageJobs::Work& work : images_->recover(rows)) {
    const auto server = find_server(core_config_, work.server);
    if (!server) continue;  // no longer configured
    slots_[server->value]->adapter->expect_work(work.generation, std::move(work.ids));
  }
}

/// Nothing: the server does nothing that an image job waits for.
std::optional<core::JobArrived> HostImpl::recover_images(ServerId server) {
  if (!slots_[server.value]->adapter->names_expected_work()) return std::nullopt;
  const auto job = std::make_shared<PendingJob>();
  job->id = JobId{++last_job_};
  job->server = server;
  job->request = {.server = server,
                  .job_class = core_config_.servers[server.value].job_class,
                  .client = "an image job of an earlier run"};
  job->arrived = job->since = stamp_now().at;
  jobs_.emplace(job->id, job);
  if (!images_->adopt(server_name(server), job_of(job))) return std::nullopt;
  step("image_job_adopted", server,
       fmt::format("job {}: \"{}\" still draws for an image job of an earlier run", job->id.value,
                   server_name(server)));
  return core::JobArrived{.job = job->id,
                          .server = server,
                          .job_class = job->request.job_class,
                          .client = job->request.client};
}

}  // namespace berth::host
