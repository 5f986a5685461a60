// SPDX-License-Identifier: Apache-2.0
#include "berth/core/estimate.h"

#include <algorithm>

#include "berth/base/assert.h"

namespace berth::core {
namespace {

__extension__ using Wide = __int128;

constexpr Wide kFactorNumerator = 6;  // 1.2 = 6/5
constexpr Wide kFactorDenominator = 5;

Bytes scaled_up(Bytes size, Wide numerator, Wide denominator) {
  BERTH_ASSERT(size.count >= 0 && numerator >= 0 && denominator > 0);
  return {static_cast<std::int64_t>((size.count * numerator + denominator - 1) / denominator)};
}

}  // namespace

Bytes seed_footprint(Bytes model_size) {
  return scaled_up(model_size, kFactorNumerator, kFactorDenominator);
}

Bytes seed_gpu_footprint(Bytes model_size, const LayerSplit& layers) {
  if (!layers.total || *layers.total <= 0 || layers.on_gpu < 0) return seed_footprint(model_size);
  const std::int64_t on_gpu = std::min(layers.on_gpu, *layers.total);
  return scaled_up(model_size, kFactorNumerator * on_gpu, kFactorDenominator * *layers.total);
}

}  // namespace berth::core
