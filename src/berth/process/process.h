// SPDX-License-Identifier: Apache-2.0
// One server process behind its keeper, as Berth sees it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/process/exit_status.h"
#include "berth/process/identity.h"
#include "berth/process/launch_spec.h"

namespace berth::process {

struct StartOptions {
  std::string keeper_binary;  ///< see keeper_binary()
  std::string directory;      ///< `<root>/<server>/<generation>`; made with mode 0700
  std::string alive_lock;     ///< file of the AliveLock; empty: the server may outlive every Berth
  Duration orphan_timeout{5min};
  Duration stop_grace{10s};  ///< from TERM to KILL of the session, when the keeper itself stops it
  Bytes log_limit = 16_MiB;  ///< of `log`; as much again is kept in `log.1`
  LaunchSpec launch;
};

/// Where on_line() begins in the log of an adopted server.
enum class LogFrom : std::uint8_t { beginning, end };

/// A running (or ended) server. Destroying the object never touches the server: Berth just stops
/// watching, coroutines that wait for it return, and adopt() finds it again.
///
/// Threads: everything on the strand of the executor, which must outlive the object.
class Process {
 public:
  /// Makes the directory, starts the keeper and waits until the server is executed (10 s at most).
  /// Errors: binary_missing with path and reason if the keeper or the server cannot be executed;
  ///   conflict if the directory has been used before; deadline; cancelled; io.
  ///   After an error no process is left.
  static boost::asio::awaitable<Result<std::unique_ptr<Process>>> start(
      boost::asio::any_io_executor executor, StartOptions options);

  /// Takes over the server of a directory that an earlier Berth (or Process) started. If its keeper
  /// is still about to execute it, waits like start().
  /// Errors: not_found if no live process has the recorded pid, start time and boot id; io.
  static boost::asio::awaitable<Result<std::unique_ptr<Process>>> adopt(
      boost::asio::any_io_executor executor, std::string directory, LogFrom log = LogFrom::end);

  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  [[nodiscard]] const Identity& identity() const;
  [[nodiscard]] const std::string& directory() const;

  /// Returns how the server's main process ended, as soon as it has; at once if it has already.
  /// Any number of coroutines may wait. `unknown` also if the object is destroyed or the wait is
  /// cancelled meanwhile.
  boost::asio::awaitable<ExitStatus> exited();
  /// Returns whether the main process lives, as the kernel says now.
  [[nodiscard]] bool running() const;

  /// Signals the main process and nothing else, whatever became of its pid.
  /// Errors: not_found if it has ended; forbidden.
  Status signal(int signal_number);
  /// Signals every live process of the server's session, helpers that outlived the main process
  /// included. Nobody left is a success.
  /// Errors: forbidden, naming the pid; io if /proc cannot be read.
  Status signal_session(int signal_number);
  /// Returns whether no process of the session lives; zombies hold no memory and do not count.
  [[nodiscard]] bool session_empty() const;

  /// Calls `line` for each complete line of stdout and stderr, without its newline: after start()
  /// from the first one, after adopt() from where `log` says. A last line without newline comes
  /// when the process ends. Each drawing of a progress bar (it ends with a carriage return or the
  /// erase sequence) is a line too. Never called from inside on_line() itself; may destroy the
  /// Process.
  void on_line(std::function<void(std::string_view)> line);
  /// Returns when on_line() has seen every line that stands in the log now: of an adopted server
  /// that can be many. At once if nobody asked for the lines.
  boost::asio::awaitable<void> read_log();
  /// Returns the last `lines` lines of the log, oldest first, read from the files now.
  [[nodiscard]] std::vector<std::string> log_tail(int lines) const;

 private:
  class Impl;
  explicit Process(std::shared_ptr<Impl> impl);

  /// Shared with the coroutines that watch, so that these may end after the object.
  std::shared_ptr<Impl> impl_;
};

/// Returns the path of the keeper: BERTH_KEEPER, else `berth-keeper` beside the running program,
/// else in PATH. Errors: binary_missing, naming the path that was tried.
Result<std::string> keeper_binary();

}  // namespace berth::process
