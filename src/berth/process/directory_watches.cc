// SPDX-License-Identifier: Apache-2.0
#include "berth/process/directory_watches.h"

#include <fmt/format.h>
#include <sys/inotify.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "berth/process/system_error.h"
#include "berth/process/unique_fd.h"

namespace berth::process {
namespace {

namespace asio = boost::asio;

constexpr std::uint32_t kChanges = IN_MOVED_TO | IN_CREATE | IN_MODIFY | IN_ONLYDIR;
/// The queue was full: what else changed is not known.
constexpr int kAnyDescriptor = -1;

/// Returns which watches have events, and takes these out of the queue.
std::set<int> take_events(int inotify) {
  std::set<int> descriptors;
  char events[4096];
  ssize_t count = 0;
  while ((count = ::read(inotify, events, sizeof events)) > 0) {
    inotify_event event{};
    for (ssize_t at = 0; at < count; at += static_cast<ssize_t>(sizeof event + event.len)) {
      std::memcpy(&event, events + at, sizeof event);
      descriptors.insert(event.wd);
    }
  }
  return descriptors;
}

}  // namespace

DirectoryWatches& DirectoryWatches::of(const Executor& executor) {
  return asio::use_service<DirectoryWatches>(
      asio::query(executor, asio::execution::context_as<asio::execution_context&>));
}

Status DirectoryWatches::open(const Executor& executor) {
  if (inotify_) return {};
  UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify) {
    return io_failure("no inotify instance (limit: sysctl fs.inotify.max_user_instances)", errno);
  }
  inotify_.emplace(executor, inotify.release());
  return {};
}

Result<DirectoryWatches::Key> DirectoryWatches::add(const Executor& executor,
                                                    const std::string& directory,
                                                    std::function<void()> changed) {
  const Status opened = open(executor);
  if (!opened) return fail(opened.error());
  const int descriptor =
      ::inotify_add_watch(inotify_->native_handle(), directory.c_str(), kChanges);
  if (descriptor < 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return fail(ErrorCode::not_found, fmt::format("there is no directory {}", directory));
  }
  if (descriptor < 0) {
    return io_failure(
        fmt::format("cannot watch {} (limit: sysctl fs.inotify.max_user_watches)", directory),
        errno);
  }
  watches_.emplace(++last_key_, Watch{descriptor, std::move(changed)});
  wait();
  return last_key_;
}

void DirectoryWatches::remove(Key which) {
  const auto found = watches_.find(which);
  if (found == watches_.end()) return;
  const int descriptor = found->second.descriptor;
  watches_.erase(found);
  if (!inotify_) return;  // the context ends
  const bool shared = std::any_of(watches_.begin(), watches_.end(), [&](const auto& each) {
    return each.second.descriptor == descriptor;
  });
  // It fails if the directory is gone, and with it the watch.
  if (!shared) static_cast<void>(::inotify_rm_watch(inotify_->native_handle(), descriptor));
  boost::system::error_code ignored;
  if (watches_.empty()) inotify_->cancel(ignored);
}

void DirectoryWatches::wait() {
  if (watches_.empty() || std::exchange(waiting_, true)) return;
  inotify_->async_wait(asio::posix::stream_descriptor::wait_read,
                       [this](boost::system::error_code error) {
                         waiting_ = false;
                         if (!error) tell();
                         wait();
                       });
}

void DirectoryWatches::tell() {
  const std::set<int> descriptors = take_events(inotify_->native_handle());
  const bool all = descriptors.contains(kAnyDescriptor);
  for (const auto& [which, watch] : watches_) {
    if (all || descriptors.contains(watch.descriptor)) watch.changed();
  }
}

}  // namespace berth::process
