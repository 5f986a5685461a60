// SPDX-License-Identifier: Apache-2.0
// What happened in one run of a workload, and its sums.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "berth/sim/workload.h"

namespace berth::sim {

/// What a server did for a while; a timeline's bar.
enum class Doing : std::uint8_t { loading, working, idle, stopping };

struct Bar {
  Duration from{0};
  Duration to{0};
  Doing doing = Doing::idle;
};

/// Waits of the jobs of one class, from arrival to start.
struct Waits {
  std::int64_t served = 0;
  Duration mean{0};
  Duration p50{0};
  Duration p99{0};
  Duration max{0};
};

struct Summary {
  std::string policy;
  std::int64_t swaps = 0;   ///< loads
  std::int64_t unused = 0;  ///< loads of a server that served nobody before it left
  std::int64_t served = 0;
  std::int64_t refused = 0;
  std::int64_t unserved = 0;       ///< still waiting when nothing was left to happen
  bool is_cut = false;             ///< it needed too many events
  std::int64_t beyond_bound = 0;   ///< requests that waited for longer than their bound (rule 9)
  std::optional<double> of_bound;  ///< the longest wait as a share of its bound; nothing: no bound
  Duration span{0};                ///< until the last job has ended
  double busy_share = 0;           ///< time in which any server works, of that and of moving
  double llm_absent = 0;           ///< share of the span in which no chat server is ready
  std::map<core::ServerClass, Waits> waits;
  std::vector<std::vector<Bar>> bars;  ///< by server
};

/// Takes down what a run says; sums it up at its end.
class Record {
 public:
  explicit Record(const Workload& workload);

  void arrived(JobId job, Duration at, core::ServerClass job_class);
  void started(JobId job, ServerId server, Duration at);
  void ended(JobId job, Duration at);
  void refused(JobId job);
  void loading(ServerId server, Duration at);
  void ready(ServerId server, Duration at);
  void stopping(ServerId server, Duration at);
  void gone(ServerId server, Duration at);

  Summary sum(std::string policy);

 private:
  struct Job {
    Duration arrived{0};
    core::ServerClass job_class = core::ServerClass::chat;
    std::optional<Duration> started;
    std::optional<ServerId> server;
  };
  struct Server {
    std::optional<Bar> open;
    std::int64_t running = 0;
    bool has_served = false;
    std::vector<Bar> bars;
  };
  void turn_to(ServerId id, std::optional<Doing> doing, Duration at);
  [[nodiscard]] double absent() const;
  [[nodiscard]] double busy() const;

  const Workload& workload_;
  std::map<JobId, Job> jobs_;
  std::vector<Server> servers_;
  std::map<core::ServerClass, std::vector<Duration>> waits_;
  Summary summary_;
};

}  // namespace berth::sim
