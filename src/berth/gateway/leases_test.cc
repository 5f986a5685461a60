// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/leases.h"

#include <gmock/gmock.h>
#include <boost/json.hpp>

#include "berth/gateway/lease_wish.h"
#include "berth/gateway/test_world.h"

namespace berth::gateway {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kLeases = "/api/v1/leases";
constexpr const char* kHolds = "/api/v1/holds";

/// The next line of the stream; at its end "the end".
Task<boost::json::value> next_line(http::Call* call) {
  const auto piece = co_await call->read();
  if (!piece) co_return boost::json::value(piece.error().message);
  if (!*piece) co_return boost::json::value("the end");
  co_return boost::json::parse(**piece);
}

Task<int> status_of(http::Call* call) {
  const auto head = co_await call->head();
  co_return head ? head->status : 0;
}

class LeasesTest : public testing::Test {
 protected:
  LeasesTest() { world_.host.pools({"ram", "gpu0.vram", "gpu1.vram"}); }
  JobScript& job() { return *world_.host.jobs.at(0); }
  /// Asks on the control socket; the connection stays.
  std::unique_ptr<http::Call> ask(const char* where, std::string body) {
    http::Request request{.method = "POST", .target = where, .headers = {}, .body = body};
    auto call = run_on(world_.loop, http::Call::open(world_.loop.executor(), world_.control(),
                                                     std::move(request), 5s));
    status_ = run_on(world_.loop, status_of(call->get()));
    return std::move(*call);
  }
  boost::json::value line(http::Call& call) { return run_on(world_.loop, next_line(&call)); }
  http::Response refused(const char* where, std::string body) {
    return world_.post(world_.control(), where, std::move(body));
  }

