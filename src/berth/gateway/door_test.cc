// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/door.h"

#include <gmock/gmock.h>

namespace berth::gateway {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

class DoorTest : public testing::Test {
 protected:
  DoorTest() { door_.pages = door_.hosts; }

  static http::Request request(std::string method, std::string target, std::string host) {
    http::Request made{.method = std::move(method), .target = std::move(target)};
    made.headers.set("Host", std::move(host));
    return made;
  }

  static http::Request ours(std::string method, std::string target) {
    return request(std::move(method), std::move(target), "127.0.0.1:8700");
  }
  ErrorCode refusal(const http::Request& asked) const {
    const Status admitted = admit(door_, asked);
    return admitted ? ErrorCode::internal : admitted.error().code;
  }

  Door door_{.entrance = Entrance::main,
             .hosts = own_hosts({"127.0.0.1", 8700}),
             .pages = {},
             .token = std::string(64, 'a'),
             .is_open = true};
};

TEST_F(DoorTest, LoopbacksNamesAndTheBoundAddressAreOurs) {
  EXPECT_THAT(own_hosts({"192.168.1.5", 80}),
              UnorderedElementsAre("192.168.1.5:80", "127.0.0.1:80", "localhost:80", "[::1]:80",
                                   "192.168.1.5", "127.0.0.1", "localhost", "[::1]"));
  EXPECT_TRUE(admit(door_, request("GET", "/health", "LOCALHOST:8700")));
  EXPECT_TRUE(admit(door_, request("GET", "/health", "localhost.:8700")));
}

TEST_F(DoorTest, AnAddressThatStandsForAllHasTheNamesOfTheMachine) {
  EXPECT_THAT(own_hosts({"0.0.0.0", 81}, {"127.0.0.1", "10.0.0.7", "fe80::1"}),
              UnorderedElementsAre("127.0.0.1:81", "10.0.0.7:81", "[fe80::1]:81", "localhost:81",
                                   "[::1]:81"));
}

TEST_F(DoorTest, LoopbackIsWhatOnlyThisMachineReaches) {
  for (const char* host : {"127.0.0.1", "127.8.0.1", "::1", "localhost"}) {
    EXPECT_TRUE(is_loopback({host, 1})) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "192.168.1.5", "::ffff:127.0.0.1", "126.255.255.255"}) {
    EXPECT_FALSE(is_loopback({host, 1})) << host;
  }
}

TEST_F(DoorTest, AForeignHostIsRefusedWithTheNextStep) {
  for (const char* host :
       {"evil.example:8700", "127.0.0.1", "127.0.0.1:80", "localhost:8700.evil", ""}) {
    const Status admitted = admit(door_, request("GET", "/health", host));
    ASSERT_FALSE(admitted) << host;
    EXPECT_EQ(admitted.error().code, ErrorCode::forbidden);
    EXPECT_THAT(admitted.error().message, HasSubstr("http://127.0.0.1:8700"));
  }
}

TEST_F(DoorTest, TwoHostsAreRefused) {
  http::Request twice = request("GET", "/health", "127.0.0.1:8700");
  twice.headers.add("Host", "127.0.0.1:8700");
  EXPECT_FALSE(admit(door_, twice));
}

TEST_F(DoorTest, AForeignPageMayNotChangeAnything) {
  for (const char* origin : {"http://evil.example", "null", "https://127.0.0.1:8700"}) {
    http::Request chat = request("POST", "/v1/chat/completions", "127.0.0.1:8700");
    chat.headers.set("Origin", origin);
    EXPECT_FALSE(admit(door_, chat)) << origin;
  }
}

TEST_F(DoorTest, AForeignPageSeesNothing) {
  for (const char* target : {"/api/v1/status", "/%61pi/v1/status", "/v1/models", "/health"}) {
    http::Request read = ours("GET", target);
    read.headers.set("Origin", "http://evil.example");
    EXPECT_EQ(refusal(read), ErrorCode::forbidden) << target;
  }
}

