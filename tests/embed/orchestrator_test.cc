// SPDX-License-Identifier: Apache-2.0
// The unit tests of genai-electron's ResourceOrchestrator under the names of what they show; the
// numbers are those of docs/reference/peer-tests.md.
#include <atomic>
#include <thread>

#include "world.h"

namespace berth::embed_test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Orchestrator : public World {};

// 2, 3, 4, 20.
TEST_F(Orchestrator, APictureGetsTheLlmsPlaceAndTheLlmComesBackWithItsCommandLine) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  const std::int64_t before = seed.pid();
  const std::string command = command_line(before);

  const auto picture = seed.orchestrator.orchestrate_image_generation(World::picture());

  ASSERT_OK(picture);
  EXPECT_THAT(picture->image, StartsWith("\x89PNG"));
  EXPECT_EQ(picture->format, "png");
  EXPECT_EQ(picture->width, 64);
  EXPECT_EQ(picture->seed, 7);
  EXPECT_GT(picture->time_taken, 0ms);
  ASSERT_OK(seed.orchestrator.wait_for_reload());
  EXPECT_NE(seed.pid(), before);
  EXPECT_EQ(command_line(seed.pid()), command);
  EXPECT_FALSE(seed.orchestrator.saved_state().value());
}

// 1, 5.
TEST_F(Orchestrator, APictureWithoutAnLlmStopsAndStartsNobody) {
  Seed seed(open());
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  EXPECT_FALSE(seed.orchestrator.would_need_offload().value());

  ASSERT_OK(seed.orchestrator.orchestrate_image_generation(World::picture()));

  ASSERT_EQ(seed.berth.status()->servers.size(), 1U);
  EXPECT_FALSE(seed.orchestrator.saved_state().value());
}

// 5: an LLM that is known and does not run.
TEST_F(Orchestrator, AnLlmThatWasStoppedIsNotStartedByAPicture) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  ASSERT_OK(seed.llama.stop());
  EXPECT_FALSE(seed.orchestrator.would_need_offload().value());

  ASSERT_OK(seed.orchestrator.orchestrate_image_generation(World::picture()));

  ASSERT_OK(seed.orchestrator.wait_for_reload());
  EXPECT_EQ(seed.llama.health().value(), Health::stopped);
  EXPECT_EQ(seed.pid(), 0);
}

// 1, 11, 26.
TEST_F(Orchestrator, WhereBothFitThePictureIsDrawnBesideTheLlm) {
  Seed seed(open({.capacity = 600_MiB}));
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  const std::int64_t before = seed.pid();
  EXPECT_FALSE(seed.orchestrator.would_need_offload().value());

  ASSERT_OK(seed.orchestrator.orchestrate_image_generation(World::picture()));

  EXPECT_EQ(seed.pid(), before);
}

TEST_F(Orchestrator, AnotherLlmThatWouldHaveToLeaveIsNotThisOnes) {
  prepare();
  BerthOptions options;
  options.config =
      config_text() + section("first", "") + section("second", "") + image_section("image");
  const auto berth = Berth::open(options);
  ASSERT_OK(berth);
  LlamaServer first(*berth, "first");
  const DiffusionServer image(*berth, "image");
  ASSERT_OK(first.start());

  EXPECT_TRUE(ResourceOrchestrator(first, image).would_need_offload().value());
  const LlamaServer second(*berth, "second");
  EXPECT_FALSE(ResourceOrchestrator(second, image).would_need_offload().value());
}

// 6.
TEST_F(Orchestrator, TheLlmComesBackWhenThePictureFails) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config("fail_image")));
  const std::int64_t before = seed.pid();

  EXPECT_CODE(seed.orchestrator.orchestrate_image_generation(World::picture()),
              ErrorCode::upstream);

  ASSERT_OK(seed.orchestrator.wait_for_reload());
  EXPECT_NE(seed.pid(), 0);
  EXPECT_NE(seed.pid(), before);
}

