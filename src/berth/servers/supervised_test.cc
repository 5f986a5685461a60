// SPDX-License-Identifier: Apache-2.0
// With a real keeper; the server is a shell that does what a test tells it.
#include "berth/servers/supervised.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace berth::servers {
namespace {

class SupervisedTest : public testing::Test {
 protected:
  SupervisedTest() { ::setenv("BERTH_KEEPER", BERTH_TEST_KEEPER, 1); }
  ~SupervisedTest() override {
    ::unsetenv("BERTH_KEEPER");
    static_cast<void>(server_.sweep());
    std::filesystem::remove_all(folder_);
  }

  static std::string make_folder() {
    std::string name = testing::TempDir() + "/berth-supervised-XXXXXX";
    return ::mkdtemp(name.data());
  }

  SupervisedKind kind() {
    SupervisedKind kind;
    kind.on_line = [this](std::string_view line) {
      if (line == "ready") said_ready_.set();
    };
    kind.said_ready = &said_ready_;
    kind.answers = [this](Duration) { return answer(&said_ready_); };
    kind.on_exit = [this](Generation, Ending ending) {
      ending_ = std::move(ending);
      told_.set();
    };
    return kind;
  }

  static Task<bool> answer(Event* said_ready) { co_return said_ready->is_set(); }

  Status start(std::string script) {
    StartContext context;
    context.generation = Generation{1};
    context.launch.argv = {"/bin/sh", "-c", std::move(script)};
    context.deadline = 20s;
    return run_on(loop_, server_.start(std::move(context)));
  }

  /// What a server that is ready does once end() was called.
  std::string then(const std::string& what) {
    return "echo ready; while [ ! -e " + folder_ + "/end ]; do sleep 0.01; done; " + what;
  }
  void end() { std::ofstream(folder_ + "/end") << "now"; }

  std::string folder_ = make_folder();
  IoLoop loop_;
  Event said_ready_;
  Event told_;
  std::optional<Ending> ending_;
  Supervised server_{"image", {.servers_root = folder_ + "/servers"}, kind()};
};

constexpr const char* kNoRoom = "echo 'CUDA error: out of memory' >&2; ";

TEST_F(SupervisedTest, AStartThatFindsNoMemoryIsAnErrorOfItsOwn) {
  const Status started = start(std::string(kNoRoom) + "exit 1");
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::out_of_memory);
  EXPECT_EQ(
      started.error().message,
      "server \"image\" did not start: it ran out of memory (exit code 1): CUDA error: out of "
      "memory; more is counted for it before it is tried again; if that does not help, give "
      "it a smaller model or context; `berth logs image` shows more");
}

TEST_F(SupervisedTest, AnyOtherStartThatFailsIsNot) {
  const Status started = start("echo 'error: the shelf is broken'; exit 1");
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::start_failed);
}

TEST_F(SupervisedTest, AReadyServerThatDiesForLackOfMemoryIsToldAsSuch) {
  ASSERT_TRUE(start(then(std::string(kNoRoom) + "kill -ABRT $$")));
  ASSERT_TRUE(server_.watch_exit());
  end();
  run_on(loop_, told_.wait());
  EXPECT_TRUE(ending_->out_of_memory);
  EXPECT_EQ(ending_->how, "killed by signal 6 (SIGABRT), out of memory: CUDA error: out of memory");
}

TEST_F(SupervisedTest, AReadyServerThatDiesOtherwiseIsToldWithoutAGuess) {
  ASSERT_TRUE(start(then(std::string(kNoRoom) + "kill -KILL $$")));
  ASSERT_TRUE(server_.watch_exit());
  end();
  run_on(loop_, told_.wait());
  EXPECT_FALSE(ending_->out_of_memory);
  EXPECT_EQ(ending_->how, "killed by signal 9 (SIGKILL)");
}

// While its saved state is checked and restored nobody watches yet, and the core is not told: it
// would take what is dead for ready.
TEST_F(SupervisedTest, AServerThatHasEndedBeforeItIsWatchedDidNotStart) {
  ASSERT_TRUE(start(then("exit 3")));
  end();
  run_on(loop_, server_.exited().wait());
  const Status watched = server_.watch_exit();
  ASSERT_FALSE(watched);
  EXPECT_EQ(watched.error().code, ErrorCode::start_failed);
  EXPECT_NE(watched.error().message.find("exit code 3"), std::string::npos);
  EXPECT_FALSE(ending_);
}

}  // namespace
}  // namespace berth::servers
