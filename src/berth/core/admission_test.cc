// SPDX-License-Identifier: Apache-2.0
#include "berth/core/admission.h"

#include <gtest/gtest.h>

#include "berth/core/estimate.h"

namespace berth::core {
namespace {

constexpr Bytes kLlama7b{3'500'000'000};
constexpr Bytes kSdxlTurbo{6'900'000'000};
const Policy kSeed;

bool fits_together(Bytes llm, Bytes diffusion, Bytes capacity) {
  return fits(
      {.need = diffusion, .others = llm, .reserve = {}, .capacity = capacity, .foreign = {}},
      kSeed);
}

TEST(SeedFormula, GivesTheNumbersOfTheSeedsScenarios) {
  EXPECT_EQ(seed_gpu_footprint(kLlama7b, {.on_gpu = 32, .total = 32}), Bytes{4'200'000'000});
  EXPECT_EQ(seed_footprint(kSdxlTurbo), Bytes{8'280'000'000});
  EXPECT_EQ(seed_gpu_footprint(kLlama7b, {.on_gpu = 16, .total = 32}), Bytes{2'100'000'000});
}

TEST(SeedFormula, ClampsTheOutputLayerAndTakesAllWhereTheCountIsUnknown) {
  EXPECT_EQ(seed_gpu_footprint(kLlama7b, {.on_gpu = 33, .total = 32}), Bytes{4'200'000'000});
  EXPECT_EQ(seed_gpu_footprint(kLlama7b, {.on_gpu = -1, .total = 32}), Bytes{4'200'000'000});
  EXPECT_EQ(seed_gpu_footprint(kLlama7b, {.on_gpu = 16, .total = std::nullopt}),
            Bytes{4'200'000'000});
  EXPECT_EQ(seed_gpu_footprint(kLlama7b, {.on_gpu = 0, .total = 32}), Bytes{0});
}

TEST(Admission, OffloadsOnEightGigabytesAndNotOnTwentyFour) {
  const Bytes llm = seed_footprint(kLlama7b);
  const Bytes diffusion = seed_footprint(kSdxlTurbo);
  EXPECT_FALSE(fits_together(llm, diffusion, 8_GB));
  EXPECT_TRUE(fits_together(llm, diffusion, 24_GB));
  EXPECT_FALSE(fits_together(llm, diffusion, 16_GB)) << "12.48 > 12.0 of RAM";
}

TEST(Admission, EqualIsDirectAndOneByteMoreOffloads) {
  EXPECT_TRUE(fits_together(Bytes{2'000'000'000}, Bytes{4'000'000'000}, 8_GB));
  EXPECT_FALSE(fits_together(Bytes{2'000'000'001}, Bytes{4'000'000'000}, 8_GB));
  EXPECT_FALSE(fits_together(Bytes{3}, Bytes{4}, Bytes{9})) << "7 > 6.75, not rounded";
}

TEST(Admission, ForeignUseAndReserveCount) {
  const AdmissionInput in{
      .need = 3_GB, .others = {}, .reserve = {}, .capacity = 8_GB, .foreign = 4_GB};
  EXPECT_TRUE(fits(in, kSeed));
  AdmissionInput more = in;
  more.reserve = Bytes{1};
  EXPECT_FALSE(fits(more, kSeed));
}

TEST(Admission, TheBarrierNeverAsksForMoreThanThereCanBe) {
  EXPECT_EQ(barrier_target({.need = 2_GiB, .others = 1_GiB, .capacity = 8_GiB}), 2_GiB);
  EXPECT_EQ(barrier_target({.need = 9_GiB, .others = {}, .capacity = 8_GiB}), 8_GiB - 64_MiB);
  EXPECT_EQ(barrier_target({.need = 1_GiB, .others = 9_GiB, .capacity = 8_GiB}), Bytes{0});
}

}  // namespace
}  // namespace berth::core
