// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sd_engine.h"

namespace berth::standin {

enum class JobStatus { queued, generating, completed, failed, cancelled };

/// A job of the native API, as its clients see it. Times are seconds since 1970; 0 = not yet.
struct Job {
  std::string id;
  JobStatus status = JobStatus::queued;
  std::int64_t created = 0;
  std::int64_t started = 0;
  std::int64_t completed = 0;
  std::size_t queue_position = 0;  ///< from 1 while queued, else 0
  PictureRequest request;
  std::vector<std::string> pictures;
};

enum class Lookup { found, unknown, expired };

/// The asynchronous jobs: at most 64 pending, drawn one after the other; ended ones are kept for
/// ten minutes, and their ids remembered for ten more. Threads: every call from any thread; the
/// drawing happens on a thread of its own.
class Jobs {
 public:
  static constexpr std::size_t kPendingMax = 64;

  explicit Jobs(Engine& engine);
  ~Jobs();

  /// Returns false if 64 jobs are pending.
  bool submit(const PictureRequest& request, Job& accepted);
  Lookup find(const std::string& id, Job& job);
  /// Cancels a queued job; `job` is how it stands afterwards. One that is being drawn goes on.
  Lookup cancel(const std::string& id, Job& job);

 private:
  void draw_jobs();
  void forget_old();
  Lookup find_locked(const std::string& id, Job& job);

  Engine& engine_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Job> jobs_;
  std::map<std::string, std::int64_t> expired_;
  std::deque<std::string> queue_;
  std::size_t next_number_ = 0;
  bool is_stopping_ = false;
  std::thread worker_;
};

}  // namespace berth::standin
