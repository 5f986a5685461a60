// SPDX-License-Identifier: Apache-2.0
#include "berth/base/base64.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace berth {
namespace {

// RFC 4648, section 10.
TEST(Base64, TheExamplesOfItsRfcGoBothWays) {
  const std::pair<std::string, std::string> examples[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : examples) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text).value(), bytes);
  }
}

TEST(Base64, EveryByteComesBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i)
    bytes += static_cast<char>(i);

  EXPECT_EQ(decode_base64(encode_base64(bytes)).value(), bytes);
}

TEST(Base64, WhatIsNotBase64IsRefused) {
  EXPECT_FALSE(decode_base64("Zg="));
  EXPECT_FALSE(decode_base64("Z!=="));
}

}  // namespace
}  // namespace berth
