// SPDX-License-Identifier: Apache-2.0
#include "berth/process/log_follower.h"

#include <gmock/gmock.h>

#include "berth/process/process_test_support.h"

namespace berth::process {
namespace {

using testing::ElementsAre;

class LogFollowerTest : public testing::Test {
 protected:
  void append(std::string_view text) { write_text(folder_.path() + "/log", text); }
  void rotate() {
    std::filesystem::rename(folder_.path() + "/log", folder_.path() + "/log.1");
    append("");
  }
  std::vector<std::string> read() {
    std::vector<std::string> lines;
    const LineFunction collect = [&](std::string_view line) { lines.emplace_back(line); };
    while (follower_.read(collect)) {
    }
    return lines;
  }
  std::vector<std::string> flush() {
    std::vector<std::string> lines;
    follower_.flush([&](std::string_view line) { lines.emplace_back(line); });
    return lines;
  }
  std::vector<std::string> tail(int lines) { return log_tail(folder_.path(), lines); }

  TemporaryFolder folder_;
  LogFollower follower_{folder_.path()};
};

TEST_F(LogFollowerTest, ReadsLinesWhenTheyAreComplete) {
  EXPECT_THAT(read(), ElementsAre());
  append("one\ntw");
  EXPECT_THAT(read(), ElementsAre("one"));
  append("o\n\nthree\n");
  EXPECT_THAT(read(), ElementsAre("two", "", "three"));
  append("last");
  EXPECT_THAT(read(), ElementsAre());
  EXPECT_THAT(flush(), ElementsAre("last"));
  EXPECT_THAT(flush(), ElementsAre());
}

TEST_F(LogFollowerTest, EachDrawingOfAProgressBarIsALine) {
  append("\r  |=>  | 1/2\x1b[K");
  EXPECT_THAT(read(), ElementsAre("  |=>  | 1/2"));
  append("\r  |====| 2/2\x1b[K\ndone\n");
  EXPECT_THAT(read(), ElementsAre("  |====| 2/2", "", "done"));
}

TEST_F(LogFollowerTest, FollowsALineOverARotation) {
  append("one\nbegin ");
  EXPECT_THAT(read(), ElementsAre("one"));
  append("of ");
  rotate();
  append("two\n");
  EXPECT_THAT(read(), ElementsAre("begin of two"));
}

TEST_F(LogFollowerTest, LosesNothingOverTwoRotationsBetweenTwoReads) {
  append("one\n");
  EXPECT_THAT(read(), ElementsAre("one"));
  append("two\n");
  rotate();
  append("three\n");
  rotate();
  append("four\n");
  EXPECT_THAT(read(), ElementsAre("two", "three", "four"));
}

TEST_F(LogFollowerTest, BeginsWithTheOldestLineKept) {
  append("one\n");
  rotate();
  append("two\n");
  EXPECT_THAT(read(), ElementsAre("one", "two"));
}

TEST_F(LogFollowerTest, CanBeginAtTheEnd) {
  append("one\n");
  follower_.skip_to_end();
  append("two\n");
  EXPECT_THAT(read(), ElementsAre("two"));
}

TEST_F(LogFollowerTest, GoesOnWhenTheFileWasEmptiedInPlace) {
  append("one\ntwo\n");
  EXPECT_THAT(read(), ElementsAre("one", "two"));
  std::filesystem::resize_file(folder_.path() + "/log", 0);
  EXPECT_THAT(read(), ElementsAre());
  append("three\n");
  EXPECT_THAT(read(), ElementsAre("three"));
}

TEST_F(LogFollowerTest, CutsALineThatNeverEndsIntoPieces) {
  append(std::string(200'000, 'x') + "\nend\n");
  const std::vector<std::string> lines = read();
  ASSERT_GT(lines.size(), 2u);
  EXPECT_EQ(lines.back(), "end");
  std::size_t length = 0;
  for (const std::string& line : lines)
    length += line.size();
  EXPECT_EQ(length, 200'003u);
}

TEST_F(LogFollowerTest, TailTakesTheLastLinesFromBothFiles) {
  EXPECT_THAT(tail(3), ElementsAre());
  append("one\ntwo\nthr");
  rotate();
  append("ee\nfour\n");
  EXPECT_THAT(tail(2), ElementsAre("three", "four"));
  EXPECT_THAT(tail(3), ElementsAre("two", "three", "four"));
  EXPECT_THAT(tail(100), ElementsAre("one", "two", "three", "four"));
  EXPECT_THAT(tail(0), ElementsAre());
  append("\nunfinished");
  EXPECT_THAT(tail(2), ElementsAre("", "unfinished"));
}

}  // namespace
}  // namespace berth::process
