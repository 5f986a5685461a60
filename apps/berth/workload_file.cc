// SPDX-License-Identifier: Apache-2.0
#include "workload_file.h"

#include <algorithm>
#include <istream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/base/bytes.h"
#include "berth/host/text.h"

namespace berth::cli {
namespace {

namespace json = boost::json;

constexpr double kSecondsMax = 1e9;
/// A workload is compared as it is: no policy refuses work because a queue is long.
constexpr std::int32_t kQueueMax = 1'000'000'000;

/// Reads the members of one object by name; the first problem stays.
class Members {
 public:
  Members(const json::object& in, std::string& problem) : in_(in), problem_(problem) {}
  ~Members() {
    for (const auto& member : in_) {
      if (std::find(known_.begin(), known_.end(), member.key()) == known_.end()) {
        complain(fmt::format("\"{}\" is not known here", std::string_view(member.key())));
      }
    }
  }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  std::string text(std::string_view key, std::string_view fallback = "") {
    const json::value* value = find(key, fallback.empty());
    if (value == nullptr) return std::string(fallback);
    if (value->is_string()) return std::string(value->get_string());
    complain(fmt::format("\"{}\" is a text in quotes", key));
    return std::string(fallback);
  }
  double number(std::string_view key, std::optional<double> fallback = std::nullopt) {
    const json::value* value = find(key, !fallback);
    if (value == nullptr) return fallback.value_or(0);
    json::error_code error;
    const auto number = value->to_number<double>(error);
    if (!error && number >= 0 && number <= kSecondsMax) return number;
    complain(fmt::format("\"{}\" is a number from 0 to 10^9", key));
    return 0;
  }
  Duration seconds(std::string_view key, std::optional<double> fallback = std::nullopt) {
    return Duration{static_cast<Duration::rep>(number(key, fallback) * 1e9)};
  }
  Bytes bytes(std::string_view key) {
    const auto parsed = parse_bytes(text(key, "?"));
    if (parsed && parsed->count > 0) return *parsed;
    complain(fmt::format("\"{}\" is an amount like \"6GiB\"", key));
    return {};
  }
  const json::array& list(std::string_view key) {
    static const json::array kNone;
    const json::value* value = find(key, true);
    if (value != nullptr && value->is_array()) return value->get_array();
    if (value != nullptr) complain(fmt::format("\"{}\" is a list", key));
    return kNone;
  }
  void complain(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }

 private:
  const json::value* find(std::string_view key, bool is_needed) {
    known_.emplace_back(key);
    const json::value* value = in_.if_contains(key);
    if (value == nullptr && is_needed) complain(fmt::format("\"{}\" is missing", key));
    return value;
  }

  const json::object& in_;
  std::string& problem_;
  std::vector<std::string> known_;
};

class Reader {
 public:
  /// Returns what is wrong with the line, "" if nothing is.
  std::string take(const std::string& line);
  Result<sim::Workload> finish();

 private:
  void pool(const json::object& in);
  void server(const json::object& in);
  void job(const json::object& in);
  void loop(const json::object& in);
  sim::Task task(Members& members);
  core::ServerClass class_of(Members& members, const std::string& name);

