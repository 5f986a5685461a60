// SPDX-License-Identifier: Apache-2.0
// What a list of components needs together, pool by pool, and what would make it fit. The verdict
// and who has to leave are the planner's, every "it fits" is the admission formula's: nothing is
// decided here.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "berth/core/estimate.h"
#include "berth/core/types.h"

namespace berth::core {

/// Where a component is. Only what is `here` counts.
enum class Presence : std::uint8_t { here, not_running, elsewhere };

/// Share of all cores of the machine.
struct CpuShare {
  std::int32_t percent = 0;
  bool is_bound = false;  ///< it takes less than that

  bool operator==(const CpuShare&) const = default;
};

/// What a component takes in one pool.
struct PlanShare {
  PoolId pool;
  std::optional<Bytes> bytes;     ///< nothing: unknown, which is never zero
  std::string source;             ///< declared, formula, header, learned
  std::optional<Bytes> loaded{};  ///< once its models are loaded, before it works
  std::optional<Bytes> spike{};   ///< at times, with several jobs queued

  bool operator==(const PlanShare&) const = default;
};

/// One program that wants memory.
struct PlanComponent {
  std::string name;
  ServerClass job_class = ServerClass::image;
  Wanted wanted = Wanted::on_demand;
  Presence presence = Presence::here;
  std::string machine;  ///< of one that is elsewhere
  std::vector<PlanShare> shares;
  std::optional<CpuShare> cpu;
  std::optional<Bytes> model_size;   ///< its shares are the seed's formula of this
  std::optional<LayerSplit> layers;  ///< of an LLM with a known size
  std::vector<std::string> notes;    ///< what was assumed
};

/// One memory of the machine.
struct PlanPool {
  std::string name;
  bool is_gpu = false;
  std::optional<Bytes> capacity;  ///< nothing: unknown
  Bytes reserve;
  Bytes foreign;
  Policy policy;
};

struct PlanQuestion {
  std::vector<PlanPool> pools;
  std::vector<PlanComponent> components;
};

enum class PlanVerdict : std::uint8_t { offload, direct, unknown };

/// Why a pool's verdict is what it is. `alone` to `fits`: nothing has to leave, because ...
enum class PlanReason : std::uint8_t {
  exceeds,           ///< together they are beyond the limit
  capacity_unknown,  ///< nobody said how large the pool is
  size_unknown,      ///< of a component
  alone,             ///< only one component wants the pool
  not_running,       ///< the others do not run
  elsewhere,         ///< the others run on other machines
  ample,             ///< and the pool is as large as the seed calls ample
  fits,              ///< together they are within the limit
};

/// What a component takes in one pool, as it is counted.
struct PlanRow {
  std::optional<Bytes> bytes;
  std::string source;
};

struct PoolReport {
  PoolId pool;
  std::vector<PlanRow> rows;    ///< by component
  std::optional<Bytes> need;    ///< of all together
  std::optional<Bytes> limit;   ///< share of the capacity less foreign, rounded down
  std::optional<Bytes> buffer;  ///< what is left of the capacity less foreign; may be negative
  std::optional<Bytes> spike;   ///< need, if all are at their spikes at once
  PlanVerdict verdict = PlanVerdict::unknown;
  PlanReason reason = PlanReason::fits;
  bool oversize = false;                ///< the newcomer alone is beyond the empty machine's limit
  std::optional<std::size_t> newcomer;  ///< the component that the others would leave for
  std::vector<std::size_t> leaving;     ///< who has to leave for it
  Bytes freed;                          ///< by those
  /// Even with all others gone it may not come: foreign use is in the way, or the policy refuses.
  bool stays_out = false;
};

enum class AdviceKind : std::uint8_t {
  sequential,       ///< `component` comes when the others have left
  fewer_layers,     ///< `component` with `layers` on the GPU, `bytes`
  smaller_context,  ///< of the LLM `component`
  smaller_model,    ///< `component` with a file of `bytes` at most
  smaller_need,     ///< `component` with `bytes` at most, where no formula is known
  on_cpu,           ///< the LLM `component`, taking `bytes` of RAM
  other_device,     ///< `component` in `pool`, which has room for it
  own_device,       ///< a GPU for `component` alone: from `bytes`
  larger_pool,      ///< the smallest one that holds all: `bytes`
  second_machine,   ///< for `component`
  spike,            ///< within the limit, but not with spikes: `bytes`
  contention,       ///< `component` works on the CPU beside `beside` on the GPU
};

struct Advice {
  AdviceKind kind;
  std::size_t component = 0;
  PoolId pool;
  Bytes bytes;
  std::int64_t layers = 0;
  std::size_t beside = 0;
};

struct PlanReport {
  std::vector<PoolReport> pools;  ///< by pool of the question
  std::size_t bottleneck = 0;
  std::vector<Advice> advice;
};

/// Returns the report. The bottleneck is the GPU's pool, of several the one with the least room
/// below its limit; without a GPU it is the first pool.
///
/// The newcomer of a pool is who the seed's LLM leaves for: the component of the best class, of
/// several the one that needs most there, of equals the last.
///
/// Errors: none; there must be a pool.
/// Source: seeds/resource-orchestration.md; seeds/resource-management-guide.md.
PlanReport report_on(const PlanQuestion& question);

/// Returns one pool's part of the report.
PoolReport report_on_pool(const PlanQuestion& question, PoolId pool);

/// Returns what would make it fit and what is in the way of speed, the seed's own advice first.
std::vector<Advice> advice_on(const PlanQuestion& question, const PlanReport& report);

/// Returns an LLM with the seed's formulas applied: in VRAM by its layers on the GPU; in RAM if it
/// has none there, or if there is no GPU.
PlanComponent seed_llm(std::string name, std::optional<Bytes> model_size, const LayerSplit& layers,
                       std::optional<PoolId> vram, PoolId ram);

/// The same for a diffusion model.
PlanComponent seed_diffusion(std::string name, std::optional<Bytes> model_size,
                             std::optional<PoolId> vram, PoolId ram);

/// Returns the component that the seed declares under that name, nothing if it knows none.
/// Source: seeds/resource-management-guide.md, "Resource Requirements" and "ComfyUI Resource
/// Profile".
std::optional<PlanComponent> declared_component(std::string_view name, std::optional<PoolId> vram,
                                                PoolId ram);

}  // namespace berth::core
