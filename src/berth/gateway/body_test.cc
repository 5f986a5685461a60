// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include <boost/json.hpp>

namespace berth::gateway {
namespace {

std::string refusal(const std::string& body) {
  const Status checked = check_body(body);
  return checked ? "taken" : checked.error().message;
}

TEST(Body, AKeyThatStandsTwiceInAnObjectIsNamed) {
  EXPECT_EQ(refusal(R"({"model":"a","n":1,"model":"b"})"),
            R"(the body names "model" twice in one object; name it once)");
  EXPECT_EQ(refusal(R"({"a":[{"b":{"c":1,"d":2,"c":1}}]})"),
            R"(the body names "c" twice in one object; name it once)");
}

TEST(Body, HoweverItIsWrittenItIsTheSameKey) {
  EXPECT_EQ(refusal(R"({"model":1,"mod\u0065l":2})"),
            R"(the body names "model" twice in one object; name it once)");
  EXPECT_EQ(refusal(R"({"a\n":1,"a\n":2})"),
            R"(the body names "a\n" twice in one object; name it once)");
}

TEST(Body, ALongKeyIsNotRepeated) {
  const std::string key(41, 'k');
  EXPECT_EQ(refusal("{\"" + key + "\":1,\"" + key + "\":1}"),
            "the body names a key of 41 bytes twice in one object; name it once");
}

TEST(Body, OtherObjectsMayHaveTheSameKey) {
  EXPECT_EQ(refusal(R"({"a":{"a":{"b":1}},"b":[{"b":1},{"b":1}],"c":{}})"), "taken");
}

TEST(Body, ANumberThatNobodyCanHoldIsNamed) {
  const std::string said =
      R"(the body has a number at "temperature" that is larger than 1.8e308; send a smaller one)";
  EXPECT_EQ(refusal(R"({"temperature":1e400})"), said);
  EXPECT_EQ(refusal(R"({"temperature":-1e400})"), said);
  EXPECT_EQ(refusal(R"({"temperature":1e308,"seed":99999999999999999999})"), "taken");
}

TEST(Body, WhatIsNoJsonIsRefusedWithTheCause) {
  const auto said = [](const std::string& cause) {
    return "the body is not valid JSON (" + cause + "); send a JSON object";
  };
  EXPECT_EQ(refusal(""), said("incomplete JSON"));
  EXPECT_EQ(refusal("{"), said("incomplete JSON"));
  EXPECT_EQ(refusal("{}{}"), said("extra data"));
  EXPECT_EQ(refusal(" {} \n"), "taken");
  EXPECT_EQ(refusal(std::string(65, '[') + std::string(65, ']')), said("too deep"));
}

TEST(Body, OtherJsonIsNoObject) {
  for (const std::string body : {"[]", "7", " \"{}\"", "null"})
    EXPECT_EQ(refusal(body), "the body must be a JSON object");
  EXPECT_EQ(object_in(R"({"a":1})")->at("a").as_int64(), 1);
}

}  // namespace
}  // namespace berth::gateway
