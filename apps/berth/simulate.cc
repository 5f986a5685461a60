// SPDX-License-Identifier: Apache-2.0
// simulate: a workload under Berth's policy and under others.
#include <fstream>
#include <string_view>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/host/past_run.h"
#include "berth/host/text.h"
#include "berth/sim/policies.h"
#include "commands.h"
#include "files.h"
#include "table.h"
#include "timeline_svg.h"
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
      rows.push_back({{{std::string(host::name(job_class))},
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
  if (summary.unserved > 0) return fmt::format("{} jobs were never served", summary.unserved);
  if (!summary.of_bound) return "";
  return fmt::format("{} waited for longer than the bound; the longest wait was {:.2f} of it",
                     summary.beyond_bound, *summary.of_bound);
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
      waits[host::name(job_class)] = waits_json(each);
    policies[summary.policy] = {{"swaps", summary.swaps},
                                {"swaps_for_nobody", summary.unused},
                                {"served", summary.served},
                                {"refused", summary.refused},
                                {"unserved", summary.unserved},
                                {"is_cut", summary.is_cut},
                                {"beyond_bound", summary.beyond_bound},
                                {"of_bound", nullptr},
                                {"busy_share", summary.busy_share},
                                {"llm_absent_share", summary.llm_absent},
                                {"span_ms", milliseconds(summary.span)},
                                {"waits", std::move(waits)}};
    if (summary.of_bound) policies[summary.policy].as_object()["of_bound"] = *summary.of_bound;
  }
  return json::serialize(json::object{{"policies", std::move(policies)}}) + "\n";
}

Error in_file(const std::string& file, const Error& error) {
  return {error.code, fmt::format("{}: {}", file, error.message)};
}

Result<sim::Workload> workload_of(const std::string& file) {
  Result<std::ifstream> in = open_input(file);
  if (!in) return fail(in.error());
  Result<sim::Workload> workload = read_workload(*in);
  if (!workload) return fail(in_file(file, workload.error()));
  return workload;
}

/// The requests of a past run come again when they came then; clients are not asked whether they
/// would have waited. A server that never moved in it takes what the policy guesses.
Result<sim::Workload> workload_of_journal(const std::string& file) {
  Result<std::ifstream> in = open_input(file);
  if (!in) return fail(in.error());
  const Result<host::PastRun> run = host::read_past_run(*in);
  if (!run) return fail(in_file(file, run.error()));
  sim::Workload workload{.config = run->config, .moves = run->moves};
  for (core::MoveTimes& moves : workload.moves) {
    if (moves.up == Duration{0}) moves.up = run->config.policy.swap_guess;
  }
  for (const host::PastJob& job : run->jobs)
    workload.open.push_back({job.arrived, {job.server, job.job_class, job.service}});
  return workload;
}

Result<sim::Workload> read(const SimulateOptions& options) {
  const int given = (options.traces.empty() ? 0 : 1) + (options.workload.empty() ? 0 : 1) +
                    (options.journal.empty() ? 0 : 1);
  if (given != 1) {
    return fail(ErrorCode::bad_request,
                "simulate what? Give trace files, --workload FILE or --journal FILE, one of them");
  }
  if (!options.workload.empty()) return workload_of(options.workload);
  if (!options.journal.empty()) return workload_of_journal(options.journal);
  return read_traces(options.traces, options.mapping);
}

Window window_of(const SimulateOptions& options) {
  if (options.window.size() != 2) return {};
  const auto seconds = [](double s) { return Duration{static_cast<Duration::rep>(s * 1e9)}; };
  return {seconds(options.window[0]), seconds(options.window[1])};
}

Status write_svg(const std::string& file, const std::string& svg) {
  std::ofstream out(file, std::ios::binary);
  out << svg << std::flush;
  if (out) return {};
  return fail(ErrorCode::io, fmt::format("cannot write {}; is there such a folder?", file));
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
  Result<sim::Workload> workload = read(options);
  if (!workload) return report(workload.error(), common.json);
  workload->config.policy.swap_percent = options.swap_percent;
  const Result<std::vector<Summary>> summaries = run_all(*workload, options.policies);
  if (!summaries) return report(summaries.error(), common.json);
  if (!options.svg.empty()) {
    const std::string svg = timeline_svg(*workload, *summaries, window_of(options));
    const Status written = write_svg(options.svg, svg);
    if (!written) return report(written.error(), common.json);
  }
  say(common.json ? json_of(*summaries) : sums_table(*summaries) + "\n" + waits_table(*summaries));
  return 0;
}

}  // namespace berth::cli
