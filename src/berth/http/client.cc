// SPDX-License-Identifier: Apache-2.0
#include "berth/http/client.h"

#include <algorithm>
#include <utility>

#include <boost/asio.hpp>

#include "berth/http/body.h"
#include "berth/http/parse.h"
#include "berth/http/stream.h"

namespace berth::http {

struct Call::Impl {
  Stream stream;
  std::string method;
  InputBuffer in;
  Framing framing;
  ChunkDecoder decoder;
  bool closed = false;
  std::optional<Error> write_error;
};

namespace {

using Piece = std::optional<std::string>;

/// Units: bytes.
constexpr std::size_t kReplyHeadMax = 64 << 10;
constexpr std::size_t kChunkMax = 16 << 20;
constexpr std::size_t kPieceMax = 64 << 10;

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

/// Reads more bytes. Returns false at the connection's end.
Task<Result<bool>> fill(std::shared_ptr<Call::Impl> call, std::string_view when) {
  if (call->closed) co_return fail(gone(*call, when));
  const Result<std::string> bytes = co_await call->stream.read_some();
  if (!bytes || call->closed) co_return fail(gone(*call, when));
  call->in.append(*bytes);
  co_return !bytes->empty();
}

/// Takes a final reply's head off the buffer; nothing if it has not arrived.
Result<std::optional<ReplyHead>> take_head(Call::Impl& call) {
  while (true) {
    const std::optional<std::size_t> length = head_length(call.in.view());
    if (length.value_or(call.in.size()) > kReplyHeadMax) {
      return fail(ErrorCode::upstream, "the head of the server's reply is too large");
    }
    if (!length) return std::optional<ReplyHead>();
    Result<ReplyHead> head = parse_reply_head(call.in.view().substr(0, *length), call.method);
    if (!head) return fail(head.error());
    call.in.consume(*length);
    if (head->head.status == 101) {
      return fail(ErrorCode::upstream, "the server switched to another protocol");
    }
    if (head->head.status >= 200) return std::optional<ReplyHead>(std::move(*head));
  }
}

Task<Result<ResponseHead>> read_head(std::shared_ptr<Call::Impl> call) {
  while (true) {
    Result<std::optional<ReplyHead>> head = take_head(*call);
    if (!head) co_return fail(head.error());
    if (*head) {
      call->framing = (*head)->framing;
      co_return std::move((*head)->head);
    }
    const Result<bool> more = co_await fill(call, "before its reply");
    if (!more) co_return fail(more.error());
    if (!*more) co_return fail(gone(*call, "before its reply"));
  }
}

Task<Result<Piece>> read_chunk(std::shared_ptr<Call::Impl> call) {
  std::string chunk;
  while (true) {
    const Result<ChunkDecoder::Step> step = call->decoder.decode(call->in, chunk, kChunkMax);
    if (!step) co_return fail(ErrorCode::upstream, step.error().message);
    if (*step == ChunkDecoder::Step::chunk_end) co_return Piece(std::move(chunk));
    if (*step == ChunkDecoder::Step::body_end) co_return Piece();
    const Result<bool> more = co_await fill(call, "in the middle of its reply");
    if (!more) co_return fail(more.error());
    if (!*more) co_return fail(gone(*call, "in the middle of its reply"));
  }
}

Piece take_arrived(Call::Impl& call, std::uint64_t limit) {
  const std::uint64_t count = std::min<std::uint64_t>({limit, call.in.size(), kPieceMax});
  std::string piece(call.in.view().substr(0, static_cast<std::size_t>(count)));
  call.in.consume(piece.size());
  return piece;
}

Task<Result<Piece>> read_with_length(std::shared_ptr<Call::Impl> call) {
  if (call->framing.length == 0) co_return Piece();
  if (call->in.empty()) {
    const Result<bool> more = co_await fill(call, "in the middle of its reply");
    if (!more) co_return fail(more.error());
    if (!*more) co_return fail(gone(*call, "in the middle of its reply"));
  }
  Piece piece = take_arrived(*call, call->framing.length);
  call->framing.length -= piece->size();
  co_return piece;
}

Task<Result<Piece>> read_until_close(std::shared_ptr<Call::Impl> call) {
  if (call->in.empty()) {
    const Result<bool> more = co_await fill(call, "in the middle of its reply");
    if (!more) co_return fail(more.error());
    if (!*more) co_return Piece();
  }
  co_return take_arrived(*call, kPieceMax);
}

Task<Result<Piece>> nothing() {
  co_return Piece();
}

Task<Result<Piece>> cancelled() {
  co_return fail(ErrorCode::cancelled, "the call was closed");
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
  std::string head = request_head_text(request);
  spawn(executor, write_request(impl, std::move(head), std::move(request.body)));
  co_return std::unique_ptr<Call>(new Call(std::move(impl)));
}

Task<Result<ResponseHead>> Call::head() {
  return read_head(impl_);
}

Task<Result<std::optional<std::string>>> Call::read() {
  if (impl_->closed) return cancelled();
  switch (impl_->framing.kind) {
    case BodyKind::none:
      return nothing();
    case BodyKind::length:
      return read_with_length(impl_);
    case BodyKind::chunked:
      return read_chunk(impl_);
    case BodyKind::until_close:
      return read_until_close(impl_);
  }
  return nothing();
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
