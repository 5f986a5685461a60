// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <algorithm>
#include <numeric>

namespace berth::cli {
namespace {

constexpr std::string_view kGap = "  ";
constexpr std::string_view kNoteIndent = "    ";
constexpr std::size_t kColumnMin = 4;

bool starts_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

std::vector<std::size_t> natural_widths(const std::vector<Column>& columns,
                                        const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    std::size_t width = characters(columns[i].title);
    for (const Row& row : rows) {
      if (i < row.cells.size()) width = std::max(width, characters(row.cells[i].text));
    }
    widths.push_back(width);
  }
  return widths;
}

/// Cells come from clients and servers too.
std::vector<Row> printable_rows(std::vector<Row> rows) {
  for (Row& row : rows) {
    for (Cell& cell : row.cells)
      cell.text = printable_line(cell.text);
  }
  return rows;
}

/// Takes characters from the widest column until the sum fits.
void shrink(std::vector<std::size_t>& widths, std::size_t room) {
  while (std::accumulate(widths.begin(), widths.end(), std::size_t{0}) > room) {
    const auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= kColumnMin) return;
    --*widest;
  }
}

std::string padded(const Cell& cell, std::size_t width, bool to_the_right, bool is_last) {
  const std::string text = shortened(cell.text, width);
  const std::string space(width - std::min(width, characters(text)), ' ');
  const std::string shown = painted(text, cell.colour);
  if (to_the_right) return space + shown;
  return is_last ? shown : shown + space;
}

std::string line_of(const std::vector<Cell>& cells, const std::vector<Column>& columns,
                    const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += kGap;
    line += padded(cells[i], widths[i], columns[i].to_the_right, i + 1 == cells.size());
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), starts_character));
}

std::string shortened(std::string_view text, std::size_t width) {
  constexpr std::string_view kDots = "...";
  if (characters(text) <= width) return std::string(text);
  const std::size_t kept = width > kDots.size() ? width - kDots.size() : 0;
  std::size_t end = 0;
  for (std::size_t count = 0; end < text.size(); ++end) {
    if (starts_character(text[end]) && count++ == kept) break;
  }
  return std::string(text.substr(0, end)) + std::string(kDots.substr(0, width - kept));
}

std::string wrapped(std::string_view given, std::string_view indent, std::size_t width) {
  const std::string shown = printable_line(given);
  std::string_view text = shown;
  std::string out;
  std::string line;
  const std::size_t room = width - std::min(width - 1, indent.size());
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    const std::string word = shortened(text.substr(0, space), room);
    text.remove_prefix(std::min(space + 1, text.size()));
    if (!line.empty() && characters(line) + 1 + characters(word) > room) {
      out.append(indent).append(line).append("\n");
      line.clear();
    }
    line += line.empty() ? word : " " + word;
  }
  if (!line.empty()) out.append(indent).append(line).append("\n");
  return out;
}

std::string render_table(const std::vector<Column>& columns, const std::vector<Row>& given,
                         std::size_t width) {
  const std::vector<Row> rows = printable_rows(given);
  std::vector<std::size_t> widths = natural_widths(columns, rows);
  const std::size_t gaps = kGap.size() * (columns.size() - 1);
  shrink(widths, width - std::min(width, gaps));
  std::vector<Cell> titles;
  for (const Column& column : columns)
    titles.push_back({column.title, Colour::grey});
  std::string out = line_of(titles, columns, widths);
  for (const Row& row : rows) {
    out += line_of(row.cells, columns, widths);
    out += wrapped(row.note, kNoteIndent, width);
  }
  return out;
}

}  // namespace berth::cli
