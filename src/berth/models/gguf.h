// SPDX-License-Identifier: Apache-2.0
// The header of a GGUF file, versions 2 and 3, little-endian.
// Source: ggml/docs/gguf.md; block sizes: ggml/src/ggml-common.h (ggml 0.9).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "berth/base/result.h"
#include "berth/models/input.h"
#include "berth/models/tensors.h"

namespace berth::models {

/// A value of the header. Lists are those of whole numbers (a truth value counts as 0 or 1).
using GgufValue = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>>;

struct GgufHeader {
  std::uint32_t version = 0;
  /// Without texts longer than kTextKept and lists longer than kListKept: vocabularies, templates.
  std::map<std::string, GgufValue, std::less<>> values;
  std::uint64_t vocabulary = 0;  ///< length of tokenizer.ggml.tokens
  std::vector<Tensor> tensors;   ///< ordered by their place
};

inline constexpr std::size_t kTextKept = 1024;
inline constexpr std::size_t kListKept = 4096;
inline constexpr std::size_t kGgufKeysMax = 4096;
inline constexpr std::size_t kGgufKeyBytesMax = 256;
/// Vocabularies of 256,000 words take about 10 MB.
inline constexpr std::uint64_t kGgufHeaderBytesMax = std::uint64_t{256} << 20;

/// Reads the header; weights are not touched. `name` stands in messages.
/// Errors: model_invalid with the name, what is wrong, and what to do.
Result<GgufHeader> read_gguf(Input& input, const std::string& name);

}  // namespace berth::models
