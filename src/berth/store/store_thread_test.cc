// SPDX-License-Identifier: Apache-2.0
#include "berth/store/store_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "berth/store/faulty_vfs.h"
#include "berth/store/temporary_folder.h"

namespace berth::store {
namespace {

using testing::Each;
using testing::SizeIs;

ServerRow row(const std::string& name, std::uint64_t generation = 1) {
  ServerRow made;
  made.name = name;
  made.generation = generation;
  return made;
}

class StoreThreadTest : public testing::Test {
 protected:
  void start() { thread_.emplace(Store::open(path_).value()); }
  void stop() { thread_.reset(); }

  /// Keeps the store thread busy inside a `done` until release().
  void hold() {
    std::promise<void> held;
    thread_->put(row("holder"), [&, released = release_.get_future().share()](const Status&) {
      held.set_value();
      released.wait();
    });
    held.get_future().wait();
  }
  void release() { release_.set_value(); }

  std::vector<ServerRow> rows() { return Store::open(path_).value().rows().value(); }

  TemporaryFolder folder_;
  std::string path_ = folder_.path() + "/berth.db";
  std::promise<void> release_;
  std::optional<StoreThread> thread_;
};

TEST_F(StoreThreadTest, RowsThatWaitShareOneTransactionAndEachIsAnsweredOnce) {
  constexpr int kRows = 100;
  std::vector<int> answers(kRows);
  start();
  hold();
  const std::uint64_t before = thread_->transactions();

  for (int i = 0; i < kRows; ++i) {
    thread_->put(row(fmt::format("server-{:03}", i)), [&answers, i](const Status& written) {
      if (written) ++answers[static_cast<std::size_t>(i)];
    });
  }
  release();
  std::promise<std::uint64_t> transactions;
  thread_->put(row("last"),
               [&](const Status&) { transactions.set_value(thread_->transactions()); });

  EXPECT_LE(transactions.get_future().get(), before + 2);  // "last" may come too late for the first
  EXPECT_THAT(answers, Each(1));
  stop();
  EXPECT_THAT(rows(), SizeIs(kRows + 2));
}

TEST_F(StoreThreadTest, TheNewestRowOfAServerIsTheOneThatStays) {
  start();
  hold();
  for (std::uint64_t generation = 1; generation <= 50; ++generation) {
    thread_->put(row("chat", generation), [](const Status&) {});
  }
  release();
  stop();

  EXPECT_EQ(rows().front(), row("chat", 50));
}

TEST_F(StoreThreadTest, WhatWaitsIsWrittenBeforeTheThreadEnds) {
  int answers = 0;
  start();
  hold();
  for (int i = 0; i < 10; ++i) {
    thread_->put(row(fmt::format("server-{}", i)), [&](const Status& written) {
      if (written) ++answers;
    });
  }
  release();
  stop();

  EXPECT_EQ(answers, 10);
  EXPECT_THAT(rows(), SizeIs(11));
}

TEST_F(StoreThreadTest, ARowThatIsPutByDoneDuringTheEndIsWrittenToo) {
  start();
  hold();
  thread_->put(row("first"), [&](const Status&) { thread_->put(row("second"), [](auto) {}); });
  release();
  stop();

  EXPECT_THAT(rows(), SizeIs(3));
}

TEST_F(StoreThreadTest, AFullInboxRefusesAtOnceAndNamesTheServer) {
  start();
  hold();
  for (std::size_t i = 0; i < kInboxMax; ++i)
    thread_->put(row("chat"), [](const Status&) {});

  std::optional<Status> refused;
  thread_->put(row("image"), [&](const Status& written) { refused = written; });

  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(
      refused->error(),
      (Error{ErrorCode::queue_full,
             "4096 changes wait for the disk, the row of \"image\" was not taken; check whether "
             "the disk of the state directory still answers"}));
  release();
}

TEST_F(StoreThreadTest, AFailedTransactionAnswersEveryRowOfIt) {
  const FaultyVfs disk;
  std::vector<ErrorCode> errors;
  start();
  hold();
  for (int i = 0; i < 3; ++i) {
    thread_->put(row(fmt::format("server-{}", i)), [&](const Status& written) {
      if (!written) errors.push_back(written.error().code);
    });
  }
  FaultyVfs::is_full = true;
  release();
  stop();

  EXPECT_THAT(errors, testing::ElementsAre(ErrorCode::disk_full, ErrorCode::disk_full,
                                           ErrorCode::disk_full));
}

}  // namespace
}  // namespace berth::store
