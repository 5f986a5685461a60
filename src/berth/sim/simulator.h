// SPDX-License-Identifier: Apache-2.0
// One world, from its first event to rest: the real core::Scheduler under virtual time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "berth/base/rng.h"
#include "berth/core/scheduler.h"
#include "berth/sim/checks.h"
#include "berth/sim/ground.h"
#include "berth/sim/probes.h"
#include "berth/sim/world.h"

namespace berth::sim {

struct Outcome {
  std::optional<std::string> violation;  ///< nothing: every invariant held
  std::int64_t events = 0;
  std::uint64_t put_out = 0;  ///< servers that left for somebody's job, oversize ones aside
};

/// Plays host, servers, clients, user and machine. Threads: none of its own.
class Simulator {
 public:
  /// `probes` counts what was reached. `trace` gets every event, action and state, if set.
  Simulator(World world, ProbeCounts& probes, std::function<void(const std::string&)> trace = {});
  ~Simulator();

  Outcome run();

 private:
  enum class Kind : std::uint8_t {
    commit_done,
    up_done,
    down_done,
    sample_told,
    timer,
    work_done,
    exit_told,
    deaf_told,
    appears,
    appear_told,
    stale,
    arrival,
    call,
    leaves,
    memory_back,
    dies,
    user,
    foreign,
    recover,
  };
  enum class Start : std::uint8_t { ok, refused, died, never };
  struct Due {
    Instant at;
    std::uint64_t order = 0;
    Kind kind = Kind::timer;
    std::uint64_t life = 0;  ///< of the host that waits for it
    ServerId server{};
    Generation generation{};
    EffectId effect{};
    JobId job{};
    TimerId timer{};
    std::uint32_t stream = 0;
    Start start = Start::ok;
    core::JobEnd how = core::JobEnd::done;
    bool bad = false;
    bool frees = false;
    Bytes bytes{};
    std::shared_ptr<core::Row> row{};
    std::shared_ptr<core::Measured> sample{};
    Instant taken_at{};

    bool operator<(const Due& other) const {  // the queue's top is the largest
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  void push(Duration in, Due due);
  [[nodiscard]] static bool is_for_core(Kind kind);
  void happen(const Due& due);
  void feed(const core::Event& event);
  void crash();
  void recover();
  void calm_down();
  void finish(JobId id);

  void take(const core::Commit& action);
  void take(const core::MoveTo& action);
  void take(const core::Dispatch& action);
  void granted(const core::Dispatch& action);
  void take(const core::Cancel& action);
  void take(const core::Measure& action);
  void take(const core::SetTimer& action);
  void take(const core::Reject& action);
  void take(const core::Announce& action);
  void go_up(const core::MoveTo& action);
  void go_down(const core::MoveTo& action);
  void load(Process& process);

  void died(const Due& due);
  void came_up(const Due& due);
  void went_down(const Due& due);
  void was_freed(Process& process);
  void appears(const Due& due);
  void written(const Due& due);
  void gave_back(const Due& due);
  void appeared(const Due& due);
  void work_ended(const Due& due);
  void arrive(const Due& due);
  [[nodiscard]] core::JobArrived arrival_of(JobId id, const JobTruth& job) const;
  bool promise_answer(JobId id);
  void leave(const Due& due);
  void call_tool(const Due& due);
  void change_foreign();
  void user_acts();
  void feed_stale();
  void end_process(Process& process);
  void give_back(const Process& process, Duration in, Bytes keep);
  void probe_event(const core::Event& event);
  void probe_state();
  void hit(Probe probe) { probes_[static_cast<std::size_t>(probe)] += 1; }
  bool chance(int per_mille) { return !calm_ && per_mille > 0 && rng_.chance(per_mille); }

  World world_;
  ProbeCounts& probes_;
  std::function<void(const std::string&)> trace_;
  Rng rng_;
  Ground ground_;
  Checks checks_;
  std::unique_ptr<core::Scheduler> core_;  ///< null while Berth is dead
  std::priority_queue<Due> dues_;
  std::uint64_t order_ = 0;
  std::uint64_t life_ = 0;
  std::int64_t core_dues_ = 0;      ///< of this life, that end in an event for the core
  std::vector<EffectId> moves_;     ///< the newest, by server
  std::vector<Instant> disk_free_;  ///< rows of one server are written in order
  std::vector<EffectId> past_effects_;
  std::uint64_t last_job_ = 0;
  std::int64_t events_ = 0;
  std::uint64_t puts_out_ = 0;
  bool calm_ = false;
  std::optional<std::string> violation_;
};

}  // namespace berth::sim
