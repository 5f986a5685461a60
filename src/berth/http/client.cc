// SPDX-License-Identifier: Apache-2.0
#include "berth/http/client.h"

#include <utility>

#include <boost/asio.hpp>

#include "berth/http/parse.h"
#include "berth/http/stream.h"

namespace berth::http {

struct Call::Impl {
  Stream stream;
  std::string method;
  Buffer in;
  std::optional<ReplyParser> parser;  // Made anew for each interim reply.
  bool closed = false;
  std::optional<Error> write_error;
};

namespace {

using Piece = std::optional<std::string>;

/// Units: bytes.
constexpr std::size_t kChunkMax = 16 << 20;
/// llama-server sends about 8 fields; many more are not of an HTTP server of ours.
constexpr ParserLimits kReplyLimits{.head = 64 << 10, .fields = 256, .chunk = kChunkMax};

/// Gives the request the framing and the connection headers of our own.
void prepare(Request& request, const Endpoint& endpoint) {
  Headers& headers = request.headers;
  remove_hop_by_hop(headers);
  headers.remove("Expect");
  headers.remove("Content-Length");
  if (!headers.contains("Host")) {
    headers.add("Host", endpoint.is_unix() ? "localhost" : to_text(endpoint));
  }
  const bool may_have_body =
      request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (may_have_body || !request.body.empty()) {
    headers.add("Content-Length", std::to_string(request.body.size()));
  }
  headers.add("Connection", "close");
}

Task<void> write_request(std::shared_ptr<Call::Impl> call, std::string head, std::string body) {
  Status sent = co_await call->stream.write(std::move(head));
  if (sent && !body.empty()) sent = co_await call->stream.write(std::move(body));
  if (!sent) call->write_error = sent.error();
}

Error gone(const Call::Impl& call, std::string_view when) {
  if (call.closed) return {ErrorCode::cancelled, "the call was closed"};
  std::string message = "the server closed the connection " + std::string(when);
  if (call.write_error) message += " (" + call.write_error->message + ")";
  return {ErrorCode::server_gone, std::move(message)};
}

void begin_reply(Call::Impl& call) {
  call.parser.emplace(kReplyLimits);
  call.parser->skip(call.method == "HEAD");
}

/// Reads what arrived of the reply, or waits for more. At the connection's end the reply must be
/// complete.
Task<Status> read_on(std::shared_ptr<Call::Impl> call, std::string_view when) {
  if (call->closed) co_return fail(gone(*call, when));
  const Result<bool> advanced = call->parser->advance(call->in);
  if (!advanced) {
    co_return fail(ErrorCode::upstream,
                   "the server's reply is not HTTP: " + advanced.error().message);
  }
  if (*advanced) co_return Status();
  const Result<std::string> bytes = co_await call->stream.read_some();
  if (!bytes || call->closed) co_return fail(gone(*call, when));
  append(call->in, *bytes);
  if (!bytes->empty()) co_return Status();
  boost::system::error_code cut_off = boost::beast::http::error::partial_message;
  if (call->parser->got_some()) call->parser->put_eof(cut_off);
  if (cut_off) co_return fail(gone(*call, when));
  co_return Status();
}

Task<Result<ResponseHead>> read_head(std::shared_ptr<Call::Impl> call) {
  while (!call->parser->is_header_done()) {
    const Status advanced = co_await read_on(call, "before its reply");
    if (!advanced) co_return fail(advanced.error());
    const int status = call->parser->message().status;
    if (!call->parser->is_header_done() || status >= 200) continue;
    if (status == 101) {
      co_return fail(ErrorCode::upstream, "the server switched to another protocol");
    }
    begin_reply(*call);
  }
  Message& reply = call->parser->message();
  co_return ResponseHead{reply.status, std::move(reply.headers)};
}

Task<Result<Piece>> read_piece(std::shared_ptr<Call::Impl> call) {
  while (true) {
    if (call->closed) co_return fail(ErrorCode::cancelled, "the call was closed");
    Piece piece = call->parser->take_piece();
    if (piece || call->parser->is_done()) co_return piece;
    const Status advanced = co_await read_on(call, "in the middle of its reply");
    if (!advanced) co_return fail(advanced.error());
  }
}

}  // namespace

Call::Call(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Call::~Call() {
  close();
}

Task<Result<std::unique_ptr<Call>>> Call::open(Executor executor, Endpoint endpoint,
                                               Request request, Duration connect_limit) {
  Result<Stream> stream = co_await Stream::connect(endpoint, connect_limit);
  if (!stream) co_return fail(stream.error());
  prepare(request, endpoint);
  auto impl = std::make_shared<Impl>();
  impl->stream = std::move(*stream);
  impl->method = request.method;
  begin_reply(*impl);
  std::string head = request_head_text(request);
  spawn(executor, write_request(impl, std::move(head), std::move(request.body)));
  co_return std::unique_ptr<Call>(new Call(std::move(impl)));
}

Task<Result<ResponseHead>> Call::head() {
  return read_head(impl_);
}

Task<Result<std::optional<std::string>>> Call::read() {
  return read_piece(impl_);
}

void Call::close() {
  impl_->closed = true;
  impl_->stream.close();
}

namespace {

/// Closes the call when the time is over.
class CallTimer {
 public:
  CallTimer(const Executor& executor, std::shared_ptr<Call> call,
            std::chrono::steady_clock::time_point end)
      : timer_(executor), is_over_(std::make_shared<bool>(false)) {
    timer_.expires_at(end);
    timer_.async_wait([over = is_over_, call = std::move(call)](boost::system::error_code error) {
      if (error) return;
      *over = true;
      call->close();
    });
  }
  bool is_over() const { return *is_over_; }

 private:
  boost::asio::steady_timer timer_;
  std::shared_ptr<bool> is_over_;  // Shared with the handler, which runs even when it is cancelled.
};

Task<Result<Response>> read_response(std::shared_ptr<Call> call, std::size_t body_limit) {
  Result<ResponseHead> head = co_await call->head();
  if (!head) co_return fail(head.error());
  Response response{head->status, std::move(head->headers), ""};
  while (true) {
    const Result<Piece> piece = co_await call->read();
    if (!piece) co_return fail(piece.error());
    if (!*piece) co_return response;
    if ((*piece)->size() > body_limit - response.body.size()) {
      co_return fail(ErrorCode::too_large,
                     "the server's reply is larger than " + std::to_string(body_limit) + " bytes");
    }
    response.body.append(**piece);
  }
}

}  // namespace

Task<Result<Response>> fetch(Executor executor, Endpoint endpoint, Request request, Duration limit,
                             std::size_t body_limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  Result<std::unique_ptr<Call>> opened =
      co_await Call::open(executor, endpoint, std::move(request), limit);
  if (!opened) co_return fail(opened.error());
  // Shared with the timer's handler.
  const std::shared_ptr<Call> call = std::move(*opened);
  const CallTimer timer(executor, call, end);
  Result<Response> response = co_await read_response(call, body_limit);
  call->close();
  if (!response && timer.is_over()) {
    co_return fail(ErrorCode::deadline,
                   to_text(endpoint) + " did not answer in " + berth::to_text(limit));
  }
  co_return response;
}

}  // namespace berth::http
