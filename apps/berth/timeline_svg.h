// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "berth/sim/record.h"

namespace berth::cli {

/// The part of a run that is shown; to = from: up to the end.
struct Window {
  Duration from{0};
  Duration to{0};
};

/// Returns a picture: for each policy one row a server, with what it did and when.
std::string timeline_svg(const sim::Workload& workload, const std::vector<sim::Summary>& summaries,
                         Window window);

}  // namespace berth::cli
