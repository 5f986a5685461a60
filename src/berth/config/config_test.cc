// SPDX-License-Identifier: Apache-2.0
#include "berth/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <variant>

namespace berth::config {
namespace {

using core::Footprint;
using core::PoolShare;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Environment kHome{.home = "/home/ann", .state = std::nullopt};

/// Reads a text that must be right.
Config read(std::string_view text, const Environment& environment = kHome) {
  Result<Config> config = parse(text, "/etc/berth/berth.toml", environment);
  EXPECT_TRUE(config) << config.error().message;
  return config ? *config : Config{};
}

/// Reads a file with one pool and one llama-server that has `keys` too.
Config read_chat(const std::string& keys) {
  return read(R"(
[pool.ram]
kind = "capped"
capacity = "1GiB"
[server.chat]
kind = "llama-server"
model = "chat.gguf"
)" + keys);
}
LlamaOptions llama(const std::string& keys) {
  return std::get<LlamaOptions>(read_chat(keys).servers.at(0).kind);
}
core::ServerConfig chat(const std::string& keys) {
  return read_chat(keys).core.servers.at(0);
}
core::Policy policy(const std::string& keys) {
  return read_chat("[policy]\n" + keys).core.policy;
}

constexpr std::string_view kFifteenLines = R"([pool.ram]
kind = "capped"
capacity = "1GiB"

[server.chat]
kind = "llama-server"
model = "SmolLM2.gguf"
port = 8080
memory = "300MiB"

[server.image]
kind = "sd-server"
model = "sd15.safetensors"
port = 8081
memory = "500MiB"
)";

Config fifteen_lines() {
  LlamaOptions llama;
  llama.model = "/etc/berth/SmolLM2.gguf";
  SdOptions sd;
  sd.model = "/etc/berth/sd15.safetensors";
  core::ServerConfig chat;
  chat.name = "chat";
  chat.job_class = core::ServerClass::chat;
  chat.footprint = Footprint{{PoolShare{PoolId{0}, 300_MiB}}};
  core::ServerConfig image;
  image.name = "image";
  image.job_class = core::ServerClass::image;
  image.footprint = Footprint{{PoolShare{PoolId{0}, 500_MiB}}};
  image.job_limit = 30min;
  chat.max_hold = image.max_hold = 285s;
  Config config;
  config.file = "/etc/berth/berth.toml";
  config.listen = {"127.0.0.1", 8700};
  config.state_dir = "/home/ann/.local/state/berth";
  config.max_hold = 285s;
  config.core.pools = {{"ram", core::PoolKind::capped, 1_GiB, Bytes{0}}};
  config.pools = {{"0"}};
  config.core.servers = {chat, image};
  config.servers = {{"chat", llama, 8080, true}, {"image", sd, 8081, true}};
  return config;
}

TEST(Config, FifteenLinesSuffice) {
  EXPECT_EQ(read(kFifteenLines), fifteen_lines());
}

TEST(Config, EveryKeyIsRead) {
  const Config config = read(R"(
listen = "[::1]:9000"
state = "../lib/berth"

[pool."gpu0.vram"]
kind = "capped"
capacity = "8GB"
reserve = "200MB"
[pool.ram]
kind = "capped"
capacity = 32000000000

[server.coder]
kind = "llama-server"
binary = "~/bin/llama-server"
model = "/models/coder.gguf"
port = 0
memory = {ram = "1GB", "gpu0.vram" = "6GB"}
class = "batch"
wanted = "on"
drain_limit = "none"
job_limit = "90s"
start_deadline = "5min"
stop_deadline = "1.5s"
while_displaced = "refuse"
max_hold = "20s"
context = 16384
parallel = 4
gpu_layers = 24
layers = 32
threads = 7
batch_size = 512
flash_attention = "on"
cache_type_k = "q8_0"
cache_type_v = "q4_0"
cache_ram = "64MiB"
keep_kv = false
extra_args = ["--mlock", "--temp", "0"]

[server.video]
kind = "sd-server"
binary = "sd-server-vulkan"
model = "~/models/wan.gguf"
class = "video"
threads = 2
weights = "on_demand"
extra_args = ["--diffusion-fa"]

[policy]
limit = "23/25"
patience = 2
ageing = "90s"
linger_max = "0s"
release_deadline = "10s"
oversize = "refuse"
queue_max = 50
max_hold = "10min"
orphan_timeout = "1s"
hold_grace = "2s"
image_result_ttl = "1min"
swap_guess = "500ms"
)");

  EXPECT_EQ(config.listen, (Address{"::1", 9000}));
  EXPECT_EQ(config.state_dir, "/etc/lib/berth");
  EXPECT_EQ(config.max_hold, 10min);
  EXPECT_EQ(config.orphan_timeout, 1s);
  EXPECT_EQ(config.hold_grace, 2s);
  EXPECT_EQ(config.image_result_ttl, 1min);
  EXPECT_THAT(
      config.core.pools,
      ElementsAre(core::PoolConfig{"gpu0.vram", core::PoolKind::capped, 8_GB, Bytes{200'000'000}},
                  core::PoolConfig{"ram", core::PoolKind::capped, 32_GB, Bytes{0}}));

  core::Policy expected;
  expected.limit_numerator = 23;
  expected.limit_denominator = 25;
  expected.patience = 2;
  expected.ageing = 90s;
  expected.linger_max = 0s;
  expected.release_deadline = 10s;
  expected.oversize = core::Oversize::refuse;
  expected.queue_max = 50;
  expected.swap_guess = 500ms;
  EXPECT_EQ(config.core.policy, expected);

  core::ServerConfig coder;
  coder.name = "coder";
  coder.job_class = core::ServerClass::batch;
  coder.wanted = core::Wanted::on;
  coder.footprint = Footprint{{PoolShare{PoolId{0}, 6_GB}, PoolShare{PoolId{1}, 1_GB}}};
  coder.slots = 4;
  coder.drain_limit = std::nullopt;
  coder.job_limit = 90s;
  coder.start_deadline = 5min;
  coder.stop_deadline = 1500ms;
  coder.while_displaced = core::WhileDisplaced::refuse;
  coder.max_hold = 20s;
  core::ServerConfig video;
  video.name = "video";
  video.job_class = core::ServerClass::video;
  video.job_limit = 30min;
  video.max_hold = 10min;  // the policy's
  EXPECT_THAT(config.core.servers, ElementsAre(coder, video));

  LlamaOptions llama;
  llama.binary = "/home/ann/bin/llama-server";
  llama.model = "/models/coder.gguf";
  llama.context = 16384;
  llama.parallel = 4;
  llama.gpu_layers = 24;
  llama.layers = 32;
  llama.threads = 7;
  llama.batch_size = 512;
  llama.flash_attention = "on";
  llama.cache_type_k = "q8_0";
  llama.cache_type_v = "q4_0";
  llama.cache_ram = 64_MiB;
  llama.keep_kv = false;
  llama.extra_args = {"--mlock", "--temp", "0"};
  SdOptions sd;
  sd.binary = "sd-server-vulkan";
  sd.model = "/home/ann/models/wan.gguf";
  sd.threads = 2;
  sd.weights_on_demand = true;
  sd.extra_args = {"--diffusion-fa"};
  EXPECT_THAT(config.servers, ElementsAre(ServerOptions{"coder", llama, 0, true},
                                          ServerOptions{"video", sd, std::nullopt, false}));
}

TEST(Config, AFallbackMayStandBehindTheServerThatNamesIt) {
  const Config config = read(R"(
[pool.ram]
kind = "capped"
capacity = "1GiB"
[server.large]
kind = "llama-server"
model = "l"
while_displaced = "fallback"
fallback = "small"
[server.small]
kind = "llama-server"
model = "s"
max_hold = "none"
)");

  EXPECT_EQ(config.core.servers.at(0).while_displaced, core::WhileDisplaced::fallback);
  EXPECT_EQ(config.core.servers.at(0).fallback, ServerId{1});
  EXPECT_EQ(config.core.servers.at(0).max_hold, 285s);
  EXPECT_EQ(config.core.servers.at(1).while_displaced, core::WhileDisplaced::hold);
  EXPECT_EQ(config.core.servers.at(1).max_hold, std::nullopt);
}

TEST(Config, ServersKeepTheOrderOfTheFile) {
  const Config config = read(R"(
[server.zebra]
kind = "sd-server"
model = "z"
[pool.ram]
kind = "capped"
capacity = "1GiB"
[server.ant]
kind = "sd-server"
model = "a"
)");

  EXPECT_EQ(config.servers.at(0).name, "zebra");
  EXPECT_EQ(config.servers.at(1).name, "ant");
  EXPECT_EQ(config.core.servers.at(0).name, "zebra");
  EXPECT_EQ(config.core.servers.at(1).name, "ant");
}

TEST(Config, WithoutMemoryTheFootprintIsLeftToTheHost) {
  const Config config = read_chat("");

  EXPECT_FALSE(config.servers.at(0).memory_declared);
  EXPECT_THAT(config.core.servers.at(0).footprint.shares, IsEmpty());
}

TEST(Config, PlainMemoryIsOfTheFirstPool) {
  const Config config = read(R"(
[pool.vram]
kind = "capped"
capacity = "8GB"
[pool.ram]
kind = "capped"
capacity = "32GB"
[server.chat]
kind = "llama-server"
model = "chat.gguf"
memory = "2GB"
)");

  EXPECT_THAT(config.core.servers.at(0).footprint.shares, ElementsAre(PoolShare{PoolId{0}, 2_GB}));
}

TEST(Config, TheLimitIsExactInEveryForm) {
  const auto limit = [](const std::string& value) {
    const core::Policy read = policy("limit = " + value);
    return std::pair(read.limit_numerator, read.limit_denominator);
  };
  EXPECT_EQ(limit(R"("3/4")"), std::pair(3L, 4L));
  EXPECT_EQ(limit("0.75"), std::pair(3L, 4L));
  EXPECT_EQ(limit("0.92"), std::pair(23L, 25L));
  EXPECT_EQ(limit("0.1"), std::pair(1L, 10L));
  EXPECT_EQ(limit(R"("0.333333333")"), std::pair(333'333'333L, 1'000'000'000L));
  EXPECT_EQ(limit(R"("6/8")"), std::pair(3L, 4L));
  EXPECT_EQ(limit("1"), std::pair(1L, 1L));
  EXPECT_EQ(limit("1.0"), std::pair(1L, 1L));
}

TEST(Config, GpuLayersAreANumberOrAll) {
  EXPECT_EQ(llama("").gpu_layers, std::nullopt);
  EXPECT_EQ(llama("gpu_layers = 0").gpu_layers, 0);
  EXPECT_EQ(llama("gpu_layers = 99").gpu_layers, 99);
  EXPECT_EQ(llama("gpu_layers = \"all\"").gpu_layers, kAllLayers);
  EXPECT_EQ(llama("gpu_layers = -1").gpu_layers, kAllLayers);
}

TEST(Config, ADrainMayHaveNoLimit) {
  EXPECT_EQ(chat("").drain_limit, Duration{10min});
  EXPECT_EQ(chat("drain_limit = \"none\"").drain_limit, std::nullopt);
  EXPECT_EQ(chat("drain_limit = \"0s\"").drain_limit, Duration{0});
}

TEST(Config, APictureHasALimitAndAChatHasNone) {
  EXPECT_EQ(chat("").job_limit, std::nullopt);
  EXPECT_EQ(chat("job_limit = \"5s\"").job_limit, Duration{5s});
}

TEST(Config, SlotsOfALlamaServerAreItsParallelRequests) {
  EXPECT_EQ(chat("parallel = 3").slots, 3);
}

TEST(Config, AProgramIsAPathOrANameForPath) {
  EXPECT_EQ(llama("binary = \"llama-server-cuda\"").binary, "llama-server-cuda");
  EXPECT_EQ(llama("binary = \"build/llama-server\"").binary, "/etc/berth/build/llama-server");
  EXPECT_EQ(llama("binary = \"/usr/bin/llama-server\"").binary, "/usr/bin/llama-server");
}

TEST(Config, AListenAddressIsIPv4IPv6OrLocalhost) {
  const auto listen = [](const std::string& value) {
    return read("listen = \"" + value + "\"\n" + std::string(kFifteenLines)).listen;
  };
  EXPECT_EQ(listen("0.0.0.0:80"), (Address{"0.0.0.0", 80}));
  EXPECT_EQ(listen("[::1]:8700"), (Address{"::1", 8700}));
  EXPECT_EQ(listen("localhost:0"), (Address{"127.0.0.1", 0}));
}

TEST(Config, TheEnvironmentOverridesTheStateFolder) {
  const Environment environment{.home = std::nullopt, .state = "/tmp/state/"};

  const Config config =
      read("state = \"/var/lib/berth\"\n" + std::string(kFifteenLines), environment);

  EXPECT_EQ(config.state_dir, "/tmp/state");
}

TEST(Config, PathsAreRelativeToTheFile) {
  const auto file = std::filesystem::temp_directory_path() /
                    ("berth-config-" + std::to_string(::getpid()) + ".toml");
  std::ofstream(file) << kFifteenLines;

  const Result<Config> config = load(file.string(), kHome);
  std::filesystem::remove(file);

  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->file, file.string());
  EXPECT_EQ(std::get<LlamaOptions>(config->servers.at(0).kind).model,
            (file.parent_path() / "SmolLM2.gguf").string());
}

TEST(Config, AFileThatIsNotThereIsNamed) {
  const Result<Config> config = load("/nowhere/berth.toml", kHome);

  ASSERT_FALSE(config);
  EXPECT_EQ(config.error(),
            (Error{ErrorCode::not_found,
                   "cannot read the configuration /nowhere/berth.toml: No such file or directory; "
                   "write one there, or name another file"}));
}

TEST(Config, AFolderIsNoConfiguration) {
  const Result<Config> config = load("/", kHome);

  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::io);
  EXPECT_THAT(config.error().message, HasSubstr("/: Is a directory"));
}

TEST(Config, ModelsAreFoundInFoldersAndUnderNames) {
  const Config config = read(std::string(kFifteenLines) +
                             "\n[models]\ndirectories = [\"~/models\", \"/srv/models/\"]\n"
                             "entries = {story = \"~/story.gguf\"}\n");

  EXPECT_EQ(config.models.directories,
            (std::vector<std::string>{"/home/ann/models", "/srv/models"}));
  EXPECT_EQ(config.models.entries, (std::vector<NamedModel>{{"story", "/home/ann/story.gguf"}}));
}

TEST(Config, AKindHasItsNameInTheFile) {
  const Config config = read(kFifteenLines);

  EXPECT_EQ(kind_name(config.servers.at(0)), "llama-server");
  EXPECT_EQ(kind_name(config.servers.at(1)), "sd-server");
}

TEST(Config, PoolsOfTheMachineHaveNoCapacityOfTheirOwn) {
  std::string text(kFifteenLines);
  text.replace(text.find("[pool.ram]"), text.find("[server.chat]") - text.find("[pool.ram]"),
               "[pool.\"gpu0.vram\"]\nkind = \"device\"\nreserve = \"300MiB\"\n"
               "[pool.\"gpu1.vram\"]\nkind = \"device\"\ndevice = 1\n"
               "[pool.\"gpu2.vram\"]\nkind = \"device\"\ndevice = \"GPU-8f6a\"\n"
               "[pool.ram]\nkind = \"host\"\n");
  const Config config = read(text);
  EXPECT_THAT(config.core.pools,
              ElementsAre(core::PoolConfig{"gpu0.vram", core::PoolKind::device, Bytes{}, 300_MiB},
                          core::PoolConfig{"gpu1.vram", core::PoolKind::device, Bytes{}, Bytes{}},
                          core::PoolConfig{"gpu2.vram", core::PoolKind::device, Bytes{}, Bytes{}},
                          core::PoolConfig{"ram", core::PoolKind::host, Bytes{}, Bytes{}}));
  EXPECT_THAT(config.pools, ElementsAre(PoolOptions{"0"}, PoolOptions{"1"}, PoolOptions{"GPU-8f6a"},
                                        PoolOptions{"0"}));
}

}  // namespace
}  // namespace berth::config
