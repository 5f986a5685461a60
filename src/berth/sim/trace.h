// SPDX-License-Identifier: Apache-2.0
// Events, actions and states as lines of text: what a person reads when a seed fails, and what the
// fingerprint is taken of.
#pragma once

#include <string>

#include "berth/core/actions.h"
#include "berth/core/events.h"
#include "berth/core/state.h"

namespace berth::sim {

std::string to_text(Instant now, const core::Event& event);
std::string to_text(const core::Action& action);
/// All of it that a decision can depend on.
std::string to_text(const core::State& state);

}  // namespace berth::sim
