// SPDX-License-Identifier: Apache-2.0
// `berth down`: ends Berth and everything that it started, also what a killed Berth left.
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>

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
/// Far more than saving the state of large servers to a slow disk takes.
constexpr Duration kDaemonLimit = 10min;

std::string lock_of(const std::string& state_dir) {
  return state_dir + "/alive.lock";
}

Task<void> watch_end(process::Process* server, std::shared_ptr<Event> ended) {
  co_await server->exited();
  ended->set();
}

/// Asks the main process of a server to end. It may just have ended; then nothing is to be asked.
Task<void> ask_to_end(std::string directory) {
  const Executor executor = co_await this_executor();
  auto server = co_await process::Process::adopt(executor, directory);
  if (!server) co_return;
  auto ended = std::make_shared<Event>();
  spawn(executor, watch_end(server->get(), ended));
  static_cast<void>((*server)->signal_session(SIGTERM));
  co_await ended->wait_for(kTermLimit);
}

/// Ends one server without a Berth: TERM, then KILL, helpers and keeper included.
Task<Status> end_server(process::FoundDirectory found) {
  if (found.is_mystery()) co_return fail(*found.unreadable);
  co_await ask_to_end(found.directory);
  const auto identity = process::read_identity(found.directory);
  if (!identity) co_return fail(identity.error());
  if (!*identity) co_return Status();  // it was never executed
  const Status killed = process::signal_session(found.directory, SIGKILL);
  if (!killed) co_return killed;
  const bool is_gone = co_await process::end_keeper(**identity, kKillLimit);
  if (is_gone) co_return Status();
  co_return fail(ErrorCode::unkillable,
                 fmt::format("server \"{}\" (pid {}) does not die, not even by SIGKILL, and holds "
                             "its memory until it does; the kernel log (`dmesg`) may say what "
                             "it waits for",
                             found.server, (*identity)->pid));
}

/// Ends what no Berth looks after any more, all of it, and then says the first failure.
/// Returns how many servers were ended.
Task<Result<int>> end_orphans(std::string state_dir) {
  const auto found = process::scan(state_dir + "/servers");
  if (!found) co_return fail(found.error());
  int count = 0;
  std::optional<Error> failure;
  for (const process::FoundDirectory& each : *found) {
    if (each.session_members == 0 && !each.alive && !each.keeper_alive) continue;
    const Status ended = co_await end_server(each);
    if (ended) ++count;
    if (ended || failure) continue;
    failure = ended.error();
  }
  if (failure) co_return fail(*failure);
  co_return count;
}

struct Outcome {
  bool was_running = false;
  int orphans = 0;
};

/// Asks the Berth that runs, if one does, to end, and waits until its process has.
Task<Result<bool>> end_daemon(client::Client* berth) {
  // Before it is asked: it gives up its lock on the way to its end.
  process::UniqueFd daemon = process::open_lock_owner(lock_of(berth->state_dir()));
  const Result<std::string> asked = co_await berth->shut_down();
  if (!asked && asked.error().code == ErrorCode::not_running) co_return false;
  if (!asked) co_return fail(asked.error());
  const bool is_gone = co_await process::await_end(std::move(daemon), kDaemonLimit);
  if (is_gone) co_return true;
  co_return fail(
      ErrorCode::deadline,
      fmt::format("berth was asked to end {} ago and still runs; the end of {}/berth.log "
                  "may say why; `kill -9` it, then say `berth down` again",
                  to_text(kDaemonLimit), berth->state_dir()));
}

Task<Result<Outcome>> bring_down(client::Client* berth) {
  const Result<bool> was_running = co_await end_daemon(berth);
  if (!was_running) co_return fail(was_running.error());
  Outcome outcome{.was_running = *was_running};
  const std::string lock_path = lock_of(berth->state_dir());
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
