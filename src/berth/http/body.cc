// SPDX-License-Identifier: Apache-2.0
#include "berth/http/body.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace berth::http {
namespace {

constexpr std::string_view kCrlf = "\r\n";
/// Nobody needs extensions; a size line longer than this is an attack or not HTTP.
constexpr std::size_t kSizeLineMax = 256;
constexpr std::size_t kTrailerMax = 8 << 10;
/// Used bytes at the front are dropped when there are this many, so that dropping stays cheap.
constexpr std::size_t kCompactAt = 32 << 10;

tl::unexpected<Error> broken(std::string what) {
  return fail(ErrorCode::bad_request, "the chunked body is broken: " + std::move(what));
}

/// Takes one line off the buffer; nothing if it is not complete.
Result<std::optional<std::string>> take_line(InputBuffer& in, std::size_t limit) {
  const std::string_view seen = in.view();
  const std::size_t end = seen.find(kCrlf);
  if (std::min(end, seen.size()) > limit) return broken("a line is too long");
  const std::string_view line = seen.substr(0, end);
  // A CR at the very end may be the first half of a CRLF.
  const std::size_t odd = line.find_first_of(std::string_view("\r\n\0", 3));
  const bool is_odd = odd != std::string_view::npos;
  const bool is_half = is_odd && odd + 1 == seen.size() && seen[odd] == '\r';
  if (is_odd && !is_half) return broken("a CR, LF or NUL stands alone");
  if (end == std::string_view::npos) return std::optional<std::string>();
  std::string taken(line);
  in.consume(end + kCrlf.size());
  return std::optional<std::string>(std::move(taken));
}

/// Reads "1f" or "1f;name=value".
Result<std::uint64_t> parse_chunk_size(std::string_view line) {
  const std::string_view digits = line.substr(0, line.find(';'));
  static constexpr std::size_t kDigitsMax = 15;  // Below 2^60: no sum with it can overflow.
  std::uint64_t size = 0;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, size, 16);
  if (digits.empty() || digits.size() > kDigitsMax || parsed.ec != std::errc() ||
      parsed.ptr != end) {
    return broken("\"" + std::string(digits) + "\" is no chunk size");
  }
  return size;
}

}  // namespace

void InputBuffer::append(std::string_view bytes) {
  if (begin_ == bytes_.size()) clear();
  bytes_.append(bytes);
}

void InputBuffer::consume(std::size_t count) {
  begin_ += std::min(count, size());
  if (begin_ == bytes_.size()) {
    clear();
  } else if (begin_ >= kCompactAt) {
    bytes_.erase(0, begin_);
    begin_ = 0;
  }
}

void InputBuffer::clear() {
  bytes_.clear();
  begin_ = 0;
}

std::optional<std::size_t> head_length(std::string_view bytes) {
  std::optional<std::size_t> length;
  for (const std::string_view end :
       {std::string_view("\r\n\r\n"), std::string_view("\n\n"), std::string_view("\n\r\n")}) {
    const std::size_t at = bytes.find(end);
    if (at == std::string_view::npos) continue;
    length = std::min(length.value_or(bytes.size()), at + end.size());
  }
  return length;
}

Result<ChunkDecoder::Step> ChunkDecoder::decode(InputBuffer& in, std::string& out,
                                                std::size_t out_limit) {
  while (true) {
    Result<bool> advanced = true;
    switch (state_) {
      case State::size_line:
        advanced = read_size_line(in);
        if (advanced && chunk_left_ > out_limit - std::min(out_limit, out.size())) {
          return fail(ErrorCode::too_large,
                      "a chunk exceeds the limit of " + std::to_string(out_limit) + " bytes");
        }
        break;
      case State::data:
        read_data(in, out);
        advanced = chunk_left_ == 0;
        break;
      case State::data_end:
        advanced = read_data_end(in);
        if (advanced && *advanced) return Step::chunk_end;
        break;
      case State::trailer:
        advanced = read_trailer(in);
        break;
      case State::done:
        return Step::body_end;
    }
    if (!advanced) return fail(advanced.error());
    if (!*advanced) return Step::need_more;
  }
}

Result<bool> ChunkDecoder::read_size_line(InputBuffer& in) {
  const Result<std::optional<std::string>> line = take_line(in, kSizeLineMax);
  if (!line) return fail(line.error());
  if (!*line) return false;
  const Result<std::uint64_t> size = parse_chunk_size(**line);
  if (!size) return fail(size.error());
  chunk_left_ = *size;
  state_ = *size == 0 ? State::trailer : State::data;
  return true;
}

void ChunkDecoder::read_data(InputBuffer& in, std::string& out) {
  const std::size_t count =
      static_cast<std::size_t>(std::min<std::uint64_t>(chunk_left_, in.size()));
  out.append(in.view().substr(0, count));
  in.consume(count);
  chunk_left_ -= count;
  if (chunk_left_ == 0) state_ = State::data_end;
}

Result<bool> ChunkDecoder::read_data_end(InputBuffer& in) {
  const std::string_view seen = in.view().substr(0, kCrlf.size());
  if (!kCrlf.starts_with(seen)) return broken("a chunk is longer than its size");
  if (seen.size() < kCrlf.size()) return false;
  in.consume(kCrlf.size());
  state_ = State::size_line;
  return true;
}

Result<bool> ChunkDecoder::read_trailer(InputBuffer& in) {
  const Result<std::optional<std::string>> line = take_line(in, kTrailerMax - trailer_size_);
  if (!line) return fail(line.error());
  if (!*line) return false;
  trailer_size_ += std::min((*line)->size() + kCrlf.size(), kTrailerMax - trailer_size_);
  if ((*line)->empty()) state_ = State::done;
  return true;
}

std::string encode_chunk(std::string_view data) {
  std::array<char, 16> digits{};
  const auto written = std::to_chars(digits.begin(), digits.end(), data.size(), 16);
  std::string chunk(digits.data(), written.ptr);
  chunk.reserve(chunk.size() + data.size() + 2 * kCrlf.size());
  chunk.append(kCrlf).append(data).append(kCrlf);
  return chunk;
}

}  // namespace berth::http
