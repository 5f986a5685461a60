// SPDX-License-Identifier: Apache-2.0
// GET /metrics: what status shows, and what was counted, in the text form of Prometheus.
#pragma once

#include <chrono>
#include <string>

#include "berth/gateway/context.h"

namespace berth::gateway {

/// Returns the text, version 0.0.4 of the format. Units are seconds, bytes and ratios.
std::string metrics_text(const host::HostStatus& status, const core::State& state,
                         const host::Counters& counters,
                         std::chrono::system_clock::time_point started);

/// Answers with a fresh look at the memory.
Task<void> serve_metrics(Call call);

}  // namespace berth::gateway
