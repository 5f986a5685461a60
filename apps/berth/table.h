// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "console.h"

namespace berth::cli {

inline constexpr std::size_t kWidth = 80;

struct Cell {
  std::string text;
  Colour colour = Colour::none;
};

struct Row {
  std::vector<Cell> cells;
  std::string note;  ///< a line of its own below the row; "" = none
};

struct Column {
  std::string title;
  bool to_the_right = false;
};

/// Returns the table, its text printable, each line at most `width` wide: the widest columns are
/// shortened until it fits, notes are wrapped.
std::string render_table(const std::vector<Column>& columns, const std::vector<Row>& rows,
                         std::size_t width = kWidth);

/// Makes the text printable and breaks it at spaces into lines that begin with `indent`, each at
/// most `width` wide.
std::string wrapped(std::string_view text, std::string_view indent, std::size_t width = kWidth);

/// Returns the first `width` characters at most; what is missing is shown by "...".
std::string shortened(std::string_view text, std::size_t width);

/// Returns how many characters the UTF-8 text has.
std::size_t characters(std::string_view text);

}  // namespace berth::cli
