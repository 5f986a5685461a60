// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "berth/base/result.h"
#include "berth/http/message.h"

namespace berth::http {

/// How the end of a body is known (RFC 9112 section 6).
enum class BodyKind : std::uint8_t { none, length, chunked, until_close };

struct Framing {
  BodyKind kind = BodyKind::none;
  /// Units: bytes; for `length` only.
  std::uint64_t length = 0;
};

/// The head of a request that was read without doubt about its meaning.
struct RequestHead {
  Request request;
  bool is_http_1_0 = false;
  /// The client wants the connection to stay open.
  bool keep_alive = true;
  bool expects_continue = false;
  Framing framing;
};

struct ReplyHead {
  ResponseHead head;
  Framing framing;
};

/// Reads a request head, from its first byte to the empty line, both included.
///
/// Strict, since two parsers that read one message in two ways are a hole (request smuggling): only
/// CRLF ends a line, no control characters, no folded lines, no space before a colon; one Host; one
/// Content-Length of digits up to 2^53, or one Transfer-Encoding that says `chunked`, never both,
/// and no field that becomes one of these when '_' is read as '-'.
/// Errors: bad_request with what is wrong; too_large for more fields than the limit.
Result<RequestHead> parse_request_head(std::string_view head, std::size_t field_limit);

/// Reads the head of a reply to a request with `request_method`, as strictly.
/// Errors: upstream.
Result<ReplyHead> parse_reply_head(std::string_view head, std::string_view request_method);

/// Makes the bytes of a head. Fields with characters that could end a line are left out.
std::string request_head_text(const Request& request);
std::string response_head_text(const ResponseHead& head);

/// True if replies with this status, or to this method, have no body whatever their headers say.
bool is_bodyless(std::string_view request_method, int status);

}  // namespace berth::http
