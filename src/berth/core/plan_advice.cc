// SPDX-License-Identifier: Apache-2.0
// What would make a plan fit: every number here is one at which the admission formula says yes.
#include <algorithm>

#include "berth/core/admission.h"
#include "berth/core/plan_report.h"

namespace berth::core {
namespace {

/// Below this share of the cores a program beside a render is not felt: the seed's dev server
/// (< 5 %) is "minimal", its LLM (20 %) slows the render by 20 to 30 %.
constexpr std::int32_t kContentionPercent = 10;

/// One pool that is beyond its limit.
struct Scarce {
  const PlanQuestion& question;
  const PoolReport& report;

  [[nodiscard]] const PlanPool& pool() const { return question.pools[report.pool.value]; }
  [[nodiscard]] Bytes bytes_of(std::size_t component) const {
    return *report.rows[component].bytes;
  }
  /// Would it fit if the component took so much?
  [[nodiscard]] bool fits_with(std::size_t component, Bytes bytes) const {
    return fits({.need = bytes,
                 .others = *report.need - bytes_of(component),
                 .reserve = pool().reserve,
                 .capacity = *pool().capacity,
                 .foreign = pool().foreign},
                pool().policy);
  }
  [[nodiscard]] bool is_llm(std::size_t component) const {
    return question.components[component].job_class == ServerClass::chat;
  }
  /// Is the pool within its limit without the component, or with one oversize component alone?
  [[nodiscard]] bool fits_without(std::size_t component) const {
    PlanQuestion fewer = question;
    fewer.components[component].presence = Presence::not_running;
    return report_on_pool(fewer, report.pool).verdict == PlanVerdict::direct;
  }
};

/// Returns the largest number below `end` for which `holds`, 0 if there is none. `holds` must be
/// true up to some number and false beyond.
template <class Holds>
std::int64_t largest(std::int64_t end, Holds holds) {
  std::int64_t yes = 0;
  while (end - yes > 1) {
    const std::int64_t middle = yes + (end - yes) / 2;
    (holds(middle) ? yes : end) = middle;
  }
  return yes;
}

Bytes footprint_of(const PlanComponent& component, Bytes model_size) {
  return component.layers && component.layers->on_gpu != 0
             ? seed_gpu_footprint(model_size, *component.layers)
             : seed_footprint(model_size);
}

void advise_fewer_layers(const Scarce& scarce, std::size_t i, std::vector<Advice>& advice) {
  const PlanComponent& llm = scarce.question.components[i];
  if (!scarce.pool().is_gpu || !llm.model_size || !llm.layers || !llm.layers->total) return;
  const std::int64_t total = *llm.layers->total;
  const std::int64_t now = llm.layers->on_gpu < 0 ? total : std::min(llm.layers->on_gpu, total);
  const auto with = [&](std::int64_t layers) {
    return seed_gpu_footprint(*llm.model_size, {.on_gpu = layers, .total = total});
  };
  const std::int64_t layers =
      largest(now, [&](std::int64_t n) { return scarce.fits_with(i, with(n)); });
  if (layers == 0) return;
  advice.push_back({.kind = AdviceKind::fewer_layers,
                    .component = i,
                    .pool = scarce.report.pool,
                    .bytes = with(layers),
                    .layers = layers});
}

void advise_smaller_model(const Scarce& scarce, std::size_t i, std::vector<Advice>& advice) {
  const PlanComponent& component = scarce.question.components[i];
  const bool has_formula = component.model_size.has_value();
  const std::int64_t now = has_formula ? component.model_size->count : scarce.bytes_of(i).count;
  const std::int64_t bytes = largest(now, [&](std::int64_t n) {
    const Bytes need = has_formula ? footprint_of(component, Bytes{n}) : Bytes{n};
    return scarce.fits_with(i, need);
  });
  if (bytes == 0) return;
  advice.push_back({.kind = has_formula ? AdviceKind::smaller_model : AdviceKind::smaller_need,
                    .component = i,
                    .pool = scarce.report.pool,
                    .bytes = Bytes{bytes}});
}

/// The first pool that is no GPU's: where an LLM lies whose layers are on the CPU.
std::optional<std::size_t> ram_of(const PlanQuestion& question) {
  const auto& pools = question.pools;
  const auto found =
      std::find_if(pools.begin(), pools.end(), [](const PlanPool& pool) { return !pool.is_gpu; });
  if (found == pools.end()) return std::nullopt;
  return static_cast<std::size_t>(found - pools.begin());
}

bool has_room(const PlanQuestion& question, const PoolReport& there, Bytes bytes) {
  const PlanPool& pool = question.pools[there.pool.value];
  if (!there.need || !pool.capacity) return false;
  return fits({.need = bytes,
               .others = *there.need,
               .reserve = pool.reserve,
               .capacity = *pool.capacity,
               .foreign = pool.foreign},
              pool.policy);
}

/// Where the RAM is not known, nothing speaks against it.
void advise_cpu(const Scarce& scarce, const PlanReport& report, std::size_t i,
                std::vector<Advice>& advice) {
  const PlanComponent& llm = scarce.question.components[i];
  const auto ram = ram_of(scarce.question);
  if (!scarce.pool().is_gpu || !ram || !scarce.fits_without(i)) return;
  const Bytes bytes = llm.model_size ? seed_footprint(*llm.model_size) : scarce.bytes_of(i);
  const bool known = scarce.question.pools[*ram].capacity.has_value();
  if (known && !has_room(scarce.question, report.pools[*ram], bytes)) return;
  advice.push_back({.kind = AdviceKind::on_cpu,
                    .component = i,
                    .pool = PoolId{static_cast<std::uint32_t>(*ram)},
                    .bytes = bytes});
}

void advise_other_device(const Scarce& scarce, const PlanReport& report,
                         std::vector<Advice>& advice) {
  if (!scarce.pool().is_gpu) return;
  const std::size_t newcomer = *scarce.report.newcomer;
  const std::size_t before = advice.size();
  for (const PoolReport& there : report.pools) {
    const bool other = there.pool != scarce.report.pool;
    if (!other || !scarce.question.pools[there.pool.value].is_gpu) continue;
    for (std::size_t i = 0; i < scarce.report.rows.size(); ++i) {
      const Bytes bytes = scarce.bytes_of(i);
      const bool helps = bytes.count > 0 && scarce.fits_without(i);
      if (!helps || !has_room(scarce.question, there, bytes)) continue;
      advice.push_back(
          {.kind = AdviceKind::other_device, .component = i, .pool = there.pool, .bytes = bytes});
    }
  }
  if (advice.size() > before) return;
  const Bytes alone = smallest_capacity(scarce.bytes_of(newcomer), Bytes{0}, scarce.pool().reserve,
                                        scarce.pool().policy);
  advice.push_back({.kind = AdviceKind::own_device, .component = newcomer, .bytes = alone});
}

/// For what is the same whichever pool it was found for.
void add_once(std::vector<Advice>& advice, const Advice& wanted) {
  const bool there = std::any_of(advice.begin(), advice.end(), [&](const Advice& each) {
    return each.kind == wanted.kind && each.component == wanted.component;
  });
  if (!there) advice.push_back(wanted);
}

void advise_on_pool(const Scarce& scarce, const PlanReport& report, std::vector<Advice>& advice) {
  const std::size_t newcomer = *scarce.report.newcomer;
  const PoolId pool = scarce.report.pool;
  if (!scarce.report.leaving.empty()) {
    add_once(advice, {.kind = AdviceKind::sequential, .component = newcomer, .pool = pool});
  }
  for (std::size_t i = 0; i < scarce.report.rows.size(); ++i) {
    if (scarce.bytes_of(i).count == 0) continue;
    const bool less_helps = scarce.fits_with(i, Bytes{0});
    if (scarce.is_llm(i) && less_helps) {
      advise_fewer_layers(scarce, i, advice);
      add_once(advice, {.kind = AdviceKind::smaller_context, .component = i, .pool = pool});
    }
    advise_smaller_model(scarce, i, advice);
    if (scarce.is_llm(i)) advise_cpu(scarce, report, i, advice);
  }
  advise_other_device(scarce, report, advice);
  advice.push_back({.kind = AdviceKind::larger_pool,
                    .pool = pool,
                    .bytes = smallest_capacity(*scarce.report.need, scarce.pool().foreign,
                                               scarce.pool().reserve, scarce.pool().policy)});
  if (scarce.report.leaving.empty()) return;
  add_once(advice, {.kind = AdviceKind::second_machine,
                    .component = scarce.report.leaving.front(),
                    .pool = pool});
}

/// Within the limit, but not while somebody is at its spike.
void advise_spikes(const PlanQuestion& question, const PoolReport& report,
                   std::vector<Advice>& advice) {
  const PlanPool& pool = question.pools[report.pool.value];
  const bool fits_so_far = report.verdict == PlanVerdict::direct && report.spike;
  if (!fits_so_far || *report.spike == *report.need) return;
  const bool fits_with_spikes = fits({.need = *report.spike,
                                      .others = {},
                                      .reserve = pool.reserve,
                                      .capacity = *pool.capacity,
                                      .foreign = pool.foreign},
                                     pool.policy);
  if (fits_with_spikes) return;
  advice.push_back({.kind = AdviceKind::spike, .pool = report.pool, .bytes = *report.spike});
}

bool is_on_gpu(const PlanQuestion& question, const PlanComponent& component) {
  return std::any_of(component.shares.begin(), component.shares.end(), [&](const PlanShare& share) {
    return question.pools[share.pool.value].is_gpu && (!share.bytes || share.bytes->count > 0);
  });
}

/// An LLM on the CPU, or whoever else works there, beside a picture or a video on the GPU.
void advise_contention(const PlanQuestion& question, std::vector<Advice>& advice) {
  const auto& components = question.components;
  for (std::size_t i = 0; i < components.size(); ++i) {
    const PlanComponent& each = components[i];
    if (each.presence != Presence::here || is_on_gpu(question, each)) continue;
    const bool is_llm = each.job_class == ServerClass::chat;
    const bool works = each.cpu ? each.cpu->percent >= kContentionPercent : is_llm;
    if (!works) continue;
    const auto render = std::find_if(components.begin(), components.end(), [&](const auto& other) {
      const bool draws =
          other.job_class == ServerClass::video || other.job_class == ServerClass::image;
      return other.presence == Presence::here && draws && is_on_gpu(question, other);
    });
    if (render == components.end()) continue;
    advice.push_back({.kind = AdviceKind::contention,
                      .component = i,
                      .beside = static_cast<std::size_t>(render - components.begin())});
  }
}

}  // namespace

std::vector<Advice> advice_on(const PlanQuestion& question, const PlanReport& report) {
  std::vector<Advice> advice;
  const auto on = [&](const PoolReport& each) {
    if (each.verdict == PlanVerdict::offload) advise_on_pool({question, each}, report, advice);
    advise_spikes(question, each, advice);
  };
  on(report.pools[report.bottleneck]);
  for (std::size_t i = 0; i < report.pools.size(); ++i) {
    if (i != report.bottleneck) on(report.pools[i]);
  }
  advise_contention(question, advice);
  return advice;
}

}  // namespace berth::core
