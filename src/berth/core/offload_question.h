// SPDX-License-Identifier: Apache-2.0
// Would a request that came now put somebody out?
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "berth/base/error.h"
#include "berth/core/events.h"
#include "berth/core/scheduler.h"

namespace berth::core {

/// A question looks no more events ahead than this.
inline constexpr std::int32_t kQuestionSteps = 1000;

/// What a request that came now would do.
struct OffloadAnswer {
  /// Servers that are in memory now and would have left for it; leases are none. In order of the
  /// configuration.
  std::vector<ServerId> victims;
  bool runs = false;              ///< a copy of the scheduler got as far as that it runs
  std::optional<ServerId> stays;  ///< what it would wait for, if in vain: pinned, held or leased
  std::optional<Error> refused;   ///< it would be refused with this
};

/// Lets `request` come to a copy of `scheduler` and runs that ahead until the request runs or is
/// refused. So the answer is what will be decided, in every state, and no second rule.
OffloadAnswer would_need_offload(const Scheduler& scheduler, Instant now,
                                 const JobArrived& request);

}  // namespace berth::core
