// SPDX-License-Identifier: Apache-2.0
// Private to the folder.
#pragma once

#include <boost/asio.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "berth/base/result.h"

namespace berth::process {

/// The directories that are watched on one IO context, by one inotify instance: to close an
/// instance takes the kernel 12 ms (median of 60, 28 at most), to take a watch out of one 8 µs
/// (Linux 6.18, two cores, Nov 2026). The instance stays until the context ends.
///
/// Ownership: the IO context's, as a service of asio. Threads: the context's strand.
class DirectoryWatches final : public boost::asio::execution_context::service {
 public:
  using Executor = boost::asio::any_io_executor;
  using Key = std::uint64_t;
  using key_type = DirectoryWatches;
  inline static boost::asio::execution_context::id id;  // by which asio finds it

  explicit DirectoryWatches(boost::asio::execution_context& context) : service(context) {}

  /// Returns the one of the executor's context.
  static DirectoryWatches& of(const Executor& executor);

  /// Calls `changed` after files were written, made or renamed into the directory; once for all
  /// that happened meanwhile. It must neither add nor remove. A directory may be watched twice.
  /// Errors: not_found if there is no such directory; io.
  Result<Key> add(const Executor& executor, const std::string& directory,
                  std::function<void()> changed);
  /// `changed` is not called any more.
  void remove(Key which);

 private:
  struct Watch {
    int descriptor = -1;
    std::function<void()> changed;
  };

  void shutdown() override { inotify_.reset(); }
  Status open(const Executor& executor);
  void wait();
  void tell();

  std::optional<boost::asio::posix::stream_descriptor> inotify_;
  std::map<Key, Watch> watches_;
  Key last_key_ = 0;
  bool waiting_ = false;  ///< only while somebody watches: a wait keeps the loop from its end
};

}  // namespace berth::process
