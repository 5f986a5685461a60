// SPDX-License-Identifier: Apache-2.0
// config check and config keys: whether a file is right, and what one may hold. No running Berth is
// needed.
#include "berth/config/config.h"

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/config/reference.h"
#include "commands.h"
#include "table.h"

namespace berth::cli {
namespace {

using config::KeyInfo;
using config::SectionInfo;

std::string text_of(const KeyInfo& key) {
  const std::string fallback = key.required           ? "must be there"
                               : key.fallback.empty() ? "no default"
                                                      : "default: " + key.fallback;
  return painted(key.name, Colour::green) + "\n" +
         wrapped(fmt::format("{}; {}", key.type, fallback), "    ") + wrapped(key.meaning, "    ");
}

boost::json::object json_of(const KeyInfo& key) {
  return {{"name", key.name},
          {"type", key.type},
          {"default",
           key.fallback.empty() ? boost::json::value(nullptr) : boost::json::value(key.fallback)},
          {"required", key.required},
          {"meaning", key.meaning}};
}

/// Keeps the keys of which `word` is the name, or all if it is "".
std::vector<SectionInfo> chosen(const std::string& word) {
  std::vector<SectionInfo> sections = config::reference();
  for (SectionInfo& section : sections)
    std::erase_if(section.keys,
                  [&](const KeyInfo& key) { return !word.empty() && key.name != word; });
  std::erase_if(sections, [](const SectionInfo& section) { return section.keys.empty(); });
  return sections;
}

std::vector<std::string> names(const auto& things) {
  std::vector<std::string> found;
  for (const auto& thing : things)
    found.push_back(thing.name);
  return found;
}

}  // namespace

int config_keys(const Common& common, const std::string& word) {
  const std::vector<SectionInfo> sections = chosen(word);
  if (sections.empty()) {
    return report({ErrorCode::not_found, fmt::format("no key is called \"{}\"; `berth config keys` "
                                                     "shows them all",
                                                     word)},
                  common.json);
  }
  boost::json::array list;
  std::string text;
  for (const SectionInfo& section : sections) {
    boost::json::array keys;
    text += text.empty() ? section.title + "\n" : "\n" + section.title + "\n";
    for (const KeyInfo& key : section.keys) {
      keys.push_back(json_of(key));
      text += "  " + text_of(key);
    }
    list.push_back({{"section", section.title}, {"keys", std::move(keys)}});
  }
  say(common.json ? boost::json::serialize(list) + "\n" : text);
  return 0;
}

int config_check(const Common& common) {
  const Result<std::string> file = find_config(common);
  if (!file) return report(file.error(), common.json);
  const Result<config::Config> config = config::load(*file);
  if (!config) return report(config.error(), common.json);
  const std::vector<std::string> pools = names(config->core.pools);
  const std::vector<std::string> servers = names(config->servers);
  if (common.json) {
    const boost::json::object answer{{"file", *file},
                                     {"state", config->state_dir},
                                     {"pools", boost::json::value_from(pools)},
                                     {"servers", boost::json::value_from(servers)}};
    say(boost::json::serialize(answer) + "\n");
  } else {
    say(fmt::format("{}: nothing is wrong; pools: {}; servers: {}\n", *file, fmt::join(pools, ", "),
                    fmt::join(servers, ", ")));
  }
  return 0;
}

}  // namespace berth::cli
