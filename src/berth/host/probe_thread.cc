// SPDX-License-Identifier: Apache-2.0
#include "berth/host/probe_thread.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace berth::host {
namespace {

struct Request {
  ProbeQuestion question;
  std::function<void(ProbeThread::Sample)> done;
};

/// What is under way ends in milliseconds, or perhaps never.
constexpr std::chrono::milliseconds kLeaveAfter{500};

Result<std::vector<probe::Gpu>> read_gpus(std::optional<probe::Nvml>& nvml) {
  if (!nvml) {
    Result<probe::Nvml> loaded = probe::Nvml::load(probe::Nvml::default_path());
    if (!loaded) return fail(loaded.error());
    nvml.emplace(std::move(*loaded));
  }
  return nvml->read();
}

std::vector<pid_t> pids_of(const std::vector<probe::ProcessMemory>& processes) {
  std::vector<pid_t> pids;
  for (const probe::ProcessMemory& process : processes)
    pids.push_back(process.pid);
  return pids;
}

std::vector<pid_t> users_of(const std::vector<probe::Gpu>& gpus) {
  std::vector<pid_t> pids;
  for (const probe::Gpu& gpu : gpus) {
    if (!gpu.processes) continue;
    for (const probe::GpuProcess& process : *gpu.processes)
      pids.push_back(process.pid);
  }
  return pids;
}

/// The machine's memory and that of our processes are compared: they are read back to back.
ProbeThread::Sample read_machine(const ProbeQuestion& question, std::optional<probe::Nvml>& nvml) {
  Machine machine;
  machine.at = Instant{
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())};
  if (question.gpus) {
    Result<std::vector<probe::Gpu>> gpus = read_gpus(nvml);
    if (!gpus) return fail(gpus.error());
    machine.gpus = std::move(*gpus);
  }
  if (question.host) {
    const Result<probe::HostMemory> host = probe::read_host_memory();
    if (!host) return fail(host.error());
    machine.host = *host;
  }
  Result<std::vector<probe::ProcessMemory>> ours =
      probe::read_sessions(question.sessions, question.tags);
  if (!ours) return fail(ours.error());
  machine.ours = std::move(*ours);
  if (question.others > 0) {
    machine.others =
        probe::read_others(pids_of(machine.ours), question.others, users_of(machine.gpus));
  }
  return machine;
}

}  // namespace

struct ProbeThread::Shared {
  void run();

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Request> requests;    // under mutex
  bool stopping = false;            // under mutex
  bool ended = false;               // under mutex
  std::optional<probe::Nvml> nvml;  // of the thread
};

void ProbeThread::Shared::run() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [this] { return stopping || !requests.empty(); });
    if (stopping) break;
    for (Request& request : std::exchange(requests, {})) {
      lock.unlock();
      Sample sample = read_machine(request.question, nvml);
      lock.lock();
      if (stopping) break;  // nobody is there any more whom it could be told
      lock.unlock();
      request.done(std::move(sample));
      lock.lock();
    }
    if (stopping) break;
  }
  ended = true;
  changed.notify_all();
}

ProbeThread::ProbeThread()
    : shared_(std::make_shared<Shared>()), thread_([shared = shared_] { shared->run(); }) {}

ProbeThread::~ProbeThread() {
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  shared_->changed.notify_all();
  const bool ended =
      shared_->changed.wait_for(lock, kLeaveAfter, [this] { return shared_->ended; });
  lock.unlock();
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void ProbeThread::read(ProbeQuestion question, std::function<void(Sample)> done) {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->requests.push_back({std::move(question), std::move(done)});
  }
  shared_->changed.notify_all();
}

}  // namespace berth::host
