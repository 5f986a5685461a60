// SPDX-License-Identifier: Apache-2.0
// `berth up`: in the foreground, or as a process of its own session.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "berth/process/unique_fd.h"
#include "commands.h"
#include "daemon.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;
using process::UniqueFd;

/// A log that is larger is put aside when Berth comes up.
constexpr std::uintmax_t kLogMax = std::uintmax_t{8} << 20;

/// What a background Berth tells its starter on the pipe before it closes it.
constexpr std::string_view kReady = "ready ";
constexpr std::string_view kFailed = "failed ";

int run(config::Config config, const Common& common,
        std::function<void(const std::string&)> on_ready, Error* error) {
  IoLoop loop;
  DaemonOptions options{.json = common.json, .on_ready = std::move(on_ready)};
  const Status ended = run_on(loop, run_daemon(std::move(config), std::move(options)));
  if (ended) return 0;
  *error = ended.error();
  return exit_status(error->code);
}

int run_in_foreground(config::Config config, const Common& common) {
  Error error;
  const int status = run(std::move(config), common, nullptr, &error);
  return status == 0 ? 0 : report(error, common.json);
}

tl::unexpected<Error> system_failure(std::string_view what, std::string_view path) {
  return fail(ErrorCode::io, fmt::format("cannot {} {}: {}", what, path, strerror(errno)));
}

/// Makes the folder and opens the log in it.
Result<UniqueFd> open_log(const std::string& state_dir, const std::string& path) {
  std::error_code failed;
  fs::create_directories(state_dir, failed);
  if (!failed) fs::permissions(state_dir, fs::perms::owner_all, failed);
  if (failed) {
    return fail(ErrorCode::io,
                fmt::format("cannot make the state directory {}: {}", state_dir, failed.message()));
  }
  std::error_code ignored;
  if (fs::file_size(path, ignored) > kLogMax && !ignored) fs::rename(path, path + ".1", ignored);
  UniqueFd log(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (log.get() < 0) return system_failure("open", path);
  return log;
}

void tell(int descriptor, const std::string& text) {
  // If the starter is gone, nobody needs to know.
  [[maybe_unused]] const auto written = ::write(descriptor, text.data(), text.size());
}

/// The background's own life: never returns to the command.
int run_in_background(config::Config config, const Common& common, UniqueFd log, UniqueFd starter) {
  ::setsid();
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ::dup2(nothing.get(), STDIN_FILENO);
  ::dup2(log.get(), STDOUT_FILENO);
  ::dup2(log.get(), STDERR_FILENO);
  std::error_code ignored;
  fs::current_path(config.state_dir, ignored);
  Error error;
  const auto on_ready = [&starter](const std::string& address) {
    tell(starter.get(), std::string(kReady) + address);
    starter = UniqueFd();
  };
  const int status = run(std::move(config), common, on_ready, &error);
  if (status == 0) return 0;
  if (starter.get() >= 0) {
    tell(starter.get(), fmt::format("{}{} {}", kFailed, name(error.code), error.message));
  }
  return report(error, common.json);
}

/// Returns everything that the background says until it closes the pipe or dies.
std::string read_all(int descriptor) {
  std::string text;
  char piece[4096];
  while (true) {
    const ssize_t count = ::read(descriptor, piece, sizeof piece);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(piece, static_cast<std::size_t>(count));
  }
}

Error failure_in(std::string_view told, const std::string& log) {
  if (!told.starts_with(kFailed)) {
    return {ErrorCode::internal,
            fmt::format("berth ended before it was ready; see the end of {}", log)};
  }
  told.remove_prefix(kFailed.size());
  const std::size_t space = std::min(told.find(' '), told.size());
  const auto code = error_code_from_name(told.substr(0, space));
  const std::string_view message = told.substr(std::min(space + 1, told.size()));
  return {code.value_or(ErrorCode::internal), std::string(message)};
}

/// Waits until the background is ready or has failed.
int await_background(pid_t pid, int pipe, const Common& common, const std::string& log) {
  const std::string told = read_all(pipe);
  if (!told.starts_with(kReady)) {
    ::waitpid(pid, nullptr, 0);
    return report(failure_in(told, log), common.json);
  }
  const std::string address = told.substr(kReady.size());
  if (common.json) {
    say(fmt::format("{{\"ready\":\"{}\",\"pid\":{},\"log\":\"{}\"}}\n", address, pid, log));
  } else {
    say(fmt::format("ready: {}\nberth runs in the background, pid {}, its words go to {}\n",
                    address, pid, log));
  }
  return 0;
}

int detach(config::Config config, const Common& common) {
  const std::string log_path = config.state_dir + "/berth.log";
  Result<UniqueFd> log = open_log(config.state_dir, log_path);
  if (!log) return report(log.error(), common.json);
  int ends[2];
  if (::pipe(ends) != 0) {
    return report({ErrorCode::io, fmt::format("no pipe: {}", strerror(errno))}, common.json);
  }
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  for (const int end : ends)
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
  std::fflush(stdout);
  // No thread was started yet, so the child may go on as if it had been started by itself.
  const pid_t pid = ::fork();
  if (pid < 0) {
    return report({ErrorCode::io, fmt::format("no new process: {}", strerror(errno))}, common.json);
  }
  if (pid == 0) {
    reading = UniqueFd();
    return run_in_background(std::move(config), common, std::move(*log), std::move(writing));
  }
  writing = UniqueFd();
  return await_background(pid, reading.get(), common, log_path);
}

}  // namespace

int up(const Common& common, const UpOptions& options) {
  const Result<std::string> file = find_config(common);
  if (!file) return report(file.error(), common.json);
  Result<config::Config> config = config::load(*file);
  if (!config) return report(config.error(), common.json);
  if (options.detach) return detach(std::move(*config), common);
  return run_in_foreground(std::move(*config), common);
}

}  // namespace berth::cli
