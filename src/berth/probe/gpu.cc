// SPDX-License-Identifier: Apache-2.0
// The part of NVML's binary interface that is used, declared by ourselves.
// Source: NVML API reference (docs.nvidia.com/deploy/nvml-api), version 12.
#include "berth/probe/gpu.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <utility>

namespace berth::probe {
namespace {

constexpr int kSuccess = 0;
constexpr int kNotSupported = 3;
/// What the driver writes where it does not know (NVML_VALUE_NOT_AVAILABLE).
constexpr unsigned long long kNotAvailable = ~0ULL;
constexpr unsigned kUuidBytes = 96;
constexpr unsigned kNameBytes = 96;
/// More GPUs than any machine has, and more processes than any GPU serves.
constexpr unsigned kGpusMax = 64;
constexpr unsigned kProcessesMax = 1024;

using Device = void*;

struct Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct Utilisation {
  unsigned gpu;
  unsigned memory;
};

/// Of the calls with the suffixes _v2 and _v3.
struct ProcessInfo {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance;
  unsigned compute_instance;
};
static_assert(sizeof(ProcessInfo) == 24);

using ListProcesses = int (*)(Device, unsigned*, ProcessInfo*);

/// Adds what the call lists; false: the driver does not list them.
bool list(ListProcesses call, Device device, std::map<pid_t, std::optional<Bytes>>& processes) {
  if (call == nullptr) return false;
  std::vector<ProcessInfo> infos(kProcessesMax);
  unsigned count = kProcessesMax;
  if (call(device, &count, infos.data()) != kSuccess || count > kProcessesMax) return false;
  infos.resize(count);
  for (const ProcessInfo& info : infos) {
    std::optional<Bytes> used;
    if (info.used != kNotAvailable) used = Bytes{static_cast<std::int64_t>(info.used)};
    auto& known = processes[static_cast<pid_t>(info.pid)];
    known = std::max(known, used);  // who computes and draws is in both lists, with one number
  }
  return true;
}

}  // namespace

struct Nvml::Library {
  int (*init)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*handle)(unsigned, Device*) = nullptr;
  int (*uuid)(Device, char*, unsigned) = nullptr;
  int (*name)(Device, char*, unsigned) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*utilisation)(Device, Utilisation*) = nullptr;
  ListProcesses computing = nullptr;
  ListProcesses drawing = nullptr;

  [[nodiscard]] tl::unexpected<Error> failure(const std::string& what, int code) const {
    return fail(ErrorCode::io,
                fmt::format("the NVIDIA driver cannot tell {}: {}", what, error_string(code)));
  }
  [[nodiscard]] Result<Gpu> read(unsigned index) const;
  [[nodiscard]] std::optional<std::vector<GpuProcess>> processes_of(Device device) const;
};

std::optional<std::vector<GpuProcess>> Nvml::Library::processes_of(Device device) const {
  std::map<pid_t, std::optional<Bytes>> found;
  if (!list(computing, device, found) || !list(drawing, device, found)) return std::nullopt;
  std::vector<GpuProcess> processes;
  for (const auto& [pid, used] : found)
    processes.push_back({pid, used});
  return processes;
}

Result<Gpu> Nvml::Library::read(unsigned index) const {
  Gpu gpu;
  Device device = nullptr;
  int code = handle(index, &device);
  if (code != kSuccess) return failure(fmt::format("of GPU {}", index), code);
  std::string text(kUuidBytes, '\0');
  code = uuid(device, text.data(), kUuidBytes);
  if (code != kSuccess) return failure(fmt::format("the UUID of GPU {}", index), code);
  gpu.uuid = text.c_str();
  text.assign(kNameBytes, '\0');
  if (name(device, text.data(), kNameBytes) == kSuccess) gpu.name = text.c_str();
  Memory bytes{};
  code = memory(device, &bytes);
  if (code != kSuccess) return failure("the memory of " + gpu.uuid, code);
  gpu.total = Bytes{static_cast<std::int64_t>(bytes.total)};
  gpu.used = Bytes{static_cast<std::int64_t>(bytes.used)};
  Utilisation percent{};
  code = utilisation(device, &percent);
  if (code != kSuccess && code != kNotSupported) {
    return failure("the utilisation of " + gpu.uuid, code);
  }
  if (code == kSuccess) gpu.utilisation = static_cast<int>(percent.gpu);
  gpu.processes = processes_of(device);
  return gpu;
}

Nvml::Nvml(std::unique_ptr<Library> library) : library_(std::move(library)) {}
Nvml::Nvml(Nvml&&) noexcept = default;
Nvml& Nvml::operator=(Nvml&&) noexcept = default;
Nvml::~Nvml() = default;

std::string Nvml::default_path() {
  const char* path = std::getenv("BERTH_NVML_LIBRARY");
  return path != nullptr && *path != '\0' ? path : "libnvidia-ml.so.1";
}

Result<Nvml> Nvml::load(const std::string& path) {
  void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return fail(ErrorCode::io, fmt::format("the NVIDIA driver's library cannot be loaded ({}); "
                                           "install the driver, or configure no device pools",
                                           ::dlerror()));
  }
  auto library = std::make_unique<Library>();
  bool complete = true;
  const auto find = [&](auto& function, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (function != nullptr) return;
      function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(handle, name));
    }
    complete = complete && function != nullptr;
  };
  find(library->init, {"nvmlInit_v2"});
  find(library->error_string, {"nvmlErrorString"});
  find(library->count, {"nvmlDeviceGetCount_v2"});
  find(library->handle, {"nvmlDeviceGetHandleByIndex_v2"});
  find(library->uuid, {"nvmlDeviceGetUUID"});
  find(library->name, {"nvmlDeviceGetName"});
  find(library->memory, {"nvmlDeviceGetMemoryInfo"});
  find(library->utilisation, {"nvmlDeviceGetUtilizationRates"});
  if (!complete) {
    return fail(ErrorCode::io, fmt::format("{} is no NVML that Berth knows: a call is missing; "
                                           "update the NVIDIA driver",
                                           path));
  }
  find(library->computing,
       {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"});
  find(library->drawing,
       {"nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2"});
  const int code = library->init();
  if (code != kSuccess) return library->failure("anything", code);
  return Nvml(std::move(library));
}

Result<std::vector<Gpu>> Nvml::read() const {
  unsigned count = 0;
  const int code = library_->count(&count);
  if (code != kSuccess) return library_->failure("how many GPUs there are", code);
  std::vector<Gpu> gpus;
  for (unsigned i = 0; i < std::min(count, kGpusMax); ++i) {
    Result<Gpu> gpu = library_->read(i);
    if (!gpu) return fail(gpu.error());
    gpus.push_back(std::move(*gpu));
  }
  return gpus;
}

}  // namespace berth::probe
