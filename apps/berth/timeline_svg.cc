// SPDX-License-Identifier: Apache-2.0
#include "timeline_svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

namespace berth::cli {
namespace {

using sim::Bar;
using sim::Summary;

// Pixels.
constexpr int kLeft = 130;
constexpr int kWidth = 1000;
constexpr int kFine = 2;     // a column's width
constexpr int kCoarse = 20;  // ... where a row has more bars than can be told apart
constexpr std::size_t kBarsMax = 200;
constexpr int kRight = 30;
constexpr int kRow = 26;
constexpr int kBar = 18;
constexpr int kTop = 50;
constexpr int kTitle = 30;
constexpr int kGap = 14;
constexpr int kAxis = 40;
constexpr int kLegendStep = 105;
constexpr int kTicksMax = 8;

struct Look {
  std::string_view name;
  std::string_view colour;
};
// In the order of Doing; told apart by brightness too.
constexpr std::array kLooks = {Look{"loading", "#e8a33d"}, Look{"working", "#1f6fb2"},
                               Look{"idle", "#cfdae4"}, Look{"stopping", "#8c5a12"}};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    if (c == '<') out += "&lt;";
    if (c == '>') out += "&gt;";
    if (c != '&' && c != '<' && c != '>') out += c;
  }
  return out;
}

std::string text_at(int x, int y, std::string_view anchor, std::string_view text,
                    bool bold = false) {
  return fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor,
                     bold ? " font-weight=\"bold\"" : "", escaped(text));
}

std::string rectangle(int x, int y, int width, int height, std::string_view colour) {
  return fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n", x, y,
                     width, height, colour);
}

/// How high each doing stands in a column: its share of the column's time. So a run with more moves
/// than columns shows how much of what there was, and no pattern that is none.
using Heights = std::array<int, kLooks.size()>;

Heights heights_of(const std::array<double, kLooks.size()>& shares) {
  Heights heights{};
  double sum = 0;
  int below = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    sum += shares[i];
    const int up_to = static_cast<int>(std::lround(sum * kBar));
    heights[i] = up_to - below;
    below = up_to;
  }
  return heights;
}

std::vector<Heights> columns_of(const std::vector<Bar>& bars, const Window& window, int count) {
  std::vector<std::array<double, kLooks.size()>> shares(static_cast<std::size_t>(count));
  const double column = static_cast<double>((window.to - window.from).count()) / count;
  for (const Bar& bar : bars) {
    const auto place = [&](Duration at) {
      const double x = static_cast<double>((at - window.from).count()) / column;
      return std::clamp<double>(x, 0, count);
    };
    const double to = place(bar.to);
    for (double x = place(bar.from); x < to;) {
      const double end = std::min(to, std::floor(x) + 1);
      shares[static_cast<std::size_t>(x)][static_cast<std::size_t>(bar.doing)] += end - x;
      x = end;
    }
  }
  std::vector<Heights> columns;
  for (const auto& share : shares)
    columns.push_back(heights_of(share));
  return columns;
}

std::string row_of(const std::vector<Bar>& bars, const Window& window, int y) {
  std::string out;
  const auto shown = std::count_if(bars.begin(), bars.end(), [&](const Bar& bar) {
    return bar.to > window.from && bar.from < window.to;
  });
  const int width = static_cast<std::size_t>(shown) > kBarsMax ? kCoarse : kFine;
  const std::vector<Heights> columns = columns_of(bars, window, kWidth / width);
  for (std::size_t i = 0; i < columns.size();) {
    std::size_t end = i;
    while (end < columns.size() && columns[end] == columns[i])
      ++end;
    int bottom = y + kBar;
    for (std::size_t k = 0; k < kLooks.size(); ++k) {
      const int height = columns[i][k];
      bottom -= height;
      if (height == 0) continue;
      out += rectangle(kLeft + static_cast<int>(i) * width, bottom,
                       static_cast<int>(end - i) * width, height, kLooks[k].colour);
    }
    i = end;
  }
  return out;
}

/// "0:07:30"
std::string time_label(std::int64_t seconds) {
  return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

/// The smallest round step that needs no more than kTicksMax ticks.
std::int64_t step_for(double seconds) {
  constexpr std::array<std::int64_t, 15> kSteps = {1,   2,   5,    10,   15,   30,    60,   120,
                                                   300, 600, 1800, 3600, 7200, 14400, 43200};
  for (const std::int64_t step : kSteps) {
    if (seconds / static_cast<double>(step) <= kTicksMax) return step;
  }
  return static_cast<std::int64_t>(seconds / kTicksMax) + 1;
}

std::string axis(const Window& window, int top, int bottom) {
  std::string out;
  const double from = std::chrono::duration<double>(window.from).count();
  const double seconds = std::chrono::duration<double>(window.to).count() - from;
  const std::int64_t step = step_for(seconds);
  std::int64_t tick = (static_cast<std::int64_t>(std::ceil(from)) + step - 1) / step * step;
  for (; static_cast<double>(tick) <= from + seconds; tick += step) {
    const double place = (static_cast<double>(tick) - from) / seconds;
    const int x = kLeft + static_cast<int>(std::lround(place * kWidth));
    out += fmt::format("<path d=\"M{0} {1}V{2}\" stroke=\"#e3e8ec\"/>\n", x, top, bottom);
    out += text_at(x, bottom + 18, "middle", time_label(tick));
  }
  return out;
}

std::string legend() {
  std::string out;
  int x = kLeft;
  for (const Look& look : kLooks) {
    out += rectangle(x, 14, 14, 14, look.colour);
    out += text_at(x + 20, 26, "start", look.name);
    x += kLegendStep;
  }
  return out;
}

}  // namespace

std::string timeline_svg(const sim::Workload& workload, const std::vector<Summary>& summaries,
                         Window window) {
  if (window.to <= window.from) {
    for (const Summary& summary : summaries)
      window.to = std::max(window.to, summary.span);
  }
  window.to = std::max(window.to, window.from + 1s);
  const int block = kTitle + static_cast<int>(workload.config.servers.size()) * kRow + kGap;
  const int bottom = kTop + block * static_cast<int>(summaries.size());
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#1c2733\">\n",
      kLeft + kWidth + kRight, bottom + kAxis);
  out += "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
  out += legend() + axis(window, kTop, bottom);
  int y = kTop;
  for (const Summary& summary : summaries) {
    out += text_at(
        kLeft, y + 20, "start",
        fmt::format("{}: {} swaps, {} served", summary.policy, summary.swaps, summary.served),
        /*bold=*/true);
    int row = y + kTitle;
    for (std::size_t i = 0; i < summary.bars.size(); ++i, row += kRow) {
      out += text_at(kLeft - 10, row + 14, "end", workload.config.servers[i].name);
      out += row_of(summary.bars[i], window, row);
    }
    y += block;
  }
  return out + "</svg>\n";
}

}  // namespace berth::cli
