// SPDX-License-Identifier: Apache-2.0
#include "berth/host/header_footprint.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <variant>

#include <gmock/gmock.h>

#include "berth/core/estimate.h"
#include "berth/host/world.h"

namespace berth::host {
namespace {

models::Model model() {
  models::Model model;
  model.architecture = "llama";
  model.layers = 4;
  model.embedding = 256;
  model.feed_forward = 1024;
  model.vocabulary = 1000;
  model.attention.heads = 4;
  model.attention.kv_heads = {2, 2, 2, 2};
  model.attention.key_length = model.attention.value_length = 64;
  model.weights.layers.assign(4, Bytes{100});
  return model;
}

TEST(FootprintByHeader, CountsThePromptCacheOnTheHost) {
  config::LlamaOptions options;
  const auto without = header_estimate(model(), options);
  options.cache_ram = 64_MiB;
  const auto with = header_estimate(model(), options);
  EXPECT_EQ(std::get<core::HeaderEstimate>(with).host.total(),
            std::get<core::HeaderEstimate>(without).host.total() + 64_MiB);
}

TEST(FootprintByHeader, TakesTheTypesOfTheCacheFromTheConfiguration) {
  config::LlamaOptions options;
  options.cache_type_k = "q8_0";
  options.cache_type_v = "q4_0";
  const auto told = std::get<core::HeaderEstimate>(header_estimate(model(), options));
  EXPECT_EQ(told.host.cache.count, 4 * 4096 * (4 * 34 + 4 * 18));
}

TEST(FootprintByHeader, KnowsWhichLayersHaveASlidingWindow) {
  models::Model gemma = model();
  gemma.attention.window = 512;
  EXPECT_FALSE(model_facts(gemma).layers[0].is_windowed) << "the header does not say which";
  gemma.attention.window_period = 3;
  const core::ModelFacts by_period = model_facts(gemma);
  EXPECT_TRUE(by_period.layers[1].is_windowed);
  EXPECT_FALSE(by_period.layers[2].is_windowed);
  gemma.attention.windowed = {0, 0, 1, 0};
  EXPECT_TRUE(model_facts(gemma).layers[2].is_windowed);
}

TEST(FootprintByHeader, IsUnknownWhereAnArgumentMovesMemory) {
  config::LlamaOptions options;
  options.extra_args = {"--verbose"};
  EXPECT_TRUE(std::holds_alternative<core::HeaderEstimate>(header_estimate(model(), options)));
  options.extra_args = {"--n-cpu-moe", "4"};
  EXPECT_EQ(std::get<core::Unknowable>(header_estimate(model(), options)),
            core::Unknowable::argument);
}

TEST(FootprintByHeader, OfDamagedHeadsIsUnknown) {
  // As a product of 64 bits the last layer would have no cache at all.
  models::Model damaged = model();
  damaged.attention.kv_heads = {1, 1, 1, std::int64_t{1} << 32};
  damaged.attention.key_length = damaged.attention.value_length = std::int64_t{1} << 32;
  EXPECT_EQ(std::get<core::Unknowable>(header_estimate(damaged, {})), core::Unknowable::shape);
}

TEST(FootprintByHeader, IsThePartThatLiesInAPool) {
  config::LlamaOptions options;
  options.gpu_layers = 2;
  const auto told = std::get<core::HeaderEstimate>(header_estimate(model(), options));
  EXPECT_EQ(share_of(told, core::PoolKind::device), told.device.total());
  EXPECT_EQ(share_of(told, core::PoolKind::host), told.host.total());
  EXPECT_EQ(share_of(told, core::PoolKind::capped), told.host.total());
  EXPECT_GT(told.device.total(), Bytes{0});
}

/// A GGUF header without tensors, in a file of its own.
class AModelFile : public testing::Test {
 protected:
  AModelFile() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-host-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    const auto number = [](std::uint64_t value, int bytes) {
      std::string out;
      for (int i = 0; i < bytes; ++i)
        out += static_cast<char>(value >> (8 * i));
      return out;
    };
    const auto text = [&](const std::string& of) { return number(of.size(), 8) + of; };
    const auto value = [&](const char* key, std::uint32_t is) {
      return text(std::string("llama.") + key) + number(4, 4) + number(is, 4);
    };
    const std::string header = "GGUF" + number(3, 4) + number(0, 8) + number(6, 8) +
                               text("general.architecture") + number(8, 4) + text("llama") +
                               value("block_count", 32) + value("embedding_length", 64) +
                               value("feed_forward_length", 256) +
                               value("attention.head_count", 4) + value("vocab_size", 1000);
    std::ofstream(folder_ / "m.gguf", std::ios::binary) << header << std::string(3000, 'w');
    size_ = Bytes{static_cast<std::int64_t>(std::filesystem::file_size(folder_ / "m.gguf"))};
  }
  ~AModelFile() override { std::filesystem::remove_all(folder_); }

  Bytes footprint(std::optional<std::int32_t> layers, std::int32_t gpu_layers,
                  const std::string& file = "m.gguf") {
    config::Config config;
    config.core.pools = {{.name = "ram", .capacity = 1_GiB}};
    config.core.servers = {{.name = "chat"}};
    config::LlamaOptions options;
    options.model = (folder_ / file).string();
    options.layers = layers;
    options.gpu_layers = gpu_layers;
    config.servers = {{.name = "chat", .kind = options}};
    return complete_config(config).servers.front().footprint.in(PoolId{0});
  }

  config::ServerOptions server() const {
    config::LlamaOptions options;
    options.model = (folder_ / "m.gguf").string();
    options.gpu_layers = config::kAllLayers;
    return {.name = "chat", .kind = options};
  }

  std::filesystem::path folder_;
  Bytes size_;
};

TEST_F(AModelFile, GivesTheFormulaOfTheSeedItsNumberOfLayers) {
  EXPECT_EQ(footprint({}, 16), core::seed_gpu_footprint(size_, {.on_gpu = 16, .total = 32}));
  EXPECT_EQ(footprint({}, 33), core::seed_footprint(size_));
}

TEST_F(AModelFile, IsBelievedAfterTheConfiguration) {
  EXPECT_EQ(footprint(64, 16), core::seed_gpu_footprint(size_, {.on_gpu = 16, .total = 64}));
}

TEST_F(AModelFile, ThatSaysNothingHasAllItsLayersOnTheGpu) {
  std::ofstream(folder_ / "x.gguf", std::ios::binary) << std::string(1000, 'x');
  EXPECT_EQ(footprint({}, 16, "x.gguf"), core::seed_footprint(Bytes{1000}));
}

TEST_F(AModelFile, IsNotAskedWhereTheConfigurationDeclaresTheMemory) {
  config::ServerOptions options = server();
  EXPECT_TRUE(header_estimate(options, false));
  options.memory_declared = true;
  EXPECT_FALSE(header_estimate(options, false));
}

TEST_F(AModelFile, LiesOnTheHostOnAMachineWithoutADevice) {
  EXPECT_EQ(header_estimate(server(), false)->device.total(), Bytes{0});
  EXPECT_GT(header_estimate(server(), true)->device.total(), Bytes{0});
}

}  // namespace
}  // namespace berth::host
