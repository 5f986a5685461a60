// SPDX-License-Identifier: Apache-2.0
#include "berth/host/probe_thread.h"

#include <utility>

namespace berth::host {

ProbeThread::ProbeThread() : thread_([this] { run(); }) {}

ProbeThread::~ProbeThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ProbeThread::read(std::vector<pid_t> sessions, std::vector<std::string> tags,
                       std::function<void(Sample)> done) {
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back({std::move(sessions), std::move(tags), std::move(done)});
  }
  changed_.notify_one();
}

void ProbeThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !requests_.empty(); });
    if (stopping_) return;
    for (Request& request : std::exchange(requests_, {})) {
      lock.unlock();
      request.done(probe::read_sessions(request.sessions, request.tags));
      lock.lock();
    }
  }
}

}  // namespace berth::host
