// SPDX-License-Identifier: Apache-2.0
#include "berth/config/problems.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace berth::config {
namespace {

/// Returns how many letters must be added, removed or changed (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

}  // namespace

Error Problems::error() const {
  std::vector<Problem> sorted = found_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Problem& a, const Problem& b) { return a.at < b.at; });
  std::string lines;
  for (const Problem& problem : sorted) {
    if (!lines.empty()) lines += '\n';
    lines += fmt::format("{}:{}:{}: {}", file_, problem.at.line, problem.at.column, problem.what);
  }
  return {ErrorCode::bad_config, lines};
}

std::optional<std::string_view> nearest(std::string_view text,
                                        std::span<const std::string_view> names) {
  std::optional<std::string_view> best;
  std::size_t changes_max = text.size() / 2;
  for (const std::string_view name : names) {
    const std::size_t changes = distance(text, name);
    if (changes > changes_max || (best && changes == changes_max)) continue;
    best = name;
    changes_max = changes;
  }
  return best;
}

std::string alternatives(std::span<const std::string_view> names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += fmt::format("\"{}\"", names[i]);
  }
  return text;
}

}  // namespace berth::config
