// SPDX-License-Identifier: Apache-2.0
#include "berth/process/proc_stat.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "berth/process/keeper_files.h"
#include "berth/process/unique_fd.h"

namespace berth::process {
namespace {

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const auto end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end;
}

/// Takes the text up to the next space off the front of `rest`.
std::string_view take_field(std::string_view& rest) {
  const std::size_t end = rest.find_first_of(" \n");
  const std::string_view field = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return field;
}

}  // namespace

std::optional<ProcStat> parse_proc_stat(std::string_view text) {
  constexpr int kSessionField = 6;
  constexpr int kStartTimeField = 22;
  ProcStat stat;
  const std::size_t open = text.find(" (");
  const std::size_t close = text.rfind(") ");
  if (open == std::string_view::npos || close == std::string_view::npos) return std::nullopt;
  if (!parse_number(text.substr(0, open), stat.pid)) return std::nullopt;
  std::string_view rest = text.substr(close + 2);
  const std::string_view state = take_field(rest);
  if (state.size() != 1) return std::nullopt;
  stat.state = state.front();
  if (!parse_number(take_field(rest), stat.parent)) return std::nullopt;
  take_field(rest);  // process group
  if (!parse_number(take_field(rest), stat.session)) return std::nullopt;
  for (int field = kSessionField + 1; field < kStartTimeField; ++field)
    take_field(rest);
  if (!parse_number(take_field(rest), stat.start_time)) return std::nullopt;
  return stat;
}

std::optional<ProcStat> read_proc_stat(pid_t pid) {
  const std::optional<std::string> text =
      read_file(("/proc/" + std::to_string(pid) + "/stat").c_str());
  return text ? parse_proc_stat(*text) : std::nullopt;
}

std::vector<ProcStat> list_processes() {
  std::vector<ProcStat> processes;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc"), &::closedir);
  if (!directory) return processes;
  while (const dirent* entry = ::readdir(directory.get())) {
    pid_t pid = 0;
    if (!parse_number(std::string_view(entry->d_name), pid)) continue;
    if (const std::optional<ProcStat> stat = read_proc_stat(pid)) processes.push_back(*stat);
  }
  return processes;
}

std::string read_boot_id() {
  std::string id = read_file("/proc/sys/kernel/random/boot_id").value_or("");
  while (!id.empty() && id.back() == '\n')
    id.pop_back();
  return id;
}

int open_pidfd(pid_t pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

int send_signal(int pidfd, int signal_number) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal_number, nullptr, 0));
}

int open_same_process(pid_t pid, std::uint64_t start_time) {
  UniqueFd pidfd(open_pidfd(pid));
  if (!pidfd) return -1;
  // The pidfd pins one process; what /proc shows now is that process, or it has already ended.
  const std::optional<ProcStat> stat = read_proc_stat(pid);
  if (stat && stat->start_time == start_time) return pidfd.release();
  errno = ESRCH;
  return -1;
}

int signal_same_process(const ProcStat& process, int signal_number) {
  const UniqueFd pidfd(open_same_process(process.pid, process.start_time));
  if (!pidfd) return errno;
  return send_signal(pidfd.get(), signal_number) == 0 ? 0 : errno;
}

std::vector<ProcStat> live_members(const Session& session, const std::vector<ProcStat>& processes) {
  std::vector<ProcStat> members;
  for (const ProcStat& process : processes) {
    if (process.pid == session.id && process.start_time != session.start_time) return {};
    if (process.session == session.id && process.is_live()) members.push_back(process);
  }
  return members;
}

}  // namespace berth::process
