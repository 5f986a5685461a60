// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace berth::store {

/// A disk that fails on command: every file that SQLite opens while it lives goes through it.
class FaultyVfs {
 public:
  FaultyVfs();
  ~FaultyVfs();
  FaultyVfs(const FaultyVfs&) = delete;
  FaultyVfs& operator=(const FaultyVfs&) = delete;

  static inline std::atomic<bool> is_full{false};     ///< writes find no room
  static inline std::atomic<bool> sync_fails{false};  ///< fsync reports EIO
  static inline std::atomic<int> syncs{0};            ///< counts calls of fsync
};

}  // namespace berth::store
