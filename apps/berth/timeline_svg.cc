// SPDX-License-Identifier: Apache-2.0
#include "timeline_svg.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace berth::cli {
namespace {

using sim::Bar;
using sim::Doing;
using sim::Summary;

// Pixels.
constexpr int kLeft = 130;
constexpr int kWidth = 1000;
constexpr int kRight = 30;
constexpr int kRow = 26;
constexpr int kBar = 18;
constexpr int kTop = 50;
constexpr int kTitle = 30;
constexpr int kGap = 14;
constexpr int kAxis = 40;
constexpr int kLegendStep = 105;
constexpr int kTicks = 8;

struct Look {
  std::string_view name;
  std::string_view colour;
};
// In the order of Doing; told apart by brightness too.
constexpr std::array kLooks = {Look{"loading", "#e8a33d"}, Look{"working", "#1f6fb2"},
                               Look{"idle", "#cfdae4"}, Look{"stopping", "#8c5a12"}};

const Look& look_of(Doing doing) {
  return kLooks[static_cast<std::size_t>(doing)];
}

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

std::string text_at(int x, int y, std::string_view anchor, std::string_view text, bool bold = false) {
  return fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor,
                     bold ? " font-weight=\"bold\"" : "", escaped(text));
}

std::string rectangle(int x, int y, int width, int height, std::string_view colour) {
  return fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n", x, y,
                     width, height, colour);
}

/// What the server did most in each pixel; so a long run makes no more bars than pixels.
std::vector<std::optional<Doing>> columns_of(const std::vector<Bar>& bars, Duration span) {
  std::vector<std::array<double, kLooks.size()>> shares(kWidth);
  const double pixel = static_cast<double>(span.count()) / kWidth;
  for (const Bar& bar : bars) {
    const double from = static_cast<double>(bar.from.count()) / pixel;
    const double to = std::min<double>(static_cast<double>(bar.to.count()) / pixel, kWidth);
    for (double x = from; x < to;) {
      const double end = std::min(to, static_cast<double>(static_cast<int>(x) + 1));
      const auto column = std::min<std::size_t>(static_cast<std::size_t>(x), kWidth - 1);
      shares[column][static_cast<std::size_t>(bar.doing)] += end - x;
      x = end;
    }
  }
  std::vector<std::optional<Doing>> columns;
  for (const auto& share : shares) {
    const auto* most = std::max_element(share.begin(), share.end());
    const bool is_there = *most > 0;
    columns.push_back(is_there ? std::optional(static_cast<Doing>(most - share.begin()))
                               : std::nullopt);
  }
  return columns;
}

std::string row_of(const std::vector<Bar>& bars, Duration span, int y) {
  std::string out;
  const auto columns = columns_of(bars, span);
  for (std::size_t i = 0; i < columns.size();) {
    std::size_t end = i;
    while (end < columns.size() && columns[end] == columns[i])
      ++end;
    if (columns[i]) {
      out += rectangle(kLeft + static_cast<int>(i), y, static_cast<int>(end - i), kBar,
                       look_of(*columns[i]).colour);
    }
    i = end;
  }
  return out;
}

std::string time_label(double seconds) {
  constexpr double kMinute = 60;
  constexpr double kHour = 3600;
  if (seconds < 2 * kMinute) return fmt::format("{:.0f} s", seconds);
  if (seconds < 2 * kHour) return fmt::format("{:.0f} min", seconds / kMinute);
  return fmt::format("{:.1f} h", seconds / kHour);
}

std::string axis(Duration span, int top, int bottom) {
  std::string out;
  const double seconds = std::chrono::duration<double>(span).count();
  for (int i = 0; i <= kTicks; ++i) {
    const int x = kLeft + kWidth * i / kTicks;
    out += fmt::format("<path d=\"M{0} {1}V{2}\" stroke=\"#e3e8ec\"/>\n", x, top, bottom);
    out += text_at(x, bottom + 18, "middle", time_label(seconds * i / kTicks));
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

std::string timeline_svg(const sim::Workload& workload, const std::vector<Summary>& summaries) {
  Duration span{1};
  for (const Summary& summary : summaries)
    span = std::max(span, summary.span);
  const int block = kTitle + static_cast<int>(workload.config.servers.size()) * kRow + kGap;
  const int bottom = kTop + block * static_cast<int>(summaries.size());
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#1c2733\">\n",
      kLeft + kWidth + kRight, bottom + kAxis);
  out += "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n";
  out += legend() + axis(span, kTop, bottom);
  int y = kTop;
  for (const Summary& summary : summaries) {
    out += text_at(kLeft, y + 20, "start",
                   fmt::format("{}: {} swaps, {} served", summary.policy, summary.swaps,
                               summary.served),
                   /*bold=*/true);
    int row = y + kTitle;
    for (std::size_t i = 0; i < summary.bars.size(); ++i, row += kRow) {
      out += text_at(kLeft - 10, row + 14, "end", workload.config.servers[i].name);
      out += row_of(summary.bars[i], span, row);
    }
    y += block;
  }
  return out + "</svg>\n";
}

}  // namespace berth::cli
