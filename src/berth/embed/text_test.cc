// SPDX-License-Identifier: Apache-2.0
#include "berth/embed/text.h"

#include <gmock/gmock.h>

namespace berth::embed {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kPools = "[pool.ram]\nkind = \"capped\"\ncapacity = \"1GiB\"\n";

ServerWish full_wish() {
  LlamaConfig config;
  config.model_id = "story";
  config.name = "story";
  config.port = 8080;
  config.threads = 3;
  config.gpu_layers = -1;
  config.context_size = 4096;
  config.parallel = 2;
  config.flash_attention = true;
  config.extra_args = {"--alias-of", "a \"quoted\" \\ name"};
  ServerWish wish = wish_of(config);
  wish.model = "/models/story.gguf";
  return wish;
}

TEST(SectionOf, IsReadByTheParserOfConfigurationsAsItWasWished) {
  const auto config = config::parse(kPools + section_of(full_wish()), "test.toml",
                                    {.home = "/nowhere", .state = {}});

  ASSERT_TRUE(config) << config.error().message;
  const config::ServerOptions& server = config->servers.at(0);
  const auto& llama = std::get<config::LlamaOptions>(server.kind);
  EXPECT_EQ(server.name, "story");
  EXPECT_EQ(server.front_port, 8080);
  EXPECT_EQ(llama.model, "/models/story.gguf");
  EXPECT_EQ(llama.threads, 3);
  EXPECT_EQ(llama.gpu_layers, config::kAllLayers);
  EXPECT_EQ(llama.context, 4096);
  EXPECT_EQ(llama.parallel, 2);
  EXPECT_EQ(llama.flash_attention, "on");
  EXPECT_THAT(llama.extra_args, ElementsAre("--alias-of", "a \"quoted\" \\ name"));
}

TEST(SectionOf, SaysNothingThatWasNotWished) {
  DiffusionConfig config;
  config.name = "image";
  ServerWish wish = wish_of(config);
  wish.model = "/m";
  EXPECT_EQ(section_of(wish),
            "\n[server.\"image\"]\nkind = \"sd-server\"\nmodel = \"/m\"\nport = 0\n");
}

TEST(ServerName, IsOneThatAConfigurationTakes) {
  EXPECT_EQ(server_name("llama-2-7b"), "llama-2-7b");
  EXPECT_EQ(server_name("/models/SDXL Turbo.v1.safetensors"), "sdxl-turbo-v1");
  EXPECT_EQ(server_name("Qwen/Qwen2.5 \xc3\xa4"), "qwen2-5---");
  EXPECT_EQ(server_name(std::string(50, 'a')).size(), 32U);
  EXPECT_EQ(server_name(""), "model");
}

TEST(Differences, AreOfWhatWasGivenOnly) {
  client::ServerConfigInfo has;
  has.model = "/models/story.gguf";
  has.port = 8080;
  has.context_size = 2048;
  has.flash_attention = "off";
  ServerWish wish = full_wish();
  wish.extra_args.clear();

  EXPECT_THAT(
      differences(wish, has),
      ElementsAre("threads is not given and shall be 3", "gpu_layers is not given and shall be -1",
                  "context_size is 2048 and shall be 4096", "parallel is not given and shall be 2",
                  "flash_attention is off and shall be on"));
  ServerWish open;
  open.port = 0;  // any
  EXPECT_THAT(differences(open, has), IsEmpty());
  open.extra_args = {"--verbose"};
  EXPECT_THAT(differences(open, has), ElementsAre(HasSubstr("extra_args")));
}

TEST(BaseText, GetsThePoolsOfTheMachineIfItNamesNone) {
  const auto bare = base_text({});
  ASSERT_TRUE(bare);
  EXPECT_THAT(bare->text, HasSubstr("listen = \"127.0.0.1:0\""));
  EXPECT_THAT(bare->text, HasSubstr("[pool.ram]\nkind = \"host\""));
  EXPECT_FALSE(bare->has_servers);
  BerthOptions given;
  given.config = kPools + section_of(full_wish());
  EXPECT_EQ(base_text(given)->text, given.config);
  EXPECT_TRUE(base_text(given)->has_servers);
}

TEST(BaseText, WhatIsWrongWithItIsSaid) {
  BerthOptions options;
  options.config = "[pool";
  EXPECT_EQ(base_text(options).error().code, ErrorCode::bad_config);
  options.config_file = "/nowhere/berth.toml";
  EXPECT_EQ(base_text(options).error().code, ErrorCode::not_found);
  EXPECT_THAT(base_text(options).error().message, HasSubstr("/nowhere/berth.toml"));
}

}  // namespace
}  // namespace berth::embed
