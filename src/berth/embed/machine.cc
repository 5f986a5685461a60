// SPDX-License-Identifier: Apache-2.0
#include "berth/embed/machine.h"

#include <dlfcn.h>

#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "berth/probe/gpu.h"
#include "berth/probe/machine.h"

namespace berth::embed {
namespace {

/// As the host's probe: a driver that has not answered by then hangs.
constexpr std::chrono::seconds kDriverLimit{5};

MemoryInfo memory_of(Bytes total, Bytes available) {
  return {.total = total, .available = available, .used = total - available};
}

Result<std::vector<GpuInfo>> ask_driver(const std::string& library) {
  void* const found = ::dlopen(library.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (found == nullptr) return std::vector<GpuInfo>();  // no driver, no GPU
  ::dlclose(found);
  const auto nvml = probe::Nvml::load(library);
  if (!nvml) return fail(nvml.error());
  const auto gpus = nvml->read();
  if (!gpus) return fail(gpus.error());
  std::vector<GpuInfo> out;
  for (const probe::Gpu& gpu : *gpus) {
    out.push_back({.uuid = gpu.uuid,
                   .name = gpu.name,
                   .vram = memory_of(gpu.total, gpu.total - gpu.used),
                   .utilisation = gpu.utilisation});
  }
  return out;
}

}  // namespace

Result<std::vector<GpuInfo>> read_gpus() {
  // A call that hangs in the driver is left behind with its thread.
  auto promise = std::make_shared<std::promise<Result<std::vector<GpuInfo>>>>();
  auto answer = promise->get_future();
  std::thread([promise, library = probe::Nvml::default_path()] {
    promise->set_value(ask_driver(library));
  }).detach();
  if (answer.wait_for(kDriverLimit) == std::future_status::ready) return answer.get();
  return fail(ErrorCode::deadline,
              fmt::format("the GPU's driver has not answered for {}; `nvidia-smi` may say why",
                          to_text(kDriverLimit)));
}

}  // namespace berth::embed

namespace berth {

Result<MemoryInfo> SystemInfo::memory() const {
  const auto memory = probe::read_host_memory();
  if (!memory) return fail(memory.error());
  return embed::memory_of(memory->total, memory->available);
}

CpuInfo SystemInfo::cpu() const {
  CpuInfo info{.threads = static_cast<int>(std::thread::hardware_concurrency()), .model = {}};
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t at = line.find(": ");
    if (at != std::string::npos) info.model = line.substr(at + 2);
    break;
  }
  return info;
}

Result<std::vector<GpuInfo>> SystemInfo::gpus() const {
  return embed::read_gpus();
}

}  // namespace berth
