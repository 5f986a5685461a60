// SPDX-License-Identifier: Apache-2.0
// Reads what a keeper writes: `pid`, `exit`, and the lock on `spec`.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "berth/process/exit_status.h"
#include "berth/process/identity.h"
#include "berth/process/json_members.h"
#include "berth/process/keeper_files.h"
#include "berth/process/system_error.h"
#include "berth/process/unique_fd.h"

namespace berth::process {
namespace {

std::string path_of(const std::string& directory, const char* file) {
  return directory + "/" + file;
}

tl::unexpected<Error> damaged(const std::string& path) {
  return fail(ErrorCode::io,
              fmt::format("{} is damaged: it does not say what a keeper says", path));
}

tl::unexpected<Error> other_format(const std::string& path) {
  return fail(ErrorCode::conflict,
              fmt::format("{} was written by a Berth of another version (this one knows format {})",
                          path, kFormat));
}

/// Reads a file that may not exist: an empty object then.
Result<boost::json::object> read_object(const std::string& path) {
  const std::optional<std::string> text = read_file(path.c_str());
  if (!text && errno == ENOENT) return boost::json::object();
  if (!text) return io_failure("cannot read " + path, errno);
  std::optional<boost::json::object> object = parse_object(*text);
  if (!object || object->empty()) return damaged(path);
  return std::move(*object);
}

std::optional<Identity> parse_identity(const boost::json::object& object) {
  const auto pid = number_member<pid_t>(object, "pid");
  const auto start_time = number_member<std::uint64_t>(object, "start_time");
  const auto session = number_member<pid_t>(object, "session");
  const auto keeper_pid = number_member<pid_t>(object, "keeper_pid");
  const auto keeper_start_time = number_member<std::uint64_t>(object, "keeper_start_time");
  const auto boot_id = string_member(object, "boot_id");
  const auto token = string_member(object, "token");
  if (!pid || !start_time || !session || !keeper_pid || !keeper_start_time) return std::nullopt;
  if (!boot_id || !token || *pid <= 0 || *session <= 0) return std::nullopt;
  return Identity{.pid = *pid,
                  .start_time = *start_time,
                  .session = *session,
                  .keeper_pid = *keeper_pid,
                  .keeper_start_time = *keeper_start_time,
                  .boot_id = *boot_id,
                  .token = *token};
}

std::optional<ExitStatus> parse_exit(const boost::json::object& object) {
  using Kind = ExitStatus::Kind;
  const WallTime at{number_member<std::int64_t>(object, "unix_ms").value_or(0)};
  if (const auto code = number_member<int>(object, "code")) {
    return ExitStatus{.kind = Kind::exited, .value = *code, .what = {}, .at = at};
  }
  if (const auto signal_number = number_member<int>(object, "signal")) {
    return ExitStatus{.kind = Kind::signalled, .value = *signal_number, .what = {}, .at = at};
  }
  if (const auto error_number = number_member<int>(object, "exec_errno")) {
    return ExitStatus{.kind = Kind::not_executed,
                      .value = *error_number,
                      .what = string_member(object, "what").value_or(reason(*error_number)),
                      .at = at};
  }
  return std::nullopt;
}

}  // namespace

Result<std::optional<Identity>> read_identity(const std::string& directory) {
  const std::string path = path_of(directory, kPidFile);
  const Result<boost::json::object> object = read_object(path);
  if (!object) return fail(object.error());
  if (object->empty()) return std::optional<Identity>();
  const auto format = number_member<std::uint64_t>(*object, "format");
  if (format && *format != kFormat) return other_format(path);
  if (!format) return damaged(path);
  std::optional<Identity> identity = parse_identity(*object);
  if (!identity) return damaged(path);
  return identity;
}

Result<std::optional<ExitStatus>> read_exit(const std::string& directory) {
  const std::string path = path_of(directory, kExitFile);
  const Result<boost::json::object> object = read_object(path);
  if (!object) return fail(object.error());
  if (object->empty()) return std::optional<ExitStatus>();
  std::optional<ExitStatus> status = parse_exit(*object);
  if (!status) return damaged(path);
  return status;
}

std::string to_text(const ExitStatus& status) {
  switch (status.kind) {
    case ExitStatus::Kind::unknown:
      return "ended in an unknown way: its keeper is gone";
    case ExitStatus::Kind::exited:
      return fmt::format("exit code {}", status.value);
    case ExitStatus::Kind::signalled: {
      const char* name = ::sigabbrev_np(status.value);
      return fmt::format("killed by signal {} ({}{})", status.value, name != nullptr ? "SIG" : "",
                         name != nullptr ? name : "unnamed");
    }
    case ExitStatus::Kind::not_executed:
      return "could not be executed: " + status.what;
  }
  return "";
}

bool keeper_lives(const std::string& directory) {
  const UniqueFd spec(::open(path_of(directory, kSpecFile).c_str(), O_RDONLY | O_CLOEXEC));
  if (!spec) return false;
  return ::flock(spec.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace berth::process
