// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "berth/base/result.h"
#include "berth/config/config.h"
#include "berth/http/async.h"

namespace berth::cli {

struct DaemonOptions {
  bool json = false;
  /// Called once all ports are open, with the main address.
  std::function<void(const std::string& address)> on_ready;
};

/// Is Berth: serves until SIGINT, SIGTERM or a client asks it to end, then stops every server.
/// Errors: why it could not come up; nothing is left running then.
Task<Status> run_daemon(config::Config config, DaemonOptions options);

}  // namespace berth::cli
