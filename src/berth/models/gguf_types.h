// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "berth/models/tensors.h"

namespace berth::models {

/// Returns how tensors of ggml's type with that number lie in a file, or nothing if the number is
/// unknown or stands for a type that was removed.
std::optional<BlockType> ggml_type(std::uint64_t number);

/// Returns the name of a value of `general.file_type`, "" if it is unknown.
std::string_view file_type_name(std::int64_t number);

}  // namespace berth::models
