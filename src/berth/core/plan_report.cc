// SPDX-License-Identifier: Apache-2.0
#include "berth/core/plan_report.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "berth/base/assert.h"
#include "berth/core/admission.h"
#include "berth/core/planner.h"

namespace berth::core {
namespace {

/// "System has ample resources": where the seed says that it is not needed.
constexpr Bytes kAmpleVram = 24_GB;
constexpr Bytes kAmpleRam = 32_GB;
constexpr std::string_view kNoShare = "none";

/// A share beyond this is counted as this: larger than every pool, and sums do not run over.
constexpr Bytes kShareMost{std::int64_t{1} << 53};

const PlanShare* share_in(const PlanComponent& component, PoolId pool) {
  const auto& shares = component.shares;
  const auto found = std::find_if(shares.begin(), shares.end(),
                                  [&](const PlanShare& share) { return share.pool == pool; });
  return found == shares.end() ? nullptr : &*found;
}

PlanRow row_of(const PlanComponent& component, PoolId pool) {
  const PlanShare* share = share_in(component, pool);
  if (share == nullptr) return {Bytes{0}, std::string(kNoShare)};
  if (component.presence == Presence::not_running) return {Bytes{0}, "not running"};
  if (component.presence == Presence::elsewhere) return {Bytes{0}, "on " + component.machine};
  if (!share->bytes) return {std::nullopt, "unknown"};
  return {std::min(*share->bytes, kShareMost), share->source};
}

/// Does the component want the pool, wherever it is?
bool wants(const PlanComponent& component, PoolId pool) {
  const PlanShare* share = share_in(component, pool);
  return share != nullptr && (!share->bytes || share->bytes->count > 0);
}

bool takes_memory(const PlanRow& row) {
  return !row.bytes || row.bytes->count > 0;
}

std::optional<std::size_t> newcomer_of(const PlanQuestion& question,
                                       const std::vector<PlanRow>& rows) {
  std::optional<std::size_t> best;
  const auto rank = [&](std::size_t i) {
    constexpr Bytes kUnknown{std::numeric_limits<std::int64_t>::max()};
    const auto job_class = static_cast<int>(question.components[i].job_class);
    return std::tuple(-job_class, rows[i].bytes.value_or(kUnknown));
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (takes_memory(rows[i]) && (!best || rank(i) >= rank(*best))) best = i;
  }
  return best;
}

/// The machine with everybody but the newcomer in memory, as the scheduler would know it, and
/// whose servers they are.
struct World {
  State state;
  std::vector<std::size_t> components;  ///< by server
  ServerId newcomer;
};

World world_of(const PlanQuestion& question, const PoolReport& report) {
  const PlanPool& pool = question.pools[report.pool.value];
  const PoolConfig config{.name = pool.name, .capacity = *pool.capacity, .reserve = pool.reserve};
  World world;
  State& state = world.state;
  state.config.pools = {config};
  state.config.policy = pool.policy;
  state.sample = {{.pool = PoolId{0}, .capacity = *pool.capacity, .foreign = pool.foreign}};
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    if (!takes_memory(report.rows[i])) continue;
    const ServerId id{static_cast<std::uint32_t>(state.servers.size())};
    const PlanComponent& component = question.components[i];
    Server server;
    server.config.name = component.name;
    server.config.job_class = component.job_class;
    server.config.footprint = {{{PoolId{0}, *report.rows[i].bytes}}};
    server.wanted = component.wanted;
    if (i == *report.newcomer) {
      world.newcomer = id;
    } else {
      server.state = ServerState::ready;
      state.ledger.reserve(id, server.generation, server.config.footprint, Instant{});
      state.ledger.hold(id, server.generation, Instant{});
    }
    state.config.servers.push_back(server.config);
    state.servers.push_back(std::move(server));
    world.components.push_back(i);
  }
  return world;
}

/// Asks the planner.
void judge(const PlanQuestion& question, PoolReport& report) {
  const World world = world_of(question, report);
  const auto job_class =
      static_cast<std::int32_t>(world.state.server(world.newcomer).config.job_class);
  const Plan plan = plan_for_class(world.state, world.newcomer, job_class, Instant{});
  report.oversize = plan.claim.oversize;
  report.verdict = plan.verdict == Verdict::fits ? PlanVerdict::direct : PlanVerdict::offload;
  report.stays_out = plan.verdict == Verdict::blocked || plan.verdict == Verdict::impossible;
  for (const ServerId victim : plan.claim.victims) {
    const std::size_t component = world.components[victim.value];
    report.leaving.push_back(component);
    report.freed += *report.rows[component].bytes;
  }
}

bool is_ample(const PlanPool& pool) {
  return *pool.capacity >= (pool.is_gpu ? kAmpleVram : kAmpleRam);
}

/// Why nothing has to leave.
PlanReason why_direct(const PlanQuestion& question, const PoolReport& report) {
  std::size_t together = 0;
  bool others_rest = false;
  bool others_elsewhere = false;
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    const PlanComponent& component = question.components[i];
    if (!wants(component, report.pool)) continue;
    together += component.presence == Presence::here ? 1U : 0U;
    others_rest = others_rest || component.presence == Presence::not_running;
    others_elsewhere = others_elsewhere || component.presence == Presence::elsewhere;
  }
  if (together <= 1) {
    if (others_elsewhere) return PlanReason::elsewhere;
    return others_rest ? PlanReason::not_running : PlanReason::alone;
  }
  return is_ample(question.pools[report.pool.value]) ? PlanReason::ample : PlanReason::fits;
}

