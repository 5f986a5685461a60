// SPDX-License-Identifier: Apache-2.0
#include "berth/base/plain_text.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(PlainText, KeepsWhatPeopleWrite) {
  EXPECT_EQ(plain_text("Grüße 船 🛳 \"a\\b\""), "Grüße 船 🛳 \"a\\b\"");
}

TEST(PlainText, ShowsAQuestionMarkForEachByteThatIsNoUtf8) {
  EXPECT_EQ(plain_text("a\xff\xc3z\xe2\x82"), "a??z??");
  EXPECT_EQ(plain_text("\xed\xa0\x80"), "???") << "half of a surrogate pair";
  EXPECT_EQ(plain_text("\xc0\xaf"), "??") << "a slash that is longer than it must be";
}

TEST(PlainText, ShowsAQuestionMarkForWhatControlsATerminal) {
  EXPECT_EQ(plain_text("a\x1b[31m\n\t\x7f"), "a?[31m???");
  EXPECT_EQ(plain_text("\u009b31m"), "?31m");
  EXPECT_EQ(plain_text("\u202eabc\u2066\u200f"), "?abc??");
}

TEST(PlainText, IsCutBetweenCharacters) {
  EXPECT_EQ(plain_text("aéé", 4), "aé");
  EXPECT_EQ(plain_text("aéé", 5), "aéé");
  EXPECT_EQ(plain_text("", 0), "");
}

TEST(EscapedText, WritesOutWhatControlsATerminal) {
  EXPECT_EQ(escaped_text("ä\x1b[2J\u009b\u202e\u061c\n"), "ä\\x1b[2J\\u009b\\u202e\\u061c\\x0a");
}

TEST(EscapedText, WritesOutEachByteThatIsNoUtf8) {
  EXPECT_EQ(escaped_text("a\xff\xe2\x82"), "a\\xff\\xe2\\x82");
}

TEST(EscapedText, KeepsWhatItIsToldToKeep) {
  EXPECT_EQ(escaped_text("a\tb\r\n", "\t\n"), "a\tb\\x0d\n");
}

}  // namespace
}  // namespace berth
