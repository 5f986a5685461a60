// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "berth/http/socket.h"
#include "berth/http/stream.h"

namespace berth::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Address = asio::generic::stream_protocol::endpoint;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

constexpr mode_t kSocketMode = 0600;

}  // namespace

struct Listener::Impl {
  Impl(const Executor& executor, Endpoint where) : acceptor(executor), endpoint(std::move(where)) {}

  Acceptor acceptor;
  Endpoint endpoint;
  std::uint16_t port = 0;
  // The file we made; another program may have put its own in place since.
  ino_t inode = 0;
};

namespace {

tl::unexpected<Error> taken(const ListenOptions& options, const std::string& why) {
  return fail(ErrorCode::port_taken, why + "; " + options.taken_hint);
}

/// What is at the path of a unix socket.
enum class Occupant { nobody, stale_socket, live_server, other_file };

Occupant occupant_of(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return Occupant::nobody;
  if (!S_ISSOCK(found.st_mode)) return Occupant::other_file;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int answered =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  // A full queue (EAGAIN) and a socket that is not ours to open (EACCES) have an owner, too.
  const bool is_refused = answered != 0 && errno == ECONNREFUSED;
  ::close(probe);
  return is_refused ? Occupant::stale_socket : Occupant::live_server;
}

Status make_room(const ListenOptions& options) {
  const std::string& path = options.endpoint.unix_path;
  switch (occupant_of(path)) {
    case Occupant::nobody:
      return {};
    case Occupant::stale_socket:
      ::unlink(path.c_str());
      return {};
    case Occupant::live_server:
      return taken(options, "another program listens on " + path);
    case Occupant::other_file:
      return fail(ErrorCode::port_taken,
                  path + " exists and is no socket; move it away, then try again");
  }
  return {};
}

Result<Address> tcp_address(const Endpoint& endpoint) {
  error_code failure;
  const std::string host = endpoint.host == "localhost" ? "127.0.0.1" : endpoint.host;
  const asio::ip::address literal = asio::ip::make_address(host, failure);
  if (failure) {
    return fail(ErrorCode::bad_config,
                "cannot listen on \"" + endpoint.host + "\"; write an IP address or localhost");
  }
  return Address(asio::ip::tcp::endpoint(literal, endpoint.port));
}

Result<Address> address_of(const ListenOptions& options) {
  if (!options.endpoint.is_unix()) return tcp_address(options.endpoint);
  const Status usable = check_unix_path(options.endpoint.unix_path);
  if (!usable) return fail(usable.error());
  const Status room = make_room(options);
  if (!room) return fail(room.error());
  return Address(asio::local::stream_protocol::endpoint(options.endpoint.unix_path));
}

/// Opens, binds and listens. The first failure ends it.
error_code open_acceptor(Listener::Impl& listener, const Address& address, ParkedSocket parked) {
  error_code failure;
  if (parked) {
    listener.acceptor.assign(address.protocol(), parked.release(), failure);
    return failure;
  }
  listener.acceptor.open(address.protocol(), failure);
  if (failure) return failure;
  if (listener.endpoint.is_unix()) {
    // The file takes the mode of the socket: at no time may others open it.
    ::fchmod(listener.acceptor.native_handle(), kSocketMode);
  } else {
    listener.acceptor.set_option(asio::socket_base::reuse_address(true), failure);
  }
  if (!failure) listener.acceptor.bind(address, failure);
  if (!failure) listener.acceptor.listen(asio::socket_base::max_listen_connections, failure);
  return failure;
}

/// Notes what the kernel chose: the port, or the file.
void note_bound(Listener::Impl& listener) {
  if (listener.endpoint.is_unix()) {
    struct stat made {};
    if (::stat(listener.endpoint.unix_path.c_str(), &made) == 0) listener.inode = made.st_ino;
    return;
  }
  error_code ignored;
  const Address bound = listener.acceptor.local_endpoint(ignored);
  asio::ip::tcp::endpoint tcp;
  if (bound.size() > tcp.capacity()) return;
  std::memcpy(tcp.data(), bound.data(), bound.size());
  listener.port = tcp.port();
}

tl::unexpected<Error> explain(const ListenOptions& options, const error_code& failure) {
  const Endpoint& endpoint = options.endpoint;
  const std::string where = endpoint.is_unix()
                                ? endpoint.unix_path
                                : "port " + std::to_string(endpoint.port) + " of " + endpoint.host;
  if (failure == asio::error::address_in_use) return taken(options, where + " is taken");
  if (failure.value() == EADDRNOTAVAIL) {
    return fail(ErrorCode::bad_config, "this machine has no address " + endpoint.host);
  }
  return fail(ErrorCode::io, "cannot listen on " + where + ": " + failure.message());
}

Task<Result<Stream>> accept_from(std::shared_ptr<Listener::Impl> listener) {
  error_code failure;
  Socket socket =
      co_await listener->acceptor.async_accept(asio::redirect_error(asio::use_awaitable, failure));
  if (!listener->acceptor.is_open())
    co_return fail(ErrorCode::cancelled, "the listener was closed");
  if (failure) co_return fail(ErrorCode::io, "accepting a connection: " + failure.message());
  if (!listener->endpoint.is_unix()) set_tcp_options(socket);
  co_return Stream(std::make_shared<Stream::Impl>(std::move(socket)));
}

}  // namespace

ParkedSocket& ParkedSocket::operator=(ParkedSocket&& other) noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = other.release();
  return *this;
}

ParkedSocket::~ParkedSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this != &other) {
    close();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Listener::~Listener() {
  close();
}

Result<Listener> Listener::listen(const Executor& executor, ListenOptions options) {
  const Result<Address> address = address_of(options);
  if (!address) return fail(address.error());
  auto impl = std::make_shared<Impl>(executor, options.endpoint);
  const error_code failure = open_acceptor(*impl, *address, std::move(options.parked));
  if (failure) return explain(options, failure);
  note_bound(*impl);
  return Listener(std::move(impl));
}

Task<Result<Stream>> Listener::accept() {
  return accept_from(impl_);
}

std::uint16_t Listener::port() const {
  return impl_->port;
}

ParkedSocket Listener::park() {
  if (!impl_->acceptor.is_open() || impl_->endpoint.is_unix()) return {};
  error_code failure;
  const int descriptor = impl_->acceptor.release(failure);
  return failure ? ParkedSocket() : ParkedSocket(descriptor);
}

void Listener::close() {
  if (!impl_ || !impl_->acceptor.is_open()) return;
  error_code ignored;
  impl_->acceptor.close(ignored);
  if (impl_->inode == 0) return;
  const char* path = impl_->endpoint.unix_path.c_str();
  struct stat now {};
  if (::stat(path, &now) == 0 && now.st_ino == impl_->inode) ::unlink(path);
}

}  // namespace berth::http
