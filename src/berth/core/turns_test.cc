// SPDX-License-Identifier: Apache-2.0
// Whose turn it is: the sentences 5, 6, 8, 9 and 10 of the ten that rule it, which need more than
// the LLM and the picture server of scheduler_test.cc.
#include "berth/core/turns.h"

#include <deque>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/planner.h"
#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using enum ServerClass;

constexpr ServerId kThird{2};
constexpr ServerId kFourth{3};

/// The LLM of 6 beside the picture server of 8 on a card of 14; the third needs all of it.
Config side_by_side(std::string name, ServerClass job_class) {
  Config config = card_of_ten();
  config.pools[0].capacity = 14_GiB;
  config.servers.push_back(
      {.name = std::move(name), .job_class = job_class, .footprint = bytes(14_GiB)});
  return config;
}

/// The LLM idles and the picture server renders, both for longer than any turn.
Driver rendering(Config config) {
  Driver d = settled(std::move(config));
  d.ask(kSd, image);
  d.pass(1h);
  d.forget_story();
  return d;
}

TEST(Turns, T5_AChatThatComesInLingerDoesNotWaitForItsEnd) {
  Driver d = drawing();
  d.pass(1h);
  d.end(JobId{1});
  d.pass(1s);  // linger would be R = 4 + 5 s
  const JobId chat_job = d.ask(kLlm, chat);
  EXPECT_THAT(d.story(), IsEmpty()) << "the row is written first";
  d.pass(0s);
  EXPECT_THAT(d.story(), ElementsAre("down sd")) << "a turn longer than R is over at once";
  d.pass(5s);
  EXPECT_TRUE(d.running(chat_job));
}

TEST(Turns, T5_AYoungTurnEndsWithItsOwnShortLingerForAChatThatComesInTheLongOne) {
  Driver d = drawing();  // ready for 5 s, R is 9 s
  d.end(JobId{1});
  d.pass(1s);
  d.ask(kLlm, chat);
  d.pass(1s - Duration{1});
  EXPECT_THAT(d.story(), IsEmpty());
  d.pass(Duration{1});  // min(2 s, R / 4) without a picture
  EXPECT_THAT(d.story(), ElementsAre("down sd"));
}

TEST(Turns, T6_NothingIsLoadedPastAWaiterForTheWholeCardThoughItWouldFitBesideTheBusy) {
  Config config = card_of_ten();
  config.servers[0].footprint = config.servers[1].footprint = bytes(4_GiB);
  config.servers.push_back({.name = "whole", .footprint = bytes(10_GiB)});
  config.servers.push_back({.name = "small", .footprint = bytes(2_GiB)});
  Driver d = settled(config);
  d.ask(kSd, image);
  d.ask(kLlm, chat);
  d.pass(5s);
  d.forget_story();

  const JobId whole = d.ask(kThird, chat);
  d.ask(kFourth, chat);
  d.pass(50s);
  EXPECT_THAT(d.story(), IsEmpty()) << "4 + 4 + 2 fit, but not beside what comes";
  d.end(JobId{1});
  d.end(JobId{2});
  d.pass(10s);
  ASSERT_TRUE(d.running(whole));
  EXPECT_THAT(d.story(), Not(Contains("up small")));
  d.end(whole);
  d.pass(1min);
  EXPECT_THAT(d.story(), Contains("up small"));
}

TEST(Turns, T8_ChatsGoOnBesideTheRenderThatTheyLeaveWithAndNoneBeginsAfterIt) {
  Driver d = rendering(side_by_side("video", video));
  const JobId film = d.ask(kThird, video);
  d.pass(10min);
  const JobId meanwhile = d.ask(kLlm, chat);
  EXPECT_TRUE(d.running(meanwhile));
  d.end(meanwhile);
  const JobId last = d.ask(kLlm, chat);
  EXPECT_TRUE(d.running(last));
  d.end(JobId{1});
  EXPECT_FALSE(d.running(d.ask(kLlm, chat))) << "the render has ended: the gate is closed";
  EXPECT_THAT(d.story(), Not(Contains("down llm"))) << "the last chat runs to its end";
  d.end(last);
  d.pass(10s);
  EXPECT_TRUE(d.running(film));
}

TEST(Turns, T8_NoPictureBeginsOnTheIdleVictimOfAClaimThatWaitsForARender) {
  Config config = side_by_side("video", video);
  config.servers[0] = {
      .name = "sketch", .job_class = image, .wanted = Wanted::on, .footprint = bytes(6_GiB)};
  Driver d = rendering(config);
  d.ask(kThird, video);
  const JobId picture = d.ask(ServerId{0}, image);
  d.pass(10min);
  EXPECT_FALSE(d.running(picture)) << "or the next render begins while this one drains";
  d.end(JobId{1});
  d.pass(10s);
  EXPECT_TRUE(d.running(JobId{2})) << "the video";
}

TEST(Turns, T9_ACallFromAVictimRunsOnAResidentServerWhoseGateIsClosedToAllOthers) {
  Driver d = rendering(side_by_side("video", video));
  d.end(JobId{1});
  const JobId caller = d.ask(kLlm, chat);
  d.ask(kThird, video);
  const JobId stranger = d.ask(kSd, image);
  const JobId call = d.ask(kSd, image, caller);
  EXPECT_FALSE(d.running(stranger));
  EXPECT_TRUE(d.running(call));
}

