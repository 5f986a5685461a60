// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "berth/base/error.h"
#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/http/async.h"
#include "berth/http/message.h"
#include "berth/http/stream.h"

namespace berth::http {

class Connection;

/// One request and its reply, while the handler runs. The request is complete, body included.
///
/// A reply is either respond(), or begin(), any number of write(), finish().
/// Errors: a call that writes returns `cancelled` if the client is gone, `internal` if it comes out
/// of order.
class Exchange {
 public:
  Exchange(Connection& connection, Request request);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// Not const, so that the body can be moved out.
  Request& request() { return request_; }
  const Request& request() const { return request_; }

  /// Sends the whole reply, with Content-Length.
  Task<Status> respond(Response response);

  /// Sends the head of a streamed reply at once. With a Content-Length in the head exactly that
  /// many bytes must follow; without, the body is chunked (for HTTP/1.0: ends with the connection).
  Task<Status> begin(ResponseHead head);
  /// Sends exactly one chunk, at once; "" sends nothing.
  Task<Status> write(std::string chunk);
  /// Ends the stream cleanly. Errors: `internal` if bytes of the Content-Length are missing; the
  /// connection is then closed as by abort().
  Task<Status> finish();

  /// Closes the connection without a clean end: the client sees a truncated reply.
  void abort();

  /// Set as soon as the client closes or half-closes its side. Not seen while more than 64 KiB of
  /// pipelined requests wait unread.
  Event& client_gone();
  /// True once a reply was begun: it is too late for another status.
  bool began() const;
  /// True if the stream that was begun can carry further text: no Content-Length, not HEAD.
  bool open_ended() const;

 private:
  Connection& connection_;
  Request request_;
};

/// Answers one request. If it returns without an answer, the client gets a 500; if it returns in
/// the middle of a stream, the connection is aborted.
using Handler = std::function<Task<void>(Exchange&)>;

struct ServerOptions {
  /// Units: bytes, for the request line and all headers.
  std::size_t head_limit = 16 << 10;
  std::size_t field_limit = 100;
  /// Units: bytes, for the target of the request line.
  std::size_t target_limit = 8 << 10;
  /// Units: bytes.
  std::size_t body_limit = 32 << 20;
  /// From the first byte of a request to the end of its head.
  Duration head_timeout = std::chrono::seconds(10);
  /// Between two reads of the body; and what the whole body may take beside its time at rate_min.
  Duration read_timeout = std::chrono::seconds(30);
  /// What a client may take to read a reply of known length beside its time at rate_min. A stream
  /// is as slow as its client wants.
  Duration write_timeout = std::chrono::seconds(60);
  /// Units: bytes per second. Who is slower for long only keeps a connection busy.
  std::uint64_t rate_min = 4 << 10;
  /// Without any byte, between requests.
  Duration idle_timeout = std::chrono::seconds(60);
  /// What who has just connected may take to ask, once the server takes no more.
  Duration first_request_grace = std::chrono::seconds(1);
  /// More connections than this are answered with 503.
  std::size_t connection_limit = 1024;
  /// Looks at a head before the body is read. A reply is sent, and the connection closed: the body
  /// is never read. Null: every head is taken.
  std::function<std::optional<Response>(const Request&)> refuse_head;
  /// See ListenOptions.
  std::string taken_hint = "choose another one or stop the other program";
};

/// An HTTP/1.1 server on one endpoint. It is strict about framing: what two parsers could
/// read in two ways is refused with 400 and the connection closed.
///
/// Ownership: what the handler uses must outlive its last call; see all_closed().
class Server {
 public:
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Listens and starts to accept. Errors: as Listener::listen().
  /// `parked`: the socket of the server that was there before, if there was one.
  static Result<std::unique_ptr<Server>> listen(const Executor& executor, Endpoint endpoint,
                                                Handler handler, ServerOptions options = {},
                                                ParkedSocket parked = {});

  /// Returns the TCP port, 0 for a unix socket.
  std::uint16_t port() const;
  std::size_t connections() const;
  /// Closes the listening socket and idle connections; requests under way are answered.
  void stop_accepting();
  /// The same, but who connects from now on waits for a server that takes the socket up.
  ParkedSocket park();
  /// Closes every connection at once; handlers see client_gone().
  void close_all();
  /// Waits until no connection is left, so no handler runs. After a last reply a client is given up
  /// to 2 s to close its side.
  Task<void> all_closed();
  /// The same, for at most `limit`.
  Task<void> all_closed_within(Duration limit);

 private:
  struct Impl;
  explicit Server(std::shared_ptr<Impl> impl);
  // Shared with the connections, which end after close_all().
  std::shared_ptr<Impl> impl_;
};

/// Returns OpenAI's error envelope:
/// `{"error":{"code":"queue_full","message":"...","type":"unavailable_error"}}`
/// with the status of the code, and Retry-After if given.
Response error_response(const Error& error,
                        std::optional<std::int64_t> retry_after_seconds = std::nullopt);

/// Returns the `type` of the envelope: invalid_request_error, server_error or unavailable_error.
std::string_view error_type(ErrorCode code);

}  // namespace berth::http
