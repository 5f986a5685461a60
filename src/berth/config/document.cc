// SPDX-License-Identifier: Apache-2.0
#include "berth/config/document.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace berth::config {
namespace {

Position position(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

Node convert(const toml::node& node);

Node::Array convert_array(const toml::array& array) {
  Node::Array nodes;
  for (const toml::node& element : array)
    nodes.push_back(convert(element));
  return nodes;
}

/// toml++ sorts its tables by key; the order of the file comes back by position.
Node::Table convert_table(const toml::table& table) {
  Node::Table entries;
  for (const auto& [key, node] : table) {
    entries.push_back({std::string(key.str()), position(key.source()), convert(node)});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.at < b.at; });
  return entries;
}

Node convert(const toml::node& node) {
  const Position at = position(node.source());
  if (const auto* text = node.as_string()) return {at, text->get()};
  if (const auto* number = node.as_integer()) return {at, number->get()};
  if (const auto* number = node.as_floating_point()) return {at, number->get()};
  if (const auto* boolean = node.as_boolean()) return {at, boolean->get()};
  if (const auto* array = node.as_array()) return {at, convert_array(*array)};
  if (const auto* table = node.as_table()) return {at, convert_table(*table)};
  return {at, Date{}};
}

}  // namespace

const Entry* find(const Node::Table& table, std::string_view key) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Entry& e) { return e.key == key; });
  return found == table.end() ? nullptr : &*found;
}

std::string_view kind_of(const Node& node) {
  constexpr auto kKinds =
      std::to_array<std::string_view>({"a string", "a whole number", "a number with a point",
                                       "true or false", "a date", "a list", "a table"});
  static_assert(kKinds.size() == std::variant_size_v<decltype(node.value)>);
  return kKinds.at(node.value.index());
}

Node::Table read_document(std::string_view text, Problems& problems) {
  try {
    return convert_table(toml::parse(text));
  } catch (const toml::parse_error& error) {
    problems.add(position(error.source()),
                 fmt::format("{}; write key = value with text in quotes, or a section in brackets",
                             error.description()));
    return {};
  }
}

}  // namespace berth::config
