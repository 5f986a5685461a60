// SPDX-License-Identifier: Apache-2.0
#include "berth/http/connection.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace berth::http {
namespace {

namespace beast = boost::beast;

/// Pipelined bytes that are taken in while a request is being answered.
constexpr std::size_t kReadAhead = 64 << 10;
/// How long a client may take to read the last reply and close.
constexpr Duration kLinger = std::chrono::seconds(2);

tl::unexpected<Error> misuse(std::string what) {
  return fail(ErrorCode::internal, std::move(what));
}

/// Replaces what only this connection may say.
void set_framing(Headers& headers, bool keep_alive) {
  remove_hop_by_hop(headers);
  if (!keep_alive) headers.set("Connection", "close");
}

/// True if replies with this status, or to this method, have no body whatever their headers say.
bool is_bodyless(std::string_view request_method, int status) {
  return request_method == "HEAD" || status / 100 == 1 || status == 204 || status == 304;
}

std::optional<std::uint64_t> content_length(const Headers& headers) {
  const std::optional<std::string_view> text = headers.get("Content-Length");
  if (!text) return std::nullopt;
  std::uint64_t length = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), length);
  if (parsed.ec != std::errc() || parsed.ptr != text->data() + text->size()) return std::nullopt;
  return length;
}

/// Beast reads nothing of a head that is too large, not even its first line.
int head_status(const Error& error, const Message& message, std::string_view unread) {
  if (error.code != ErrorCode::too_large) return 400;
  const bool is_long_line = message.method.empty() ? unread.find("\r\n") == std::string_view::npos
                                                   : message.target.empty();
  return is_long_line ? 414 : 431;
}

}  // namespace

Connection::Connection(Stream stream, const ServerOptions& options)
    : stream_(std::move(stream)), options_(options) {}

Task<void> Connection::serve(std::shared_ptr<Connection> self, Handler handler) {
  const Executor executor = co_await this_executor();
  spawn(executor, read_all(self));
  while (true) {
    const bool goes_on = co_await self->serve_one(handler);
    if (!goes_on) break;
  }
  if (self->refusal_) {
    self->keep_alive_ = false;
    self->reply_ = Reply::none;
    const Status told = co_await self->respond(std::move(*self->refusal_));
    static_cast<void>(told);  // Nobody is there to hear that it could not be sent.
  }
  co_await self->linger();
  self->close();
  co_await self->reader_ended_.wait();
}

Task<bool> Connection::serve_one(const Handler& handler) {
  const ParserLimits limits{.head = static_cast<std::uint32_t>(options_.head_limit),
                            .fields = options_.field_limit,
                            .target = options_.target_limit};
  RequestParser parser(limits);
  const bool has_head = co_await read_head(parser);
  if (!has_head) co_return false;
  start_reply(parser);
  if (!takes_head(parser.message())) co_return false;
  const bool is_complete = co_await read_body(parser);
  if (!is_complete) co_return false;
  Message& read = parser.message();
  Request request{std::move(read.method), std::move(read.target), std::move(read.headers),
                  std::move(read.body)};
  Exchange exchange(*this, std::move(request));
  co_await handler(exchange);
  const bool goes_on = co_await end_reply();
  co_return goes_on;
}

Task<void> Connection::read_all(std::shared_ptr<Connection> self) {
  while (true) {
    if (self->in_.size() >= kReadAhead && self->stream_.is_open()) {
      self->room_.reset();
      co_await self->room_.wait();
      continue;
    }
    const Result<std::string> bytes = co_await self->stream_.read_some();
    if (!bytes || bytes->empty()) break;
    if (!self->discards_) append(self->in_, *bytes);
    self->arrived_.set();
  }
  self->ended_ = true;
  self->arrived_.set();
  self->gone_.set();
  self->reader_ended_.set();
}

