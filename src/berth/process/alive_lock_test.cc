// SPDX-License-Identifier: Apache-2.0
#include "berth/process/alive_lock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>

#include <future>

#include "berth/process/process_test_support.h"

namespace berth::process {
namespace {

using testing::HasSubstr;

class AliveLockTest : public testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return folder_.path() + "/alive.lock"; }

  TemporaryFolder folder_;
};

TEST_F(AliveLockTest, TheSecondIsRefusedWithTheOwnersPidAndTheStateDirectory) {
  const Result<AliveLock> first = AliveLock::acquire(path());
  ASSERT_TRUE(first) << first.error().message;
  const Result<AliveLock> second = AliveLock::acquire(path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::already_running);
  EXPECT_THAT(second.error().message, HasSubstr("pid " + std::to_string(::getpid())));
  EXPECT_THAT(second.error().message, HasSubstr(folder_.path()));
}

TEST_F(AliveLockTest, IsFreeAgainWhenItsOwnerLetsItGo) {
  { ASSERT_TRUE(AliveLock::acquire(path())); }
  Result<AliveLock> again = AliveLock::acquire(path());
  ASSERT_TRUE(again) << again.error().message;
  AliveLock moved = std::move(*again);
  EXPECT_FALSE(AliveLock::acquire(path()));
}

TEST_F(AliveLockTest, OfAKilledOwnerIsFree) {
  const pid_t owner = ::fork();
  if (owner == 0) {
    const Result<AliveLock> lock = AliveLock::acquire(path());
    if (lock) ::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(owner, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(content_of(path()).substr(0, content_of(path()).find(' ')), std::to_string(owner));
  EXPECT_TRUE(AliveLock::acquire(path()));
}

TEST_F(AliveLockTest, NamesItsLivingOwnerAndNobodyWhenItIsFree) {
  EXPECT_FALSE(open_lock_owner(path())) << "no Berth ever ran there";
  {
    const Result<AliveLock> lock = AliveLock::acquire(path());
    ASSERT_TRUE(lock);
    EXPECT_TRUE(open_lock_owner(path()));
  }
  EXPECT_FALSE(open_lock_owner(path()));
}

TEST_F(AliveLockTest, OfADeviceIsRefusedToTheSecondWithTheOwnersPidAndTheDevice) {
  const std::string runtime = folder_.path() + "/run";
  const Result<AliveLock> first = AliveLock::acquire_device(runtime, "gpu0.vram", "vram");
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(AliveLock::acquire_device(runtime, "gpu1.vram", "vram")) << "another device is free";
  const Result<AliveLock> second = AliveLock::acquire_device(runtime, "gpu0.vram", "vram");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::already_running);
  EXPECT_THAT(second.error().message, HasSubstr("pid " + std::to_string(::getpid())));
  EXPECT_THAT(second.error().message, HasSubstr("\"gpu0.vram\""));
}

// Every keeper takes the lock for a moment when the owner has died.
TEST_F(AliveLockTest, IsNotRefusedBecauseAKeeperLooksAtIt) {
  UniqueFd keeper(::open(path().c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::flock(keeper.get(), LOCK_SH), 0);
  auto acquired = std::async(std::launch::async, [&] { return AliveLock::acquire(path()); });
  keeper.reset();
  const Result<AliveLock> lock = acquired.get();
  EXPECT_TRUE(lock) << lock.error().message;
}

}  // namespace
}  // namespace berth::process
