// SPDX-License-Identifier: Apache-2.0
#include "berth/process/session.h"

#include <cerrno>
#include <set>
#include <utility>

#include "berth/process/system_error.h"

namespace berth::process {

Session session_of(const Identity& identity) {
  return {.id = identity.session, .start_time = identity.start_time};
}

Result<std::vector<ProcStat>> read_processes() {
  std::vector<ProcStat> processes = list_processes();
  if (processes.empty()) return io_failure("cannot list /proc", errno);
  return processes;
}

Status signal_members(const Session& session, int signal_number) {
  constexpr int kPassesMax = 8;
  std::set<std::pair<pid_t, std::uint64_t>> signalled;
  for (int pass = 0; pass < kPassesMax; ++pass) {
    const Result<std::vector<ProcStat>> processes = read_processes();
    if (!processes) return fail(processes.error());
    bool found_another = false;
    for (const ProcStat& member : live_members(session, *processes)) {
      if (!signalled.emplace(member.pid, member.start_time).second) continue;
      found_another = true;
      const int error = signal_same_process(member, signal_number);
      if (error != 0 && error != ESRCH) return signal_failure(member.pid, error);
    }
    if (!found_another) return {};
  }
  return {};
}

}  // namespace berth::process
