// SPDX-License-Identifier: Apache-2.0
// What all owned servers share: start behind a keeper, readiness, adoption, exit, TERM and KILL.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "berth/servers/adapter.h"
#include "berth/servers/out_of_memory.h"

namespace berth::servers {

/// What is special about a kind. Ownership: what it names must outlive the Supervised.
struct SupervisedKind {
  /// Sees every line of the log from the first one.
  std::function<void(std::string_view)> on_line;
  /// Set by on_line() when the log says that the server is ready; the server's answer confirms it.
  Event* said_ready = nullptr;
  /// Asks the server over HTTP; false if it does not answer well within `limit`.
  std::function<Task<bool>(Duration limit)> answers;
  /// The main process ended by itself, after watch_exit().
  std::function<void(Generation, Ending)> on_exit;
};

class Supervised {
 public:
  Supervised(std::string name, Places places, SupervisedKind kind);
  ~Supervised();
  Supervised(const Supervised&) = delete;
  Supervised& operator=(const Supervised&) = delete;

  /// Starts the process and waits until it is ready. Its exit and an abort end the wait at once.
  /// Errors: as Adapter::start(); nothing of its session is left then.
  Task<Status> start(StartContext context);
  /// Takes over the process of that generation; the whole log is seen again.
  /// Errors: as Adapter::adopt().
  Task<Status> adopt(Generation generation);
  /// TERM (or KILL at once), KILL after `grace`. Errors: unkillable, if it lives at the deadline.
  Task<Status> terminate(bool kill_at_once, Duration grace, Duration deadline);
  /// SIGKILL, of a server that hangs: its exit is told like any other.
  void kill();
  /// Kills what is left of the session after the main process has ended.
  Status sweep();

  [[nodiscard]] process::Process* process() const;
  [[nodiscard]] bool running() const;
  /// Set when the main process has ended; meaningful after spawn() or adopt().
  Event& exited();
  /// The same event, which outlives a later start.
  [[nodiscard]] std::shared_ptr<Event> exit_event() const;
  /// How it ended: "exit code 1".
  [[nodiscard]] std::string how() const;

  /// From now on an exit is news for the kind's on_exit(); before, and after expect_exit(), not.
  /// Errors: as start(), if it has ended already; nothing of its session is left then.
  Status watch_exit();
  void expect_exit();

 private:
  struct Running;
  static Task<void> wait_for_exit(std::shared_ptr<Running> running);
  Task<Status> spawn(StartContext context);
  void take(const Executor& executor, std::unique_ptr<process::Process> process,
            Generation generation, KernelKills kernel_kills);
  Task<Status> wait_ready(Event* abort, Duration deadline);
  [[nodiscard]] Error exit_error() const;
  [[nodiscard]] Error start_error(std::string_view what) const;

  std::string name_;
  Places places_;
  SupervisedKind kind_;
  Generation generation_;
  // Shared with the coroutine that waits for the exit, which may end after this object.
  std::shared_ptr<Running> running_;
};

}  // namespace berth::servers
