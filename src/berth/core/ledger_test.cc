// SPDX-License-Identifier: Apache-2.0
#include "berth/core/ledger.h"

#include <gtest/gtest.h>

namespace berth::core {
namespace {

constexpr ServerId kLlm{0};
constexpr Generation kFirst{1};
constexpr PoolId kPool{0};
const Footprint kFour{{{kPool, 4_GiB}}};

TEST(Ledger, MemoryIsFreeOnlyWhenSeenFree) {
  Ledger ledger;
  ledger.reserve(kLlm, kFirst, kFour, {});
  ledger.hold(kLlm, kFirst, {});
  ledger.release(kLlm, kFirst, {});
  EXPECT_EQ(ledger.promised(kPool), 4_GiB) << "asking frees nothing";
  const Holder helper{.pid = 7,
                      .program = "helper",
                      .server = kLlm,
                      .generation = kFirst,
                      .bytes = {{{kPool, 1_GiB}}}};
  ledger.observe({&helper, 1}, {});
  EXPECT_EQ(ledger.promised(kPool), 1_GiB);
  ledger.observe({}, {});
  EXPECT_TRUE(ledger.entries().empty());
}

TEST(Ledger, ASampleSaysNothingAboutWhatIsHeld) {
  Ledger ledger;
  ledger.reserve(kLlm, kFirst, kFour, {});
  ledger.observe({}, {});
  EXPECT_EQ(ledger.promised(kPool), 4_GiB);
  EXPECT_EQ(ledger.promised(kPool, std::vector{kLlm}), Bytes{0});
}

TEST(Ledger, WhatIsStuckIsNotExpectedToLeave) {
  Ledger ledger;
  ledger.reserve(kLlm, kFirst, kFour, {});
  ledger.release(kLlm, kFirst, Instant{1s});
  EXPECT_EQ(ledger.promised(kPool, std::vector{kLlm}), Bytes{0});
  ASSERT_EQ(ledger.mark_stuck(Instant{20s}, 10s).size(), 1U);
  EXPECT_EQ(ledger.promised(kPool, std::vector{kLlm}), 4_GiB);
}

TEST(Ledger, ASampleAskedForBeforeTheReleaseFreesNothing) {
  Ledger ledger;
  ledger.reserve(kLlm, kFirst, kFour, Instant{1s});
  ledger.release(kLlm, kFirst, Instant{3s});
  ledger.observe({}, Instant{2s});
  EXPECT_EQ(ledger.promised(kPool), 4_GiB);
  ledger.observe({}, Instant{3s});
  EXPECT_TRUE(ledger.entries().empty());
}

TEST(Ledger, WhatIsNotGivenBackInTimeIsStuckAndStaysOnTheBooks) {
  Ledger ledger;
  ledger.reserve(kLlm, kFirst, kFour, {});
  ledger.release(kLlm, kFirst, {});
  EXPECT_TRUE(ledger.mark_stuck(Instant{2s}, 3s).empty());
  EXPECT_EQ(ledger.mark_stuck(Instant{3s}, 3s).size(), 1u);
  EXPECT_EQ(ledger.promised(kPool), 4_GiB);
  EXPECT_TRUE(ledger.any(EntryState::stuck));
}

}  // namespace
}  // namespace berth::core
