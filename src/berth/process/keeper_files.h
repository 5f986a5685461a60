// SPDX-License-Identifier: Apache-2.0
// The directory between Berth and a keeper. Both sides are built from this file, so it needs the
// standard library only: the keeper is a static program of a few hundred kilobytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::process {

/// Names of the files. `spec` stands before the keeper starts, and is locked by an flock as long as
/// the keeper lives: Berth takes the lock and passes it on as file descriptor kSpecFd.
inline constexpr const char* kSpecFile = "spec";
inline constexpr const char* kPidFile = "pid";
inline constexpr const char* kExitFile = "exit";
inline constexpr const char* kLogFile = "log";
inline constexpr const char* kOldLogFile = "log.1";
inline constexpr int kSpecFd = 3;

/// The form of `spec`, `pid` and `exit`, which stands in the first two. Raised with every change
/// that an older Berth or keeper would misread: each side refuses what has another number.
inline constexpr std::uint64_t kFormat = 1;

/// What Berth tells a keeper.
struct KeeperSpec {
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::string working_directory;
  std::string alive_lock;  ///< empty: never an orphan
  std::string token;
  std::uint64_t orphan_timeout_ms = 0;
  std::uint64_t stop_grace_ms = 0;  ///< from TERM to KILL of an orphan
  std::uint64_t log_limit_bytes = 0;

  bool operator==(const KeeperSpec&) const = default;
};

/// Returns the text of `spec`: records "name length\nbytes\n", any bytes allowed. Not JSON, because
/// arguments need not be UTF-8, and because a JSON parser is larger than the rest of the keeper.
std::string to_text(const KeeperSpec& spec);
/// Reads what to_text() wrote; nothing if a record is cut off, unknown, or argv is empty, or if the
/// first record does not say kFormat.
std::optional<KeeperSpec> parse_keeper_spec(std::string_view text);

/// Returns the whole file, or nothing with errno set.
std::optional<std::string> read_file(const char* path);

}  // namespace berth::process