/// Fills in the sums, as far as they are known.
void sum_up(const PlanQuestion& question, PoolReport& report) {
  const PlanPool& pool = question.pools[report.pool.value];
  if (pool.capacity) report.limit = limit_of(*pool.capacity, pool.foreign, pool.policy);
  const bool known = std::all_of(report.rows.begin(), report.rows.end(),
                                 [](const PlanRow& row) { return row.bytes.has_value(); });
  if (!known) return;
  Bytes need;
  Bytes spike;
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    const Bytes bytes = *report.rows[i].bytes;
    const PlanShare* share = share_in(question.components[i], report.pool);
    const bool counts = question.components[i].presence == Presence::here && share != nullptr;
    need += bytes;
    spike += counts ? std::max(bytes, share->spike.value_or(bytes)) : bytes;
  }
  report.need = need;
  report.spike = spike;
  if (pool.capacity) report.buffer = *pool.capacity - pool.foreign - need;
}

/// What is left below the limit; an unknown need leaves the least.
Bytes room_of(const PoolReport& report) {
  if (!report.need || !report.limit) return {std::numeric_limits<std::int64_t>::min()};
  return *report.limit - *report.need;
}

std::size_t bottleneck_of(const PlanQuestion& question, const std::vector<PoolReport>& reports) {
  std::size_t tightest = 0;
  for (std::size_t i = 1; i < reports.size(); ++i) {
    const bool is_gpu = question.pools[i].is_gpu;
    const bool was_gpu = question.pools[tightest].is_gpu;
    const bool is_tighter = is_gpu && room_of(reports[i]) < room_of(reports[tightest]);
    if ((is_gpu && !was_gpu) || is_tighter) tightest = i;
  }
  return tightest;
}

constexpr std::string_view kFormula = "formula";
constexpr std::string_view kDeclared = "declared";

}  // namespace

PoolReport report_on_pool(const PlanQuestion& question, PoolId pool) {
  PoolReport report;
  report.pool = pool;
  for (const PlanComponent& component : question.components)
    report.rows.push_back(row_of(component, pool));
  report.newcomer = newcomer_of(question, report.rows);
  sum_up(question, report);
  if (!report.need || !report.limit) {
    report.reason = report.limit ? PlanReason::size_unknown : PlanReason::capacity_unknown;
    return report;
  }
  report.verdict = PlanVerdict::direct;
  if (report.newcomer) judge(question, report);
  report.reason =
      report.verdict == PlanVerdict::offload ? PlanReason::exceeds : why_direct(question, report);
  return report;
}

PlanReport report_on(const PlanQuestion& question) {
  BERTH_ASSERT(!question.pools.empty());
  PlanReport report;
  for (std::uint32_t i = 0; i < question.pools.size(); ++i)
    report.pools.push_back(report_on_pool(question, PoolId{i}));
  report.bottleneck = bottleneck_of(question, report.pools);
  report.advice = advice_on(question, report);
  return report;
}

PlanComponent seed_llm(std::string name, std::optional<Bytes> model_size, const LayerSplit& layers,
                       std::optional<PoolId> vram, PoolId ram) {
  const bool on_gpu = vram && layers.on_gpu != 0;
  PlanComponent llm{.name = std::move(name), .job_class = ServerClass::chat};
  llm.model_size = model_size;
  llm.layers = layers;
  std::optional<Bytes> bytes;
  if (model_size) {
    bytes = on_gpu ? seed_gpu_footprint(*model_size, layers) : seed_footprint(*model_size);
  }
  if (on_gpu && layers.on_gpu > 0 && !layers.total) {
    llm.notes.emplace_back("how many layers it has is not known: all are taken to be on the GPU");
  }
  if (!vram && layers.on_gpu != 0) llm.layers = LayerSplit{.on_gpu = 0, .total = layers.total};
  llm.shares = {{.pool = on_gpu ? *vram : ram, .bytes = bytes, .source = std::string(kFormula)}};
  return llm;
}

PlanComponent seed_diffusion(std::string name, std::optional<Bytes> model_size,
                             std::optional<PoolId> vram, PoolId ram) {
  PlanComponent diffusion{.name = std::move(name), .job_class = ServerClass::image};
  diffusion.model_size = model_size;
  std::optional<Bytes> bytes;
  if (model_size) bytes = seed_footprint(*model_size);
  diffusion.shares = {{vram.value_or(ram), bytes, std::string(kFormula)}};
  return diffusion;
}

std::optional<PlanComponent> declared_component(std::string_view name, std::optional<PoolId> vram,
                                                PoolId ram) {
  if (name != "WAN I2V" || !vram) return std::nullopt;
  PlanComponent wan{.name = std::string(name), .job_class = ServerClass::video};
  wan.shares = {{*vram, 21_GB, std::string(kDeclared), 18_GB, 23_GB},
                {ram, 2_GB, std::string(kDeclared)}};
  wan.cpu = CpuShare{.percent = 16};
  return wan;
}

}  // namespace berth::core
