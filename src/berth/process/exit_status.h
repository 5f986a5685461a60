// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "berth/base/result.h"
#include "berth/base/time.h"

namespace berth::process {

/// How a server ended, as its keeper saw it.
struct ExitStatus {
  enum class Kind : std::uint8_t {
    unknown,       ///< the keeper went away without saying; never to be read as success
    exited,        ///< `value` is the exit code
    signalled,     ///< `value` is the signal's number
    not_executed,  ///< `value` is the errno, `what` the step that failed
  };

  Kind kind = Kind::unknown;
  int value = 0;
  std::string what;
  WallTime at;  ///< when the keeper saw it; 0 if unknown

  bool operator==(const ExitStatus&) const = default;
};

/// Returns the status for a person: "exit code 1", "killed by signal 9 (SIGKILL)", "could not be
/// executed: No such file or directory".
std::string to_text(const ExitStatus& status);

/// Reads the `exit` file of a keeper's directory; nothing if there is none yet.
/// Errors: io if it exists but cannot be read or understood.
Result<std::optional<ExitStatus>> read_exit(const std::string& directory);

}  // namespace berth::process
