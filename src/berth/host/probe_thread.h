// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "berth/base/result.h"
#include "berth/probe/memory.h"

namespace berth::host {

/// Reads the machine on a thread of its own: a read of /proc can take as long as a process in D
/// state holds its memory lock.
///
/// Threads: `read` from one thread at a time; `done` runs on the probe thread and must not block.
class ProbeThread {
 public:
  using Sample = Result<std::vector<probe::ProcessMemory>>;

  ProbeThread();
  ~ProbeThread();
  ProbeThread(const ProbeThread&) = delete;
  ProbeThread& operator=(const ProbeThread&) = delete;

  /// Reads all processes of these sessions and with these tags, then calls `done` once.
  void read(std::vector<pid_t> sessions, std::vector<std::string> tags,
            std::function<void(Sample)> done);

 private:
  struct Request {
    std::vector<pid_t> sessions;
    std::vector<std::string> tags;
    std::function<void(Sample)> done;
  };

  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Request> requests_;  // under mutex_
  bool stopping_ = false;          // under mutex_
  std::thread thread_;             // last: it uses all of the above
};

}  // namespace berth::host
