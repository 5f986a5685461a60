// SPDX-License-Identifier: Apache-2.0
#include "berth/host/past_run.h"

#include <algorithm>
#include <istream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include <boost/json.hpp>

#include "berth/core/scheduler.h"
#include "berth/host/event_json.h"

namespace berth::host {
namespace {

namespace json = boost::json;

struct Job {
  Instant arrived;
  ServerId server;
  core::ServerClass job_class = core::ServerClass::chat;
  std::optional<Instant> started;
  std::optional<Instant> ended;
};

struct Move {
  std::string server;
  bool is_up = false;
  Instant since;
};

std::int64_t number(const json::object& line, const char* key) {
  const json::value* value = line.if_contains(key);
  return value != nullptr && value->is_int64() ? value->get_int64() : -1;
}

std::string text(const json::object& line, const char* key) {
  const json::value* value = line.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

Duration median(std::vector<Duration>& times) {
  if (times.empty()) return Duration{0};
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// What one run has told so far.
class Run {
 public:
  explicit Run(core::Config config, Instant start) : config_(std::move(config)), start_(start) {}

  void event(const json::object& line, Instant at) {
    const Result<core::Event> event = event_from_json(line, config_);
    if (event) std::visit([&](const auto& e) { on(e, at); }, *event);
  }

  void action(const json::object& line, Instant at) {
    const std::string name = text(line, "name");
    if (name == kDispatch) {
      const auto job = jobs_.find(static_cast<std::uint64_t>(number(line, "job")));
      if (job != jobs_.end()) job->second.started = at;
    }
    if (name != kMoveTo) return;
    moves_[number(line, "effect")] = {text(line, "server"), text(line, "rung") == "resident", at};
  }

  [[nodiscard]] bool has_answered() const {
    return std::any_of(jobs_.begin(), jobs_.end(),
                       [](const auto& job) { return job.second.ended.has_value(); });
  }

  PastRun finish() {
    PastRun run{.config = config_};
    for (const core::ServerConfig& server : config_.servers) {
      run.moves.push_back({median(ups_[server.name]), median(downs_[server.name])});
    }
    for (const auto& [id, job] : jobs_) {
      if (!job.started || !job.ended) {
        run.left_out += 1;
        continue;
      }
      run.jobs.push_back(
          {job.arrived - start_, job.server, job.job_class, *job.ended - *job.started});
    }
    std::stable_sort(run.jobs.begin(), run.jobs.end(),
                     [](const PastJob& a, const PastJob& b) { return a.arrived < b.arrived; });
    return run;
  }

 private:
  static constexpr std::string_view kDispatch = "dispatch";
  static constexpr std::string_view kMoveTo = "move_to";

  void on(const core::JobArrived& event, Instant at) {
    if (event.kind != core::JobKind::request) return;  // a lease is no work of a server
    jobs_[event.job.value] = {.arrived = at, .server = event.server, .job_class = event.job_class};
  }
  void on(const core::JobEnded& event, Instant at) {
    const auto job = jobs_.find(event.job.value);
    if (job != jobs_.end() && job->second.started) job->second.ended = at;
  }
  void on(const core::EffectEnded& event, Instant at) {
    const auto found = moves_.find(static_cast<std::int64_t>(event.effect.value));
    if (found == moves_.end()) return;
    const Move& move = found->second;
    if (!event.result.error) (move.is_up ? ups_ : downs_)[move.server].push_back(at - move.since);
    moves_.erase(found);
  }
  template <class Event>
  void on(const Event&, Instant) {}

  core::Config config_;
  Instant start_;
  std::map<std::uint64_t, Job> jobs_;
  std::map<std::int64_t, Move> moves_;
  std::map<std::string, std::vector<Duration>> ups_;
  std::map<std::string, std::vector<Duration>> downs_;
};

}  // namespace

Result<PastRun> read_past_run(std::istream& journal) {
  std::optional<Run> run;
  std::optional<PastRun> newest;
  const auto end_run = [&] {
    if (run && run->has_answered()) newest = run->finish();
    run.reset();
  };
  json::parse_options options;
  options.allow_invalid_utf8 = true;  // names of programs and clients are bytes
  std::string line;
  while (std::getline(journal, line)) {
    json::error_code error;
    const json::value value = json::parse(line, error, {}, options);
    if (error || !value.is_object()) continue;
    const json::object& record = value.get_object();
    const Instant at{Duration{number(record, "t_ns")}};
    const std::string kind = text(record, "kind");
    if (kind == "event" && text(record, "name") == "recovered") {
      end_run();
      const Result<core::Event> start = event_from_json(record, {});
      if (start) run.emplace(std::get<core::Recovered>(*start).config, at);
    } else if (run && kind == "event") {
      run->event(record, at);
    } else if (run && kind == "action") {
      run->action(record, at);
    }
  }
  end_run();
  if (newest) return std::move(*newest);
  return fail(ErrorCode::not_found,
              "no run of Berth in this file has answered a request; if it was rotated, join both "
              "files: cat journal.jsonl.1 journal.jsonl");
}

}  // namespace berth::host
