// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

namespace berth::standin {

enum class Level { info, warn, error };

/// Writes one line as sd-server does: `[INFO ] main.cpp:148  - text`. Errors go to stderr, the rest
/// to stdout, each flushed at once. `file` and `line` are those of the real program (97d2990).
void log(Level level, const char* file, int line, const std::string& text);

/// Draws the bar of the sampling steps over the line before it; the last step ends the line.
void draw_steps(int step, int steps, std::chrono::duration<double> step_took);

/// Draws the bar of tensors being read, likewise.
void draw_loading(int tensor, int tensors, double bytes_per_second);

/// Seconds as the log lines have them: "0.42s".
std::string seconds_text(std::chrono::steady_clock::duration took);

}  // namespace berth::standin
