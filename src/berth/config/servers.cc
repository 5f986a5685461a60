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
Reader memory(ServerDraft& draft, const std::vector<core::PoolConfig>& pools) {
  auto fill = [&draft, &pools](const Entry& entry, Problems& problems) {
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
  return {std::move(fill), "amount, or table", "file size x 1.2"};
}

/// Its value is read elsewhere.
Reader later(std::string type) {
  return {[](const Entry&, Problems&) {}, std::move(type)};
}

/// Its value was read first, since it decides which other keys there are.
Reader known_kind() {
  std::vector<std::string_view> names;
  for (const ServerKind& kind : server_kinds())
    names.push_back(kind.name);
  return later(alternatives(names));
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
void read_server(const Section& section, ServerDraft& draft, Reading& reading) {
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

std::vector<Key> common_keys(ServerDraft& draft, const std::vector<core::PoolConfig>& pools) {
  core::ServerConfig& core = draft.core;
  return {
      {"kind", known_kind(), "which program it is; decides which other keys there are",
       R"(kind = "llama-server")"},
      {"port", whole(draft.options.front_port, kPort),
       "front port: the port that clients of this server know. Berth listens there, also while the "
       "server is displaced. 0: any free port; without the key there is none"},
      {"memory", memory(draft, pools),
       "its footprint: an amount in the first pool, or amounts by pool (`{ram = \"300MiB\"}`). The "
       "default counts in the first `device` pool, if there is one and the server uses the GPU, "
       "else in the first other one. For an LLM on a GPU it is "
       "`size x gpu_layers / layers x 1.2`; `cache_ram` is added"},
      {"class", falling_back("by kind", named<ServerClass>(core.job_class, kClasses)),
       "rank of its jobs when memory is short, best first: `chat` for llama-server, `image` for "
       "sd-server"},
      {"wanted", named<Wanted>(core.wanted, kWanted, kOffIsACommand),
       "`on`: Berth keeps it resident and brings it back. `on_demand`: a request starts it. "
       "`berth start` and `berth stop` go before it"},
      {"drain_limit", duration_or_none(core.drain_limit),
       "how long running chats may go on once their server must leave; then they are cut with an "
       "error event. Only chats are ever cut by it"},
      {"job_limit",
       falling_back("\"30min\" for sd-server, else \"none\"", duration_or_none(core.job_limit)),
       "a request that runs longer is cut"},
      {"start_deadline", duration(core.start_deadline, kShortest),
       "a start that takes longer has failed"},
      {"stop_deadline", duration(core.stop_deadline, kShortest),
       "a stop that takes longer has failed"},
      {"while_displaced", named<WhileDisplaced>(core.while_displaced, kWhileDisplaced),
       "what a new request gets while a rival keeps the server from it. Requests that wait already "
       "go on waiting"},
      {"fallback", later("text"),
       "with `while_displaced = \"fallback\"`: the server that answers instead, of the same kind "
       "and class"},
      {"max_hold", falling_back("that of the policy", duration_or_none(core.max_hold)),
       "how long a request waits for the server before it is answered 504 `held_too_long`. If it "
       "is certain when it comes that it would have to wait for longer (all times were measured "
       "here before), it is answered 503 `not_in_time` at once, with Retry-After, and nothing "
       "moves for it"},
  };
}

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
    ServerDraft draft;
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
