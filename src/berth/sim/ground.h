// SPDX-License-Identifier: Apache-2.0
// The truth of a simulated world, which the core never sees: processes, memory, jobs, the disk.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "berth/core/events.h"
#include "berth/sim/world.h"

namespace berth::sim {

struct Process {
  ServerId server;
  Generation generation;
  bool alive = true;
  bool ready = false;
  bool freed = false;      ///< it lives without its models
  bool deaf = false;       ///< answers nothing and survives every signal
  bool forgotten = false;  ///< ended before Berth last started: on nobody's books
  core::Footprint bytes;
};

struct JobTruth {
  enum class State : std::uint8_t { queued, running, over };
  ServerId server;
  core::ServerClass job_class = core::ServerClass::chat;
  core::JobKind kind = core::JobKind::request;
  std::uint32_t stream = 0;  ///< of a lease or hold
  State state = State::queued;
  Generation generation;  ///< of the server that it runs on
  std::optional<JobId> parent;
  std::optional<JobId> call{};          ///< its tool call, which it waits for
  std::optional<Instant> hold_until{};  ///< its client was promised an answer by then
};

struct Ground {
  explicit Ground(const World& from);

  const World* world;
  Instant now;
  std::vector<Bytes> foreign;  ///< by pool
  std::vector<Process> processes;
  std::vector<std::optional<core::Row>> rows;  ///< durable, by server
  std::map<JobId, JobTruth> jobs;
  core::Measured sample;          ///< the newest that was told
  Instant sampled_at;             ///< when it was taken
  std::vector<Instant> ended_at;  ///< the newest exit, or that it was freed, by server
  std::vector<Instant> freed_at;  ///< that it was freed; it may have ended since

  Process* find(ServerId server, Generation generation);
  [[nodiscard]] const Process* find(ServerId server, Generation generation) const;
  [[nodiscard]] const Process* newest_alive(ServerId server) const;
  [[nodiscard]] Bytes used(PoolId pool) const;
  [[nodiscard]] core::Measured measure(EffectId effect) const;
  /// Is it the place of a lease or hold, and no server of the world?
  [[nodiscard]] bool is_place(ServerId server) const;
  void note_end(ServerId server);
  /// Forgets processes that have ended and hold nothing.
  void bury();
};

}  // namespace berth::sim
