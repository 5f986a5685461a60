// SPDX-License-Identifier: Apache-2.0
#include "berth/host/image_progress.h"

#include <algorithm>

namespace berth::host {
namespace {

// The shares that genai-electron's documentation names for a cold start.
constexpr std::int32_t kLoading = 20;
constexpr std::int32_t kDiffusion = 50;
/// Until the pictures are decoded, fetched and written.
constexpr std::int32_t kMostBeforeTheEnd = 99;

std::int32_t share(std::int32_t of, const servers::Progress& said) {
  if (said.steps <= 0) return 0;
  const std::int64_t step = std::clamp<std::int32_t>(said.step, 0, said.steps);
  return static_cast<std::int32_t>(of * step / said.steps);
}

std::int32_t percentage_of(const servers::Progress& said) {
  if (said.stage == "diffusion") return kLoading + share(kDiffusion, said);
  if (said.stage == "decoding") return kLoading + kDiffusion;
  return share(kLoading, said);
}

/// `done` pictures and a part of the next one.
void raise(ImageProgress& progress, std::int32_t done, std::int32_t of_next) {
  const std::int32_t all = (done * 100 + of_next) / progress.images;
  progress.percentage = std::max(progress.percentage, std::min(all, kMostBeforeTheEnd));
}

}  // namespace

void advance(ImageProgress& progress, const servers::Progress& said) {
  // Parts of the model are also loaded between two stages, and that is no step back.
  if (said.stage == "loading" && progress.stage != "loading") return;
  const bool next = said.stage == "diffusion" && progress.stage == "decoding";
  if (next) progress.image = std::min(progress.image + 1, progress.images);
  progress.stage = said.stage;
  progress.step = said.step;
  progress.steps = said.steps;
  raise(progress, progress.image - 1, percentage_of(said));
}

void advance_to(ImageProgress& progress, std::int32_t done) {
  progress.image = std::clamp(done + 1, progress.image, std::max(progress.image, progress.images));
  raise(progress, done, 0);
}

}  // namespace berth::host
