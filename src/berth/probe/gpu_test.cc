// SPDX-License-Identifier: Apache-2.0
// Against a library of ours with the interface of NVML: tests/standins/nvml.
#include "berth/probe/gpu.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

namespace berth::probe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Gpus : public testing::Test {
 protected:
  Gpus() { ::setenv("BERTH_STANDIN_NVML", scene_.c_str(), 1); }
  ~Gpus() override { std::filesystem::remove(scene_); }

  void play(const std::string& scene) const { std::ofstream(scene_) << scene; }
  static Nvml load() {
    Result<Nvml> nvml = Nvml::load(BERTH_NVML_STANDIN);
    EXPECT_TRUE(nvml) << nvml.error().message;
    return std::move(*nvml);
  }

  std::string scene_ =
      std::filesystem::temp_directory_path() / ("berth-gpus-" + std::to_string(::getpid()));
};

TEST_F(Gpus, AreReadByUuidWithAllThatHoldsTheirMemory) {
  play(
      "gpu GPU-aa 8000 3000 17\ngpu GPU-bb 24000 0 -\nprocess GPU-aa 12 1000\n"
      "process GPU-aa 7 1500\n");
  const auto gpus = load().read();
  ASSERT_TRUE(gpus);
  EXPECT_THAT(*gpus, ElementsAre(Gpu{"GPU-aa", "Played GPU", Bytes{8000}, Bytes{3000}, 17,
                                     std::vector<GpuProcess>{{7, Bytes{1500}}, {12, Bytes{1000}}}},
                                 Gpu{"GPU-bb", "Played GPU", Bytes{24000}, Bytes{0}, std::nullopt,
                                     std::vector<GpuProcess>{}}));
}

TEST_F(Gpus, WhatTheDriverDoesNotTellIsUnknownAndNotZero) {
  play("gpu GPU-aa 8000 3000 -\nprocess GPU-aa 7 -\n");
  const Nvml nvml = load();
  auto gpus = nvml.read();
  ASSERT_TRUE(gpus);
  EXPECT_EQ(gpus->at(0).utilisation, std::nullopt);
  EXPECT_EQ(gpus->at(0).processes, (std::vector<GpuProcess>{{7, std::nullopt}}));
  play("gpu GPU-aa 8000 3000 1\nno-processes\n");
  gpus = nvml.read();
  ASSERT_TRUE(gpus);
  EXPECT_EQ(gpus->at(0).processes, std::nullopt);
}

TEST_F(Gpus, AFailureOfTheDriverIsAnErrorWithItsOwnWords) {
  play("gpu GPU-aa 8000 3000 1\n");
  const Nvml nvml = load();
  play("gpu GPU-aa 8000 3000 1\nerror 15\n");
  const auto gpus = nvml.read();
  ASSERT_FALSE(gpus);
  EXPECT_THAT(gpus.error().message, HasSubstr("GPU is lost"));
}

TEST_F(Gpus, ADriverThatDoesNotRunIsAnErrorAtTheStart) {
  play("error 9\n");
  const auto nvml = Nvml::load(BERTH_NVML_STANDIN);
  ASSERT_FALSE(nvml);
  EXPECT_THAT(nvml.error().message, HasSubstr("Driver Not Loaded"));
}

TEST_F(Gpus, WithoutTheLibraryItIsSaidWhatToDo) {
  const auto nvml = Nvml::load("/nowhere/libnvidia-ml.so.1");
  ASSERT_FALSE(nvml);
  EXPECT_THAT(nvml.error().message, AllOf(HasSubstr("/nowhere"), HasSubstr("install the driver")));
  const auto other = Nvml::load("libm.so.6");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("a call is missing"));
}

}  // namespace
}  // namespace berth::probe
