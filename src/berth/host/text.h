// SPDX-License-Identifier: Apache-2.0
// Names and sentences for what the core decides. The names stand in the journal and in the API.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "berth/core/actions.h"
#include "berth/core/events.h"
#include "berth/core/state.h"

namespace berth::host {

/// Whoever is no server of the configuration: its number is that of a place which the core keeps.
/// No server can have this name. It stands in the store.
inline constexpr std::string_view kPlaceName = "a lease or hold";

/// What name() returns of a number that is no value of the enum; the values count from 0.
inline constexpr std::string_view kNoName = "unknown";

std::string_view name(core::Reason reason);
std::string_view name(core::ServerState state);
std::string_view name(core::Wanted wanted);
std::string_view name(core::Rung rung);
std::string_view name(core::ServerClass job_class);
std::string_view name(core::JobEnd how);
std::string_view name(core::PoolKind kind);
std::string_view name(core::FootprintSource source);
std::string_view name(core::UserAsked::What what);
std::string_view name(core::After after);
std::string_view name(core::Oversize oversize);
std::string_view name(core::JobKind kind);
std::string_view name(core::ServerChanged::Fact fact);
std::string_view name(core::CancelReason reason);
std::string_view name(core::WhileDisplaced what);

/// Returns the value with that name, or nothing.
template <class Enum>
requires std::is_enum_v<Enum> std::optional<Enum> from_name(std::string_view text) {
  static_assert(std::is_same_v<std::underlying_type_t<Enum>, std::uint8_t>);
  constexpr int kLast = std::numeric_limits<std::uint8_t>::max();
  for (int i = 0; i <= kLast; ++i) {
    const auto value = static_cast<Enum>(i);
    if (name(value) == text) return value;
    if (name(value) == kNoName) return std::nullopt;
  }
  return std::nullopt;
}

/// Returns the decision as one sentence with its numbers.
std::string sentence(const core::Announce& decision, const core::Config& config);

}  // namespace berth::host
