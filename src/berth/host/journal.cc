// SPDX-License-Identifier: Apache-2.0
#include "berth/host/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/host/event_json.h"
#include "berth/host/text.h"

namespace berth::host {
namespace {

namespace json = boost::json;

constexpr std::int64_t kSizeMax = 64 << 20;
constexpr int kOpenFlags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC;

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
      bytes += config.pools[share.pool.value].again ? 0 : share.bytes.count;
    json::object each{{"pid", holder.pid}, {"program", holder.program}, {"bytes", bytes}};
    if (holder.server) {
      each["server"] = server_name(config, *holder.server);
      each["generation"] = holder.generation.value;
    }
    out.push_back(std::move(each));
  }
  return out;
}

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
  Line(std::uint64_t number, Stamp stamp, std::string_view kind) {
    object["n"] = number;
    object["t_ns"] = stamp.at.since_start.count();
    object["wall_ms"] = stamp.wall.unix_ms;
    object["kind"] = kind;
  }
  Line(std::uint64_t number, Stamp stamp, std::string_view kind, std::string_view name,
       const std::string& server)
      : Line(number, stamp, kind) {
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
  const int fd = ::open(path.c_str(), kOpenFlags, 0600);
  struct stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0) {
    return fail(ErrorCode::io,
                fmt::format("cannot write the journal {}: {}", path, strerror(errno)));
  }
  return std::unique_ptr<Journal>(new Journal(path, fd, info.st_size));
}

Journal::Journal(std::string path, int fd, std::int64_t size)
    : path_(std::move(path)), fd_(fd), size_(size) {
  char last = '\n';
  const bool read = size_ > 0 && ::pread(fd_, &last, 1, size_ - 1) == 1;
  torn_ = read && last != '\n';
}

Journal::~Journal() {
  ::close(fd_);
}

void Journal::append(std::string line) {
  if (size_ > kSizeMax) {
    std::rename(path_.c_str(), (path_ + ".1").c_str());
    const int fresh = ::open(path_.c_str(), kOpenFlags, 0600);
    if (fresh >= 0) {
      ::close(fd_);
      fd_ = fresh;
      size_ = 0;
      torn_ = false;
    }
  }
  if (torn_) line.insert(0, 1, '\n');  // the torn line stays alone
  // A journal that cannot be written (disk full) must not stop the servers; the store decides.
  const ssize_t written = ::write(fd_, line.data(), line.size());
  if (written <= 0) return;
  size_ += written;
  torn_ = line[static_cast<std::size_t>(written) - 1] != '\n';
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
  Line line(next_, stamp, "event");
  if (std::holds_alternative<core::Recovered>(event)) line.object["format"] = kJournalFormat;
  line.add(to_json(event, config));
  finish(line, stamp, "event", "", "", "");
}

void Journal::write(Stamp stamp, const core::Action& action, const core::Config& config) {
  Line line(next_, stamp, "action");
  line.add(to_json(action, config));
  finish(line, stamp, "action", "", "", "");
}

Record Journal::decision(Stamp stamp, const core::Announce& announce, const core::Config& config) {
  const std::string server = server_name(config, announce.server);
  Line line(next_, stamp, "decision", name(announce.reason), server);
  if (!announce.victims.empty()) line.object["victims"] = server_names(config, announce.victims);
  if (announce.job) line.object["job"] = announce.job->value;
  if (announce.numbers) line.object["numbers"] = numbers_json(*announce.numbers, config);
  if (!announce.holders.empty()) line.object["holders"] = holders_json(announce.holders, config);
  if (announce.error) line.object["error"] = error_json(*announce.error);
  if (announce.eta) line.object["eta_ms"] = milliseconds(*announce.eta);
  if (announce.eta) line.object["guess"] = announce.is_guess;
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
