// SPDX-License-Identifier: Apache-2.0
#include "berth/http/async.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include <boost/asio.hpp>

#include "berth/base/assert.h"

namespace berth {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// Ends the program when an exception left a coroutine of the shell.
void abort_if_thrown(const std::exception_ptr& thrown) {
  if (!thrown) return;
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "berth: an exception left a coroutine: %s\n", exception.what());
  } catch (...) {
    std::fprintf(stderr, "berth: an exception of unknown type left a coroutine\n");
  }
  std::abort();
}

}  // namespace

struct IoLoop::Impl {
  // The hint: one thread runs the loop, others only post.
  asio::io_context context{1};
};

IoLoop::IoLoop() : impl_(std::make_unique<Impl>()) {}
IoLoop::~IoLoop() = default;

Executor IoLoop::executor() {
  return impl_->context.get_executor();
}

void IoLoop::run() {
  impl_->context.restart();
  impl_->context.run();
}

void IoLoop::stop() {
  impl_->context.stop();
}

void IoLoop::run_until_done(Task<void> task) {
  bool done = false;
  asio::co_spawn(impl_->context, std::move(task), [&done](const std::exception_ptr& thrown) {
    abort_if_thrown(thrown);
    done = true;
  });
  impl_->context.restart();
  while (!done) {
    const bool something_ran = impl_->context.run_one() > 0;
    BERTH_ASSERT(done || something_ran);
  }
}

void post(const Executor& executor, std::function<void()> call) {
  asio::post(executor, std::move(call));
}

void spawn(const Executor& executor, Task<void> task) {
  // co_spawn() alone would run the first step inside this call.
  asio::post(executor, [executor, started = std::move(task)]() mutable {
    asio::co_spawn(executor, std::move(started), abort_if_thrown);
  });
}

Task<Executor> this_executor() {
  const Executor executor = co_await asio::this_coro::executor;
  co_return executor;
}

Task<void> delay(Duration duration) {
  const Executor executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor);
  timer.expires_after(duration);
  error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

Task<int> next_signal() {
  const Executor executor = co_await asio::this_coro::executor;
  asio::signal_set signals(executor, SIGINT, SIGTERM);
  error_code ignored;
  const int number =
      co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return number;
}

namespace {

/// One coroutine that waits for any of several events. Lives in its frame.
struct Waiter {
  explicit Waiter(const Executor& executor) : timer(executor) {}

  asio::steady_timer timer;
  std::optional<std::size_t> woken_by;
};

/// A waiter in the list of one event, and the event's position among those it waits for.
struct Entry {
  Waiter* waiter;
  std::size_t position;
};

}  // namespace

struct Event::State {
  bool is_set = false;
  std::vector<Entry> entries;

  void wake_all() {
    is_set = true;
    for (const Entry& entry : entries) {
      if (entry.waiter->woken_by) continue;
      entry.waiter->woken_by = entry.position;
      entry.waiter->timer.cancel();
    }
  }
  void forget(const Waiter* waiter) {
    std::erase_if(entries, [waiter](const Entry& entry) { return entry.waiter == waiter; });
  }
};

Event::Event() : state_(std::make_shared<State>()) {}
Event::~Event() = default;
void Event::set() {
  state_->wake_all();
}
void Event::reset() {
  state_->is_set = false;
}
bool Event::is_set() const {
  return state_->is_set;
}

namespace {

/// Keeps the waiter in the lists of its events, also when the frame is destroyed while it waits.
template <class State>
class Registration {
 public:
  Registration(Waiter& waiter, const std::vector<std::shared_ptr<State>>& states)
      : waiter_(waiter), states_(states) {
    for (std::size_t i = 0; i < states_.size(); ++i) {
      if (states_[i]) states_[i]->entries.push_back({&waiter_, i});
    }
  }
  ~Registration() {
    for (const std::shared_ptr<State>& state : states_) {
      if (state) state->forget(&waiter_);
    }
  }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

 private:
  Waiter& waiter_;
  const std::vector<std::shared_ptr<State>>& states_;
};

template <class State>
Task<std::optional<std::size_t>> wait_for_states(std::vector<std::shared_ptr<State>> states,
                                                 std::optional<Duration> limit) {
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (states[i] && states[i]->is_set) co_return i;
  }
  const Executor executor = co_await asio::this_coro::executor;
  Waiter waiter(executor);
  const Registration<State> registration(waiter, states);
  if (limit) {
    waiter.timer.expires_after(*limit);
  } else {
    waiter.timer.expires_at(asio::steady_timer::time_point::max());
  }
  error_code ignored;
  co_await waiter.timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return waiter.woken_by;
}

Task<void> ignore_position(Task<std::optional<std::size_t>> waiting) {
  const auto position = co_await std::move(waiting);
  static_cast<void>(position);
}

Task<bool> whether_woken(Task<std::optional<std::size_t>> waiting) {
  const auto position = co_await std::move(waiting);
  co_return position.has_value();
}

}  // namespace

Task<std::optional<std::size_t>> wait_any(std::vector<Event*> events,
                                          std::optional<Duration> limit) {
  std::vector<std::shared_ptr<Event::State>> states;
  states.reserve(events.size());
  for (const Event* event : events)
    states.push_back(event ? event->state_ : nullptr);
  return wait_for_states<Event::State>(std::move(states), limit);
}

Task<void> Event::wait() {
  return ignore_position(wait_any({this}));
}

Task<bool> Event::wait_for(Duration limit) {
  return whether_woken(wait_any({this}, limit));
}

namespace {

bool has_news(int descriptor) {
  pollfd wanted{descriptor, POLLIN, 0};
  return ::poll(&wanted, 1, 0) != 0;
}

}  // namespace

Task<bool> wait_readable(int descriptor, Event* stop) {
  const Executor executor = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor watched(executor);
  const int duplicate = ::dup(descriptor);
  if (duplicate < 0) co_return false;
  error_code failure;
  watched.assign(duplicate, failure);
  if (failure) {
    ::close(duplicate);
    co_return false;
  }
  while (true) {
    const auto ended = std::make_shared<Event>();  // Shared with the handler, which may outlive us.
    const auto is_woken = std::make_shared<bool>(false);
    watched.async_wait(asio::posix::stream_descriptor::wait_read,
                       [ended, is_woken](const error_code& error) {
                         *is_woken = !error;
                         ended->set();
                       });
    std::vector<Event*> events{ended.get(), stop};
    co_await wait_any(std::move(events));
    // Asio may wake for news of a descriptor that was closed, and whose place this one has got.
    if (!*is_woken || has_news(duplicate)) co_return *is_woken;
  }
}

}  // namespace berth
