// SPDX-License-Identifier: Apache-2.0
#include "berth/host/run_memory.h"

#include <algorithm>

namespace berth::host {
namespace {

/// Shapes of work that are told apart in one run; the rest is one.
constexpr std::size_t kPeaksMax = 64;

}  // namespace

void RunMemory::sampled(store::Stage stage, const std::string& shape, const core::Footprint& held) {
  for (const core::PoolShare& share : held.shares)
    raise(stage, shape, share.pool, share.bytes);
}

void RunMemory::marked(store::Stage stage, const std::string& shape, PoolId pool, Bytes mark) {
  if (mark <= mark_) return;
  mark_ = mark;
  raise(stage, shape, pool, mark);
}

void RunMemory::raise(store::Stage stage, const std::string& shape, PoolId pool, Bytes bytes) {
  if (bytes.count <= 0) return;
  auto at = std::find_if(peaks_.begin(), peaks_.end(), [&](const Peak& peak) {
    return peak.stage == stage && peak.shape == shape && peak.pool == pool;
  });
  if (at == peaks_.end() && peaks_.size() >= kPeaksMax && !shape.empty()) {
    return raise(stage, "", pool, bytes);
  }
  if (at == peaks_.end()) at = peaks_.insert(at, {stage, shape, pool, bytes});
  at->bytes = std::max(at->bytes, bytes);
}

std::vector<store::FootprintRow> RunMemory::rows(const std::string& key, const std::string& server,
                                                 const core::Config& config) const {
  std::vector<store::FootprintRow> rows;
  for (const Peak& peak : peaks_) {
    rows.push_back({.key = key,
                    .pool = config.pools.at(peak.pool.value).name,
                    .stage = peak.stage,
                    .shape = peak.shape,
                    .bytes = peak.bytes.count,
                    .server = server});
  }
  return rows;
}

}  // namespace berth::host