  World world_;
  int status_ = 0;
};

TEST_F(LeasesTest, ALeaseIsGrantedWithTheEnvironmentOfItsProcesses) {
  const auto call = ask(kLeases, R"({"ram":"2GiB","name":"train.py"})");
  EXPECT_EQ(status_, 200);
  const boost::json::value granted = line(*call);
  EXPECT_EQ(granted.at("state"), "granted");
  EXPECT_EQ(granted.at("job"), 1);
  EXPECT_EQ(granted.at("environment").at("BERTH_LEASE"), "secret");
  EXPECT_EQ(job().request.kind, core::JobKind::lease);
  EXPECT_EQ(job().request.server, core::kNoServer);
  EXPECT_EQ(job().request.need->in(PoolId{0}), 2_GiB);
  EXPECT_EQ(job().request.limit, Duration{30min});
  EXPECT_EQ(job().request.job_class, core::ServerClass::video);
  EXPECT_EQ(job().request.client, "train.py");
}

TEST_F(LeasesTest, ClosingTheConnectionGivesItBack) {
  const auto call = ask(kLeases, R"({"ram":1})");
  line(*call);
  EXPECT_FALSE(job().over.is_set());
  call->close();
  world_.wait(job().over);
  EXPECT_EQ(job().how, core::JobEnd::done);
}

TEST_F(LeasesTest, OneThatWaitsSaysSoAndLeavesTheQueueWithItsConnection) {
  world_.host.grants_at_once = false;
  const auto call = ask(kLeases, R"({"ram":1})");
  EXPECT_EQ(line(*call).at("state"), "waiting");
  call->close();
  world_.wait(job().over);
  EXPECT_TRUE(job().withdrawn);
}

TEST_F(LeasesTest, OneThatWaitsIsGrantedLater) {
  world_.host.grants_at_once = false;
  const auto call = ask(kLeases, R"({"ram":1})");
  EXPECT_EQ(line(*call).at("state"), "waiting");
  job().decided.set();
  EXPECT_EQ(line(*call).at("state"), "granted");
}

TEST_F(LeasesTest, ARevokedOneIsToldWhyAndItsConnectionEnds) {
  const auto call = ask(kLeases, R"({"ram":1})");
  line(*call);
  job().why_cut = Error{ErrorCode::deadline, "it reached its limit"};
  job().cut.set();
  const boost::json::value revoked = line(*call);
  EXPECT_EQ(revoked.at("state"), "revoked");
  EXPECT_EQ(revoked.at("error").at("code"), "deadline");
  EXPECT_EQ(revoked.at("error").at("message"), "it reached its limit");
  EXPECT_EQ(line(*call), "the end");
}

TEST_F(LeasesTest, WhatIsRefusedAtOnceIsAnOrdinaryErrorReply) {
  world_.host.refusal = Error{ErrorCode::does_not_fit, "it can never fit"};
  const http::Response reply = refused(kLeases, R"({"ram":1})");
  EXPECT_EQ(reply.status, 422);
  EXPECT_THAT(reply.body, HasSubstr("does_not_fit"));
}

TEST_F(LeasesTest, WhatIsRefusedLaterIsToldInTheStream) {
  world_.host.grants_at_once = false;
  const auto call = ask(kLeases, R"({"ram":1})");
  line(*call);
  job().refusal = Error{ErrorCode::memory_not_released, "python3 (pid 7) holds it"};
  job().decided.set();
  const boost::json::value refused = line(*call);
  EXPECT_EQ(refused.at("state"), "refused");
  EXPECT_EQ(refused.at("error").at("code"), "memory_not_released");
  EXPECT_EQ(line(*call), "the end");
}

TEST_F(LeasesTest, AHoldNamesItsServers) {
  const auto call = ask(kHolds, R"({"servers":["image","chat"],"exclusive":true,"max":"2h"})");
  EXPECT_EQ(line(*call).at("state"), "granted");
  EXPECT_EQ(job().request.kind, core::JobKind::hold);
  EXPECT_EQ(job().request.server, kImage);
  EXPECT_THAT(job().request.servers, ElementsAre(kImage, kChat));
  EXPECT_TRUE(job().request.exclusive);
  EXPECT_EQ(job().request.limit, Duration{2h});
}

TEST_F(LeasesTest, AHoldWithoutAWordOnItsLengthHasNoLimit) {
  line(*ask(kHolds, R"({"servers":["chat"]})"));
  EXPECT_FALSE(job().request.limit);
}

TEST_F(LeasesTest, AmountsAreOfTheNamedPools) {
  line(*ask(kLeases, R"({"vram":"20GiB","device":1,"bytes":{"ram":7},"max":"none"})"));
  EXPECT_EQ(job().request.need->in(PoolId{0}), Bytes{7});
  EXPECT_EQ(job().request.need->in(PoolId{1}), Bytes{0});
  EXPECT_EQ(job().request.need->in(PoolId{2}), 20_GiB);
  EXPECT_FALSE(job().request.limit);
}

TEST_F(LeasesTest, WhatDoesNotExistIsAnsweredWithWhatDoes) {
  const http::Response pool = refused(kLeases, R"({"vram":1,"device":4})");
  EXPECT_EQ(pool.status, 404);
  EXPECT_THAT(pool.body, AllOf(HasSubstr("gpu4.vram"), HasSubstr("gpu1.vram")));
  const http::Response server = refused(kHolds, R"({"servers":["vid"]})");
  EXPECT_EQ(server.status, 404);
  EXPECT_THAT(server.body, AllOf(HasSubstr("vid"), HasSubstr("chat")));
  EXPECT_THAT(world_.host.jobs, IsEmpty());
}

TEST_F(LeasesTest, WhatCannotBeUnderstoodIsRefusedWithItsMember) {
  const std::pair<const char*, const char*> leases[] = {
      {"{}", "vram"},
      {"[]", "JSON object"},
      {R"({"ram":"lots"})", "\\\"ram\\\""},
      {R"({"ram":0})", "more than 0"},
      {R"({"ram":-5})", "more than 0"},
      {R"({"ram":1.5})", "ram"},
      {R"({"ram":1,"bytes":{"ram":1}})", "twice"},
      {R"({"ram":1,"device":0})", "device"},
      {R"({"ram":1,"max":"soon"})", "max"},
      {R"({"ram":1,"max":"0s"})", "max"},
      {R"({"ram":1,"max":60})", "max"},
      {R"({"ram":1,"class":"quick"})", "video"},
      {R"({"ram":1,"name":"\u001b[2J"})", "name"},
      {R"({"ram":1,"vrma":1})", "vrma"},
  };
  for (const auto& [body, word] : leases) {
    const http::Response reply = refused(kLeases, body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_THAT(reply.body, HasSubstr(word)) << body;
  }
  for (const char* body :
       {"{}", R"({"servers":[]})", R"({"servers":"chat"})", R"({"servers":["chat","chat"]})",
        R"({"servers":["chat"],"exclusive":1})"}) {
    EXPECT_EQ(refused(kHolds, body).status, 400) << body;
  }
  EXPECT_THAT(world_.host.jobs, IsEmpty());
}

TEST_F(LeasesTest, OnANetworkAddressTheyAreRefused) {
  for (const char* where : {kLeases, kHolds}) {
    const http::Response reply = world_.post(world_.main(), where, R"({"ram":1})");
    EXPECT_EQ(reply.status, 401) << where;
    EXPECT_THAT(reply.body, HasSubstr("control.sock"));
  }
  EXPECT_THAT(world_.host.jobs, IsEmpty());
}

TEST_F(LeasesTest, TheListTellsWhoHoldsWhat) {
  host::LeaseStatus lease{.job = JobId{7}, .kind = "lease", .state = "releasing"};
  lease.holder = "train.py";
  lease.bytes = {{"ram", 2_GiB}};
  lease.since = 3s;
  lease.seen = 1_GiB;
  lease.processes = {{.pid = 4711, .program = "python3", .bytes = {{{PoolId{0}, 1_GiB}}}}};
  world_.host.shown.leases = {lease};
  const auto list = boost::json::parse(world_.get(world_.main(), kLeases).body).at("leases");
  ASSERT_EQ(list.as_array().size(), 1u);
  EXPECT_EQ(list.at(0).at("job"), 7);
  EXPECT_EQ(list.at(0).at("bytes").at("ram"), (2_GiB).count);
  EXPECT_EQ(list.at(0).at("seen_bytes"), (1_GiB).count);
  EXPECT_EQ(list.at(0).at("since_ms"), 3000);
  EXPECT_TRUE(list.at(0).at("limit_ms").is_null());
  EXPECT_EQ(list.at(0).at("processes").at(0).at("pid"), 4711);
  EXPECT_EQ(world_.host.refreshed, 1);
  const auto status = boost::json::parse(world_.get(world_.main(), "/api/v1/status").body);
  EXPECT_EQ(status.at("leases"), list);
}

TEST_F(LeasesTest, ARequestNamesTheHoldItBelongsTo) {
  world_.host.state().jobs[JobId{41}].kind = core::JobKind::hold;
  http::Request request{.method = "POST", .target = "/v1/messages", .headers = {}, .body = "{}"};
  request.headers.set("X-Berth-Hold", "41");
  ASSERT_EQ(world_.ask(world_.main(), request).status, 200);
  EXPECT_EQ(job().request.hold, JobId{41});
  EXPECT_FALSE(world_.seen.at(0).headers.contains("X-Berth-Hold"));
}

TEST_F(LeasesTest, ARequestOfAHoldThatIsOverIsAConflict) {
  http::Request request{.method = "POST", .target = "/v1/messages", .headers = {}, .body = "{}"};
  request.headers.set("X-Berth-Hold", "41");
  const http::Response reply = world_.ask(world_.main(), request);
  EXPECT_EQ(reply.status, 409);
  EXPECT_THAT(reply.body, AllOf(HasSubstr("hold 41"), HasSubstr("X-Berth-Hold")));
  EXPECT_THAT(world_.host.jobs, IsEmpty());
}

}  // namespace
}  // namespace berth::gateway
