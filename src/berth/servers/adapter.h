// SPDX-License-Identifier: Apache-2.0
// The seam between the shell and a server kind: ten calls, one implementation per kind.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/ids.h"
#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/http/async.h"
#include "berth/http/message.h"
#include "berth/process/launch_spec.h"
#include "berth/process/process.h"

namespace berth::servers {

/// Where an adapter keeps what is the server's: all directories exist and have mode 0700.
struct Places {
  std::string servers_root;  ///< of the keepers: `<root>/<name>/<generation>/`
  std::string run_dir;       ///< sockets
  std::string saved_dir;     ///< what a stop saves and a start restores
  std::string alive_lock;
  Duration orphan_timeout{5min};  ///< from the end of Berth to the end of its servers
};

/// Tells the timeline about a step of a move, by the names of design section 8, with a sentence.
using StepSink = std::function<void(std::string_view step, std::string detail)>;

struct StartContext {
  Generation generation;
  process::LaunchSpec launch;
  Duration deadline{0};
  Event* abort = nullptr;  ///< set: give the start up, leave no process
};

struct Started {
  /// Nothing: there was no saved state.
  std::optional<bool> state_restored;
};

/// One request at the server, from before its first byte until the server works for it no more.
class Work {
 public:
  virtual ~Work() = default;
  /// Sees each piece of the reply's body.
  virtual void on_piece(std::string_view piece) = 0;
  /// Call it once, after the connection to the server was closed. Returns when the server has
  /// really stopped working for the request; at once if the reply was read to its end.
  virtual Task<void> ended(bool reply_complete) = 0;
  /// Returns whether the process that was asked has ended, waiting at most `limit` for the news: a
  /// connection breaks a moment before the exit is seen. By then the owner was told (on_exit).
  virtual Task<bool> server_died(Duration limit) = 0;
  /// Pulsed when the server says that a piece of work has ended, or is gone. Null: it never says.
  virtual Event* piece_ended() { return nullptr; }
  /// Ends the work at once by the end of the server, if the configuration wants that for what
  /// cannot be cancelled otherwise, and returns when it is gone. False: its end must be awaited.
  virtual Task<bool> interrupt() { co_return false; }
};

/// How a server's main process ended by itself.
struct Ending {
  std::string how;  ///< "exit code 1"; with the words that say so if it was for lack of memory
  bool out_of_memory = false;
};

/// What a picture is doing, read from the server's log.
struct Progress {
  std::string stage;  ///< "loading", "diffusion" or "decoding"
  std::int32_t step = 0;
  std::int32_t steps = 0;
};

/// One configured server. Threads: the strand. Every call except `abort` is made one at a time.
class Adapter {
 public:
  virtual ~Adapter() = default;

  /// Freezes the typed options into what is executed. Checks before anybody is put out: the binary
  /// runs, knows every option that is passed, and the model's file is there.
  /// Errors: binary_missing, option_unknown, model_missing; each names the thing and the next step.
  virtual Task<Result<process::LaunchSpec>> launch_spec() = 0;

  /// Spawns the server, waits until it serves, restores its saved state. One of that generation
  /// that lives, its models given back, just serves again.
  /// Errors: start_failed with the exit and the log's last lines, noticed at once; out_of_memory if
  ///   that is why it ended; deadline; superseded after an abort. No process is left after an
  ///   error.
  virtual Task<Result<Started>> start(StartContext context) = 0;

  /// Saves state if `keep` (else deletes it), then TERM, then KILL. There are no connections of
  /// ours. If the process is gone already, what is left of its session is killed.
  /// Errors: unkillable. A state that cannot be saved is said in a step, and is no error.
  virtual Task<Status> stop(bool keep, Duration deadline) = 0;

  /// Gives the models back while the process lives; start() of the same generation brings them in
  /// again. Only for servers of which can_free_models() is true. Nothing of ours runs there.
  /// Errors: whatever keeps it from that; the process is then of no use and is stopped.
  virtual Task<Status> free_models() {
    co_return fail(ErrorCode::conflict, "its models cannot be given back without it");
  }
  /// Meaningful while it lives.
  virtual bool can_free_models() const { return false; }

  /// Said before adopt(): the process of that generation may still do this work, by the server's
  /// own ids, for a job that outlived Berth. adopt() then does not wait for its end.
  virtual void expect_work(Generation, std::vector<std::string> /*ids*/) {}
  /// Returns whether the adopted server still names all the work that was expected of it.
  [[nodiscard]] virtual bool names_expected_work() const { return false; }

  /// Takes over the process of that generation and waits until it works for nobody any more.
  /// Errors: not_found; deadline if it does not answer (the process is then known and stop()
  /// works).
  virtual Task<Status> adopt(Generation generation, process::LaunchSpec launch) = 0;

  /// Where requests go. Meaningful while it serves.
  virtual http::Endpoint endpoint() const = 0;
  /// Turns a client's request into what this kind of server understands.
  virtual http::Request upstream_request(http::Request request) { return request; }
  /// A request is about to be sent there.
  virtual std::unique_ptr<Work> begin_work(const http::Request& request) = 0;

  /// The process of the newest generation, running or ended; null before the first start.
  virtual process::Process* process() = 0;

  /// The reply to a read (GET `path`) as it was when the server last got ready, or look_again()
  /// found it.
  virtual std::optional<std::string> last_known(std::string_view path) const = 0;
  /// Asks for a read whose reply changes, where the server serves and was not asked just now.
  virtual Task<void> look_again(std::string /*path*/) { co_return; }
  /// "kept", "not restorable (...)" or "" where the kind has no such state; for people.
  virtual std::string state_note() const = 0;

  /// Set by the owner before the first start.
  StepSink on_step;
  std::function<void(Progress)> on_progress;
  /// The main process of that generation ended by itself: not within start() or stop().
  std::function<void(Generation, Ending)> on_exit;
  /// The server of that generation must end, and is no failure: it works for nobody and cannot be
  /// told so.
  std::function<void(Generation, std::string why)> on_must_end;
};

}  // namespace berth::servers
