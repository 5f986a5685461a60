// SPDX-License-Identifier: Apache-2.0
#include "alive_watch.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace berth::keeper {
namespace {

/// Blocks until no Berth holds the lock, without keeping it.
bool await_free(int lock) {
  while (::flock(lock, LOCK_SH) != 0) {
    if (errno != EINTR) return false;
  }
  ::flock(lock, LOCK_UN);
  return true;
}

/// Blocks until somebody wrote to the lock's file: a Berth writes its pid when it has the lock.
bool await_write(int watch) {
  char events[1024];
  while (true) {
    const ssize_t count = ::read(watch, events, sizeof events);
    if (count > 0) return true;
    if (errno != EINTR) return false;
  }
}

bool tell(int fd, AliveWatch::News news) {
  const char byte = static_cast<char>(news);
  return ::write(fd, &byte, 1) == 1 || errno == EAGAIN;
}

/// The thread. A write that happened before the lock was free leads to one needless round.
void watch(int lock, int inotify, int news) {
  while (await_free(lock) && tell(news, AliveWatch::News::free) && await_write(inotify) &&
         tell(news, AliveWatch::News::back)) {
  }
}

}  // namespace

int AliveWatch::open(const std::string& path) {
  lock_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  probe_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!lock_ || !probe_) return errno;
  inotify_.reset(::inotify_init1(IN_CLOEXEC));
  if (!inotify_ || ::inotify_add_watch(inotify_.get(), path.c_str(), IN_MODIFY) < 0) return errno;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return errno;
  news_.reset(ends[0]);
  telling_.reset(ends[1]);
  return 0;
}

void AliveWatch::start() {
  std::thread(watch, lock_.get(), inotify_.get(), telling_.get()).detach();
}

AliveWatch::News AliveWatch::take() {
  char bytes[64];
  News latest = News::none;
  ssize_t count = 0;
  while ((count = ::read(news_.get(), bytes, sizeof bytes)) > 0) {
    latest = static_cast<News>(bytes[count - 1]);
  }
  return latest;
}

bool AliveWatch::held() const {
  if (::flock(probe_.get(), LOCK_SH | LOCK_NB) != 0) return errno == EWOULDBLOCK;
  ::flock(probe_.get(), LOCK_UN);
  return false;
}

}  // namespace berth::keeper
