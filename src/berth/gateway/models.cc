// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/models.h"

#include <string>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/json.hpp>

#include "berth/gateway/body.h"

namespace berth::gateway {
namespace {

std::vector<ServerId> servers_of(const config::Config& config, Serves kind) {
  std::vector<ServerId> found;
  for (std::uint32_t i = 0; i < config.servers.size(); ++i) {
    if (kind == Serves::any || kind_of(config.servers[i]) == kind) found.push_back(ServerId{i});
  }
  return found;
}

std::string names_of(const config::Config& config, const std::vector<ServerId>& servers) {
  std::vector<std::string> names;
  for (const ServerId server : servers) {
    names.push_back(fmt::format("\"{}\"", config.servers[server.value].name));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string_view noun(Serves kind) {
  switch (kind) {
    case Serves::any:
      return "server";
    case Serves::llm:
      return "LLM server";
    case Serves::image:
      return "image server";
  }
  return "";
}

/// Returns the value of "model", "" if there is none.
Result<std::string> model_in(std::string_view body) {
  const auto object = object_in(body);
  if (!object) return fail(object.error());
  const boost::json::value* model = object->if_contains("model");
  if (model == nullptr || model->is_null()) return std::string();
  if (!model->is_string()) return fail(ErrorCode::bad_request, "\"model\" must be a string");
  return std::string(model->get_string());
}

Result<ServerId> only_one(const config::Config& config, const std::vector<ServerId>& servers,
                          Serves kind) {
  if (servers.size() == 1) return servers.front();
  return fail(ErrorCode::bad_request,
              fmt::format("the body names no \"model\" and there is more than one {}; name one of "
                          "{}",
                          noun(kind), names_of(config, servers)));
}

Result<ServerId> with_name(const config::Config& config, const std::vector<ServerId>& servers,
                           std::string_view name) {
  for (const ServerId server : servers) {
    if (config.servers[server.value].name == name) return server;
  }
  return fail(ErrorCode::not_found, fmt::format("there is no model \"{}\" for this; known: {}",
                                                name, names_of(config, servers)));
}

}  // namespace

Serves kind_of(const config::ServerOptions& server) {
  return std::holds_alternative<config::SdOptions>(server.kind) ? Serves::image : Serves::llm;
}

Result<ServerId> server_for(const config::Config& config, const Route& route,
                            std::string_view body) {
  const Result<std::string> model = model_in(body);
  if (!model) return fail(model.error());
  const std::vector<ServerId> servers = servers_of(config, route.serves);
  if (servers.empty()) {
    return fail(ErrorCode::not_found,
                fmt::format("no {} is configured for {}; add a section [server.NAME] to {}",
                            noun(route.serves), route.path, config.file));
  }
  if (model->empty()) return only_one(config, servers, route.serves);
  return with_name(config, servers, *model);
}

Result<ServerId> server_named(const config::Config& config, std::string_view name) {
  const std::vector<ServerId> servers = servers_of(config, Serves::any);
  for (const ServerId server : servers) {
    if (config.servers[server.value].name == name) return server;
  }
  return fail(ErrorCode::not_found,
              fmt::format("there is no server \"{}\"; known: {}", name, names_of(config, servers)));
}

}  // namespace berth::gateway
