// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "berth/base/bytes.h"

namespace berth::core {

/// Layers of an LLM that go to the GPU. `on_gpu` < 0 means all; more than `total` is clamped (the
/// output layer counts as one more); an unknown total means that all are assumed on the GPU.
struct LayerSplit {
  std::int64_t on_gpu = -1;
  std::optional<std::int64_t> total;
};

/// Returns what a model takes where all of it lies in one pool: ceil(size x 1.2).
///
/// The factor 1.2 stands for attention caches, temporary buffers, the system and a margin.
/// Source: seeds/resource-orchestration.md, "Estimation Formulas".
Bytes seed_footprint(Bytes model_size);

/// Returns the VRAM of an LLM: ceil(size x on_gpu / total x 1.2), in exact integers.
/// Source: seeds/resource-orchestration.md, "Estimation Formulas", GPU mode.
Bytes seed_gpu_footprint(Bytes model_size, const LayerSplit& layers);

}  // namespace berth::core