TEST_F(DoorTest, APageThatHidesItsOriginIsKnownByWhatTheBrowserSays) {
  for (const char* site : {"cross-site", "same-site", "anything"}) {
    http::Request picture = ours("GET", "/v1/models");
    picture.headers.set("Sec-Fetch-Site", site);
    EXPECT_EQ(refusal(picture), ErrorCode::forbidden) << site;
  }
  for (const char* site : {"none", "same-origin"}) {
    http::Request typed = ours("GET", "/v1/models");
    typed.headers.set("Sec-Fetch-Site", site);
    EXPECT_TRUE(admit(door_, typed)) << site;
  }
}

TEST_F(DoorTest, WhatAWebFormCanSendIsNotTaken) {
  for (const char* type : {"text/plain", "Text/Plain ; charset=utf-8", "multipart/form-data"}) {
    http::Request chat = ours("POST", "/v1/chat/completions");
    chat.headers.set("Content-Type", type);
    EXPECT_EQ(refusal(chat), ErrorCode::unsupported_type) << type;
  }
  http::Request curl = ours("POST", "/v1/chat/completions");
  curl.headers.set("Content-Type", "application/x-www-form-urlencoded");
  EXPECT_TRUE(admit(door_, curl)) << "curl -d says so, and no form can write JSON in it";
  curl.target = "/api/v1/shutdown";
  EXPECT_EQ(refusal(curl), ErrorCode::unsupported_type);
}

TEST_F(DoorTest, AChangeOfStateNeedsTheToken) {
  http::Request stop = ours("POST", "/%61pi/v1/servers/chat/stop");
  EXPECT_EQ(refusal(stop), ErrorCode::unauthorized);
  stop.headers.set("Authorization", "Bearer " + std::string(63, 'a') + "b");
  EXPECT_EQ(refusal(stop), ErrorCode::unauthorized);
  stop.headers.set("Authorization", "bearer " + door_.token);
  EXPECT_TRUE(admit(door_, stop));
  stop.headers.remove("Authorization");
  stop.headers.set("X-Api-Key", door_.token);
  EXPECT_TRUE(admit(door_, stop));
}

TEST_F(DoorTest, TwoTokensAreRefused) {
  http::Request stop = ours("POST", "/api/v1/shutdown");
  stop.headers.set("Authorization", "Bearer " + door_.token);
  stop.headers.set("X-Api-Key", "another");
  EXPECT_EQ(refusal(stop), ErrorCode::bad_request);
  stop.headers.remove("X-Api-Key");
  stop.headers.add("Authorization", "Bearer another");
  EXPECT_EQ(refusal(stop), ErrorCode::bad_request);
}

TEST_F(DoorTest, JobsAndReadsOnLoopbackNeedNoToken) {
  http::Request chat = ours("POST", "/v1/chat/completions");
  chat.headers.set("Authorization", "Bearer sk-whatever-the-client-says");
  EXPECT_TRUE(admit(door_, chat));
  EXPECT_TRUE(admit(door_, ours("GET", "/api/v1/status")));
}

TEST_F(DoorTest, BeyondLoopbackEverythingNeedsTheToken) {
  door_.is_open = false;
  for (const char* target : {"/health", "/v1/models", "/api/v1/status", "/nowhere"}) {
    EXPECT_EQ(refusal(ours("GET", target)), ErrorCode::unauthorized) << target;
  }
  http::Request chat = ours("POST", "/v1/chat/completions");
  EXPECT_EQ(refusal(chat), ErrorCode::unauthorized);
  chat.headers.set("Authorization", "Bearer " + door_.token);
  EXPECT_TRUE(admit(door_, chat));
}

TEST_F(DoorTest, AnOwnPageMayAsk) {
  http::Request chat = request("POST", "/v1/chat/completions", "127.0.0.1:8700");
  chat.headers.set("Origin", "http://localhost:8700");
  EXPECT_TRUE(admit(door_, chat));
}

TEST_F(DoorTest, TheControlSocketIsGuardedByItsFileMode) {
  const Door control{.entrance = Entrance::control, .hosts = {}, .pages = {}};
  EXPECT_TRUE(admit(control, request("POST", "/api/v1/shutdown", "anything")));
}

}  // namespace
}  // namespace berth::gateway
