// SPDX-License-Identifier: Apache-2.0
#include "berth/plan/report_json.h"

#include <boost/json.hpp>

#include "berth/plan/advice_text.h"

namespace berth::plan {
namespace {

namespace json = boost::json;
using core::PlanQuestion;
using core::PlanReport;
using core::PlanVerdict;
using core::PoolReport;

json::value bytes_of(const std::optional<Bytes>& bytes) {
  return bytes ? json::value(bytes->count) : json::value(nullptr);
}

json::array components_of(const PlanQuestion& question, const PoolReport& report) {
  json::array components;
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    components.push_back({{"name", question.components[i].name},
                          {"bytes", bytes_of(report.rows[i].bytes)},
                          {"source", report.rows[i].source}});
  }
  return components;
}

/// The members stand in the order of issue 6.
json::object pool_of(const PlanQuestion& question, const PoolReport& report) {
  const core::PlanPool& pool = question.pools[report.pool.value];
  json::object object;
  object["pool"] = pool.name;
  object["capacity_bytes"] = bytes_of(pool.capacity);
  object["foreign_bytes"] = pool.foreign.count;
  object["limit_bytes"] = bytes_of(report.limit);
  object["need_bytes"] = bytes_of(report.need);
  object["buffer_bytes"] = bytes_of(report.buffer);
  object["verdict"] = verdict_name(report.verdict);
  object["oversize"] = report.oversize;
  object["components"] = components_of(question, report);
  return object;
}

}  // namespace

std::string_view verdict_name(PlanVerdict verdict) {
  switch (verdict) {
    case PlanVerdict::offload:
      return "offload";
    case PlanVerdict::direct:
      return "direct";
    case PlanVerdict::unknown:
      return "unknown";
  }
  return "unknown";
}

std::vector<std::size_t> shown_pools(const PlanQuestion& question, const PlanReport& report) {
  std::vector<std::size_t> shown;
  for (std::size_t i = 0; i < question.pools.size(); ++i) {
    const bool is_wanted = !report.pools[i].need || report.pools[i].need->count > 0;
    if (question.pools[i].capacity || is_wanted) shown.push_back(i);
  }
  // As the seed's tables have it: RAM stands before VRAM.
  std::stable_sort(shown.begin(), shown.end(), [&](std::size_t a, std::size_t b) {
    return question.pools[a].is_gpu < question.pools[b].is_gpu;
  });
  return shown;
}

std::string report_json(const PlanQuestion& question, const PlanReport& report) {
  json::object object = pool_of(question, report.pools[report.bottleneck]);
  json::array pools;
  for (const std::size_t pool : shown_pools(question, report))
    pools.push_back(pool_of(question, report.pools[pool]));
  object["pools"] = std::move(pools);
  json::array advice;
  for (const core::Advice& each : report.advice)
    advice.emplace_back(advice_sentence(question, report, each));
  object["advice"] = std::move(advice);
  return json::serialize(object);
}

}  // namespace berth::plan
