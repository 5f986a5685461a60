// SPDX-License-Identifier: Apache-2.0
#include "record.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>

#include "berth/process/keeper_files.h"
#include "berth/process/proc_stat.h"
#include "berth/process/unique_fd.h"

namespace berth::keeper {
namespace {

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) result += c;
  }
  return result + '"';
}

std::string ending(const std::string& members) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t ms = std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
  return "{" + members + ",\"unix_ms\":" + std::to_string(ms) + "}\n";
}

int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno != EINTR) return errno;
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

}  // namespace

int write_atomically(const char* name, std::string_view text) {
  const std::string temporary = std::string(name) + ".new";
  process::UniqueFd file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return errno;
  if (const int error = write_all(file.get(), text)) return error;
  file.reset();
  return ::rename(temporary.c_str(), name) == 0 ? 0 : errno;
}

std::string pid_record(pid_t server, std::string_view token) {
  const process::ProcStat stat = process::read_proc_stat(server).value_or(process::ProcStat{});
  const process::ProcStat own = process::read_proc_stat(::getpid()).value_or(process::ProcStat{});
  return "{\"format\":" + std::to_string(process::kFormat) +
         ",\"pid\":" + std::to_string(server) +
         ",\"start_time\":" + std::to_string(stat.start_time) +
         ",\"session\":" + std::to_string(stat.session) +
         ",\"keeper_pid\":" + std::to_string(own.pid) +
         ",\"keeper_start_time\":" + std::to_string(own.start_time) +
         ",\"boot_id\":" + quoted(process::read_boot_id()) + ",\"token\":" + quoted(token) + "}\n";
}

std::string exit_record(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return ending("\"signal\":" + std::to_string(WTERMSIG(wait_status)));
  }
  return ending("\"code\":" + std::to_string(WEXITSTATUS(wait_status)));
}

std::string failure_record(int error_number, std::string_view what) {
  return ending("\"exec_errno\":" + std::to_string(error_number) + ",\"what\":" + quoted(what));
}

}  // namespace berth::keeper
