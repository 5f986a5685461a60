// SPDX-License-Identifier: Apache-2.0
#include "berth/plan/amounts.h"

#include <cmath>

#include <fmt/format.h>

namespace berth::plan {
namespace {

double rounded(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::nearest:
      return std::round(value);
    case Rounding::up:
      return std::ceil(value);
    case Rounding::down:
      return std::floor(value);
  }
  return value;
}

}  // namespace

std::string gigabytes(std::optional<Bytes> bytes, Rounding rounding) {
  constexpr std::int64_t kGiga = 1'000'000'000;
  constexpr double kMega = 1e6;
  constexpr double kTenths = 1e8;
  if (!bytes) return "?";
  if (bytes->count == 0) return "0 GB";
  const auto count = static_cast<double>(bytes->count);
  if (bytes->count > -kGiga && bytes->count < kGiga) {
    return fmt::format("{:.0f} MB", rounded(count / kMega, rounding));
  }
  return fmt::format("{:.1f} GB", rounded(count / kTenths, rounding) / 10);
}

std::string comparison(Bytes need, Bytes limit) {
  const std::string_view sign = need > limit ? ">" : need < limit ? "<" : "=";
  const std::string left = gigabytes(need);
  const std::string right = gigabytes(limit);
  if (left != right || need == limit) return fmt::format("{} {} {}", left, sign, right);
  return fmt::format("{} {} {} bytes", need.count, sign, limit.count);
}

}  // namespace berth::plan
