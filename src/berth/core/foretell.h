// SPDX-License-Identifier: Apache-2.0
// What a request is told when it arrives and has to wait.
#pragma once

#include <optional>

#include "berth/core/events.h"
#include "berth/core/scheduler.h"

namespace berth::core {

/// What is to be expected for a request that arrives now.
struct Foretold {
  std::optional<Duration> eta;  ///< until it runs. Nothing: no copy of the scheduler got there
  bool is_guess = false;        ///< on the way a time was needed that nobody has learned yet
  bool is_late = false;         ///< it would have to wait for longer than it may, for certain
};

/// Runs `copy`, which has not heard of the request yet, ahead until the request is handed over: at
/// most `steps` events. `until`: it may wait so long; the copy lets it wait on. A load that has
/// begun by then is not too late, since it is finished.
Foretold foretell(Scheduler copy, Instant now, const JobArrived& request,
                  std::optional<Instant> until, std::int32_t steps);

}  // namespace berth::core
