// SPDX-License-Identifier: Apache-2.0
// A library with the binary interface of NVML that plays GPUs from a file, read anew by each call.
// The file stands in BERTH_STANDIN_NVML, one thing a line:
//
//     gpu UUID TOTAL USED UTILISATION   bytes; utilisation in percent, "-": not supported
//     process UUID PID BYTES            "-": the driver does not tell
//     no-processes                      the driver lists none
//     error CODE                        every call but the first fails with it
//     hang FIFO                         every call waits until somebody writes to the FIFO
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int kSuccess = 0;
constexpr int kInvalidArgument = 2;
constexpr int kNotSupported = 3;
constexpr int kInsufficientSize = 7;
constexpr unsigned long long kNotAvailable = ~0ULL;

struct ProcessInfo {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance;
  unsigned compute_instance;
};

struct PlayedGpu {
  std::string uuid;
  unsigned long long total = 0;
  unsigned long long used = 0;
  std::string utilisation;
  std::vector<ProcessInfo> processes;
};

struct Scene {
  int error = kSuccess;
  bool lists_processes = true;
  std::vector<PlayedGpu> gpus;
};

void wait_for_a_writer(const std::string& fifo) {
  const int file = ::open(fifo.c_str(), O_RDONLY | O_CLOEXEC);
  if (file >= 0) ::close(file);
}

void add_process(Scene& scene, std::istringstream& words) {
  std::string uuid;
  std::string bytes;
  ProcessInfo info{};
  words >> uuid >> info.pid >> bytes;
  info.used = bytes == "-" ? kNotAvailable : std::stoull(bytes);
  for (PlayedGpu& gpu : scene.gpus) {
    if (gpu.uuid == uuid) gpu.processes.push_back(info);
  }
}

Scene read_scene() {
  Scene scene;
  const char* const path = std::getenv("BERTH_STANDIN_NVML");
  std::ifstream file(path == nullptr ? "" : path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string what;
    words >> what;
    if (what == "gpu") {
      PlayedGpu gpu;
      words >> gpu.uuid >> gpu.total >> gpu.used >> gpu.utilisation;
      scene.gpus.push_back(std::move(gpu));
    } else if (what == "process") {
      add_process(scene, words);
    } else if (what == "no-processes") {
      scene.lists_processes = false;
    } else if (what == "error") {
      words >> scene.error;
    } else if (what == "hang") {
      std::string fifo;
      words >> fifo;
      wait_for_a_writer(fifo);
    }
  }
  return scene;
}

/// A handle is the GPU's number, counted from 1.
const PlayedGpu* gpu_of(const Scene& scene, void* device) {
  const auto number = reinterpret_cast<std::uintptr_t>(device);
  return number == 0 || number > scene.gpus.size() ? nullptr : &scene.gpus[number - 1];
}

int copy_text(const std::string& text, char* out, unsigned size) {
  if (text.size() >= size) return kInsufficientSize;
  std::memcpy(out, text.c_str(), text.size() + 1);
  return kSuccess;
}

}  // namespace

extern "C" {

int nvmlInit_v2() {
  return read_scene().error;
}

const char* nvmlErrorString(int code) {
  return code == 15 ? "GPU is lost" : code == 9 ? "Driver Not Loaded" : "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  const Scene scene = read_scene();
  *count = static_cast<unsigned>(scene.gpus.size());
  return scene.error;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  const Scene scene = read_scene();
  if (index >= scene.gpus.size()) return kInvalidArgument;
  *device = reinterpret_cast<void*>(static_cast<std::uintptr_t>(index) + 1);
  return scene.error;
}

int nvmlDeviceGetUUID(void* device, char* out, unsigned size) {
  const Scene scene = read_scene();
  const PlayedGpu* gpu = gpu_of(scene, device);
  return gpu == nullptr ? kInvalidArgument : copy_text(gpu->uuid, out, size);
}

int nvmlDeviceGetName(void* device, char* out, unsigned size) {
  const Scene scene = read_scene();
  const PlayedGpu* gpu = gpu_of(scene, device);
  return gpu == nullptr ? kInvalidArgument : copy_text("Played GPU", out, size);
}

int nvmlDeviceGetMemoryInfo(void* device, unsigned long long* total_free_used) {
  const Scene scene = read_scene();
  const PlayedGpu* gpu = gpu_of(scene, device);
  if (gpu == nullptr) return kInvalidArgument;
  total_free_used[0] = gpu->total;
  total_free_used[1] = gpu->total - gpu->used;
  total_free_used[2] = gpu->used;
  return scene.error;
}

int nvmlDeviceGetUtilizationRates(void* device, unsigned* gpu_memory) {
  const Scene scene = read_scene();
  const PlayedGpu* gpu = gpu_of(scene, device);
  if (gpu == nullptr) return kInvalidArgument;
  if (gpu->utilisation == "-") return kNotSupported;
  gpu_memory[0] = static_cast<unsigned>(std::stoul(gpu->utilisation));
  gpu_memory[1] = 0;
  return scene.error;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, ProcessInfo* infos) {
  const Scene scene = read_scene();
  const PlayedGpu* gpu = gpu_of(scene, device);
  if (gpu == nullptr) return kInvalidArgument;
  if (!scene.lists_processes) return kNotSupported;
  const auto size = static_cast<unsigned>(gpu->processes.size());
  if (*count < size) return kInsufficientSize;
  *count = size;
  for (unsigned i = 0; i < size; ++i)
    infos[i] = gpu->processes[i];
  return scene.error;
}

/// Nobody draws here.
int nvmlDeviceGetGraphicsRunningProcesses_v3(void* device, unsigned* count, ProcessInfo*) {
  const Scene scene = read_scene();
  if (gpu_of(scene, device) == nullptr) return kInvalidArgument;
  *count = 0;
  return scene.lists_processes ? scene.error : kNotSupported;
}

}  // extern "C"
