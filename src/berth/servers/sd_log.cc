// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/sd_log.h"

#include <charconv>

namespace berth::servers {
namespace {

bool has(std::string_view line, std::string_view text) {
  return line.find(text) != std::string_view::npos;
}

/// Reads "3/20" behind the bar's second '|'.
std::optional<Progress> read_bar(std::string_view line) {
  const std::size_t open = line.find('|');
  const std::size_t close = open == std::string_view::npos ? open : line.find('|', open + 1);
  if (close == std::string_view::npos) return std::nullopt;
  std::string_view numbers = line.substr(close + 1);
  numbers.remove_prefix(std::min(numbers.find_first_not_of(' '), numbers.size()));
  Progress progress;
  const char* end = numbers.data() + numbers.size();
  const auto [slash, first] = std::from_chars(numbers.data(), end, progress.step);
  if (first != std::errc{} || slash == end || *slash != '/') return std::nullopt;
  const auto [rest, second] = std::from_chars(slash + 1, end, progress.steps);
  if (second != std::errc{}) return std::nullopt;
  const std::string_view speed(rest, static_cast<std::size_t>(end - rest));
  if (has(speed, "it/s") || has(speed, "s/it")) {
    progress.stage = "diffusion";
  } else if (has(speed, "B/s")) {
    progress.stage = "loading";
  } else {
    return std::nullopt;
  }
  return progress;
}

}  // namespace

std::optional<Progress> SdLog::take(std::string_view line) {
  if (has(line, "listening on")) listening_ = true;
  if (has(line, "generating image:")) drawing_ = true;
  const bool failed = has(line, "sampling for image ") && has(line, " failed after ");
  if (failed || has(line, "generate_image completed") || has(line, "generate_image failed")) {
    drawing_ = false;
  }
  if (has(line, "decoding ") && has(line, " latents")) return Progress{.stage = "decoding"};
  return read_bar(line);
}

}  // namespace berth::servers
