// SPDX-License-Identifier: Apache-2.0
// Servers that a program starts, changes and stops.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "berth/http/client.h"
#include "world.h"

namespace berth::embed_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Servers : public World {};

/// Does something again and again on a thread of its own, until its end.
class Meanwhile {
 public:
  explicit Meanwhile(std::function<void()> again)
      : thread_([this, again = std::move(again)] {
          for (; !is_over_; ++times_)
            again();
        }) {}
  ~Meanwhile() { end(); }
  [[nodiscard]] int times() const { return times_; }
  void end() {
    is_over_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<bool> is_over_ = false;
  std::atomic<int> times_ = 0;
  std::thread thread_;
};

TEST_F(Servers, AServerThatIsAddedLeavesTheOthersRunningWhereTheyAre) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  const std::int64_t before = seed.pid();
  const std::string url = seed.llama.url().value();
  const std::string address = seed.berth.status()->address;

  ASSERT_OK(seed.diffusion.start(diffusion_config()));

  EXPECT_EQ(seed.pid(), before);
  EXPECT_EQ(seed.llama.url().value(), url);
  EXPECT_EQ(seed.berth.status()->address, address);
  EXPECT_EQ(seed.diffusion.health().value(), Health::away);  // loaded by its first picture
}

TEST_F(Servers, WhoAsksWhileAServerIsAddedIsAnswered) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  const Meanwhile asker([&] {
    const auto health = seed.llama.health();
    ASSERT_OK(health);
    EXPECT_EQ(*health, Health::ok);
  });
  until("the first was answered", [&] { return asker.times() > 0; });

  ASSERT_OK(seed.diffusion.start(diffusion_config()));
}

http::Request chat() {
  http::Request request;
  request.method = "POST";
  request.target = "/v1/chat/completions";
  request.headers.set("Content-Type", "application/json");
  request.body = R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":2})";
  return request;
}

/// Asks on a connection of its own. Returns "200", or what went wrong.
std::string answer_to(std::uint16_t port, http::Request request) {
  IoLoop loop;
  const auto reply =
      run_on(loop, http::fetch(loop.executor(), http::Endpoint::tcp("127.0.0.1", port),
                               std::move(request), 30s));
  return reply ? std::to_string(reply->status) + (reply->status == 200 ? "" : reply->body)
               : reply.error().message;
}

TEST_F(Servers, WhatFitsIsToldOverHttpAsTheDaemonTellsIt) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  http::Request plan;
  plan.target = "/api/v1/plan";
  const std::string address = seed.berth.status()->address;
  const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));

  EXPECT_EQ(answer_to(port, std::move(plan)), "200");
}

TEST_F(Servers, NoRequestFailsWhileServersAreAdded) {
  Seed seed(open());
  LlamaConfig config = llama_config();
  config.port = 0;
  ASSERT_OK(seed.llama.start(config));
  const auto port = static_cast<std::uint16_t>(seed.llama.status()->front_port);
  int asked = 0;
  std::map<std::string, int> answers;
  Meanwhile asker([&] {
    http::Request models;
    models.target = "/v1/models";
    ++answers[answer_to(port, asked++ % 10 == 0 ? chat() : std::move(models))];
  });
  until("the first were answered", [&] { return asker.times() > 10; });

  for (const std::string name : {"a", "b", "c", "d"}) {
    const int before = asker.times();
    DiffusionServer added(seed.berth);
    DiffusionConfig another = diffusion_config();
    another.name = name;
    ASSERT_OK(added.start(another));
    until("some more were answered", [&] { return asker.times() > before + 10; });
  }

  asker.end();
  EXPECT_THAT(answers, ElementsAre(testing::Pair("200", asked)));
}

TEST_F(Servers, ADirectoryThatIsOpenedWhileItsLastHandleGoesWaitsForIt) {
  for (int round = 0; round < 3; ++round) {
    auto first = std::make_unique<Seed>(open());
    ASSERT_OK(first->llama.start(llama_config()));
    std::thread closer([&] { first.reset(); });
    const auto second = Berth::open(options());
    closer.join();

    ASSERT_OK(second);
    EXPECT_FALSE(second->is_client());
    LlamaServer llama(*second);
    ASSERT_OK(llama.start(llama_config()));
  }
}

TEST_F(Servers, APortThatIsTakenIsNamedAndTheOthersServeOn) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  const std::int64_t before = seed.pid();
  DiffusionConfig config = diffusion_config();
  config.port = static_cast<std::uint16_t>(seed.llama.status()->front_port);

  const Status refused = seed.diffusion.start(config);

  EXPECT_CODE(refused, ErrorCode::port_taken);
  EXPECT_THAT(refused.error().message, HasSubstr(std::to_string(*config.port)));
  EXPECT_EQ(seed.pid(), before);
  EXPECT_EQ(seed.llama.health().value(), Health::ok);
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
}

