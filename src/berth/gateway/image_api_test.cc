// SPDX-License-Identifier: Apache-2.0
// Image jobs over real sockets, with an sd-server of which each test says what it does. The peer is
// genai-electron: DiffusionServerManager.test and GenerationRegistry.test, by their behaviour.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <boost/json.hpp>

#include "berth/base/base64.h"
#include "berth/gateway/test_world.h"

namespace berth::gateway {
namespace {

namespace json = boost::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kRoute = "/v1/images/generations";
/// The head of a PNG of 64x32.
const std::string kPng = std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x20", 24);

class ImageApi : public testing::Test {
 protected:
  ImageApi() {
    world_.host.grants_at_once = false;
    world_.behave = [this](http::Exchange* exchange) { return native(this, exchange); };
  }

  /// sd-server's jobs: each is in the state that the test last said, at first `queued`.
  static Task<void> native(ImageApi* self, http::Exchange* exchange) {
    const http::Request& request = exchange->request();
    const std::string path = request.path();
    http::Response reply;
    if (path == "/sdcpp/v1/img_gen") {
      self->asked_.push_back(request.body);
      const std::string id = "job_" + std::to_string(self->asked_.size());
      self->states_.emplace(id, self->first_state_);
      reply.status = self->accepts_ ? 202 : 429;
      reply.body = R"({"id":")" + id + R"("})";
    } else if (path.ends_with("/cancel")) {
      const std::string id = path.substr(15, path.size() - 15 - 7);
      self->cancelled_.push_back(id);
      const bool queued = self->states_[id] == "queued";
      if (queued) self->states_[id] = "cancelled";
      reply.status = queued ? 200 : 409;
      reply.body = "{}";
    } else {
      reply.body = self->state(path.substr(15));
    }
    self->world_.upstream_asked.set();
    static_cast<void>(co_await exchange->respond(std::move(reply)));
  }

  std::string state(const std::string& id) {
    json::object object{{"status", states_[id]}};
    if (states_[id] == "completed") {
      object["result"] =
          json::object{{"images", json::array{json::object{{"b64_json", encode_base64(kPng)}}}}};
    }
    if (states_[id] == "failed") object["error"] = json::object{{"message", "no results"}};
    return json::serialize(object);
  }

  http::Response take_on(const std::string& body = R"({"prompt":"a boat"})") {
    return world_.post(world_.front(kImage), kRoute, body);
  }
  std::string id_of(const http::Response& reply) {
    return std::string(json::parse(reply.body).at("id").as_string());
  }
  json::value look(const std::string& id) {
    return json::parse(world_.get(world_.front(kImage), std::string(kRoute) + "/" + id).body);
  }
  std::string status(const std::string& id) {
    return std::string(look(id).at("status").as_string());
  }
  http::Response cancel(const std::string& id, const std::string& query = "") {
    return world_.ask(world_.front(kImage), {.method = "DELETE",
                                             .target = std::string(kRoute) + "/" + id + query,
                                             .headers = {},
                                             .body = ""});
  }
  host::ImageJobPtr job(const std::string& id) { return *world_.host.images().find(id); }
  void wait_until(const std::string& id, host::ImageStatus wanted) {
    const auto held = job(id);
    while (held->status != wanted)  // it may change before the wait has begun
      run_on(world_.loop, held->changed.wait_for(20ms));
  }
  void pause() {
    Event never;
    run_on(world_.loop, never.wait_for(5ms));
  }
  /// The server dies over the second picture, and the job waits once more. Returns its id.
  std::string die_after_the_first_of_two(const std::function<void()>& meanwhile = [] {}) {
    world_.host.server_dies = true;
    const std::string id = id_of(take_on(R"({"prompt":"a boat","count":2,"seed":8})"));
    grant();
    while (asked_.size() < 2)
      pause();
    states_["job_1"] = "completed";
    while (job(id)->pictures.empty())
      pause();
    meanwhile();
    for (const ServerId server : {kChat, kImage}) {
      world_.host.fake_adapter(server).where =
          http::Endpoint::unix_socket(world_.folder + "/nobody");
    }
    while (world_.host.jobs.size() < 2)
      pause();
    return id;
  }
  void grant() { world_.host.jobs.back()->decided.set(); }

