// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "berth/gateway/door.h"
#include "berth/gateway/routes.h"
#include "berth/host/host.h"
#include "berth/http/async.h"
#include "berth/http/server.h"

namespace berth::gateway {

/// What all requests share. Owned by the Gateway and by the frames of requests, which may end a
/// little after it.
struct Context {
  Context(Executor where, host::Host& shell) : executor(std::move(where)), host(shell) {}

  Executor executor;
  host::Host& host;
  std::function<void()> on_shut_down;
  Duration progress_unit{1s};
  std::string address;  ///< of the main entrance: "http://127.0.0.1:8700"
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  std::chrono::system_clock::time_point started_wall = std::chrono::system_clock::now();
  std::size_t jobs = 0;  ///< not over yet, even if their clients were served
  Event job_ended;
  std::set<http::Exchange*> endless;  ///< streams that only their clients end
};

/// One request that was let in, and its route.
struct Call {
  std::shared_ptr<Context> context;
  http::Exchange& exchange;
  Match match;
  std::optional<ServerId> fixed;  ///< the server behind a front port

  [[nodiscard]] host::Host& host() const { return context->host; }
  [[nodiscard]] const Route& route() const { return *match.route; }
};

}  // namespace berth::gateway
