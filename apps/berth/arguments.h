// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace berth::cli {

/// Reads the command line and runs its command. Returns the exit status.
int run_command_line(int count, const char* const* arguments);

}  // namespace berth::cli
