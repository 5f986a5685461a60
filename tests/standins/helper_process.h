// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace berth::standin {

/// Starts the helper of the fault `helper=SECONDS:BYTES`, which keeps memory after this process is
/// gone, under that process name. Must run before the first thread. Returns when its memory is
/// touched; false if the setting cannot be read.
bool start_helper(const std::string& setting, const char* name);

}  // namespace berth::standin
