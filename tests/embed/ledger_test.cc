// SPDX-License-Identifier: Apache-2.0
// One ledger for a state directory, however many programs and parts of programs use it.
#include <unistd.h>

#include <thread>

#include "world.h"

namespace berth::embed_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Ledger : public World {};

TEST_F(Ledger, TwoOrchestratorsInOneProcessShareIt) {
  Seed one(open());
  const auto again = Berth::open(options());
  ASSERT_OK(again);
  EXPECT_FALSE(again->is_client());
  Seed other(*again);
  ASSERT_OK(one.llama.start(llama_config()));
  ASSERT_OK(other.diffusion.start(diffusion_config()));  // beside the first one's
  EXPECT_FALSE(again->is_client());
  std::optional<SavedState> seen;
  ImageRequest request = World::picture();
  request.on_progress = [&](int, int, ImageStage, double) {
    if (!seen) seen = one.orchestrator.saved_state().value();
  };

  ASSERT_OK(other.orchestrator.orchestrate_image_generation(request));

  ASSERT_TRUE(seen) << "the first does not know what the second did";
  ASSERT_OK(one.orchestrator.wait_for_reload());
  EXPECT_EQ(other.pid(), one.pid());
  EXPECT_EQ(one.berth.status()->pid, ::getpid());
}

TEST_F(Ledger, AProgramBesideADaemonBecomesItsClient) {
  prepare();
  const pid_t daemon = start_daemon(section("chat", "wanted = \"on\"\n") + image_section("image"));
  const auto berth = Berth::open(options());
  ASSERT_OK(berth);
  Seed seed(*berth);
  LlamaConfig config;
  config.model_id = "llama-2-7b";  // the daemon calls the server "chat"
  DiffusionConfig diffusion;
  diffusion.model_id = "sdxl-turbo";

  EXPECT_TRUE(berth->is_client());
  EXPECT_EQ(berth->status()->pid, daemon);
  ASSERT_OK(seed.llama.start(config));
  ASSERT_OK(seed.diffusion.start(diffusion));
  EXPECT_EQ(seed.llama.name().value(), "chat");
  EXPECT_TRUE(seed.orchestrator.would_need_offload().value());
  ASSERT_OK(seed.orchestrator.orchestrate_image_generation(World::picture()));
  ASSERT_OK(seed.orchestrator.wait_for_reload());
  EXPECT_EQ(journal_count("\"name\":\"row_committed\""), 1);
}

TEST_F(Ledger, ADaemonThatCameUpSinceIsFoundByTheFirstStart) {
  Seed seed(open());
  const pid_t daemon = start_daemon(section("chat", ""));
  LlamaConfig config;
  config.model_id = "llama-2-7b";

  ASSERT_OK(seed.llama.start(config));

  EXPECT_TRUE(seed.berth.is_client());
  EXPECT_EQ(seed.berth.status()->pid, daemon);
  EXPECT_EQ(seed.llama.name().value(), "chat");
}

TEST_F(Ledger, AClientCannotChangeWhatTheDaemonsServersAre) {
  prepare();
  start_daemon(section("chat", "context = 2048\nthreads = 1\n"));
  const auto berth = Berth::open(options());
  ASSERT_OK(berth);
  LlamaServer llama(*berth);
  LlamaConfig config;
  config.model_id = "chat";
  config.context_size = 4096;
  config.threads = 2;

  const Status refused = llama.start(config);

  EXPECT_CODE(refused, ErrorCode::conflict);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("threads is 1 and shall be 2"),
                                             HasSubstr("context_size is 2048 and shall be 4096")));
  DiffusionServer diffusion(*berth);
  DiffusionConfig missing;
  missing.model_id = "sdxl-turbo";
  const Status absent = diffusion.start(missing);
  EXPECT_CODE(absent, ErrorCode::not_found);
  EXPECT_THAT(absent.error().message, HasSubstr("it has: \"chat\" (llama-server)"));
}

TEST_F(Ledger, TheDaemonsServersOutliveAClient) {
  prepare();
  start_daemon(section("chat", "wanted = \"on\"\n"));
  std::int64_t before = 0;
  {
    const auto berth = Berth::open(options());
    ASSERT_OK(berth);
    LlamaServer llama(*berth);
    until("it serves", [&] { return llama.health().value() == Health::ok; });
    before = *llama.status()->pid;
  }
  const auto again = Berth::open(options());
  ASSERT_OK(again);
  EXPECT_EQ(*LlamaServer(*again).status()->pid, before);
}

TEST_F(Ledger, ASecondDaemonIsRefusedWithTheOwnersPid) {
  prepare();
  const pid_t daemon = start_daemon(section("chat", ""));

  const Ended second = command({"up"});

  EXPECT_EQ(second.status, 75);
  EXPECT_THAT(second.output, HasSubstr("another Berth (pid " + std::to_string(daemon) + ") owns"));
}

TEST_F(Ledger, ADaemonBesideAProgramIsRefusedWithTheProgramsPid) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));

  const Ended daemon = command({"up"});

  EXPECT_EQ(daemon.status, 75);
  EXPECT_THAT(daemon.output, HasSubstr("(pid " + std::to_string(::getpid()) + ") owns"));
}

TEST_F(Ledger, CommandsSeeTheBerthOfAProgramAndCannotEndIt) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));

  EXPECT_THAT(command({"status"}).output, HasSubstr("llama-2-7b"));
  const Ended down = command({"down"});

  EXPECT_EQ(down.status, 75);
  EXPECT_THAT(down.output,
              HasSubstr("a part of the program with pid " + std::to_string(::getpid())));
  EXPECT_EQ(seed.llama.health().value(), Health::ok);
}

}  // namespace
}  // namespace berth::embed_test
