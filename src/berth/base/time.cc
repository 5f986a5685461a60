// SPDX-License-Identifier: Apache-2.0
#include "berth/base/time.h"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace berth {
namespace {

struct Unit {
  std::string_view name;
  Duration length;
};

constexpr auto kUnits = std::to_array<Unit>({
    {"ms", 1ms},
    {"s", 1s},
    {"min", 1min},
    {"m", 1min},
    {"h", 1h},
});

constexpr double kHoursMax = 24 * 366;

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  double number = 0;
  const auto [end, errc] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string_view unit_name = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!unit_name.empty() && unit_name.front() == ' ')
    unit_name.remove_prefix(1);
  if (errc == std::errc{} && number >= 0 && std::isfinite(number)) {
    for (const Unit& unit : kUnits) {
      if (unit.name != unit_name) continue;
      const double length = number * static_cast<double>(unit.length.count());
      if (length > kHoursMax * static_cast<double>(Duration{1h}.count())) break;
      return Duration{std::llround(length)};
    }
  }
  return fail(
      ErrorCode::bad_request,
      fmt::format("\"{}\" is not a length of time; write for example 250ms, 3s, 10min or 2h",
                  text));
}

std::string to_text(Duration duration) {
  const double ms = std::chrono::duration<double, std::milli>(duration).count();
  if (ms < 10) return fmt::format("{:.1f} ms", ms);
  if (ms < 1000) return fmt::format("{:.0f} ms", ms);
  if (ms < 120'000) return fmt::format("{:.1f} s", ms / 1000);
  if (ms < 7'200'000) return fmt::format("{:.0f} min", ms / 60'000);
  return fmt::format("{:.1f} h", ms / 3'600'000);
}

}  // namespace berth
