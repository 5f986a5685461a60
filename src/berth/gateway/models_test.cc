// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/models.h"

#include <gmock/gmock.h>

namespace berth::gateway {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ModelsTest : public testing::Test {
 protected:
  ModelsTest() {
    for (const char* name : {"big", "small"}) {
      config_.servers.push_back({.name = name, .kind = config::LlamaOptions{}});
    }
    config_.servers.push_back({.name = "painter", .kind = config::SdOptions{}});
  }

  Result<ServerId> chat(std::string_view body) const { return server_for(config_, chats_, body); }
  Result<ServerId> picture(std::string_view body) const {
    return server_for(config_, pictures_, body);
  }

  config::Config config_;
  Route chats_{.method = "POST", .path = "/v1/chat/completions", .serves = Serves::llm};
  Route pictures_{.method = "POST", .path = "/v1/images/generations", .serves = Serves::image};
};

TEST_F(ModelsTest, AModelIsTheNameOfItsServer) {
  EXPECT_EQ(chat(R"({"model":"small","messages":[]})"), ServerId{1});
}

TEST_F(ModelsTest, AnUnknownModelIsAnsweredWithTheKnownOnesOfItsClass) {
  const auto found = chat(R"({"model":"gpt-4"})");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::not_found);
  EXPECT_THAT(found.error().message, AllOf(HasSubstr("\"gpt-4\""), HasSubstr("\"big\", \"small\""),
                                           Not(HasSubstr("painter"))));
}

TEST_F(ModelsTest, AModelOfAnotherClassIsUnknown) {
  EXPECT_EQ(chat(R"({"model":"painter"})").error().code, ErrorCode::not_found);
}

TEST_F(ModelsTest, TheOnlyServerOfAClassNeedsNoName) {
  EXPECT_EQ(picture(R"({"prompt":"a cat"})"), ServerId{2});
  EXPECT_EQ(picture(R"({"prompt":"a cat","model":null})"), ServerId{2});
}

TEST_F(ModelsTest, AMissingNameIsAskedForWhereThereIsAChoice) {
  const auto found = chat("{}");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::bad_request);
  EXPECT_THAT(found.error().message, HasSubstr("\"big\", \"small\""));
}

TEST_F(ModelsTest, ABodyThatIsNoObjectIsRefused) {
  for (const char* body : {"", "{", "[]", "\"chat\"", "{\"model\":7}", "\xff"}) {
    const auto found = chat(body);
    ASSERT_FALSE(found) << body;
    EXPECT_EQ(found.error().code, ErrorCode::bad_request) << body;
  }
}

TEST_F(ModelsTest, AnUnknownServerIsAnsweredWithTheKnownOnes) {
  const auto found = server_named(config_, "vid");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("\"big\", \"small\", \"painter\""));
}

}  // namespace
}  // namespace berth::gateway
