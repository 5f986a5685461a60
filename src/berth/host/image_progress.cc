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

/// Nothing of the next picture has been seen yet.
void begin_stages(ImageProgress& progress) {
  const ImageProgress fresh;
  progress.stage = fresh.stage;
  progress.step = fresh.step;
  progress.steps = fresh.steps;
}

/// The log may tell of the next picture before the last one was fetched, or the other way round.
void move_to(ImageProgress& progress, std::int32_t picture) {
  const std::int32_t next = std::min(picture, progress.images);
  if (next <= progress.at) return;
  progress.at = next;
  progress.image = std::max(progress.image, next);
  begin_stages(progress);
}

}  // namespace

void begin_at(ImageProgress& progress, std::int32_t done) {
  progress.at = 1;
  begin_stages(progress);
  advance_to(progress, done);
}

void advance(ImageProgress& progress, const servers::Progress& said) {
  // Parts of the model are also loaded between two stages, and that is no step back.
  if (said.stage == "loading" && progress.stage != "loading") return;
  const bool next = said.stage == "diffusion" && progress.stage == "decoding";
  if (next) move_to(progress, progress.at + 1);
  progress.stage = said.stage;
  progress.step = said.step;
  progress.steps = said.steps;
  raise(progress, progress.at - 1, percentage_of(said));
}

void advance_to(ImageProgress& progress, std::int32_t done) {
  move_to(progress, done + 1);
  raise(progress, done, 0);
}

}  // namespace berth::host
