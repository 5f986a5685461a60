// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "berth/config/sections.h"
#include "berth/config/server_keys.h"

namespace berth::config {
namespace {

using core::ServerClass;
using core::Wanted;
using core::WhileDisplaced;

constexpr Range kPort{0, 65'535};
constexpr Duration kShortest = 1ms;

constexpr auto kClasses = std::to_array<Name<ServerClass>>({{"video", ServerClass::video},
                                                            {"image", ServerClass::image},
                                                            {"chat", ServerClass::chat},
                                                            {"batch", ServerClass::batch}});
constexpr auto kWanted =
    std::to_array<Name<Wanted>>({{"on_demand", Wanted::on_demand}, {"on", Wanted::on}});
constexpr auto kWhileDisplaced =
    std::to_array<Name<WhileDisplaced>>({{"hold", WhileDisplaced::hold},
                                         {"refuse", WhileDisplaced::refuse},
                                         {"fallback", WhileDisplaced::fallback}});
constexpr std::string_view kOffIsACommand = "; to keep a server off use \"berth stop\"";

/// What one section gives, for the core and for the shell.
struct Draft {
  core::ServerConfig core;
  ServerOptions options;
};

std::optional<PoolId> find_pool(std::string_view name, const std::vector<core::PoolConfig>& pools) {
  for (std::uint32_t i = 0; i < pools.size(); ++i) {
    if (pools[i].name == name) return PoolId{i};
  }
  return std::nullopt;
}

/// Reads `{ram = "300MiB"}`.
void read_shares(const Node::Table& table, const std::vector<core::PoolConfig>& pools,
                 core::Footprint& out, Problems& problems) {
  std::vector<std::string_view> known;
  for (const core::PoolConfig& pool : pools)
    known.push_back(pool.name);
  for (const Entry& entry : table) {
    const auto pool = find_pool(entry.key, pools);
    if (!pool) {
      problems.add(entry.at, fmt::format("there is no pool \"{}\"; write {}", entry.key,
                                         known.empty() ? "a section for it" : alternatives(known)));
      continue;
    }
    Bytes amount;
    bytes(amount, Bytes{1})(entry, problems);
    out.shares.push_back({*pool, amount});
  }
  std::sort(out.shares.begin(), out.shares.end(),
            [](const core::PoolShare& a, const core::PoolShare& b) { return a.pool < b.pool; });
}

/// A picture that takes longer hangs: its client gets an error and its server is started anew.
constexpr Duration kPictureLimit = 30min;

/// `memory`: an amount in the first pool, or a table of amounts by pool.
Reader memory(Draft& draft, const std::vector<core::PoolConfig>& pools) {
  return [&draft, &pools](const Entry& entry, Problems& problems) {
    draft.options.memory_declared = true;
    core::Footprint& footprint = draft.core.footprint;
    const auto* table = entry.node.as<Node::Table>();
    if (table != nullptr && table->empty()) {
      add_mismatch(entry, "an amount of memory, for example \"512MiB\", or leave the key out",
                   problems);
    } else if (table != nullptr) {
      read_shares(*table, pools, footprint, problems);
    } else {
      footprint.shares.push_back({PoolId{0}, {}});
      bytes(footprint.shares.front().bytes, Bytes{1})(entry, problems);
    }
  };
}

std::vector<Key> common_keys(Draft& draft, const std::vector<core::PoolConfig>& pools) {
  core::ServerConfig& core = draft.core;
  return {
      {"kind", [](const Entry&, Problems&) {}},  // was read first: it decides on the other keys
      {"port", whole(draft.options.front_port, kPort)},
      {"memory", memory(draft, pools)},
      {"class", named<ServerClass>(core.job_class, kClasses)},
      {"wanted", named<Wanted>(core.wanted, kWanted, kOffIsACommand)},
      {"drain_limit", duration_or_none(core.drain_limit)},
      {"job_limit", duration_or_none(core.job_limit)},
      {"start_deadline", duration(core.start_deadline, kShortest)},
      {"stop_deadline", duration(core.stop_deadline, kShortest)},
      {"while_displaced", named<WhileDisplaced>(core.while_displaced, kWhileDisplaced)},
      {"fallback", [](const Entry&, Problems&) {}},  // resolve_fallbacks(): it may come later
      {"max_hold", duration_or_none(core.max_hold)},
  };
}

/// Returns the section's kind, or adds a problem and returns null.
const ServerKind* read_kind(const Section& section, Problems& problems) {
  std::vector<std::string_view> known;
  const Entry* entry = find(section.table, "kind");
  for (const ServerKind& kind : server_kinds()) {
    known.push_back(kind.name);
    const auto* text = entry == nullptr ? nullptr : entry->node.as<std::string>();
    if (text != nullptr && *text == kind.name) return &kind;
  }
  if (entry != nullptr) {
    add_mismatch(*entry, alternatives(known), problems);
  } else {
    problems.add(section.at, fmt::format("{} lacks the key \"kind\"; write {}", section.title,
                                         alternatives(known)));
  }
  return nullptr;
}

/// Fills the draft. With an unknown kind nothing else can be judged.
void read_server(const Section& section, Draft& draft, Reading& reading) {
  const ServerKind* kind = read_kind(section, reading.problems);
  if (kind == nullptr) return;
  draft.core.job_class = kind->job_class;
  if (kind->job_class == ServerClass::image) draft.core.job_limit = kPictureLimit;
  std::vector<Key> keys = common_keys(draft, reading.config.core.pools);
  for (Key& key : kind->keys(draft.options, reading.paths))
    keys.push_back(std::move(key));
  read_section(section, keys, reading.problems);
  draft.core.slots = kind->slots(draft.options);
  kind->check(draft.options, section, reading.problems);
}

/// Every port is one address of this machine, so each may stand in the file only once. 0 is none.
void check_ports(const Node::Table& servers, Reading& reading) {
  const Config& config = reading.config;
  for (std::size_t i = 0; i < config.servers.size(); ++i) {
    const auto port = config.servers[i].front_port;
    if (port.value_or(0) == 0) continue;
    std::string owner = *port == config.listen.port ? "Berth itself (key listen)" : "";
    for (std::size_t j = 0; j < i && owner.empty(); ++j) {
      if (config.servers[j].front_port == port) {
        owner = fmt::format("server \"{}\"", config.servers[j].name);
      }
    }
    if (owner.empty()) continue;
    const auto* section = servers[i].node.as<Node::Table>();
    reading.problems.add(find(*section, "port")->node.at,
                         fmt::format("port {} is the port of {}; write another one, or 0 for any "
                                     "free port",
                                     *port, owner));
  }
}

}  // namespace

void read_servers(const Entry& servers, Reading& reading) {
  const auto* table = servers.node.as<Node::Table>();
  if (table == nullptr || table->empty())
    return add_mismatch(servers, "a section for every server, for example [server.chat]",
                        reading.problems);
  for (const Entry& entry : *table) {
    if (!is_name(entry.key, "_-")) {
      reading.problems.add(entry.at,
                           fmt::format("\"{}\" cannot be the name of a server; write 1 to {} of "
                                       "a-z, 0-9, \"_\" and \"-\"",
                                       entry.key, kNameMax));
    }
    Draft draft;
    draft.core.name = draft.options.name = entry.key;
    if (const auto* section = entry.node.as<Node::Table>()) {
      read_server({fmt::format("[server.{}]", entry.key), entry.at, *section}, draft, reading);
    } else {
      add_mismatch(entry, fmt::format("a section, [server.{}]", entry.key), reading.problems);
    }
    reading.config.core.servers.push_back(std::move(draft.core));
    reading.config.servers.push_back(std::move(draft.options));
  }
  check_ports(*table, reading);
}

}  // namespace berth::config
