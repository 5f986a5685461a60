// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/image_wish.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace berth::gateway {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& body) {
  const auto wish = image_wish(body);
  return wish ? "taken" : wish.error().message;
}

TEST(ImageWish, APromptIsEnough) {
  const auto wish = image_wish(R"({"prompt":"a boat"})");

  ASSERT_TRUE(wish);
  EXPECT_EQ(wish->picture.prompt, "a boat");
  EXPECT_EQ(wish->count, 1);
  EXPECT_FALSE(wish->seed);
  EXPECT_EQ(shape_of(*wish), "");
}

TEST(ImageWish, BothSpellingsAreTaken) {
  for (const std::string body :
       {R"({"prompt":"a","negativePrompt":"b","cfgScale":7.5,"width":64,"height":128,"steps":9,)"
        R"("seed":3,"sampler":"euler_a","count":5})",
        R"({"prompt":"a","negative_prompt":"b","cfg_scale":7.5,"width":64,"height":128,"steps":9,)"
        R"("seed":3,"sampler":"euler_a","count":5})"}) {
    const auto wish = image_wish(body);
    ASSERT_TRUE(wish) << wish.error().message;
    EXPECT_EQ(wish->picture.negative_prompt, "b");
    EXPECT_EQ(wish->picture.cfg_scale, 7.5);
    EXPECT_EQ(wish->picture.width, 64);
    EXPECT_EQ(wish->picture.height, 128);
    EXPECT_EQ(wish->picture.steps, 9);
    EXPECT_EQ(wish->picture.sampler, "euler_a");
    EXPECT_EQ(wish->seed, 3);
    EXPECT_EQ(wish->count, 5);
    EXPECT_EQ(shape_of(*wish), "64x128");
  }
}

TEST(ImageWish, ANegativeSeedIsARandomOne) {
  EXPECT_FALSE(image_wish(R"({"prompt":"a","seed":-1})")->seed);
}

TEST(ImageWish, WhatIsWrongIsNamedWithWhatItTakes) {
  EXPECT_EQ(refusal("{}"), "prompt is missing; it takes a text of 1 to 32768 bytes");
  EXPECT_EQ(refusal(R"({"prompt":""})"), R"(prompt is ""; it takes a text of 1 to 32768 bytes)");
  EXPECT_EQ(refusal(R"({"prompt":"a","width":63})"),
            "width is 63; it takes a whole number from 64 to 4096");
  EXPECT_EQ(refusal(R"({"prompt":"a","height":4097})"),
            "height is 4097; it takes a whole number from 64 to 4096");
  EXPECT_EQ(refusal(R"({"prompt":"a","steps":0})"),
            "steps is 0; it takes a whole number from 1 to 100");
  EXPECT_EQ(refusal(R"({"prompt":"a","count":6})"),
            "count is 6; it takes a whole number from 1 to 5");
  EXPECT_EQ(refusal(R"({"prompt":"a","cfgScale":101})"),
            "cfgScale is 101; it takes a number from 0 to 100");
  EXPECT_EQ(refusal(R"({"prompt":"a","seed":"x"})"),
            R"(seed is "x"; it takes a whole number from -1 to 9007199254740976)");
  EXPECT_THAT(refusal(R"({"prompt":"a","sampler":"magic"})"),
              HasSubstr(R"(sampler is "magic"; it takes one of euler, euler_a, )"));
}

// genai-electron takes 1.5 pictures.
TEST(ImageWish, HalfAPictureIsRefused) {
  EXPECT_EQ(refusal(R"({"prompt":"a","count":1.5})"),
            "count is 1.5E0; it takes a whole number from 1 to 5");
}

TEST(ImageWish, AMemberThatIsNotKnownIsNamed) {
  EXPECT_THAT(refusal(R"({"prompt":"a","usageMode":"burst"})"),
              HasSubstr("usageMode is no member of an image job; it has prompt, negativePrompt"));
}

TEST(ImageWish, TwoSpellingsOfOneMemberAreRefused) {
  EXPECT_EQ(refusal(R"({"prompt":"a","negativePrompt":"b","negative_prompt":"c"})"),
            "negativePrompt and negative_prompt are the same member; write one");
  EXPECT_EQ(refusal(R"({"prompt":"a","cfg_scale":1,"cfgScale":2})"),
            "cfgScale and cfg_scale are the same member; write one");
}

TEST(ImageWish, WhatIsNoObjectIsRefused) {
  EXPECT_THAT(refusal("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("must be a JSON object"));
}

TEST(RelayedPicture, WhatCannotBeDrawnIsRefusedWithItsLimit) {
  const auto said = [](const std::string& members) {
    const Status checked = check_relayed_picture("{" + members + "}");
    return checked ? "taken" : checked.error().message;
  };
  EXPECT_EQ(said(R"("n":-5)"), "n is -5; it takes a number from 1 to 8");
  EXPECT_EQ(said(R"("batch_size":9)"), "batch_size is 9; it takes a number from 1 to 8");
  EXPECT_EQ(said(R"("width":1000000)"), "width is 1000000; it takes a number from 1 to 4096");
  EXPECT_EQ(said(R"("height":"64")"), R"(height is "64"; it takes a number from 1 to 4096)");
  EXPECT_EQ(said(R"("steps":1000000000)"), "steps is 1000000000; it takes a number from 1 to 100");
  for (const std::string size : {R"("1000000x1000000")", R"("64x-5")", R"("64x64x64")", R"("x")",
                                 R"("large")", "64", R"("64x99999999999999999999")"}) {
    EXPECT_EQ(said("\"size\":" + size),
              "size is " + size + "; it takes WIDTHxHEIGHT, each from 1 to 4096");
  }
}

TEST(RelayedPicture, TheRestIsForTheServerToJudge) {
  for (const std::string body :
       {R"("size":"64x4096","n":8,"steps":100,"width":512.0)", R"("size":"auto")",
        R"("size":"","unknown":null,"negative_prompt":7)"}) {
    EXPECT_TRUE(check_relayed_picture(R"({"prompt":"a",)" + body + "}")) << body;
  }
  EXPECT_TRUE(check_relayed_picture(R"({"prompt":")" + std::string(100'000, 'a') + R"("})"));
}

TEST(RelayedPicture, WithoutAPromptTheServerWouldOnlyRefuse) {
  const auto said = [](const std::string& body) {
    const Status checked = check_relayed_picture(body);
    return checked ? "taken" : checked.error().message;
  };
  EXPECT_EQ(said("{}"), "prompt is missing; it takes a text of 1 byte or more");
  for (const std::string prompt : {R"("")", R"(["a"])", "5", "null"}) {
    EXPECT_EQ(said("{\"prompt\":" + prompt + "}"),
              "prompt is " + prompt + "; it takes a text of 1 byte or more");
  }
}

TEST(ImageWish, OpenAisFormHasMembersOfItsOwn) {
  EXPECT_TRUE(is_openai_picture(R"({"prompt":"a","n":1})"));
  EXPECT_TRUE(is_openai_picture(R"({"prompt":"a","size":"64x64"})"));
  EXPECT_TRUE(is_openai_picture(R"({"prompt":"a","model":"image"})"));
  EXPECT_FALSE(is_openai_picture(R"({"prompt":"a","count":1})"));
  EXPECT_FALSE(is_openai_picture("{"));
}

}  // namespace
}  // namespace berth::gateway
