// SPDX-License-Identifier: Apache-2.0
#include "berth/base/bytes.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(Bytes, ReadsDecimalAndBinaryUnitsExactly) {
  EXPECT_EQ(parse_bytes("8GB").value(), 8_GB);
  EXPECT_EQ(parse_bytes("3.5 GB").value(), Bytes{3'500'000'000});
  EXPECT_EQ(parse_bytes("20GiB").value(), 20_GiB);
  EXPECT_EQ(parse_bytes("12345").value(), Bytes{12345});
}

TEST(Bytes, RoundsAFractionOfAByteUp) {
  EXPECT_EQ(parse_bytes("0.0000000001GB").value(), Bytes{1});
}

TEST(Bytes, RefusesWhatIsNotAnAmountAndSaysWhatIs) {
  for (const char* text : {"", "GB", "-1GB", "8gb", "8 apples", "99999999TB", "1.2.3GB", "."}) {
    const auto result = parse_bytes(text);
    ASSERT_FALSE(result.has_value()) << text;
    EXPECT_EQ(result.error().code, ErrorCode::bad_request);
    EXPECT_NE(result.error().message.find("8GiB"), std::string::npos);
  }
}

TEST(Bytes, ReadsWellForAPerson) {
  EXPECT_EQ(to_text(Bytes{612 << 20}), "612 MiB");
  EXPECT_EQ(to_text(4_GiB), "4.0 GiB");
  EXPECT_EQ(to_text(Bytes{17}), "17 B");
}

}  // namespace
}  // namespace berth
