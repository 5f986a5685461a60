// SPDX-License-Identifier: Apache-2.0
#include "berth/host/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/host/text.h"

namespace berth::host {
namespace {

namespace json = boost::json;

constexpr std::int64_t kSizeMax = 64 << 20;

std::string server_name(const core::Config& config, ServerId id) {
  return id.value < config.servers.size() ? config.servers[id.value].name : "";
}

json::array server_names(const core::Config& config, const std::vector<ServerId>& ids) {
  json::array out;
  for (const ServerId id : ids)
    out.emplace_back(server_name(config, id));
  return out;
}

json::object error_json(const Error& error) {
  return {{"code", name(error.code)}, {"message", error.message}};
}

json::object row_json(const core::Row& row, const core::Config& config) {
  json::object out{{"wanted", name(row.wanted)},
                   {"generation", row.generation.value},
                   {"skip_next_restore", row.skip_next_restore}};
  if (row.displaced) {
    out["displaced_by"] = server_name(config, row.displaced->by);
    out["displaced_since_ns"] = row.displaced->since.since_start.count();
    out["after"] = row.displaced->after == core::After::restore ? "restore" : "on_request";
  }
  return out;
}

json::array pools_json(const core::Measured& sample, const core::Config& config) {
  json::array out;
  for (const core::PoolSample& pool : sample.pools) {
    out.push_back({{"name", config.pools.at(pool.pool.value).name},
                   {"capacity_bytes", pool.capacity.count},
                   {"free_bytes", pool.free.count},
                   {"foreign_bytes", pool.foreign.count}});
  }
  return out;
}

json::array holders_json(const std::vector<core::Holder>& holders, const core::Config& config) {
  json::array out;
  for (const core::Holder& holder : holders) {
    std::int64_t bytes = 0;
    for (const core::PoolShare& share : holder.bytes.shares)
      bytes += share.bytes.count;
    json::object each{{"pid", holder.pid}, {"program", holder.program}, {"bytes", bytes}};
    if (holder.server) {
      each["server"] = server_name(config, *holder.server);
      each["generation"] = holder.generation.value;
    }
    out.push_back(std::move(each));
  }
  return out;
}

/// Event or action as name and members.
struct Told {
  std::string_view name;
  std::string server;
  json::object members;
};

struct EventTeller {
  const core::Config& config;

  Told operator()(const core::JobArrived& e) const {
    return {"job_arrived",
            server_name(config, e.server),
            {{"job", e.job.value}, {"class", name(e.job_class)}, {"client", e.client}}};
  }
  Told operator()(const core::JobWithdrawn& e) const {
    return {"job_withdrawn", "", {{"job", e.job.value}}};
  }
  Told operator()(const core::JobEnded& e) const {
    return {"job_ended", "", {{"job", e.job.value}, {"how", name(e.how)}}};
  }
  Told operator()(const core::EffectEnded& e) const {
    Told told{"effect_ended", "", {{"effect", e.effect.value}}};
    if (e.result.error) told.members["error"] = error_json(*e.result.error);
    if (e.result.state_restored) told.members["state_restored"] = *e.result.state_restored;
    return told;
  }
  Told operator()(const core::ServerChanged& e) const {
    const bool exited = e.fact == core::ServerChanged::Fact::exited;
    return {"server_changed",
            server_name(config, e.server),
            {{"generation", e.generation.value},
             {"fact", exited ? "exited" : "unresponsive"},
             {"detail", e.detail}}};
  }
  Told operator()(const core::Measured& e) const {
    Told told{"measured",
              "",
              {{"effect", e.effect.value},
               {"pools", pools_json(e, config)},
               {"holders", holders_json(e.holders, config)}}};
    if (e.error) told.members["error"] = error_json(*e.error);
    return told;
  }
  Told operator()(const core::UserAsked& e) const {
    return {"user_asked", server_name(config, e.server), {{"what", name(e.what)}}};
  }
  Told operator()(const core::TimerFired& e) const {
    return {"timer_fired", "", {{"timer", e.timer.value}}};
  }
  Told operator()(const core::Recovered& e) const {
    json::array rows;
    for (const core::Row& row : e.rows) {
      json::object each = row_json(row, e.config);
      each["server"] = server_name(e.config, row.server);
      rows.push_back(std::move(each));
    }
    json::array found;
    for (const core::FoundServer& server : e.found) {
      found.push_back({{"server", server_name(e.config, server.server)},
                       {"generation", server.generation.value},
                       {"healthy", server.healthy}});
    }
    return {"recovered", "", {{"rows", rows}, {"found", found}}};
  }
};

struct ActionTeller {
  const core::Config& config;

