// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "berth/base/bytes.h"
#include "berth/base/time.h"

namespace berth::cli {

/// How far a picture is.
struct Progress {
  std::string_view stage;
  std::int64_t step = 0;
  std::int64_t steps = 0;  ///< 0: unknown
  Duration elapsed{0};
};

/// Returns one line without a newline: "[######--------------]  6/20 diffusion 4.2 s".
std::string progress_line(const Progress& progress, std::size_t bar_width = 30);

/// How full a pool is.
struct Fill {
  Bytes used;
  Bytes limit;
  Bytes capacity;
};

/// Returns a bar as wide as the capacity, with a '|' where the limit is: "[####-----|--]".
std::string pool_bar(const Fill& fill, std::size_t bar_width = 24);

}  // namespace berth::cli
