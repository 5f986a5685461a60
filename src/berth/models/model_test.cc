// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <gmock/gmock.h>

#include "berth/models/model.h"
#include "berth/models/test_files.h"

namespace berth::models {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint32_t kF32 = GgufWriter::kF32;
constexpr std::uint32_t kQ8 = GgufWriter::kQ8_0;

/// Two layers of 64 elements, embeddings and output, and the numbers of a llama.
std::string small_llama(std::uint32_t version = 3) {
  return GgufWriter()
      .front(5, 9, version)
      .value("general.architecture", "llama")
      .value("general.name", "Small")
      .value("general.file_type", 7)
      .value("llama.block_count", 2)
      .value("llama.context_length", 8192)
      .value("llama.embedding_length", 64)
      .value("llama.attention.head_count", 4)
      .value("llama.attention.head_count_kv", 2)
      .value("llama.feed_forward_length", 256)
      .tensor("token_embd.weight", {64}, kQ8, 0)
      .tensor("blk.0.attn_q.weight", {64}, kQ8, 96)
      .tensor("blk.1.attn_q.weight", {64}, kQ8, 192)
      .tensor("output_norm.weight", {8}, kF32, 288)
      .tensor("output.weight", {64}, kQ8, 320)
      .data(320 + 68)
      .bytes();
}

TEST(AGgufHeader, TellsArchitectureShapeAndQuantisation) {
  const Folder folder;
  const auto model = read_model(folder.write("a.gguf", small_llama()));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->architecture, "llama");
  EXPECT_EQ(model->name, "Small");
  EXPECT_EQ(model->quantisation, "Q8_0");
  EXPECT_EQ(model->layers, 2);
  EXPECT_EQ(model->context, 8192);
  EXPECT_EQ(model->feed_forward, 256);
  EXPECT_EQ(model->attention.heads, 4);
  EXPECT_THAT(model->attention.kv_heads, ElementsAre(2, 2));
  EXPECT_EQ(model->parameters, 4 * 64u + 8);
}

TEST(AGgufHeader, OfVersionTwoIsReadAlike) {
  const Folder folder;
  const auto model = read_model(folder.write("a.gguf", small_llama(2)));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->layers, 2);
}

TEST(AGgufHeader, TellsTheBytesOfEveryLayer) {
  const Folder folder;
  const auto model = read_model(folder.write("a.gguf", small_llama()));
  ASSERT_TRUE(model);
  EXPECT_THAT(model->weights.layers, ElementsAre(Bytes{68}, Bytes{68}));
  EXPECT_EQ(model->weights.input, Bytes{68});
  EXPECT_EQ(model->weights.output, Bytes{32 + 68});
  EXPECT_EQ(model->weights.total(), Bytes{4 * 68 + 32});
}

TEST(AGgufHeader, CountsBlocksOfSixtyFourAndMoreElements) {
  constexpr std::uint32_t kNvfp4 = 40;
  constexpr std::uint32_t kQ1 = 41;
  const Folder folder;
  const auto model = read_model(folder.write("a.gguf", GgufWriter()
                                                           .front(2, 3)
                                                           .value("general.architecture", "x")
                                                           .value("general.file_type", 39)
                                                           .value("x.block_count", 1)
                                                           .tensor("blk.0.a", {128}, kNvfp4, 0)
                                                           .tensor("blk.0.b", {256}, kQ1, 96)
                                                           .data(96 + 36)
                                                           .bytes()));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->quantisation, "NVFP4");
  EXPECT_THAT(model->weights.layers, ElementsAre(Bytes{2 * 36 + 2 * 18}));
}

TEST(AGgufHeader, GivesAHeadItsShareOfTheEmbeddingUnlessItSaysOtherwise) {
  const Folder folder;
  const auto model = read_model(folder.write("a.gguf", small_llama()));
  ASSERT_TRUE(model);
  EXPECT_EQ(model->attention.key_length, 16);
  const auto other = read_model(folder.write("b.gguf", GgufWriter()
                                                           .front(0, 4)
                                                           .value("general.architecture", "x")
                                                           .value("x.block_count", 1)
                                                           .value("x.attention.key_length", 192)
                                                           .value("x.attention.value_length", 128)
                                                           .bytes()));
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_EQ(other->attention.key_length, 192);
  EXPECT_EQ(other->attention.value_length, 128);
}

TEST(AGgufHeader, MayHaveAnotherNumberOfHeadsInEveryLayer) {
  const Folder folder;
  const auto model =
      read_model(folder.write("a.gguf", GgufWriter()
                                            .front(0, 4)
                                            .value("general.architecture", "x")
                                            .value("x.block_count", 3)
                                            .list("x.attention.head_count_kv", {4, 0, 2})
                                            .list("x.attention.sliding_window_pattern", {1, 1, 0})
                                            .bytes()));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_THAT(model->attention.kv_heads, ElementsAre(4, 0, 2));
  EXPECT_THAT(model->attention.windowed, ElementsAre(1, 1, 0));
}