TEST(Turns, T9_ACallFromAVictimThatNeedsASwapIsAnsweredInTheSameStep) {
  Config config = side_by_side("video", video);
  config.servers.push_back({.name = "other", .job_class = image, .footprint = bytes(8_GiB)});
  Driver d = rendering(config);
  const JobId caller = d.ask(kLlm, chat);
  d.ask(kThird, video);
  const JobId call = d.ask(kFourth, image, caller);
  ASSERT_TRUE(d.rejected(call));
  EXPECT_EQ(d.rejected(call)->code, ErrorCode::conflict);
  EXPECT_THAT(d.rejected(call)->message, HasSubstr("4 <- 2"));
  EXPECT_TRUE(d.running(caller));
}

TEST(Turns, T9_ACallThatWaitedForASwapIsAnsweredInTheStepInWhichItsCallerBecomesAVictim) {
  Config config = side_by_side("video", video);
  config.servers.push_back({.name = "other", .job_class = image, .footprint = bytes(8_GiB)});
  Driver d = settled(config);
  d.ask(kFourth, image);
  d.pass(1h);
  d.end(JobId{1});
  d.ask(kSd, image);
  d.pass(500ms);
  ASSERT_EQ(d.state(kFourth), ServerState::stopping);
  const JobId caller = d.ask(kLlm, chat);
  const JobId call = d.ask(kFourth, image, caller);
  d.ask(kThird, video);
  d.pass(4500ms - Duration{1});
  EXPECT_FALSE(d.rejected(call)) << "`other` could come back when the picture is done";
  d.pass(Duration{1});
  ASSERT_EQ(d.state(kSd), ServerState::ready) << "the video claims the place of both";
  ASSERT_TRUE(d.rejected(call));
  EXPECT_EQ(d.rejected(call)->code, ErrorCode::conflict);
}

TEST(Turns, T10_ABatchJobUnderEndlessVideosStartsWithinThePrintedBoundAndNotBeforeItHasAged) {
  constexpr Duration kFilm = 20s;
  Config config = card_of_ten();
  config.servers[0] = {
      .name = "night", .job_class = batch, .footprint = bytes(6_GiB), .job_limit = 1min};
  config.servers[1] = {
      .name = "video", .job_class = video, .footprint = bytes(8_GiB), .job_limit = kFilm};
  Driver d(config);
  std::deque<JobId> films = {d.ask(kSd, video), d.ask(kSd, video)};
  d.pass(10s);
  const Instant asked = d.now();
  const JobId night = d.ask(kLlm, batch);
  const Bound bound = bound_of(d.scheduler().state(), kLlm, batch, 0);
  ASSERT_TRUE(bound.within) << bound.why_not;
  while (!d.running(night) && d.now() - asked <= *bound.within) {
    d.pass(kFilm);
    if (!d.running(films.front())) continue;
    films.push_back(d.ask(kSd, video));
    d.end(films.front());
    films.pop_front();
  }
  ASSERT_TRUE(d.running(night));
  const Duration waited = *d.server(kLlm).last_served - asked;
  EXPECT_LE(waited, *bound.within);
  EXPECT_GE(waited, 3 * 60s) << "three classes above its own, one a minute";
}

TEST(ComingBack, OfTwoLlmsOnDemandTheOneThatWasAskedLastStays) {
  Config config = card_of_ten(Wanted::on_demand);
  config.servers[kSd.value].job_class = ServerClass::chat;
  Driver d(config);
  for (const ServerId id : {kLlm, kSd}) {
    const JobId talk = d.ask(id, ServerClass::chat);
    d.pass(30s);
    d.end(talk);
  }
  EXPECT_FALSE(d.server(kLlm).displaced);
  d.pass(24h);
  EXPECT_EQ(d.state(kSd), ServerState::ready);
  EXPECT_EQ(d.state(kLlm), ServerState::absent);
}

TEST(ComingBack, AnLlmOnDemandThatLeftForAPictureIsBackUnasked) {
  Driver d(card_of_ten(Wanted::on_demand));
  for (const ServerId id : {kLlm, kSd}) {
    const JobId job = d.ask(id, id == kLlm ? ServerClass::chat : ServerClass::image);
    d.pass(30s);
    d.end(job);
  }
  d.pass(1h);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(HomeOrder, SaysWhoKeepsAWantedServerOutForAsLongAsNobodyAsksForIt) {
  const Driver d = settled(card_of_ten(Wanted::on, Wanted::on));
  EXPECT_EQ(keepers_at_home(d.scheduler().state(), kSd), std::vector{kLlm});
  EXPECT_TRUE(keepers_at_home(d.scheduler().state(), kLlm).empty()) << "it comes first";
  Driver on_demand = settled(card_of_ten(Wanted::on_demand, Wanted::on));
  on_demand.ask(kLlm, ServerClass::chat);
  on_demand.pass(1min);
  EXPECT_TRUE(keepers_at_home(on_demand.scheduler().state(), kSd).empty())
      << "one that is not wanted leaves for it";
}

}  // namespace
}  // namespace berth::core
