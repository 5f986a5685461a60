// SPDX-License-Identifier: Apache-2.0
// Reads a log that a keeper appends to and rotates. Private to the folder.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "berth/process/unique_fd.h"

namespace berth::process {

using LineFunction = std::function<void(std::string_view)>;

/// Follows `log` over its rotations as one stream of bytes, and cuts it into lines. Two rotations
/// between two reads lose nothing; with more, the part that no file holds any more is missing.
class LogFollower {
 public:
  explicit LogFollower(std::string directory) : directory_(std::move(directory)) {}

  /// Begins with what is appended from now on, instead of with the oldest byte kept.
  void skip_to_end();
  /// Reads some of what is there, at most 256 KiB, so that the strand is not kept long. Calls
  /// `line` for each complete line; one longer than 64 KiB comes in pieces.
  /// Returns whether there is more to read.
  bool read(const LineFunction& line);
  /// Hands out a last line that has no newline.
  void flush(const LineFunction& line);

 private:
  bool open_first();
  bool open_next();
  [[nodiscard]] bool was_rotated();
  void split(std::string_view bytes, const LineFunction& line);

  std::string directory_;
  UniqueFd file_;
  std::string partial_;
};

}  // namespace berth::process
