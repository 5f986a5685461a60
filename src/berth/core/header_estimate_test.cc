// SPDX-License-Identifier: Apache-2.0
#include "berth/core/header_estimate.h"

#include <variant>

#include <gmock/gmock.h>

namespace berth::core {
namespace {

/// Four layers of 100 bytes, two KV heads of 64, tied to nothing.
ModelFacts model() {
  ModelFacts facts;
  facts.layers.assign(4, {.weights = Bytes{100}, .key_elements = 128, .value_elements = 128});
  facts.input_weights = Bytes{1000};
  facts.output_weights = Bytes{2000};
  facts.other_weights = Bytes{7};
  facts.embedding = 256;
  facts.feed_forward = 1024;
  facts.heads = 4;
  facts.vocabulary = 50'000;
  return facts;
}

LaunchFacts launch() {
  return {.context = 2048};
}

HeaderEstimate estimate(const ModelFacts& facts, const LaunchFacts& how) {
  const auto told = header_estimate(facts, how);
  EXPECT_TRUE(std::holds_alternative<HeaderEstimate>(told));
  return std::holds_alternative<HeaderEstimate>(told) ? std::get<HeaderEstimate>(told)
                                                      : HeaderEstimate{};
}

Unknowable why_not(const ModelFacts& facts, const LaunchFacts& how) {
  const auto told = header_estimate(facts, how);
  EXPECT_TRUE(std::holds_alternative<Unknowable>(told));
  return std::holds_alternative<Unknowable>(told) ? std::get<Unknowable>(told) : Unknowable{};
}

TEST(HeaderEstimate, OfTheCacheMatchesTheWorkedExamplesOfLlamaCpp) {
  // Qwen3-30B-A3B: 48 layers x 4 heads x 128, f16, 4096 tokens = 384 MiB (README of fit-params).
  ModelFacts qwen = model();
  qwen.layers.assign(48, {.key_elements = 4 * 128, .value_elements = 4 * 128});
  EXPECT_EQ(estimate(qwen, {.context = 4096}).host.cache, 384_MiB);
  // Llama-3.1-8B: 128 KiB a token in f16, 68 KiB in q8_0, 36 KiB in q4_0.
  ModelFacts llama = model();
  llama.layers.assign(32, {.key_elements = 8 * 128, .value_elements = 8 * 128});
  const auto of_one_token = [&](CellType type) {
    const LaunchFacts how{.context = 256, .key_type = type, .value_type = type};
    return estimate(llama, how).host.cache.count / 256;
  };
  EXPECT_EQ(of_one_token(CellType::f16), 128 << 10);
  EXPECT_EQ(of_one_token(CellType::q8_0), 68 << 10);
  EXPECT_EQ(of_one_token(CellType::q4_0), 36 << 10);
}

TEST(HeaderEstimate, CountsEveryTypeOfCellInWholeBlocks) {
  const auto of_type = [](const char* name) {
    const CellType type = *cell_type(name);
    const LaunchFacts how{.context = 256, .key_type = type, .value_type = type};
    return estimate(model(), how).host.cache.count / (256 * 4 * 2);  // 128 elements = 4 blocks
  };
  EXPECT_EQ(of_type("f32"), 128 * 4);
  EXPECT_EQ(of_type("f16"), 128 * 2);
  EXPECT_EQ(of_type("bf16"), 128 * 2);
  EXPECT_EQ(of_type("q8_0"), 4 * 34);
  EXPECT_EQ(of_type("q5_1"), 4 * 24);
  EXPECT_EQ(of_type("q5_0"), 4 * 22);
  EXPECT_EQ(of_type("q4_1"), 4 * 20);
  EXPECT_EQ(of_type("q4_0"), 4 * 18);
  EXPECT_EQ(of_type("iq4_nl"), 4 * 18);
  EXPECT_FALSE(cell_type("q2_0"));
}

TEST(HeaderEstimate, MayHaveKeysAndValuesOfDifferentTypesAndLengths) {
  ModelFacts facts = model();
  facts.layers.assign(1, {.key_elements = 192, .value_elements = 128});
  const LaunchFacts how{.context = 256, .key_type = CellType::f16, .value_type = CellType::q8_0};
  EXPECT_EQ(estimate(facts, how).host.cache.count, 256 * (192 * 2 + 4 * 34));
}

TEST(HeaderEstimate, GivesEverySlotItsShareOfTheContextInStepsOf256) {
  const auto cells = [](std::int64_t context, std::int64_t parallel) {
    const LaunchFacts how{.context = context, .parallel = parallel};
    return estimate(model(), how).host.cache.count / (4 * 256 * 2);
  };
  EXPECT_EQ(cells(2048, 1), 2048);
  EXPECT_EQ(cells(2048, 4), 2048);
  EXPECT_EQ(cells(2049, 1), 2304);
  EXPECT_EQ(cells(2000, 3), 3 * 768);
}

TEST(HeaderEstimate, BoundsALayerWithASlidingWindowByItsWindow) {
  ModelFacts facts = model();
  facts.window = 1024;
  facts.layers[0].is_windowed = facts.layers[1].is_windowed = true;
  const auto cells = [&](std::int64_t context, std::int64_t parallel) {
    const LaunchFacts how{.context = context, .parallel = parallel};
    return estimate(facts, how).host.cache.count / (256 * 2);
  };
  EXPECT_EQ(cells(32'768, 1), 2 * 32'768 + 2 * (1024 + 512));
  EXPECT_EQ(cells(32'768, 2), 2 * 32'768 + 2 * 2 * (1024 + 512));
  EXPECT_EQ(cells(512, 1), 4 * 512) << "a short context is shorter than the window";
}

TEST(HeaderEstimate, LeavesEverythingOnTheHostWithoutGpuLayers) {
  const HeaderEstimate told = estimate(model(), launch());
  EXPECT_EQ(told.host.weights, Bytes{4 * 100 + 1000 + 2000 + 7});
  EXPECT_EQ(told.device, SideEstimate{});
}

TEST(HeaderEstimate, PutsTheLastLayersOnTheDeviceAndCountsTheOutputAsOne) {
  const auto on = [](std::int64_t gpu_layers) {
    LaunchFacts how = launch();
    how.gpu_layers = gpu_layers;
    return estimate(model(), how);
  };
  EXPECT_EQ(on(1).device.weights, Bytes{2000});
  EXPECT_EQ(on(3).device.weights, Bytes{2000 + 2 * 100});
  EXPECT_EQ(on(3).device.cache.count, 2 * 2048 * 256 * 2);
  EXPECT_EQ(on(3).host.weights, Bytes{1000 + 7 + 2 * 100});
  EXPECT_EQ(on(5).device.weights, Bytes{2000 + 4 * 100});
  EXPECT_EQ(on(-1), on(5));
  EXPECT_EQ(on(99), on(5));
  EXPECT_EQ(on(5).host.cache, Bytes{0});
  EXPECT_EQ(on(5).host.compute, Bytes{0});
  EXPECT_GT(on(4).host.compute, Bytes{0});
}

TEST(HeaderEstimate, CopiesEmbeddingsThatServeAsOutputToTheDevice) {
  ModelFacts facts = model();
  facts.output_weights = Bytes{4};  // a norm and no matrix
  LaunchFacts how = launch();
  EXPECT_EQ(estimate(facts, how).host.weights, Bytes{4 * 100 + 1000 + 4 + 7});
  how.gpu_layers = -1;
  EXPECT_EQ(estimate(facts, how).device.weights, Bytes{4 * 100 + 1000 + 4});
  EXPECT_EQ(estimate(facts, how).host.weights, Bytes{1000 + 7});
}

TEST(HeaderEstimate, BoundsTheGraphAsLlamaCppReservesIt) {
  // "CPU compute buffer size = 10.01 MiB" with 2048 cells a slot, 9.01 with 1024, 16.01 with 8192.
  const auto compute = [](std::int64_t context, std::int64_t parallel) {
    const LaunchFacts how{.context = context, .parallel = parallel};
    return estimate(model(), how).host.compute;
  };
  EXPECT_EQ(compute(2048, 1), 10_MiB);
  EXPECT_EQ(compute(4096, 4), 9_MiB);
  EXPECT_EQ(compute(8192, 1), 16_MiB);
}

TEST(HeaderEstimate, AddsTheScoresOfEveryHeadWithoutFlashAttention) {
  LaunchFacts how = launch();
  how.has_flash_attention = false;
  // 4 heads x 512 x 2048 floats, and a mask of floats in place of halves.
  EXPECT_EQ(estimate(model(), how).host.compute, 10_MiB + 16_MiB + 2_MiB);
}

TEST(HeaderEstimate, SaysWhyWhereAHeaderDoesNotTellIt) {
  ModelFacts facts = model();
  facts.is_latent = true;
  EXPECT_EQ(why_not(facts, launch()), Unknowable::latent);
  facts = model();
  facts.is_recurrent = true;
  EXPECT_EQ(why_not(facts, launch()), Unknowable::recurrent);
  LaunchFacts how = launch();
  how.has_unknown_argument = true;
  EXPECT_EQ(why_not(model(), how), Unknowable::argument);
}

TEST(HeaderEstimate, IsNotMadeUpFromAHeaderThatLacksItsNumbers) {
  ModelFacts facts = model();
  facts.layers.clear();
  EXPECT_EQ(why_not(facts, launch()), Unknowable::shape);
  facts = model();
  facts.vocabulary = 0;
  EXPECT_EQ(why_not(facts, launch()), Unknowable::shape);
  facts = model();
  for (LayerFacts& layer : facts.layers)
    layer.key_elements = 0;
  EXPECT_EQ(why_not(facts, launch()), Unknowable::shape);
  facts = model();
  facts.layers[2].value_elements = std::int64_t{1} << 40;
  EXPECT_EQ(why_not(facts, launch()), Unknowable::shape);
}

TEST(HeaderEstimate, OfAHostileHeaderIsAHugeNumberAndNoOverflow) {
  ModelFacts facts = model();
  constexpr std::int64_t kMost = std::int64_t{1} << 32;
  facts.layers.assign(10'000, {.key_elements = kMost, .value_elements = kMost});
  facts.embedding = facts.feed_forward = facts.heads = facts.vocabulary = kMost;
  LaunchFacts how{.context = kMost, .parallel = 256, .gpu_layers = 5000};
  how.has_flash_attention = false;
  EXPECT_GT(estimate(facts, how).total(), Bytes{std::int64_t{1} << 48});
}

TEST(DryRun, KnowsTheBuffersOfADeviceBetterThanTheHeader) {
  LaunchFacts how = launch();
  how.gpu_layers = -1;
  const auto told = header_estimate(model(), how);
  const HeaderEstimate before = std::get<HeaderEstimate>(told);
  DryRun dry_run;
  dry_run.device = {.weights = 1_GiB, .cache = 1_GiB, .compute = 77_MiB, .process = {}};
  dry_run.host = {.weights = {}, .cache = {}, .compute = 300_MiB, .process = {}};
  HeaderEstimate wanted = before;
  wanted.device.compute = 77_MiB;
  EXPECT_EQ(with_dry_run(told, dry_run), wanted) << "the rest stays as the header has it";
}

TEST(DryRun, TellsWhatAHeaderCannot) {
  ModelFacts latent = model();
  latent.is_latent = true;
  DryRun dry_run;
  dry_run.host = {.weights = 1_GiB, .cache = 2_GiB, .compute = 3_MiB, .process = {}};
  const HeaderEstimate out = with_dry_run(header_estimate(latent, launch()), dry_run);
  EXPECT_GT(out.host.total(), 3_GiB + 3_MiB) << "and what the process takes";
  EXPECT_EQ(out.device.total(), Bytes{0});
  dry_run.device.weights = 1_GiB;
  EXPECT_GT(with_dry_run(Unknowable::argument, dry_run).device.total(), 1_GiB);
}

}  // namespace
}  // namespace berth::core