  std::map<std::string, std::string> states_;
  std::string first_state_ = "queued";
  bool accepts_ = true;
  std::vector<std::string> asked_;
  std::vector<std::string> cancelled_;
  World world_;  // last: what it ends with still asks for the above
};

TEST_F(ImageApi, AnIdIsAnsweredAtOnceAndItsRowIsWritten) {
  const http::Response reply = take_on();

  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(json::parse(reply.body).at("status").as_string(), "pending");
  EXPECT_GT(json::parse(reply.body).at("createdAt").as_int64(), 0);
  ASSERT_FALSE(world_.host.stored.empty());
  const auto& row = std::get<store::ImageJobRow>(world_.host.stored.front());
  EXPECT_EQ(row.id, id_of(reply));
  EXPECT_EQ(row.status, "pending");
  EXPECT_EQ(status(id_of(reply)), "pending");
}

TEST_F(ImageApi, NoRowHasThePrompt) {
  first_state_ = "completed";
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on(R"({"prompt":"xyzzy","negativePrompt":"plugh"})"));
  wait_until(id, host::ImageStatus::complete);

  for (const store::Change& change : world_.host.stored) {
    const auto& row = std::get<store::ImageJobRow>(change);
    for (const std::string& text : {row.pictures, row.at_server, row.error_message})
      EXPECT_THAT(text, Not(HasSubstr("xyzzy")));
  }
}

// GenerationRegistry: ids are unique.
TEST_F(ImageApi, IdsAreUnique) {
  EXPECT_NE(id_of(take_on()), id_of(take_on()));
}

TEST_F(ImageApi, ACompleteOneHasItsPicturesWithTheirSeedsAndSizes) {
  first_state_ = "completed";
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on(R"({"prompt":"a boat","count":2,"seed":8})"));
  wait_until(id, host::ImageStatus::complete);

  const json::value state = look(id);
  const auto& images = state.at("result").at("images").as_array();
  ASSERT_EQ(images.size(), 2u);
  EXPECT_EQ(images[0].at("image").as_string(), encode_base64(kPng));
  EXPECT_EQ(images[1].at("seed").as_int64(), 9);
  EXPECT_EQ(images[1].at("width").as_int64(), 64);
  EXPECT_EQ(images[1].at("height").as_int64(), 32);
  EXPECT_EQ(state.at("result").at("format").as_string(), "png");
  EXPECT_EQ(world_.host.jobs.size(), 1u) << "one job of the core, and one offload";
}

TEST_F(ImageApi, WithoutASeedOneIsDrawnForThePeersRange) {
  first_state_ = "completed";
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on());
  wait_until(id, host::ImageStatus::complete);

  const std::int64_t seed = look(id).at("result").at("images").at(0).at("seed").as_int64();
  EXPECT_GE(seed, 0);
  EXPECT_LT(seed, std::int64_t{1} << 31);
  EXPECT_THAT(asked_, ElementsAre(HasSubstr("\"seed\":" + std::to_string(seed))));
}

// The peer answers 503 SERVER_BUSY; here it waits its turn, and what the core refuses is refused.
TEST_F(ImageApi, WhatTheCoreRefusesAtOnceGetsNoId) {
  world_.host.grants_at_once = true;
  world_.host.refusal = Error{ErrorCode::queue_full, "1000 jobs wait"};
  world_.host.retry_after = 9;

  const http::Response reply = take_on();

  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(reply.headers.get("Retry-After"), "9");
  EXPECT_TRUE(world_.host.stored.empty());
}

TEST_F(ImageApi, AFullDiskIsSaidInsteadOfAnIdThatWouldBeForgotten) {
  world_.host.store_answer = fail(ErrorCode::disk_full, "the disk is full");

  EXPECT_EQ(take_on().status, 500);
  world_.wait(world_.host.jobs.back()->over);
  EXPECT_TRUE(world_.host.jobs.back()->withdrawn);
}

