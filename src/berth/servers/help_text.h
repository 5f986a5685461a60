// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/result.h"
#include "berth/http/async.h"

namespace berth::servers {

/// The option names that a program's `--help` lists, without those that it says were removed.
/// A row begins with '-' in column 1 or after two blanks; its names are separated by commas.
std::set<std::string> options_in_help(std::string_view help);

/// What is known of programs by running them once for each (path, size, mtime).
class HelpCache {
 public:
  /// Errors: binary_missing, naming the program.
  Task<Result<std::set<std::string>>> options_of(std::string binary);
  /// Returns what it says to `--list-devices`; "" if it does not know the option or fails. A driver
  /// takes up to a second to answer.
  Task<std::string> devices_of(std::string binary);

 private:
  struct Key {
    std::string path;
    std::int64_t size = 0;
    std::int64_t mtime_ns = 0;
    auto operator<=>(const Key&) const = default;
  };
  static Result<Key> key_of(const std::string& binary);

  std::map<Key, std::set<std::string>> known_;
  std::map<Key, std::string> devices_;
};

/// Checks that the program knows every option of `argv` (elements that begin with '-', numbers
/// excepted).
/// Errors: option_unknown, naming the option and the program.
Status check_options(const std::set<std::string>& known, const std::vector<std::string>& argv);

}  // namespace berth::servers
