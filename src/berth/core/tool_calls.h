// SPDX-License-Identifier: Apache-2.0
// Rule 6 of design section 6: jobs that wait for jobs. Pure functions over State.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "berth/core/state.h"

namespace berth::core {

/// Returns the running jobs that wait for `job`: its parent, the parent's parent and so on. Empty:
/// it is no tool call, or nobody waits for it any more.
std::vector<JobId> ancestors_of(const State& state, JobId job);

/// A tool call that waits, and why it would wait for ever.
struct Doomed {
  JobId job;
  std::string why;
};

/// Finds a waiting call whose turn cannot come because of jobs that wait for calls themselves: its
/// own callers or others. Nothing: every call can be answered.
std::optional<Doomed> doomed_call(const State& state);

}  // namespace berth::core