// 7.
TEST_F(Orchestrator, TheLlmComesBackWhenThePictureIsCancelled) {
  Seed seed(open({.step_ms = 50}));
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  const std::int64_t before = seed.pid();
  EXPECT_CODE(seed.diffusion.cancel(), ErrorCode::not_found);
  bool was_busy = false;
  ImageRequest request = World::picture(20);
  request.on_progress = [&](int, int, ImageStage stage, double) {
    if (stage != ImageStage::diffusion || was_busy) return;
    was_busy = seed.diffusion.busy().value();
    EXPECT_TRUE(seed.diffusion.cancel());
  };

  EXPECT_CODE(seed.diffusion.generate_image(request), ErrorCode::cancelled);

  EXPECT_TRUE(was_busy);
  ASSERT_OK(seed.orchestrator.wait_for_reload());
  EXPECT_NE(seed.pid(), 0);
  EXPECT_NE(seed.pid(), before);
  EXPECT_FALSE(seed.diffusion.busy().value());
}

TEST_F(Orchestrator, WithCancelRestartACancelledPictureEndsAtOnce) {
  prepare();
  constexpr int kStepMs = 2000;
  const auto berth =
      Berth::open({.config_file = {},
                   .config = config_text() + section("llm", "wanted = \"on\"\n") +
                             image_section("image", "cancel = \"restart\"\n", kStepMs),
                   .state_dir = {}});
  ASSERT_OK(berth);
  Seed seed(*berth);
  DiffusionConfig image;
  image.model_id = "image";
  ASSERT_OK(seed.diffusion.start(image));
  bool asked = false;
  ImageRequest request = World::picture(100);
  request.on_progress = [&](int, int, ImageStage stage, double) {
    if (stage != ImageStage::diffusion || asked) return;
    asked = true;
    EXPECT_TRUE(seed.diffusion.cancel());
  };
  const auto begun = std::chrono::steady_clock::now();

  EXPECT_CODE(seed.diffusion.generate_image(request), ErrorCode::cancelled);

  EXPECT_TRUE(asked);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 100s) << "the picture would have taken 200 s";
  LlamaConfig llm;
  llm.model_id = "llm";
  ASSERT_OK(seed.llama.start(llm));
  EXPECT_NE(seed.pid(), 0);
  EXPECT_EQ(journal_count("cancel_restarts"), 1);
}

// 8, 19: it fails often enough that no try of this test succeeds.
TEST_F(Orchestrator, ThePictureIsReturnedThoughTheLlmDoesNotComeBack) {
  WorldOptions options;
  for (int i = 0; i < 20; ++i)
    options.faults.push_back(armed("f" + std::to_string(i), "die_start"));
  Seed seed(open(options));
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  for (int i = 0; i < 20; ++i)
    arm("f" + std::to_string(i));

  ASSERT_OK(seed.orchestrator.orchestrate_image_generation(World::picture()));

  EXPECT_CODE(seed.orchestrator.wait_for_reload(), ErrorCode::start_failed);
  const auto saved = seed.orchestrator.saved_state();
  ASSERT_TRUE(saved.value());
  EXPECT_EQ((*saved)->config.model_id, "llama-2-7b");
  EXPECT_TRUE((*saved)->was_running);
  EXPECT_EQ(seed.llama.health().value(), Health::failed);
  EXPECT_FALSE(seed.orchestrator.would_need_offload().value());
  ASSERT_OK(seed.orchestrator.orchestrate_image_generation(World::picture()));
}

// 9.
TEST_F(Orchestrator, AReturnThatFailsOnceSucceedsAtTheNextTry) {
  Seed seed(open({.faults = {armed("once", "die_start")}}));
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  arm("once");
  ASSERT_OK(seed.orchestrator.orchestrate_image_generation(World::picture()));

  until("the LLM is back", [&] { return seed.llama.health().value() == Health::ok; });

  EXPECT_FALSE(std::filesystem::exists(path("once")));
  EXPECT_FALSE(seed.orchestrator.saved_state().value());
}

// 10: a second picture need not wait for a return that is under way.
TEST_F(Orchestrator, PicturesOfTwoThreadsAreDrawnAndTheLlmIsBackAfterBoth) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  std::atomic<int> drawn{0};
  const auto draw = [&] {
    if (seed.orchestrator.orchestrate_image_generation(World::picture())) ++drawn;
  };
  std::thread first(draw);
  std::thread second(draw);
  first.join();
  second.join();

  EXPECT_EQ(drawn, 2);
  ASSERT_OK(seed.orchestrator.wait_for_reload());
  EXPECT_EQ(seed.llama.health().value(), Health::ok);
}

