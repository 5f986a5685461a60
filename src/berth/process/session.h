// SPDX-License-Identifier: Apache-2.0
// All processes of a server's session. Private to the folder.
#pragma once

#include "berth/base/result.h"
#include "berth/process/identity.h"
#include "berth/process/proc_stat.h"

namespace berth::process {

/// Returns the session of a server.
Session session_of(const Identity& identity);

/// Returns all processes. Errors: io if /proc cannot be read.
Result<std::vector<ProcStat>> read_processes();

/// Signals each live member once, also those that are forked meanwhile.
/// Errors: forbidden, naming the pid; io.
Status signal_members(const Session& session, int signal_number);

}  // namespace berth::process
