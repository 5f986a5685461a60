// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "berth/process/unique_fd.h"

namespace berth::keeper {

/// Appends the server's output, byte for byte, to `log`; at the limit `log` becomes `log.1`, and
/// the old `log.1` is gone. `log` never exceeds the limit; a line may begin in one file and end in
/// the other.
class LogWriter {
 public:
  /// Opens `log` in the working directory. Returns 0 or an errno.
  int open(std::uint64_t limit_bytes);
  /// Never fails and never blocks for ever: what cannot be written (disk full) is dropped, and the
  /// number of dropped bytes stands in the log when it can be written again.
  void append(std::string_view bytes);

 private:
  void write(std::string_view bytes);
  void rotate();

  process::UniqueFd file_;
  std::uint64_t limit_ = 0;
  std::uint64_t size_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace berth::keeper
