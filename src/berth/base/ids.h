// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>

namespace berth {

/// A counter with a type of its own, so that a job cannot be taken for a server.
template <class Tag, class Number = std::uint64_t>
struct Id {
  Number value = 0;

  auto operator<=>(const Id&) const = default;
};

using JobId = Id<struct JobTag>;
using EffectId = Id<struct EffectTag>;
using TimerId = Id<struct TimerTag>;
/// Position of the server in the configuration; stable while one configuration is loaded.
using ServerId = Id<struct ServerTag, std::uint32_t>;
/// Position of the pool in the configuration.
using PoolId = Id<struct PoolTag, std::uint32_t>;
/// Counts the starts of one server, over all runs of Berth; 0 = never started.
using Generation = Id<struct GenerationTag>;

}  // namespace berth
