// SPDX-License-Identifier: Apache-2.0
// Rule 6 of design section 6: calls inside a turn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using enum ServerClass;

constexpr ServerId kVideo{2};

/// LLM and SD fit beside each other; a video needs the place of both.
Config both_or_a_video() {
  Config config = card_of_ten();
  config.pools[0].capacity = 14_GiB;
  config.servers.push_back({.name = "video", .job_class = video, .footprint = bytes(14_GiB)});
  return config;
}

TEST(ToolCalls, ThatNeedTheCallersPlaceAreAnsweredAtOnce) {
  Driver d = settled();
  const JobId chat_job = d.ask(kLlm, chat);
  const JobId call = d.ask(kSd, image, chat_job);
  ASSERT_TRUE(d.rejected(call));
  EXPECT_EQ(d.rejected(call)->code, ErrorCode::conflict);
  EXPECT_THAT(d.rejected(call)->message, HasSubstr("2 <- 1"));
  EXPECT_TRUE(d.server(kLlm).gate_open) << "nothing was displaced for it";
  d.pass(1h);
  EXPECT_THAT(d.story(), ElementsAre("run 1"));
}

TEST(ToolCalls, RunWhereBothFit) {
  Config config = card_of_ten();
  config.pools[0].capacity = 20_GiB;
  Driver d = settled(config);
  const JobId call = d.ask(kSd, image, d.ask(kLlm, chat));
  d.pass(5s);
  EXPECT_TRUE(d.running(call));
}

TEST(ToolCalls, ThatWaitForASlotPassTheGateThatALaterClaimClosed) {
  // The call waits for a slot that another picture has; then a video claims the caller's place.
  Driver d = settled(both_or_a_video());
  d.ask(kSd, image);
  d.pass(10s);
  const JobId caller = d.ask(kLlm, chat);
  const JobId call = d.ask(kSd, image, caller);
  EXPECT_FALSE(d.rejected(call)) << "the picture before it will end";
  d.ask(kVideo, video);
  d.pass(1h);
  EXPECT_FALSE(d.rejected(call)) << "it passes the gate when the picture before it has ended";
  d.end(JobId{1});
  EXPECT_TRUE(d.running(call));
}

TEST(ToolCalls, PassTheClosedGateOfAVictim) {
  Driver d = settled(both_or_a_video());
  d.ask(kSd, image);
  d.pass(10s);
  d.end(JobId{1});
  d.pass(1h);
  const JobId caller = d.ask(kLlm, chat);
  d.ask(kVideo, video);
  ASSERT_FALSE(d.server(kSd).gate_open);
  const JobId call = d.ask(kSd, image, caller);
  EXPECT_TRUE(d.running(call));
}

TEST(ToolCalls, ToTheCallersOwnLastSlotAreAnsweredAtOnce) {
  Config config = card_of_ten();
  config.servers[0].slots = 1;
  Driver d = settled(config);
  const JobId call = d.ask(kLlm, chat, d.ask(kLlm, chat));
  EXPECT_EQ(d.rejected(call)->code, ErrorCode::conflict);
}

TEST(ToolCalls, OfTwoCallersThatTakeEachOthersSlotsOneIsAnsweredAtOnce) {
  Driver d = settled();  // two slots
  const JobId a = d.ask(kLlm, chat);
  const JobId b = d.ask(kLlm, chat);
  const JobId of_a = d.ask(kLlm, chat, a);
  EXPECT_FALSE(d.rejected(of_a)) << "b may still end";
  const JobId of_b = d.ask(kLlm, chat, b);
  EXPECT_TRUE(d.rejected(of_a).has_value() || d.rejected(of_b).has_value());
  EXPECT_FALSE(d.rejected(of_a).has_value() && d.rejected(of_b).has_value());
}

TEST(Bound, IsTheFormulaOfTheDesign) {
  Config config = card_of_ten();
  config.servers[1].job_limit = 30s;
  config.policy.swap_guess = 5s;
  Driver d(config);
  // (M-1)(S + L + e) + S + e, with S 5 s, L = R = 10 s, e = 10 min + 30 s; image: one class above.
  const Bound bound = bound_of(d.scheduler().state(), kSd, image, 0);
  EXPECT_EQ(bound.within, 60s + (5s + 10s + 630s) + 5s + 630s);
  const Bound third = bound_of(d.scheduler().state(), kSd, image, 2);
  EXPECT_EQ(*third.within - *bound.within, 2 * 2 * (5s + 10s + 630s));
}

TEST(Bound, SaysWhyThereIsNone) {
  Driver d = settled();
  EXPECT_THAT(bound_of(d.scheduler().state(), kSd, image, 0).why_not, HasSubstr("no limit"));
  Config config = card_of_ten();
  config.servers[1].job_limit = 30s;
  Driver pinned = settled(config);
  pinned.user(UserAsked::What::pin, kLlm);
  EXPECT_THAT(bound_of(pinned.scheduler().state(), kSd, image, 0).why_not, HasSubstr("pinned"));
}

}  // namespace
}  // namespace berth::core
