// SPDX-License-Identifier: Apache-2.0
#include "berth/base/plain_text.h"

#include <fmt/format.h>
#include <boost/locale/utf.hpp>

namespace berth {
namespace {

namespace utf = boost::locale::utf;
using Traits = utf::utf_traits<char>;

/// Source: Unicode, general category Cc, and the characters of class Bidi_Control.
bool is_plain(utf::code_point point) {
  const bool is_control = point < 0x20 || (point >= 0x7f && point <= 0x9f);
  const bool turns = point == 0x061c || point == 0x200e || point == 0x200f ||
                     (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
  return !is_control && !turns;
}

/// A character of the text, or a byte of it that is no UTF-8.
struct Character {
  std::string_view bytes;
  utf::code_point point = 0;  ///< of a byte that is no UTF-8: that byte
  bool is_shown = false;
};

/// Of what begins at `at`, which is moved to its end.
Character next_character(const char*& at, const char* end) {
  const char* const begin = at;
  const utf::code_point point = Traits::decode(at, end);
  if (point == utf::illegal || point == utf::incomplete) {
    at = begin + 1;
    return {{begin, at}, static_cast<unsigned char>(*begin), false};
  }
  return {{begin, at}, point, is_plain(point)};
}

}  // namespace

std::string plain_text(std::string_view bytes, std::size_t most) {
  std::string text;
  for (const char* at = bytes.begin(); at != bytes.end();) {
    const Character next = next_character(at, bytes.end());
    const std::string_view sign = next.is_shown ? next.bytes : "?";
    if (text.size() + sign.size() > most) break;
    text += sign;
  }
  return text;
}

std::string escaped_text(std::string_view bytes, std::string_view kept) {
  std::string text;
  for (const char* at = bytes.begin(); at != bytes.end();) {
    const Character next = next_character(at, bytes.end());
    if (next.is_shown || kept.find(next.bytes) != std::string_view::npos) {
      text += next.bytes;
    } else if (next.bytes.size() == 1) {
      text += fmt::format("\\x{:02x}", next.point);
    } else {
      text += fmt::format("\\u{:04x}", next.point);
    }
  }
  return text;
}

}  // namespace berth
