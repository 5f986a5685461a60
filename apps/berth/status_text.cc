// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "bars.h"
#include "status_text.h"
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
  const std::string time =
      server.displaced_for ? fmt::format(" for {}", to_text(*server.displaced_for)) : "";
  std::string_view then = server.comes_back ? "comes back" : "comes back when it is asked for";
  if (server.wanted == "off") then = "stays out";
  return fmt::format("displaced by {}{}, {}", server.displaced_by, time, then);
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
  if (server.state == "absent" && server.pid)
    parts.emplace_back("its process lives on without its weights");
  if (server.pinned) parts.emplace_back("pinned");
  if (server.wanted == "off") parts.push_back("stopped by the user");
  if (!server.gate_open) parts.emplace_back("new requests wait");
  if (server.waiting > 0) parts.push_back(bound_of(server));
  if (!server.state_note.empty()) parts.push_back(server.state_note);
  if (!server.failure.empty()) parts.push_back(server.failure);
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string amount(const std::optional<Bytes>& bytes) {
  return bytes ? to_text(*bytes) : "-";
}

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f} %", *share) : "-";
}

/// Where the driver of a GPU tells it of somebody.
bool shows_vram(const DaemonStatus& status) {
  return std::any_of(status.pools.begin(), status.pools.end(),
                     [](const PoolInfo& pool) { return pool.kind == "device"; });
}

Row row_of(const ServerInfo& server, bool vram) {
  Row row{{{server.name},
           {server.state, colour_of(server)},
           {server.pid ? std::to_string(*server.pid) : "-"},
           {server.pid ? percent(server.uses.cpu_percent) : "-"},
           {server.pid ? amount(server.uses.ram) : "-"}},
          note_of(server)};
  if (vram) row.cells.push_back({server.pid ? amount(server.uses.vram) : "-"});
  row.cells.push_back({to_text(server.footprint)});
  row.cells.push_back({fmt::format("{} + {}", server.running, server.waiting)});
  row.cells.push_back({server.front_port == 0 ? "-" : std::to_string(server.front_port)});
  return row;
}

std::string servers_table(const DaemonStatus& status) {
  const bool vram = shows_vram(status);
  std::vector<Column> columns = {
      {"SERVER"}, {"STATE"}, {"PID", true}, {"CPU", true}, {"RAM", true}};
  if (vram) columns.push_back({"VRAM", true});
  columns.insert(columns.end(), {{"NEEDS", true}, {"RUN + WAIT", true}, {"PORT", true}});
  std::vector<Row> rows;
  for (const ServerInfo& server : status.servers)
    rows.push_back(row_of(server, vram));
  return render_table(columns, rows);
}

std::string others_of(const PoolInfo& pool) {
  if (!pool.foreign) return "-";
  return (pool.foreign_inferred ? "~" : "") + to_text(*pool.foreign);
}

/// With a column for others where a pool has any, and for GPUs where there is one.
std::string pools_table(const DaemonStatus& status) {
  const bool others = std::any_of(status.pools.begin(), status.pools.end(),
                                  [](const PoolInfo& pool) { return pool.kind != "capped"; });
  const bool gpus = shows_vram(status);
  std::vector<Column> columns = {{"POOL"}, {"USED", true}};
  if (others) columns.push_back({"BY OTHERS", true});
  columns.insert(columns.end(), {{"LIMIT", true}, {"CAPACITY", true}});
  if (gpus) columns.push_back({"GPU", true});
  columns.push_back({""});
  std::vector<Row> rows;
  for (const PoolInfo& pool : status.pools) {
    const Bytes taken = std::max(pool.capacity - pool.free.value_or(Bytes{0}), Bytes{0});
    Row row{{{pool.name}, {pool.free ? to_text(taken) : "-"}}, ""};
    if (others) row.cells.push_back({others_of(pool)});
    row.cells.push_back({to_text(pool.limit)});
    row.cells.push_back({to_text(pool.capacity)});
    if (gpus)
      row.cells.push_back({pool.utilisation ? fmt::format("{} %", *pool.utilisation) : "-"});
    const Fill fill{.used = taken, .limit = pool.limit, .capacity = pool.capacity};
    row.cells.push_back({pool.free ? pool_bar(fill, others ? 14 : 24) : ""});
    rows.push_back(std::move(row));
  }
  return render_table(columns, rows);
}

std::string others_table(const DaemonStatus& status) {
  const bool vram = shows_vram(status);
  std::vector<Column> columns = {{"OTHERS"}, {"PID", true}, {"CPU", true}, {"RAM", true}};
  if (vram) columns.push_back({"VRAM", true});
  std::vector<Row> rows;
  for (const client::ForeignInfo& other : status.foreign) {
    Row row{{{other.program},
             {std::to_string(other.pid)},
             {percent(other.uses.cpu_percent)},
             {amount(other.uses.ram)}},
            ""};
    if (vram) row.cells.push_back({amount(other.uses.vram)});
    rows.push_back(std::move(row));
  }
  return render_table(columns, rows);
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
        fmt::format("job {} for {}: {}; {}", each.job, each.server, when, each.waits_for);
    line = printable_line(line);
    if (line.size() > kColumns) line = line.substr(0, kColumns - 3) + "...";
    text += line + "\n";
  }
  if (shown < waiting.size()) text += fmt::format("and {} more wait\n", waiting.size() - shown);
  return text;
}

std::string text_of(const DaemonStatus& status, const std::string& leases) {
  std::string text = fmt::format("berth {} at {}, pid {}, up {}\n", status.version, status.address,
                                 status.pid, to_text(status.uptime));
  if (status.probe != "ok") {
    text += painted(wrapped(fmt::format("probe {}: {}", status.probe, status.probe_detail), ""),
                    Colour::red);
  }
  text += "\n" + servers_table(status) + "\n" + pools_table(status);
  if (!status.foreign.empty()) text += "\n" + others_table(status);
  if (!leases.empty()) text += "\n" + leases;
  if (!status.waiting.empty()) text += "\n" + waiting_text(status.waiting);
  return text;
}

}  // namespace berth::cli