TEST_F(ImageApi, OneThatTheCoreRefusesLaterIsAnErrorWithItsReason) {
  const std::string id = id_of(take_on());
  world_.host.jobs.back()->refusal = Error{ErrorCode::held_too_long, "it waited for max_hold"};
  grant();
  wait_until(id, host::ImageStatus::error);

  EXPECT_EQ(look(id).at("error").at("code").as_string(), "held_too_long");
  EXPECT_EQ(look(id).at("error").at("message").as_string(), "it waited for max_hold");
}

TEST_F(ImageApi, AFailedPictureIsAnErrorAndTheOthersOfItsBatchAreTakenBack) {
  const std::string id = id_of(take_on(R"({"prompt":"a boat","count":3})"));
  first_state_ = "queued";
  grant();
  while (asked_.size() < 3) {
    world_.upstream_asked.reset();
    world_.wait(world_.upstream_asked);
  }
  states_["job_1"] = "failed";
  wait_until(id, host::ImageStatus::error);

  EXPECT_THAT(look(id).at("error").at("message").as_string().c_str(), HasSubstr("no results"));
  EXPECT_THAT(cancelled_, ElementsAre("job_3", "job_2", "job_1"));
  EXPECT_EQ(world_.host.jobs.back()->how, core::JobEnd::failed);
}

TEST_F(ImageApi, AServerThatTakesNoMoreIsAnErrorWithItsWords) {
  accepts_ = false;
  world_.host.grants_at_once = true;
  world_.host.server_dies = false;
  const std::string id = id_of(take_on());
  while (world_.host.jobs.empty())
    world_.wait(world_.host.submitted);
  world_.host.jobs.back()->released.set();
  wait_until(id, host::ImageStatus::error);

  EXPECT_THAT(look(id).at("error").at("message").as_string().c_str(), HasSubstr("429"));
}

// DiffusionServerManager: DELETE 200, 404, 409; an unknown id; a terminal one.
TEST_F(ImageApi, DeleteWithdrawsOneThatWaits) {
  const std::string id = id_of(take_on());

  const http::Response reply = cancel(id);

  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"({"id":")" + id + R"(","status":"cancelled"})");
  EXPECT_TRUE(world_.host.jobs.back()->withdrawn);
  EXPECT_EQ(status(id), "cancelled");
  EXPECT_EQ(cancel(id).status, 200) << "it may be said twice";
  EXPECT_TRUE(asked_.empty());
}

TEST_F(ImageApi, DeleteOfAnUnknownOneIs404AndOfACompleteOne409) {
  first_state_ = "completed";
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on());
  wait_until(id, host::ImageStatus::complete);

  EXPECT_EQ(cancel(id).status, 409);
  EXPECT_EQ(cancel("gen_1_0").status, 404);
  EXPECT_EQ(status(id), "complete") << "and its picture is still there";
}

TEST_F(ImageApi, OfOneThatIsDrawnTheEndIsAwaited) {
  first_state_ = "generating";
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on());
  while (asked_.empty())
    world_.wait(world_.upstream_asked);

  EXPECT_EQ(cancel(id, "?wait=0").status, 202);
  while (cancelled_.empty()) {
    world_.upstream_asked.reset();
    world_.wait(world_.upstream_asked);
  }
  EXPECT_EQ(status(id), "in_progress");
  EXPECT_FALSE(world_.host.jobs.back()->how) << "its server still works for it";
  states_["job_1"] = "completed";
  EXPECT_EQ(cancel(id).status, 200);

  EXPECT_EQ(status(id), "cancelled") << "though its picture came: nobody wants it";
  EXPECT_EQ(world_.host.jobs.back()->how, core::JobEnd::cancelled);
}

