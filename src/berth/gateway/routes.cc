// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/routes.h"

#include <array>
#include <optional>

#include <fmt/format.h>

namespace berth::gateway {
namespace {

constexpr Entrances kClients{.main = true, .front = true, .control = true};
constexpr Entrances kFrontPort{.front = true};
constexpr Entrances kReaders{.main = true, .control = true};
/// Changes of the state: their owner has the control socket, or the token.
constexpr Entrances kOwner{.main = true, .control = true, .needs_token = true};

/// A job of an LLM server.
constexpr Route llm(std::string_view path, ErrorForm errors = ErrorForm::openai) {
  return {"POST", path, Act::relay, kClients, Serves::llm, ModelAt::body, errors};
}

constexpr Route image(std::string_view method, std::string_view path, Act act,
                      Entrances entrances) {
  const ModelAt model = act == Act::relay ? ModelAt::body : ModelAt::none;
  return {method, path, act, entrances, Serves::image, model, ErrorForm::openai};
}

constexpr Route read(std::string_view path, Act act, Entrances entrances,
                     Serves serves = Serves::any) {
  return {"GET", path, act, entrances, serves, ModelAt::none, ErrorForm::openai};
}

constexpr Route named(std::string_view method, std::string_view path, Act act,
                      Entrances entrances) {
  return {method, path, act, entrances, Serves::any, ModelAt::path, ErrorForm::openai};
}

/// A question whose body is too long for a query: it changes nothing.
constexpr Route asked(std::string_view path, Act act) {
  return {"POST", path, act, kReaders, Serves::any, ModelAt::none, ErrorForm::openai};
}

constexpr Route owned(std::string_view path, Act act) {
  return {"POST", path, act, kOwner, Serves::any, ModelAt::none, ErrorForm::openai};
}

constexpr std::array kRoutes{
    llm("/v1/chat/completions"),
    llm("/v1/completions"),
    llm("/v1/responses", ErrorForm::responses),
    llm("/v1/messages", ErrorForm::anthropic),
    llm("/v1/messages/count_tokens", ErrorForm::anthropic),
    llm("/v1/embeddings"),
    llm("/v1/rerank"),
    llm("/chat/completions"),
    llm("/completions"),
    llm("/completion"),
    llm("/infill"),
    llm("/tokenize"),
    llm("/detokenize"),
    llm("/apply-template"),
    image("POST", "/v1/images/generations", Act::relay, kReaders),
    image("POST", "/v1/images/generations", Act::draw, kFrontPort),
    image("GET", "/v1/images/generations/{id}", Act::image_job, kFrontPort),
    image("DELETE", "/v1/images/generations/{id}", Act::cancel_image, kFrontPort),
    image("POST", "/sdapi/v1/txt2img", Act::relay, kClients),
    read("/v1/models", Act::models, kClients),
    read("/health", Act::health, kClients),
    read("/props", Act::last_known, kFrontPort, Serves::llm),
    read("/slots", Act::last_known, kFrontPort, Serves::llm),
    read("/metrics", Act::metrics, kReaders),
    read("/api/v1/models", Act::list_models, kReaders),
    read("/api/v1/models/show", Act::show_model, kReaders),
    read("/api/v1/plan", Act::plan, kReaders),
    asked("/api/v1/plan", Act::plan),
    read("/api/v1/status", Act::status, kReaders),
    read("/api/v1/explain", Act::explain, kReaders),
    read("/api/v1/events", Act::events, kReaders),
    read("/api/v1/waits", Act::waits, kReaders),
    read("/api/v1/leases", Act::leases, kReaders),
    named("GET", "/api/v1/servers/{name}/logs", Act::logs, kReaders),
    named("GET", "/api/v1/servers/{name}/would-need-offload", Act::would_need_offload, kReaders),
    named("GET", "/api/v1/servers/{name}/saved-state", Act::saved_state, kReaders),
    named("POST", "/api/v1/servers/{name}/start", Act::start, kOwner),
    named("POST", "/api/v1/servers/{name}/stop", Act::stop, kOwner),
    named("POST", "/api/v1/servers/{name}/clear-saved-state", Act::clear_saved_state, kOwner),
    named("POST", "/api/v1/servers/{name}/pin", Act::pin, kOwner),
    named("POST", "/api/v1/servers/{name}/unpin", Act::unpin, kOwner),
    read("/api/v1/footprints", Act::footprints, kReaders),
    owned("/api/v1/footprints/forget", Act::forget_footprints),
    named("POST", "/api/v1/servers/{name}/images", Act::draw, kReaders),
    image("GET", "/api/v1/images/{id}", Act::image_job, kReaders),
    image("DELETE", "/api/v1/images/{id}", Act::cancel_image, kReaders),
    image("GET", "/api/v1/images/{id}/events", Act::image_events, kReaders),
    owned("/api/v1/leases", Act::lease),
    owned("/api/v1/holds", Act::hold),
    owned("/api/v1/shutdown", Act::shut_down),
};

/// Returns what stands for `{name}` or `{id}`, "" for a path without one; nothing if the path is
/// another.
std::optional<std::string_view> fit(const Route& route, std::string_view path) {
  const std::size_t at = route.path.find('{');
  if (at == std::string_view::npos) {
    if (path != route.path) return std::nullopt;
    return "";
  }
  const std::string_view before = route.path.substr(0, at);
  const std::string_view after = route.path.substr(route.path.find('}') + 1);
  if (path.size() <= before.size() + after.size()) return std::nullopt;
  if (!path.starts_with(before) || !path.ends_with(after)) return std::nullopt;
  const std::string_view name =
      path.substr(before.size(), path.size() - before.size() - after.size());
  if (name.find('/') != std::string_view::npos) return std::nullopt;
  return name;
}

bool exists_at(const Route& route, const Target& target) {
  if (!route.entrances.has(target.entrance)) return false;
  if (target.entrance != Entrance::front) return true;
  return route.serves == Serves::any || route.serves == target.behind;
}

bool takes(const Route& route, std::string_view method) {
  return route.method == method || (route.method == "GET" && method == "HEAD");
}

std::string routes_at(const Target& target) {
  std::string text;
  for (const Route& route : kRoutes) {
    if (!exists_at(route, target)) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}", route.method, route.path);
  }
  return text;
}

}  // namespace

std::span<const Route> routes() {
  return kRoutes;
}

Result<Match> find_route(const Target& target) {
  bool path_exists = false;
  for (const Route& route : kRoutes) {
    const std::optional<std::string_view> name = fit(route, target.path);
    if (!name) continue;
    if (!exists_at(route, target)) continue;
    if (takes(route, target.method)) return Match{&route, std::string(*name)};
    path_exists = true;
  }
  if (path_exists) {
    return fail(ErrorCode::method_not_allowed,
                fmt::format("{} does not take {}; use {}", target.path, target.method,
                            allowed_methods(target)));
  }
  return fail(ErrorCode::not_found,
              fmt::format("there is no route {}; here are: {}", target.path, routes_at(target)));
}

bool changes_state(const Target& target) {
  const Result<Match> match = find_route(target);
  return match && match->route->entrances.needs_token && target.entrance != Entrance::control;
}

std::string allowed_methods(const Target& target) {
  std::string text;
  for (const Route& route : kRoutes) {
    if (!exists_at(route, target) || !fit(route, target.path)) continue;
    if (!text.empty()) text += ", ";
    text += route.method == "GET" ? "GET, HEAD" : std::string(route.method);
  }
  return text;
}

}  // namespace berth::gateway
