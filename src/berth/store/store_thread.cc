// SPDX-License-Identifier: Apache-2.0
#include "berth/store/store_thread.h"

#include <span>
#include <string>
#include <utility>
#include <variant>

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

namespace {

std::string what(const Change& change) {
  if (const auto* row = std::get_if<ServerRow>(&change))
    return fmt::format("row of \"{}\"", row->name);
  if (const auto* hold = std::get_if<HoldRow>(&change)) return fmt::format("hold {}", hold->job);
  if (const auto* ended = std::get_if<HoldEnded>(&change))
    return fmt::format("end of hold {}", ended->job);
  return "footprint of a server";
}

}  // namespace

void StoreThread::put(Change change, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (inbox_.size() < kInboxMax) {
      inbox_.push_back({std::move(change), std::move(done)});
      changed_.notify_one();
      return;
    }
  }
  done(fail(
      ErrorCode::queue_full,
      fmt::format("{} changes wait for the disk, the {} was not taken; check whether the disk of "
                  "the state directory still answers",
                  kInboxMax, what(change))));
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
  std::vector<Change> changes;
  changes.reserve(batch.size());
  for (Waiting& waiting : batch)
    changes.push_back(std::move(waiting.change));
  const Status written = store_.put(changes);
  transactions_.store(store_.transactions());
  for (const Waiting& waiting : batch)
    waiting.done(written);
}

}  // namespace berth::store
