// SPDX-License-Identifier: Apache-2.0
#include "berth/host/image_progress.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace berth::host {
namespace {

servers::Progress said(std::string stage, int step = 0, int steps = 0) {
  return {.stage = std::move(stage), .step = step, .steps = steps};
}

/// What sd-server's log tells of one picture; parts of the model are loaded in the middle too.
std::vector<servers::Progress> picture() {
  return {said("loading", 5, 10),  said("loading", 10, 10), said("loading", 1, 10),
          said("diffusion", 1, 2), said("diffusion", 2, 2), said("decoding"),
          said("loading", 1, 10),  said("loading", 10, 10)};
}

TEST(ImageProgress, EachStageHasItsShare) {
  ImageProgress progress;
  advance(progress, said("loading", 5, 10));
  EXPECT_EQ(progress.percentage, 10);
  advance(progress, said("diffusion", 1, 2));
  EXPECT_EQ(progress.percentage, 45);
  advance(progress, said("decoding"));
  EXPECT_EQ(progress.percentage, 70);
}

TEST(ImageProgress, ItNeverFallsAndIsNotWholeBeforeTheEnd) {
  ImageProgress progress{.images = 2};
  int before = 0;
  for (int i = 0; i < 2; ++i) {
    for (const servers::Progress& each : picture()) {
      advance(progress, each);
      EXPECT_GE(progress.percentage, before);
      before = progress.percentage;
    }
    advance_to(progress, i + 1);
    EXPECT_LE(progress.percentage, 99);
  }
  EXPECT_EQ(progress.percentage, 99);
}

TEST(ImageProgress, WhatIsLoadedForDecodingIsNoStepBack) {
  ImageProgress progress;
  advance(progress, said("decoding"));
  advance(progress, said("loading", 1, 10));
  EXPECT_EQ(progress.stage, "decoding");
}

TEST(ImageProgress, TheNextPictureIsSeenInTheLog) {
  ImageProgress progress{.images = 2};
  for (const servers::Progress& each : picture())
    advance(progress, each);
  EXPECT_EQ(progress.image, 1);
  advance(progress, said("diffusion", 1, 2));
  EXPECT_EQ(progress.image, 2);
  EXPECT_EQ(progress.percentage, (100 + 45) / 2);
}

TEST(ImageProgress, APictureThatIsThereIsCountedWithoutTheLog) {
  ImageProgress progress{.images = 4};
  advance_to(progress, 2);
  EXPECT_EQ(progress.image, 3);
  EXPECT_EQ(progress.percentage, 50);
}

TEST(ImageProgress, APictureThatWasFetchedBeforeTheNextBeganIsCountedOnce) {
  ImageProgress progress{.images = 3};
  for (const servers::Progress& each : picture())
    advance(progress, each);
  advance_to(progress, 1);
  advance(progress, said("diffusion", 1, 2));
  EXPECT_EQ(progress.image, 2);
  EXPECT_EQ(progress.percentage, (100 + 45) / 3);
}

TEST(ImageProgress, AfterTheLastPictureThereIsNoNextOne) {
  ImageProgress progress{.images = 2};
  advance_to(progress, 2);
  EXPECT_EQ(progress.image, 2);
}

TEST(ImageProgress, WhatIsDrawnOnceMoreStandsStillUntilItIsReached) {
  ImageProgress progress{.images = 2};
  for (const servers::Progress& each : picture())
    advance(progress, each);
  advance(progress, said("diffusion", 1, 2));
  begin_at(progress, 0);
  EXPECT_EQ(progress.stage, "loading");
  for (const servers::Progress& each : picture()) {
    advance(progress, each);
    EXPECT_EQ(progress.percentage, (100 + 45) / 2);
    EXPECT_EQ(progress.image, 2);
  }
  advance(progress, said("diffusion", 2, 2));
  EXPECT_EQ(progress.image, 2);
  EXPECT_EQ(progress.percentage, (100 + 70) / 2);
}

TEST(ImageProgress, NumbersThatMakeNoSenseAreNoShare) {
  ImageProgress progress;
  advance(progress, said("diffusion", 7, 0));
  EXPECT_EQ(progress.percentage, 20);
  advance(progress, said("diffusion", 900, 2));
  EXPECT_EQ(progress.percentage, 70);
}

}  // namespace
}  // namespace berth::host
