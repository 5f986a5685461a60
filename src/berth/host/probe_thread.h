// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/probe/gpu.h"
#include "berth/probe/machine.h"
#include "berth/probe/memory.h"

namespace berth::host {

/// What is to be read.
struct ProbeQuestion {
  std::vector<pid_t> sessions;    ///< of our servers
  std::vector<std::string> tags;  ///< of leases' processes
  bool host = false;              ///< the machine's memory
  bool gpus = false;
  /// So many processes that are not ours, the largest, and all that hold memory of a GPU; 0: none.
  std::size_t others = 0;
};

/// One sample: everything was read one after the other, at `at`.
struct Machine {
  Instant at;
  std::vector<probe::ProcessMemory> ours;  ///< by pid
  std::optional<probe::HostMemory> host;
  std::vector<probe::Gpu> gpus;
  std::vector<probe::OtherProcess> others;
};

/// Reads the machine on a thread of its own: a read of /proc can take as long as a process in D
/// state holds its memory lock, and a call of a GPU's driver can hang for ever.
///
/// Threads: `read` from one thread at a time; `done` runs on the probe thread and must not block.
class ProbeThread {
 public:
  using Sample = Result<Machine>;

  ProbeThread();
  /// Does not wait long for a read that hangs: it is left behind, with what it uses.
  ~ProbeThread();
  ProbeThread(const ProbeThread&) = delete;
  ProbeThread& operator=(const ProbeThread&) = delete;

  /// Answers the question, then calls `done` once.
  void read(ProbeQuestion question, std::function<void(Sample)> done);

 private:
  struct Shared;

  std::shared_ptr<Shared> shared_;  // with the thread, which may outlive this
  std::thread thread_;
};

}  // namespace berth::host
