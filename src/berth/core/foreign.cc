// SPDX-License-Identifier: Apache-2.0
#include "berth/core/foreign.h"

#include <algorithm>

#include <fmt/format.h>

#include "berth/core/planner.h"

namespace berth::core {
namespace {

bool has_plan(const State& state, ServerId newcomer, Instant now) {
  const Plan plan = plan_for_job(state, newcomer, now);
  return plan.verdict == Verdict::fits || plan.verdict == Verdict::offload;
}

}  // namespace

std::optional<PoolSample> foreign_in_the_way(const State& state, ServerId newcomer, Instant now) {
  std::optional<PoolSample> most;
  State alone = state;
  for (PoolSample& sample : alone.sample) {
    if (state.server(newcomer).config.footprint.in(sample.pool).count == 0) continue;
    if (sample.foreign.count > (most ? most->foreign.count : 0)) most = sample;
    sample.foreign = {};
  }
  const bool in_the_way = most && !has_plan(state, newcomer, now) && has_plan(alone, newcomer, now);
  return in_the_way ? most : std::nullopt;
}

std::vector<Holder> others_in(const State& state, PoolId pool, std::size_t count_max) {
  std::vector<Holder> others;
  for (const Holder& holder : state.holders) {
    if (!holder.server && holder.bytes.in(pool).count > 0) others.push_back(holder);
  }
  std::stable_sort(others.begin(), others.end(), [pool](const Holder& a, const Holder& b) {
    return a.bytes.in(pool) > b.bytes.in(pool);
  });
  if (others.size() > count_max) others.resize(count_max);
  return others;
}

std::string foreign_text(const State& state, PoolId pool) {
  std::string names;
  for (const Holder& holder : others_in(state, pool)) {
    names += fmt::format("{}{}, pid {}, {}", names.empty() ? " (" : "; ", holder.program,
                         holder.pid, to_text(holder.bytes.in(pool)));
  }
  return fmt::format("{} of pool \"{}\" are used by others{}{}",
                     to_text(state.sample.at(pool.value).foreign),
                     state.config.pools[pool.value].name, names, names.empty() ? "" : ")");
}

}  // namespace berth::core
