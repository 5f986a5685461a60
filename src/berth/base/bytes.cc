// SPDX-License-Identifier: Apache-2.0
#include "berth/base/bytes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>

#include <fmt/format.h>

namespace berth {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t bytes;
};

constexpr auto kUnits = std::to_array<Unit>({
    {"", 1},
    {"B", 1},
    {"kB", 1'000},
    {"KB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", 1'000'000'000'000},
    {"KiB", std::int64_t{1} << 10},
    {"MiB", std::int64_t{1} << 20},
    {"GiB", std::int64_t{1} << 30},
    {"TiB", std::int64_t{1} << 40},
});

constexpr int kDigitsMax = 15;  // 10^15 times the largest unit still fits 128 bits with ease

tl::unexpected<Error> not_understood(std::string_view text) {
  return fail(ErrorCode::bad_request,
              fmt::format("\"{}\" is not an amount of memory; write for example 8GB (10^9), "
                          "8GiB (2^30), 512MiB or a number of bytes",
                          text));
}

}  // namespace

Result<Bytes> parse_bytes(std::string_view text) {
  __extension__ using Wide = __int128;
  Wide digits = 0;
  std::int64_t scale = 1;
  int digit_count = 0;
  bool after_point = false;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '.' && !after_point && digit_count > 0) {
      after_point = true;
    } else if (c >= '0' && c <= '9' && digit_count < kDigitsMax) {
      digits = digits * 10 + (c - '0');
      if (after_point) scale *= 10;
      ++digit_count;
    } else {
      break;
    }
  }
  std::string_view unit_name = text.substr(at);
  while (!unit_name.empty() && unit_name.front() == ' ')
    unit_name.remove_prefix(1);
  const auto* unit = std::find_if(kUnits.begin(), kUnits.end(),
                                  [&](const Unit& u) { return u.name == unit_name; });
  if (digit_count == 0 || unit == kUnits.end()) return not_understood(text);
  const Wide bytes = (digits * unit->bytes + scale - 1) / scale;
  if (bytes > std::numeric_limits<std::int64_t>::max()) return not_understood(text);
  return Bytes{static_cast<std::int64_t>(bytes)};
}

std::string to_text(Bytes bytes) {
  constexpr double kKi = 1024.0;
  const double n = static_cast<double>(bytes.count);
  const double size = n < 0 ? -n : n;
  if (size < kKi) return fmt::format("{} B", bytes.count);
  if (size < kKi * kKi) return fmt::format("{:.0f} KiB", n / kKi);
  if (size < kKi * kKi * kKi) return fmt::format("{:.0f} MiB", n / kKi / kKi);
  return fmt::format("{:.1f} GiB", n / kKi / kKi / kKi);
}

}  // namespace berth
