// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "alive_watch.h"
#include "berth/process/keeper_files.h"
#include "berth/process/unique_fd.h"
#include "log_writer.h"

namespace berth::keeper {

/// Starts one server, keeps its output, reaps it and all its descendants, and says how it ended.
/// Works in the keeper's directory; one thread and one poll loop, besides the watch on the lock.
class Keeper {
 public:
  /// Does all of it. Returns when no descendant is left, with 0, or 1 if the server never ran.
  int run(int spec_file);

 private:
  bool start(int spec_file);
  bool read_spec(int spec_file);
  bool open_streams(process::UniqueFd& output);
  bool fail(int error_number, std::string_view what);
  void loop();
  void wait_for_events();
  [[nodiscard]] int timeout_ms() const;
  void handle_timeouts();
  void handle_signals();
  void handle_news();
  void reap();
  void drain_log();
  void stop();
  void kill_all();

  process::KeeperSpec spec_;
  LogWriter log_;
  AliveWatch alive_;
  process::UniqueFd output_;   ///< reading end of the server's stdout and stderr
  process::UniqueFd signals_;  ///< signalfd of SIGCHLD, SIGTERM, SIGINT
  pid_t server_ = 0;           ///< also the id of its session
  std::uint64_t server_start_time_ = 0;
  bool server_ended_ = false;
  bool childless_ = false;
  std::optional<std::int64_t> orphan_at_ms_;  ///< when the server is stopped if no Berth is back
  std::optional<std::int64_t> kill_at_ms_;    ///< set while it is being stopped
  bool killing_ = false;
};

}  // namespace berth::keeper
