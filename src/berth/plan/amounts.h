// SPDX-License-Identifier: Apache-2.0
// Amounts of memory as the seed and the makers of memory count them: GB = 10^9 bytes.
#pragma once

#include <optional>
#include <string>

#include "berth/base/bytes.h"

namespace berth::plan {

enum class Rounding { nearest, up, down };

/// Returns "12.5 GB", "500 MB", "0 GB"; "?" for an amount that is not known.
std::string gigabytes(std::optional<Bytes> bytes, Rounding rounding = Rounding::nearest);

/// Returns "12.5 GB > 6.0 GB"; in bytes where the rounded amounts would look the same and are not.
std::string comparison(Bytes need, Bytes limit);

}  // namespace berth::plan
