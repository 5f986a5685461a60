// SPDX-License-Identifier: Apache-2.0
// Work for `berth simulate`: servers with their times, and who asks for what and when.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "berth/core/rehearsal.h"
#include "berth/core/types.h"

namespace berth::sim {

/// One request of a workload.
struct Task {
  ServerId server;
  core::ServerClass job_class = core::ServerClass::chat;
  Duration service{0};
};

/// A request at a known time, whatever becomes of others.
struct OpenTask {
  Duration at{0};
  Task task;
};

/// A client that asks, waits for the answer, thinks, and asks again: task after task, then from the
/// first one, until `until`.
struct Loop {
  struct Turn {
    Task task;
    Duration think{0};  ///< after the answer
  };
  Duration from{0};
  Duration until{0};
  std::vector<Turn> turns;
};

struct Workload {
  core::Config config;
  std::vector<core::MoveTimes> moves;  ///< by server
  std::vector<OpenTask> open;          ///< in order of time
  std::vector<Loop> loops;
};

/// The clients of a workload: they ask when their time has come, the loops when they were answered.
class Clients {
 public:
  explicit Clients(const Workload& workload);

  struct Request {
    JobId job;
    Duration at{0};
    Task task;
  };
  /// Returns when somebody asks next. Nothing: nobody does before another answer.
  [[nodiscard]] std::optional<Duration> next_at() const;
  /// Takes the next request. There must be one.
  Request take();
  /// The job was answered or refused at that time.
  void over(JobId job, Duration at);

 private:
  struct Place {
    std::size_t loop = 0;
    std::size_t turn = 0;
  };
  void ask_later(Place place, Duration at);

  const Workload& workload_;
  std::size_t next_open_ = 0;
  std::map<std::pair<Duration, std::size_t>, Place> next_;  ///< by time, then loop
  std::map<JobId, Place> asked_;
  std::uint64_t last_job_ = 0;
};

}  // namespace berth::sim
