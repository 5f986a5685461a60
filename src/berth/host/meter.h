// SPDX-License-Identifier: Apache-2.0
// What the machine says of pools and servers (design section 5).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "berth/core/events.h"
#include "berth/core/types.h"
#include "berth/host/host.h"
#include "berth/host/probe_thread.h"

namespace berth::host {

/// Whose a process of ours is.
struct Owner {
  ServerId server;
  Generation generation;
  const core::Footprint* footprint = nullptr;  ///< says in which pools it lives
};

/// What the meter cannot see in a sample.
struct MeterContext {
  /// Of each process of `Machine::ours`; nothing: nobody's.
  std::vector<std::optional<Owner>> owners;
  std::vector<Bytes> promised;  ///< on the ledger, by pool
  bool settled = true;          ///< no server of ours was between rungs while it was taken
};

/// Makes pools, holders and shares of what the probe read. Keeps what a single sample does not
/// tell: foreign use while servers of ours come and go, and the CPU time of the sample before.
class Meter {
 public:
  Meter() = default;
  /// `uuids`: of the GPU, by pool; "" where the pool is none.
  Meter(std::vector<core::PoolConfig> pools, std::vector<std::string> uuids);

  /// Returns the sample for the core. Foreign use is told anew only by settled samples: what a
  /// server takes while it comes or goes would count as others'.
  /// Errors: in the sample; a GPU is gone.
  core::Measured measure(EffectId effect, const Machine& machine, const MeterContext& context);

  /// What the newest sample says of a server; all unknown before the first.
  [[nodiscard]] Usage usage(ServerId server) const;
  /// Who else uses pools that Berth does not have for itself, the largest first.
  [[nodiscard]] const std::vector<ForeignStatus>& foreign() const { return foreign_processes_; }
  /// Adds what is known of the pool besides the sample that the core has.
  void describe(PoolId pool, PoolStatus& status) const;
  /// Where the RAM of a process counts: in the first pool of its own that is no device, else in the
  /// machine's memory, if that is handed out.
  [[nodiscard]] std::optional<PoolId> memory_pool(const core::Footprint& footprint) const;
  /// What has to be read at `now`.
  [[nodiscard]] ProbeQuestion question(Instant now) const;

 private:
  struct Pool {
    core::PoolConfig config;
    std::string uuid;
    std::optional<Bytes> foreign;
    bool inferred = false;
    std::optional<int> utilisation;
  };
  /// CPU time by pid and start time.
  using Ticks = std::map<std::pair<pid_t, std::uint64_t>, std::uint64_t>;

  [[nodiscard]] core::Footprint shares_of(const Machine& machine, pid_t pid, Bytes memory,
                                          std::optional<PoolId> pool) const;
  void add_ours(core::Measured& measured, const Machine& machine, const MeterContext& context);
  void add_others(core::Measured& measured, const Machine& machine);
  [[nodiscard]] core::PoolSample capped(PoolId id, const core::Measured& measured) const;
  core::PoolSample host(PoolId id, const Machine& machine, bool settled);
  core::PoolSample device(PoolId id, const probe::Gpu& gpu, const core::Measured& measured,
                          const MeterContext& context);
  void note_cpu(const Machine& machine, const MeterContext& context);

  std::vector<Pool> pools_;
  bool sampled_ = false;
  bool vram_known_ = false;  ///< the driver tells of every process what it holds
  std::map<ServerId, Usage> usage_;
  std::vector<probe::OtherProcess> others_;  ///< of the newest walk
  std::optional<Instant> walked_at_;
  std::vector<ForeignStatus> foreign_processes_;
  Ticks ticks_;  ///< at `ticks_at_`
  std::optional<Instant> ticks_at_;
  std::map<ServerId, double> cpu_;       ///< percent, of the newest two samples far enough apart
  std::map<pid_t, double> foreign_cpu_;  ///< the same
};

}  // namespace berth::host
