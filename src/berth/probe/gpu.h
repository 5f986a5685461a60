// SPDX-License-Identifier: Apache-2.0
// GPUs as NVIDIA's management library (NVML) shows them. The library is loaded at run time: Berth
// builds and runs without it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/result.h"

namespace berth::probe {

/// What one process holds of one GPU.
struct GpuProcess {
  pid_t pid = 0;
  std::optional<Bytes> used;  ///< nothing: the driver does not tell

  bool operator==(const GpuProcess&) const = default;
};

struct Gpu {
  std::string uuid;  ///< "GPU-8f6a..."
  std::string name;  ///< "NVIDIA GeForce RTX 4090"
  Bytes total;
  Bytes used;                      ///< by everybody, the driver's own part included
  std::optional<int> utilisation;  ///< percent of the time in which it worked; nothing: unknown
  /// By pid. Nothing: the driver does not list them, or there are more than can be listed.
  std::optional<std::vector<GpuProcess>> processes;

  bool operator==(const Gpu&) const = default;
};

/// The loaded library. It stays loaded until the process ends: the driver's threads may use it.
///
/// Threads: one at a time. Any call can hang in the driver: use it on the probe thread.
class Nvml {
 public:
  /// Loads the library and opens the driver. `path`: a name that the loader searches for, or a
  /// path.
  /// Errors: io, naming what failed and what to do.
  static Result<Nvml> load(const std::string& path);
  /// "libnvidia-ml.so.1"; or what the variable BERTH_NVML_LIBRARY names, which only tests set.
  static std::string default_path();

  Nvml(Nvml&&) noexcept;
  Nvml& operator=(Nvml&&) noexcept;
  ~Nvml();

  /// Reads all GPUs, in the driver's order.
  /// Errors: io, naming the GPU and what the driver says. Never a GPU with a part missing that is
  ///   not optional.
  Result<std::vector<Gpu>> read() const;

 private:
  struct Library;
  explicit Nvml(std::unique_ptr<Library> library);

  std::unique_ptr<Library> library_;
};

}  // namespace berth::probe
