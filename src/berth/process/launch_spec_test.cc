// SPDX-License-Identifier: Apache-2.0
#include "berth/process/launch_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/process/keeper_files.h"

namespace berth::process {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kArguments = {"/opt/llama server/bin",
                                             "--alias",
                                             "two\nlines\ttab",
                                             "\"quoted\" \\ back",
                                             "",
                                             "Grüße 船",
                                             "not UTF-8: \xff\xfe\x80",
                                             "control \x01\x1f"};

TEST(LaunchSpec, ComesBackByteIdentical) {
  const LaunchSpec spec{
      .argv = kArguments, .environment = {"A=1", "B=x=y\n", "C="}, .working_directory = "/a b"};
  const Result<LaunchSpec> back = launch_spec_from_json(to_json(spec));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, spec);
}

// The text stands in the rows of servers: a change of it needs a migration.
TEST(LaunchSpec, IsStoredInThisForm) {
  EXPECT_EQ(to_json({.argv = {"/bin/x", "-a"}, .environment = {"A=1"}, .working_directory = "/"}),
            R"({"argv":["/bin/x","-a"],"environment":["A=1"],"working_directory":"/"})");
}

TEST(LaunchSpec, ThatIsIncompleteIsRefusedWithTheMembersName) {
  const auto message = [](std::string_view json) {
    const Result<LaunchSpec> spec = launch_spec_from_json(json);
    return spec ? std::string("accepted") : spec.error().message;
  };
  EXPECT_THAT(message(""), HasSubstr("not a JSON object"));
  EXPECT_THAT(message("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(message("{}"), HasSubstr("\"argv\""));
  EXPECT_THAT(message(R"({"argv":[]})"), HasSubstr("\"argv\""));
  EXPECT_THAT(message(R"({"argv":["a",1]})"), HasSubstr("\"argv\""));
  EXPECT_THAT(message(R"({"argv":["a"]})"), HasSubstr("\"environment\""));
  EXPECT_THAT(message(R"({"argv":["a"],"environment":[]})"), HasSubstr("\"working_directory\""));
}

TEST(KeeperSpec, ComesBackByteIdentical) {
  const KeeperSpec spec{.argv = kArguments,
                        .environment = {"A=argument 3\nabc"},
                        .working_directory = "/a b",
                        .alive_lock = "/run/alive.lock",
                        .token = "00ff",
                        .orphan_timeout_ms = 300'000,
                        .stop_grace_ms = 10'000,
                        .log_limit_bytes = 16'777'216};
  EXPECT_EQ(parse_keeper_spec(to_text(spec)), spec);
}

TEST(KeeperSpec, ThatIsCutOffAnywhereIsRefusedOrHasFewerArguments) {
  const std::string text = to_text(KeeperSpec{.argv = {"/bin/x", "argument"}, .token = "t"});
  for (std::size_t length = 0; length < text.size(); ++length) {
    const auto spec = parse_keeper_spec(std::string_view(text).substr(0, length));
    if (spec) {
      EXPECT_EQ(spec->argv, std::vector<std::string>{"/bin/x"}) << length;
    }
  }
}

TEST(KeeperSpec, WithWhatIsNotKnownIsRefused) {
  const std::string format = "format 1\n1\n";
  ASSERT_NE(parse_keeper_spec(format + "argument 1\na\n"), std::nullopt);
  EXPECT_EQ(parse_keeper_spec(format + "argument 1\na\nnovelty 1\nb\n"), std::nullopt);
  EXPECT_EQ(parse_keeper_spec(format + "argument 1\na\norphan_timeout_ms 1\nb\n"), std::nullopt);
  EXPECT_EQ(parse_keeper_spec(format + "argument 99999999999999999999\na\n"), std::nullopt);
}

TEST(KeeperSpec, OfAnotherFormatIsRefused) {
  EXPECT_EQ(parse_keeper_spec("format 1\n2\nargument 1\na\n"), std::nullopt);
  EXPECT_EQ(parse_keeper_spec("argument 1\na\n"), std::nullopt);
}

}  // namespace
}  // namespace berth::process
