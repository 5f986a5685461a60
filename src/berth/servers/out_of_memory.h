// SPDX-License-Identifier: Apache-2.0
// Tells whether a server that ended by itself lacked memory. Every failure of llama-server is exit
// code 1 (reference/llama-server-observed.md 7): only its words, or the kernel's, tell them apart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/process/exit_status.h"

namespace berth::servers {

/// How far above the end of a log the cause may stand: ggml prints a backtrace when it aborts.
inline constexpr int kOutOfMemoryTail = 64;

/// Returns the words that say that a process ended for lack of memory: the line of its log, or what
/// the kernel counted. Nothing if nobody says so; it is never guessed.
///
/// - A failed exit, SIGABRT or SIGSEGV: by the first line of `tail` that ggml, llama.cpp or
///   stable-diffusion.cpp print of memory that they did not get. A line alone means little: they
///   try less, or answer with an error, and go on.
/// - SIGKILL, by whomever: only if the kernel killed for lack of memory meanwhile (`kernel_kills`).
std::optional<std::string> out_of_memory(const process::ExitStatus& exit,
                                         const std::vector<std::string>& tail,
                                         std::int64_t kernel_kills);

/// Returns the file with the kernel's counts for a process, by its /proc/<pid>/cgroup; "" if it is
/// in no cgroup of version 2.
std::string memory_events_file(std::string_view proc_cgroup);
/// Returns `oom_kill` of such a file's text.
std::optional<std::int64_t> oom_kills_in(std::string_view memory_events);

/// Counts what the kernel kills for lack of memory in the cgroup of one process, of all that are in
/// it: our servers share ours.
class KernelKills {
 public:
  KernelKills() = default;
  /// Counts from now on what the kernel writes into this file (see memory_events_file).
  explicit KernelKills(std::string memory_events);
  /// Counts from now on in the cgroup of a process: a pid or "self".
  static KernelKills around(std::string_view process);
  /// 0 also where the kernel's count cannot be read.
  [[nodiscard]] std::int64_t count() const;

 private:
  std::string file_;
  std::optional<std::int64_t> before_;
};

}  // namespace berth::servers