Task<bool> Connection::more(Clock::time_point deadline) {
  if (ended_) co_return false;
  arrived_.reset();
  const bool came = co_await arrived_.wait_for(deadline - Clock::now());
  co_return came && !ended_;
}

Result<bool> Connection::advance(RequestParser& parser) {
  Result<bool> advanced = parser.advance(in_);
  if (in_.size() < kReadAhead) room_.set();
  return advanced;
}

Task<bool> Connection::read_head(RequestParser& parser) {
  idle_ = true;
  method_.clear();
  Clock::time_point deadline = Clock::now() + options_.idle_timeout;
  while (true) {
    if (idle_ && in_.size() > 0) {
      idle_ = false;
      deadline = Clock::now() + options_.head_timeout;
    }
    const Result<bool> advanced = advance(parser);
    if (!advanced) {
      refuse(head_status(advanced.error(), parser.message(), view(in_)), advanced.error());
      co_return false;
    }
    if (parser.is_header_done()) {
      is_fresh_ = false;
      co_return true;
    }
    if (idle_ && drains_ && !is_fresh_) co_return false;
    if (idle_ && drains_) deadline = std::min(deadline, first_request_by_);
    const bool came = co_await more(deadline);
    if (came) continue;
    if (!ended_ && !idle_) refuse_late();
    co_return false;
  }
}

Task<bool> Connection::read_body(RequestParser& parser) {
  parser.body_limit(options_.body_limit);
  const Error over_limit{ErrorCode::too_large, "the request's body is larger than " +
                                                   std::to_string(options_.body_limit) + " bytes"};
  if (parser.content_length().value_or(0) > options_.body_limit) {
    refuse(413, over_limit);
    co_return false;
  }
  const Message& request = parser.message();
  const bool expects_continue = request.headers.contains("Expect") && !request.is_http_1_0;
  if (expects_continue && !parser.is_done() && in_.size() == 0) {
    const Status sent = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
    if (!sent) co_return false;
  }
  const Clock::time_point began = Clock::now();
  while (!parser.is_done()) {
    const Result<bool> advanced = advance(parser);
    if (!advanced) {
      const bool is_over = advanced.error().code == ErrorCode::too_large;
      refuse(http_status(advanced.error().code), is_over ? over_limit : advanced.error());
      co_return false;
    }
    if (*advanced) continue;
    const Clock::time_point last = began + options_.read_timeout + time_for(request.body.size());
    const bool came = co_await more(std::min(last, Clock::now() + options_.read_timeout));
    if (came) continue;
    if (!ended_) refuse_late();
    co_return false;
  }
  co_return true;
}

bool Connection::takes_head(const Message& message) {
  if (!options_.refuse_head) return true;
  refusal_ = options_.refuse_head({message.method, message.target, message.headers, ""});
  return !refusal_;
}

Duration Connection::time_for(std::uint64_t bytes) const {
  return std::chrono::seconds(bytes / options_.rate_min);
}

void Connection::refuse(int status, Error error) {
  refusal_ = error_response(error);
  refusal_->status = status;
}

void Connection::refuse_late() {
  refuse(408, {ErrorCode::deadline, "the request did not arrive in time"});
}

void Connection::start_reply(const RequestParser& parser) {
  reply_ = Reply::none;
  is_http_1_0_ = parser.message().is_http_1_0;
  keep_alive_ = parser.keep_alive() && !is_http_1_0_;
  method_ = parser.message().method;
}

Task<bool> Connection::end_reply() {
  if (reply_ == Reply::none) {
    const Error error{ErrorCode::internal, "the request was not answered"};
    const Status sent = co_await respond(error_response(error));
    if (!sent) co_return false;
  }
  if (reply_ != Reply::done) abort();
  co_return keep_alive_&& stream_.is_open();
}

