// SPDX-License-Identifier: Apache-2.0
// What servers keep whose process lives while their models are not in memory (design section 5).
#pragma once

#include <vector>

#include "berth/config/config.h"
#include "berth/core/types.h"
#include "berth/store/store.h"

namespace berth::host {

/// Says of each server that can give its models back what it keeps then, in every pool of its
/// footprint: what such a process takes, or what this one was measured to take before it had
/// loaded any. Call it behind plan_by_preset().
void plan_freed(core::Config& complete, const config::Config& config,
                const std::vector<store::FootprintRow>& rows);

}  // namespace berth::host
