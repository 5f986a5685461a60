// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "berth/base/result.h"

namespace berth {

/// Returns the bytes as base64, with padding. Source: RFC 4648 section 4.
std::string encode_base64(std::string_view bytes);

/// Decodes base64 with its padding. Errors: upstream if a character or the length is wrong.
Result<std::string> decode_base64(std::string_view text);

}  // namespace berth
