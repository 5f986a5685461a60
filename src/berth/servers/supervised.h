// SPDX-License-Identifier: Apache-2.0
// What all owned servers share: spawn behind a keeper, notice the exit, stop by TERM and KILL.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "berth/servers/adapter.h"

namespace berth::servers {

class Supervised {
 public:
  Supervised(std::string name, Places places);
  ~Supervised();
  Supervised(const Supervised&) = delete;
  Supervised& operator=(const Supervised&) = delete;

  /// Starts the process; `on_line` sees every line of its log from the first one.
  Task<Status> spawn(const StartContext& context, std::function<void(std::string_view)> on_line);
  /// Takes over the process of that generation; `on_line` sees its whole log again.
  Task<Status> adopt(Generation generation, std::function<void(std::string_view)> on_line);
  /// TERM (or KILL at once), KILL after `grace`. Errors: unkillable, if it lives at the deadline.
  Task<Status> terminate(bool kill_at_once, Duration grace, Duration deadline);
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
  /// Returns the error for a start that failed, with the exit and the log's last lines.
  [[nodiscard]] Error start_error(std::string_view what) const;

  /// What can end the wait for readiness: the exit (always first), the abort, the log's word.
  std::vector<Event*> start_events(Event* abort, Event& said_so);

  /// From now on an exit is news for `on_exit`; before, and after expect_exit(), it is not.
  void watch_exit(std::function<void(std::string how)> on_exit);
  void expect_exit();

 private:
  struct Running;
  static Task<void> wait_for_exit(std::shared_ptr<Running> running);
  void take(std::unique_ptr<process::Process> process,
            std::function<void(std::string_view)> on_line);

  std::string name_;
  Places places_;
  // Shared with the coroutine that waits for the exit, which may end after this object.
  std::shared_ptr<Running> running_;
};

}  // namespace berth::servers
