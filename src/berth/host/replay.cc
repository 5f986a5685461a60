// SPDX-License-Identifier: Apache-2.0
#include "berth/host/replay.h"

#include <algorithm>
#include <istream>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/core/scheduler.h"
#include "berth/host/event_json.h"

namespace berth::host {
namespace {

namespace json = boost::json;

/// One line of a journal.
struct Line {
  std::size_t number = 0;  ///< in the file, from 1
  std::int64_t n = 0;      ///< in its run, from 1
  Instant at;
  std::string kind;
  std::int64_t format = 0;  ///< of the run that begins here; runs before format 1 do not say it
  json::object content;     ///< the event or action alone
};

Error bad_line(std::size_t number, std::string_view what) {
  return {ErrorCode::bad_request, fmt::format("line {}: {}", number, what)};
}

Result<Line> read_line(std::size_t number, const std::string& text) {
  json::parse_options options;
  options.allow_invalid_utf8 = true;  // names of programs and clients are bytes
  json::error_code error;
  json::value value = json::parse(text, error, {}, options);
  if (error || !value.is_object()) return fail(bad_line(number, "this is no JSON object"));
  Line line{.number = number, .content = std::move(value.get_object())};
  const json::value* n = line.content.if_contains("n");
  const json::value* at = line.content.if_contains("t_ns");
  const json::value* kind = line.content.if_contains("kind");
  const bool is_record = n != nullptr && n->is_int64() && at != nullptr && at->is_int64() &&
                         kind != nullptr && kind->is_string();
  if (!is_record) return fail(bad_line(number, "a record of a journal has n, t_ns and kind"));
  line.n = n->get_int64();
  line.at = Instant{Duration{at->get_int64()}};
  line.kind = std::string(kind->get_string());
  const json::value* format = line.content.if_contains("format");
  if (format != nullptr && format->is_int64()) line.format = format->get_int64();
  for (const char* name : {"n", "t_ns", "wall_ms", "kind", "format"})
    line.content.erase(name);
  return line;
}

class Replay {
 public:
  Status take(std::size_t number, const std::string& text);
  Result<ReplayReport> finish();

 private:
  Status follow(const Line& line);
  Status take(Line line);
  Status take_event(Line line);
  void end_run();
  void skip(const Line& line);
  void compare(bool is_last_of_run);
  void differ(std::size_t index);

