// SPDX-License-Identifier: Apache-2.0
#include "berth/models/tensors.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace berth::models {
namespace {

constexpr std::uint64_t kElementsMax = std::uint64_t{1} << 48;
constexpr std::size_t kQuotedMax = 60;

}  // namespace

std::optional<std::uint64_t> element_count(const std::vector<std::uint64_t>& shape) {
  std::uint64_t count = 1;
  for (const std::uint64_t extent : shape) {
    if (extent > kElementsMax || (extent > 0 && count > kElementsMax / extent)) return std::nullopt;
    count *= extent;
  }
  return count;
}

std::uint64_t byte_count(const BlockType& type, std::uint64_t elements) {
  return (elements + type.elements - 1) / type.elements * type.bytes;
}

std::optional<std::string> misplaced(std::vector<Tensor>& tensors, std::uint64_t data_bytes) {
  for (const Tensor& tensor : tensors) {
    if (tensor.offset > data_bytes || tensor.bytes > data_bytes - tensor.offset) {
      return fmt::format("tensor \"{}\" lies at {} with {} bytes, but the data has {}",
                         quotable(tensor.name), tensor.offset, tensor.bytes, data_bytes);
    }
  }
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const Tensor& a, const Tensor& b) { return a.offset < b.offset; });
  const Tensor* before = nullptr;
  for (const Tensor& tensor : tensors) {
    if (tensor.bytes == 0) continue;
    if (before != nullptr && before->offset + before->bytes > tensor.offset) {
      return fmt::format("tensor \"{}\" overlaps \"{}\"", quotable(tensor.name),
                         quotable(before->name));
    }
    before = &tensor;
  }
  return std::nullopt;
}

std::optional<std::string> listed_twice(const std::vector<Tensor>& tensors) {
  std::set<std::string_view> seen;
  for (const Tensor& tensor : tensors) {
    if (!seen.insert(tensor.name).second) return tensor.name;
  }
  return std::nullopt;
}

std::string quotable(std::string_view text) {
  std::string out(text.substr(0, kQuotedMax));
  for (char& c : out) {
    if (c < ' ' || c > '~' || c == '"') c = '?';
  }
  if (text.size() > kQuotedMax) out += "...";
  return out;
}

}  // namespace berth::models