// 18 to 21.
TEST_F(Orchestrator, TheSavedStateIsThereWhileTheLlmIsAwayAndOnlyThen) {
  Seed seed(open());
  LlamaConfig config = llama_config();
  config.threads = 1;
  config.gpu_layers = 0;
  ASSERT_OK(seed.llama.start(config));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  EXPECT_FALSE(seed.orchestrator.saved_state().value());
  const auto port = seed.llama.status()->front_port;
  std::optional<SavedState> seen;
  ImageRequest request = World::picture();
  request.on_progress = [&](int, int, ImageStage, double) {
    if (!seen) seen = seed.orchestrator.saved_state().value();
  };

  ASSERT_OK(seed.orchestrator.orchestrate_image_generation(request));

  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->config.model_id, "llama-2-7b");
  EXPECT_EQ(seen->config.port, port);
  EXPECT_EQ(seen->config.threads, 1);
  EXPECT_EQ(seen->config.gpu_layers, 0);
  EXPECT_EQ(seen->config.context_size, 2048);
  EXPECT_EQ(seen->config.parallel, 1);
  EXPECT_TRUE(seen->was_running);
  EXPECT_EQ(seen->displaced_by, "sdxl-turbo");
  EXPECT_NEAR(static_cast<double>(seen->saved_at.unix_ms), static_cast<double>(now_ms()), 20'000);
  ASSERT_OK(seed.orchestrator.wait_for_reload());
  EXPECT_FALSE(seed.orchestrator.saved_state().value());
}

// 21.
TEST_F(Orchestrator, AClearedStateMeansThatTheLlmStaysAwayUntilItIsAskedFor) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  ASSERT_OK(seed.orchestrator.clear_saved_state());  // of the next displacement

  ASSERT_OK(seed.orchestrator.orchestrate_image_generation(World::picture()));

  EXPECT_CODE(seed.orchestrator.wait_for_reload(), ErrorCode::conflict);
  EXPECT_EQ(seed.llama.health().value(), Health::away);
  ASSERT_OK(seed.llama.start());
  EXPECT_EQ(seed.llama.health().value(), Health::ok);
}

TEST_F(Orchestrator, SeveralPicturesCostOneOffload) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  ImageRequest request = World::picture();
  request.count = 3;

  const auto pictures = seed.diffusion.generate_images(request);

  ASSERT_OK(pictures);
  ASSERT_EQ(pictures->size(), 3U);
  ASSERT_OK(seed.orchestrator.wait_for_reload());
  EXPECT_EQ(journal_count("\"name\":\"row_committed\""), 1);
}

TEST_F(Orchestrator, TheAutomaticWayAndTheManualWayGiveTheSamePicture) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  const auto automatic = seed.diffusion.generate_image(World::picture());
  ASSERT_OK(seed.orchestrator.wait_for_reload());
  const auto manual = seed.orchestrator.orchestrate_image_generation(World::picture());

  ASSERT_OK(automatic);
  ASSERT_OK(manual);
  EXPECT_EQ(automatic->image, manual->image);
  EXPECT_EQ(automatic->seed, manual->seed);
  EXPECT_EQ(journal_count("\"name\":\"row_committed\""), 2);
}

TEST_F(Orchestrator, ProgressIsToldOnTheCallersThreadStageByStage) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  std::vector<std::string> stages;
  std::vector<double> percentages;
  int last_step = 0;
  ImageRequest request = World::picture(8);
  request.on_progress = [&, caller = std::this_thread::get_id()](
                            int step, int total, ImageStage stage, double percentage) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    if (stages.empty() || stages.back() != name(stage)) stages.push_back(name(stage));
    if (stage != ImageStage::diffusion) return;
    EXPECT_EQ(total, 8);
    last_step = step;
    percentages.push_back(percentage);
  };

  ASSERT_OK(seed.diffusion.generate_image(request));

  EXPECT_THAT(stages, testing::ElementsAre("loading", "diffusion", "decoding"));
  EXPECT_GE(last_step, 4);  // steps that follow each other fast are told as one
  EXPECT_TRUE(std::is_sorted(percentages.begin(), percentages.end()));
}

}  // namespace
}  // namespace berth::embed_test