// DiffusionServerManager: the error handler never overwrites 'cancelled'.
TEST_F(ImageApi, APictureThatFailsAfterTheCancelIsCancelled) {
  first_state_ = "generating";
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on());
  while (asked_.empty())
    world_.wait(world_.upstream_asked);
  EXPECT_EQ(cancel(id, "?wait=0").status, 202);
  states_["job_1"] = "failed";
  EXPECT_EQ(cancel(id).status, 200);

  EXPECT_EQ(status(id), "cancelled");
}

TEST_F(ImageApi, ProgressIsTold) {
  first_state_ = "generating";
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on(R"({"prompt":"a boat","count":2})"));
  while (asked_.size() < 2) {
    world_.upstream_asked.reset();
    world_.wait(world_.upstream_asked);
  }
  world_.host.images().on_progress(kImage, {.stage = "diffusion", .step = 1, .steps = 2});

  const json::value progress = look(id).at("progress");
  EXPECT_EQ(json::serialize(progress),
            R"({"currentStep":1,"totalSteps":2,"stage":"diffusion","percentage":22,)"
            R"("currentImage":1,"totalImages":2})");
}

// The server dies over it: it is asked for once more, as a request of a client would be.
TEST_F(ImageApi, AfterTheDeathOfItsServerItIsANewJobOnce) {
  world_.host.server_dies = true;
  world_.host.grants_at_once = true;
  world_.host.fake_adapter(kImage).where = http::Endpoint::unix_socket(world_.folder + "/nobody");
  const std::string id = id_of(take_on());
  wait_until(id, host::ImageStatus::error);

  EXPECT_EQ(world_.host.jobs.size(), 2u);
  EXPECT_EQ(look(id).at("error").at("code").as_string(), "server_gone");
  EXPECT_EQ(look(id).at("error").at("message").as_string(),
            "\"image\" gave no answer: it ended while it drew; see `berth logs image`");
}

TEST_F(ImageApi, ABrokenConnectionIsToldWithoutThePrivateAddress) {
  world_.host.grants_at_once = true;
  world_.host.fake_adapter(kImage).where = http::Endpoint::unix_socket(world_.folder + "/nobody");
  const std::string id = id_of(take_on());
  while (world_.host.jobs.empty())
    pause();
  world_.host.jobs.back()->released.set();
  wait_until(id, host::ImageStatus::error);

  EXPECT_EQ(look(id).at("error").at("message").as_string(),
            "\"image\" gave no answer: its connection broke; see `berth logs image`");
}

TEST_F(ImageApi, WhatIsThereIsNotDrawnAgainByTheSameServer) {
  const std::string id = die_after_the_first_of_two();
  world_.host.fake_adapter(kImage).where = world_.upstream_at;
  first_state_ = "completed";
  grant();
  wait_until(id, host::ImageStatus::complete);

  EXPECT_THAT(asked_, ElementsAre(HasSubstr("\"seed\":8"), HasSubstr("\"seed\":9"),
                                  HasSubstr("\"seed\":9")));
  EXPECT_EQ(look(id).at("result").at("images").as_array().size(), 2u);
}

TEST_F(ImageApi, OneBatchIsDrawnByOneServer) {
  world_.host.fallback = kChat;  // of the job that comes: any other will do
  const std::string id = die_after_the_first_of_two([this] { world_.host.fallback.reset(); });
  world_.host.fake_adapter(kImage).where = world_.upstream_at;
  first_state_ = "completed";
  grant();
  wait_until(id, host::ImageStatus::complete);

  EXPECT_EQ(asked_.size(), 4u) << "both again";
  EXPECT_EQ(look(id).at("server").as_string(), "image");
}

// After a restart its row is read: whoever draws it is asked for it.
TEST_F(ImageApi, TheServerThatDrawsIsNamedAndStored) {
  first_state_ = "generating";
  world_.host.fallback = kChat;  // any other will do
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on());
  while (world_.host.stored.size() < 2)
    pause();

  EXPECT_EQ(look(id).at("server").as_string(), "chat");
  const auto& row = std::get<store::ImageJobRow>(world_.host.stored.back());
  EXPECT_EQ(row.server, "chat");
  EXPECT_EQ(row.at_server, "job_1");
}

