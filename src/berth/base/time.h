// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <compare>
#include <string>
#include <string_view>

#include "berth/base/result.h"

namespace berth {

using namespace std::chrono_literals;

/// A length of time. No clock lives here; the shell reads clocks.
using Duration = std::chrono::nanoseconds;

/// A point on the monotonic clock of one run; only differences mean anything.
struct Instant {
  Duration since_start{0};

  auto operator<=>(const Instant&) const = default;
  friend Instant operator+(Instant at, Duration d) { return {at.since_start + d}; }
  friend Instant operator-(Instant at, Duration d) { return {at.since_start - d}; }
  friend Duration operator-(Instant a, Instant b) { return a.since_start - b.since_start; }
};

/// A wall-clock time, for people and for storage only: milliseconds since 1970-01-01 UTC.
struct WallTime {
  std::int64_t unix_ms = 0;

  auto operator<=>(const WallTime&) const = default;
};

/// Returns whole milliseconds, rounded down.
inline std::int64_t milliseconds(Duration d) {
  return std::chrono::floor<std::chrono::milliseconds>(d).count();
}

/// Reads "250ms", "3s", "1.5s", "10min" or "10m", "2h".
/// Errors: bad_request with the text and the forms that are understood.
Result<Duration> parse_duration(std::string_view text);

/// Returns the length for a person: "312 ms", "4.2 s", "10 min".
std::string to_text(Duration duration);

}  // namespace berth
