// SPDX-License-Identifier: Apache-2.0
// The control API, /api/v1.
#pragma once

#include "berth/gateway/context.h"

namespace berth::gateway {

/// Answers a request of the control API, by its route.
Task<void> serve_control(Call call);

/// Reads a parameter of the query; without it `otherwise`.
/// Errors: bad_request if it is not a number from 0 to `max`.
Result<std::int64_t> number_in(const http::Request& request, std::string_view name,
                               std::int64_t otherwise, std::int64_t max);

}  // namespace berth::gateway
