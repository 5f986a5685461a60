// SPDX-License-Identifier: Apache-2.0
#include "berth/store/store_thread.h"

#include <span>
#include <utility>

#include <fmt/format.h>

namespace berth::store {

StoreThread::StoreThread(Store store) : store_(std::move(store)), thread_([this] { run(); }) {}

StoreThread::~StoreThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void StoreThread::put(ServerRow row, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (inbox_.size() < kInboxMax) {
      inbox_.push_back({std::move(row), std::move(done)});
      changed_.notify_one();
      return;
    }
  }
  done(fail(ErrorCode::queue_full,
            fmt::format("{} rows wait for the disk, the row of \"{}\" was not taken; check whether "
                        "the disk of the state directory still answers",
                        kInboxMax, row.name)));
}

void StoreThread::run() {
  for (;;) {
    std::vector<Waiting> batch = take();
    if (batch.empty()) return;
    write(std::move(batch));
  }
}

/// Waits for rows and takes all of them; none once the thread shall end.
std::vector<StoreThread::Waiting> StoreThread::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || !inbox_.empty(); });
  return std::exchange(inbox_, {});
}

void StoreThread::write(std::vector<Waiting> batch) {
  std::vector<ServerRow> rows;
  rows.reserve(batch.size());
  for (Waiting& waiting : batch)
    rows.push_back(std::move(waiting.row));
  const Status written = store_.put(rows);
  transactions_.store(store_.transactions());
  for (const Waiting& waiting : batch)
    waiting.done(written);
}

}  // namespace berth::store
