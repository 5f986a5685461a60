// SPDX-License-Identifier: Apache-2.0
// Who a process is, from /proc. Standard library only: the keeper is built from this file too.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::process {

/// The fields of /proc/PID/stat that identify a process.
struct ProcStat {
  pid_t pid = 0;
  char state = '?';
  pid_t parent = 0;
  pid_t session = 0;
  std::uint64_t start_time = 0;  ///< clock ticks since boot

  /// Dead processes (zombies) have no memory and take no signal.
  [[nodiscard]] bool is_live() const { return state != 'Z' && state != 'X'; }
  bool operator==(const ProcStat&) const = default;
};

/// Reads one line of /proc/PID/stat; the program's name may hold spaces and parentheses.
std::optional<ProcStat> parse_proc_stat(std::string_view text);
/// Returns the process, or nothing if it does not exist.
std::optional<ProcStat> read_proc_stat(pid_t pid);
/// Returns all processes that can be seen; empty only if /proc cannot be read.
std::vector<ProcStat> list_processes();
/// Returns the id of this boot of the machine, without which a start time means nothing.
std::string read_boot_id();

/// A session and the moment its leader started, since the number alone may come again.
struct Session {
  pid_t id = 0;
  std::uint64_t start_time = 0;
};

/// Returns the live members among `processes`. None if the number has gone to another leader.
std::vector<ProcStat> live_members(const Session& session, const std::vector<ProcStat>& processes);

/// pidfd_open(2) and pidfd_send_signal(2), which the C library of 2022 declares for C only.
/// They return -1 with errno set.
int open_pidfd(pid_t pid);
int send_signal(int pidfd, int signal_number);

/// Returns a pidfd of exactly this process, or -1 with errno set (ESRCH if it is gone, even if its
/// number names another process by now).
int open_same_process(pid_t pid, std::uint64_t start_time);
/// Signals exactly this process. Returns 0 or an errno.
int signal_same_process(const ProcStat& process, int signal_number);

}  // namespace berth::process
