// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace berth {

/// Returns what others call themselves (clients, programs: any bytes) as UTF-8 that may stand in
/// JSON and on a terminal: "?" for what is no UTF-8, for control characters and for those that turn
/// the direction of text. `most`: bytes; it is cut before the character that would go beyond.
std::string plain_text(std::string_view bytes, std::size_t most = std::string::npos);

}  // namespace berth
