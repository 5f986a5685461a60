// SPDX-License-Identifier: Apache-2.0
#include "berth/base/time.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(Time, ReadsLengthsWithUnits) {
  EXPECT_EQ(parse_duration("250ms").value(), Duration{250ms});
  EXPECT_EQ(parse_duration("1.5s").value(), Duration{1500ms});
  EXPECT_EQ(parse_duration("10min").value(), Duration{10min});
  EXPECT_EQ(parse_duration("10m").value(), Duration{10min});
}

TEST(Time, RefusesWhatIsNotALengthAndSaysWhatIs) {
  for (const char* text : {"", "10", "ten s", "-1s", "1e3s", "1d", "999999h"}) {
    const auto result = parse_duration(text);
    ASSERT_FALSE(result.has_value()) << text;
    EXPECT_NE(result.error().message.find("10min"), std::string::npos);
  }
}

TEST(Time, ReadsWellForAPerson) {
  EXPECT_EQ(to_text(Duration{312ms}), "312 ms");
  EXPECT_EQ(to_text(Duration{4200ms}), "4.2 s");
}

}  // namespace
}  // namespace berth
