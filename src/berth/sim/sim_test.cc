// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "berth/core/estimate.h"
#include "berth/sim/simulator.h"
#include "berth/sim/trace.h"

namespace berth::sim {
namespace {

constexpr ServerId kLlm{0};
constexpr ServerId kPictures{1};
constexpr Bytes kLlama2{3'500'000'000};
constexpr Bytes kSdxlTurbo{6'900'000'000};

Stream stream(ServerId server, core::ServerClass job_class, Duration pause) {
  Stream stream;
  stream.server = server;
  stream.job_class = job_class;
  stream.pause = pause;
  return stream;
}

/// The seed's machine: Llama 2 7B Q4 and SDXL Turbo in one pool, chats and pictures for an evening.
World evening(core::PoolKind kind, Bytes capacity, bool pictures = true) {
  World world;
  world.seed = 1;
  world.config.pools.push_back({.name = "memory", .kind = kind, .capacity = capacity});
  core::ServerConfig llm{.name = "llm", .job_class = core::ServerClass::chat};
  llm.wanted = core::Wanted::on;
  llm.footprint = {{{PoolId{0}, core::seed_footprint(kLlama2)}}};
  llm.slots = 2;
  core::ServerConfig sd{.name = "sd", .job_class = core::ServerClass::image};
  sd.footprint = {{{PoolId{0}, core::seed_footprint(kSdxlTurbo)}}};
  world.config.servers = {llm, sd};
  world.traits.resize(2,
                      {.spawn = 1ms, .start = 4s, .stop = 200ms, .work = 6s, .real_per_cent = 90});
  world.streams.push_back(stream(kLlm, core::ServerClass::chat, 20s));
  if (pictures) world.streams.push_back(stream(kPictures, core::ServerClass::image, 90s));
  world.events_max = 400;
  return world;
}

Outcome play(World world) {
  ProbeCounts probes{};
  return Simulator(std::move(world), probes).run();
}

TEST(SeedScenarios, OnEightGigabytesOfVramTheLlmIsOffloadedAroundEachPictureAndComesBack) {
  ProbeCounts probes{};
  const Outcome outcome =
      Simulator(evening(core::PoolKind::device, Bytes{8'000'000'000}), probes).run();
  EXPECT_FALSE(outcome.violation) << *outcome.violation;
  EXPECT_GT(probes[static_cast<std::size_t>(Probe::oversize)], 3U) << "8.3 GB on an 8 GB card";
  EXPECT_GT(probes[static_cast<std::size_t>(Probe::restored)], 3U);
}

TEST(SeedScenarios, OnTwentyFourGigabytesBothStayAndNobodyIsPutOut) {
  ProbeCounts probes{};
  const Outcome outcome =
      Simulator(evening(core::PoolKind::device, Bytes{24'000'000'000}), probes).run();
  EXPECT_FALSE(outcome.violation) << *outcome.violation;
  EXPECT_EQ(0U, outcome.put_out);
  EXPECT_EQ(2U, probes[static_cast<std::size_t>(Probe::ready)]) << "each was started once";
  EXPECT_EQ(0U, probes[static_cast<std::size_t>(Probe::restored)]);
}

TEST(SeedScenarios, OnSixteenGigabytesOfRamWithoutAGpuTheLlmIsOffloaded) {
  const Outcome outcome = play(evening(core::PoolKind::host, Bytes{16'000'000'000}));
  EXPECT_FALSE(outcome.violation) << *outcome.violation;
  EXPECT_GT(outcome.put_out, 3U) << "12.5 GB of at most 12 GB";
}

TEST(SeedScenarios, WhereNobodyAsksForAPictureNothingEverMoves) {
  ProbeCounts probes{};
  const Outcome outcome =
      Simulator(evening(core::PoolKind::device, Bytes{8'000'000'000}, false), probes).run();
  EXPECT_FALSE(outcome.violation) << *outcome.violation;
  EXPECT_EQ(1U, probes[static_cast<std::size_t>(Probe::ready)]);
  EXPECT_EQ(0U, probes[static_cast<std::size_t>(Probe::gate_closed)]);
}

TEST(Simulator, TheSameSeedIsTheSameStory) {
  const auto story = [] {
    std::string all;
    ProbeCounts probes{};
    Simulator(make_world(7), probes, [&](const std::string& line) { all += line; }).run();
    return all;
  };
  const std::string first = story();
  EXPECT_GT(first.size(), 10'000U);
  EXPECT_EQ(first, story());
}

TEST(Simulator, AFaultFreeWorldAndAWorldWithFaultsAreAmongTheFirstSeeds) {
  bool quiet = false;
  bool crashes = false;
  for (std::uint64_t seed = 1; seed < 100; ++seed) {
    const Faults faults = make_world(seed).faults;
    quiet = quiet || (faults.host_crash == 0 && faults.dies_ready == 0 && faults.user == 0);
    crashes = crashes || faults.host_crash > 0;
  }
  EXPECT_TRUE(quiet);
  EXPECT_TRUE(crashes);
}

}  // namespace
}  // namespace berth::sim
