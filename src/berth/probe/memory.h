// SPDX-License-Identifier: Apache-2.0
// Memory of process trees and of the host, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/result.h"

namespace berth::probe {

/// What one process holds. Shared pages are divided among those who map them (Pss).
struct ProcessMemory {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  ///< clock ticks since boot
  pid_t session = 0;
  std::string program;          ///< the kernel's name of it, 15 bytes at most
  std::string tag;              ///< "" if its session is one of those asked for
  std::uint64_t cpu_ticks = 0;  ///< CPU time since its start, sysconf(_SC_CLK_TCK) a second
  Bytes pss;                    ///< all of it, mapped weights included
  Bytes pss_anon_shmem;         ///< the part that MemAvailable sees

  bool operator==(const ProcessMemory&) const = default;
};

/// Reads the memory of all processes of these sessions, and of all that carry one of these tags
/// ("NAME=value") in the environment they were executed with, ordered by pid. A tag goes on to
/// children, whatever session they move to. /proc is walked once; without tags no environment is
/// looked at. A process whose environment may not be read carries none. Processes that vanish
/// meanwhile are left out; zombies hold nothing and are listed with 0. Threads: any; reads the
/// machine and keeps no state. May take as long as a process in D state
///   holds its memory lock: run it on the probe thread.
/// Errors: io, naming the pid whose memory cannot be read. Never a sum with a part missing.
Result<std::vector<ProcessMemory>> read_sessions(std::span<const pid_t> sessions,
                                                 std::span<const std::string> tags = {});

/// Returns the most that the process has held at any time (VmHWM), shared pages counted in full.
/// Reads counters only: no memory lock of the process is taken.
/// Errors: io, naming the pid.
Result<Bytes> read_peak(pid_t pid);

struct HostMemory {
  Bytes total;
  Bytes available;  ///< MemAvailable: page cache counts as available, mapped weights too

  bool operator==(const HostMemory&) const = default;
};

/// Reads MemTotal and MemAvailable of the whole machine.
/// Errors: io.
Result<HostMemory> read_host();

/// One process as /proc/PID/stat shows it.
struct ProcessStat {
  pid_t pid = 0;
  std::string program;
  char state = '?';
  pid_t session = 0;
  std::uint64_t start_time = 0;
  std::uint64_t cpu_ticks = 0;  ///< in user and in system mode

  bool operator==(const ProcessStat&) const = default;
};

/// Returns the process, or nothing if it is gone. Errors: io.
Result<std::optional<ProcessStat>> read_stat(pid_t pid);

struct Rollup {
  Bytes pss;
  Bytes pss_anon_shmem;

  bool operator==(const Rollup&) const = default;
};

/// Returns the one of these tags that stands in the text of /proc/PID/environ, "" if none does.
std::string find_tag(std::string_view environment, std::span<const std::string> tags);

/// Parsers of what the kernel writes. Errors: io, naming what is missing.
Result<ProcessStat> parse_stat(std::string_view text);
Result<Rollup> parse_smaps_rollup(std::string_view text);
Result<HostMemory> parse_meminfo(std::string_view text);

}  // namespace berth::probe
