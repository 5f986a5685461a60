// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "berth/base/result.h"

namespace berth::process {

/// What is executed, exactly: a server that comes back is started with the same bytes.
struct LaunchSpec {
  /// The program and its arguments. A first element without '/' is looked up in the PATH of
  /// `environment`.
  std::vector<std::string> argv;
  /// The whole environment as "NAME=value"; nothing else is inherited.
  std::vector<std::string> environment;
  std::string working_directory = "/";

  bool operator==(const LaunchSpec&) const = default;
};

/// Returns the spec as one line of JSON, as it is stored in the server's row. Bytes that are not
/// UTF-8 are kept as they are.
std::string to_json(const LaunchSpec& spec);

/// Reads what to_json() wrote; the result is byte-identical. Unknown members are ignored.
/// Errors: bad_request, naming the member that is missing or of another type.
Result<LaunchSpec> launch_spec_from_json(std::string_view json);

}  // namespace berth::process
