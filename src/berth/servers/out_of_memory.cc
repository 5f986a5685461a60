// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/out_of_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <fstream>
#include <iterator>
#include <utility>

namespace berth::servers {
namespace {

constexpr std::size_t kLineMax = 300;

/// What stands in a line, in this order. Memory of the host that is to be pinned for a GPU is named
/// by none of these: without it the server goes on (llama.cpp issue 9271).
struct Words {
  std::string_view first;
  std::string_view then;
};
constexpr Words kWords[] = {
    // ggml and llama.cpp: "failed to allocate CUDA0 buffer of size N", "... buffer for kv cache".
    {"insufficient memory (attempted to allocate", ""},
    {"failed to allocate", "buffer"},
    {"unable to allocate", "buffer"},
    {"cudaMalloc failed: out of memory", ""},
    {"CUDA error: out of memory", ""},
    {"ROCm error: out of memory", ""},
    {"Device memory allocation of size", "failed"},  // Vulkan
    // stable-diffusion.cpp
    {"alloc params backend buffer failed", ""},
    {"alloc compute buffer failed", ""},
    // the C++ runtime
    {"std::bad_alloc", ""},
};

bool names_lack_of_memory(std::string_view line) {
  return std::any_of(std::begin(kWords), std::end(kWords), [line](const Words& words) {
    const std::size_t at = line.find(words.first);
    return at != line.npos && line.find(words.then, at + words.first.size()) != line.npos;
  });
}

bool is_failure(const process::ExitStatus& exit) {
  using Kind = process::ExitStatus::Kind;
  return (exit.kind == Kind::exited && exit.value != 0) ||
         (exit.kind == Kind::signalled && (exit.value == SIGABRT || exit.value == SIGSEGV));
}

/// Returns "" if the file cannot be read.
std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Returns the rest of the line that begins so.
std::optional<std::string_view> line_after(std::string_view text, std::string_view begin) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(begin)) return line.substr(begin.size());
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> out_of_memory(const process::ExitStatus& exit,
                                         const std::vector<std::string>& tail,
                                         std::int64_t kernel_kills) {
  const bool killed = exit.kind == process::ExitStatus::Kind::signalled && exit.value == SIGKILL;
  if (killed && kernel_kills > 0) {
    return fmt::format("the kernel killed for lack of memory (oom_kill of its cgroup rose by {})",
                       kernel_kills);
  }
  if (!is_failure(exit)) return std::nullopt;
  const auto line = std::find_if(tail.begin(), tail.end(), names_lack_of_memory);
  if (line == tail.end()) return std::nullopt;
  return line->substr(0, kLineMax);
}

std::string memory_events_file(std::string_view proc_cgroup) {
  const auto path = line_after(proc_cgroup, "0::");
  return path ? fmt::format("/sys/fs/cgroup{}/memory.events", *path) : "";
}

std::optional<std::int64_t> oom_kills_in(std::string_view memory_events) {
  const auto number = line_after(memory_events, "oom_kill ");
  std::int64_t count = 0;
  if (!number) return std::nullopt;
  const auto read = std::from_chars(number->data(), number->data() + number->size(), count);
  if (read.ec != std::errc{}) return std::nullopt;
  return count;
}

KernelKills::KernelKills(std::string memory_events)
    : file_(std::move(memory_events)), before_(oom_kills_in(text_of(file_))) {}

KernelKills KernelKills::around(std::string_view process) {
  return KernelKills(memory_events_file(text_of(fmt::format("/proc/{}/cgroup", process))));
}

std::int64_t KernelKills::count() const {
  const auto now = before_ ? oom_kills_in(text_of(file_)) : std::nullopt;
  return now ? *now - *before_ : 0;
}

}  // namespace berth::servers
