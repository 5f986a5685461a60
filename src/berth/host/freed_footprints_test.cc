// SPDX-License-Identifier: Apache-2.0
#include "berth/host/freed_footprints.h"

#include <gtest/gtest.h>

#include "berth/host/footprint_test_support.h"
#include "berth/host/known_footprints.h"
#include "berth/host/world.h"

namespace berth::host {
namespace {

using store::FootprintRow;
using store::Stage;

config::Config config_of(const std::string& weights) {
  return config_with("kind = \"sd-server\"\nmodel = \"/no/sd\"\nmemory = { ram = \"400MiB\" }\n" +
                     weights);
}

core::Config planned(const config::Config& config, const std::vector<FootprintRow>& rows) {
  core::Config complete = complete_config(config);
  plan_by_preset(complete, config, rows);
  plan_freed(complete, config, rows);
  return complete;
}

constexpr const char* kOnDemand = "weights = \"on_demand\"\n";

TEST(FreedFootprints, AServerWithItsWeightsOnDemandKeepsLittleInBothPools) {
  const config::Config config = config_of(kOnDemand);
  const core::ServerConfig server =
      planned(config, {seen(config, Stage::work, 500_MiB)}).servers[0];
  ASSERT_TRUE(server.freed);
  EXPECT_EQ(server.freed->in(kRam), 96_MiB);
  EXPECT_EQ(server.freed->in(kSecond), 96_MiB);
  EXPECT_EQ(server.footprint.in(kRam), 400_MiB) << "a picture needs all of it";
  EXPECT_EQ(server.footprint.in(kSecond), 500_MiB);
}

TEST(FreedFootprints, WhatItTookBeforeItHadLoadedAnythingIsKept) {
  const config::Config config = config_of(kOnDemand);
  const core::Config plan = planned(config, {seen(config, Stage::load, 300_MiB)});
  EXPECT_EQ(plan.servers[0].freed->in(kRam), 300_MiB);
}

TEST(FreedFootprints, ItNeverKeepsMoreThanItTakes) {
  const config::Config config = config_of(kOnDemand);
  const core::Config plan = planned(config, {seen(config, Stage::load, 700_MiB)});
  EXPECT_EQ(plan.servers[0].freed->in(kRam), 400_MiB);
}

TEST(FreedFootprints, AServerWithResidentWeightsCannotBeFreed) {
  for (const char* weights : {"", "weights = \"resident\"\n"}) {
    EXPECT_FALSE(planned(config_of(weights), {}).servers[0].freed) << weights;
  }
}

TEST(FreedFootprints, WhatWasMeasuredWithResidentWeightsIsNotBelieved) {
  const config::Config resident = config_of("");
  const core::Config plan = planned(config_of(kOnDemand), {seen(resident, Stage::work, 900_MiB)});
  EXPECT_EQ(plan.servers[0].footprint.in(kSecond), 400_MiB);
}

}  // namespace
}  // namespace berth::host
