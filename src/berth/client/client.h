// SPDX-License-Identifier: Apache-2.0
// The C++ client of the control API.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "berth/base/result.h"
#include "berth/client/replies.h"
#include "berth/client/sse.h"
#include "berth/http/async.h"
#include "berth/http/client.h"

namespace berth::client {

/// The records of a Berth as they come.
class EventStream {
 public:
  explicit EventStream(std::unique_ptr<http::Call> call) : call_(std::move(call)) {}

  /// Waits for the next record; nothing after close().
  /// Errors: server_gone when Berth ends.
  Task<Result<std::optional<RecordInfo>>> next();
  void close();

 private:
  std::unique_ptr<http::Call> call_;
  SseReader reader_;
  std::vector<SseEvent> events_;  ///< read and not yet returned, newest first
  bool closed_ = false;
};

/// A lease or hold. It lives as long as the stream: close() gives it back.
class LeaseStream {
 public:
  explicit LeaseStream(std::unique_ptr<http::Call> call) : call_(std::move(call)) {}

  /// Waits for the next news: "waiting" perhaps, "granted", "revoked" or "refused", of which the
  /// last two are the end.
  /// Errors: server_gone when Berth ends; cancelled after close().
  Task<Result<LeaseNews>> next();
  void close() { call_->close(); }

 private:
  std::unique_ptr<http::Call> call_;
};

/// Speaks to the Berth that owns a state directory, over its control socket.
///
/// Replies are returned as the JSON text that was sent, for programs; replies.h reads them.
/// Errors: not_running with the next step if no Berth answers there; deadline if one does not say
///         in time what it can say at once; else what Berth says.
/// Ownership: it must outlive its tasks.
class Client {
 public:
  /// `answer_limit`: for what Berth answers at once, however much it has to do.
  Client(Executor executor, std::string state_dir, Duration answer_limit = 30s);

  [[nodiscard]] const Executor& executor() const { return executor_; }
  [[nodiscard]] const std::string& state_dir() const { return state_dir_; }

  Task<Result<std::string>> status();
  /// Both return when it is so, with the server's status.
  Task<Result<std::string>> start(std::string server);
  Task<Result<std::string>> stop(std::string server);
  /// As start(), but does not wait.
  Task<Result<std::string>> start_later(std::string server);
  Task<Result<std::string>> clear(std::string server);
  Task<Result<std::string>> pin(std::string server);
  Task<Result<std::string>> unpin(std::string server);
  Task<Result<std::string>> explain(int limit);
  Task<Result<std::string>> logs(std::string server, int lines);
  Task<Result<std::string>> would_need_offload(std::string newcomer);
  Task<Result<std::string>> saved_state(std::string server);
  Task<Result<std::string>> leases();
  Task<Result<std::string>> footprints();
  /// Of all servers if it is "". Returns what is known still.
  Task<Result<std::string>> forget_footprints(std::string server);
  /// `request.body`: the JSON of POST /api/v1/leases or /api/v1/holds; its headers may say who
  /// asks, and in which hold. Errors: also what is refused at once.
  Task<Result<std::unique_ptr<LeaseStream>>> lease(http::Request request);
  Task<Result<std::unique_ptr<LeaseStream>>> hold(http::Request request);
  /// Returns as soon as Berth has heard it.
  Task<Result<std::string>> shut_down();

  /// Returns the address for every client: "http://127.0.0.1:8700".
  Task<Result<std::string>> main_address();
  /// Records after that number; by default those that are yet to come.
  Task<Result<std::unique_ptr<EventStream>>> events(std::optional<std::uint64_t> after = {});

  /// Opens any request of the main address on the control socket, for streams.
  Task<Result<std::unique_ptr<http::Call>>> open(http::Request request);
  /// Sends any request of the main address and returns the whole reply, however long it takes.
  Task<Result<std::string>> ask(http::Request request);

 private:
  /// As ask(), but within answer_limit.
  Task<Result<std::string>> ask_at_once(std::string method, std::string target);
  Task<Result<std::string>> get(std::string target);
  Task<Result<std::string>> post(std::string target);
  /// Opens a stream. Errors: also what the reply says if its status is not 200.
  Task<Result<std::unique_ptr<http::Call>>> open_stream(http::Request request);
  Task<Result<std::unique_ptr<LeaseStream>>> claim(http::Request request);
  Error explained(Error error) const;
  [[nodiscard]] http::Endpoint door() const;

  Executor executor_;
  std::string state_dir_;
  Duration answer_limit_;
};

}  // namespace berth::client