  ReplayReport report_;
  std::optional<core::Scheduler> core_;  ///< nothing: the run that is read cannot be replayed
  core::Config config_;
  std::optional<Line> event_;   ///< the newest event; what it was answered follows
  std::vector<Line> expected_;  ///< by the journal
  std::vector<json::object> actual_;
  std::int64_t last_n_ = 0;  ///< 0: no line was read
  Instant last_at_;
  std::optional<Error> unreadable_;  ///< the line before; torn if its run ends with it
  std::size_t skipped_from_ = 0;
  std::size_t skipped_to_ = 0;
  std::string why_skipped_;
};

Status Replay::take(std::size_t number, const std::string& text) {
  Result<Line> line = read_line(number, text);
  if (line) return take(std::move(*line));
  if (unreadable_) return fail(*unreadable_);
  unreadable_ = line.error();
  return {};
}

/// A line stands where it should: first of a run, or behind the one before.
Status Replay::follow(const Line& line) {
  const bool starts_run = line.n == 1;
  if (unreadable_ && !starts_run) return fail(*unreadable_);
  if (starts_run) end_run();
  if (!starts_run && last_n_ != 0 && line.n != last_n_ + 1) {
    return fail(bad_line(line.number,
                         fmt::format("record {} of its run follows record {}: lines are missing or "
                                     "were moved; what is behind them cannot be compared",
                                     line.n, last_n_)));
  }
  last_n_ = line.n;
  return {};
}

Status Replay::take(Line line) {
  const Status follows = follow(line);
  if (!follows) return follows;
  if (line.kind == "event") return take_event(std::move(line));
  if (line.kind != "action") return {};
  if (!core_) {
    skip(line);
  } else {
    expected_.push_back(std::move(line));
  }
  return {};
}

Status Replay::take_event(Line line) {
  compare(/*is_last_of_run=*/false);
  const json::value* name = line.content.if_contains("name");
  if (name != nullptr && *name == "recovered") {
    end_run();
    why_skipped_ = fmt::format("the run was written in format {}, this Berth reads format {}",
                               line.format, kJournalFormat);
    if (line.format == kJournalFormat) core_.emplace();
  }
  if (!core_) {
    skip(line);
    return {};
  }
  Result<core::Event> event = event_from_json(line.content, config_);
  if (!event) return fail(bad_line(line.number, event.error().message));
  if (const auto* world = std::get_if<core::Recovered>(&*event)) {
    config_ = world->config;
    last_at_ = line.at;
    ++report_.runs;
  }
  const auto* arrival = std::get_if<core::JobArrived>(&*event);
  if (arrival != nullptr && core_->state().jobs.contains(arrival->job)) {
    return fail(
        bad_line(line.number, fmt::format("job {} arrives a second time", arrival->job.value)));
  }
  if (line.at < last_at_) return fail(bad_line(line.number, "t_ns goes back within a run"));
  last_at_ = line.at;
  for (const core::Action& action : core_->apply(line.at, *event))
    actual_.push_back(to_json(action, config_));
  event_ = std::move(line);
  ++report_.events;
  return {};
}

void Replay::skip(const Line& line) {
  if (skipped_from_ == 0) skipped_from_ = line.number;
  skipped_to_ = line.number;
}

void Replay::end_run() {
  compare(/*is_last_of_run=*/true);
  if (unreadable_) report_.notes.push_back(unreadable_->message + "; taken for torn, left out");
  if (skipped_from_ != 0) {
    report_.notes.push_back(
        fmt::format("lines {} to {} are not compared: {}", skipped_from_, skipped_to_,
                    why_skipped_.empty() ? "their run does not start in this file" : why_skipped_));
  }
  unreadable_.reset();
  skipped_from_ = 0;
  why_skipped_.clear();
  core_.reset();
}

/// Compares one by one what the newest event was answered. A run that was killed wrote what it had
/// carried out so far.
void Replay::compare(bool is_last_of_run) {
  if (!event_) return;
  const std::size_t both = std::min(expected_.size(), actual_.size());
  const bool is_cut = is_last_of_run && expected_.size() < actual_.size();
  const std::size_t count = is_cut ? both : std::max(expected_.size(), actual_.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (i >= both || expected_[i].content != actual_[i]) differ(i);
  }
  if (is_cut) {
    report_.notes.push_back(
        fmt::format("the run ends within the actions of line {}: {} of {} were carried out",
                    event_->number, expected_.size(), actual_.size()));
  }
  report_.actions += expected_.size();
  event_.reset();
  expected_.clear();
  actual_.clear();
}

void Replay::differ(std::size_t index) {
  if (report_.differences++ > 0) return;
  ReplayDifference& first = report_.first.emplace();
  const bool is_recorded = index < expected_.size();
  first.line = is_recorded ? expected_[index].number : event_->number;
  first.event_line = event_->number;
  first.event = json::serialize(event_->content);
  if (is_recorded) first.expected = json::serialize(expected_[index].content);
  if (index < actual_.size()) first.actual = json::serialize(actual_[index]);
}

Result<ReplayReport> Replay::finish() {
  end_run();
  if (report_.runs > 0) return std::move(report_);
  std::string what = "no run of Berth starts in this file (event \"recovered\")";
  for (const std::string& note : report_.notes)
    what += "; " + note;
  return fail(ErrorCode::not_found,
              what + "; if it was rotated, join both files: cat journal.jsonl.1 journal.jsonl");
}

}  // namespace

Result<ReplayReport> replay(std::istream& journal) {
  Replay replay;
  std::string text;
  for (std::size_t number = 1; std::getline(journal, text); ++number) {
    const Status taken = replay.take(number, text);
    if (!taken) return fail(taken.error());
  }
  if (journal.bad()) return fail(ErrorCode::io, "the journal cannot be read to its end");
  return replay.finish();
}

}  // namespace berth::host
