// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/sim/workload.h"

namespace berth::cli {

/// How a public trace becomes a workload; docs/reference/simulate.md.
struct TraceMapping {
  std::int32_t servers = 4;  ///< the traces' models are dealt out to so many
  double swap_seconds = 22;  ///< S
  double load = 0.35;        ///< work without swaps, of the time until the last arrival
  std::int64_t rows = 0;     ///< of each file, from its beginning; 0 = all
};

/// Reads traces (CSV with a heading, or JSON lines) and merges them: each begins at 0.
/// Errors: not_found with the file; bad_request with file, line and what is missing.
Result<sim::Workload> read_traces(const std::vector<std::string>& files,
                                  const TraceMapping& mapping);

}  // namespace berth::cli
