// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "bars.h"
#include "commands.h"
#include "table.h"

namespace berth::cli {
namespace {

using client::DaemonStatus;
using client::PoolInfo;
using client::ServerInfo;

constexpr std::size_t kColumns = 80;
constexpr std::size_t kWaitingShown = 5;

Colour colour_of(const ServerInfo& server) {
  if (server.state == "ready") return Colour::green;
  if (server.state == "failed" || server.state == "unkillable") return Colour::red;
  if (server.state == "starting" || server.state == "stopping" || server.displaced) {
    return Colour::yellow;
  }
  return Colour::none;
}

std::string displacement(const ServerInfo& server) {
  const std::string since =
      server.displaced_for ? fmt::format(" since {}", to_text(*server.displaced_for)) : "";
  const std::string_view then = server.wanted == "off" ? "stays out" : "comes back";
  return fmt::format("displaced by {}{}, {}", server.displaced_by, since, then);
}

/// How long somebody waits at most, where somebody waits.
std::string bound_of(const ServerInfo& server) {
  if (server.bound) return fmt::format("served within {} at the latest", to_text(*server.bound));
  return fmt::format("no bound, because {}", server.no_bound_because);
}

/// What a person should know of the server, in one line.
std::string note_of(const ServerInfo& server) {
  std::vector<std::string> parts;
  if (server.displaced) parts.push_back(displacement(server));
  if (server.pinned) parts.emplace_back("pinned");
  if (server.wanted == "off") parts.push_back("stopped by the user");
  if (!server.gate_open) parts.emplace_back("new requests wait");
  if (server.waiting > 0) parts.push_back(bound_of(server));
  if (!server.state_note.empty()) parts.push_back(server.state_note);
  if (!server.failure.empty()) parts.push_back(server.failure);
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string memory_of(const ServerInfo& server) {
  return fmt::format("{} / {}", server.used ? to_text(*server.used) : "-",
                     to_text(server.footprint));
}

Row row_of(const ServerInfo& server) {
  return {{{server.name},
           {server.kind},
           {server.state, colour_of(server)},
           {server.pid ? std::to_string(*server.pid) : "-"},
           {memory_of(server)},
           {fmt::format("{} + {}", server.running, server.waiting)},
           {server.front_port == 0 ? "-" : std::to_string(server.front_port)}},
          note_of(server)};
}

Row row_of(const PoolInfo& pool) {
  std::string used = "-";
  std::string bar;
  if (pool.free) {
    const Bytes taken = std::max(pool.capacity - *pool.free, Bytes{0});
    used = to_text(taken);
    bar = pool_bar({.used = taken, .limit = pool.limit, .capacity = pool.capacity});
  }
  return {{{pool.name}, {used}, {to_text(pool.limit)}, {to_text(pool.capacity)}, {bar}}, ""};
}

std::string text_of(const DaemonStatus& status) {
  std::vector<Row> servers;
  for (const ServerInfo& server : status.servers)
    servers.push_back(row_of(server));
  std::vector<Row> pools;
  for (const PoolInfo& pool : status.pools)
    pools.push_back(row_of(pool));
  std::string text = fmt::format("berth {} at {}, pid {}, up {}\n\n", status.version,
                                 status.address, status.pid, to_text(status.uptime));
  text += render_table({{"SERVER"},
                        {"KIND"},
                        {"STATE"},
                        {"PID", true},
                        {"USED / NEEDS", true},
                        {"RUN + WAIT", true},
                        {"PORT", true}},
                       servers);
  text += "\n" + render_table({{"POOL"}, {"USED", true}, {"LIMIT", true}, {"CAPACITY", true}, {""}},
                              pools);
  if (!status.leases.empty()) text += "\n" + leases_table(status.leases);
  if (!status.waiting.empty()) text += "\n" + waiting_text(status.waiting);
  return text;
}

Task<int> show(client::Client* berth, bool json) {
  const Result<std::string> reply = co_await berth->status();
  if (!reply) co_return report(reply.error(), json);
  const Result<DaemonStatus> read = client::read_status(*reply);
  if (!read) co_return report(read.error(), json);
  say(json ? *reply + "\n" : text_of(*read));
  co_return 0;
}

}  // namespace

std::string waiting_text(const std::vector<client::WaitingInfo>& waiting) {
  std::string text;
  const std::size_t shown = std::min(waiting.size(), kWaitingShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const client::WaitingInfo& each = waiting[i];
    const std::string when =
        each.eta ? fmt::format("in {}{}", each.is_guess ? "about " : "", to_text(*each.eta))
                 : std::string("no time known");
    std::string line =
        fmt::format("job {} for {}: {}, waits for {}", each.job, each.server, when, each.waits_for);
    if (line.size() > kColumns) line = line.substr(0, kColumns - 3) + "...";
    text += line + "\n";
  }
  if (shown < waiting.size()) text += fmt::format("and {} more wait\n", waiting.size() - shown);
  return text;
}

int status(const Common& common) {
  return converse(common, [&](client::Client* berth) { return show(berth, common.json); });
}

}  // namespace berth::cli
