// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/reads.h"

#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/gateway/errors.h"
#include "berth/gateway/models.h"
#include "berth/host/text.h"

namespace berth::gateway {
namespace {

boost::json::object model_object(const Context& context, std::string_view name) {
  boost::json::object model;
  model["id"] = name;
  model["object"] = "model";
  model["created"] =
      std::chrono::floor<std::chrono::seconds>(context.started_wall.time_since_epoch()).count();
  model["owned_by"] = "berth";
  return model;
}

/// Returns why the server answers nobody until somebody helps, if that is so.
std::optional<Error> hindrance(const core::Server& server) {
  if (server.wanted == core::Wanted::off) {
    return Error{ErrorCode::stopped_by_user,
                 fmt::format("\"{}\" was stopped by the user; start it with `berth start {}`",
                             server.config.name, server.config.name)};
  }
  if (server.state == core::ServerState::failed && server.failure) return server.failure;
  return std::nullopt;
}

}  // namespace

http::Response json_reply(std::string body, int status) {
  http::Response reply;
  reply.status = status;
  reply.headers.set("Content-Type", "application/json");
  reply.body = std::move(body);
  return reply;
}

http::Response models_reply(const Call& call) {
  if (call.fixed) {
    const auto known = call.host().adapter(*call.fixed).last_known(call.route().path);
    if (known) return json_reply(*known);
  }
  boost::json::array models;
  const auto& servers = call.host().config().servers;
  for (std::uint32_t i = 0; i < servers.size(); ++i) {
    if (call.fixed && call.fixed->value != i) continue;
    models.push_back(model_object(*call.context, servers[i].name));
  }
  boost::json::object list;
  list["object"] = "list";
  list["data"] = std::move(models);
  return json_reply(boost::json::serialize(list));
}

http::Response health_reply(const Call& call) {
  if (call.fixed) {
    const auto error = hindrance(call.host().state().server(*call.fixed));
    if (error) return error_reply(call.route().errors, *error);
  }
  if (!call.fixed || kind_of(call.host().config().servers.at(call.fixed->value)) != Serves::image) {
    return json_reply(R"({"status":"ok"})");
  }
  const core::Server& server = call.host().state().server(*call.fixed);
  const bool busy = !server.running.empty();
  const bool works = busy && server.state == core::ServerState::ready;
  boost::json::object object{
      {"status", "ok"}, {"busy", busy}, {"backend", works ? "busy" : host::name(server.state)}};
  return json_reply(boost::json::serialize(object));
}

http::Response last_known_reply(const Call& call) {
  const auto known = call.host().adapter(*call.fixed).last_known(call.route().path);
  if (known) return json_reply(*known);
  const std::string& name = call.host().config().servers.at(call.fixed->value).name;
  const Error error{ErrorCode::not_running,
                    fmt::format("\"{}\" has not answered {} yet; send it a request, or start it "
                                "with `berth start {}`, and ask again",
                                name, call.route().path, name)};
  return error_reply(call.route().errors, error);
}

}  // namespace berth::gateway
