// SPDX-License-Identifier: Apache-2.0
// What the machine has, and who else uses it: control groups, and processes that are not ours.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/result.h"
#include "berth/probe/memory.h"

namespace berth::probe {

/// Returns what of the machine the control groups of this process leave it: `groups` is the text of
/// /proc/self/cgroup, `mounts` the folder where the hierarchies are mounted. Every group up to the
/// root counts, in version 1 and 2: the smallest limit is the total, and no more is available than
/// the limit less what the group's processes hold. Page cache counts as available, as in
/// MemAvailable. Where no group has a limit the machine's numbers come back as they are.
/// Errors: io, where a limit is set and what is used below it cannot be read.
Result<HostMemory> within_groups(HostMemory machine, std::string_view groups,
                                 const std::string& mounts);

/// Reads the memory that this process and its servers can have: of the machine, or of the control
/// group where that has less. Errors: io.
Result<HostMemory> read_host_memory();

/// A process that is not Berth's.
struct OtherProcess {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  ///< clock ticks since boot
  std::string program;
  Bytes bytes;                  ///< anonymous and shared memory, the part that MemAvailable sees
  std::uint64_t cpu_ticks = 0;  ///< CPU time since its start

  bool operator==(const OtherProcess&) const = default;
};

/// Reads the `count_max` processes that hold the most memory, the largest first, without those of
/// `ours` (ordered), and behind them those of `named` that were not among them. /proc is walked
/// once. Processes that vanish meanwhile are left out.
std::vector<OtherProcess> read_others(std::span<const pid_t> ours, std::size_t count_max,
                                      std::span<const pid_t> named = {});

/// Reads the text of /proc/PID/status. `start_time` and `cpu_ticks` do not stand there.
/// Errors: io, naming what is missing; kernel threads have no memory.
Result<OtherProcess> parse_status(std::string_view text);

}  // namespace berth::probe
