// SPDX-License-Identifier: Apache-2.0
// Private to this folder: Beast reads and writes the messages, and this adds what Beast lets pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "berth/base/result.h"
#include "berth/http/message.h"

namespace berth::http {

/// Bytes that were read and not yet used.
using Buffer = boost::beast::flat_buffer;
std::string_view view(const Buffer& buffer);
void append(Buffer& buffer, std::string_view bytes);

struct ParserLimits {
  /// Units: bytes.
  std::uint32_t head;
  std::size_t fields;
  /// Units: bytes.
  std::size_t target = std::numeric_limits<std::size_t>::max();
  /// Units: bytes.
  std::uint64_t chunk = std::numeric_limits<std::uint64_t>::max();
};

/// What was read of a message: method and target are of a request, the status is of a reply.
struct Message {
  std::string method;
  std::string target;
  int status = 0;
  bool is_http_1_0 = false;
  Headers headers;
  std::string body;
};

/// Reads one message. Beast's parser does the work and knows where the body ends.
///
/// It is made strict, since two parsers that read one message in two ways are a hole (request
/// smuggling). Beast refuses lone CR and LF, control characters, a space before a colon, and a
/// Content-Length beside a Transfer-Encoding. On top of it: no folded lines; one Content-Length of
/// digits up to 2^53 or one Transfer-Encoding that says `chunked`, and no field that becomes one of
/// these when '_' is read as '-'; one Host, the same as in the target; a limit on all that is
/// counted. Trailers are skipped, and refused if they are about framing or who asks.
template <bool is_request>
class Parser : public boost::beast::http::basic_parser<is_request> {
 public:
  explicit Parser(ParserLimits limits);

  /// Takes bytes off the buffer for one step: the head, or a part of the body. Returns false if
  /// more bytes must come first. Not to be called when is_done().
  /// Errors: `bad_request` with what is wrong; `too_large` for what exceeds a limit.
  Result<bool> advance(Buffer& in);

  /// Returns a chunk that has come completely, or what has arrived of a body without chunks.
  std::optional<std::string> take_piece();

  Message& message() { return message_; }
  const Message& message() const { return message_; }

 private:
  using Text = boost::beast::string_view;
  using Code = boost::beast::error_code;

  void on_request_impl(boost::beast::http::verb, Text method, Text target, int version,
                       Code&) override;
  void on_response_impl(int status, Text reason, int version, Code&) override;
  void on_field_impl(boost::beast::http::field, Text name, Text value, Code& failure) override;
  void on_header_impl(Code& failure) override;
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Code&) override {}
  std::size_t on_body_impl(Text data, Code&) override;
  void on_chunk_header_impl(std::uint64_t size, Text extensions, Code& failure) override;
  std::size_t on_chunk_body_impl(std::uint64_t remaining, Text data, Code&) override;
  void on_finish_impl(Code&) override {}

  bool is_before_chunk() const;
  /// Stops Beast with an error of our own.
  void refuse(const Status& why, Code& failure);
  Error error_of(const Code& failure) const;

  const ParserLimits limits_;
  std::uint32_t head_left_;
  Message message_;
  std::optional<Error> refusal_;
  std::uint64_t chunk_left_ = 0;
  /// The data of a chunk was read, but not the CRLF after it.
  bool chunk_ends_ = false;
};

using RequestParser = Parser<true>;
using ReplyParser = Parser<false>;
extern template class Parser<true>;
extern template class Parser<false>;

/// Makes the bytes of a head. Fields with characters that could end a line are left out, and those
/// that Beast cannot hold (64 KiB).
std::string request_head_text(const Request& request);
std::string response_head_text(const ResponseHead& head);

}  // namespace berth::http
