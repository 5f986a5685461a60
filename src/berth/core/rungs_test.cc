// SPDX-License-Identifier: Apache-2.0
// Servers that can be freed while their process lives, and come up again by themselves (rule 8).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using enum ServerClass;
using testing::ElementsAre;
using Fact = ServerChanged::Fact;

/// LLM 6 on a card of 10, beside an image server of 8 that keeps 1 when it is freed.
Config card_with_a_freeable_one() {
  Config config = card_of_ten();
  config.servers[kSd.value].freed = bytes(1_GiB);
  return config;
}

/// A picture was drawn, and the LLM is back: the image server is freed.
Driver freed(Config config = card_with_a_freeable_one()) {
  Driver d = settled(std::move(config));
  const JobId picture = d.ask(kSd, image);
  d.pass(20s);
  d.end(picture);
  d.pass(2min);
  d.forget_story();
  return d;
}

TEST(Freed, AServerThatCanBeFreedKeepsItsProcessAndItsResidueOnTheBooks) {
  const Driver d = freed();
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
  EXPECT_EQ(d.state(kSd), ServerState::absent);
  EXPECT_TRUE(d.server(kSd).freed);
  EXPECT_EQ(d.scheduler().state().ledger.staying(kPool), 7_GiB);
}

TEST(Freed, ItLoadsAgainInTheSameProcess) {
  Driver d = freed();
  const Generation generation = d.server(kSd).generation;
  const JobId picture = d.ask(kSd, image);
  d.pass(20s);
  EXPECT_TRUE(d.running(picture));
  EXPECT_EQ(d.server(kSd).generation, generation);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "run 2"));
}

TEST(Freed, ItIsStoppedWhereItsResidueIsInTheWay) {
  Config config = card_with_a_freeable_one();
  config.servers.push_back({.name = "video", .job_class = video, .footprint = bytes(10_GiB)});
  Driver d = freed(config);
  d.ask(ServerId{2}, video);
  d.pass(20s);
  EXPECT_EQ(d.state(ServerId{2}), ServerState::ready);
  EXPECT_FALSE(d.server(kSd).freed);
  EXPECT_THAT(d.story(), testing::IsSupersetOf({"down llm", "down sd", "up video"}));
}

TEST(Freed, WhatFreeingDoesNotBringBackIsTakenByEndingTheProcess) {
  Config config = card_with_a_freeable_one();
  Driver d = settled(config);
  d.behaviour(kSd).frees_nothing = true;
  const JobId picture = d.ask(kSd, image);
  d.pass(20s);
  d.end(picture);
  d.pass(2min);
  EXPECT_THAT(d.story(), testing::Contains("free sd"));
  EXPECT_THAT(d.story(), testing::Contains("down sd"));
  EXPECT_FALSE(d.server(kSd).freed);
}

TEST(Freed, ItsEndIsNoticedAndTheNextStartIsANewProcess) {
  Driver d = freed();
  const Generation generation = d.server(kSd).generation;
  d.apply(ServerChanged{kSd, generation, Fact::exited, "exit code 1"});
  d.behaviour(kSd).resident.reset();
  d.pass(5s);
  EXPECT_EQ(d.scheduler().state().ledger.staying(kPool), 6_GiB);
  d.ask(kSd, image);
  d.pass(20s);
  EXPECT_EQ(d.server(kSd).generation.value, generation.value + 1);
}

TEST(Freed, AUserStopEndsTheProcessToo) {
  Driver d = freed();
  d.user(UserAsked::What::stop, kSd);
  d.pass(5s);
  EXPECT_THAT(d.story(), ElementsAre("down sd"));
  EXPECT_FALSE(d.server(kSd).freed);
}

TEST(Rule8, AServerThatLoadsItselfBeyondTheLimitIsFreedAgainAsSoonAsItIsIdle) {
  Driver d = freed();
  const Generation generation = d.server(kSd).generation;
  d.behaviour(kSd).resident = generation;
  d.apply(ServerChanged{kSd, generation, Fact::appeared, "loaded"});
  EXPECT_TRUE(d.announced(Reason::put_out_again));
  d.pass(5s);
  EXPECT_THAT(d.story(), ElementsAre("free sd"));
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Rule8, ThreeTimesInATurnThenItIsLeftAlone) {
  Driver d = freed();
  for (int i = 0; i < 5; ++i) {
    d.apply(ServerChanged{kSd, d.server(kSd).generation, Fact::appeared, "loaded"});
    d.pass(5s);
  }
  EXPECT_THAT(d.story(), ElementsAre("free sd", "free sd", "free sd"));
  EXPECT_EQ(d.state(kSd), ServerState::ready) << "it is on the books as what it is";
}

TEST(Rule8, WithinTheLimitItMayStay) {
  Config config = card_with_a_freeable_one();
  Driver d = freed(config);
  d.user(UserAsked::What::stop, kLlm);
  d.pass(5s);
  d.forget_story();
  d.apply(ServerChanged{kSd, d.server(kSd).generation, Fact::appeared, "loaded"});
  d.pass(1h);
  EXPECT_THAT(d.story(), ElementsAre());
  EXPECT_EQ(d.state(kSd), ServerState::ready);
}

