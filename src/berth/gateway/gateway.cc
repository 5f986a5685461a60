// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/gateway.h"

#include <filesystem>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "berth/gateway/context.h"
#include "berth/gateway/control.h"
#include "berth/gateway/door.h"
#include "berth/gateway/errors.h"
#include "berth/gateway/footprints.h"
#include "berth/gateway/image_api.h"
#include "berth/gateway/jobs.h"
#include "berth/gateway/leases.h"
#include "berth/gateway/metrics.h"
#include "berth/gateway/models.h"
#include "berth/gateway/reads.h"
#include "berth/gateway/token.h"

namespace berth::gateway {
namespace {

/// Who asked before the doors were closed has an answer by then: the host refuses what comes now.
constexpr Duration kLastAnswers = 250ms;

/// A listening socket as its requests see it.
struct Place {
  std::shared_ptr<Context> context;
  Door door;
  std::optional<ServerId> server;  ///< of a front port
};

Target target_of(const Place& place, const http::Request& request, std::string_view path) {
  Serves behind = Serves::any;
  if (place.server) behind = kind_of(place.context->host.config().servers.at(place.server->value));
  return {place.door.entrance, behind, request.method, path};
}

Task<void> send(http::Exchange& exchange, http::Response reply) {
  // A client that left needs no answer.
  static_cast<void>(co_await exchange.respond(std::move(reply)));
}

Task<void> serve_route(Call call) {
  switch (call.route().act) {
    case Act::relay:
      co_await serve_job(call);
      break;
    case Act::models:
      co_await send(call.exchange, models_reply(call));
      break;
    case Act::health:
      co_await send(call.exchange, health_reply(call));
      break;
    case Act::last_known:
      co_await call.host().adapter(*call.fixed).look_again(std::string(call.route().path));
      co_await send(call.exchange, last_known_reply(call));
      break;
    case Act::status:
    case Act::explain:
    case Act::waits:
    case Act::logs:
    case Act::events:
    case Act::start:
    case Act::stop:
    case Act::clear_saved_state:
    case Act::pin:
    case Act::unpin:
    case Act::leases:
    case Act::shut_down:
    case Act::list_models:
    case Act::show_model:
    case Act::plan:
    case Act::would_need_offload:
    case Act::saved_state:
      co_await serve_control(call);
      break;
    case Act::footprints:
    case Act::forget_footprints:
      co_await send(call.exchange, footprints_reply(call));
      break;
    case Act::metrics:
      co_await serve_metrics(call);
      break;
    case Act::draw:
      co_await serve_draw(call);
      break;
    case Act::image_job:
    case Act::cancel_image:
    case Act::image_events:
      co_await serve_image_job(call);
      break;
    case Act::lease:
    case Act::hold:
      co_await serve_lease(call);
      break;
  }
}

/// Looks at the head, before the body is read: a stranger's body costs nothing.
std::optional<http::Response> refuse_stranger(const Place& place, const http::Request& head) {
  const Status admitted = admit(place.door, head);
  if (admitted) return std::nullopt;
  http::Response refusal = error_reply(ErrorForm::openai, admitted.error());
  if (admitted.error().code == ErrorCode::unauthorized) {
    refusal.headers.set("WWW-Authenticate", "Bearer realm=\"berth\"");
  }
  return refusal;
}

Task<void> serve(std::shared_ptr<const Place> place, http::Exchange& exchange) {
  const std::string path = exchange.request().path();
  const Target target = target_of(*place, exchange.request(), path);
  Result<Match> match = find_route(target);
  if (!match) {
    http::Response refusal = error_reply(ErrorForm::openai, match.error());
    if (match.error().code == ErrorCode::method_not_allowed) {
      refusal.headers.set("Allow", allowed_methods(target));
    }
    co_await send(exchange, std::move(refusal));
    co_return;
  }
  Call call{place->context, exchange, std::move(*match), place->server};
  co_await serve_route(std::move(call));
}

http::Handler handler_of(std::shared_ptr<const Place> place) {
  return [place = std::move(place)](http::Exchange& exchange) { return serve(place, exchange); };
}

http::ServerOptions options_of(std::shared_ptr<const Place> place, std::string taken_hint) {
  http::ServerOptions options;
  options.taken_hint = std::move(taken_hint);
  options.refuse_head = [place = std::move(place)](const http::Request& head) {
    return refuse_stranger(*place, head);
  };
  return options;
}

std::string taken_hint(std::string_view key) {
  return fmt::format("set `{}` to another port, or stop the other program", key);
}

}  // namespace

std::string control_socket(const std::string& state_dir) {
  return state_dir + "/control.sock";
}

Gateway::Gateway(std::shared_ptr<Context> context) : context_(std::move(context)) {}
Gateway::~Gateway() = default;

const std::string& Gateway::address() const {
  return context_->address;
}
std::uint16_t Gateway::port() const {
  return doors_.front()->port();
}

Task<Result<std::unique_ptr<Gateway>>> Gateway::start(Executor executor, host::Host& host,
                                                      GatewayOptions options) {
  auto context = std::make_shared<Context>(std::move(executor), host);
  context->on_shut_down = std::move(options.on_shut_down);
  context->progress_unit = options.progress_unit;
  std::unique_ptr<Gateway> gateway(new Gateway(std::move(context)));
  Status opened = gateway->make_private_folder();
  if (opened) opened = gateway->open_doors(std::move(options.parked));
  if (opened) opened = gateway->open_control();
  if (!opened) {
    co_await gateway->stop();
    co_return fail(opened.error());
  }
  co_return gateway;
}

namespace {

/// What is to be opened on a network address.
struct Plan {
  std::uint16_t port = 0;
  std::string key;  ///< of the configuration
  std::optional<ServerId> server;
};

std::vector<Plan> plans(const config::Config& config) {
  std::vector<Plan> all{{config.listen.port, "listen", std::nullopt}};
  for (std::uint32_t i = 0; i < config.servers.size(); ++i) {
    const config::ServerOptions& server = config.servers[i];
    if (!server.front_port) continue;
    all.push_back({*server.front_port, fmt::format("server.{}.port", server.name), ServerId{i}});
  }
  return all;
}

}  // namespace

Status Gateway::open_doors(ParkedDoors parked) {
  const config::Config& config = context_->host.config();
  const Result<std::string> token = load_token(config.state_dir);
  if (!token) return fail(token.error());
  std::vector<std::shared_ptr<Place>> places;
  std::vector<std::string> pages;
  for (const Plan& plan : plans(config)) {
    auto place = std::make_shared<Place>(Place{context_, {}, plan.server});
    Result<std::unique_ptr<http::Server>> server = http::Server::listen(
        context_->executor, http::Endpoint::tcp(config.listen.host, plan.port), handler_of(place),
        options_of(place, taken_hint(plan.key)), std::move(parked[plan.port]));
    if (!server) return fail(server.error());
    const std::uint16_t port = (*server)->port();
    place->door.entrance = plan.server ? Entrance::front : Entrance::main;
    place->door.hosts = own_hosts({config.listen.host, port});
    place->door.token = *token;
    place->door.is_open = is_loopback(config.listen);
    pages.insert(pages.end(), place->door.hosts.begin(), place->door.hosts.end());
    if (plan.server) context_->host.set_front_port(*plan.server, port);
    places.push_back(std::move(place));
    doors_.push_back(std::move(*server));
  }
  for (const auto& place : places)
    place->door.pages = pages;
  context_->address = "http://" + places.front()->door.hosts.front();
  return {};
}

Status Gateway::make_private_folder() {
  namespace fs = std::filesystem;
  const std::string& folder = context_->host.config().state_dir;
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (!failed) fs::permissions(folder, fs::perms::owner_all, failed);
  if (failed) {
    return fail(ErrorCode::io, fmt::format("cannot make {} private: {}; set `state` to a folder "
                                           "of your own",
                                           folder, failed.message()));
  }
  return {};
}

Status Gateway::open_control() {
  const std::string& folder = context_->host.config().state_dir;
  auto place = std::make_shared<Place>(Place{context_, {}, {}});
  place->door.entrance = Entrance::control;
  http::ServerOptions options;
  options.taken_hint = "another Berth uses this state directory; set `state` to another one";
  Result<std::unique_ptr<http::Server>> server =
      http::Server::listen(context_->executor, http::Endpoint::unix_socket(control_socket(folder)),
                           handler_of(place), std::move(options));
  if (!server) return fail(server.error());
  doors_.push_back(std::move(*server));
  return {};
}

void Gateway::cut_endless() {
  for (http::Exchange* const stream : context_->endless)
    stream->abort();
}

Task<ParkedDoors> Gateway::park() {
  ParkedDoors parked;
  for (const auto& door : doors_) {
    const std::uint16_t port = door->port();
    if (port != 0) parked[port] = door->park();
  }
  cut_endless();
  for (const auto& door : doors_) {
    if (door->port() != 0) co_await door->all_closed();
  }
  co_return parked;
}

Task<void> Gateway::stop() {
  for (const auto& door : doors_)
    door->stop_accepting();
  cut_endless();
  for (const auto& door : doors_)
    co_await door->all_closed_within(kLastAnswers);
  for (const auto& door : doors_)
    door->close_all();
  for (const auto& door : doors_)
    co_await door->all_closed();
  while (context_->jobs > 0) {
    context_->job_ended.reset();
    co_await context_->job_ended.wait();
  }
}

}  // namespace berth::gateway
