// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "berth/core/plan_report.h"

namespace berth::plan {

/// Returns the advice as one sentence with its numbers, without a full stop.
std::string advice_sentence(const core::PlanQuestion& question, const core::PlanReport& report,
                            const core::Advice& advice);

/// Is it a warning, and not a way to make the plan fit?
bool is_warning(const core::Advice& advice);

}  // namespace berth::plan
