// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "berth/servers/adapter.h"

namespace berth::host {

/// How far an image job is. `percentage` never falls, and is 100 only when the pictures are there.
struct ImageProgress {
  std::int32_t step = 0;
  std::int32_t steps = 0;
  std::string stage = "loading";  ///< loading, diffusion, decoding
  std::int32_t percentage = 0;
  std::int32_t image = 1;  ///< the picture that is drawn
  std::int32_t images = 1;
  /// The picture that is really drawn: behind `image` where one is drawn once more, because its
  /// server died over it.
  std::int32_t at = 1;

  bool operator==(const ImageProgress&) const = default;
};

/// A server begins to draw what is behind the first `done` pictures, perhaps once more. Percentage
/// and picture stand still then until they are reached again.
void begin_at(ImageProgress& progress, std::int32_t done);

/// Adds what the server's log says. A picture's shares: loading 20 %, diffusion 50, decoding 30.
void advance(ImageProgress& progress, const servers::Progress& said);

/// The first `done` pictures are there: what comes next is of the one behind them.
void advance_to(ImageProgress& progress, std::int32_t done);

}  // namespace berth::host
