// SPDX-License-Identifier: Apache-2.0
// What the keeper writes into its directory for Berth. Paths are relative to that directory.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace berth::keeper {

/// Writes `text` to a new file of mode 0600 and renames it to `name`. Returns 0 or an errno.
int write_atomically(const char* name, std::string_view text);

/// The text of `pid`: who the server is. Read after it was executed, before it can be reaped.
std::string pid_record(pid_t server, std::string_view token);

/// The text of `exit` for a status of waitpid(2).
std::string exit_record(int wait_status);
/// The text of `exit` for a server that was never executed; `what` names the step and the reason.
std::string failure_record(int error_number, std::string_view what);

}  // namespace berth::keeper
