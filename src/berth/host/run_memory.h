// SPDX-License-Identifier: Apache-2.0
// What one run of a server was seen to take.
#pragma once

#include <string>
#include <vector>

#include "berth/core/types.h"
#include "berth/store/store.h"

namespace berth::host {

/// The most that one run of a server took, by stage, shape of its work, and pool.
class RunMemory {
 public:
  /// A sample saw it hold that much.
  void sampled(store::Stage stage, const std::string& shape, const core::Footprint& held);

  /// The kernel's high-water mark of its process. It belongs to `stage` if it has risen since it
  /// was read last: the kernel does not tell when.
  void marked(store::Stage stage, const std::string& shape, PoolId pool, Bytes mark);

  /// Returns what was seen, as rows of that key.
  [[nodiscard]] std::vector<store::FootprintRow> rows(const std::string& key,
                                                      const std::string& server,
                                                      const core::Config& config) const;

 private:
  struct Peak {
    store::Stage stage;
    std::string shape;
    PoolId pool;
    Bytes bytes;
  };

  void raise(store::Stage stage, const std::string& shape, PoolId pool, Bytes bytes);

  std::vector<Peak> peaks_;
  Bytes mark_;
};

}  // namespace berth::host
