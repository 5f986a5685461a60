// SPDX-License-Identifier: Apache-2.0
#include "berth/client/replies.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

namespace berth::client {
namespace {

namespace json = boost::json;

/// The members of a JSON object, read one by one into what has a default.
class Members {
 public:
  explicit Members(const json::object& object) : object_(object) {}

  void take(std::string_view key, std::string& out) const {
    const json::value* value = object_.if_contains(key);
    if (value != nullptr && value->is_string()) out = std::string(value->get_string());
  }
  void take(std::string_view key, bool& out) const {
    const json::value* value = object_.if_contains(key);
    if (value != nullptr && value->is_bool()) out = value->get_bool();
  }
  void take(std::string_view key, std::int64_t& out) const {
    const std::optional<std::int64_t> value = number(key);
    if (value) out = *value;
  }
  void take(std::string_view key, Bytes& out) const { take(key, out.count); }
  void take(std::string_view key, std::optional<Bytes>& out) const {
    const std::optional<std::int64_t> value = number(key);
    if (value) out = Bytes{*value};
  }
  void take(std::string_view key, std::vector<std::string>& out) const {
    const json::value* value = object_.if_contains(key);
    if (value == nullptr || !value->is_array()) return;
    for (const json::value& each : value->get_array()) {
      if (each.is_string()) out.emplace_back(each.get_string());
    }
  }
  std::optional<std::int64_t> number(std::string_view key) const {
    const json::value* value = object_.if_contains(key);
    if (value == nullptr || !value->is_number()) return std::nullopt;
    boost::system::error_code inexact;
    const auto number = value->to_number<std::int64_t>(inexact);
    if (inexact) return std::nullopt;
    return number;
  }

