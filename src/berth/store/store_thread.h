// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "berth/base/result.h"
#include "berth/store/store.h"

namespace berth::store {

/// The changes that may wait for the disk. Far more than servers exist: whoever reaches it hangs on
/// a disk that no longer answers.
inline constexpr std::size_t kInboxMax = 4096;

/// Writes rows on a thread of its own, so that a slow disk stops nobody.
///
/// Group commit: everything that waits goes into one transaction.
class StoreThread {
 public:
  using Done = std::function<void(Status)>;

  /// Ownership: takes the store; read its rows before.
  explicit StoreThread(Store store);
  /// Writes what still waits, calls its `done`, and joins the thread.
  ~StoreThread();
  StoreThread(const StoreThread&) = delete;
  StoreThread& operator=(const StoreThread&) = delete;

  /// Writes `change` and calls `done` once, when it is durable or has failed. Changes are written
  /// in the order of the calls.
  /// Threads: any. `done` runs on the store thread and must not block; it may call put().
  /// Errors: as Store::put(); queue_full if kInboxMax changes wait: `done` then runs at once, on
  /// the caller's thread.
  void put(Change change, Done done);

  /// Counts the transactions that were committed, each at least one fsync. Threads: any.
  [[nodiscard]] std::uint64_t transactions() const { return transactions_.load(); }

 private:
  struct Waiting {
    Change change;
    Done done;
  };

  void run();
  std::vector<Waiting> take();
  void write(std::vector<Waiting> batch);

  Store store_;
  std::atomic<std::uint64_t> transactions_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Waiting> inbox_;  // under mutex_
  bool stopping_ = false;       // under mutex_
  std::thread thread_;          // last: it uses all of the above
};

}  // namespace berth::store
