// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/error.h"

namespace berth::config {

/// A place in the file. Units: both count from 1; columns count characters, not bytes.
struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;

  auto operator<=>(const Position&) const = default;
};

/// Everything that is wrong with one file.
class Problems {
 public:
  explicit Problems(std::string file) : file_(std::move(file)) {}

  /// `what` reads "what is wrong; what to write instead".
  void add(Position at, std::string what) { found_.push_back({at, std::move(what)}); }
  [[nodiscard]] bool empty() const { return found_.empty(); }
  /// Returns all of them as one error, a line each, in the order of the file.
  [[nodiscard]] Error error() const;

 private:
  struct Problem {
    Position at;
    std::string what;
  };

  std::string file_;
  std::vector<Problem> found_;
};

/// Returns the name that `text` was probably meant to be: the one that needs the fewest changes of
/// a letter, the first of equals; nothing if that is more than half of the letters.
std::optional<std::string_view> nearest(std::string_view text,
                                        std::span<const std::string_view> names);

/// Returns "a", "a or b", "a, b or c", each in quotes.
std::string alternatives(std::span<const std::string_view> names);

}  // namespace berth::config
