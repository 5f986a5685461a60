// SPDX-License-Identifier: Apache-2.0
// `berth down`: ends Berth and everything that it started, also what a killed Berth left.
#include <fcntl.h>
#include <sys/file.h>
#include <csignal>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "berth/process/alive_lock.h"
#include "berth/process/directories.h"
#include "berth/process/process.h"
#include "berth/process/unique_fd.h"
#include "commands.h"

namespace berth::cli {
namespace {

/// How long a server that a killed Berth left may take to end by itself.
constexpr Duration kTermLimit = 2s;
constexpr Duration kKillLimit = 10s;

std::string lock_of(const std::string& state_dir) {
  return state_dir + "/alive.lock";
}

/// Waits until the process that owns the state directory is gone: the kernel drops its lock then.
Status wait_until_free(const std::string& path) {
  const process::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 && errno == ENOENT) return {};
  int locked = -1;
  do {
    locked = ::flock(file.get(), LOCK_SH);
  } while (locked != 0 && errno == EINTR);
  if (locked == 0) return {};
  return fail(ErrorCode::io, fmt::format("cannot wait for {}: {}", path, strerror(errno)));
}

Task<void> watch_end(process::Process* server, std::shared_ptr<Event> ended) {
  co_await server->exited();
  ended->set();
}

/// Ends one server without a Berth: TERM, then KILL, helpers included.
Task<Status> end_server(std::string directory) {
  const Executor executor = co_await this_executor();
  auto server = co_await process::Process::adopt(executor, directory);
  if (!server) {
    // Its main process has ended; what is left of its session is not needed any more.
    co_return process::signal_session(directory, SIGKILL);
  }
  auto ended = std::make_shared<Event>();
  spawn(executor, watch_end(server->get(), ended));
  Status sent = (*server)->signal_session(SIGTERM);
  if (!sent) co_return sent;
  co_await ended->wait_for(kTermLimit);
  sent = (*server)->signal_session(SIGKILL);
  if (!sent) co_return sent;
  const bool is_gone = co_await ended->wait_for(kKillLimit);
  if (is_gone) co_return Status();
  co_return fail(
      ErrorCode::unkillable,
      fmt::format("the server in {} does not die; see its process with `ps`", directory));
}

/// Ends the servers that a killed Berth left to their keepers. Returns how many.
Task<Result<int>> end_orphans(std::string state_dir) {
  const auto found = process::scan(state_dir + "/servers");
  if (!found) co_return fail(found.error());
  int count = 0;
  for (const process::FoundDirectory& each : *found) {
    if (each.session_members == 0 && !each.alive) continue;
    const Status ended = co_await end_server(each.directory);
    if (!ended) co_return fail(ended.error());
    ++count;
  }
  co_return count;
}

struct Outcome {
  bool was_running = false;
  int orphans = 0;
};

Task<Result<Outcome>> bring_down(client::Client* berth) {
  Outcome outcome;
  const Result<std::string> asked = co_await berth->shut_down();
  outcome.was_running = asked.has_value();
  if (!asked && asked.error().code != ErrorCode::not_running) co_return fail(asked.error());
  const std::string lock_path = lock_of(berth->state_dir());
  if (outcome.was_running) {
    const Status is_free = wait_until_free(lock_path);
    if (!is_free) co_return fail(is_free.error());
  }
  std::error_code ignored;
  if (!std::filesystem::exists(lock_path, ignored)) co_return outcome;  // none ever ran here
  // Held meanwhile, so that no other Berth comes up; one that is just coming up is named.
  const auto lock = process::AliveLock::acquire(lock_path);
  if (!lock) co_return fail(lock.error());
  const Result<int> orphans = co_await end_orphans(berth->state_dir());
  if (!orphans) co_return fail(orphans.error());
  outcome.orphans = *orphans;
  co_return outcome;
}

std::string sentence(const Outcome& outcome, const std::string& state_dir) {
  if (outcome.was_running) return "berth is down, nothing is left running\n";
  if (outcome.orphans == 0) return fmt::format("no Berth runs on {}\n", state_dir);
  return fmt::format("no Berth ran on {}; {} left by an earlier one {} ended\n", state_dir,
                     outcome.orphans == 1 ? "a server" : "servers",
                     outcome.orphans == 1 ? "was" : "were");
}

Task<int> run(client::Client* berth, bool json) {
  const Result<Outcome> outcome = co_await bring_down(berth);
  if (!outcome) co_return report(outcome.error(), json);
  if (json) {
    say(fmt::format("{{\"was_running\":{},\"orphans_ended\":{}}}\n", outcome->was_running,
                    outcome->orphans));
  } else {
    say(sentence(*outcome, berth->state_dir()));
  }
  co_return 0;
}

}  // namespace

int down(const Common& common) {
  return converse(common, [&](client::Client* berth) { return run(berth, common.json); });
}

}  // namespace berth::cli
