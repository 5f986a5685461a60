// SPDX-License-Identifier: Apache-2.0
// What the body of POST /api/v1/plan asks.
#pragma once

#include <string_view>

#include "berth/base/result.h"
#include "berth/plan/options.h"

namespace berth::gateway {

/// Reads `{"vram": [A, ...], "ram": A, "foreign": [..], "llm": [..], "diffusion": [..],
/// "component": [..]}`, all of it text as behind the options of `berth plan`; a list of one may be
/// written without brackets. Errors: bad_request naming the member.
Result<plan::Options> plan_wish(std::string_view body);

}  // namespace berth::gateway
