// SPDX-License-Identifier: Apache-2.0
#include "child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace berth::cli {
namespace {

constexpr int kPassedOn[] = {SIGINT, SIGTERM, SIGHUP};
constexpr int kSignalledBase = 128;  // what shells return of a command that a signal killed

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int each : kPassedOn)
    sigaddset(&set, each);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGCONT);
  return set;
}

/// Pointers into `texts`, as exec wants them.
std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts)
    out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// Our own environment with these variables in place of what they were.
std::vector<std::string> with_ours(const std::map<std::string, std::string>& added) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (!added.contains(std::string(text.substr(0, text.find('='))))) out.emplace_back(text);
  }
  for (const auto& [name, value] : added)
    out.push_back(name + "=" + value);
  return out;
}

/// What the new process does: it becomes the command, or says its errno and ends.
[[noreturn]] void become(char** command, char** environment, const sigset_t& mask, bool foreground,
                         pid_t parent, int failed) {
  ::setpgid(0, 0);
  if (foreground) ::tcsetpgrp(STDIN_FILENO, ::getpid());
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);  // it died before that
  std::signal(SIGPIPE, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execvpe(command[0], command, environment);
  const int error = errno;
  static_cast<void>(!::write(failed, &error, sizeof error));
  ::_exit(1);
}

}  // namespace

Child::Child(pid_t pid, int signals, sigset_t old_mask, bool has_terminal)
    : pid_(pid), signals_(signals), old_mask_(old_mask), has_terminal_(has_terminal) {}

Child::~Child() {
  take_terminal_back();
  ::waitpid(pid_, nullptr, 0);
  ::sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
}

Result<std::shared_ptr<Child>> Child::start(std::vector<std::string> command,
                                            std::map<std::string, std::string> environment) {
  std::vector<std::string> variables = with_ours(environment);
  std::vector<char*> arguments = pointers(command);
  std::vector<char*> entries = pointers(variables);
  int failed[2];
  if (::pipe2(failed, O_CLOEXEC) != 0) return fail(ErrorCode::io, "cannot make a pipe");
  const process::UniqueFd reading(failed[0]);
  process::UniqueFd writing(failed[1]);
  const sigset_t watched = watched_signals();
  sigset_t blocked = watched;
  sigset_t old_mask;
  sigaddset(&blocked, SIGTTOU);  // who takes the terminal back stands in its background
  ::sigprocmask(SIG_BLOCK, &blocked, &old_mask);
  const int signals = ::signalfd(-1, &watched, SFD_CLOEXEC);
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  const bool foreground = terminal && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp();
  const pid_t parent = ::getpid();
  const pid_t pid = signals < 0 ? -1 : ::fork();
  if (pid == 0) {
    become(arguments.data(), entries.data(), old_mask, foreground, parent, writing.get());
  }
  if (pid < 0) {
    return fail(ErrorCode::io, fmt::format("cannot start a process: {}", ::strerror(errno)));
  }
  ::setpgid(pid, pid);  // whoever comes first
  writing.reset();
  std::shared_ptr<Child> child(new Child(pid, signals, old_mask, terminal));
  int error = 0;
  if (::read(reading.get(), &error, sizeof error) != sizeof error) return child;
  return fail(ErrorCode::binary_missing,
              fmt::format("cannot run {}: {}", command.front(), ::strerror(error)));
}

Task<void> Child::watch(std::shared_ptr<Child> self) {
  while (!self->ended_.is_set()) {
    const bool readable = co_await wait_readable(self->signals_.get());
    if (!readable) co_return;
    signalfd_siginfo info{};
    while (::read(self->signals_.get(), &info, sizeof info) == sizeof info)
      self->take(static_cast<int>(info.ssi_signo));
  }
}

void Child::take(int signal_number) {
  if (signal_number == SIGCHLD) return look();
  if (signal_number == SIGCONT) return resume();
  signal_group(signal_number);
}

/// 1. The command has ended. It is not waited for yet, so that its number stays its group's.
/// 2. It was stopped (Ctrl-Z): so are we, or the shell would wait for ever.
void Child::look() {
  siginfo_t info{};
  const auto id = static_cast<id_t>(pid_);
  if (::waitid(P_PID, id, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_) {  // 1
    const bool exited = info.si_code == CLD_EXITED;
    exit_status_ = exited ? info.si_status : kSignalledBase + info.si_status;
    ended_.set();
    return;
  }
  info = {};
  if (::waitid(P_PID, id, &info, WSTOPPED | WNOHANG) != 0 || info.si_pid != pid_) return;
  if (!has_terminal_) return;  // 2
  take_terminal_back();
  ::kill(::getpid(), SIGSTOP);
}

/// The shell lets us go on; in the foreground, if the terminal is ours.
void Child::resume() {
  const bool in_foreground = has_terminal_ && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp();
  if (in_foreground) ::tcsetpgrp(STDIN_FILENO, pid_);
  signal_group(SIGCONT);
}

void Child::take_terminal_back() const {
  const bool is_the_commands = has_terminal_ && ::tcgetpgrp(STDIN_FILENO) == pid_;
  if (is_the_commands) ::tcsetpgrp(STDIN_FILENO, ::getpgrp());
}

void Child::signal_group(int signal_number) const {
  ::kill(-pid_, signal_number);
}

Task<void> Child::stop(Duration grace) {
  signal_group(SIGTERM);
  signal_group(SIGCONT);  // a stopped process hears nothing
  static_cast<void>(co_await ended_.wait_for(grace));
  signal_group(SIGKILL);
  co_await ended_.wait();
}

}  // namespace berth::cli
