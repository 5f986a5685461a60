// SPDX-License-Identifier: Apache-2.0
// A plan as a program reads it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "berth/core/plan_report.h"

namespace berth::plan {

/// Returns one object: the bottleneck pool, its components, all pools, the advice.
std::string report_json(const core::PlanQuestion& question, const core::PlanReport& report);

/// Returns "offload", "direct" or "unknown".
std::string_view verdict_name(core::PlanVerdict verdict);

/// Returns the pools that are worth showing: their size is known, or somebody wants them. RAM
/// stands before VRAM, as in the seed's tables.
std::vector<std::size_t> shown_pools(const core::PlanQuestion& question,
                                     const core::PlanReport& report);

}  // namespace berth::plan
