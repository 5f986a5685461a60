// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "berth/base/result.h"
#include "berth/sim/workload.h"

namespace berth::cli {

/// Reads a workload: one JSON object a line, described in docs/reference/simulate.md.
/// Errors: bad_request with the number of the line and what is wrong with it.
Result<sim::Workload> read_workload(std::istream& in);

}  // namespace berth::cli