 private:
  const json::object& object_;
};

Result<json::object> object_in(std::string_view text) {
  boost::system::error_code broken;
  json::value value = json::parse(text, broken);
  if (!broken && value.is_object()) return std::move(value.get_object());
  return fail(ErrorCode::upstream, "Berth's reply is no JSON object; is it the same version?");
}

Error error_in(const json::object& details) {
  const Members members(details);
  std::string code;
  Error error{ErrorCode::upstream, "no reason is given"};
  members.take("code", code);
  members.take("message", error.message);
  error.code = error_code_from_name(code).value_or(ErrorCode::upstream);
  return error;
}

/// Calls `each` for every object in the array of that name.
template <class Call>
void for_each(const json::object& object, std::string_view key, Call each) {
  const json::value* list = object.if_contains(key);
  if (list == nullptr || !list->is_array()) return;
  for (const json::value& value : list->get_array()) {
    if (value.is_object()) each(value.get_object());
  }
}

/// Returns the object of that name, an empty one if there is none.
json::object object_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_object() ? value->get_object() : json::object();
}

std::vector<std::string> strings_at(const json::object& object, std::string_view key) {
  std::vector<std::string> strings;
  const json::value* list = object.if_contains(key);
  if (list == nullptr || !list->is_array()) return strings;
  for (const json::value& value : list->get_array()) {
    if (value.is_string()) strings.emplace_back(value.get_string());
  }
  return strings;
}

std::optional<Duration> milliseconds_in(const Members& members, std::string_view key) {
  const std::optional<std::int64_t> count = members.number(key);
  if (!count) return std::nullopt;
  return std::chrono::milliseconds(*count);
}

UsageInfo usage_in(const json::object& object) {
  const Members members(object);
  UsageInfo usage;
  members.take("ram_bytes", usage.ram);
  members.take("vram_bytes", usage.vram);
  const json::value* cpu = object.if_contains("cpu_percent");
  if (cpu != nullptr && cpu->is_number()) usage.cpu_percent = cpu->to_number<double>();
  return usage;
}

ForeignInfo foreign_in(const json::object& object) {
  const Members members(object);
  ForeignInfo process;
  members.take("pid", process.pid);
  members.take("program", process.program);
  process.uses = usage_in(object);
  return process;
}

ServerConfigInfo config_in(const json::object& object) {
  const Members members(object);
  ServerConfigInfo config;
  members.take("model", config.model);
  members.take("port", config.port);
  config.threads = members.number("threads");
  config.gpu_layers = members.number("gpu_layers");
  config.context_size = members.number("context_size");
  config.parallel = members.number("parallel");
  members.take("flash_attention", config.flash_attention);
  return config;
}

ServerInfo server_in(const json::object& object) {
  const Members members(object);
  ServerInfo server;
  members.take("name", server.name);
  members.take("kind", server.kind);
  members.take("state", server.state);
  members.take("wanted", server.wanted);
  members.take("displaced", server.displaced);
  members.take("pinned", server.pinned);
  members.take("displaced_by", server.displaced_by);
  members.take("comes_back", server.comes_back);
  server.displaced_for = milliseconds_in(members, "displaced_for_ms");
  members.take("gate_open", server.gate_open);
  members.take("generation", server.generation);
  server.pid = members.number("pid");
  members.take("used_bytes", server.used);
  server.uses = usage_in(object);
  members.take("footprint_bytes", server.footprint);
  for (const auto& [pool, bytes] : object_at(object, "footprint")) {
    if (bytes.is_int64())
      server.footprint_shares.emplace_back(std::string(pool), Bytes{bytes.get_int64()});
  }
  members.take("footprint_source", server.footprint_source);
  members.take("running", server.running);
  members.take("waiting", server.waiting);
  server.bound = milliseconds_in(members, "bound_ms");
  members.take("no_bound_because", server.no_bound_because);
  members.take("front_port", server.front_port);
  members.take("state_note", server.state_note);
  members.take("failure", server.failure);
  server.config = config_in(object_at(object, "config"));
  return server;
}

WaitingInfo waiting_in(const json::object& object) {
  const Members members(object);
  WaitingInfo waiting;
  members.take("job", waiting.job);
  members.take("server", waiting.server);
  members.take("place", waiting.place);
  waiting.waited = milliseconds_in(members, "waited_ms").value_or(Duration{0});
  waiting.eta = milliseconds_in(members, "eta_ms");
  members.take("guess", waiting.is_guess);
  members.take("waits_for", waiting.waits_for);
  return waiting;
}

PoolInfo pool_in(const json::object& object) {
  const Members members(object);
  PoolInfo pool;
  members.take("name", pool.name);
  members.take("kind", pool.kind);
  members.take("capacity_bytes", pool.capacity);
  members.take("limit_bytes", pool.limit);
  members.take("free_bytes", pool.free);
  members.take("promised_bytes", pool.promised);
  members.take("foreign_bytes", pool.foreign);
  members.take("foreign_inferred", pool.foreign_inferred);
  pool.utilisation = members.number("utilisation_percent");
  return pool;
}

LeaseInfo lease_in(const json::object& object) {
  const Members members(object);
  LeaseInfo lease;
  lease.job = members.number("job").value_or(0);
  members.take("kind", lease.kind);
  members.take("state", lease.state);
  members.take("holder", lease.holder);
  for (const auto& [pool, bytes] : object_at(object, "bytes")) {
    if (bytes.is_int64()) lease.bytes.emplace_back(std::string(pool), Bytes{bytes.get_int64()});
  }
  lease.servers = strings_at(object, "servers");
  members.take("exclusive", lease.exclusive);
  lease.since = milliseconds_in(members, "since_ms").value_or(Duration{0});
  lease.limit = milliseconds_in(members, "limit_ms");
  members.take("seen_bytes", lease.seen);
  for_each(object, "processes", [&](const json::object& each) {
    const Members process(each);
    std::string program;
    process.take("program", program);
    lease.processes.push_back(
        fmt::format("{} (pid {})", program, process.number("pid").value_or(0)));
  });
  return lease;
}

/// Reads "2026-11-28T11:17:30.123Z"; the beginning of time if it is no such text.
WallTime wall_time_in(const std::string& text) {
  int part[7] = {};
  const int count = std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &part[0], &part[1],
                                &part[2], &part[3], &part[4], &part[5], &part[6]);
  if (count < 6) return {};
  const std::chrono::year_month_day date{std::chrono::year(part[0]),
                                         std::chrono::month(static_cast<unsigned>(part[1])),
                                         std::chrono::day(static_cast<unsigned>(part[2]))};
  const auto at = std::chrono::sys_days(date) + std::chrono::hours(part[3]) +
                  std::chrono::minutes(part[4]) + std::chrono::seconds(part[5]) +
                  std::chrono::milliseconds(part[6]);
  return {std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count()};
}

RecordInfo record_in(const json::object& object) {
  const Members members(object);
  RecordInfo record;
  record.number = static_cast<std::uint64_t>(members.number("n").value_or(0));
  members.take("wall_ms", record.wall.unix_ms);
  members.take("kind", record.kind);
  members.take("name", record.name);
  members.take("server", record.server);
  members.take("text", record.text);
  members.take("step", record.step);
  members.take("steps", record.steps);
  return record;
}

}  // namespace

