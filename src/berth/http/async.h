// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "berth/base/time.h"

namespace berth {

/// A coroutine of the shell. All of them run on the one IO strand of the process.
/// It starts when it is awaited or given to spawn(), not when it is called.
template <class T = void>
using Task = boost::asio::awaitable<T>;

/// Where coroutines run; made by the program's main().
using Executor = boost::asio::any_io_executor;

/// The loop that runs coroutines, on the thread that calls run().
///
/// Threads: everything on the loop's thread, except stop() and post().
class IoLoop {
 public:
  IoLoop();
  ~IoLoop();
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  Executor executor();
  /// Returns after stop(), or when nothing is left to wait for. May be called again.
  void run();
  void stop();
  /// Runs the loop until this one coroutine has ended; others stay as they are.
  /// Errors: it is a bug if the coroutine waits for something that nobody can bring about.
  void run_until_done(Task<void> task);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Runs the call on the loop, later. Threads: any.
void post(const Executor& executor, std::function<void()> call);

/// Starts a coroutine that nobody waits for. Its first step runs at the loop's next turn.
/// Errors: an exception that leaves the coroutine is a bug; it is printed and the program aborts.
void spawn(const Executor& executor, Task<void> task);

/// Returns the executor of the coroutine that awaits this.
Task<Executor> this_executor();

Task<void> delay(Duration duration);

/// Waits for SIGINT or SIGTERM and returns its number. The signals have their default effect
/// again once it returned.
Task<int> next_signal();

/// Something that happened, or not yet. Any number of coroutines may wait for it.
///
/// Ownership: it may be destroyed when nobody waits, or together with the loop.
/// Threads: the loop's thread only; use post() from elsewhere.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Wakes all who wait, by posting, in the order in which they began to wait. They stay woken
  /// even if reset() follows at once.
  void set();
  void reset();
  bool is_set() const;

  /// Returns at once if the event is set.
  Task<void> wait();
  /// Returns true if the event is set, false if `limit` passed first.
  Task<bool> wait_for(Duration limit);

 private:
  friend Task<std::optional<std::size_t>> wait_any(std::vector<Event*> events,
                                                   std::optional<Duration> limit);
  struct State;
  // Shared with the frames of waiters, which may be destroyed after the event at the loop's end.
  std::shared_ptr<State> state_;
};

/// Waits for the first of several events and returns its position in `events`; nothing if `limit`
/// passed first. Null pointers are never set. Name the vector before the co_await: GCC 12 cannot
/// keep a braced list alive over it.
Task<std::optional<std::size_t>> wait_any(std::vector<Event*> events,
                                          std::optional<Duration> limit = std::nullopt);

/// Waits until a descriptor (a pidfd, a pipe, an inotify handle) is readable or at its end.
/// Returns false if `stop` was set first, or if the descriptor cannot be waited for.
///
/// Ownership: the descriptor stays the caller's, but it becomes non-blocking.
Task<bool> wait_readable(int descriptor, Event* stop = nullptr);

namespace detail {
template <class T>
Task<void> keep_result(Task<T> task, std::optional<T>* out) {
  auto value = co_await std::move(task);
  out->emplace(std::move(value));
}
}  // namespace detail

/// Runs the loop until the coroutine has ended and returns what it returned.
template <class T>
T run_on(IoLoop& loop, Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    loop.run_until_done(std::move(task));
  } else {
    std::optional<T> result;
    loop.run_until_done(detail::keep_result(std::move(task), &result));
    return std::move(*result);
  }
}

}  // namespace berth
