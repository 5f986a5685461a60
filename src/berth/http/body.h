// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "berth/base/result.h"

namespace berth::http {

/// Bytes that were read and not yet used.
class InputBuffer {
 public:
  std::string_view view() const { return std::string_view(bytes_).substr(begin_); }
  std::size_t size() const { return bytes_.size() - begin_; }
  bool empty() const { return size() == 0; }
  void append(std::string_view bytes);
  /// Ends the life of views.
  void consume(std::size_t count);
  void clear();

 private:
  std::string bytes_;
  std::size_t begin_ = 0;
};

/// Returns the length of the head at the front of the bytes, with its empty line; nothing if it is
/// not complete. A lone LF may end it here, so that parsing can refuse it at once.
std::optional<std::size_t> head_length(std::string_view bytes);

/// Reads a chunked body (RFC 9112 section 7.1), strictly: digits and CRLF as written there, nothing
/// else. Extensions and trailers are skipped.
class ChunkDecoder {
 public:
  enum class Step : std::uint8_t { need_more, chunk_end, body_end };

  /// Takes bytes off the buffer and appends the data of the current chunk to `out`, until the chunk
  /// ends, the body ends, or the buffer is empty.
  /// Errors: `bad_request` for broken framing; `too_large` if `out` would grow over `out_limit`.
  Result<Step> decode(InputBuffer& in, std::string& out, std::size_t out_limit);

 private:
  enum class State : std::uint8_t { size_line, data, data_end, trailer, done };

  Result<bool> read_size_line(InputBuffer& in);
  void read_data(InputBuffer& in, std::string& out);
  Result<bool> read_data_end(InputBuffer& in);
  Result<bool> read_trailer(InputBuffer& in);

  State state_ = State::size_line;
  std::uint64_t chunk_left_ = 0;
  std::size_t trailer_size_ = 0;
};

/// Returns the bytes of one chunk.
std::string encode_chunk(std::string_view data);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace berth::http
