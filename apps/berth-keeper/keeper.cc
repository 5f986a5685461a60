// SPDX-License-Identifier: Apache-2.0
#include "keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "berth/process/proc_stat.h"
#include "launch.h"
#include "record.h"

namespace berth::keeper {
namespace {

std::int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

/// Blocks the signals that the loop reads from the returned descriptor.
process::UniqueFd open_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal_number : {SIGCHLD, SIGTERM, SIGINT})
    ::sigaddset(&set, signal_number);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return process::UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace

int Keeper::run(int spec_file) {
  if (!start(spec_file)) return 1;
  loop();
  return 0;
}

bool Keeper::start(int spec_file) {
  process::UniqueFd output;
  if (!read_spec(spec_file) || !open_streams(output)) return false;
  const Launched launched = launch(spec_, output.get());
  if (!launched.what.empty()) return fail(launched.error_number, launched.what);
  server_ = launched.pid;
  server_start_time_ = process::read_proc_stat(server_).value_or(process::ProcStat{}).start_time;
  // Without the record nobody would ever find this server: it dies with the keeper.
  if (const int error = write_atomically(process::kPidFile, pid_record(server_, spec_.token))) {
    return fail(error, std::string("writing its pid file: ") + std::strerror(error));
  }
  if (!spec_.alive_lock.empty()) alive_.start();
  return true;
}

bool Keeper::read_spec(int spec_file) {
  const std::string path = "/proc/self/fd/" + std::to_string(spec_file);
  const std::optional<std::string> text = process::read_file(path.c_str());
  if (!text) return fail(errno, std::string("reading its spec: ") + std::strerror(errno));
  std::optional<process::KeeperSpec> spec = process::parse_keeper_spec(*text);
  if (!spec) return fail(EINVAL, "its spec is damaged, or of a Berth of another version");
  spec_ = std::move(*spec);
  return true;
}

bool Keeper::open_streams(process::UniqueFd& output) {
  if (const int error = log_.open(spec_.log_limit_bytes)) {
    return fail(error, std::string("opening its log: ") + std::strerror(error));
  }
  // A lock that cannot be watched would make a server that nobody ever stops.
  if (!spec_.alive_lock.empty()) {
    if (const int error = alive_.open(spec_.alive_lock)) {
      return fail(error, "alive lock " + spec_.alive_lock + ": " + std::strerror(error));
    }
  }
  signals_ = open_signals();
  int ends[2];
  if (!signals_ || ::pipe2(ends, O_CLOEXEC) != 0) return fail(errno, std::strerror(errno));
  output_.reset(ends[0]);
  output.reset(ends[1]);
  ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);  // this end only
  return true;
}

bool Keeper::fail(int error_number, std::string_view what) {
  write_atomically(process::kExitFile, failure_record(error_number, what));
  return false;
}

void Keeper::loop() {
  while (!childless_) {
    wait_for_events();
    drain_log();
    handle_news();
    handle_signals();
    handle_timeouts();
  }
  drain_log();
}

void Keeper::wait_for_events() {
  pollfd fds[] = {
      {output_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {alive_.fd(), POLLIN, 0}};
  ::poll(fds, std::size(fds), timeout_ms());
}

int Keeper::timeout_ms() const {
  constexpr std::int64_t kLongest = 3'600'000;
  std::int64_t until = now_ms() + kLongest;
  if (!orphan_at_ms_ && (!kill_at_ms_ || killing_)) return -1;
  if (orphan_at_ms_) until = std::min(until, *orphan_at_ms_);
  if (kill_at_ms_ && !killing_) until = std::min(until, *kill_at_ms_);
  return static_cast<int>(std::max<std::int64_t>(until - now_ms(), 0));
}

void Keeper::handle_timeouts() {
  if (orphan_at_ms_ && now_ms() >= *orphan_at_ms_) {
    orphan_at_ms_.reset();
    if (!alive_.held()) stop();
  }
  if (kill_at_ms_ && !killing_ && now_ms() >= *kill_at_ms_) {
    killing_ = true;
    kill_all();
  }
}

void Keeper::handle_news() {
  if (alive_.fd() < 0) return;
  switch (alive_.take()) {
    case AliveWatch::News::none:
      return;
    case AliveWatch::News::back:
      orphan_at_ms_.reset();
      return;
    case AliveWatch::News::free:
      orphan_at_ms_ = now_ms() + static_cast<std::int64_t>(spec_.orphan_timeout_ms);
      return;
  }
}

void Keeper::handle_signals() {
  signalfd_siginfo info;
  bool child_ended = false;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      child_ended = true;
    } else {
      stop();  // the machine goes down
    }
  }
  if (child_ended) reap();
}

void Keeper::reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != server_) continue;
    server_ended_ = true;
    drain_log();  // all its output stands in the log before its end is told
    write_atomically(process::kExitFile, exit_record(status));
  }
  // The keeper is the subreaper: as long as any descendant lives, there is a child.
  childless_ = pid < 0 && errno == ECHILD;
  if (killing_ && !childless_) kill_all();  // orphans of the killed, and forks that were faster
}

void Keeper::drain_log() {
  static char block[32 * 1024];
  // Bounded, so that a server which never stops writing cannot keep the loop from its other work.
  for (int round = 0; round < 8 && output_; ++round) {
    const ssize_t count = ::read(output_.get(), block, sizeof block);
    if (count == 0) output_.reset();
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    log_.append({block, static_cast<std::size_t>(count)});
  }
}

void Keeper::stop() {
  // What outlives its server has nothing to bring to an end.
  const std::int64_t grace_ms = server_ended_ ? 0 : static_cast<std::int64_t>(spec_.stop_grace_ms);
  if (kill_at_ms_ && *kill_at_ms_ <= now_ms() + grace_ms) return;
  kill_at_ms_ = now_ms() + grace_ms;
  const process::Session session{.id = server_, .start_time = server_start_time_};
  for (const process::ProcStat& member :
       process::live_members(session, process::list_processes())) {
    process::signal_same_process(member, SIGTERM);
  }
}

void Keeper::kill_all() {
  const process::Session session{.id = server_, .start_time = server_start_time_};
  const std::vector<process::ProcStat> processes = process::list_processes();
  for (const process::ProcStat& member : process::live_members(session, processes)) {
    process::signal_same_process(member, SIGKILL);
  }
  // Descendants that left the session come to the keeper one generation after the other.
  for (const process::ProcStat& process : processes) {
    if (process.parent == ::getpid()) process::signal_same_process(process, SIGKILL);
  }
}

}  // namespace berth::keeper
