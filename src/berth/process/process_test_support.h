// SPDX-License-Identifier: Apache-2.0
// What the tests of this folder share: a temporary folder, a strand that is run until something
// has happened, and the end of every process that a test has left.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>

#include <boost/asio.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "berth/process/alive_lock.h"
#include "berth/process/directories.h"
#include "berth/process/proc_stat.h"
#include "berth/process/process.h"

namespace berth::process {

/// Longer than anything here takes on an overloaded machine; nothing waits for it to pass.
inline constexpr auto kPatience = std::chrono::seconds(20);

inline std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void write_text(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::app) << text;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = testing::TempDir() + "/berth-process-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Returns whether the process ends, or has ended.
inline bool ends(pid_t pid) {
  const UniqueFd pidfd(open_pidfd(pid));
  if (!pidfd) return true;
  pollfd poll_for{pidfd.get(), POLLIN, 0};
  return ::poll(&poll_for, 1, std::chrono::milliseconds(kPatience).count()) == 1;
}

class ProcessTest : public testing::Test {
 protected:
  ~ProcessTest() override {
    const auto left = scan(root());
    for (const FoundDirectory& found : left ? *left : std::vector<FoundDirectory>()) {
      if (found.identity) static_cast<void>(process::signal_session(found.directory, SIGKILL));
    }
    EXPECT_TRUE(until([] { return has_no_children(); })) << "a keeper did not end";
  }

  [[nodiscard]] std::string root() const { return folder_.path() + "/servers"; }
  [[nodiscard]] std::string directory(int generation = 1) const {
    return root() + "/chat/" + std::to_string(generation);
  }

  /// A start of the helper program with these arguments, in `directory(generation)`.
  [[nodiscard]] StartOptions options(std::vector<std::string> arguments, int generation = 1) const {
    arguments.insert(arguments.begin(), BERTH_TEST_CHILD);
    return {.keeper_binary = BERTH_TEST_KEEPER,
            .directory = directory(generation),
            .launch = {.argv = std::move(arguments), .environment = {"A=1"}}};
  }

  /// Runs the strand until the coroutine has ended.
  template <class T>
  T run(boost::asio::awaitable<T> task) {
    std::optional<T> result;
    boost::asio::co_spawn(io_, std::move(task), [&](std::exception_ptr failure, T value) {
      EXPECT_FALSE(failure);
      result = std::move(value);
    });
    EXPECT_TRUE(until([&] { return result.has_value(); })) << "it takes too long";
    return result ? std::move(*result) : T();
  }

  /// Runs the strand until the condition holds.
  bool until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(20));
    }
    return true;
  }

  std::unique_ptr<Process> start(StartOptions start_options) {
    auto started = run(Process::start(io_.get_executor(), std::move(start_options)));
    EXPECT_TRUE(started) << (started ? "" : started.error().message);
    return started ? std::move(*started) : nullptr;
  }

  /// Starts, and waits until the server has printed its "ready".
  std::unique_ptr<Process> start_ready(StartOptions start_options) {
    std::unique_ptr<Process> process = start(std::move(start_options));
    if (!process) return nullptr;
    const auto ready = std::make_shared<bool>(false);
    process->on_line([ready](std::string_view line) { *ready = *ready || line == "ready"; });
    EXPECT_TRUE(until([&] { return *ready; }));
    return process;
  }

  Result<std::unique_ptr<Process>> adopt(LogFrom log = LogFrom::end) {
    return run(Process::adopt(io_.get_executor(), directory(), log));
  }

  /// Runs the server to its end and returns the lines that it printed.
  std::vector<std::string> lines_of(StartOptions start_options) {
    std::vector<std::string> lines;
    const std::unique_ptr<Process> process = start(std::move(start_options));
    if (!process) return lines;
    process->on_line([&](std::string_view line) { lines.emplace_back(line); });
    run(process->exited());
    return lines;
  }

  static bool has_no_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 && errno == ECHILD;
  }

  TemporaryFolder folder_;
  boost::asio::io_context io_;
};

}  // namespace berth::process
