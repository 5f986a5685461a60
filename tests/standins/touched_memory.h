// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "berth/base/bytes.h"

namespace berth::standin {

/// Anonymous memory straight from mmap, in small pages, so that what is touched shows up as Pss to
/// the byte, under AddressSanitizer too. Given back to the system when destroyed.
class TouchedMemory {
 public:
  /// Reserves the address range; nothing is in memory yet. Returns nothing if the system refuses.
  static std::optional<TouchedMemory> reserve(Bytes size);

  TouchedMemory(TouchedMemory&& other) noexcept
      : start_(std::exchange(other.start_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  TouchedMemory& operator=(TouchedMemory&& other) noexcept;
  TouchedMemory(const TouchedMemory&) = delete;
  TouchedMemory& operator=(const TouchedMemory&) = delete;
  ~TouchedMemory();

  /// Brings part `index` of `parts` equal parts into memory.
  void touch(int index, int parts);

 private:
  TouchedMemory(unsigned char* start, std::size_t size) : start_(start), size_(size) {}

  unsigned char* start_;
  std::size_t size_;
};

}  // namespace berth::standin