TEST_F(Servers, NoServerIsAddedWhileAJobRuns) {
  Seed seed(open({.step_ms = 50}));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  std::optional<Duration> added_at;
  const auto begun = std::chrono::steady_clock::now();
  std::thread adder;
  ImageRequest request = World::picture(10);
  request.on_progress = [&](int, int, ImageStage, double) {
    if (adder.joinable()) return;
    adder = std::thread([&] {
      EXPECT_TRUE(seed.llama.start(llama_config()));
      added_at = std::chrono::steady_clock::now() - begun;
    });
  };

  ASSERT_OK(seed.diffusion.generate_image(request));

  const Duration drawn_at = std::chrono::steady_clock::now() - begun;
  adder.join();
  EXPECT_GT(*added_at, drawn_at);
}

TEST_F(Servers, AStartOfWhatRunsIsTheSameServerAndOtherOptionsAreRefusedByName) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  const std::int64_t before = seed.pid();
  ASSERT_OK(seed.llama.start(llama_config()));
  EXPECT_EQ(seed.pid(), before);
  LlamaConfig other = llama_config();
  other.context_size = 4096;

  const Status refused = seed.llama.start(other);

  EXPECT_CODE(refused, ErrorCode::conflict);
  EXPECT_THAT(refused.error().message, HasSubstr("context_size is 2048 and shall be 4096"));
  EXPECT_EQ(seed.pid(), before);
}

TEST_F(Servers, AStoppedServerStartsWithOtherOptions) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.llama.stop());
  LlamaConfig other = llama_config();
  other.context_size = 4096;

  ASSERT_OK(seed.llama.start(other));

  EXPECT_THAT(command_line(seed.pid()), HasSubstr("-c\n4096\n"));
}

TEST_F(Servers, ARestartIsAnotherProcessWithTheSameCommandLine) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  const std::int64_t before = seed.pid();
  const std::string command = command_line(before);

  ASSERT_OK(seed.llama.restart());

  EXPECT_NE(seed.pid(), before);
  EXPECT_EQ(command_line(seed.pid()), command);
}

// LlamaServerManager: "emits one higher generation when ResourceOrchestrator restores ...".
TEST_F(Servers, AReturnIsOneReadyServerOfOneHigherGeneration) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  const std::int64_t before = seed.llama.status()->generation;

  ASSERT_OK(seed.diffusion.generate_image(World::picture()));
  ASSERT_OK(seed.orchestrator.wait_for_reload());

  EXPECT_EQ(seed.llama.status()->generation, before + 1);
  EXPECT_EQ(journal_count("\"name\":\"victim_ready\""), 1);
}

TEST_F(Servers, AStopDuringAStartWins) {
  Seed seed(open({.faults = {armed("slow", "slow_load=5")}}));
  arm("slow");
  Status started;
  std::thread starter([&] { started = seed.llama.start(llama_config()); });
  until("it loads", [&] {
    const auto health = seed.llama.health();
    return health && *health == Health::loading;
  });

  ASSERT_OK(seed.llama.stop());
  starter.join();

  EXPECT_CODE(started, ErrorCode::stopped_by_user);
  EXPECT_EQ(seed.llama.health().value(), Health::stopped);
  EXPECT_EQ(seed.pid(), 0);
}

TEST_F(Servers, AStartDuringAStopIsCarriedOutAfterIt) {
  Seed seed(open({.faults = {"slow_stop=1"}}));
  ASSERT_OK(seed.llama.start(llama_config()));
  const std::int64_t before = seed.pid();
  std::thread stopper([&] { EXPECT_TRUE(seed.llama.stop()); });
  until("it stops", [&] { return seed.llama.status()->state == "stopping"; });

  ASSERT_OK(seed.llama.start());

  stopper.join();
  EXPECT_EQ(seed.llama.health().value(), Health::ok);
  EXPECT_NE(seed.pid(), before);
}

TEST_F(Servers, AnImageServerThatWasStoppedDrawsAgainAfterItsStart) {
  Seed seed(open());
  ASSERT_OK(seed.diffusion.start(diffusion_config()));
  ASSERT_OK(seed.diffusion.stop());
  EXPECT_CODE(seed.diffusion.generate_image(World::picture()), ErrorCode::stopped_by_user);

  ASSERT_OK(seed.diffusion.start());

  ASSERT_OK(seed.diffusion.generate_image(World::picture()));
}

TEST_F(Servers, WhatIsWrongWithAConfigurationIsSaidAndTheRestGoesOn) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  DiffusionConfig bad = diffusion_config();
  bad.threads = 100'000;

  const Status refused = seed.diffusion.start(bad);

  EXPECT_CODE(refused, ErrorCode::bad_config);
  EXPECT_THAT(refused.error().message, HasSubstr("threads"));
  EXPECT_EQ(seed.llama.health().value(), Health::ok);
  DiffusionConfig unknown;
  unknown.model_id = "no-such-model";
  EXPECT_CODE(seed.diffusion.start(unknown), ErrorCode::not_found);
}

