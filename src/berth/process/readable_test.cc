// SPDX-License-Identifier: Apache-2.0
// The loop may have news of descriptors that were closed in the same turn. Asio gives their places
// to the next ones, and wakes whoever waits there.
#include "berth/process/readable.h"

#include <fmt/format.h>

#include "berth/process/keeper_files.h"
#include "berth/process/process_test_support.h"

namespace berth::process {
namespace {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

/// A pipe with a byte in it.
Descriptor with_news(asio::io_context& io) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(::write(ends[1], "!", 1), 1);
  ::close(ends[1]);
  return {io, ends[0]};
}

class StaleNews : public ProcessTest {
 protected:
  /// Calls `begin` in a turn of the loop that still has the news of a few closed descriptors.
  void in_such_a_turn(const std::function<void()>& begin) {
    bool begun = false;
    Descriptor first = with_news(io_);
    std::vector<Descriptor> closed;
    for (int i = 0; i < 4; ++i)
      closed.push_back(with_news(io_));
    first.async_wait(Descriptor::wait_read, [&](boost::system::error_code) {
      closed.clear();
      begin();
      begun = true;
    });
    ASSERT_TRUE(until([&] { return begun; }));
  }
};

TEST_F(StaleNews, WakesAPlainWaitOfAsio) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  bool woken = false;
  Descriptor server(io_);
  in_such_a_turn([&] {
    server.assign(open_pidfd(process->identity().pid));
    server.async_wait(Descriptor::wait_read,
                      [&](boost::system::error_code error) { woken = !error; });
  });
  EXPECT_TRUE(until([&] { return woken; })) << "then this file's care is no longer needed";
  EXPECT_TRUE(process->running());
}

TEST_F(StaleNews, AProcessThatLivesHasNotEnded) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  std::optional<bool> ended;
  in_such_a_turn([&] {
    asio::co_spawn(io_, await_end(UniqueFd(open_pidfd(process->identity().pid)), kPatience),
                   [&](std::exception_ptr, bool value) { ended = value; });
  });
  io_.poll();
  EXPECT_FALSE(ended);
  ASSERT_TRUE(process->signal(SIGKILL));
  EXPECT_TRUE(until([&] { return ended.has_value(); }));
  EXPECT_TRUE(ended.value_or(false));
}

TEST_F(StaleNews, TheLimitOfAWaitStays) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  std::optional<bool> ended;
  in_such_a_turn([&] {
    UniqueFd server(open_pidfd(process->identity().pid));
    asio::co_spawn(io_, await_end(std::move(server), std::chrono::milliseconds(1)),
                   [&](std::exception_ptr, bool value) { ended = value; });
  });
  EXPECT_TRUE(until([&] { return ended.has_value(); }));
  EXPECT_FALSE(ended.value_or(true));
}

TEST_F(StaleNews, AServerIsNotTakenForEndedWhileItLives) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  const std::string planted = directory() + "/" + kExitFile;  // whoever believes in an end reads it
  write_text(planted, "{\"code\":7,\"unix_ms\":1}\n");
  std::unique_ptr<Process> adopted;
  in_such_a_turn([&] {
    asio::co_spawn(io_, Process::adopt(io_.get_executor(), directory(), LogFrom::end),
                   [&](std::exception_ptr, Result<std::unique_ptr<Process>> result) {
                     if (result) adopted = std::move(*result);
                   });
  });
  ASSERT_TRUE(until([&] { return adopted != nullptr; }));
  io_.poll();
  std::filesystem::remove(planted);
  ASSERT_TRUE(process->signal(SIGKILL));
  EXPECT_EQ(to_text(run(adopted->exited())), "killed by signal 9 (SIGKILL)");
}

}  // namespace
}  // namespace berth::process
