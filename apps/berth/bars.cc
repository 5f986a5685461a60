// SPDX-License-Identifier: Apache-2.0
#include "bars.h"

#include <algorithm>

#include <fmt/format.h>

namespace berth::cli {
namespace {

/// Returns `part` of `whole` in `cells`, rounded down; a part that is there shows at least once.
std::size_t cells_of(std::int64_t part, std::int64_t whole, std::size_t cells) {
  if (part <= 0 || whole <= 0) return 0;
  const double share = static_cast<double>(part) / static_cast<double>(whole);
  const auto filled = static_cast<std::size_t>(std::min(share, 1.0) * static_cast<double>(cells));
  return std::max<std::size_t>(filled, 1);
}

}  // namespace

std::string progress_line(const Progress& progress, std::size_t bar_width) {
  const std::size_t filled = cells_of(progress.step, progress.steps, bar_width);
  std::string line =
      fmt::format("[{}{}]", std::string(filled, '#'), std::string(bar_width - filled, '-'));
  if (progress.steps > 0) line += fmt::format(" {:>3}/{}", progress.step, progress.steps);
  return fmt::format("{} {} {}", line, progress.stage, to_text(progress.elapsed));
}

std::string pool_bar(const Fill& fill, std::size_t bar_width) {
  const std::size_t filled = cells_of(fill.used.count, fill.capacity.count, bar_width);
  std::string bar = std::string(filled, '#') + std::string(bar_width - filled, '-');
  const std::size_t limit = cells_of(fill.limit.count, fill.capacity.count, bar_width);
  if (limit > 0 && limit < bar_width) bar[limit] = '|';
  return "[" + bar + "]";
}

}  // namespace berth::cli
