// SPDX-License-Identifier: Apache-2.0
// The scenarios of seeds/resource-orchestration.md and the tables of
// seeds/resource-management-guide.md, to the digit.
#include "berth/core/plan_report.h"

#include <algorithm>
#include <initializer_list>

#include <gmock/gmock.h>

#include "berth/core/admission.h"

namespace berth::core {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr PoolId kVram{0};
constexpr PoolId kRam{1};
constexpr Bytes kLlama7b{3'500'000'000};
constexpr Bytes kSdxlTurbo{6'900'000'000};
constexpr LayerSplit kAllOf32{.on_gpu = 32, .total = 32};

PlanQuestion gpu_machine(Bytes vram, std::optional<Bytes> ram = std::nullopt) {
  return {
      {{.name = "gpu0.vram", .is_gpu = true, .capacity = vram}, {.name = "ram", .capacity = ram}},
      {}};
}

PlanQuestion seed_machine(Bytes vram, const LayerSplit& layers = kAllOf32,
                          std::optional<Bytes> llm_size = kLlama7b) {
  PlanQuestion question = gpu_machine(vram);
  question.components = {seed_llm("llm", llm_size, layers, kVram, kRam),
                         seed_diffusion("diffusion", kSdxlTurbo, kVram, kRam)};
  return question;
}

PlanComponent declared(std::string name, std::initializer_list<PlanShare> shares) {
  return {.name = std::move(name), .shares = shares};
}

PlanQuestion mistral_and_wan(Bytes vram) {
  PlanQuestion question = gpu_machine(vram, 32_GB);
  question.components = {declared("Mistral 7B", {{kVram, 5_GB, "declared"}}),
                         declared("WAN I2V", {{kVram, 21_GB, "declared"}})};
  return question;
}

PoolReport vram_of(const PlanQuestion& question) {
  return report_on_pool(question, kVram);
}

const Advice* find(const PlanReport& report, AdviceKind kind, std::size_t component = 0) {
  const auto found = std::find_if(
      report.advice.begin(), report.advice.end(),
      [&](const Advice& advice) { return advice.kind == kind && advice.component == component; });
  return found == report.advice.end() ? nullptr : &*found;
}

/// The amount that is advised, -1 where there is no such advice.
Bytes advised(const PlanReport& report, AdviceKind kind, std::size_t component = 0) {
  const Advice* advice = find(report, kind, component);
  return advice == nullptr ? Bytes{-1} : advice->bytes;
}

TEST(PlanReport, ScenarioOneOffloadsOnEightGigabytesAndTriesTheOversizeDiffusion) {
  const PoolReport report = vram_of(seed_machine(8_GB));
  EXPECT_EQ(report.verdict, PlanVerdict::offload);
  EXPECT_EQ(report.need, Bytes{12'480'000'000});
  EXPECT_EQ(report.limit, 6_GB);
  EXPECT_THAT(report.leaving, ElementsAre(0u));
  EXPECT_EQ(report.freed, Bytes{4'200'000'000});
  EXPECT_EQ(8_GB - report.freed, Bytes{3'800'000'000});
  EXPECT_EQ(report.rows[1].bytes, Bytes{8'280'000'000});
  EXPECT_TRUE(report.oversize);
  EXPECT_FALSE(report.stays_out) << "8.3 is tried on 8";
  EXPECT_EQ(report.buffer, Bytes{-4'480'000'000});
}

TEST(PlanReport, ScenarioTwoIsDirectOnTwentyFourGigabytes) {
  const PoolReport report = vram_of(seed_machine(24_GB));
  EXPECT_EQ(report.verdict, PlanVerdict::direct);
  EXPECT_EQ(report.need, Bytes{12'480'000'000});
  EXPECT_EQ(report.limit, 18_GB);
  EXPECT_FALSE(report.oversize);
  EXPECT_THAT(report.leaving, IsEmpty());
}

TEST(PlanReport, ScenarioThreeOffloadsOnSixteenGigabytesOfRam) {
  PlanQuestion question;
  question.pools = {{.name = "ram", .capacity = 16_GB}};
  question.components = {
      seed_llm("llm", kLlama7b, {.on_gpu = 0, .total = 32}, std::nullopt, PoolId{0}),
      seed_diffusion("diffusion", kSdxlTurbo, std::nullopt, PoolId{0})};
  const PlanReport report = report_on(question);
  const PoolReport& ram = report.pools[report.bottleneck];
  EXPECT_EQ(ram.verdict, PlanVerdict::offload);
  EXPECT_EQ(ram.need, Bytes{12'480'000'000});
  EXPECT_EQ(ram.limit, 12_GB);
  EXPECT_FALSE(ram.oversize);
  EXPECT_EQ(ram.freed, Bytes{4'200'000'000});
}

TEST(PlanReport, EqualIsDirectAndOneByteMoreOffloads) {
  PlanQuestion question = gpu_machine(8_GB);
  question.components = {declared("a", {{kVram, 2_GB, "declared"}}),
                         declared("b", {{kVram, 4_GB, "declared"}})};
  EXPECT_EQ(vram_of(question).verdict, PlanVerdict::direct);
  question.components[0].shares[0].bytes = 2_GB + Bytes{1};
  EXPECT_EQ(vram_of(question).verdict, PlanVerdict::offload);
}

TEST(PlanReport, LayersOnTheGpuCountByTheirShare) {
  const auto llm = [](std::int64_t on_gpu, std::optional<std::int64_t> total) {
    return vram_of(seed_machine(8_GB, {.on_gpu = on_gpu, .total = total})).rows[0].bytes;
  };
  EXPECT_EQ(llm(16, 32), Bytes{2'100'000'000});
  EXPECT_EQ(llm(33, 32), Bytes{4'200'000'000}) << "the output layer is clamped";
  EXPECT_EQ(llm(-1, 32), Bytes{4'200'000'000});
  EXPECT_EQ(llm(0, 32), Bytes{0});
}

TEST(PlanReport, AnLlmWithoutLayersOnTheGpuLiesInTheRam) {
  const PlanQuestion question = seed_machine(8_GB, {.on_gpu = 0, .total = 32});
  EXPECT_EQ(report_on_pool(question, kRam).rows[0].bytes, Bytes{4'200'000'000});
}

TEST(PlanReport, AnUnknownLayerCountCountsAsAllOnTheGpuAndIsSaid) {
  const PlanQuestion question = seed_machine(8_GB, {.on_gpu = 16, .total = std::nullopt});
  EXPECT_EQ(vram_of(question).rows[0].bytes, Bytes{4'200'000'000});
  EXPECT_EQ(question.components[0].notes.size(), 1u);
  EXPECT_THAT(seed_machine(8_GB).components[0].notes, IsEmpty());
}

TEST(PlanReport, AnUnknownSizeIsUnknownAndNeverZero) {
  const PoolReport report = vram_of(seed_machine(24_GB, kAllOf32, std::nullopt));
  EXPECT_EQ(report.verdict, PlanVerdict::unknown);
  EXPECT_EQ(report.reason, PlanReason::size_unknown);
  EXPECT_EQ(report.rows[0].bytes, std::nullopt);
  EXPECT_EQ(report.rows[0].source, "unknown");
  EXPECT_EQ(report.need, std::nullopt);
  EXPECT_EQ(report.buffer, std::nullopt);
  EXPECT_EQ(report.limit, 18_GB);
}

TEST(PlanReport, AnLlmThatDoesNotRunHasNothingToLeave) {
  PlanQuestion question = seed_machine(8_GB);
  question.components[0].presence = Presence::not_running;
  const PoolReport report = vram_of(question);
  EXPECT_EQ(report.verdict, PlanVerdict::direct);
  EXPECT_EQ(report.reason, PlanReason::not_running);
  EXPECT_EQ(report.need, Bytes{8'280'000'000});
  EXPECT_TRUE(report.oversize);
}

TEST(PlanReport, WithoutAGpuTheBottleneckIsTheRamWhateverLayersWereAskedFor) {
  PlanQuestion question;
  question.pools = {{.name = "ram", .capacity = 16_GB}};
  question.components = {seed_llm("llm", kLlama7b, {.on_gpu = 16, .total = 32}, {}, PoolId{0})};
  const PlanReport report = report_on(question);
  EXPECT_EQ(report.bottleneck, 0u);
  EXPECT_EQ(report.pools[0].need, Bytes{4'200'000'000});
}

TEST(PlanReport, WithAGpuTheBottleneckIsTheVramHoweverShortTheRamIs) {
  PlanQuestion question = gpu_machine(24_GB, 4_GB);
  question.pools = {question.pools[1], question.pools[0]};
  question.components = {declared("a", {{PoolId{0}, 4_GB, "declared"}})};
  const PlanReport report = report_on(question);
  EXPECT_EQ(report.bottleneck, 1u);
  EXPECT_EQ(report.pools[1].verdict, PlanVerdict::direct);
}

TEST(PlanReport, OfTwoGpusTheOneWithTheLeastRoomIsTheBottleneck) {
  PlanQuestion question;
  question.pools = {{.name = "gpu0.vram", .is_gpu = true, .capacity = 8_GB},
                    {.name = "gpu1.vram", .is_gpu = true, .capacity = 24_GB}};
  question.components = {declared("a", {{PoolId{1}, 17_GB, "declared"}})};
  EXPECT_EQ(report_on(question).bottleneck, 1u);
}

TEST(PlanReport, NothingMovesWhereItIsNotNeededAndTheReasonIsNamed) {
  const auto reason = [](PlanQuestion question) {
    const PoolReport report = vram_of(question);
    EXPECT_EQ(report.verdict, PlanVerdict::direct);
    EXPECT_THAT(report.leaving, IsEmpty());
    return report.reason;
  };
  EXPECT_EQ(reason(seed_machine(24_GB)), PlanReason::ample);
  EXPECT_EQ(reason(seed_machine(24_GB - Bytes{1})), PlanReason::fits);
  PlanQuestion one = seed_machine(8_GB);
  one.components.erase(one.components.begin());
  EXPECT_EQ(reason(one), PlanReason::alone);
  PlanQuestion two_machines = seed_machine(8_GB);
  two_machines.components[0].presence = Presence::elsewhere;
  two_machines.components[0].machine = "attic";
  EXPECT_EQ(reason(two_machines), PlanReason::elsewhere);
}

TEST(PlanReport, ThirtyTwoGigabytesOfRamAreAmpleAndTwentyFourAreNot) {
  const auto reason = [](Bytes ram) {
    PlanQuestion question;
    question.pools = {{.name = "ram", .capacity = ram}};
    question.components = {seed_llm("llm", kLlama7b, {}, {}, PoolId{0}),
                           seed_diffusion("diffusion", kSdxlTurbo, {}, PoolId{0})};
    return report_on_pool(question, PoolId{0}).reason;
  };
  EXPECT_EQ(reason(32_GB), PlanReason::ample);
  EXPECT_EQ(reason(32_GB - Bytes{1}), PlanReason::fits);
}

TEST(PlanReport, AmpleIsNoReasonWhereTheSumIsBeyondTheLimit) {
  EXPECT_EQ(vram_of(mistral_and_wan(24_GB)).reason, PlanReason::exceeds);
}

// seeds/resource-management-guide.md, "Resource Requirements".
TEST(PlanReport, TheTableOfTheCpuPlanAddsUpRowByRow) {
  PlanQuestion question = gpu_machine(40_GB, 32_GB);
  PlanComponent nemo = declared("Mistral Nemo", {{kRam, 4_GB, "declared"}});
  nemo.cpu = CpuShare{20};
  PlanComponent dev_server = declared("Dev server", {{kRam, Bytes{500'000'000}, "declared"}});
  dev_server.cpu = CpuShare{5, true};
  question.components = {*declared_component("WAN I2V", kVram, kRam), nemo, dev_server};
  const PlanReport report = report_on(question);
  EXPECT_EQ(report.pools[0].need, 21_GB);
  EXPECT_EQ(report.pools[1].need, Bytes{6'500'000'000});
  EXPECT_EQ(report.pools[1].rows[0].bytes, 2_GB);
  EXPECT_EQ(report.pools[0].rows[1].bytes, Bytes{0});
  EXPECT_EQ(report.pools[0].verdict, PlanVerdict::direct);
  const Advice* contention = find(report, AdviceKind::contention, 1);
  ASSERT_NE(contention, nullptr) << "the LLM on the CPU slows the video";
  EXPECT_EQ(contention->beside, 0u);
  EXPECT_EQ(find(report, AdviceKind::contention, 2), nullptr) << "the dev server is minimal";
  EXPECT_EQ(find(report, AdviceKind::contention, 0), nullptr) << "it is the one on the GPU";
}

// seeds/resource-management-guide.md, "Updated VRAM Profile".
TEST(PlanReport, FiveAndTwentyOneAreSafeOnFortyWithABufferOfFourteen) {
  const PlanReport report = report_on(mistral_and_wan(40_GB));
  const PoolReport& vram = report.pools[report.bottleneck];
  EXPECT_EQ(vram.need, 26_GB);
  EXPECT_EQ(vram.buffer, 14_GB);
  EXPECT_EQ(vram.limit, 30_GB);
  EXPECT_EQ(vram.verdict, PlanVerdict::direct);
  EXPECT_THAT(report.advice, IsEmpty());
}

TEST(PlanReport, TheSameTwoAreUnsafeOnTwentyFourWithAdvice) {
  const PlanReport report = report_on(mistral_and_wan(24_GB));
  const PoolReport& vram = report.pools[report.bottleneck];
  EXPECT_EQ(vram.verdict, PlanVerdict::offload);
  EXPECT_TRUE(vram.oversize) << "21 alone is more than 18";
  EXPECT_THAT(vram.leaving, ElementsAre(0u));
  EXPECT_NE(find(report, AdviceKind::sequential, 1), nullptr);
  EXPECT_EQ(advised(report, AdviceKind::smaller_need, 1), 13_GB);
  EXPECT_EQ(advised(report, AdviceKind::own_device, 1), 28_GB);
  EXPECT_EQ(advised(report, AdviceKind::larger_pool), Bytes{34'666'666'667});
  EXPECT_NE(find(report, AdviceKind::second_machine, 0), nullptr);
}

TEST(PlanReport, WanIsDeclaredAsTheSeedMeasuredItUntilItIsLearned) {
  const auto wan = declared_component("WAN I2V", kVram, kRam);
  ASSERT_TRUE(wan);
  EXPECT_THAT(wan->shares, ElementsAre(PlanShare{kVram, 21_GB, "declared", 18_GB, 23_GB},
                                       PlanShare{kRam, 2_GB, "declared"}));
  EXPECT_EQ(wan->cpu, CpuShare{16});
  EXPECT_EQ(declared_component("WAN I2V", std::nullopt, kRam), std::nullopt) << "it needs a GPU";
  EXPECT_EQ(declared_component("Mistral 7B", kVram, kRam), std::nullopt);
}

TEST(PlanReport, APlanThatFitsOnlyWithoutSpikesSaysSo) {
  PlanQuestion question = gpu_machine(36_GB);
  question.components = {declared("Mistral 7B", {{kVram, 5_GB, "declared"}}),
                         *declared_component("WAN I2V", kVram, kRam)};
  const PlanReport report = report_on(question);
  EXPECT_EQ(report.pools[0].verdict, PlanVerdict::direct) << "26 <= 27";
  EXPECT_EQ(report.pools[0].spike, 28_GB);
  EXPECT_EQ(advised(report, AdviceKind::spike), 28_GB);
  question.pools[0].capacity = 40_GB;
  EXPECT_EQ(find(report_on(question), AdviceKind::spike), nullptr) << "28 <= 30";
}

TEST(PlanReport, EveryAdvisedNumberIsTheLastThatFits) {
  PlanQuestion question = gpu_machine(16_GB, 16_GB);
  question.components = {seed_llm("llm", kLlama7b, kAllOf32, kVram, kRam),
                         seed_diffusion("diffusion", kSdxlTurbo, kVram, kRam)};
  const PlanReport report = report_on(question);
  const auto verdict_with = [&](std::size_t i, PlanComponent component, Bytes capacity = 16_GB) {
    PlanQuestion changed = question;
    changed.components[i] = std::move(component);
    changed.pools[0].capacity = capacity;
    return vram_of(changed).verdict;
  };
  const Advice* fewer_layers = find(report, AdviceKind::fewer_layers);
  ASSERT_NE(fewer_layers, nullptr);
  const std::int64_t layers = fewer_layers->layers;
  EXPECT_EQ(layers, 28);
  const auto with_layers = [](std::int64_t n) {
    return seed_llm("llm", kLlama7b, {.on_gpu = n, .total = 32}, kVram, kRam);
  };
  EXPECT_EQ(verdict_with(0, with_layers(layers)), PlanVerdict::direct);
  EXPECT_EQ(verdict_with(0, with_layers(layers + 1)), PlanVerdict::offload);

  const Bytes llm = advised(report, AdviceKind::smaller_model, 0);
  const auto with_llm = [](Bytes n) { return seed_llm("llm", n, kAllOf32, kVram, kRam); };
  EXPECT_EQ(verdict_with(0, with_llm(llm)), PlanVerdict::direct);
  EXPECT_EQ(verdict_with(0, with_llm(llm + Bytes{1})), PlanVerdict::offload);

  const Bytes diffusion = advised(report, AdviceKind::smaller_model, 1);
  const auto with_diffusion = [](Bytes n) { return seed_diffusion("diffusion", n, kVram, kRam); };
  EXPECT_EQ(verdict_with(1, with_diffusion(diffusion)), PlanVerdict::direct);
  EXPECT_EQ(verdict_with(1, with_diffusion(diffusion + Bytes{1})), PlanVerdict::offload);

  const Bytes card = advised(report, AdviceKind::larger_pool);
  EXPECT_EQ(card, Bytes{16'640'000'000});
  EXPECT_EQ(verdict_with(0, question.components[0], card), PlanVerdict::direct);
  EXPECT_EQ(verdict_with(0, question.components[0], card - Bytes{1}), PlanVerdict::offload);
}

TEST(PlanReport, NothingAboutTheLlmIsAdvisedWhereTheDiffusionAloneIsBeyondTheLimit) {
  const PlanReport report = report_on(seed_machine(8_GB));
  for (const AdviceKind kind :
       {AdviceKind::fewer_layers, AdviceKind::smaller_context, AdviceKind::smaller_model}) {
    EXPECT_EQ(find(report, kind, 0), nullptr);
  }
  EXPECT_NE(find(report_on(seed_machine(16_GB)), AdviceKind::smaller_context, 0), nullptr);
}

TEST(PlanReport, TheLlmIsSentToTheCpuOnlyWhereTheRamHasRoom) {
  PlanQuestion question = seed_machine(8_GB);
  EXPECT_EQ(advised(report_on(question), AdviceKind::on_cpu), Bytes{4'200'000'000});
  question.pools[1].capacity = Bytes{5'600'000'000};
  EXPECT_NE(find(report_on(question), AdviceKind::on_cpu), nullptr);
  question.pools[1].capacity = Bytes{5'599'999'999};
  EXPECT_EQ(find(report_on(question), AdviceKind::on_cpu), nullptr);
}

TEST(PlanReport, WhatHelpsInTwoPoolsIsAdvisedOnce) {
  PlanQuestion question = gpu_machine(8_GB, 8_GB);
  question.components = {declared("llm", {{kVram, 4_GB, "declared"}, {kRam, 4_GB, "declared"}}),
                         declared("video", {{kVram, 5_GB, "declared"}, {kRam, 5_GB, "declared"}})};
  question.components[0].job_class = ServerClass::chat;
  const PlanReport report = report_on(question);
  const auto count = [&](AdviceKind kind) {
    return std::count_if(report.advice.begin(), report.advice.end(),
                         [&](const Advice& advice) { return advice.kind == kind; });
  };
  EXPECT_EQ(count(AdviceKind::sequential), 1);
  EXPECT_EQ(count(AdviceKind::smaller_context), 1);
  EXPECT_EQ(count(AdviceKind::second_machine), 1);
  EXPECT_EQ(count(AdviceKind::larger_pool), 2);
}

TEST(PlanReport, AnotherGpuWithRoomIsNamed) {
  PlanQuestion question = seed_machine(8_GB);
  question.pools.push_back({.name = "gpu1.vram", .is_gpu = true, .capacity = 12_GB});
  const PlanReport report = report_on(question);
  const Advice* llm = find(report, AdviceKind::other_device, 0);
  ASSERT_NE(llm, nullptr);
  EXPECT_EQ(llm->pool, PoolId{2});
  EXPECT_NE(find(report, AdviceKind::other_device, 1), nullptr) << "8.28 <= 9";
  EXPECT_EQ(find(report, AdviceKind::own_device, 1), nullptr);
}

TEST(PlanReport, ForeignUseLowersTheLimitAndMayKeepTheNewcomerOut) {
  PlanQuestion question = seed_machine(24_GB);
  question.pools[0].foreign = 8_GB;
  const PoolReport less = vram_of(question);
  EXPECT_EQ(less.limit, 12_GB);
  EXPECT_EQ(less.buffer, Bytes{3'520'000'000});
  EXPECT_EQ(less.verdict, PlanVerdict::offload);
  EXPECT_FALSE(less.oversize) << "the empty machine has room for it";
  EXPECT_THAT(less.leaving, ElementsAre(0u));
  question.pools[0].foreign = 20_GB;
  const PoolReport least = vram_of(question);
  EXPECT_TRUE(least.stays_out);
  EXPECT_THAT(least.leaving, IsEmpty()) << "nobody leaves for what cannot come";
}

TEST(PlanReport, AnOversizeNewcomerIsRefusedWhereThePolicySaysSo) {
  PlanQuestion question = seed_machine(8_GB);
  question.pools[0].policy.oversize = Oversize::refuse;
  const PoolReport report = vram_of(question);
  EXPECT_EQ(report.verdict, PlanVerdict::offload);
  EXPECT_TRUE(report.stays_out);
  EXPECT_THAT(report.leaving, IsEmpty());
}

TEST(PlanReport, OnlyWhoHasToLeaveLeaves) {
  PlanQuestion question = gpu_machine(24_GB);
  question.components = {declared("small", {{kVram, 1_GB, "declared"}}),
                         declared("large", {{kVram, 8_GB, "declared"}}),
                         declared("video", {{kVram, 12_GB, "declared"}})};
  question.components[2].job_class = ServerClass::video;
  const PoolReport report = vram_of(question);
  EXPECT_THAT(report.leaving, ElementsAre(1u));
  EXPECT_EQ(report.newcomer, 2u);
}

TEST(PlanReport, AReserveCountsWithTheNeed) {
  PlanQuestion question = gpu_machine(8_GB);
  question.components = {declared("a", {{kVram, 3_GB, "declared"}}),
                         declared("b", {{kVram, 3_GB, "declared"}})};
  EXPECT_EQ(vram_of(question).verdict, PlanVerdict::direct);
  question.pools[0].reserve = Bytes{1};
  EXPECT_EQ(vram_of(question).verdict, PlanVerdict::offload);
}

TEST(PlanReport, APoolOfUnknownCapacityHasNoVerdict) {
  PlanQuestion question = gpu_machine(24_GB);
  question.components = {declared("a", {{kRam, 3_GB, "declared"}})};
  const PoolReport ram = report_on_pool(question, kRam);
  EXPECT_EQ(ram.verdict, PlanVerdict::unknown);
  EXPECT_EQ(ram.reason, PlanReason::capacity_unknown);
  EXPECT_EQ(ram.need, 3_GB);
}

TEST(PlanReport, SumsOfEnormousSharesDoNotRunOver) {
  constexpr Bytes kMost{9'223'372'036'854'775'807};
  PlanQuestion question = gpu_machine(8_GB);
  for (int i = 0; i < 100; ++i)
    question.components.push_back(declared("a", {{kVram, kMost, "declared"}}));
  EXPECT_EQ(vram_of(question).verdict, PlanVerdict::offload);
  EXPECT_GT(*vram_of(question).need, 8_GB);
}

}  // namespace
}  // namespace berth::core
