// SPDX-License-Identifier: Apache-2.0
// Private to the server: one client's connection.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "berth/base/result.h"
#include "berth/http/async.h"
#include "berth/http/parse.h"
#include "berth/http/server.h"
#include "berth/http/stream.h"

namespace berth::http {

/// Reads requests, one after another, and writes replies.
///
/// Two coroutines share it. The reader takes in bytes all the time, so that a client that leaves is
/// seen while the handler runs. The main one, serve(), takes requests from these bytes.
class Connection {
 public:
  Connection(Stream stream, const ServerOptions& options);

  /// Runs until the connection is closed.
  static Task<void> serve(std::shared_ptr<Connection> self, Handler handler);

  // What Exchange forwards to.
  Task<Status> respond(Response response);
  Task<Status> begin(ResponseHead head);
  Task<Status> write(std::string chunk);
  Task<Status> finish();
  void abort();
  Event& client_gone() { return gone_; }
  bool began() const { return reply_ != Reply::none; }
  bool open_ended() const { return reply_ == Reply::chunked || reply_ == Reply::until_close; }

  /// Ends after the reply that is under way; at once if none is.
  void drain();
  void close();

 private:
  enum class Reply : std::uint8_t { none, chunked, length, until_close, bodyless, done };
  using Clock = std::chrono::steady_clock;

  static Task<void> read_all(std::shared_ptr<Connection> self);
  /// Answers one request. Returns false if the connection must end.
  Task<bool> serve_one(const Handler& handler);

  /// Waits for bytes. Returns false if none came by then; see ended_.
  Task<bool> more(Clock::time_point deadline);

  // Each returns false if the connection must end; refusal_ is then what is still to be said.
  Task<bool> read_head(RequestParser& parser);
  Task<bool> read_body(RequestParser& parser);
  /// Returns false if the request is refused for its head alone.
  bool takes_head(const Message& message);
  Result<bool> advance(RequestParser& parser);
  void refuse(int status, Error error);
  void refuse_late();

  void start_reply(const RequestParser& parser);
  Task<bool> end_reply();
  Task<Status> send(std::string bytes);
  /// Gives up on a client that reads too slowly.
  Task<Status> send_in_time(std::string bytes);
  /// Notes that nothing can be sent any more. Returns what a call that writes answers then.
  Status lost();
  /// What the bytes take a client that is as slow as it may be.
  Duration time_for(std::uint64_t bytes) const;
  /// Keeps reading for a while, so that the last reply is not lost to a reset.
  Task<void> linger();

  Stream stream_;
  const ServerOptions options_;
  Buffer in_;
  bool ended_ = false;
  bool discards_ = false;
  bool drains_ = false;
  bool idle_ = true;
  bool is_fresh_ = true;  ///< no head was read; who has just connected is about to ask
  Clock::time_point first_request_by_;  ///< once it drains
  Event arrived_;
  Event room_;
  Event gone_;
  Event reader_ended_;
  std::optional<Response> refusal_;

  Reply reply_ = Reply::none;
  std::uint64_t length_left_ = 0;
  bool keep_alive_ = true;
  bool is_http_1_0_ = false;
  std::string method_;
};

}  // namespace berth::http
