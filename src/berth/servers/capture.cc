// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/capture.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

extern char** environ;

namespace berth::servers {
namespace {

constexpr std::size_t kOutputMax = 4 << 20;
constexpr auto kInherited = std::to_array<std::string_view>(
    {"PATH", "HOME", "USER", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES",
     "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES", "VK_ICD_FILENAMES",
     "XDG_RUNTIME_DIR"});

bool is_executable_file(const std::string& path) {
  return ::access(path.c_str(), X_OK) == 0;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts)
    out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

struct Child {
  pid_t pid = -1;
  int output = -1;
};

Result<Child> spawn_with_pipe(std::vector<std::string>& argv,
                              std::vector<std::string>& environment) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return fail(ErrorCode::io, fmt::format("no pipe for \"{}\": {}", argv[0], strerror(errno)));
  }
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);  // our end only: the child's writes must not fail
  posix_spawnattr_t attributes;           // a group of its own: a wrapper's children end with it
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, ends[1], STDERR_FILENO);
  Child child;
  const int error = ::posix_spawn(&child.pid, argv[0].c_str(), &files, &attributes,
                                  pointers(argv).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return fail(ErrorCode::binary_missing,
                fmt::format("\"{}\" cannot be run: {}", argv[0], strerror(error)));
  }
  child.output = ends[0];
  return child;
}

/// Reads until the end of the pipe; returns false if `stop` came first.
Task<bool> read_to_end(int descriptor, Event& stop, std::string& out) {
  while (out.size() < kOutputMax) {
    std::array<char, 16384> buffer;
    const ssize_t n = ::read(descriptor, buffer.data(), buffer.size());
    if (n == 0) co_return true;
    if (n > 0) {
      out.append(buffer.data(), static_cast<std::size_t>(n));
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) co_return true;
    const bool readable = co_await wait_readable(descriptor, &stop);
    if (!readable) co_return false;
  }
  co_return true;
}

/// Waits for the end of a child that may have closed its output before; returns false if `stop`
/// came first.
Task<bool> wait_for_exit(pid_t pid, Event& stop) {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) co_return true;
  const bool ended = co_await wait_readable(fd, &stop);
  ::close(fd);
  co_return ended;
}

Task<void> set_after(Duration limit, std::shared_ptr<Event> event) {
  co_await delay(limit);
  event->set();
}

}  // namespace

Result<std::string> find_program(const std::string& name, std::string_view setting) {
  if (name.find('/') != std::string::npos) {
    if (is_executable_file(name)) return name;
    return fail(ErrorCode::binary_missing,
                fmt::format("\"{}\" is not a program that can be run ({}); correct {}", name,
                            strerror(errno), setting));
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    std::string candidate = fmt::format("{}/{}", folder, name);
    if (!folder.empty() && is_executable_file(candidate)) return candidate;
  }
  return fail(
      ErrorCode::binary_missing,
      fmt::format("no program \"{}\" is found by PATH; install it or set {}", name, setting));
}

std::vector<std::string> server_environment() {
  std::vector<std::string> out;
  for (const std::string_view name : kInherited) {
    const char* value = std::getenv(std::string(name).c_str());
    if (value != nullptr) out.push_back(fmt::format("{}={}", name, value));
  }
  return out;
}

std::vector<std::string> words(const std::string& program, const char* argument) {
  return {program, argument};
}

Task<Result<std::string>> capture(std::vector<std::string> argv,
                                  std::vector<std::string> environment, Duration deadline) {
  const std::string command = fmt::format("{}", fmt::join(argv, " "));
  const Result<Child> child = spawn_with_pipe(argv, environment);
  if (!child) co_return fail(child.error());
  const auto stop = std::make_shared<Event>();
  const Executor executor = co_await this_executor();
  spawn(executor, set_after(deadline, stop));
  std::string output;
  bool complete = co_await read_to_end(child->output, *stop, output);
  ::close(child->output);
  if (complete) {
    const bool ended = co_await wait_for_exit(child->pid, *stop);
    complete = ended;
  }
  if (!complete) ::kill(-child->pid, SIGKILL);
  int status = 0;
  while (::waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!complete) {
    co_return fail(ErrorCode::deadline,
                   fmt::format("`{}` did not end within {}", command, to_text(deadline)));
  }
  if (WIFSIGNALED(status)) {
    co_return fail(ErrorCode::binary_missing,
                   fmt::format("`{}` was killed by signal {}; the program does not run on this "
                               "machine",
                               command, WTERMSIG(status)));
  }
  co_return output;
}

Task<Status> on_thread(std::function<Status()> work) {
  struct Shared {
    Event done;
    Status status;
  };
  const auto shared = std::make_shared<Shared>();
  const Executor executor = co_await this_executor();
  std::thread([shared, executor, work = std::move(work)] {
    Status status = work();
    post(executor, [shared, status = std::move(status)] {
      shared->status = status;
      shared->done.set();
    });
  }).detach();
  co_await shared->done.wait();
  co_return shared->status;
}

}  // namespace berth::servers
