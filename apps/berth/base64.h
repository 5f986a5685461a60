// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "berth/base/result.h"

namespace berth::cli {

/// Decodes base64 with its padding. Errors: upstream if a character or the length is wrong.
/// Source: RFC 4648 section 4.
Result<std::string> decode_base64(std::string_view text);

}  // namespace berth::cli
