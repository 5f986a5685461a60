// SPDX-License-Identifier: Apache-2.0
// What happened since this Berth started, counted; numbers only grow.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "berth/base/time.h"

namespace berth::host {

/// How long jobs waited between their arrival and their grant.
struct WaitCounts {
  static constexpr std::array<Duration, 10> kBounds{100ms, 500ms, 1s,  2s,   5s,
                                                    10s,   30s,   60s, 120s, 300s};

  std::array<std::uint64_t, kBounds.size()> within{};  ///< each counts the shorter ones, too
  std::uint64_t count = 0;
  Duration sum{0};

  void add(Duration waited) {
    for (std::size_t i = 0; i < kBounds.size(); ++i) {
      if (waited <= kBounds[i]) ++within[i];
    }
    ++count;
    sum += waited;
  }
};

struct ServerCounts {
  std::map<std::string, std::uint64_t> jobs;  ///< by how they ended; "refused" before they ran
  WaitCounts waits;
  std::uint64_t displacements = 0;  ///< how often it was put out for a rival
};

struct Counters {
  std::map<std::string, ServerCounts> servers;     ///< by name; those that something happened to
  std::map<std::string, std::uint64_t> decisions;  ///< by the decision's name
};

}  // namespace berth::host
