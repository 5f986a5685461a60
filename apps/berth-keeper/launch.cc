// SPDX-License-Identifier: Apache-2.0
#include "launch.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "berth/process/unique_fd.h"

namespace berth::keeper {
namespace {

/// What the child says through the pipe when it cannot execute; nothing when it can.
struct Failure {
  enum class Step : int { prepare, working_directory, execute };
  Step step = Step::prepare;
  int error_number = 0;
};

/// Everything that the child needs, made before the fork: it may not allocate.
struct ChildPlan {
  std::vector<char*> argv;
  std::vector<char*> environment;
  const char* working_directory = nullptr;
  int output = -1;
  int report = -1;
  pid_t keeper = 0;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& string : strings)
    result.push_back(const_cast<char*>(string.c_str()));
  result.push_back(nullptr);
  return result;
}

[[noreturn]] void give_up(const ChildPlan& plan, Failure::Step step) {
  const Failure failure{step, errno};
  // A write that fails leaves the keeper with "ended before it was executed", which is true.
  if (::write(plan.report, &failure, sizeof failure) < 0) ::_exit(126);
  ::_exit(127);
}

void reset_signals() {
  for (int signal_number = 1; signal_number < NSIG; ++signal_number) {
    ::signal(signal_number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void run_child(const ChildPlan& plan) {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.keeper) ::_exit(127);  // it died before the death signal was armed
  reset_signals();
  if (::dup2(plan.output, STDOUT_FILENO) < 0) give_up(plan, Failure::Step::prepare);
  if (::dup2(plan.output, STDERR_FILENO) < 0) give_up(plan, Failure::Step::prepare);
  // stdin is the keeper's own /dev/null. Marked, not closed: `report` must live until execve.
  ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  if (::chdir(plan.working_directory) != 0) give_up(plan, Failure::Step::working_directory);
  if (std::strchr(plan.argv[0], '/') != nullptr) {
    ::execve(plan.argv[0], plan.argv.data(), plan.environment.data());
  } else {
    environ = const_cast<char**>(plan.environment.data());  // its PATH is the one that counts
    ::execvp(plan.argv[0], plan.argv.data());
  }
  give_up(plan, Failure::Step::execute);
}

std::string describe(const Failure& failure, const process::KeeperSpec& spec) {
  const std::string reason = std::strerror(failure.error_number);
  switch (failure.step) {
    case Failure::Step::prepare:
      return "preparing its output: " + reason;
    case Failure::Step::working_directory:
      return "working directory " + spec.working_directory + ": " + reason;
    case Failure::Step::execute:
      return reason;
  }
  return reason;
}

/// Waits until the child is executed (the pipe closes) or says why not, or died before.
Launched await_execution(pid_t child, int report, const process::KeeperSpec& spec) {
  Failure failure;
  ssize_t count = 0;
  do {
    count = ::read(report, &failure, sizeof failure);
  } while (count < 0 && errno == EINTR);
  if (count == 0) return {.pid = child, .error_number = 0, .what = {}};
  ::waitpid(child, nullptr, 0);
  return {.pid = 0, .error_number = failure.error_number, .what = describe(failure, spec)};
}

}  // namespace

Launched launch(const process::KeeperSpec& spec, int output) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return {.pid = 0, .error_number = errno, .what = std::strerror(errno)};
  }
  const process::UniqueFd reading(ends[0]);
  process::UniqueFd writing(ends[1]);
  ChildPlan plan{.argv = pointers(spec.argv),
                 .environment = pointers(spec.environment),
                 .working_directory = spec.working_directory.c_str(),
                 .output = output,
                 .report = writing.get(),
                 .keeper = ::getpid()};
  const pid_t child = ::fork();
  if (child < 0) return {.pid = 0, .error_number = errno, .what = std::strerror(errno)};
  if (child == 0) run_child(plan);
  writing.reset();
  return await_execution(child, reading.get(), spec);
}

}  // namespace berth::keeper
