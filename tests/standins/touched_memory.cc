// SPDX-License-Identifier: Apache-2.0
#include "touched_memory.h"

#include <sys/mman.h>

namespace berth::standin {

std::optional<TouchedMemory> TouchedMemory::reserve(Bytes size) {
  const auto length = static_cast<std::size_t>(size.count);
  if (length == 0) return TouchedMemory(nullptr, 0);
  void* start = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return std::nullopt;
  madvise(start, length, MADV_NOHUGEPAGE);
  return TouchedMemory(static_cast<unsigned char*>(start), length);
}

TouchedMemory& TouchedMemory::operator=(TouchedMemory&& other) noexcept {
  std::swap(start_, other.start_);
  std::swap(size_, other.size_);
  return *this;
}

TouchedMemory::~TouchedMemory() {
  if (start_ != nullptr) munmap(start_, size_);
}

void TouchedMemory::touch(int index, int parts) {
  constexpr std::size_t kPage = 4096;
  const auto share = [&](int n) {
    return size_ / static_cast<std::size_t>(parts) * static_cast<std::size_t>(n);
  };
  const std::size_t end = index + 1 == parts ? size_ : share(index + 1);
  for (std::size_t at = share(index) / kPage * kPage; at < end; at += kPage)
    start_[at] = 1;
}

}  // namespace berth::standin
