// SPDX-License-Identifier: Apache-2.0
// The secret that lets programs change Berth's state over a network address.
#pragma once

#include <string>
#include <string_view>

#include "berth/base/result.h"

namespace berth::gateway {

/// Returns where the token of a state directory is.
std::string token_file(const std::string& state_dir);

/// Returns the token: 256 random bits in lower-case hex. Makes the file, with mode 0600, if there
/// is none; the folder must exist.
/// Errors: bad_config if others may read the file, or if it holds anything else, with the next
///   step: such a file is never used and never replaced; io.
Result<std::string> load_token(const std::string& state_dir);

/// Compares in a time that depends only on the length of `given`.
bool is_same_secret(std::string_view secret, std::string_view given);

}  // namespace berth::gateway
