// SPDX-License-Identifier: Apache-2.0
// What the headers of both formats list: tensors with their place in the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::models {

/// More than any model: the largest known ones have a few thousand.
inline constexpr std::size_t kTensorsMax = 65'536;
inline constexpr std::size_t kTensorNameMax = 256;
inline constexpr std::size_t kDimensionsMax = 8;

struct Tensor {
  std::string name;
  std::string type;            ///< its format's word: "Q8_0", "BF16"
  std::uint64_t elements = 0;  ///< bounded, see element_count()
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;  ///< from the start of the tensors' data
};

/// How elements of one type lie in a file: whole blocks of `elements` elements, `bytes` each.
struct BlockType {
  std::string_view name;
  std::uint64_t elements = 1;
  std::uint64_t bytes = 1;
};

/// Returns the product of the dimensions, or nothing if it exceeds 2^48: with 8 bytes an element
/// every sum of kTensorsMax of them can still be formed in 128 bits, and each alone in 64.
std::optional<std::uint64_t> element_count(const std::vector<std::uint64_t>& shape);

/// Returns the bytes that many elements take: a block that is begun counts in full.
std::uint64_t byte_count(const BlockType& type, std::uint64_t elements);

/// Sorts the tensors by their place and returns what is wrong with it: a tensor that does not lie
/// within `data_bytes`, or two that overlap. Sorting is stable, so the message is always the same.
std::optional<std::string> misplaced(std::vector<Tensor>& tensors, std::uint64_t data_bytes);

/// Returns the name of the first tensor that is listed twice, or nothing.
std::optional<std::string> listed_twice(const std::vector<Tensor>& tensors);

/// Returns text of a file as it may stand in a message: at most 60 characters, others than
/// printable ASCII as "?".
std::string quotable(std::string_view text);

}  // namespace berth::models
