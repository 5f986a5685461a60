// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

#include "berth/process/keeper_files.h"

namespace berth::keeper {

/// A server that runs, or why it does not.
struct Launched {
  pid_t pid = 0;
  int error_number = 0;
  std::string what;  ///< empty if the server runs
};

/// Forks the server into its own session and waits until it is executed. It gets the environment of
/// the spec, /dev/null as stdin, `output` as stdout and stderr, no other file, default signal
/// handling, and SIGKILL when the keeper dies.
/// Threads: the keeper's main thread only. The death signal is tied to the thread that forks.
Launched launch(const process::KeeperSpec& spec, int output);

}  // namespace berth::keeper
