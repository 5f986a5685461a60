// SPDX-License-Identifier: Apache-2.0
#include "berth/process/keeper_launch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include "berth/process/keeper_files.h"
#include "berth/process/proc_stat.h"
#include "berth/process/system_error.h"

namespace berth::process {
namespace {

std::string random_token() {
  unsigned char bytes[16] = {};
  // 16 bytes are given whole and at once, except before the machine has any entropy.
  while (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
  }
  std::string token;
  for (const unsigned char byte : bytes)
    token += fmt::format("{:02x}", byte);
  return token;
}

/// The keeper works in its own directory, so paths relative to Berth's must not reach it.
std::string absolute(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  const std::filesystem::path result = std::filesystem::absolute(path, error);
  return error ? path : result.string();
}

KeeperSpec spec_of(const StartOptions& options) {
  return {.argv = options.launch.argv,
          .environment = options.launch.environment,
          .working_directory = options.launch.working_directory,
          .alive_lock = absolute(options.alive_lock),
          .token = random_token(),
          .orphan_timeout_ms = static_cast<std::uint64_t>(milliseconds(options.orphan_timeout)),
          .stop_grace_ms = static_cast<std::uint64_t>(milliseconds(options.stop_grace)),
          .log_limit_bytes = static_cast<std::uint64_t>(options.log_limit.count)};
}

/// Returns the spec's file, written and locked.
Result<UniqueFd> write_spec(const StartOptions& options) {
  const std::string path = options.directory + "/" + kSpecFile;
  const std::string text = to_text(spec_of(options));
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return io_failure("cannot make " + path, errno);
  const ssize_t count = ::write(file.get(), text.data(), text.size());
  if (count < 0) return io_failure("cannot write " + path, errno);
  if (static_cast<std::size_t>(count) != text.size()) {
    return io_failure("cannot write " + path, ENOSPC);
  }
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return io_failure("cannot lock " + path, errno);
  return file;
}

/// The attributes and file actions of one posix_spawn.
class SpawnPlan {
 public:
  explicit SpawnPlan(int spec_file) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_adddup2(&actions_, spec_file, kSpecFd);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      ::posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", O_RDWR, 0);
    }
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, kSpecFd + 1);
    ::posix_spawnattr_init(&attributes_);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  /// Returns 0 or an errno, that of execve included.
  int spawn(pid_t& pid, std::string program, std::string argument) {
    char* argv[] = {program.data(), argument.data(), nullptr};
    char* environment[] = {nullptr};
    return ::posix_spawn(&pid, program.c_str(), &actions_, &attributes_, argv, environment);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

Status make_directory(const std::string& directory) {
  std::error_code error;
  const std::filesystem::path path(directory);
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  if (error) return io_failure("cannot make " + path.parent_path().string(), error.value());
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return io_failure("cannot make " + directory, errno);
  }
  if (::chmod(directory.c_str(), 0700) != 0) return io_failure("chmod of " + directory, errno);
  if (std::filesystem::exists(path / kSpecFile, error)) {
    return fail(
        ErrorCode::conflict,
        fmt::format("{} has been used for another start; take a new generation", directory));
  }
  return {};
}

Result<UniqueFd> spawn_keeper(const StartOptions& options) {
  Result<UniqueFd> spec_file = write_spec(options);
  if (!spec_file) return fail(spec_file.error());
  SpawnPlan plan(spec_file->get());
  pid_t pid = 0;
  const int error = plan.spawn(pid, absolute(options.keeper_binary), absolute(options.directory));
  if (error != 0) {
    return fail(ErrorCode::binary_missing,
                fmt::format("cannot run the keeper {}: {}; set BERTH_KEEPER to its path",
                            options.keeper_binary, reason(error)));
  }
  // Not reaped yet, so the number cannot have gone to anybody else.
  UniqueFd pidfd(open_pidfd(pid));
  if (pidfd) return pidfd;
  const int open_error = errno;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  return io_failure("cannot watch the keeper", open_error);
}

}  // namespace berth::process
