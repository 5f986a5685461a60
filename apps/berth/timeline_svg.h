// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "berth/sim/record.h"

namespace berth::cli {

/// Returns a picture: for each policy one row a server, with what it did and when.
std::string timeline_svg(const sim::Workload& workload, const std::vector<sim::Summary>& summaries);

}  // namespace berth::cli
