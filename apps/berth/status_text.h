// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "berth/client/replies.h"

namespace berth::cli {

/// Returns the status for a person, each line at most 80 columns wide. `leases`: the table of
/// leases and holds, "" where there are none.
std::string text_of(const client::DaemonStatus& status, const std::string& leases = "");

/// One line a job, at most 80 columns: who, when, and what it waits for.
std::string waiting_text(const std::vector<client::WaitingInfo>& waiting);

}  // namespace berth::cli
