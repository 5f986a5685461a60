// SPDX-License-Identifier: Apache-2.0
// Names and sentences for what the core decides. The names stand in the journal and in the API.
#pragma once

#include <string>
#include <string_view>

#include "berth/core/actions.h"
#include "berth/core/events.h"
#include "berth/core/state.h"

namespace berth::host {

std::string_view name(core::Reason reason);
std::string_view name(core::ServerState state);
std::string_view name(core::Wanted wanted);
std::string_view name(core::Rung rung);
std::string_view name(core::ServerClass job_class);
std::string_view name(core::JobEnd how);
std::string_view name(core::PoolKind kind);
std::string_view name(core::FootprintSource source);
std::string_view name(core::UserAsked::What what);

/// Returns the decision as one sentence with its numbers.
std::string sentence(const core::Announce& decision, const core::Config& config);

}  // namespace berth::host
