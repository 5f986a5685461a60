// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "berth/base/result.h"

namespace berth::process {

/// What makes a process this process and no other one with the same number.
struct Identity {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  ///< clock ticks since boot: field 22 of /proc/PID/stat
  pid_t session = 0;             ///< equal to `pid`: the keeper gives each server its own session
  pid_t keeper_pid = 0;
  std::uint64_t keeper_start_time = 0;
  std::string boot_id;
  std::string token;  ///< random, made by Process::start(); no two starts share one

  bool operator==(const Identity&) const = default;
};

/// Reads the `pid` file of a keeper's directory; nothing if there is none (yet).
/// Errors: io if it exists but cannot be read or understood; conflict if a Berth of another version
///   wrote it in another form.
Result<std::optional<Identity>> read_identity(const std::string& directory);

/// Returns whether a keeper works on the directory: it holds a lock as long as it lives.
bool keeper_lives(const std::string& directory);

}  // namespace berth::process
