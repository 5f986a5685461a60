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

}  // namespace
}  // namespace berth