Task<Status> Connection::respond(Response response) {
  if (reply_ != Reply::none) co_return misuse("the request was answered twice");
  keep_alive_ = keep_alive_ && !drains_;
  set_framing(response.headers, keep_alive_);
  const bool is_bodyless_reply = is_bodyless(method_, response.status);
  if (!is_bodyless_reply) {
    response.headers.set("Content-Length", std::to_string(response.body.size()));
  }
  std::string bytes = response_head_text({response.status, std::move(response.headers)});
  if (!is_bodyless_reply) bytes.append(response.body);
  reply_ = Reply::done;
  const Status sent = co_await send_in_time(std::move(bytes));
  co_return sent;
}

Task<Status> Connection::begin(ResponseHead head) {
  if (reply_ != Reply::none) co_return misuse("the request was answered twice");
  const std::optional<std::uint64_t> length = content_length(head.headers);
  if (is_bodyless(method_, head.status)) {
    reply_ = Reply::bodyless;
  } else if (length) {
    reply_ = Reply::length;
    length_left_ = *length;
  } else {
    reply_ = is_http_1_0_ ? Reply::until_close : Reply::chunked;
  }
  keep_alive_ = keep_alive_ && !drains_;
  set_framing(head.headers, keep_alive_);
  if (!length) head.headers.remove("Content-Length");
  if (reply_ == Reply::chunked) head.headers.set("Transfer-Encoding", "chunked");
  const Status sent = co_await send(response_head_text(head));
  co_return sent;
}

Task<Status> Connection::write(std::string chunk) {
  if (chunk.empty() || reply_ == Reply::bodyless) co_return Status();
  switch (reply_) {
    case Reply::none:
    case Reply::done:
    case Reply::bodyless:
      co_return misuse("a chunk is written outside of a stream");
    case Reply::length:
      if (chunk.size() > length_left_) co_return misuse("the reply is longer than it said");
      length_left_ -= chunk.size();
      break;
    case Reply::chunked:
      chunk = beast::buffers_to_string(beast::http::make_chunk(boost::asio::buffer(chunk)));
      break;
    case Reply::until_close:
      break;
  }
  if (reply_ == Reply::length) {
    const Status in_time = co_await send_in_time(std::move(chunk));
    co_return in_time;
  }
  const Status sent = co_await send(std::move(chunk));
  co_return sent;
}

Task<Status> Connection::finish() {
  if (reply_ == Reply::none || reply_ == Reply::done) co_return misuse("no stream is under way");
  if (reply_ == Reply::length && length_left_ > 0) {
    abort();
    co_return misuse("the reply is shorter than it said");
  }
  const bool is_chunked = reply_ == Reply::chunked;
  reply_ = Reply::done;
  if (!is_chunked) co_return Status();
  const Status sent = co_await send(beast::buffers_to_string(beast::http::make_chunk_last()));
  co_return sent;
}

void Connection::abort() {
  keep_alive_ = false;
  // Without chunks or length only a reset tells the client that more was to come.
  if (reply_ == Reply::until_close) stream_.reset();
  close();
}

void Connection::close() {
  stream_.close();
  room_.set();
}

Task<Status> Connection::send(std::string bytes) {
  const Status sent = co_await stream_.write(std::move(bytes));
  if (sent) co_return Status();
  co_return lost();
}

Task<Status> Connection::send_in_time(std::string bytes) {
  const Duration limit = options_.write_timeout + time_for(bytes.size());
  const Status sent = co_await stream_.write(std::move(bytes), limit);
  if (sent) co_return Status();
  co_return lost();
}

Status Connection::lost() {
  keep_alive_ = false;
  gone_.set();
  return fail(ErrorCode::cancelled, "the client is gone");
}

Task<void> Connection::linger() {
  if (!stream_.is_open()) co_return;
  stream_.close_write();
  discards_ = true;
  in_.clear();
  room_.set();
  co_await gone_.wait_for(kLinger);
}

void Connection::drain() {
  drains_ = true;
  first_request_by_ = Clock::now() + options_.first_request_grace;
  if (idle_ && !is_fresh_) close();
  arrived_.set();
}

}  // namespace berth::http
