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

/// Returns the text with the same characters written out, as "\x1b" and "\u202e", but those of
/// `kept` (line ends, tabs) as they are.
std::string escaped_text(std::string_view bytes, std::string_view kept = "");

}  // namespace berth
