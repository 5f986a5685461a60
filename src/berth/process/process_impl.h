// SPDX-License-Identifier: Apache-2.0
// The watching side of Process. Private to the folder.
#pragma once

#include <boost/asio.hpp>
#include <deque>
#include <optional>

#include "berth/process/directory_watches.h"
#include "berth/process/log_follower.h"
#include "berth/process/process.h"
#include "berth/process/unique_fd.h"

namespace berth::process {

/// State that the Process object shares with its coroutines. The coroutines keep it alive; stop()
/// makes them end. Everything runs on the strand of the executor.
class Process::Impl {
 public:
  using Executor = boost::asio::any_io_executor;
  using Pointer = std::shared_ptr<Impl>;

  Impl(Executor executor, std::string directory);

  // Setting up, in this order.
  /// Errors: not_found if the directory does not exist; io.
  Status watch_directory(const Pointer& self);
  void watch_keeper(const Pointer& self, UniqueFd keeper);
  /// Waits until the keeper has written who the server is.
  /// Errors: binary_missing if the server could not be executed; start_failed if the keeper is
  ///   gone; deadline; cancelled; io.
  static boost::asio::awaitable<Result<Identity>> await_identity(Pointer self);
  /// `server` may be empty: the process has ended already.
  void watch_server(const Pointer& self, Identity identity, UniqueFd server);

  /// Ends all coroutines. The server is not touched.
  void stop();

  static boost::asio::awaitable<ExitStatus> await_exit(Pointer self);
  [[nodiscard]] bool running() const;
  [[nodiscard]] int server_pidfd() { return server_.is_open() ? server_.native_handle() : -1; }
  [[nodiscard]] const Identity& identity() const { return identity_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  void skip_log() { log_.skip_to_end(); }
  void subscribe(const Pointer& self, LineFunction line);
  /// Reads the log to its end. Several may do so by turns; each line is told once.
  static boost::asio::awaitable<void> pump_log(Pointer self);

 private:
  using Descriptor = boost::asio::posix::stream_descriptor;

  static boost::asio::awaitable<void> follow_log(Pointer self);
  static boost::asio::awaitable<void> follow_keeper(Pointer self);
  static boost::asio::awaitable<void> follow_server(Pointer self);
  static boost::asio::awaitable<ExitStatus> await_exit_file(Pointer self);
  void call_subscribers(std::string_view line);

  Executor executor_;
  std::string directory_;
  Identity identity_;
  DirectoryWatches& watches_;
  std::optional<DirectoryWatches::Key> watch_;
  Descriptor keeper_;  ///< pidfds; closed if the process had gone before it could be opened
  mutable Descriptor server_;
  /// Never expires; cancelled whenever something in the directory or a process has changed.
  boost::asio::steady_timer changed_;
  LogFollower log_;
  std::deque<LineFunction> subscribers_;  ///< a deque: may grow while one of them is called
  bool log_is_complete_ = false;
  bool stopped_ = false;
  std::optional<ExitStatus> status_;
};

}  // namespace berth::process
