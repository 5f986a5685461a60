// SPDX-License-Identifier: Apache-2.0
// The control API, /api/v1.
#pragma once

#include "berth/gateway/context.h"

namespace berth::gateway {

/// Answers a request of the control API, by its route.
Task<void> serve_control(Call call);

}  // namespace berth::gateway
