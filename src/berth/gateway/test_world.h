// SPDX-License-Identifier: Apache-2.0
// For the tests of this folder: a gateway between real sockets, with a scripted host and server.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <stdlib.h>

#include "berth/gateway/fake_host.h"
#include "berth/gateway/gateway.h"
#include "berth/http/client.h"
#include "berth/http/server.h"
#include "berth/http/stream.h"

namespace berth::gateway {

inline constexpr ServerId kChat{0};
inline constexpr ServerId kImage{1};

/// One LLM and one image server, all on free ports.
inline config::Config test_config(const std::string& state_dir) {
  config::Config config;
  config.file = "berth.toml";
  config.listen.port = 0;
  config.state_dir = state_dir;
  config::ServerOptions chat{.name = "chat", .kind = config::LlamaOptions{}, .front_port = 0};
  config::ServerOptions image{.name = "image", .kind = config::SdOptions{}, .front_port = 0};
  config.servers = {chat, image};
  config.core.servers = {
      {.name = "chat", .job_class = core::ServerClass::chat},
      {.name = "image", .job_class = core::ServerClass::image},
  };
  return config;
}

class World {
 public:
  World() : host(test_config(make_folder())) {
    upstream_at = http::Endpoint::unix_socket(folder + "/upstream");
    host.fake_adapter(kChat).where = upstream_at;
    host.fake_adapter(kImage).where = upstream_at;
    auto listening =
        http::Server::listen(loop.executor(), upstream_at,
                             [this](http::Exchange& exchange) { return answer(this, &exchange); });
    upstream = std::move(*listening);
    host.keep_images(loop.executor(), folder);
    GatewayOptions options{.progress_unit = 100ms,
                           .on_shut_down = [this] { asked_to_shut_down.set(); }};
    auto started = run_on(loop, Gateway::start(loop.executor(), host, std::move(options)));
    gateway = std::move(*started);
  }
  ~World() {
    for (const auto& job : host.jobs)
      job->released.set();
    if (gateway) loop.run_until_done(gateway->stop());
    upstream->close_all();
    loop.run_until_done(upstream->all_closed());
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  http::Endpoint main() const { return http::Endpoint::tcp("127.0.0.1", gateway->port()); }
  http::Endpoint front(ServerId server) const {
    return http::Endpoint::tcp("127.0.0.1", host.front_ports.at(server));
  }
  http::Endpoint control() const { return http::Endpoint::unix_socket(folder + "/control.sock"); }

  /// Sends one request and returns the reply; a failure to get one has status 0.
  http::Response ask(const http::Endpoint& where, http::Request request) {
    auto reply = run_on(loop, http::fetch(loop.executor(), where, std::move(request), 20s));
    return reply ? *reply
                 : http::Response{.status = 0, .headers = {}, .body = reply.error().message};
  }
  http::Response get(const http::Endpoint& where, std::string target) {
    return ask(where, {.method = "GET", .target = std::move(target), .headers = {}, .body = ""});
  }
  http::Response post(const http::Endpoint& where, std::string target, std::string body) {
    return ask(
        where,
        {.method = "POST", .target = std::move(target), .headers = {}, .body = std::move(body)});
  }
  /// Starts a chat on a connection of its own.
  std::unique_ptr<http::Call> open_chat(std::string target = "/v1/chat/completions") {
    http::Request request{
        .method = "POST", .target = std::move(target), .headers = {}, .body = "{}"};
    auto call = run_on(loop, http::Call::open(loop.executor(), main(), std::move(request), 5s));
    return std::move(*call);
  }
  void wait(Event& event) { loop.run_until_done(event.wait()); }

  /// What the server behind does with a request; null: answers {"ok":true}.
  std::function<Task<void>(http::Exchange*)> behave;

  IoLoop loop;
  std::string folder;
  FakeHost host;
  http::Endpoint upstream_at;
  std::unique_ptr<http::Server> upstream;
  std::unique_ptr<Gateway> gateway;
  std::vector<http::Request> seen;
  Event upstream_asked;
  Event upstream_client_gone;
  Event asked_to_shut_down;
  Event go_on;  ///< for streams that pause

 private:
  std::string make_folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "berth-gw-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    return folder;
  }

  static Task<void> answer(World* world, http::Exchange* exchange) {
    world->seen.push_back(exchange->request());
    world->upstream_asked.set();
    if (world->behave) {
      co_await world->behave(exchange);
      co_return;
    }
    http::Response reply;
    reply.headers.set("Content-Type", "application/json");
    reply.headers.set("Access-Control-Allow-Origin", "http://evil.example");
    reply.body = R"({"ok":true})";
    const Status sent = co_await exchange->respond(std::move(reply));
    static_cast<void>(sent);
  }
};

}  // namespace berth::gateway
