// SPDX-License-Identifier: Apache-2.0
#include "sd_log.h"

#include <fmt/core.h>

#include <cstdio>
#include <mutex>

namespace berth::standin {
namespace {

constexpr int kBarWidth = 50;

std::mutex& output_mutex() {
  static std::mutex mutex;
  return mutex;
}

void write(std::FILE* stream, const std::string& text) {
  const std::lock_guard lock(output_mutex());
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

void draw(int step, int steps, const std::string& speed, char filled, bool with_head) {
  const int head = step * kBarWidth / steps;
  std::string bar;
  for (int at = 0; at < kBarWidth; ++at) {
    const bool is_head = with_head && at == head && at != kBarWidth - 1;
    bar += at > head ? ' ' : (is_head ? '>' : filled);
  }
  write(stdout, fmt::format("\r  |{}| {}/{} - {}\033[K{}", bar, step, steps, speed,
                            step == steps ? "\n" : ""));
}

}  // namespace

void log(Level level, const char* file, int line, const std::string& text) {
  constexpr const char* kNames[] = {"INFO", "WARN", "ERROR"};
  write(level == Level::error ? stderr : stdout,
        fmt::format("[{:<5}] {}:{:<4} - {}\n", kNames[static_cast<int>(level)], file, line, text));
}

void draw_steps(int step, int steps, std::chrono::duration<double> step_took) {
  const double seconds = step_took.count();
  draw(step, steps,
       seconds > 0 && seconds < 1 ? fmt::format("{:.2f}it/s", 1 / seconds)
                                  : fmt::format("{:.2f}s/it", seconds),
       '=', true);
}

void draw_loading(int tensor, int tensors, double bytes_per_second) {
  const double mib = bytes_per_second / 1024 / 1024;
  draw(tensor, tensors,
       mib >= 1024 ? fmt::format("{:.2f}GB/s", mib / 1024) : fmt::format("{:.2f}MB/s", mib), '#',
       false);
}

std::string seconds_text(std::chrono::steady_clock::duration took) {
  return fmt::format("{:.2f}s", std::chrono::duration<double>(took).count());
}

}  // namespace berth::standin
