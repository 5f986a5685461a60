// SPDX-License-Identifier: Apache-2.0
// What servers say of themselves: lines of real logs, as they were observed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "berth/servers/help_text.h"
#include "berth/servers/llama_log.h"
#include "berth/servers/llama_server.h"
#include "berth/servers/sd_log.h"
#include "berth/servers/sd_server.h"

namespace berth::servers {
namespace {

using News = LlamaLog::News;

TEST(LlamaLog, KnowsWhenTheModelIsLoadedAndWhichSlotsWork) {
  LlamaLog log;
  EXPECT_EQ(log.take("0.00.428.980 I srv  llama_server: model loaded"), News::loaded);
  EXPECT_EQ(log.take("0.00.475.551 I slot launch_slot_: id  0 | task 0 | processing task, "
                     "is_child = 0"),
            News::slot_taken);
  EXPECT_EQ(log.take("0.00.475.551 I slot launch_slot_: id  1 | task 3 | processing task, "
                     "is_child = 0"),
            News::slot_taken);
  EXPECT_EQ(log.busy_slots(), 2u);
  EXPECT_EQ(log.take("0.00.960.413 I slot      release: id  0 | task 0 | stop processing: "
                     "n_tokens = 38, truncated = 0"),
            News::slot_released);
  EXPECT_EQ(log.busy_slots(), 1u);
  EXPECT_EQ(log.take("0.00.960.321 I slot print_timing: id  0 | task 0 | total time = 484.64 ms"),
            News::none);
}

TEST(LlamaLog, AReleaseThatIsSeenTwiceFreesNothingElse) {
  LlamaLog log;
  log.take("slot launch_slot_: id  0 | task 0 | processing task");
  log.take("slot release: id  1 | task 9 | stop processing");
  EXPECT_EQ(log.busy_slots(), 1u);
}

TEST(LlamaLog, KnowsTheOrderInWhichSlotsWereUsedLast) {
  LlamaLog log;
  EXPECT_EQ(log.by_last_use(3), (std::vector<int>{0, 1, 2}));
  log.take("slot launch_slot_: id  2 | task 0 | processing task");
  log.take("slot launch_slot_: id  1 | task 1 | processing task");
  EXPECT_EQ(log.by_last_use(3), (std::vector<int>{1, 2, 0}));
  log.take("slot release: id  2 | task 0 | stop processing");  // it ended last: used last
  EXPECT_EQ(log.by_last_use(3), (std::vector<int>{2, 1, 0}));
  EXPECT_EQ(log.by_last_use(2), (std::vector<int>{1, 0})) << "only slots that there are";
  log.reset();
  EXPECT_EQ(log.by_last_use(2), (std::vector<int>{0, 1}));
}

TEST(SdLog, KnowsTheStagesOfAPicture) {
  SdLog log;
  EXPECT_FALSE(log.listening());
  log.take("[INFO ] main.cpp:148  - listening on: http://127.0.0.1:1234");
  EXPECT_TRUE(log.listening());
  const auto load = log.take("  |#######   | 120/686 - 1.20GB/s");
  ASSERT_TRUE(load);
  EXPECT_EQ(load->stage, "loading");
  log.take("[INFO ] stable-diffusion.cpp:1  - generating image: 1/1 - seed 42");
  EXPECT_TRUE(log.drawing());
  const auto step = log.take("  |===>      | 3/20 - 2.50it/s");
  ASSERT_TRUE(step);
  EXPECT_EQ(step->stage, "diffusion");
  EXPECT_EQ(step->step, 3);
  EXPECT_EQ(step->steps, 20);
  EXPECT_EQ(log.take("  |===>      | 4/20 - 12.31s/it")->step, 4);
  EXPECT_EQ(log.take("decoding 1 latents")->stage, "decoding");
  log.take("generate_image completed in 0.90s");
  EXPECT_FALSE(log.drawing());
}

TEST(SdLog, HasAPictureThatFailsEndToo) {
  SdLog log;
  log.take("[INFO ] stable-diffusion.cpp:5679 - generating image: 1/2 - seed 42");
  log.take("[ERROR] stable-diffusion.cpp:5716 - sampling for image 1/2 failed after 0.51s");
  EXPECT_FALSE(log.drawing());
}

TEST(SdLog, TakesNoOtherLineForProgress) {
  SdLog log;
  for (const char* line :
       {"", "|", "| a | b", "| x | 3/", "| x | /4 - it/s", "a | b | 3/20 - fast"}) {
    EXPECT_FALSE(log.take(line)) << line;
  }
}

TEST(HelpText, ListsTheNamesOfEachRowAndLeavesOutWhatWasRemoved) {
  const auto known = options_in_help(
      "-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers\n"
      "                                        (env: LLAMA_ARG_N_GPU_LAYERS)\n"
      "--cache-idle-slots, --no-cache-idle-slots\n"
      "--old-flag N                            the argument has been removed, use --new\n"
      "  -m, --model <string>                  path (two blanks first, as sd-server writes)\n");
  EXPECT_TRUE(known.contains("-ngl"));
  EXPECT_TRUE(known.contains("--n-gpu-layers"));
  EXPECT_TRUE(known.contains("--no-cache-idle-slots"));
  EXPECT_TRUE(known.contains("--model"));
  EXPECT_FALSE(known.contains("--old-flag"));
  EXPECT_FALSE(known.contains("--new"));
}

TEST(HelpText, AnUnknownOptionIsAnErrorThatNamesBoth) {
  const Status checked = check_options({"-m"}, {"/bin/llama-server", "-m", "x", "--frob", "-1"});
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::option_unknown);
  EXPECT_NE(checked.error().message.find("/bin/llama-server"), std::string::npos);
  EXPECT_NE(checked.error().message.find("--frob"), std::string::npos);
}

TEST(LlamaArguments, AServerThatCannotSaveIsNamedWithTheKeyThatDoesWithout) {
  namespace fs = std::filesystem;
  std::string folder = (fs::temp_directory_path() / "berth-help-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string program = folder + "/old-llama-server";
  std::ofstream(program) << "#!/bin/sh\necho '-m, --model FNAME  path'\n";
  fs::permissions(program, fs::perms::owner_all);
  config::LlamaOptions options;
  options.binary = program;
  options.model = program;
  LlamaServer server("chat", options, {.run_dir = folder}, std::make_shared<HelpCache>());
  IoLoop loop;
  const auto spec = run_on(loop, server.launch_spec());
  fs::remove_all(folder);
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().code, ErrorCode::option_unknown);
  EXPECT_NE(spec.error().message.find("server.chat.keep_kv = false"), std::string::npos);
  EXPECT_NE(spec.error().message.find(program), std::string::npos);
}

TEST(LlamaArguments, AlwaysSayWhatKeepsEverySlotSavable) {
  config::LlamaOptions options;
  options.model = "/m.gguf";
  const Places places{.run_dir = "/run", .saved_dir = "/saved"};
  const auto argv = llama_arguments("chat", options, places, {"--no-cache-idle-slots"});
  const std::vector<std::string> wanted = {"-m",
                                           "/m.gguf",
                                           "--alias",
                                           "chat",
                                           "--host",
                                           "/run/chat.sock",
                                           "-c",
                                           "4096",
                                           "-np",
                                           "1",
                                           "--cache-ram",
                                           "0",
                                           "--no-cache-idle-slots",
                                           "--slot-save-path",
                                           "/saved"};
  EXPECT_EQ(argv, wanted);
}

TEST(LlamaArguments, PassTheTypedOptionsAndThenTheExtraOnes) {
  config::LlamaOptions options;
  options.model = "/m.gguf";
  options.keep_kv = false;
  options.gpu_layers = config::kAllLayers;
  options.threads = 3;
  options.extra_args = {"--no-warmup"};
  const auto argv = llama_arguments("chat", options, {}, {});
  const std::vector<std::string> tail(argv.end() - 5, argv.end());
  EXPECT_EQ(tail, (std::vector<std::string>{"-t", "3", "-ngl", "999", "--no-warmup"}));
}

}  // namespace
}  // namespace berth::servers
