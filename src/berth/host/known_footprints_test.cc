// SPDX-License-Identifier: Apache-2.0
#include "berth/host/known_footprints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "berth/host/footprint_test_support.h"
#include "berth/host/run_memory.h"
#include "berth/host/second_pools.h"
#include "berth/host/world.h"
#include "berth/store/temporary_folder.h"

namespace berth::host {
namespace {

using store::FootprintRow;
using store::Stage;
using testing::ElementsAre;
using testing::IsEmpty;

config::Config config_of(const std::string& policy) {
  return config_with(
      "kind = \"llama-server\"\nmodel = \"/no/chat.gguf\"\nmemory = { ram = \"300MiB\" }\n" +
      policy);
}

core::Config planned(const config::Config& config, const std::vector<FootprintRow>& rows) {
  core::Config complete = complete_config(config);
  plan_by_preset(complete, config, rows);
  return complete;
}

constexpr const char* kMeasured = "[policy]\npreset = \"measured\"\n";

TEST(PresetSeed, PlansWithWhatIsDeclaredAndInTheSecondPoolWithWhatWasMeasured) {
  const config::Config config = config_of("");
  const core::Config plan =
      planned(config, {seen(config, Stage::load, 500_MiB), seen(config, Stage::work, 420_MiB)});
  EXPECT_EQ(plan.servers[0].footprint.in(kRam), 300_MiB);
  EXPECT_EQ(plan.servers[0].footprint.in(kSecond), 500_MiB) << "the most of all stages";
  EXPECT_EQ(plan.servers[0].source, core::FootprintSource::declared);
}

TEST(PresetMeasured, PlansWithWhatWasMeasuredAndHasNoSecondPools) {
  const config::Config config = config_of(kMeasured);
  const core::Config plan = planned(config, {seen(config, Stage::work, 120_MiB)});
  ASSERT_EQ(plan.pools.size(), 1u);
  EXPECT_EQ(plan.servers[0].footprint.in(kRam), 120_MiB);
  EXPECT_EQ(plan.servers[0].source, core::FootprintSource::learned);
  EXPECT_EQ(learning_pool(plan, kRam), kRam);
}

TEST(PresetMeasured, HandsOutTwentyThreeTwentyFifthsUnlessALimitIsWritten) {
  EXPECT_EQ(config_of(kMeasured).core.policy.limit_numerator, 23);
  EXPECT_EQ(config_of(kMeasured).core.policy.limit_denominator, 25);
  const std::string half = std::string(kMeasured) + "limit = 0.5\n";
  EXPECT_EQ(config_of(half).core.policy.limit_denominator, 2);
  EXPECT_EQ(config_of("").core.policy.limit_numerator, 3);
}

TEST(KnownFootprints, WhatAServerWasFoundToNeedIsNotUndercut) {
  for (const char* policy : {"", kMeasured}) {
    const config::Config config = config_of(policy);
    const core::Config plan = planned(config, {seen(config, Stage::raised, 340_MiB)});
    EXPECT_EQ(plan.servers[0].footprint.in(kRam), 340_MiB);
    EXPECT_EQ(plan.servers[0].source, core::FootprintSource::learned);
  }
}

TEST(KnownFootprints, AModelFileOfTheSameSizeAndTimeInItsPlaceIsAnotherOne) {
  namespace fs = std::filesystem;
  const store::TemporaryFolder folder;
  const std::string path = folder.path() + "/model.gguf", other = folder.path() + "/other.gguf";
  std::ofstream(path) << "one";
  std::ofstream(other) << "two";
  fs::last_write_time(other, fs::last_write_time(path));
  config::Config config = config_of("");
  std::get<config::LlamaOptions>(config.servers[0].kind).model = path;
  const std::string before = model_file(config.servers[0]);
  EXPECT_EQ(model_file(config.servers[0]), before);
  fs::rename(other, path);
  EXPECT_NE(model_file(config.servers[0]), before);
  fs::remove(path);
  EXPECT_EQ(model_file(config.servers[0]), "");
}

TEST(KnownFootprints, OfOtherArgumentsSayNothing) {
  const config::Config config = config_of(kMeasured);
  FootprintRow other = seen(config, Stage::work, 120_MiB);
  other.key += " -c 8192";
  EXPECT_EQ(planned(config, {other}).servers[0].footprint.in(kRam), 300_MiB);
}

/// The first pool, in which runs are measured.
std::vector<FootprintRow> rows_of(const RunMemory& run) {
  core::Config config;
  config.pools.push_back({.name = "ram"});
  return run.rows("key", "chat", config);
}

FootprintRow row(Stage stage, const std::string& shape, Bytes bytes) {
  return {.key = "key",
          .pool = "ram",
          .stage = stage,
          .shape = shape,
          .bytes = bytes.count,
          .server = "chat"};
}

TEST(RunMemory, KeepsTheMostOfEachStageAndShapeOfWork) {
  RunMemory run;
  for (const Bytes held : {10_MiB, 30_MiB, 20_MiB})
    run.sampled(Stage::work, "64x64", {{{kRam, held}}});
  run.sampled(Stage::work, "512x512", {{{kRam, 90_MiB}}});
  run.sampled(Stage::steady, "", {{{kRam, 5_MiB}}});
  EXPECT_THAT(rows_of(run),
              ElementsAre(row(Stage::work, "64x64", 30_MiB), row(Stage::work, "512x512", 90_MiB),
                          row(Stage::steady, "", 5_MiB)));
}

TEST(RunMemory, AHighWaterMarkBelongsToTheStageInWhichItRose) {
  RunMemory run;
  run.marked(Stage::load, "", kRam, 80_MiB);
  run.marked(Stage::work, "64x64", kRam, 80_MiB);
  EXPECT_THAT(rows_of(run), ElementsAre(row(Stage::load, "", 80_MiB)));
  run.marked(Stage::work, "512x512", kRam, 81_MiB);
  EXPECT_THAT(rows_of(run),
              ElementsAre(row(Stage::load, "", 80_MiB), row(Stage::work, "512x512", 81_MiB)));
}

TEST(RunMemory, OfWhatHeldNothingNothingIsKnown) {
  RunMemory run;
  run.sampled(Stage::steady, "", {{{kRam, Bytes{0}}}});
  EXPECT_THAT(rows_of(run), IsEmpty());
}

}  // namespace
}  // namespace berth::host