Result<DaemonStatus> read_status(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  const Members members(*object);
  DaemonStatus status;
  members.take("version", status.version);
  members.take("pid", status.pid);
  members.take("state_dir", status.state_dir);
  members.take("address", status.address);
  status.uptime = milliseconds_in(members, "uptime_ms").value_or(Duration{0});
  for_each(*object, "servers",
           [&](const json::object& each) { status.servers.push_back(server_in(each)); });
  for_each(*object, "pools",
           [&](const json::object& each) { status.pools.push_back(pool_in(each)); });
  for_each(*object, "leases",
           [&](const json::object& each) { status.leases.push_back(lease_in(each)); });
  for_each(*object, "waiting",
           [&](const json::object& each) { status.waiting.push_back(waiting_in(each)); });
  for_each(*object, "foreign",
           [&](const json::object& each) { status.foreign.push_back(foreign_in(each)); });
  const json::object probe = object_at(*object, "probe");
  Members(probe).take("state", status.probe);
  Members(probe).take("detail", status.probe_detail);
  return status;
}

Result<ServerInfo> read_server(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  return server_in(*object);
}

Result<RecordInfo> read_record(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  return record_in(*object);
}

Result<std::vector<RecordInfo>> read_records(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  std::vector<RecordInfo> records;
  for_each(*object, "records",
           [&](const json::object& each) { records.push_back(record_in(each)); });
  return records;
}

Result<std::vector<WaitingInfo>> read_waiting(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  std::vector<WaitingInfo> waiting;
  for_each(*object, "waiting",
           [&](const json::object& each) { waiting.push_back(waiting_in(each)); });
  return waiting;
}

Result<std::vector<std::string>> read_lines(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  return strings_at(*object, "lines");
}

Result<std::vector<LeaseInfo>> read_leases(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  std::vector<LeaseInfo> leases;
  for_each(*object, "leases", [&](const json::object& each) { leases.push_back(lease_in(each)); });
  return leases;
}

Result<std::vector<FootprintInfo>> read_footprints(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  std::vector<FootprintInfo> footprints;
  for_each(*object, "footprints", [&](const json::object& each) {
    const Members members(each);
    FootprintInfo& row = footprints.emplace_back();
    members.take("server", row.server);
    members.take("current", row.current);
    members.take("pool", row.pool);
    members.take("stage", row.stage);
    members.take("shape", row.shape);
    members.take("bytes", row.bytes);
  });
  return footprints;
}

Result<LeaseNews> read_lease_news(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  const Members members(*object);
  LeaseNews news;
  members.take("state", news.state);
  news.job = members.number("job").value_or(0);
  for (const auto& [name, value] : object_at(*object, "environment")) {
    if (value.is_string()) news.environment.emplace(name, std::string(value.get_string()));
  }
  if (object->contains("error")) news.error = error_in(object_at(*object, "error"));
  return news;
}

Result<std::vector<std::string>> read_offload_victims(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  std::vector<std::string> victims;
  Members(*object).take("victims", victims);
  return victims;
}

Result<std::optional<SavedStateInfo>> read_saved_state(std::string_view text) {
  const Result<json::object> object = object_in(text);
  if (!object) return fail(object.error());
  const json::value* saved = object->if_contains("saved_state");
  if (saved == nullptr || !saved->is_object()) return std::optional<SavedStateInfo>();
  const json::object config = object_at(saved->get_object(), "config");
  const Members members(saved->get_object());
  SavedStateInfo state{.config = config_in(config), .argv = strings_at(config, "argv")};
  std::string saved_at;
  std::string after = "restore";
  members.take("was_running", state.was_running);
  members.take("saved_at", saved_at);
  members.take("displaced_by", state.displaced_by);
  members.take("after", after);
  state.saved_at = wall_time_in(saved_at);
  state.comes_back = after == "restore";
  return state;
}

Error read_error(int status, std::string_view body) {
  Error error{ErrorCode::upstream, fmt::format("the reply has status {} and no reason", status)};
  const Result<json::object> object = object_in(body);
  const json::value* details = object ? object->if_contains("error") : nullptr;
  if (details == nullptr || !details->is_object()) return error;
  return error_in(details->get_object());
}

}  // namespace berth::client
