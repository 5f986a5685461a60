// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "berth/base/result.h"

namespace berth {

/// An amount of memory or of data. Units: bytes; GB = 10^9, GiB = 2^30.
struct Bytes {
  std::int64_t count = 0;

  auto operator<=>(const Bytes&) const = default;
  Bytes& operator+=(Bytes other) {
    count += other.count;
    return *this;
  }
  Bytes& operator-=(Bytes other) {
    count -= other.count;
    return *this;
  }
  friend Bytes operator+(Bytes a, Bytes b) { return {a.count + b.count}; }
  friend Bytes operator-(Bytes a, Bytes b) { return {a.count - b.count}; }
};

constexpr Bytes operator""_MiB(unsigned long long n) {
  return {static_cast<std::int64_t>(n << 20)};
}
constexpr Bytes operator""_GiB(unsigned long long n) {
  return {static_cast<std::int64_t>(n << 30)};
}
constexpr Bytes operator""_GB(unsigned long long n) {
  return {static_cast<std::int64_t>(n) * 1'000'000'000};
}

/// Reads "8GB", "3.5 GB", "20GiB", "512MiB", "64KiB" or a plain number of bytes.
/// The result is exact; a fraction of a byte is rounded up.
/// Errors: bad_request with the text and the forms that are understood.
Result<Bytes> parse_bytes(std::string_view text);

/// Returns the amount for a person, in binary units: "612 MiB", "4.2 GiB".
std::string to_text(Bytes bytes);

}  // namespace berth
