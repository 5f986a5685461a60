// SPDX-License-Identifier: Apache-2.0
// The kinds of servers, and the keys that only they have. A new kind is one row of the table.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "berth/config/keys.h"
#include "berth/config/server_options.h"
#include "berth/core/types.h"

namespace berth::config {

struct ServerKind {
  std::string_view name;  ///< value of the key `kind`
  core::ServerClass job_class;
  /// Puts the kind's options, with their defaults, into `server` and returns the keys that fill
  /// them.
  std::vector<Key> (*keys)(ServerOptions& server, const Paths& paths);
  /// Returns how many requests the server works on at once.
  std::int32_t (*slots)(const ServerOptions& server);
  /// Adds what is wrong although each value alone is allowed.
  void (*check)(const ServerOptions& server, const Section& section, Problems& problems);
};

std::span<const ServerKind> server_kinds();

}  // namespace berth::config
