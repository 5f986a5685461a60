// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <iosfwd>
#include <vector>

#include "berth/base/result.h"
#include "berth/core/rehearsal.h"
#include "berth/core/types.h"

namespace berth::host {

/// A request that was answered.
struct PastJob {
  Duration arrived{0};  ///< since the run's start
  ServerId server;
  core::ServerClass job_class = core::ServerClass::chat;
  Duration service{0};  ///< from dispatch to end
};

/// The work of one run of Berth, as its journal tells it.
struct PastRun {
  core::Config config;
  std::vector<core::MoveTimes> moves;  ///< by server: medians; 0 where none was seen
  std::vector<PastJob> jobs;           ///< in order of arrival
  std::size_t left_out = 0;            ///< jobs that never ran, or had not ended
};

/// Returns the newest run in the journal in which a request was answered. Lines that cannot be read
/// are passed over (`berth replay` names them).
/// Errors: not_found if there is none.
Result<PastRun> read_past_run(std::istream& journal);

}  // namespace berth::host
