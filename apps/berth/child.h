// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "berth/base/result.h"
#include "berth/http/async.h"
#include "berth/process/unique_fd.h"

namespace berth::cli {

/// A command in a process group of its own. Where this process stands in the foreground of a
/// terminal the group does so in its place; SIGINT, SIGTERM and SIGHUP that reach this process are
/// passed on. The command is told (SIGTERM) if this process dies.
///
/// There can be one: the signals of the process are blocked from its start on.
class Child {
 public:
  /// Errors: binary_missing with the reason if the command cannot be executed; io.
  static Result<std::shared_ptr<Child>> start(std::vector<std::string> command,
                                              std::map<std::string, std::string> environment);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Follows the command to its end. Shared with its coroutine.
  static Task<void> watch(std::shared_ptr<Child> self);
  /// Set when the command has ended; what it left in the background may live on.
  Event& ended() { return ended_; }
  /// Asks the whole group to end, and kills what is left of it when the command has ended, or after
  /// `grace`.
  Task<void> stop(Duration grace);
  /// Of an ended command: its own, or 128 + the number of the signal that killed it.
  [[nodiscard]] int exit_status() const { return exit_status_; }

 private:
  Child(pid_t pid, int signals, sigset_t old_mask, bool has_terminal);
  void take(int signal_number);
  void look();
  void resume();
  void take_terminal_back() const;
  void signal_group(int signal_number) const;

  pid_t pid_;  ///< also of its group
  process::UniqueFd signals_;
  sigset_t old_mask_;
  bool has_terminal_;
  int exit_status_ = 0;
  Event ended_;
};

}  // namespace berth::cli
