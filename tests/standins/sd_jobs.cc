// SPDX-License-Identifier: Apache-2.0
#include "sd_jobs.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>

namespace berth::standin {
namespace {

constexpr std::int64_t kKeptSeconds = 600;

std::int64_t now() {
  return std::time(nullptr);
}

}  // namespace

Jobs::Jobs(Engine& engine) : engine_(engine), worker_([this] { draw_jobs(); }) {}

Jobs::~Jobs() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void Jobs::forget_old() {
  std::erase_if(expired_, [](const auto& entry) { return entry.second <= now(); });
  std::erase_if(jobs_, [this](const auto& entry) {
    const bool is_old =
        entry.second.completed != 0 && now() - entry.second.completed >= kKeptSeconds;
    if (is_old) expired_[entry.first] = now() + kKeptSeconds;
    return is_old;
  });
}

bool Jobs::submit(const PictureRequest& request, Job& accepted) {
  const std::lock_guard lock(mutex_);
  forget_old();
  const auto pending = std::count_if(jobs_.begin(), jobs_.end(),
                                     [](const auto& entry) { return entry.second.completed == 0; });
  if (static_cast<std::size_t>(pending) >= kPendingMax) return false;
  accepted = Job{.id = fmt::format("job_{:x}_{:08x}", now(), next_number_++),
                 .created = now(),
                 .request = request};
  jobs_[accepted.id] = accepted;
  queue_.push_back(accepted.id);
  changed_.notify_all();
  return true;
}

Lookup Jobs::find_locked(const std::string& id, Job& job) {
  forget_old();
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return expired_.contains(id) ? Lookup::expired : Lookup::unknown;
  job = found->second;
  const auto place = std::find(queue_.begin(), queue_.end(), id);
  job.queue_position =
      place == queue_.end() ? 0 : static_cast<std::size_t>(place - queue_.begin()) + 1;
  return Lookup::found;
}

Lookup Jobs::find(const std::string& id, Job& job) {
  const std::lock_guard lock(mutex_);
  return find_locked(id, job);
}

Lookup Jobs::cancel(const std::string& id, Job& job) {
  const std::lock_guard lock(mutex_);
  const Lookup lookup = find_locked(id, job);
  if (lookup != Lookup::found || job.status != JobStatus::queued) return lookup;
  std::erase(queue_, id);
  jobs_[id].status = JobStatus::cancelled;
  jobs_[id].completed = now();
  return find_locked(id, job);
}

void Jobs::draw_jobs() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_stopping_ || !queue_.empty(); });
    if (is_stopping_) return;
    const std::string id = queue_.front();
    queue_.pop_front();
    jobs_[id].status = JobStatus::generating;
    jobs_[id].started = now();
    const PictureRequest request = jobs_[id].request;
    lock.unlock();
    auto pictures = engine_.generate(request);
    lock.lock();
    Job& job = jobs_[id];
    job.status = pictures.empty() ? JobStatus::failed : JobStatus::completed;
    job.completed = now();
    job.pictures = std::move(pictures);
  }
}

}  // namespace berth::standin
