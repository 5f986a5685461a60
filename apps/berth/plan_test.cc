// SPDX-License-Identifier: Apache-2.0
// How `berth plan` reads its command line and what it writes; what it says of the seed's own
// machines is in tests/e2e/test_plan.py.
#include <gmock/gmock.h>

#include "berth/plan/amounts.h"
#include "berth/plan/options.h"
#include "berth/plan/report_json.h"
#include "plan_text.h"
#include "table.h"

namespace berth::cli {
namespace {

using core::PlanComponent;
using core::PlanQuestion;
using plan::comparison;
using plan::gigabytes;
using plan::Options;
using plan::read_components;
using plan::read_machine;
using plan::Rounding;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

Result<PlanQuestion> read(const Options& options) {
  auto pools = read_machine(options);
  if (!pools) return fail(pools.error());
  auto components = read_components(options, *pools);
  if (!components) return fail(components.error());
  return PlanQuestion{std::move(*pools), std::move(*components)};
}

Options machine() {
  Options options{.prefix = "--"};
  options.vram = {"24GB"};
  options.ram = "32GB";
  return options;
}

/// What is wrong with an option of that value on a machine with one GPU.
std::string complaint(std::vector<std::string> Options::*option, const std::string& text) {
  Options options = machine();
  (options.*option).push_back(text);
  const auto question = read(options);
  return question ? "nothing" : question.error().message;
}

TEST(PlanAmounts, AreWrittenAsTheSeedWritesThem) {
  EXPECT_EQ(gigabytes(Bytes{12'480'000'000}), "12.5 GB");
  EXPECT_EQ(gigabytes(Bytes{8'280'000'000}), "8.3 GB");
  EXPECT_EQ(gigabytes(Bytes{500'000'000}), "500 MB");
  EXPECT_EQ(gigabytes(Bytes{0}), "0 GB");
  EXPECT_EQ(gigabytes(Bytes{-4'480'000'000}), "-4.5 GB");
  EXPECT_EQ(gigabytes(std::nullopt), "?");
}

TEST(PlanAmounts, WhatIsAdvisedIsRoundedToTheSafeSide) {
  EXPECT_EQ(gigabytes(Bytes{16'640'000'000}, Rounding::up), "16.7 GB");
  EXPECT_EQ(gigabytes(Bytes{16'640'000'000}, Rounding::down), "16.6 GB");
}

TEST(PlanAmounts, AComparisonNeverShowsTwoEqualNumbersThatDiffer) {
  EXPECT_EQ(comparison(Bytes{12'480'000'000}, 6_GB), "12.5 GB > 6.0 GB");
  EXPECT_EQ(comparison(6_GB, 6_GB), "6.0 GB = 6.0 GB");
  EXPECT_EQ(comparison(6_GB + Bytes{1}, 6_GB), "6000000001 > 6000000000 bytes");
}

TEST(PlanOptions, AnLlmHasASizeAndLayers) {
  const auto layers = [](const std::string& text) {
    Options options = machine();
    options.llms = {text};
    return read(options).value().components[0].layers;
  };
  EXPECT_EQ(layers("3.5GB:16/32")->on_gpu, 16);
  EXPECT_EQ(layers("3.5GB:16/32")->total, 32);
  for (const char* all : {"3.5GB", "3.5GB:all", "3.5GB:-1", "3.5GB:auto"})
    EXPECT_EQ(layers(all)->on_gpu, -1) << all;
  EXPECT_EQ(layers("3.5GB:-1/32")->total, 32);
  for (const char* unknown : {"3.5GB:16", "3.5GB:16/?"})
    EXPECT_EQ(layers(unknown)->total, std::nullopt) << unknown;
}

TEST(PlanOptions, AComponentHasANameAndDeclaresItsMemory) {
  Options options = machine();
  options.vram.emplace_back("8GiB");
  options.components = {"Nemo 12B: Q4:vram=10GB, ram=512MiB, cpu=<5%, class=chat, device=1"};
  const PlanComponent component = read(options).value().components[0];
  EXPECT_EQ(component.name, "Nemo 12B: Q4");
  EXPECT_EQ(component.shares[0].pool, PoolId{1});
  EXPECT_EQ(component.shares[0].bytes, 10_GB);
  EXPECT_EQ(component.shares[1].pool, PoolId{2});
  EXPECT_EQ(component.shares[1].bytes, 512_MiB);
  EXPECT_EQ(component.cpu, (core::CpuShare{5, true}));
  EXPECT_EQ(component.job_class, core::ServerClass::chat);
}

TEST(PlanOptions, ForeignUseBelongsToThePoolThatItNames) {
  Options options = machine();
  options.foreign = {"vram=1GB", "ram=2GB"};
  const auto pools = read_machine(options).value();
  EXPECT_EQ(pools.at(0).foreign, 1_GB);
  EXPECT_EQ(pools.at(1).foreign, 2_GB);
}

TEST(PlanOptions, ForeignUseMayBeSaidOfTheMachineAtHand) {
  const auto at_hand = []() -> Result<core::PlanQuestion> {
    return core::PlanQuestion{.pools = read_machine(machine()).value(), .components = {}};
  };
  Options options{.prefix = "--"};
  options.foreign = {"vram=1GB"};
  EXPECT_EQ(plan::question_of(options, at_hand)->pools.at(0).foreign, 1_GB);
  options.components = {"X:vram=5GB"};
  EXPECT_EQ(plan::question_of(options, at_hand)->pools.at(0).foreign, 1_GB);
  options.foreign = {"disk=1GB"};
  EXPECT_THAT(plan::question_of(options, at_hand).error().message, HasSubstr("vram=1GB"));
}

TEST(PlanOptions, WhatIsWrongIsSaidWithTheOptionAndWhatToWrite) {
  constexpr auto kLlms = &Options::llms;
  constexpr auto kComponents = &Options::components;
  EXPECT_THAT(complaint(kLlms, "five"), AllOf(StartsWith("--llm \"five\": "), HasSubstr("8GB")));
  EXPECT_THAT(complaint(kLlms, "3GB:x/32"), HasSubstr("write ON_GPU/ALL, for example 32/32"));
  EXPECT_THAT(complaint(kLlms, "3GB:32/0"), HasSubstr("ON_GPU/ALL"));
  EXPECT_THAT(complaint(kLlms, "3GB:32/99999"), HasSubstr("ON_GPU/ALL"));
  EXPECT_THAT(complaint(kLlms, "2000TB"), HasSubstr("write at most 1000TB"));
  EXPECT_THAT(complaint(kLlms, "3GB,cpu=lots"), HasSubstr("for example cpu=16%"));
  EXPECT_THAT(complaint(kLlms, "3GB,cpu=101%"), HasSubstr("a share of all cores"));
  EXPECT_THAT(complaint(kLlms, "3GB,running=maybe"), HasSubstr("running=yes or running=no"));
  EXPECT_THAT(complaint(kLlms, "3GB,class=fast"), HasSubstr("class=video"));
  EXPECT_THAT(complaint(kLlms, "3GB,machine="), HasSubstr("machine=attic"));
  EXPECT_THAT(complaint(kLlms, "3GB,device=1"), HasSubstr("from 0 to 0"));
  EXPECT_THAT(complaint(&Options::diffusions, "6.9GB:32/32"), StartsWith("--diffusion "));
  EXPECT_THAT(complaint(kComponents, "X:vram=five"), HasSubstr("write for example vram=5GB"));
  EXPECT_THAT(complaint(kComponents, "X:wram=5GB"), HasSubstr("where KEY is vram, ram, cpu"));
  EXPECT_THAT(complaint(kComponents, "X:vram=1GB,vram=2GB"), HasSubstr("write it once"));
  EXPECT_THAT(complaint(kComponents, "X"), HasSubstr("\"WAN I2V\""));
  EXPECT_THAT(complaint(kComponents, ":vram=1GB"), HasSubstr("write NAME:vram=5GB"));
  EXPECT_THAT(complaint(&Options::vram, "0GB"), HasSubstr("leave the option out"));
  EXPECT_THAT(complaint(&Options::foreign, "vram=25GB"), HasSubstr("more than the pool has"));
  EXPECT_THAT(complaint(&Options::foreign, "disk=1GB"), HasSubstr("for example vram=1GB"));
}

TEST(PlanOptions, VramOnAMachineWithoutAGpuIsAMistake) {
  Options options{.prefix = "--"};
  options.ram = "16GB";
  options.components = {"X:vram=5GB"};
  EXPECT_THAT(read(options).error().message, HasSubstr("add --vram, or write ram="));
  options.components = {"X:vram=0GB,ram=1GB"};
  EXPECT_TRUE(read(options));
}

TEST(PlanText, CpuSharesAreAddedAndABoundMakesTheSumRound) {
  const auto sum = [](std::vector<core::CpuShare> shares) {
    std::vector<PlanComponent> components;
    for (const core::CpuShare& share : shares)
      components.push_back({.name = "x", .cpu = share});
    return cpu_sum(components);
  };
  EXPECT_EQ(sum({{16}, {20}, {5, true}}), "~40%");
  EXPECT_EQ(sum({{16}, {20}}), "36%");
}

TEST(PlanText, FitsEightyColumnsHoweverLongItsNamesAre) {
  Options options = machine();
  options.llms = {"20GB:16/?,name=" + std::string(100, 'x')};
  options.components = {"WAN I2V", std::string(100, 'y') + ":ram=31GB,cpu=20%"};
  const PlanQuestion question = read(options).value();
  const std::string text = plan_text(machine_text(question), question, report_on(question));
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    EXPECT_LE(characters(text.substr(begin, end - begin)), kWidth);
    begin = end + 1;
  }
  EXPECT_THAT(text, HasSubstr("offload, not safe together"));
}

}  // namespace
}  // namespace berth::cli