  sim::Workload workload_;
  std::map<std::string, ServerId, std::less<>> servers_;
  std::string problem_;
};

core::ServerClass Reader::class_of(Members& members, const std::string& name) {
  const auto job_class = host::from_name<core::ServerClass>(name);
  if (!job_class) {
    members.complain(fmt::format("\"{}\" is no class: video, image, chat, batch", name));
  }
  return job_class.value_or(core::ServerClass::chat);
}

void Reader::pool(const json::object& in) {
  Members members(in, problem_);
  core::PoolConfig pool{.name = members.text("name"), .capacity = members.bytes("capacity")};
  const double limit = members.number("limit", 0.75);
  core::Policy& policy = workload_.config.policy;
  constexpr std::int64_t kPerMille = 1000;
  policy.limit_numerator = static_cast<std::int64_t>(limit * kPerMille + 0.5);
  policy.limit_denominator = kPerMille;
  policy.queue_max = kQueueMax;
  if (policy.limit_numerator < 1 || policy.limit_numerator > kPerMille) {
    members.complain("\"limit\" is a share of the capacity, above 0 and up to 1");
  }
  if (!workload_.config.pools.empty()) members.complain("there is one pool only");
  workload_.config.pools.push_back(std::move(pool));
}

void Reader::server(const json::object& in) {
  Members members(in, problem_);
  core::ServerConfig server{.name = members.text("name")};
  server.job_class = class_of(members, members.text("class"));
  const std::string wanted = members.text("wanted", "on_demand");
  if (wanted == "on") server.wanted = core::Wanted::on;
  if (wanted != "on" && wanted != "on_demand") {
    members.complain("\"wanted\" is \"on\" or \"on_demand\"");
  }
  server.footprint = {{{PoolId{0}, members.bytes("footprint")}}};
  server.slots = static_cast<std::int32_t>(members.number("slots", 1));
  if (server.slots < 1) members.complain("\"slots\" is 1 or more");
  const core::MoveTimes moves{.up = members.seconds("load_s"), .down = members.seconds("stop_s")};
  if (workload_.config.pools.empty()) members.complain("the pool stands before the servers");
  const ServerId id{static_cast<std::uint32_t>(workload_.moves.size())};
  if (!servers_.emplace(server.name, id).second) {
    members.complain(fmt::format("there are two servers \"{}\"", server.name));
  }
  workload_.config.servers.push_back(std::move(server));
  workload_.moves.push_back(moves);
}

sim::Task Reader::task(Members& members) {
  sim::Task task;
  const std::string name = members.text("server");
  const auto found = servers_.find(name);
  if (found == servers_.end()) {
    members.complain(fmt::format("there is no server \"{}\" above this line", name));
    return task;
  }
  task.server = found->second;
  const core::ServerClass own = workload_.config.servers[task.server.value].job_class;
  task.job_class = class_of(members, members.text("class", host::name(own)));
  task.service = members.seconds("service_s");
  return task;
}

void Reader::job(const json::object& in) {
  Members members(in, problem_);
  const Duration at = members.seconds("at_s");
  workload_.open.push_back({at, task(members)});
}

void Reader::loop(const json::object& in) {
  Members members(in, problem_);
  sim::Loop loop{.from = members.seconds("from_s", 0), .until = members.seconds("until_s")};
  for (const json::value& each : members.list("jobs")) {
    if (!each.is_object()) return members.complain("\"jobs\" is a list of objects");
    Members job(each.get_object(), problem_);
    const Duration think = job.seconds("think_s", 0);
    loop.turns.push_back({task(job), think});
    const sim::Loop::Turn& turn = loop.turns.back();
    if (turn.think + turn.task.service == Duration{0}) {
      job.complain("a job of a loop needs some \"service_s\" or \"think_s\"");
    }
  }
  if (loop.turns.empty()) members.complain("\"jobs\" is empty");
  workload_.loops.push_back(std::move(loop));
}

std::string Reader::take(const std::string& line) {
  json::error_code error;
  const json::value value = json::parse(line, error);
  const bool is_one = !error && value.is_object() && value.get_object().size() == 1 &&
                      value.get_object().begin()->value().is_object();
  if (!is_one)
    return "a line is {\"pool\": {..}}, {\"server\": {..}}, {\"job\": {..}} or {\"loop\": {..}}";
  const auto& member = *value.get_object().begin();
  const json::object& content = member.value().get_object();
  if (member.key() == "pool") {
    pool(content);
  } else if (member.key() == "server") {
    server(content);
  } else if (member.key() == "job") {
    job(content);
  } else if (member.key() == "loop") {
    loop(content);
  } else {
    return fmt::format("there is no \"{}\"; a line is a pool, a server, a job or a loop",
                       std::string_view(member.key()));
  }
  return problem_;
}

Result<sim::Workload> Reader::finish() {
  if (workload_.open.empty() && workload_.loops.empty()) {
    return fail(ErrorCode::bad_request, "there is no job and no loop in it");
  }
  std::stable_sort(workload_.open.begin(), workload_.open.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  return std::move(workload_);
}

}  // namespace

Result<sim::Workload> read_workload(std::istream& in) {
  Reader reader;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    const std::string problem = reader.take(line);
    if (!problem.empty()) {
      return fail(ErrorCode::bad_request, fmt::format("line {}: {}", number, problem));
    }
  }
  if (in.bad()) return fail(ErrorCode::io, "it cannot be read to its end");
  return reader.finish();
}

}  // namespace berth::cli
