// SPDX-License-Identifier: Apache-2.0
// simulate: a workload under Berth's policy and under others.
#include <fstream>
#include <string_view>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/sim/policies.h"
#include "commands.h"
#include "table.h"
#include "workload_file.h"

namespace berth::cli {
namespace {

namespace json = boost::json;
using core::ServerClass;
using sim::Summary;
using sim::Waits;

constexpr std::string_view kBerth = "berth";
constexpr ServerClass kClasses[] = {ServerClass::chat, ServerClass::image, ServerClass::video,
                                    ServerClass::batch};

std::string_view name_of(ServerClass job_class) {
  switch (job_class) {
    case ServerClass::video:
      return "video";
    case ServerClass::image:
      return "image";
    case ServerClass::chat:
      return "chat";
    case ServerClass::batch:
      return "batch";
  }
  return "";
}

double in_seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Three significant places are enough to compare: "0.42", "5.3", "1240".
std::string short_seconds(Duration duration) {
  const double seconds = in_seconds(duration);
  const int places = seconds < 1 ? 2 : seconds < 100 ? 1 : 0;
  return fmt::format("{:.{}f}", seconds, places);
}

std::string waits_table(const std::vector<Summary>& summaries) {
  std::vector<Row> rows;
  for (const ServerClass job_class : kClasses) {
    for (const Summary& summary : summaries) {
      const auto found = summary.waits.find(job_class);
      if (found == summary.waits.end()) continue;
      const Waits& waits = found->second;
      rows.push_back({{{std::string(name_of(job_class))},
                       {summary.policy},
                       {std::to_string(waits.served)},
                       {short_seconds(waits.mean)},
                       {short_seconds(waits.p50)},
                       {short_seconds(waits.p99)},
                       {short_seconds(waits.max)}},
                      ""});
    }
  }
  return render_table({{"WAIT (s)"},
                       {"POLICY"},
                       {"JOBS", true},
                       {"MEAN", true},
                       {"P50", true},
                       {"P99", true},
                       {"MAX", true}},
                      rows);
}

std::string note_of(const Summary& summary) {
  if (summary.is_cut) return "cut: it needed too many events";
  if (summary.unserved == 0) return "";
  return fmt::format("{} jobs were never served", summary.unserved);
}

std::string sums_table(const std::vector<Summary>& summaries) {
  std::vector<Row> rows;
  for (const Summary& summary : summaries) {
    rows.push_back({{{summary.policy},
                     {std::to_string(summary.swaps)},
                     {std::to_string(summary.unused)},
                     {std::to_string(summary.served)},
                     {std::to_string(summary.refused)},
                     {fmt::format("{:.2f}", summary.busy_share)},
                     {fmt::format("{:.2f}", summary.llm_absent)},
                     {short_seconds(summary.span)}},
                    note_of(summary)});
  }
  return render_table({{"POLICY"},
                       {"SWAPS", true},
                       {"FOR NOBODY", true},
                       {"SERVED", true},
                       {"REFUSED", true},
                       {"BUSY", true},
                       {"LLM ABSENT", true},
                       {"SPAN (s)", true}},
                      rows);
}

json::object waits_json(const Waits& waits) {
  return {{"served", waits.served},
          {"mean_ms", milliseconds(waits.mean)},
          {"p50_ms", milliseconds(waits.p50)},
          {"p99_ms", milliseconds(waits.p99)},
          {"max_ms", milliseconds(waits.max)}};
}

std::string json_of(const std::vector<Summary>& summaries) {
  json::object policies;
  for (const Summary& summary : summaries) {
    json::object waits;
    for (const auto& [job_class, each] : summary.waits)
      waits[name_of(job_class)] = waits_json(each);
    policies[summary.policy] = {{"swaps", summary.swaps},
                                {"swaps_for_nobody", summary.unused},
                                {"served", summary.served},
                                {"refused", summary.refused},
                                {"unserved", summary.unserved},
                                {"is_cut", summary.is_cut},
                                {"busy_share", summary.busy_share},
                                {"llm_absent_share", summary.llm_absent},
                                {"span_ms", milliseconds(summary.span)},
                                {"waits", std::move(waits)}};
  }
  return json::serialize(json::object{{"policies", std::move(policies)}}) + "\n";
}

Error cannot_read(const std::string& file) {
  return {ErrorCode::not_found, fmt::format("cannot read {}; is the name right?", file)};
}

Result<sim::Workload> read(const SimulateOptions& options) {
  std::ifstream in(options.workload, std::ios::binary);
  if (!in) return fail(cannot_read(options.workload));
  Result<sim::Workload> workload = read_workload(in);
  if (workload) return workload;
  return fail(workload.error().code,
              fmt::format("{}: {}", options.workload, workload.error().message));
}

Result<std::vector<Summary>> run_all(const sim::Workload& workload,
                                     const std::vector<std::string>& policies) {
  std::vector<Summary> summaries;
  for (const std::string& policy : policies) {
    const auto peer = sim::peer_from_name(policy);
    if (!peer && policy != kBerth) {
      return fail(ErrorCode::bad_request,
                  fmt::format("there is no policy \"{}\": berth, fifo, affinity, broker", policy));
    }
    summaries.push_back(peer ? sim::run_peer(workload, *peer) : sim::run_berth(workload));
  }
  return summaries;
}

}  // namespace

int simulate(const Common& common, const SimulateOptions& options) {
  const Result<sim::Workload> workload = read(options);
  if (!workload) return report(workload.error(), common.json);
  const Result<std::vector<Summary>> summaries = run_all(*workload, options.policies);
  if (!summaries) return report(summaries.error(), common.json);
  say(common.json ? json_of(*summaries) : sums_table(*summaries) + "\n" + waits_table(*summaries));
  return 0;
}

}  // namespace berth::cli
