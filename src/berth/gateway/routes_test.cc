// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/routes.h"

#include <gmock/gmock.h>

namespace berth::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;

ErrorCode refusal(const Target& target) {
  const Result<Match> match = find_route(target);
  return match ? ErrorCode::internal : match.error().code;
}

TEST(Routes, EveryRouteOfLlamaServerIsAJobOnTheMainAddressAndOnItsFrontPort) {
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/v1/responses",
                           "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings",
                           "/completion", "/completions", "/chat/completions", "/infill",
                           "/tokenize", "/detokenize", "/apply-template", "/v1/rerank"}) {
    for (const Entrance entrance : {Entrance::main, Entrance::front}) {
      const Result<Match> match = find_route({entrance, Serves::llm, "POST", path});
      ASSERT_TRUE(match) << path;
      EXPECT_TRUE(match->route->is_job()) << path;
    }
  }
}

TEST(Routes, TheFrontPortOfAnImageServerHasNoChats) {
  const Target chat{Entrance::front, Serves::image, "POST", "/v1/chat/completions"};
  EXPECT_EQ(refusal(chat), ErrorCode::not_found);
  EXPECT_TRUE(find_route({Entrance::front, Serves::image, "POST", "/v1/images/generations"}));
}

TEST(Routes, AnUnknownRouteIsAnsweredWithTheOnesThatExist) {
  const Result<Match> match = find_route({Entrance::front, Serves::llm, "GET", "/api/tags"});
  ASSERT_FALSE(match);
  EXPECT_EQ(match.error().code, ErrorCode::not_found);
  EXPECT_THAT(match.error().message, HasSubstr("POST /v1/chat/completions"));
  EXPECT_THAT(match.error().message, Not(HasSubstr("/v1/images")));
}

TEST(Routes, AWrongMethodIsAnsweredWithTheRightOnes) {
  const Target target{Entrance::main, Serves::any, "GET", "/v1/completions"};
  EXPECT_EQ(refusal(target), ErrorCode::method_not_allowed);
  EXPECT_EQ(allowed_methods(target), "POST");
}

TEST(Routes, HeadIsTakenWhereGetIs) {
  EXPECT_TRUE(find_route({Entrance::main, Serves::any, "HEAD", "/v1/models"}));
}

TEST(Routes, ChangesOfStateNeedTheTokenOnANetworkAddressAndFrontPortsHaveNone) {
  const char* path = "/api/v1/servers/chat/start";
  EXPECT_TRUE(changes_state({Entrance::main, Serves::any, "POST", path}));
  EXPECT_FALSE(changes_state({Entrance::control, Serves::any, "POST", path}));
  EXPECT_EQ(refusal({Entrance::front, Serves::llm, "POST", path}), ErrorCode::not_found);
  const Result<Match> match = find_route({Entrance::control, Serves::any, "POST", path});
  ASSERT_TRUE(match);
  EXPECT_EQ(match->name, "chat");
}

TEST(Routes, EveryRouteOfTheControlApiThatIsNoReadAndNoJobNeedsTheToken) {
  for (const Route& route : routes()) {
    const bool is_read = route.method == "GET";
    const bool is_of_pictures = route.path.find("/images") != std::string_view::npos;
    const bool is_question = route.act == Act::plan;
    const bool is_open = is_read || route.is_job() || is_of_pictures || is_question;
    EXPECT_EQ(route.entrances.needs_token, !is_open) << route.method << " " << route.path;
  }
}

TEST(Routes, JobsAndReadsNeedNoToken) {
  EXPECT_FALSE(changes_state({Entrance::main, Serves::any, "POST", "/v1/chat/completions"}));
  EXPECT_FALSE(changes_state({Entrance::main, Serves::any, "GET", "/api/v1/status"}));
}

TEST(Routes, ANameIsOneSegment) {
  EXPECT_EQ(refusal({Entrance::control, Serves::any, "POST", "/api/v1/servers/a/b/start"}),
            ErrorCode::not_found);
  EXPECT_EQ(refusal({Entrance::control, Serves::any, "POST", "/api/v1/servers//start"}),
            ErrorCode::not_found);
}

TEST(Routes, PropsAndSlotsAreReadsOfFrontPorts) {
  EXPECT_TRUE(find_route({Entrance::front, Serves::llm, "GET", "/props"}));
  EXPECT_EQ(refusal({Entrance::main, Serves::any, "GET", "/slots"}), ErrorCode::not_found);
}

}  // namespace
}  // namespace berth::gateway
