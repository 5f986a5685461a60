// SPDX-License-Identifier: Apache-2.0
#include "berth/http/async.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <boost/asio.hpp>

namespace berth {
namespace {

using testing::ElementsAre;

Task<void> note_when_set(Event* event, int number, std::vector<int>* woken, Event* last) {
  co_await event->wait();
  woken->push_back(number);
  if (woken->size() == 3) last->set();
}

Task<std::vector<int>> wake_three(Executor executor) {
  Event event;
  Event last;
  std::vector<int> woken;
  for (int number = 1; number <= 3; ++number) {
    spawn(executor, note_when_set(&event, number, &woken, &last));
  }
  post(executor, [&event] { event.set(); });
  co_await last.wait();
  co_return woken;
}

TEST(Event, WakesAllWhoWaitInTheirOrder) {
  IoLoop loop;
  EXPECT_THAT(run_on(loop, wake_three(loop.executor())), ElementsAre(1, 2, 3));
}

Task<bool> wait_while_pulsed(Executor executor) {
  Event event;
  post(executor, [&event] {
    event.set();
    event.reset();
  });
  co_await event.wait();
  co_return event.is_set();
}

TEST(Event, KeepsThoseWokenWhoseEventWasResetAtOnce) {
  IoLoop loop;
  EXPECT_FALSE(run_on(loop, wait_while_pulsed(loop.executor())));
}

Task<bool> wait_shortly(Event* event) {
  const bool came = co_await event->wait_for(1ms);
  co_return came;
}

TEST(Event, TellsATimeoutFromASetEvent) {
  IoLoop loop;
  Event event;
  EXPECT_FALSE(run_on(loop, wait_shortly(&event)));
  event.set();
  EXPECT_TRUE(run_on(loop, wait_shortly(&event)));
}

Task<std::optional<std::size_t>> wait_for_second(Executor executor) {
  Event first;
  Event second;
  post(executor, [&second] { second.set(); });
  std::vector<Event*> events{&first, nullptr, &second};
  const auto position = co_await wait_any(std::move(events));
  co_return position;
}

TEST(WaitAny, ReturnsThePositionOfTheFirstEvent) {
  IoLoop loop;
  EXPECT_EQ(run_on(loop, wait_for_second(loop.executor())), 2u);
}

Task<void> wait_for_ever(std::shared_ptr<Event> event) {
  co_await event->wait();
}

Task<void> nothing() {
  co_return;
}

TEST(IoLoop, MayEndWhileCoroutinesWait) {
  auto event = std::make_shared<Event>();
  {
    IoLoop loop;
    spawn(loop.executor(), wait_for_ever(event));
    run_on(loop, delay(0ms));
    run_on(loop, nothing());
  }
  EXPECT_EQ(event.use_count(), 1);
  event->set();
}

TEST(IoLoop, TakesCallsFromOtherThreads) {
  IoLoop loop;
  Event event;
  std::thread other([&loop, &event] { post(loop.executor(), [&event] { event.set(); }); });
  run_on(loop, event.wait());
  other.join();
  EXPECT_TRUE(event.is_set());
}

TEST(IoLoop, RunsUntilNothingIsLeft) {
  IoLoop loop;
  int calls = 0;
  post(loop.executor(), [&calls] { ++calls; });
  loop.run();
  post(loop.executor(), [&calls] { ++calls; });
  loop.run();
  EXPECT_EQ(calls, 2);
}

Task<void> throws() {
  throw std::runtime_error("out of cheese");
  co_return;
}

TEST(SpawnDeathTest, AnEscapedExceptionEndsTheProgram) {
  const auto crash = [] {
    IoLoop loop;
    spawn(loop.executor(), throws());
    loop.run();
  };
  EXPECT_DEATH(crash(), "an exception left a coroutine: out of cheese");
}

Task<int> raise_and_wait(Executor executor) {
  post(executor, [] { ::raise(SIGTERM); });
  const int number = co_await next_signal();
  co_return number;
}

TEST(NextSignal, ReturnsTheSignalsNumber) {
  IoLoop loop;
  EXPECT_EQ(run_on(loop, raise_and_wait(loop.executor())), SIGTERM);
}

Task<bool> wait_for_pipe(Executor executor, int read_end, int write_end) {
  post(executor, [write_end] { ::close(write_end); });
  const bool is_readable = co_await wait_readable(read_end);
  co_return is_readable;
}

Task<bool> wait_until_stopped(Executor executor, int read_end) {
  Event stop;
  post(executor, [&stop] { stop.set(); });
  const bool is_readable = co_await wait_readable(read_end, &stop);
  co_return is_readable;
}

TEST(WaitReadable, SeesTheEndOfAPipeAndCanBeStopped) {
  IoLoop loop;
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  EXPECT_FALSE(run_on(loop, wait_until_stopped(loop.executor(), ends[0])));
  EXPECT_TRUE(run_on(loop, wait_for_pipe(loop.executor(), ends[0], ends[1])));
  EXPECT_FALSE(run_on(loop, wait_readable(-1)));
  ::close(ends[0]);
}

using Descriptor = boost::asio::posix::stream_descriptor;

Descriptor with_news(const Executor& executor) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  EXPECT_EQ(::write(ends[1], "!", 1), 1);
  ::close(ends[1]);
  return {executor, ends[0]};
}

// Asio gives the place of a closed descriptor, and news that were on their way, to the next one.
TEST(WaitReadable, IsNotWokenByNewsOfADescriptorThatWasClosedInTheSameTurn) {
  IoLoop loop;
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  Descriptor first = with_news(loop.executor());
  Descriptor second = with_news(loop.executor());
  bool has_written = false;
  bool is_early = false;
  first.async_wait(Descriptor::wait_read, [&](boost::system::error_code) {
    second.close();
    const auto waiting = [&]() -> Task<void> {
      const bool is_readable = co_await wait_readable(ends[0]);
      EXPECT_TRUE(is_readable);
      is_early = !has_written;
    };
    boost::asio::co_spawn(loop.executor(), waiting, boost::asio::detached);
    post(loop.executor(),
         [&] { post(loop.executor(), [&] { has_written = ::write(ends[1], "!", 1) == 1; }); });
  });
  loop.run();
  EXPECT_TRUE(has_written);
  EXPECT_FALSE(is_early);
  for (const int end : ends)
    ::close(end);
}

}  // namespace
}  // namespace berth
