// SPDX-License-Identifier: Apache-2.0
// What the orchestrator answers in every state of the LLM: one table.
#include <thread>

#include "world.h"

namespace berth::embed_test {
namespace {

/// An LLM in one state, and what is said of it then.
struct Case {
  std::string state;
  bool would_need_offload = false;
  bool is_saved = false;
  std::string cleared;        ///< code of clear_saved_state(); "" is a success
  std::string returns;        ///< code of wait_for_reload() after a picture that follows
  Health after = Health::ok;  ///< the LLM's, at the end
};

void PrintTo(const Case& each, std::ostream* out) {
  *out << each.state;
}

class States : public World, public testing::WithParamInterface<Case> {
 protected:
  WorldOptions world_of(const std::string& state) {
    WorldOptions options;
    if (state == "displaced") options.step_ms = 100;
    if (state == "starting") options.faults = {armed("slow", "slow_load=2")};
    for (int i = 0; state == "failed" && i < 20; ++i)
      options.faults.push_back(armed("f" + std::to_string(i), "die_start"));
    return options;
  }

  /// Brings the LLM there, and runs `look` while it is.
  void in_state(Seed& seed, const std::string& state, const std::function<void()>& look) {
    if (state == "never started") return look();
    if (state == "starting") return while_starting(seed, look);
    if (state == "failed") return after_failure(seed, look);
    ASSERT_OK(seed.llama.start(llama_config()));
    if (state == "off") ASSERT_OK(seed.llama.stop());
    if (state == "displaced") return while_displaced(seed, look);
    look();
  }

  void while_starting(Seed& seed, const std::function<void()>& look) {
    arm("slow");
    Status started;
    std::thread starter([&] { started = seed.llama.start(llama_config()); });
    until("it loads", [&] {
      const auto health = seed.llama.health();
      return health && *health == Health::loading;
    });
    look();
    starter.join();
    EXPECT_TRUE(started) << started.error().message;
  }

  void after_failure(Seed& seed, const std::function<void()>& look) {
    for (int i = 0; i < 20; ++i)
      arm("f" + std::to_string(i));
    EXPECT_CODE(seed.llama.start(llama_config()), ErrorCode::start_failed);
    look();
  }

  void while_displaced(Seed& seed, const std::function<void()>& look) {
    bool has_looked = false;
    ImageRequest request = World::picture(10);
    request.on_progress = [&](int, int, ImageStage stage, double) {
      if (has_looked || stage != ImageStage::diffusion) return;
      has_looked = true;
      look();
    };
    ASSERT_OK(seed.diffusion.generate_image(request));
    EXPECT_TRUE(has_looked);
  }
};

TEST_P(States, TheOrchestratorAnswers) {
  const Case& wanted = GetParam();
  Seed seed(open(world_of(wanted.state)));
  ASSERT_OK(seed.diffusion.start(diffusion_config()));

  in_state(seed, wanted.state, [&] {
    EXPECT_EQ(seed.orchestrator.would_need_offload().value(), wanted.would_need_offload);
    EXPECT_EQ(seed.orchestrator.saved_state().value().has_value(), wanted.is_saved);
    EXPECT_EQ(code_of(seed.orchestrator.clear_saved_state()), wanted.cleared);
  });

  if (wanted.state != "displaced") ASSERT_OK(seed.diffusion.generate_image(World::picture()));
  EXPECT_EQ(code_of(seed.orchestrator.wait_for_reload()), wanted.returns);
  if (wanted.state == "never started") return;
  EXPECT_EQ(name(seed.llama.health().value()), name(wanted.after));
}

INSTANTIATE_TEST_SUITE_P(
    OfTheLlm, States,
    testing::Values(Case{"never started", false, false, "not_found", "not_found"},
                    Case{"starting", true, false, "", "conflict", Health::away},
                    Case{"idle", true, false, "", "conflict", Health::away},
                    Case{"displaced", false, true, "", "conflict", Health::away},
                    Case{"failed", false, false, "", "start_failed", Health::failed},
                    Case{"off", false, false, "", "", Health::stopped}),
    [](const auto& info) {
      std::string name = info.param.state;
      std::replace(name.begin(), name.end(), ' ', '_');
      return name;
    });

}  // namespace
}  // namespace berth::embed_test