TEST_F(Servers, TwoServersOfOneNameAreRefused) {
  Seed seed(open());
  ASSERT_OK(seed.llama.start(llama_config()));
  DiffusionConfig config = diffusion_config();
  config.name = "llama-2-7b";

  const Status refused = seed.diffusion.start(config);

  EXPECT_CODE(refused, ErrorCode::conflict);
  EXPECT_THAT(refused.error().message, HasSubstr("is a llama-server"));
}

TEST_F(Servers, TheirLogsStatusAndAddressAreTold) {
  Seed seed(open());
  EXPECT_CODE(seed.llama.status(), ErrorCode::not_found);
  ASSERT_OK(seed.llama.start(llama_config()));

  EXPECT_FALSE(seed.llama.logs(5)->empty());
  EXPECT_EQ(seed.llama.status()->state, "ready");
  EXPECT_EQ(seed.llama.url().value(),
            "http://127.0.0.1:" + std::to_string(seed.llama.status()->front_port));
}

TEST_F(Servers, TheLastHandleStopsThem) {
  std::int64_t before = 0;
  {
    Seed seed(open());
    ASSERT_OK(seed.llama.start(llama_config()));
    before = seed.pid();
  }
  EXPECT_EQ(command_line(before), "");
}

/// The program that the next test kills.
TEST(Program, DISABLED_ServesUntilItIsKilled) {
  const std::string config = std::getenv("BERTH_TEST_CONFIG");
  auto berth = Berth::open({.config_file = config, .config = {}, .state_dir = {}});
  ASSERT_OK(berth);
  LlamaServer llama(*berth);
  ASSERT_OK(llama.start(LlamaConfig{.model_id = "llama-2-7b",
                                    .context_size = 2048,
                                    .extra_args = {"--standin-memory", "24MiB"}}));
  std::ofstream(config + ".pid") << *llama.status()->pid << std::flush;
  ::pause();
}

TEST_F(Servers, AServerOutlivesAProgramThatIsKilledAndTheNextOneTakesItOver) {
  prepare();
  ::setenv("BERTH_TEST_CONFIG", path("berth.toml").c_str(), 1);
  const pid_t program = start_self("Program.DISABLED_ServesUntilItIsKilled");
  std::int64_t before = 0;
  until("the program's server runs",
        [&] { return static_cast<bool>(std::ifstream(path("berth.toml.pid")) >> before); });
  ASSERT_EQ(::kill(program, SIGKILL), 0);
  ::waitpid(program, nullptr, 0);

  auto berth = Berth::open(options());
  ASSERT_OK(berth);
  EXPECT_FALSE(berth->is_client());
  LlamaServer llama(*berth);
  ASSERT_OK(llama.start(llama_config()));

  EXPECT_EQ(llama.status()->pid, before);
}

TEST_F(Servers, TheModelsAreThoseOfTheConfiguration) {
  const Berth berth = open();
  const ModelManager models(berth);

  const auto list = models.list();

  ASSERT_OK(list);
  ASSERT_EQ(list->size(), 2U);
  EXPECT_EQ(list->at(0).id, "llama-2-7b");
  EXPECT_EQ(list->at(0).path, path("llm.gguf"));
  EXPECT_THAT(list->at(0).problem, HasSubstr("llm.gguf"));  // it is no GGUF file
  EXPECT_CODE(models.info("nothing"), ErrorCode::not_found);
  EXPECT_EQ(list->at(0).size, 100_MiB) << "as the file system says";
  EXPECT_CODE(models.size("llama-2-7b"), ErrorCode::model_invalid);
}

TEST_F(Servers, BeforeTheFirstStartTheStatusSaysWhatToDo) {
  const Berth berth = open();
  const auto status = berth.status();
  EXPECT_CODE(status, ErrorCode::not_running);
  EXPECT_THAT(status.error().message, HasSubstr("call start()"));
}

TEST_F(Servers, TheMachineIsTold) {
  const SystemInfo machine;
  EXPECT_GT(machine.memory()->total, 100_MiB);
  EXPECT_EQ(machine.memory()->used + machine.memory()->available, machine.memory()->total);
  EXPECT_GE(machine.cpu().threads, 1);
  ASSERT_OK(machine.gpus());
}

TEST_F(Servers, AnotherConfigurationForTheSameDirectoryIsRefused) {
  const Berth berth = open();
  BerthOptions other;
  other.config = config_text() + "\n";
  EXPECT_CODE(Berth::open(other), ErrorCode::conflict);
  BerthOptions none;
  none.state_dir = path("s");
  EXPECT_TRUE(Berth::open(none));
}

}  // namespace
}  // namespace berth::embed_test
