// SPDX-License-Identifier: Apache-2.0
// A plan as a person and as a program read it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "berth/core/plan_report.h"

namespace berth::cli {

/// Returns a line that says which machine it is, the table, the verdict with its reasons and what
/// would make it fit, each line at most 80 columns wide.
/// Units: GB = 10^9 bytes, as the makers of memory count.
std::string plan_text(std::string_view machine, const core::PlanQuestion& question,
                      const core::PlanReport& report);

/// Returns "a machine with 32.0 GB of RAM and 8.0 GB of VRAM".
std::string machine_text(const core::PlanQuestion& question);

/// Returns the sum of the shares: "36%", or "~40%" where one of them is a bound.
std::string cpu_sum(const std::vector<core::PlanComponent>& components);

}  // namespace berth::cli
