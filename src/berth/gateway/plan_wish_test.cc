// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/plan_wish.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace berth::gateway {
namespace {

using testing::ElementsAre;

std::string refusal(const std::string& body) {
  const auto wish = plan_wish(body);
  return wish ? "taken" : wish.error().message;
}

TEST(PlanWish, ItsMembersAreTheOptionsOfTheCommand) {
  const auto wish =
      plan_wish(R"({"vram":["8GB","24GB"],"ram":"32GB","foreign":"vram=1GB","llm":["3.5GB:32/32"],)"
                R"("diffusion":["6.9GB"],"component":["WAN I2V"]})");
  ASSERT_TRUE(wish) << wish.error().message;
  EXPECT_THAT(wish->vram, ElementsAre("8GB", "24GB"));
  EXPECT_EQ(wish->ram, "32GB");
  EXPECT_THAT(wish->foreign, ElementsAre("vram=1GB"));
  EXPECT_THAT(wish->llms, ElementsAre("3.5GB:32/32"));
  EXPECT_THAT(wish->diffusions, ElementsAre("6.9GB"));
  EXPECT_THAT(wish->components, ElementsAre("WAN I2V"));
}

TEST(PlanWish, WhatIsWrongIsNamed) {
  EXPECT_EQ(refusal(R"({"vram":8})"),
            "\"vram\" must be text, or a list of texts, as `berth plan --vram` takes it");
  EXPECT_EQ(refusal(R"({"llm":["1GB",2]})"),
            "\"llm\" must be text, or a list of texts, as `berth plan --llm` takes it");
  EXPECT_EQ(refusal(R"({"ram":["1GB","2GB"]})"), "\"ram\" is one amount; write one");
  EXPECT_EQ(refusal(R"({"llms":[]})"),
            "\"llms\" is no member of this request; known: vram, ram, foreign, llm, diffusion, "
            "component");
}

TEST(PlanWish, TheWordsOfTheCommandAreTakenWithoutItsDashes) {
  const auto wish = plan_wish(R"({"vram":"8GB","llm":"much"})");
  ASSERT_TRUE(wish);
  const auto question = plan::question_of(*wish, nullptr);
  ASSERT_FALSE(question);
  EXPECT_THAT(question.error().message, testing::StartsWith("llm \"much\": "));
}

}  // namespace
}  // namespace berth::gateway
