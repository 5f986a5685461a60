// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file.
// Source: https://github.com/huggingface/safetensors, "Format": 8 bytes of length, JSON, data
// without holes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "berth/base/result.h"
#include "berth/models/input.h"
#include "berth/models/tensors.h"

namespace berth::models {

struct SafetensorsHeader {
  std::map<std::string, std::string, std::less<>> metadata;  ///< texts up to kMetadataKept only
  std::vector<Tensor> tensors;                               ///< ordered by their place
};

/// The format's own limit.
inline constexpr std::uint64_t kSafetensorsHeaderBytesMax = 100'000'000;
inline constexpr std::size_t kMetadataKept = 1024;
inline constexpr std::size_t kMetadataKeysMax = 1024;

/// Reads the header; weights are not touched. `name` stands in messages.
/// Errors: model_invalid with the name, what is wrong, and what to do.
Result<SafetensorsHeader> read_safetensors(Input& input, const std::string& name);

}  // namespace berth::models
