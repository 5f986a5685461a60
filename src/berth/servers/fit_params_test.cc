// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/fit_params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::servers {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(FitParams, SumsUpDevicesAndRoundsUpWhatWasRoundedDown) {
  // As it printed it (llama.cpp b10434), with a second device.
  const auto told = parse_fit(
      "0.00.003.983 I llama_fit_params: printing estimated memory in MiB to stdout (device, model, "
      "context, compute) ...\nCUDA0 100 20 3 \nCUDA1 50 10 0 \nHost 92 90 98 \n");
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_EQ(told->host.weights, 93_MiB);
  EXPECT_EQ(told->host.cache, 91_MiB);
  EXPECT_EQ(told->host.compute, 99_MiB);
  EXPECT_EQ(told->device.weights, 152_MiB);
  EXPECT_EQ(told->device.cache, 32_MiB);
  EXPECT_EQ(told->device.compute, 4_MiB) << "nothing is nothing";
}

TEST(FitParams, WhatItDoesNotSayIsAnErrorThatQuotesIt) {
  for (const char* said : {"", "error: invalid argument: --slots\n", "Host 92 90\n",
                           "Host 92 90 98 7\n", "Host -1 0 0\n", "Host 92 90 99999999999999\n"}) {
    const auto told = parse_fit(said);
    ASSERT_FALSE(told) << said;
    EXPECT_EQ(told.error().code, ErrorCode::upstream);
    EXPECT_THAT(told.error().message, HasSubstr(std::string("it says: ") + said));
  }
}

TEST(FitParams, IsAskedForWhatTheServerWillBeStartedWith) {
  config::LlamaOptions options;
  options.model = "/models/a.gguf";
  options.context = 8192;
  options.parallel = 2;
  options.gpu_layers = config::kAllLayers;
  options.cache_type_k = "q8_0";
  options.extra_args = {"--cpu-moe"};
  EXPECT_THAT(fit_arguments("/bin/fit", options),
              ElementsAre("/bin/fit", "-m", "/models/a.gguf", "-c", "8192", "-np", "2", "-ngl",
                          "999", "-ctk", "q8_0", "--cpu-moe", "--fit-print", "on"));
}

}  // namespace
}  // namespace berth::servers
