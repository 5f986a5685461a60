// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "berth/process/unique_fd.h"

namespace berth::keeper {

/// Watches the lock that a living Berth holds. A thread of its own blocks on it, so the keeper
/// sleeps for as long as Berth lives; the lock is given back at once, so a new Berth can take it.
class AliveWatch {
 public:
  enum class News : char { none = 0, free = 'f', back = 'b' };

  /// Opens the lock's file. Returns 0 or an errno.
  int open(const std::string& path);
  /// Starts the thread, which ends with the process; after the server was forked.
  void start();

  /// Readable when there is news.
  [[nodiscard]] int fd() const { return news_.get(); }
  /// Returns the latest news: `free` = no Berth lives, `back` = one may live again.
  News take();
  /// Returns whether a Berth holds the lock now.
  [[nodiscard]] bool held() const;

 private:
  process::UniqueFd news_;
  process::UniqueFd probe_;
  process::UniqueFd lock_;     ///< the thread's, as the next two
  process::UniqueFd inotify_;  ///< writes to the lock's file
  process::UniqueFd telling_;
};

}  // namespace berth::keeper
