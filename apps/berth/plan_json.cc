// SPDX-License-Identifier: Apache-2.0
#include <boost/json.hpp>

#include "plan_advice_text.h"
#include "plan_text.h"

namespace berth::cli {
namespace {

namespace json = boost::json;
using core::PlanQuestion;
using core::PlanReport;
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

std::string plan_json(const PlanQuestion& question, const PlanReport& report) {
  json::object object = pool_of(question, report.pools[report.bottleneck]);
  json::array pools;
  for (const std::size_t pool : shown_pools(question, report))
    pools.push_back(pool_of(question, report.pools[pool]));
  object["pools"] = std::move(pools);
  json::array advice;
  for (const core::Advice& each : report.advice)
    advice.emplace_back(advice_sentence(question, report, each));
  object["advice"] = std::move(advice);
  return json::serialize(object) + "\n";
}

}  // namespace berth::cli
