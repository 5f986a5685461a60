// SPDX-License-Identifier: Apache-2.0
#include "berth/config/fallbacks.h"

#include <optional>
#include <string>

#include "berth/config/server_keys.h"

namespace berth::config {
namespace {

using core::WhileDisplaced;

/// One server's section, if it is one of a known kind.
const Node::Table* section_of(const Node::Table& servers, std::size_t i, const Config& config) {
  const auto* section = servers[i].node.as<Node::Table>();
  const Entry* kind = section == nullptr ? nullptr : find(*section, "kind");
  const auto* text = kind == nullptr ? nullptr : kind->node.as<std::string>();
  const bool is_known = text != nullptr && *text == kind_name(config.servers[i]);
  return is_known ? section : nullptr;
}

/// Takes the same requests, with the same rank.
bool are_alike(const Config& config, std::size_t a, std::size_t b) {
  return config.servers[a].kind.index() == config.servers[b].kind.index() &&
         config.core.servers[a].job_class == config.core.servers[b].job_class;
}

/// "write "small"": the names that server `i` could have written.
std::string candidates(const Config& config, std::size_t i) {
  std::vector<std::string_view> names;
  for (std::size_t k = 0; k < config.servers.size(); ++k) {
    if (k != i && are_alike(config, k, i)) names.push_back(config.servers[k].name);
  }
  if (!names.empty()) return "write " + alternatives(names);
  return "add one of the same kind and class, or leave the key out";
}

void find_fallback(const Entry& entry, std::size_t i, Reading& reading) {
  Config& config = reading.config;
  const auto* name = entry.node.as<std::string>();
  if (name == nullptr) {
    return add_mismatch(entry, "the name of another server of the same kind and class",
                        reading.problems);
  }
  const auto say = [&](std::string_view what) {
    reading.problems.add(entry.node.at, fmt::format("fallback is \"{}\", {}; {}", *name, what,
                                                    candidates(config, i)));
  };
  std::size_t k = 0;
  while (k < config.servers.size() && config.servers[k].name != *name)
    ++k;
  if (k == config.servers.size()) return say("and there is no such server");
  if (k == i) return say("the server itself");
  if (!are_alike(config, k, i)) return say("a server of another kind or class");
  config.core.servers[i].fallback = ServerId{static_cast<std::uint32_t>(k)};
}

/// `while_displaced` and `fallback` go together.
void check_pair(const Node::Table& section, std::size_t i, Reading& reading) {
  const bool falls_back =
      reading.config.core.servers[i].while_displaced == WhileDisplaced::fallback;
  const Entry* fallback = find(section, "fallback");
  if (falls_back && fallback == nullptr) {
    const Entry* key = find(section, "while_displaced");
    reading.problems.add(key->node.at,
                         fmt::format("while_displaced is \"fallback\" and the key fallback names "
                                     "no server; {}",
                                     candidates(reading.config, i)));
  } else if (!falls_back && fallback != nullptr) {
    reading.problems.add(fallback->at,
                         "fallback has no effect; write while_displaced = \"fallback\" too, or "
                         "leave it out");
  }
}

/// A ring is reported once, at its last server in the file.
void check_ring(const Entry& entry, std::size_t i, Reading& reading) {
  const std::vector<core::ServerConfig>& servers = reading.config.core.servers;
  std::string way = fmt::format("\"{}\"", servers[i].name);
  std::optional<ServerId> next = servers[i].fallback;
  for (std::size_t steps = 0; next && steps < servers.size(); ++steps) {
    if (next->value > i) return;
    way += fmt::format(" -> \"{}\"", servers[next->value].name);
    if (next->value == i) {
      return reading.problems.add(
          entry.node.at,
          fmt::format("fallback leads in a ring: {}; leave the key out for one of them", way));
    }
    next = servers[next->value].fallback;
  }
}

}  // namespace

void resolve_fallbacks(const Node::Table& servers, Reading& reading) {
  Config& config = reading.config;
  for (std::size_t i = 0; i < config.servers.size(); ++i) {
    const Node::Table* section = section_of(servers, i, config);
    if (section == nullptr) continue;
    if (find(*section, "max_hold") == nullptr) config.core.servers[i].max_hold = config.max_hold;
    check_pair(*section, i, reading);
    const Entry* fallback = find(*section, "fallback");
    if (fallback == nullptr) continue;
    find_fallback(*fallback, i, reading);
    check_ring(*fallback, i, reading);
  }
}

}  // namespace berth::config