TEST(AGgufHeader, WithAListForFewerLayersThanThereAreSaysNothingAboutThem) {
  const Folder folder;
  const auto model =
      read_model(folder.write("a.gguf", GgufWriter()
                                            .front(0, 3)
                                            .value("general.architecture", "x")
                                            .value("x.block_count", 3)
                                            .list("x.attention.head_count_kv", {4, 2})
                                            .bytes()));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_THAT(model->attention.kv_heads, IsEmpty());
}

TEST(AGgufHeader, OfMoreLayersThanAnyModelHasIsNotBelieved) {
  const Folder folder;
  const auto model = read_model(folder.write("a.gguf", GgufWriter()
                                                           .front(0, 3)
                                                           .value("general.architecture", "x")
                                                           .value("x.block_count", 4'000'000'000)
                                                           .value("x.attention.head_count", 1)
                                                           .bytes()));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_FALSE(model->layers);
}

TEST(AGgufHeader, NamesAttentionThatKeepsNoPlainCache) {
  const Folder folder;
  const auto latent =
      read_model(folder.write("a.gguf", GgufWriter()
                                            .front(0, 2)
                                            .value("general.architecture", "deepseek2")
                                            .value("deepseek2.attention.kv_lora_rank", 512)
                                            .bytes()));
  ASSERT_TRUE(latent);
  EXPECT_TRUE(latent->attention.is_latent);
  const auto recurrent =
      read_model(folder.write("b.gguf", GgufWriter()
                                            .front(0, 2)
                                            .value("general.architecture", "mamba")
                                            .value("mamba.ssm.state_size", 16)
                                            .bytes()));
  ASSERT_TRUE(recurrent);
  EXPECT_TRUE(recurrent->attention.is_recurrent);
}

TEST(ASplitModel, IsTheSumOfItsParts) {
  const Folder folder;
  const auto write = [&](std::uint32_t number, const char* tensor) {
    const std::string bytes = GgufWriter()
                                  .front(1, 3)
                                  .value("general.architecture", number == 0 ? "llama" : "")
                                  .value("split.no", number)
                                  .value("split.count", 2)
                                  .tensor(tensor, {64}, kQ8, 0)
                                  .data(68)
                                  .bytes();
    return folder.write(number == 0 ? "m-00001-of-00002.gguf" : "m-00002-of-00002.gguf", bytes);
  };
  write(1, "blk.1.attn_q.weight");
  const std::string first = write(0, "blk.0.attn_q.weight");
  const auto model = read_model(first);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->architecture, "llama");
  EXPECT_THAT(model->weights.layers, ElementsAre(Bytes{68}, Bytes{68}));
  EXPECT_EQ(model->files.size(), 2u);
  std::int64_t size = 0;
  for (const std::string& file : model->files)
    size += static_cast<std::int64_t>(std::filesystem::file_size(file));
  EXPECT_EQ(model->file_bytes, Bytes{size});
}

TEST(ASafetensorsHeader, TellsTypeAndFamilyOfAnImageModel) {
  const Folder folder;
  const auto model = read_model(folder.write(
      "sd.safetensors",
      safetensors(
          R"({"__metadata__":{"format":"pt"},)"
          R"("cond_stage_model.transformer.x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
          R"("model.diffusion_model.x":{"dtype":"F16","shape":[4,2],"data_offsets":[8,24]}}   )",
          24)));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->architecture, "sd1");
  EXPECT_EQ(model->quantisation, "F16");
  EXPECT_EQ(model->parameters, 10u);
  EXPECT_EQ(model->weights.total(), Bytes{24});
  EXPECT_FALSE(model->layers);
}

TEST(ASafetensorsHeader, MayHaveUnknownMembersAndTensorsOfNothing) {
  const Folder folder;
  const auto model = read_model(
      folder.write("a.safetensors",
                   safetensors(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"note":"x"},)"
                               R"("b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                               4)));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->tensors, 2u);
}

TEST(AModelFile, OfAnotherFormatIsNamed) {
  const Folder folder;
  const auto model = read_model(folder.write("a.ckpt", "x"));
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().message,
            folder.path("a.ckpt") +
                ": only headers of .gguf and .safetensors are read, so 1.2 x its size is planned "
                "with; convert it, if its server takes no such file");
}

TEST(AModelFile, ThatIsMissingOrNoFileIsSaidToBe) {
  const Folder folder;
  std::filesystem::create_directory(folder.path("a.gguf"));
  EXPECT_EQ(read_model(folder.path("a.gguf")).error().message,
            folder.path("a.gguf") + ": is no regular file; name a model file");
  EXPECT_EQ(read_model(folder.path("b.gguf")).error().code, ErrorCode::model_missing);
}

}  // namespace
}  // namespace berth::models
