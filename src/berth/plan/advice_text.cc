// SPDX-License-Identifier: Apache-2.0
#include "berth/plan/advice_text.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "berth/plan/amounts.h"

namespace berth::plan {
namespace {

using core::Advice;
using core::AdviceKind;
using core::PlanPool;
using core::PlanQuestion;
using core::PlanReport;

/// Sizes in which memory is sold, in GB; cards of makers as of 2026.
constexpr auto kCards = std::to_array<std::int64_t>(
    {4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 141, 192, 288});
constexpr auto kRam =
    std::to_array<std::int64_t>({4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024});

template <std::size_t count>
std::string sold_as(const std::array<std::int64_t, count>& sizes, Bytes bytes) {
  const auto found = std::find_if(sizes.begin(), sizes.end(), [&](std::int64_t size) {
    return Bytes{size * 1'000'000'000} >= bytes;
  });
  if (found == sizes.end()) return "larger than any that is sold";
  return fmt::format("so one of {} GB", *found);
}

std::string larger_pool(const PlanPool& pool, const Advice& advice) {
  const std::string least = gigabytes(advice.bytes, Rounding::up);
  if (pool.is_gpu) {
    return fmt::format("the smallest card that fits all: {}, {}", least,
                       sold_as(kCards, advice.bytes));
  }
  if (pool.name != "ram") return fmt::format("the least that {} must have: {}", pool.name, least);
  return fmt::format("the least RAM that fits all: {}, {}", least, sold_as(kRam, advice.bytes));
}

std::string smaller_model(const std::string& name, const Advice& advice, Bytes now) {
  return fmt::format("a smaller model: {} from a file of at most {} (it has {})", name,
                     gigabytes(advice.bytes, Rounding::down), gigabytes(now));
}

/// The seed measured 68 s with an LLM on the CPU and 45 to 60 s without: "20-30% faster".
std::string contention(const std::string& name, const std::string& beside) {
  return fmt::format(
      "contention: {} works on the CPU beside {}; without it a render was measured to be 20 to 30 "
      "% "
      "faster. Put its layers on the GPU, or keep it out meanwhile: berth hold SERVER --exclusive "
      "-- COMMAND",
      name, beside);
}

}  // namespace

std::string advice_sentence(const PlanQuestion& question, const PlanReport& report,
                            const Advice& advice) {
  const core::PlanComponent& component = question.components[advice.component];
  const PlanPool& pool = question.pools[advice.pool.value];
  const core::PoolReport& there = report.pools[advice.pool.value];
  const std::string& name = component.name;
  const std::string amount = gigabytes(advice.bytes);
  switch (advice.kind) {
    case AdviceKind::sequential: {
      std::vector<std::string> leaving;
      for (const std::size_t each : there.leaving)
        leaving.push_back(question.components[each].name);
      return fmt::format("sequential, what Berth does: {} out while {} works, and back after",
                         fmt::join(leaving, ", "), name);
    }
    case AdviceKind::fewer_layers:
      return fmt::format("fewer layers: {} with at most {} of {} on the GPU takes {}", name,
                         advice.layers, component.layers->total.value_or(0), amount);
    case AdviceKind::smaller_context:
      return fmt::format("a smaller context for {}: its KV cache shrinks with it", name);
    case AdviceKind::smaller_model:
      return smaller_model(name, advice, component.model_size.value_or(Bytes{}));
    case AdviceKind::smaller_need:
      return fmt::format("a smaller model or job: {} in at most {} (it takes {})", name,
                         gigabytes(advice.bytes, Rounding::down),
                         gigabytes(there.rows[advice.component].bytes));
    case AdviceKind::on_cpu:
      return fmt::format("{} on the CPU, no layers on the GPU: {} of {} instead", name, amount,
                         pool.name == "ram" ? "RAM" : pool.name);
    case AdviceKind::other_device:
      return fmt::format("another device: {} on {}, which has room for its {}", name, pool.name,
                         amount);
    case AdviceKind::own_device:
      return fmt::format("a GPU of its own for {}: from {}, {}", name,
                         gigabytes(advice.bytes, Rounding::up), sold_as(kCards, advice.bytes));
    case AdviceKind::larger_pool:
      return larger_pool(pool, advice);
    case AdviceKind::second_machine:
      return fmt::format(
          "a second machine for {}, or a model behind an API instead: nobody has to leave", name);
    case AdviceKind::spike:
      return fmt::format(
          "with several jobs queued {} takes up to {}, more than its limit of {}: queue one at a "
          "time, or work one after the other",
          pool.name, amount, gigabytes(there.limit));
    case AdviceKind::contention:
      return contention(name, question.components[advice.beside].name);
  }
  return "";
}

bool is_warning(const Advice& advice) {
  return advice.kind == AdviceKind::spike || advice.kind == AdviceKind::contention;
}

}  // namespace berth::plan