  Told operator()(const core::Commit& a) const {
    json::object members = row_json(a.row, config);
    members["effect"] = a.effect.value;
    return {"commit", server_name(config, a.row.server), std::move(members)};
  }
  Told operator()(const core::MoveTo& a) const {
    return {"move_to",
            server_name(config, a.server),
            {{"effect", a.effect.value},
             {"rung", name(a.rung)},
             {"keep", a.keep},
             {"generation", a.generation.value},
             {"deadline_ms", milliseconds(a.deadline)}}};
  }
  Told operator()(const core::Dispatch& a) const {
    return {"dispatch",
            server_name(config, a.server),
            {{"job", a.job.value}, {"generation", a.generation.value}}};
  }
  Told operator()(const core::Cancel& a) const {
    const bool gone = a.reason == core::CancelReason::client_gone;
    return {"cancel", "", {{"job", a.job.value}, {"reason", gone ? "client_gone" : "drain_limit"}}};
  }
  Told operator()(const core::Measure& a) const {
    return {"measure", "", {{"effect", a.effect.value}}};
  }
  Told operator()(const core::SetTimer& a) const {
    return {"set_timer", "", {{"timer", a.timer.value}, {"at_ns", a.at.since_start.count()}}};
  }
  Told operator()(const core::Reject& a) const {
    Told told{"reject", "", {{"job", a.job.value}, {"error", error_json(a.error)}}};
    if (a.retry_after) told.members["retry_after_ms"] = milliseconds(*a.retry_after);
    return told;
  }
  Told operator()(const core::Announce& a) const {
    return {"announce", server_name(config, a.server), {{"reason", name(a.reason)}}};
  }
};

json::object numbers_json(const core::Admission& n, const core::Config& config) {
  return {{"pool", config.pools.at(n.pool.value).name},
          {"need_bytes", n.need.count},
          {"others_bytes", n.others.count},
          {"limit_bytes", n.limit.count},
          {"capacity_bytes", n.capacity.count},
          {"foreign_bytes", n.foreign.count},
          {"free_bytes", n.free.count}};
}

}  // namespace

class Journal::Line {
 public:
  Line(std::uint64_t number, Stamp stamp, std::string_view kind, std::string_view name,
       const std::string& server) {
    object["n"] = number;
    object["t_ns"] = stamp.at.since_start.count();
    object["wall_ms"] = stamp.wall.unix_ms;
    object["kind"] = kind;
    object["name"] = name;
    if (!server.empty()) object["server"] = server;
  }
  void add(json::object members) {
    for (auto& member : members)
      object[member.key()] = std::move(member.value());
  }

  json::object object;
};

Result<std::unique_ptr<Journal>> Journal::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  struct stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0) {
    return fail(ErrorCode::io,
                fmt::format("cannot write the journal {}: {}", path, strerror(errno)));
  }
  return std::unique_ptr<Journal>(new Journal(path, fd, info.st_size));
}

Journal::Journal(std::string path, int fd, std::int64_t size)
    : path_(std::move(path)), fd_(fd), size_(size) {}

Journal::~Journal() {
  ::close(fd_);
}

void Journal::append(const std::string& line) {
  if (size_ > kSizeMax) {
    std::rename(path_.c_str(), (path_ + ".1").c_str());
    const int fresh = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fresh >= 0) {
      ::close(fd_);
      fd_ = fresh;
      size_ = 0;
    }
  }
  // A journal that cannot be written (disk full) must not stop the servers; the store decides.
  const ssize_t written = ::write(fd_, line.data(), line.size());
  if (written > 0) size_ += written;
}

Record Journal::finish(Line& line, Stamp stamp, std::string kind, std::string name,
                       std::string server, std::string text) {
  if (!text.empty()) line.object["text"] = text;
  Record record{.number = next_++,
                .wall = stamp.wall,
                .at = stamp.at,
                .kind = std::move(kind),
                .name = std::move(name),
                .server = std::move(server),
                .text = std::move(text),
                .json = json::serialize(line.object)};
  append(record.json + "\n");
  return record;
}

void Journal::write(Stamp stamp, const core::Event& event, const core::Config& config) {
  Told told = std::visit(EventTeller{config}, event);
  Line line(next_, stamp, "event", told.name, told.server);
  line.add(std::move(told.members));
  finish(line, stamp, "event", std::string(told.name), told.server, "");
}

void Journal::write(Stamp stamp, const core::Action& action, const core::Config& config) {
  Told told = std::visit(ActionTeller{config}, action);
  Line line(next_, stamp, "action", told.name, told.server);
  line.add(std::move(told.members));
  finish(line, stamp, "action", std::string(told.name), told.server, "");
}

Record Journal::decision(Stamp stamp, const core::Announce& announce, const core::Config& config) {
  const std::string server = server_name(config, announce.server);
  Line line(next_, stamp, "decision", name(announce.reason), server);
  if (!announce.victims.empty()) line.object["victims"] = server_names(config, announce.victims);
  if (announce.job) line.object["job"] = announce.job->value;
  if (announce.numbers) line.object["numbers"] = numbers_json(*announce.numbers, config);
  if (!announce.holders.empty()) line.object["holders"] = holders_json(announce.holders, config);
  if (announce.error) line.object["error"] = error_json(*announce.error);
  return finish(line, stamp, "decision", std::string(name(announce.reason)), server,
                sentence(announce, config));
}

Record Journal::step(Stamp stamp, std::string_view step_name, const std::string& server,
                     std::string text) {
  Line line(next_, stamp, "step", step_name, server);
  return finish(line, stamp, "step", std::string(step_name), server, std::move(text));
}

Record Journal::progress(Stamp stamp, const std::string& server,
                         const servers::Progress& progress) {
  Line line(next_, stamp, "progress", progress.stage, server);
  line.object["step"] = progress.step;
  line.object["steps"] = progress.steps;
  return finish(line, stamp, "progress", progress.stage, server, "");
}

void Journal::memory(Stamp stamp, const core::Measured& sample, const core::Config& config) {
  Line line(next_, stamp, "memory", "sample", "");
  line.object["pools"] = pools_json(sample, config);
  line.object["holders"] = holders_json(sample.holders, config);
  finish(line, stamp, "memory", "sample", "", "");
}

}  // namespace berth::host
