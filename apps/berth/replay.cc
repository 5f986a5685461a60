// SPDX-License-Identifier: Apache-2.0
// replay: what this Berth decides on the events of a journal.
#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/host/replay.h"
#include "commands.h"
#include "files.h"
#include "table.h"

namespace berth::cli {
namespace {

namespace json = boost::json;
using host::ReplayDifference;
using host::ReplayReport;

constexpr int kDiffers = 1;

std::string shown(const std::string& action) {
  return action.empty() ? "nothing" : action;
}

std::string text_of(const ReplayReport& report) {
  std::string text;
  for (const std::string& note : report.notes)
    text += note + "\n";
  if (!report.first) {
    return text + fmt::format("{} events, {} actions: the same\n", report.events, report.actions);
  }
  const ReplayDifference& first = *report.first;
  text += fmt::format("line {}: the first difference, in the answer to line {}\n", first.line,
                      first.event_line);
  text += fmt::format("  event     {}\n", first.event);
  text += fmt::format("  expected  {}\n", shown(first.expected));
  text += fmt::format("  actual    {}\n", shown(first.actual));
  return text + fmt::format("{} events, {} actions: {} differ\n", report.events, report.actions,
                            report.differences);
}

/// Returns the object, null where there is none.
json::value object_of(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::parse(text);
}

std::string json_of(const ReplayReport& report) {
  json::object out{{"runs", report.runs},       {"events", report.events},
                   {"actions", report.actions}, {"differences", report.differences},
                   {"first", nullptr},          {"notes", json::value_from(report.notes)}};
  if (report.first) {
    out["first"] = {{"line", report.first->line},
                    {"event_line", report.first->event_line},
                    {"event", object_of(report.first->event)},
                    {"expected", object_of(report.first->expected)},
                    {"actual", object_of(report.first->actual)}};
  }
  return json::serialize(out) + "\n";
}

}  // namespace

int replay(const Common& common, const std::string& file) {
  Result<std::ifstream> journal = open_input(file);
  if (!journal) {
    const std::string where = "; a journal lies in the state directory, as journal.jsonl";
    return report({journal.error().code, journal.error().message + where}, common.json);
  }
  const Result<ReplayReport> replayed = host::replay(*journal);
  if (!replayed) {
    const Error& error = replayed.error();
    return report({error.code, fmt::format("{}: {}", file, error.message)}, common.json);
  }
  say(common.json ? json_of(*replayed) : printable(text_of(*replayed)));
  return replayed->first ? kDiffers : 0;
}

}  // namespace berth::cli
