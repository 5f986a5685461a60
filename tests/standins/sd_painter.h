// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace berth::standin {

/// What is drawn: the picture depends on nothing else.
struct Motif {
  std::string_view prompt;
  std::int64_t seed = 0;
  int width = 0;
  int height = 0;
  int steps = 0;
  bool tells_prompt = true;
};

/// Returns the bytes of an 8-bit RGB PNG: a gradient under a grid of blocks, by prompt and seed.
/// Its text chunk `parameters` has the prompt if `tells_prompt`, and names the stand-in.
std::string paint_png(const Motif& motif);

std::string base64(std::string_view bytes);

}  // namespace berth::standin
