// SPDX-License-Identifier: Apache-2.0
#include "berth/base/error.h"

#include <gtest/gtest.h>

#include "berth/base/result.h"

namespace berth {
namespace {

TEST(Error, HasAStableNameStatusAndExitCode) {
  EXPECT_EQ(static_cast<int>(ErrorCode::port_taken), 12);
  EXPECT_EQ(name(ErrorCode::stopped_by_user), "stopped_by_user");
  EXPECT_EQ(http_status(ErrorCode::queue_full), 429);
  EXPECT_EQ(exit_status(ErrorCode::bad_config), 78);
  EXPECT_EQ(error_code_from_name("deadline"), ErrorCode::deadline);
  EXPECT_EQ(error_code_from_name("nonsense"), std::nullopt);
}

TEST(Result, CarriesAValueOrAnError) {
  const Result<int> good = 3;
  const Result<int> bad = fail(ErrorCode::io, "disk \"a\" cannot be read");
  EXPECT_EQ(good.value(), 3);
  EXPECT_EQ(bad.error().code, ErrorCode::io);
}

}  // namespace
}  // namespace berth
