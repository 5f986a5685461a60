// SPDX-License-Identifier: Apache-2.0
#include "llama_log.h"

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>

namespace berth::standin {
namespace {

using Clock = std::chrono::steady_clock;
const Clock::time_point kStarted = Clock::now();

}  // namespace

void llama_log(char level, const char* who, const std::string& text) {
  const auto us =
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - kStarted).count();
  const std::string line =
      fmt::format("{}.{:02}.{:03}.{:03} {} {} {}\n", us / 60'000'000, us / 1'000'000 % 60,
                  us / 1000 % 1000, us % 1000, level, who, text);
  // One write for each line: several threads speak.
  static_cast<void>(!write(STDERR_FILENO, line.data(), line.size()));
}

}  // namespace berth::standin
