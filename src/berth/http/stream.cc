// SPDX-License-Identifier: Apache-2.0
#include "berth/http/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <utility>
#include <vector>

#include "berth/http/socket.h"

namespace berth::http {
namespace {

namespace asio = boost::asio;
using asio::redirect_error;
using asio::use_awaitable;
using boost::system::error_code;
using Address = asio::generic::stream_protocol::endpoint;

/// A unix listener with a full queue refuses at once; cpp-httplib's queue holds 5.
constexpr Duration kFullQueuePause = std::chrono::milliseconds(5);

/// Closes a socket when the time is over. Lives in the frame of the coroutine that connects.
struct ConnectTimer {
  ConnectTimer(const Executor& executor, std::shared_ptr<Stream::Impl> stream, Duration limit)
      : timer(executor), is_over(std::make_shared<bool>(false)) {
    timer.expires_after(limit);
    timer.async_wait([over = is_over, stream = std::move(stream)](const error_code& error) {
      if (error) return;
      *over = true;
      error_code ignored;
      stream->socket.close(ignored);
    });
  }

  asio::steady_timer timer;
  std::shared_ptr<bool> is_over;  // Shared with the handler, which runs even when it is cancelled.
};

Task<Result<std::vector<Address>>> resolve(Endpoint endpoint) {
  std::vector<Address> addresses;
  if (endpoint.is_unix()) {
    const Status usable = check_unix_path(endpoint.unix_path);
    if (!usable) co_return fail(usable.error());
    addresses.emplace_back(asio::local::stream_protocol::endpoint(endpoint.unix_path));
    co_return addresses;
  }
  error_code failure;
  const asio::ip::address literal = asio::ip::make_address(endpoint.host, failure);
  if (!failure) {
    addresses.emplace_back(asio::ip::tcp::endpoint(literal, endpoint.port));
    co_return addresses;
  }
  const Executor executor = co_await asio::this_coro::executor;
  asio::ip::tcp::resolver resolver(executor);
  const std::string port = std::to_string(endpoint.port);
  const auto found =
      co_await resolver.async_resolve(endpoint.host, port, redirect_error(use_awaitable, failure));
  if (failure) {
    co_return fail(ErrorCode::server_gone,
                   "the host " + endpoint.host + " is not known: " + failure.message());
  }
  for (const auto& entry : found)
    addresses.emplace_back(entry.endpoint());
  co_return addresses;
}

/// True if the socket has a peer. A unix connect() with a full queue looks like success to Asio.
bool is_connected(const Socket& socket) {
  error_code failure;
  const Address peer = socket.remote_endpoint(failure);
  static_cast<void>(peer);
  return !failure;
}

Task<error_code> connect_to(std::shared_ptr<Stream::Impl> stream, Address address,
                            std::shared_ptr<bool> is_over) {
  error_code failure;
  while (true) {
    stream->socket.close(failure);
    failure = {};
    co_await stream->socket.async_connect(address, redirect_error(use_awaitable, failure));
    const bool queue_is_full = failure == asio::error::would_block ||
                               (!failure && !*is_over && !is_connected(stream->socket));
    if (!queue_is_full || *is_over) co_return failure;
    co_await delay(kFullQueuePause);
    if (*is_over) co_return failure;
  }
}

Task<Result<std::string>> read_from(std::shared_ptr<Stream::Impl> stream) {
  error_code failure;
  const std::size_t count = co_await stream->socket.async_read_some(
      asio::buffer(stream->arrived), redirect_error(use_awaitable, failure));
  if (failure == asio::error::eof) co_return std::string();
  if (!stream->socket.is_open()) co_return fail(ErrorCode::cancelled, "the connection was closed");
  if (failure) co_return fail(ErrorCode::io, "reading from the peer: " + failure.message());
  co_return std::string(stream->arrived.data(), count);
}

Task<Status> write_to(std::shared_ptr<Stream::Impl> stream, std::string bytes) {
  error_code failure;
  co_await asio::async_write(stream->socket, asio::buffer(bytes),
                             redirect_error(use_awaitable, failure));
  if (!failure) co_return Status();
  if (!stream->socket.is_open()) co_return fail(ErrorCode::cancelled, "the connection was closed");
  co_return fail(ErrorCode::io, "writing to the peer: " + failure.message());
}

void reset_socket(Socket& socket) {
  error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

Task<Status> write_in_time(std::shared_ptr<Stream::Impl> stream, std::string bytes,
                           Duration limit) {
  asio::steady_timer timer(stream->socket.get_executor(), limit);
  timer.async_wait([stream](const error_code& cancelled) {
    if (!cancelled) reset_socket(stream->socket);
  });
  const Status written = co_await write_to(stream, std::move(bytes));
  co_return written;
}

Task<Result<std::string>> closed_read() {
  co_return fail(ErrorCode::cancelled, "the connection was closed");
}

Task<Status> closed_write() {
  co_return fail(ErrorCode::cancelled, "the connection was closed");
}

}  // namespace

Status check_unix_path(const std::string& path) {
  if (path.size() < sizeof(sockaddr_un::sun_path)) return {};
  return fail(ErrorCode::bad_config, "the socket path " + path + " is longer than " +
                                         std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                                         " bytes; choose a shorter folder");
}

void set_tcp_options(Socket& socket) {
  error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
}

Stream::Stream(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    close();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Stream::~Stream() {
  close();
}

Task<Result<Stream>> Stream::connect(Endpoint endpoint, Duration limit) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto stream = std::make_shared<Impl>(Socket(executor));
  ConnectTimer timer(executor, stream, limit);
  Result<std::vector<Address>> addresses = co_await resolve(endpoint);
  if (!addresses) co_return fail(addresses.error());
  error_code failure = asio::error::host_not_found;
  for (const Address& address : *addresses) {
    if (*timer.is_over) break;
    failure = co_await connect_to(stream, address, timer.is_over);
    if (!failure) break;
  }
  timer.timer.cancel();
  if (*timer.is_over || (!failure && !stream->socket.is_open())) {
    co_return fail(ErrorCode::deadline,
                   to_text(endpoint) + " did not accept a connection in " + berth::to_text(limit));
  }
  if (failure) {
    co_return fail(ErrorCode::server_gone,
                   "cannot connect to " + to_text(endpoint) + ": " + failure.message());
  }
  if (!endpoint.is_unix()) set_tcp_options(stream->socket);
  // A program that we start later would keep the connection open for as long as it lives.
  ::fcntl(stream->socket.native_handle(), F_SETFD, FD_CLOEXEC);
  co_return Stream(stream);
}

Task<Result<std::string>> Stream::read_some() {
  return impl_ ? read_from(impl_) : closed_read();
}

Task<Status> Stream::write(std::string bytes) {
  return impl_ ? write_to(impl_, std::move(bytes)) : closed_write();
}

Task<Status> Stream::write(std::string bytes, Duration limit) {
  return impl_ ? write_in_time(impl_, std::move(bytes), limit) : closed_write();
}

void Stream::close_write() {
  error_code ignored;
  if (impl_) impl_->socket.shutdown(asio::socket_base::shutdown_send, ignored);
}

void Stream::close() {
  error_code ignored;
  if (impl_) impl_->socket.close(ignored);
}

void Stream::reset() {
  if (impl_) reset_socket(impl_->socket);
}

bool Stream::is_open() const {
  return impl_ && impl_->socket.is_open();
}

}  // namespace berth::http
