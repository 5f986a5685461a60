// SPDX-License-Identifier: Apache-2.0
#include "berth/process/directory_watches.h"

#include <fcntl.h>

#include "berth/process/process_test_support.h"

namespace berth::process {
namespace {

namespace fs = std::filesystem;

class DirectoryWatchesTest : public testing::Test {
 protected:
  using Key = DirectoryWatches::Key;

  std::string folder(const std::string& name) {
    const std::string path = folder_.path() + "/" + name;
    fs::create_directories(path);
    return path;
  }

  /// Counts in `told` how often the directory was told of.
  Key add(const std::string& directory, int& told) {
    const auto key = watches_.add(io_.get_executor(), directory, [&told] { ++told; });
    EXPECT_TRUE(key) << (key ? "" : key.error().message);
    return key ? *key : 0;
  }

  /// Runs what there is to run now.
  void run() {
    io_.restart();
    io_.poll();
  }

  TemporaryFolder folder_;
  boost::asio::io_context io_;
  DirectoryWatches& watches_ = DirectoryWatches::of(io_.get_executor());
};

TEST_F(DirectoryWatchesTest, TellEachOnceWhoseDirectoryHasChanged) {
  int here = 0;
  int there = 0;
  add(folder("here"), here);
  add(folder("there"), there);
  write_text(folder("here") + "/log", "a line");
  write_text(folder("here") + "/log", "another");
  run();
  EXPECT_EQ(here, 1);
  EXPECT_EQ(there, 0);
  fs::rename(folder("here") + "/log", folder("there") + "/log");
  run();
  EXPECT_EQ(here, 1) << "nothing came";
  EXPECT_EQ(there, 1);
}

TEST_F(DirectoryWatchesTest, ADirectoryWatchedTwiceIsToldUntilTheLastHasGone) {
  int first = 0;
  int second = 0;
  const Key first_key = add(folder("here"), first);
  const Key second_key = add(folder("here"), second);
  watches_.remove(first_key);
  run();
  EXPECT_EQ(second, 0) << "its watch stays";
  write_text(folder("here") + "/log", "a line");
  run();
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
  watches_.remove(second_key);
  write_text(folder("here") + "/log", "a line");
  run();
  EXPECT_EQ(second, 1);
}

TEST_F(DirectoryWatchesTest, NobodyWhoWatchesIsNothingToWaitFor) {
  int told = 0;
  const Key key = add(folder("here"), told);
  fs::remove_all(folder("here"));
  run();
  EXPECT_FALSE(io_.stopped());
  watches_.remove(key);
  EXPECT_EQ(io_.run_for(kPatience), 1u) << "the wait that was given up";
  EXPECT_TRUE(io_.stopped());
}

TEST_F(DirectoryWatchesTest, WhoComesWhenTheLastHasJustGoneIsTold) {
  int told = 0;
  watches_.remove(add(folder("here"), told));
  add(folder("there"), told);
  run();  // the wait of before ends here
  write_text(folder("there") + "/log", "a line");
  run();
  EXPECT_EQ(told, 1);
}

TEST_F(DirectoryWatchesTest, AfterMoreChangesThanTheKernelKeepsEveryoneIsTold) {
  int busy = 0;
  int quiet = 0;
  add(folder("busy"), busy);
  add(folder("quiet"), quiet);
  const int queue = std::stoi(content_of("/proc/sys/fs/inotify/max_queued_events"));
  for (int i = 0; i <= queue; ++i) {  // equal ones that follow each other count once
    const std::string file = folder_.path() + (i % 2 == 0 ? "/busy/a" : "/busy/b");
    UniqueFd(::open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ::unlink(file.c_str());
  }
  write_text(folder("quiet") + "/log", "a line that is lost");
  run();
  EXPECT_EQ(busy, 1);
  EXPECT_EQ(quiet, 1);
}

TEST_F(DirectoryWatchesTest, AMissingDirectoryIsAnErrorThatNamesIt) {
  const auto key = watches_.add(io_.get_executor(), "/no/such/place", [] {});
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code, ErrorCode::not_found);
  EXPECT_EQ(key.error().message, "there is no directory /no/such/place");
}

}  // namespace
}  // namespace berth::process
