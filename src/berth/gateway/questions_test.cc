// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "berth/gateway/test_world.h"

namespace berth::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;

class QuestionsTest : public testing::Test {
 protected:
  boost::json::object read(const std::string& target) {
    const http::Response reply = world_.get(world_.main(), target);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return boost::json::parse(reply.body).as_object();
  }
  boost::json::object offload() { return read("/api/v1/servers/image/would-need-offload"); }
  boost::json::object saved() { return read("/api/v1/servers/chat/saved-state"); }

  World world_;
};

TEST_F(QuestionsTest, AnOffloadIsTrueAndNamesWhoWouldLeave) {
  world_.host.offload = {.victims = {kChat}, .runs = true};
  EXPECT_EQ(boost::json::serialize(offload()),
            R"({"would_need_offload":true,"server":"image","victims":["chat"],"text":)"
            R"("a request for \"image\" would put out \"chat\" for a while"})");
}

TEST_F(QuestionsTest, WithoutAVictimTheSentenceSaysWhatWouldHappenInstead) {
  world_.host.offload = {.runs = true};
  EXPECT_FALSE(offload().at("would_need_offload").as_bool());
  EXPECT_EQ(offload().at("text"), "a request for \"image\" would put nobody out");
  world_.host.offload = {.refused = Error{ErrorCode::stopped_by_user, "it is off"}};
  EXPECT_EQ(offload().at("text"),
            "a request for \"image\" would be refused, and nobody put out: it is off");
  world_.host.offload = {.stays = kChat};
  EXPECT_EQ(offload().at("text"),
            "a request for \"image\" would wait for \"chat\", which is pinned, held or leased");
  world_.host.offload = {};
  EXPECT_EQ(offload().at("text"), "a request for \"image\" would wait as things are");
}

TEST_F(QuestionsTest, NothingIsSavedOfAServerThatIsNotDisplaced) {
  EXPECT_EQ(boost::json::serialize(saved()), R"({"saved_state":null})");
}

TEST_F(QuestionsTest, TheSavedStateIsTheCommandLineThatComesBack) {
  world_.host.shown.servers = {{.name = "chat", .front_port = 8080}, {.name = "image"}};
  world_.host.saved = {.argv = {"llama-server", "-m", "/m.gguf", "-c", "4096", "-np", "2", "-ngl",
                                "999", "-c", "8192"},
                       .since = WallTime{1'700'000'000'123},
                       .displaced_by = "image"};
  EXPECT_EQ(boost::json::serialize(saved()),
            R"({"saved_state":{"config":{"model":"/m.gguf","port":8080,"argv":["llama-server",)"
            R"("-m","/m.gguf","-c","4096","-np","2","-ngl","999","-c","8192"],"threads":null,)"
            R"("gpu_layers":-1,"context_size":8192,"parallel":2},"was_running":true,)"
            R"("saved_at":"2023-11-14T22:13:20.123Z","displaced_by":"image","after":"restore"}})");
}

TEST_F(QuestionsTest, ASavedStateThatWasClearedComesBackOnRequest) {
  world_.host.shown.servers = {{.name = "chat"}, {.name = "image"}};
  world_.host.saved = {.argv = {"llama-server"}, .after = core::After::on_request};
  EXPECT_EQ(saved().at("saved_state").at("after"), "on_request");
  EXPECT_TRUE(saved().at("saved_state").at("config").at("port").is_null());
}

TEST_F(QuestionsTest, SecretsOfTheCommandLineAreNotShown) {
  world_.host.shown.servers = {{.name = "chat"}, {.name = "image"}};
  world_.host.saved = {
      .argv = {"llama-server", "--api-key", "planted", "--hf-token=planted", "-t", "4"}};
  const std::string text = boost::json::serialize(saved());
  EXPECT_THAT(text, Not(HasSubstr("planted")));
  EXPECT_THAT(text, HasSubstr(R"("argv":["llama-server","--api-key","***","--hf-token=***")"));
}

TEST_F(QuestionsTest, OfAnUnknownServerTheKnownOnesAreNamed) {
  const http::Response reply =
      world_.get(world_.main(), "/api/v1/servers/nobody/would-need-offload");
  EXPECT_EQ(reply.status, 404);
  EXPECT_THAT(reply.body, HasSubstr("chat"));
}

}  // namespace
}  // namespace berth::gateway