TEST(Rule8, AfterARestartADisplacedServerThatLoadedItselfIsOwedStill) {
  Config config = card_with_a_freeable_one();
  const Row llm{.server = kLlm, .wanted = Wanted::on, .generation = Generation{1}};
  const Row sd{.server = kSd,
               .wanted = Wanted::on,
               .generation = Generation{1},
               .displaced = Displacement{Instant{1h}, kLlm, After::restore}};
  Driver d(config, {llm, sd},
           {{kLlm, Generation{1}, true, false}, {kSd, Generation{1}, true, false}});
  EXPECT_TRUE(d.announced(Reason::put_out_again));
  d.pass(1min);
  EXPECT_TRUE(d.server(kSd).displaced.has_value());
}

/// The image server was told to free its models and keeps them; who wanted its place has left.
Driver freed_for_nobody() {
  Config config = card_with_a_freeable_one();
  config.servers[kLlm.value].wanted = Wanted::on_demand;
  config.servers.push_back({.name = "video", .job_class = video, .footprint = bytes(9_GiB)});
  Driver d(config);
  const JobId picture = d.ask(kSd, image);
  d.pass(10s);
  d.end(picture);
  d.pass(1h);
  d.behaviour(kSd).frees_nothing = true;
  const JobId film = d.ask(ServerId{2}, video);
  d.pass(500ms);
  d.withdraw(film);
  d.pass(600ms);
  d.forget_story();
  return d;
}

// Seed 19122801797564993.
TEST(Rule8, AClearedStateOutlivesAPlanThatFallsOverAServerThatLoadedItself) {
  Config config = card_of_ten();
  config.servers[kLlm.value].freed = bytes(1_GiB);
  config.servers.push_back({.name = "video", .job_class = video, .footprint = bytes(10_GiB)});
  Driver d = settled(std::move(config));
  const JobId picture = d.ask(kSd, image);
  d.pass(20s);
  d.user(UserAsked::What::clear_saved_state, kLlm);
  const JobId held = d.ask(kLlm, chat);
  d.apply(ServerChanged{kLlm, d.server(kLlm).generation, Fact::appeared, "loaded"});
  ASSERT_TRUE(d.running(held));
  const JobId film = d.ask(ServerId{2}, video);
  d.pass(10min);
  ASSERT_EQ(d.scheduler().state().claims.at(0).phase, ClaimPhase::draining) << "for the film";
  d.withdraw(film);
  d.end(held);
  d.pass(20s);
  d.forget_story();
  d.end(picture);
  d.pass(1h);
  EXPECT_THAT(d.story(), testing::Not(testing::Contains("up llm")));
}

TEST(Freed, OneThatIsAskedForAgainBeforeItsMemoryWasSeenFreeIsSweptAndThenLoads) {
  Driver d = freed_for_nobody();
  ASSERT_TRUE(d.server(kSd).freed);
  const Generation old = d.server(kSd).generation;
  const JobId picture = d.ask(kSd, image);
  d.pass(2min);
  EXPECT_TRUE(d.running(picture));
  EXPECT_THAT(d.story(), ElementsAre("down sd", "up sd", "run 3"));
  EXPECT_EQ(d.server(kSd).generation.value, old.value + 1) << "it is another process";
}

TEST(Rule8, AVictimThatLoadsAgainBeforeItsMemoryWasSeenFreeIsNotTakenForGone) {
  Config config = card_with_a_freeable_one();
  config.servers.push_back({.name = "video", .job_class = video, .footprint = bytes(9_GiB)});
  config.servers[kLlm.value].wanted = Wanted::on_demand;
  Driver d(config);
  const JobId picture = d.ask(kSd, image);
  d.pass(10s);
  d.end(picture);
  d.pass(1h);
  d.forget_story();
  d.behaviour(kSd).frees_nothing = true;
  const JobId film = d.ask(ServerId{2}, video);
  d.pass(1500ms);  // freed, and the barrier waits
  d.behaviour(kSd).frees_nothing = false;
  d.behaviour(kSd).freed = false;
  d.apply(ServerChanged{kSd, d.server(kSd).generation, Fact::appeared, "loaded"});
  d.pass(1min);
  EXPECT_THAT(d.story(), ElementsAre("free sd", "free sd", "up video", "run 2"));
  EXPECT_TRUE(d.running(film));
}

TEST(Freed, AVictimThatIsEndedSinceItKeptItsMemoryIsGoneBeforeItsRivalStarts) {
  Config config = card_with_a_freeable_one();
  config.servers[kLlm.value].wanted = Wanted::on_demand;
  config.servers[kLlm.value].footprint = bytes(2_GiB);
  config.servers.push_back({.name = "video", .job_class = video, .footprint = bytes(9_GiB)});
  Driver d(config);
  for (const ServerId id : {kLlm, kSd}) {
    const JobId job = d.ask(id, id == kLlm ? chat : image);
    d.pass(10s);
    d.end(job);
  }
  d.pass(1h);
  d.forget_story();
  d.behaviour(kSd).frees_nothing = true;
  d.behaviour(kLlm).stop = 3s;
  d.ask(ServerId{2}, video);
  d.pass(4100ms);  // not given back within 3 s of being freed: its process is being ended
  ASSERT_THAT(d.story(), ElementsAre("down llm", "free sd", "down sd"));
  d.behaviour(kSd).freed = true;  // it gives its models back at last, and lives on for a while
  d.pass(800ms);
  EXPECT_THAT(d.story(), testing::Not(testing::Contains("up video")));
  d.pass(200ms);
  EXPECT_THAT(d.story(), testing::Contains("up video"));
}

}  // namespace
}  // namespace berth::core
