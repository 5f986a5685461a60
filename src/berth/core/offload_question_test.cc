// SPDX-License-Identifier: Apache-2.0
#include "berth/core/offload_question.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// Would a picture put somebody out?
OffloadAnswer picture(const Driver& d) {
  const JobArrived request{
      .job = JobId{1'000'000}, .server = kSd, .job_class = ServerClass::image, .client = "test"};
  return would_need_offload(d.scheduler(), d.now(), request);
}

TEST(OffloadQuestion, AnLlmInMemoryWouldLeaveForAPictureThatDoesNotFitBesideIt) {
  const OffloadAnswer answer = picture(settled());
  EXPECT_THAT(answer.victims, ElementsAre(kLlm));
  EXPECT_TRUE(answer.runs);
}

TEST(OffloadQuestion, NobodyLeavesForAPictureThatFits) {
  Config config = card_of_ten();
  config.servers[kSd.value].footprint = bytes(4_GiB);
  const OffloadAnswer answer = picture(settled(config));
  EXPECT_THAT(answer.victims, IsEmpty());
  EXPECT_TRUE(answer.runs);
}

TEST(OffloadQuestion, NobodyLeavesWhereNoLlmRuns) {
  Driver d(card_of_ten(Wanted::on_demand));
  d.pass(1h);
  const OffloadAnswer answer = picture(d);
  EXPECT_THAT(answer.victims, IsEmpty());
  EXPECT_TRUE(answer.runs);
}

TEST(OffloadQuestion, AnLlmThatIsStartingWouldLeave) {
  Driver d(card_of_ten());
  d.pass(1s);
  ASSERT_EQ(d.state(kLlm), ServerState::starting);
  EXPECT_THAT(picture(d).victims, ElementsAre(kLlm));
}

TEST(OffloadQuestion, ADisplacedLlmHasLeftAlready) {
  const Driver d = drawing();
  ASSERT_TRUE(d.server(kLlm).displaced);
  EXPECT_THAT(picture(d).victims, IsEmpty());
}

TEST(OffloadQuestion, AnLlmThatAnswersLastChatsForAPictureIsStillToLeave) {
  Driver d = experienced();
  d.ask(kLlm, ServerClass::chat);
  d.ask(kSd, ServerClass::image);
  d.pass(6s);
  ASSERT_EQ(d.state(kLlm), ServerState::ready);
  ASSERT_TRUE(d.server(kLlm).displaced);
  EXPECT_THAT(picture(d).victims, ElementsAre(kLlm));
}

TEST(OffloadQuestion, AnLlmOnItsWayBackWouldLeaveAgain) {
  Driver d = settled();
  const JobId drawn = d.ask(kSd, ServerClass::image);
  d.pass(10s);
  d.end(drawn);
  for (int i = 0; i < 600 && d.state(kLlm) != ServerState::starting; ++i)
    d.pass(100ms);
  ASSERT_EQ(d.state(kLlm), ServerState::starting);
  EXPECT_THAT(picture(d).victims, ElementsAre(kLlm));
}

TEST(OffloadQuestion, AnLlmThatTheUserStoppedDoesNotLeave) {
  Driver d = settled();
  d.user(UserAsked::What::stop, kLlm);
  d.pass(10s);
  EXPECT_THAT(picture(d).victims, IsEmpty());
}

TEST(OffloadQuestion, AnLlmThatFailedDoesNotLeave) {
  Driver d(card_of_ten());
  d.behaviour(kLlm).start_error = Error{ErrorCode::start_failed, "it is broken"};
  d.pass(4500ms);
  ASSERT_EQ(d.state(kLlm), ServerState::failed);
  EXPECT_THAT(picture(d).victims, IsEmpty());
}

TEST(OffloadQuestion, APinnedLlmStaysAndThePictureWaits) {
  Driver d = settled();
  d.user(UserAsked::What::pin, kLlm);
  const OffloadAnswer answer = picture(d);
  EXPECT_THAT(answer.victims, IsEmpty());
  EXPECT_FALSE(answer.runs);
  EXPECT_EQ(answer.stays, kLlm);
}

TEST(OffloadQuestion, AnImageServerThatTheUserStoppedPutsNobodyOut) {
  Driver d = settled();
  d.user(UserAsked::What::stop, kSd);
  const OffloadAnswer answer = picture(d);
  EXPECT_THAT(answer.victims, IsEmpty());
  ASSERT_TRUE(answer.refused);
  EXPECT_EQ(answer.refused->code, ErrorCode::stopped_by_user);
}

TEST(OffloadQuestion, TheQuestionChangesNothing) {
  Driver d = settled();
  static_cast<void>(picture(d));
  d.pass(1h);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
  EXPECT_THAT(d.story(), IsEmpty());
}

}  // namespace
}  // namespace berth::core
