// SPDX-License-Identifier: Apache-2.0
#include "berth/probe/memory.h"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include "berth/base/plain_text.h"
#include "berth/probe/proc_text.h"

namespace berth::probe {
namespace {

bool is_dead(const ProcessStat& stat) {
  return stat.state == 'Z' || stat.state == 'X';
}

/// What a process without an address space holds: it is a zombie, or about to become one.
bool has_no_memory(const Text& rollup) {
  return rollup.error_number == ESRCH || (rollup.error_number == 0 && rollup.text.empty());
}

/// Reads the memory of one process.
/// 1. A zombie holds nothing. 2. So does one that is just ending. 3. One that is gone by now, or
/// whose number names another one, is left out. 4. Any other failure is an error, never zero.
Result<std::optional<ProcessMemory>> read_memory(const ProcessStat& stat) {
  ProcessMemory memory{.pid = stat.pid,
                       .start_time = stat.start_time,
                       .session = stat.session,
                       .program = stat.program,
                       .tag = {},
                       .cpu_ticks = stat.cpu_ticks,
                       .pss = {},
                       .pss_anon_shmem = {}};
  if (is_dead(stat)) return std::optional(memory);  // 1
  const Text file = read_text(path_of(stat.pid, "smaps_rollup"));
  const Result<Rollup> rollup = parse_smaps_rollup(file.text);
  if (file.error_number == 0 && rollup) {
    memory.pss = rollup->pss;
    memory.pss_anon_shmem = rollup->pss_anon_shmem;
    return std::optional(memory);
  }
  const Result<std::optional<ProcessStat>> now = read_stat(stat.pid);
  if (!now) return fail(now.error());
  if (!*now || (*now)->start_time != stat.start_time) return std::optional<ProcessMemory>();  // 3
  if (is_dead(**now) || has_no_memory(file)) return std::optional(memory);                    // 2
  return fail(
      ErrorCode::io,  // 4
      fmt::format("cannot read the memory of process {} ({}): {}", stat.pid, stat.program,
                  file.error_number != 0 ? std::generic_category().message(file.error_number)
                                         : rollup.error().message));
}

/// May the process belong to one of these sessions? getsid(2) answers without a read of /proc/PID,
/// which costs a hundred times as much. Where it is forbidden, what the process's stat says counts.
bool may_belong(pid_t pid, std::span<const pid_t> sessions) {
  const pid_t session = ::getsid(pid);
  if (session < 0) return errno != ESRCH;
  return std::find(sessions.begin(), sessions.end(), session) != sessions.end();
}

/// Returns the tag that the process carries. The kernel shows the environment of a process to who
/// may trace it: to the same user, and never of a zombie.
std::string tag_of(pid_t pid, std::span<const std::string> tags) {
  if (tags.empty()) return "";
  const Text file = read_text(path_of(pid, "environ"));
  return file.error_number == 0 ? find_tag(file.text, tags) : "";
}

struct Member {
  ProcessStat stat;
  std::string tag;
};

/// Returns every process of these sessions or with one of these tags. All processes are looked at:
/// a helper that was forked twice is nobody's child any more, but stays in its session and keeps
/// its tag. The walk goes up in pids, so a child forked meanwhile by a process that was gone when
/// its turn came is still found.
Result<std::vector<Member>> find_members(std::span<const pid_t> sessions,
                                         std::span<const std::string> tags) {
  std::vector<Member> members;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc"), &::closedir);
  if (!directory) return fail(ErrorCode::io, "cannot list /proc");
  while (const dirent* entry = ::readdir(directory.get())) {
    const auto pid = number_from<pid_t>(entry->d_name);
    if (!pid) continue;
    const bool may_be_in_session = may_belong(*pid, sessions);
    std::string tag = may_be_in_session ? "" : tag_of(*pid, tags);
    if (!may_be_in_session && tag.empty()) continue;
    Result<std::optional<ProcessStat>> stat = read_stat(*pid);
    if (!stat) return fail(stat.error());
    if (!*stat) continue;
    const bool is_in_session =
        std::find(sessions.begin(), sessions.end(), (*stat)->session) != sessions.end();
    if (is_in_session || !tag.empty()) members.push_back({std::move(**stat), std::move(tag)});
  }
  return members;
}

}  // namespace

Result<std::optional<ProcessStat>> read_stat(pid_t pid) {
  const Text file = read_text(path_of(pid, "stat"));
  if (file.error_number == ENOENT || file.error_number == ESRCH)
    return std::optional<ProcessStat>();
  if (file.error_number != 0) {
    return fail(ErrorCode::io, fmt::format("cannot read {}: {}", path_of(pid, "stat"),
                                           std::generic_category().message(file.error_number)));
  }
  Result<ProcessStat> stat = parse_stat(file.text);
  if (!stat) return fail(stat.error());
  return std::optional<ProcessStat>(std::move(*stat));
}

std::string find_tag(std::string_view environment, std::span<const std::string> tags) {
  while (!environment.empty()) {
    const std::size_t end = std::min(environment.find('\0'), environment.size());
    const std::string_view entry = environment.substr(0, end);
    const auto tag = std::find(tags.begin(), tags.end(), entry);
    if (tag != tags.end()) return *tag;
    environment.remove_prefix(std::min(end + 1, environment.size()));
  }
  return "";
}

Result<std::vector<ProcessMemory>> read_sessions(std::span<const pid_t> sessions,
                                                 std::span<const std::string> tags) {
  std::vector<ProcessMemory> memories;
  if (sessions.empty() && tags.empty()) return memories;
  const Result<std::vector<Member>> members = find_members(sessions, tags);
  if (!members) return fail(members.error());
  for (const Member& member : *members) {
    Result<std::optional<ProcessMemory>> memory = read_memory(member.stat);
    if (!memory) return fail(memory.error());
    if (!*memory) continue;
    (*memory)->tag = member.tag;
    memories.push_back(std::move(**memory));
  }
  std::sort(memories.begin(), memories.end(),
            [](const ProcessMemory& a, const ProcessMemory& b) { return a.pid < b.pid; });
  return memories;
}

Result<HostMemory> read_host() {
  const Text file = read_text("/proc/meminfo");
  if (file.error_number != 0) return fail(ErrorCode::io, "cannot read /proc/meminfo");
  return parse_meminfo(file.text);
}

Result<ProcessStat> parse_stat(std::string_view text) {
  // Positions behind the program's name, which may itself hold blanks and parentheses.
  constexpr std::size_t kState = 0;
  constexpr std::size_t kSession = 3;
  constexpr std::size_t kUserTicks = 11;
  constexpr std::size_t kSystemTicks = 12;
  constexpr std::size_t kStartTime = 19;
  const std::size_t open = text.find(" (");
  const std::size_t close = text.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open + 2) {
    return fail(ErrorCode::io, "a process's stat has no program name");
  }
  const auto fields = split(text.substr(close + 2), kStartTime + 1);
  if (fields.size() <= kStartTime) return fail(ErrorCode::io, "a process's stat is cut off");
  const auto pid = number_from<pid_t>(text.substr(0, open));
  const auto session = number_from<pid_t>(fields[kSession]);
  const auto start_time = number_from<std::uint64_t>(fields[kStartTime]);
  const auto user = number_from<std::uint64_t>(fields[kUserTicks]);
  const auto system = number_from<std::uint64_t>(fields[kSystemTicks]);
  if (!pid || !session || !start_time || !user || !system) {
    return fail(ErrorCode::io, "a process's stat has no pid, session, start time or CPU time");
  }
  return ProcessStat{.pid = *pid,
                     .program = plain_text(text.substr(open + 2, close - open - 2)),
                     .state = fields[kState].front(),
                     .session = *session,
                     .start_time = *start_time,
                     .cpu_ticks = *user + *system};
}

