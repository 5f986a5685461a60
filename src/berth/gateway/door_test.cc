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

  Door door_{.entrance = Entrance::main, .hosts = own_hosts({"127.0.0.1", 8700}), .pages = {}};
};

TEST_F(DoorTest, LoopbacksNamesAndTheBoundAddressAreOurs) {
  EXPECT_THAT(own_hosts({"192.168.1.5", 80}),
              UnorderedElementsAre("192.168.1.5:80", "127.0.0.1:80", "localhost:80", "[::1]:80",
                                   "192.168.1.5", "127.0.0.1", "localhost", "[::1]"));
  EXPECT_TRUE(admit(door_, request("GET", "/health", "LOCALHOST:8700")));
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

TEST_F(DoorTest, AForeignPageSeesNothingOfTheControlApi) {
  http::Request status = request("GET", "/api/v1/status", "127.0.0.1:8700");
  status.headers.set("Origin", "http://evil.example");
  EXPECT_FALSE(admit(door_, status));
  status.target = "/%61pi/v1/status";
  EXPECT_FALSE(admit(door_, status));
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