// GenerationRegistry: only terminal entries are dropped, by their age.
TEST_F(ImageApi, PicturesAreKeptForTheirTimeAndWhatWaitsIsNot) {
  world_.host.image_ttl = 1ms;
  world_.host.keep_images(world_.loop.executor(), world_.folder);
  const std::string waiting = id_of(take_on());
  first_state_ = "completed";
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on());
  wait_until(id, host::ImageStatus::expired);

  const http::Response gone = world_.get(world_.front(kImage), std::string(kRoute) + "/" + id);
  EXPECT_EQ(gone.status, 410);
  EXPECT_THAT(gone.body, HasSubstr("image_result_ttl"));
  EXPECT_EQ(status(waiting), "pending");
}

TEST_F(ImageApi, NewerPicturesPushOutTheOldestOnes) {
  first_state_ = "completed";
  world_.host.grants_at_once = true;
  std::vector<std::string> ids;
  for (int i = 0; i < 101; ++i) {
    ids.push_back(id_of(take_on()));
    wait_until(ids.back(), host::ImageStatus::complete);
  }

  EXPECT_EQ(job(ids.front())->status, host::ImageStatus::expired);
  EXPECT_THAT(job(ids.front())->error->message, HasSubstr("newer ones needed their place"));
  EXPECT_EQ(job(ids[1])->status, host::ImageStatus::complete);
}

TEST_F(ImageApi, RowsOfAPastRunAreAnsweredAsTheyStand) {
  store::ImageJobRow row{.id = "gen_1_a", .server = "image", .status = "pending"};
  row.pictures = "[]";
  world_.host.images().recover({row});
  world_.host.images().end_recovery();
  wait_until("gen_1_a", host::ImageStatus::interrupted);

  const http::Response reply = world_.get(world_.front(kImage), std::string(kRoute) + "/gen_1_a");
  EXPECT_EQ(reply.status, 410);
  EXPECT_THAT(reply.body, HasSubstr("Berth ended while it waited"));
  EXPECT_EQ(cancel("gen_1_a").status, 410);
}

TEST_F(ImageApi, EventsEndWithTheWholeState) {
  first_state_ = "completed";
  world_.host.grants_at_once = true;
  const std::string id = id_of(take_on());
  wait_until(id, host::ImageStatus::complete);

  const http::Response events = world_.get(world_.main(), "/api/v1/images/" + id + "/events");

  EXPECT_THAT(events.body, HasSubstr("event: complete\ndata: {\"id\":\"" + id));
}

TEST_F(ImageApi, OpenAisFormIsRelayedAndOthersAreNamed) {
  world_.host.grants_at_once = true;
  world_.behave = nullptr;

  EXPECT_EQ(take_on(R"({"prompt":"a","n":1})").body, R"({"ok":true})");
  EXPECT_EQ(take_on(R"({"prompt":"a","width":1})").status, 400);
}

TEST_F(ImageApi, AServerThatDrawsNothingIsNamed) {
  const http::Response reply =
      world_.post(world_.main(), "/api/v1/servers/chat/images", R"({"prompt":"a"})");

  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("\\\"chat\\\" draws no pictures"));
}

TEST_F(ImageApi, HealthSaysWhatTheServerDoes) {
  EXPECT_EQ(world_.get(world_.front(kImage), "/health").body,
            R"({"status":"ok","busy":false,"backend":"absent"})");
  world_.host.server(kImage).state = core::ServerState::ready;
  world_.host.server(kImage).running = {JobId{1}};
  EXPECT_EQ(world_.get(world_.front(kImage), "/health").body,
            R"({"status":"ok","busy":true,"backend":"busy"})");
  EXPECT_EQ(world_.get(world_.front(kChat), "/health").body, R"({"status":"ok"})");
}

}  // namespace
}  // namespace berth::gateway
