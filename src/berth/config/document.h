// SPDX-License-Identifier: Apache-2.0
// A TOML text as a tree that keeps the order and the position of everything in it.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "berth/config/problems.h"

namespace berth::config {

struct Entry;

/// A date or a time; no key of Berth takes one.
struct Date {};

/// One value.
struct Node {
  using Array = std::vector<Node>;
  using Table = std::vector<Entry>;  ///< in the order of the file

  Position at;
  std::variant<std::string, std::int64_t, double, bool, Date, Array, Table> value;

  /// Returns the value if it is of that type, else null.
  template <class T>
  [[nodiscard]] const T* as() const {
    return std::get_if<T>(&value);
  }
};

/// One `key = value` or `[key]`.
struct Entry {
  std::string key;
  Position at;  ///< of the key
  Node node;
};

/// Returns the entry with that key, or null.
const Entry* find(const Node::Table& table, std::string_view key);

/// Returns what kind of value it is, for messages: "a string", "a whole number".
std::string_view kind_of(const Node& node);

/// Reads TOML. A text that is no TOML adds one problem and gives an empty table.
Node::Table read_document(std::string_view text, Problems& problems);

}  // namespace berth::config