Result<Rollup> parse_smaps_rollup(std::string_view text) {
  const Result<Bytes> pss = value_of(text, "Pss");
  if (!pss) return fail(pss.error());
  const Result<Bytes> anonymous = value_of(text, "Pss_Anon");
  if (!anonymous) return fail(anonymous.error());
  const Result<Bytes> shared_memory = value_of(text, "Pss_Shmem");
  if (!shared_memory) return fail(shared_memory.error());
  return Rollup{.pss = *pss, .pss_anon_shmem = *anonymous + *shared_memory};
}

Result<Bytes> read_peak(pid_t pid) {
  const Text file = read_text(path_of(pid, "status"));
  const Result<Bytes> peak = value_of(file.text, "VmHWM");
  if (file.error_number == 0 && peak) return *peak;
  return fail(ErrorCode::io, fmt::format("cannot read the peak memory of process {}: {}", pid,
                                         file.error_number != 0
                                             ? std::generic_category().message(file.error_number)
                                             : peak.error().message));
}

Result<HostMemory> parse_meminfo(std::string_view text) {
  const Result<Bytes> total = value_of(text, "MemTotal");
  if (!total) return fail(total.error());
  const Result<Bytes> available = value_of(text, "MemAvailable");
  if (!available) return fail(available.error());
  return HostMemory{.total = *total, .available = *available};
}

}  // namespace berth::probe
