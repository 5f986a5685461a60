// SPDX-License-Identifier: Apache-2.0
// Files that a command reads and writes, and the errors of those that it cannot.
#pragma once

#include <fstream>
#include <string>
#include <string_view>

#include "berth/base/result.h"
#include "berth/process/unique_fd.h"

namespace berth::cli {

/// Opens a file to read it. Errors: not_found with the name and why it cannot be read, also of a
/// folder.
Result<std::ifstream> open_input(const std::string& path);

/// Writes all of it, also to what takes only a part at a time. Returns 0, or the errno.
int write_whole(int descriptor, std::string_view bytes);

/// Where a command's result goes, chosen before the work is done for it. A file is replaced in one
/// step, behind a symbolic link too; a FIFO or device is opened and written through.
class OutputFile {
 public:
  /// "-" is standard output. A FIFO is waited for until somebody reads it.
  /// Errors: io with the name and why nothing can be written there. Nothing was made.
  static Result<OutputFile> open(const std::string& path);

  /// "-", or another name of what standard output is.
  [[nodiscard]] bool is_standard_output() const { return is_standard_output_; }

  /// Errors: io or disk_full with the name; a file that was there is as it was. What standard
  /// output does not take, say() keeps for the exit status.
  Status write(std::string_view bytes);

 private:
  Status replace(std::string_view bytes);

  std::string path_;    ///< as it was given
  std::string target_;  ///< the file to replace
  process::UniqueFd through_;
  bool is_standard_output_ = false;
};

}  // namespace berth::cli
