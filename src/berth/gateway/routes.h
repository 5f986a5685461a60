// SPDX-License-Identifier: Apache-2.0
// The one table of what clients may ask for, and where.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "berth/base/result.h"

namespace berth::gateway {

/// Where a request came in. `front`: the public port of one server.
enum class Entrance : std::uint8_t { main, front, control };

/// Which kind of server stands behind a route.
enum class Serves : std::uint8_t { any, llm, image };

/// Where the name of the model or server is; on a front port the server is fixed.
enum class ModelAt : std::uint8_t { none, body, path };

/// How a client of this route expects to be told of an error.
enum class ErrorForm : std::uint8_t { openai, anthropic, responses };

enum class Act : std::uint8_t {
  relay,   ///< a job: the server itself answers
  models,  ///< the rest is answered by Berth, and never starts or delays a swap
  health,
  last_known,
  status,
  explain,
  waits,
  logs,
  events,
  start,
  stop,
  clear_saved_state,
  pin,
  unpin,
  lease,
  hold,
  leases,
  footprints,
  forget_footprints,
  shut_down,
  would_need_offload,
  saved_state,
  metrics,
  list_models,
  show_model,
  plan,
  draw,  ///< an image job, or what Act::relay does
  image_job,
  cancel_image,
  image_events,
};

/// A set of entrances.
struct Entrances {
  bool main = false;
  bool front = false;
  bool control = false;
  bool needs_token = false;  ///< on a network address: it changes the state

  [[nodiscard]] constexpr bool has(Entrance entrance) const {
    switch (entrance) {
      case Entrance::main:
        return main;
      case Entrance::front:
        return front;
      case Entrance::control:
        return control;
    }
    return false;
  }
};

struct Route {
  std::string_view method;
  std::string_view path;  ///< may have one segment `{...}`
  Act act = Act::relay;
  Entrances entrances;
  Serves serves = Serves::any;
  ModelAt model = ModelAt::none;
  ErrorForm errors = ErrorForm::openai;

  [[nodiscard]] constexpr bool is_job() const { return act == Act::relay || act == Act::draw; }
};

/// Returns the whole table.
std::span<const Route> routes();

/// What is asked for, and where.
struct Target {
  Entrance entrance = Entrance::main;
  Serves behind = Serves::any;  ///< the kind of server behind a front port
  std::string_view method;
  std::string_view path;  ///< decoded, without the query
};

struct Match {
  const Route* route = nullptr;
  std::string name;  ///< what stands for `{...}`
};

/// Finds the route; HEAD counts as GET.
/// Errors: not_found naming the routes that exist there; method_not_allowed.
Result<Match> find_route(const Target& target);

/// True if the request changes the state of Berth, which needs the token on a network address. Jobs
/// do not count: they are what the address is for.
bool changes_state(const Target& target);

/// Returns the methods that the path takes there, for the Allow header: "GET, POST".
std::string allowed_methods(const Target& target);

}  // namespace berth::gateway
