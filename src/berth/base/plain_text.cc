// SPDX-License-Identifier: Apache-2.0
#include "berth/base/plain_text.h"

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

}  // namespace

std::string plain_text(std::string_view bytes, std::size_t most) {
  std::string text;
  for (const char* at = bytes.begin(); at != bytes.end();) {
    const char* const begin = at;
    const utf::code_point point = Traits::decode(at, bytes.end());
    const bool is_broken = point == utf::illegal || point == utf::incomplete;
    if (is_broken) at = begin + 1;
    const bool is_shown = !is_broken && is_plain(point);
    const std::string_view sign = is_shown ? std::string_view(begin, at) : "?";
    if (text.size() + sign.size() > most) break;
    text += sign;
  }
  return text;
}

}  // namespace berth
