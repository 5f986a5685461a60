// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>

#include "berth/base/time.h"

namespace berth {

/// Numbers that follow from a seed, the same with every compiler and library: the engine is
/// specified by the standard, the standard's distributions are not, so there are none here.
class Rng {
 public:
  explicit Rng(std::uint64_t seed) : engine_(seed) {}

  /// Returns a number in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  /// Returns a number in [low, high]; low <= high.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  Duration between(Duration low, Duration high) {
    return Duration{between(low.count(), high.count())};
  }
  /// True `per_mille` times out of a thousand.
  bool chance(int per_mille) { return below(1000) < static_cast<std::uint64_t>(per_mille); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace berth
