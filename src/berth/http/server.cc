// SPDX-License-Identifier: Apache-2.0
#include "berth/http/server.h"

#include <set>
#include <utility>

#include "berth/http/connection.h"
#include "berth/http/parse.h"
#include "berth/http/stream.h"

namespace berth::http {
namespace {

/// After a failed accept (out of descriptors), so that the loop does not spin.
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);

}  // namespace

Exchange::Exchange(Connection& connection, Request request)
    : connection_(connection), request_(std::move(request)) {}

Task<Status> Exchange::respond(Response response) {
  return connection_.respond(std::move(response));
}
Task<Status> Exchange::begin(ResponseHead head) {
  return connection_.begin(std::move(head));
}
Task<Status> Exchange::write(std::string chunk) {
  return connection_.write(std::move(chunk));
}
Task<Status> Exchange::finish() {
  return connection_.finish();
}
void Exchange::abort() {
  connection_.abort();
}
Event& Exchange::client_gone() {
  return connection_.client_gone();
}
bool Exchange::began() const {
  return connection_.began();
}
bool Exchange::open_ended() const {
  return connection_.open_ended();
}

struct Server::Impl {
  Impl(Executor where, Listener listening, Handler answer, ServerOptions limits)
      : executor(std::move(where)),
        listener(std::move(listening)),
        handler(std::move(answer)),
        options(std::move(limits)) {}

  static Task<void> accept_all(std::shared_ptr<Impl> self);
  static Task<void> run(std::shared_ptr<Impl> self, std::shared_ptr<Connection> connection);
  static void start(const std::shared_ptr<Impl>& self, Stream stream);

  Executor executor;
  Listener listener;
  Handler handler;
  ServerOptions options;
  // Shared with the coroutines of each connection, which end after close().
  std::set<std::shared_ptr<Connection>> connections;
  Event connection_ended;
};

namespace {

Task<void> turn_away(Stream stream) {
  Response busy = error_response({ErrorCode::queue_full, "too many connections are open"}, 1);
  busy.status = 503;
  busy.headers.set("Connection", "close");
  busy.headers.set("Content-Length", std::to_string(busy.body.size()));
  std::string bytes = response_head_text({busy.status, std::move(busy.headers)});
  bytes.append(busy.body);
  const Status sent = co_await stream.write(std::move(bytes));
  static_cast<void>(sent);  // Turned away either way.
}

}  // namespace

Task<void> Server::Impl::accept_all(std::shared_ptr<Impl> self) {
  while (true) {
    Result<Stream> stream = co_await self->listener.accept();
    if (stream) {
      start(self, std::move(*stream));
      continue;
    }
    if (stream.error().code == ErrorCode::cancelled) co_return;
    co_await delay(kAcceptPause);
  }
}

void Server::Impl::start(const std::shared_ptr<Impl>& self, Stream stream) {
  if (self->connections.size() >= self->options.connection_limit) {
    spawn(self->executor, turn_away(std::move(stream)));
    return;
  }
  auto connection = std::make_shared<Connection>(std::move(stream), self->options);
  self->connections.insert(connection);
  spawn(self->executor, run(self, std::move(connection)));
}

Task<void> Server::Impl::run(std::shared_ptr<Impl> self, std::shared_ptr<Connection> connection) {
  co_await Connection::serve(connection, self->handler);
  self->connections.erase(connection);
  self->connection_ended.set();
}

Server::Server(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  stop_accepting();
  close_all();
}

Result<std::unique_ptr<Server>> Server::listen(const Executor& executor, Endpoint endpoint,
                                               Handler handler, ServerOptions options,
                                               ParkedSocket parked) {
  Result<Listener> listener = Listener::listen(executor, {.endpoint = std::move(endpoint),
                                                          .parked = std::move(parked),
                                                          .taken_hint = options.taken_hint});
  if (!listener) return fail(listener.error());
  auto impl = std::make_shared<Impl>(executor, std::move(*listener), std::move(handler),
                                     std::move(options));
  spawn(executor, Impl::accept_all(impl));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

std::uint16_t Server::port() const {
  return impl_->listener.port();
}

std::size_t Server::connections() const {
  return impl_->connections.size();
}

void Server::stop_accepting() {
  impl_->listener.close();
  for (const std::shared_ptr<Connection>& connection : impl_->connections)
    connection->drain();
}

ParkedSocket Server::park() {
  ParkedSocket socket = impl_->listener.park();
  stop_accepting();
  return socket;
}

void Server::close_all() {
  for (const std::shared_ptr<Connection>& connection : impl_->connections)
    connection->close();
}

namespace {

Task<void> wait_until_empty(std::shared_ptr<Event> ended, std::function<bool()> is_empty) {
  while (!is_empty()) {
    ended->reset();
    co_await ended->wait();
  }
}

Task<void> wait_until_empty_or(std::chrono::steady_clock::time_point end,
                               std::shared_ptr<Event> ended, std::function<bool()> is_empty) {
  bool in_time = true;
  while (in_time && !is_empty()) {
    ended->reset();
    in_time = co_await ended->wait_for(end - std::chrono::steady_clock::now());
  }
}

}  // namespace

Task<void> Server::all_closed() {
  const auto impl = impl_;
  return wait_until_empty(std::shared_ptr<Event>(impl, &impl->connection_ended),
                          [impl] { return impl->connections.empty(); });
}

Task<void> Server::all_closed_within(Duration limit) {
  const auto impl = impl_;
  return wait_until_empty_or(std::chrono::steady_clock::now() + limit,
                             std::shared_ptr<Event>(impl, &impl->connection_ended),
                             [impl] { return impl->connections.empty(); });
}

}  // namespace berth::http
