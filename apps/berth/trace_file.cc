// SPDX-License-Identifier: Apache-2.0
#include "trace_file.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "files.h"

namespace berth::cli {
namespace {

namespace json = boost::json;

/// Speeds of a middling local LLM, for traces that tell tokens and no times.
constexpr double kPromptTokensPerSecond = 2000;
constexpr double kAnswerTokensPerSecond = 50;
constexpr double kShortestService = 0.05;

struct Row {
  double at = 0;
  std::string model;
  std::string session;
  double service = 0;
};

double service_of(double prompt, double answer) {
  return std::max(kShortestService,
                  prompt / kPromptTokensPerSecond + answer / kAnswerTokensPerSecond);
}

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ',') cells.emplace_back();
    if (c != ',' && c != '\r') cells.back() += c;
  }
  return cells;
}

std::optional<double> number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// "2023-11-16 18:15:46.6805900": seconds since some day.
std::optional<double> time_stamp(const std::string& text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  double second = 0;
  if (std::sscanf(text.c_str(), "%d-%u-%u %d:%d:%lf", &year, &month, &day, &hour, &minute,
                  &second) != 6) {
    return std::nullopt;
  }
  const std::chrono::sys_days date =
      std::chrono::year{year} / static_cast<int>(month) / static_cast<int>(day);
  const std::chrono::hours hours = std::chrono::floor<std::chrono::hours>(date.time_since_epoch());
  return static_cast<double>((hours.count() + hour) * 60 + minute) * 60 + second;
}

/// Finds the cells of a row by the names that the public traces give their columns.
class Columns {
 public:
  explicit Columns(const std::string& heading) : names_(split(heading)) {}

  [[nodiscard]] std::string cell(const std::vector<std::string>& row,
                                 std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names) {
      const auto found = std::find(names_.begin(), names_.end(), name);
      const auto index = static_cast<std::size_t>(found - names_.begin());
      if (index < row.size() && index < names_.size()) return row[index];
    }
    return "";
  }

 private:
  std::vector<std::string> names_;
};

std::optional<Row> csv_row(const Columns& columns, const std::string& line) {
  const std::vector<std::string> cells = split(line);
  const auto at = number(columns.cell(cells, {"t_s"}));
  const auto stamp = time_stamp(columns.cell(cells, {"TIMESTAMP"}));
  const auto prompt = number(columns.cell(cells, {"prompt_tokens", "in_tokens", "ContextTokens"}));
  const auto answer =
      number(columns.cell(cells, {"output_tokens", "out_tokens", "GeneratedTokens"}));
  const auto measured = number(columns.cell(cells, {"api_time_s"}));
  if ((!at && !stamp) || (!measured && (!prompt || !answer))) return std::nullopt;
  return Row{
      .at = at ? *at : *stamp,
      .model = columns.cell(cells, {"model"}),
      .session = columns.cell(cells, {"trace"}),
      .service = measured ? std::max(*measured, kShortestService) : service_of(*prompt, *answer)};
}

std::optional<Row> json_row(const std::string& line) {
  constexpr double kMillisecondsPerSecond = 1000;
  json::error_code error;
  const json::value value = json::parse(line, error);
  if (error || !value.is_object()) return std::nullopt;
  const auto member = [&](const char* name) -> std::optional<double> {
    const json::value* found = value.get_object().if_contains(name);
    if (found == nullptr || !found->is_number()) return std::nullopt;
    return found->to_number<double>();
  };
  const auto at = member("timestamp");
  const auto prompt = member("input_length");
  const auto answer = member("output_length");
  if (!at || !prompt || !answer) return std::nullopt;
  return Row{.at = *at / kMillisecondsPerSecond, .service = service_of(*prompt, *answer)};
}

/// Times of a session count from its own start: a session begins when the one before it has asked
/// for the last time.
void line_up_sessions(std::vector<Row>& rows) {
  double begin = 0;
  double last = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i > 0 && rows[i].session != rows[i - 1].session) begin = last;
    rows[i].at += begin;
    last = std::max(last, rows[i].at);
  }
}

Result<std::vector<Row>> read_file(const std::string& file, std::int64_t rows_max) {
  Result<std::ifstream> opened = open_input(file);
  if (!opened) return fail(opened.error());
  std::ifstream& in = *opened;
  std::string line;
  std::getline(in, line);
  const bool is_json = line.starts_with('{');
  const Columns columns(line);
  if (!is_json) std::getline(in, line);
  std::vector<Row> rows;
  for (std::size_t number = is_json ? 1 : 2; in; ++number, std::getline(in, line)) {
    if (rows_max > 0 && static_cast<std::int64_t>(rows.size()) >= rows_max) break;
    auto row = is_json ? json_row(line) : csv_row(columns, line);
    if (!row) {
      return fail(ErrorCode::bad_request,
                  fmt::format("{}: line {}: a trace has a time (t_s, TIMESTAMP or timestamp) and "
                              "tokens (prompt and output) or api_time_s",
                              file, number));
    }
    if (row->model.empty()) row->model = std::filesystem::path(file).stem().string();
    rows.push_back(std::move(*row));
  }
  if (rows.empty()) return fail(ErrorCode::bad_request, fmt::format("{}: there is no row", file));
  line_up_sessions(rows);
  const auto first = std::min_element(rows.begin(), rows.end(),
                                      [](const Row& a, const Row& b) { return a.at < b.at; });
  const double begin = first->at;
  for (Row& row : rows)
    row.at -= begin;
  return rows;
}

/// One device that holds one server at a time.
sim::Workload machine(const TraceMapping& mapping) {
  constexpr std::int32_t kQueueMax = 1'000'000'000;
  sim::Workload workload;
  workload.config.pools.push_back({.name = "device", .capacity = 10_GiB});
  workload.config.policy.limit_numerator = 1;
  workload.config.policy.limit_denominator = 1;
  workload.config.policy.queue_max = kQueueMax;
  for (std::int32_t i = 0; i < mapping.servers; ++i) {
    workload.config.servers.push_back(
        {.name = fmt::format("model{}", i + 1), .footprint = {{{PoolId{0}, 8_GiB}}}});
    workload.moves.push_back(
        {.up = Duration{static_cast<Duration::rep>(mapping.swap_seconds * 1e9)}});
  }
  return workload;
}

}  // namespace

Result<sim::Workload> read_traces(const std::vector<std::string>& files,
                                  const TraceMapping& mapping) {
  std::vector<Row> rows;
  for (const std::string& file : files) {
    const Result<std::vector<Row>> some = read_file(file, mapping.rows);
    if (!some) return fail(some.error());
    rows.insert(rows.end(), some->begin(), some->end());
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.at < b.at; });
  double work = 0;
  for (const Row& row : rows)
    work += row.service;
  const double stretch = rows.back().at > 0 ? work / mapping.load / rows.back().at : 0;
  sim::Workload workload = machine(mapping);
  std::map<std::string, ServerId> dealt;  // in order of appearance
  for (const Row& row : rows) {
    const auto next =
        static_cast<std::uint32_t>(dealt.size()) % static_cast<std::uint32_t>(mapping.servers);
    const ServerId server = dealt.try_emplace(row.model, ServerId{next}).first->second;
    workload.open.push_back({.at = Duration{static_cast<Duration::rep>(row.at * stretch * 1e9)},
                             .task = {server, core::ServerClass::chat,
                                      Duration{static_cast<Duration::rep>(row.service * 1e9)}}});
  }
  return workload;
}

}  // namespace berth::cli
