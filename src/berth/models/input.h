// SPDX-License-Identifier: Apache-2.0
// Where the readers of headers get their bytes from.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "berth/base/result.h"

namespace berth::models {

/// Bytes that can be read at any place.
class Input {
 public:
  virtual ~Input() = default;
  /// Units: bytes. Does not change while the input lives.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// Fills `out`. Returns false if not all of it can be had.
  virtual bool read(std::uint64_t offset, char* out, std::size_t count) = 0;
};

/// Opens a file for reading. Nothing of it is mapped: a file that shrinks meanwhile gives an error
/// and no SIGBUS.
/// Errors: model_missing if it does not exist, io if it cannot be read or is no regular file.
Result<std::unique_ptr<Input>> open_file(const std::string& path);

/// Returns an input over bytes in memory, which must outlive it.
std::unique_ptr<Input> over_memory(std::string_view bytes);

/// A place in an input, read forwards through one buffer of fixed size. After the first read that
/// fails everything reads as nothing, so a caller may look once at the end of a group of reads.
class Cursor {
 public:
  explicit Cursor(Input& input) : input_(&input) {}

  [[nodiscard]] bool has_failed() const { return failed_; }
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t remaining() const { return input_->size() - position_; }

  /// Reads a little-endian number of `bytes` bytes, 8 at most.
  std::uint64_t number(std::size_t bytes);
  /// Reads that many characters; the caller has bounded the count.
  std::string text(std::size_t count);
  void skip(std::uint64_t count);

 private:
  bool take(char* out, std::size_t count);
  bool refill();

  static constexpr std::size_t kBufferBytes = std::size_t{64} << 10;
  Input* input_;
  std::uint64_t position_ = 0;
  std::uint64_t buffer_at_ = 0;  ///< position of the buffer's first byte
  std::size_t buffered_ = 0;
  bool failed_ = false;
  std::array<char, kBufferBytes> buffer_;
};

}  // namespace berth::models
