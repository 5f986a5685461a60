// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/sd_native.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "berth/base/base64.h"

namespace berth::servers {
namespace {

using testing::HasSubstr;

http::Response answer(int status, std::string body) {
  return {.status = status, .headers = {}, .body = std::move(body)};
}

TEST(SdNative, WhatIsNotSaidIsLeftToTheServer) {
  const http::Request request = draw_request({.prompt = "a boat"}, 7);

  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/sdcpp/v1/img_gen");
  EXPECT_EQ(request.body,
            R"({"embed_image_metadata":false,"prompt":"a boat","seed":7,"batch_count":1,)"
            R"("output_format":"png"})");
}

TEST(SdNative, EverythingThatIsSaidIsPassedOn) {
  const http::Request request = draw_request({.prompt = "a boat",
                                              .negative_prompt = "rain",
                                              .width = 64,
                                              .height = 128,
                                              .steps = 4,
                                              .cfg_scale = 7.5,
                                              .sampler = "euler_a"},
                                             9);

  EXPECT_EQ(
      request.body,
      R"({"embed_image_metadata":false,"prompt":"a boat","seed":9,"batch_count":1,)"
      R"("output_format":"png","negative_prompt":"rain","width":64,"height":128,"sample_params":)"
      R"({"sample_steps":4,"sample_method":"euler_a","guidance":{"txt_cfg":7.5E0}}})");
}

TEST(SdNative, AnAcceptedPictureHasAnId) {
  EXPECT_EQ(id_of_accepted(answer(202, R"({"id":"job_1_0","status":"queued"})")).value(),
            "job_1_0");
}

TEST(SdNative, ARefusalIsQuoted) {
  const auto refused = id_of_accepted(answer(429, R"({"error":"job queue is full"})"));

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::upstream);
  EXPECT_THAT(refused.error().message, HasSubstr("429: {\"error\":\"job queue is full\"}"));
}

TEST(SdNative, APictureThatIsQueuedOrDrawnIsNotOver) {
  EXPECT_FALSE(state_of(answer(200, R"({"status":"queued"})")).value().is_over);
  EXPECT_FALSE(state_of(answer(200, R"({"status":"generating"})")).value().is_over);
}

TEST(SdNative, ACompletedOneHasItsFile) {
  const auto state =
      state_of(answer(200, R"({"status":"completed","result":{"images":[{"b64_json":")" +
                               encode_base64("PNG") + R"("}]}})"));

  ASSERT_TRUE(state);
  EXPECT_TRUE(state->is_over);
  EXPECT_EQ(state->png, "PNG");
}

TEST(SdNative, AFailedOneHasTheServersWords) {
  const auto state =
      state_of(answer(200, R"({"status":"failed","error":{"message":"no results"}})"));

  ASSERT_TRUE(state && state->error);
  EXPECT_THAT(state->error->message, HasSubstr("no results"));
}

TEST(SdNative, AnIdThatIsNotKnownAnyMoreIsNotFound) {
  for (const int status : {404, 410}) {
    const auto state = state_of(answer(status, R"({"error":"job expired"})"));
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().code, ErrorCode::not_found);
  }
}

TEST(SdNative, ACompletedOneWithoutAPictureIsNoPicture) {
  EXPECT_FALSE(state_of(answer(200, R"({"status":"completed","result":{"images":[]}})")));
}

}  // namespace
}  // namespace berth::servers
