// SPDX-License-Identifier: Apache-2.0
#include "berth/probe/machine.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

namespace berth::probe {
namespace {

using testing::HasSubstr;

/// A folder that looks like /sys/fs/cgroup.
class Groups : public testing::Test {
 protected:
  ~Groups() override { std::filesystem::remove_all(mounts_); }

  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path full = mounts_ + "/" + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  /// Version 2: what the group holds is anonymous, and page cache that can be taken back.
  void group(const std::string& path, const std::string& limit, Bytes anonymous,
             Bytes cache) const {
    write(path + "/memory.max", limit + "\n");
    write(path + "/memory.current", std::to_string((anonymous + cache).count) + "\n");
    write(path + "/memory.stat", "anon 1\ninactive_file " + std::to_string(cache.count) +
                                     "\nactive_file 0\nfile_mapped 7\n");
  }
  [[nodiscard]] Result<HostMemory> within(const std::string& groups) const {
    return within_groups(HostMemory{.total = 32_GiB, .available = 20_GiB}, groups, mounts_);
  }

  std::string mounts_ =
      std::filesystem::temp_directory_path() / ("berth-groups-" + std::to_string(::getpid()));
};

TEST_F(Groups, WithoutALimitLeaveTheMachineAsItIs) {
  group("session", "max", 1_GiB, 1_GiB);
  for (const std::string groups :
       {"", "0::/\n", "0::/session\n", "0::/session/../elsewhere\n", "nonsense"}) {
    const Result<HostMemory> memory = within(groups);
    ASSERT_TRUE(memory);
    EXPECT_EQ(*memory, (HostMemory{.total = 32_GiB, .available = 20_GiB})) << groups;
  }
}

TEST_F(Groups, ALimitIsTheTotalAndPageCacheCountsAsAvailable) {
  group("box", std::to_string((8_GiB).count), 2_GiB, 3_GiB);
  const Result<HostMemory> memory = within("0::/box\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(*memory, (HostMemory{.total = 8_GiB, .available = 6_GiB}));
}

TEST_F(Groups, TheSmallestLimitUpToTheRootCounts) {
  group("box", std::to_string((8_GiB).count), 7_GiB, Bytes{});
  group("box/inner", std::to_string((12_GiB).count), 1_GiB, Bytes{});
  const Result<HostMemory> memory = within("0::/box/inner\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(*memory, (HostMemory{.total = 8_GiB, .available = 1_GiB}));
}

TEST_F(Groups, WhatOthersHoldOfALargerGroupIsNotAvailableInASmallerOne) {
  group("box", std::to_string((12_GiB).count), 11_GiB, Bytes{});
  group("box/inner", std::to_string((8_GiB).count), 1_GiB, Bytes{});
  const Result<HostMemory> memory = within("0::/box/inner\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(*memory, (HostMemory{.total = 8_GiB, .available = 1_GiB}));
}

TEST_F(Groups, ALimitBeyondTheMachineIsNone) {
  group("box", "9223372036854771712", 1_GiB, Bytes{});
  const Result<HostMemory> memory = within("0::/box\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total, 32_GiB);
}

TEST_F(Groups, OfVersionOneAreReadFromTheirOwnHierarchy) {
  write("memory/box/memory.limit_in_bytes", std::to_string((4_GiB).count) + "\n");
  write("memory/box/memory.usage_in_bytes", std::to_string((3_GiB).count) + "\n");
  write("memory/box/memory.stat",
        "inactive_file 1\nactive_file 1\ntotal_inactive_file 0\ntotal_active_file " +
            std::to_string((1_GiB).count) + "\n");
  const Result<HostMemory> memory = within("9:cpu,cpuacct:/other\n4:memory:/box\n0::/\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(*memory, (HostMemory{.total = 4_GiB, .available = 2_GiB}));
}

TEST_F(Groups, ALimitWithoutItsUseIsAnErrorAndNotAllFree) {
  write("box/memory.max", std::to_string((8_GiB).count) + "\n");
  const Result<HostMemory> memory = within("0::/box\n");
  ASSERT_FALSE(memory);
  EXPECT_THAT(memory.error().message, HasSubstr("/box has a limit"));
}

TEST(Status, IsReadInBytesWithTheNameAsItIs) {
  const auto other = parse_status(
      "Name:\ta) b\nUmask:\t0022\nVmRSS:\t  900 kB\nRssAnon:\t     156 kB\nRssFile:\t 1 kB\n"
      "RssShmem:\t       4 kB\n");
  ASSERT_TRUE(other);
  EXPECT_EQ(other->program, "a) b");
  EXPECT_EQ(other->bytes, Bytes{160 * 1024});
}

TEST(Status, OfAKernelThreadIsAnErrorAndNotZero) {
  EXPECT_FALSE(parse_status("Name:\tkthreadd\nThreads:\t1\n"));
  EXPECT_FALSE(parse_status(""));
}

TEST(Others, AreThoseThatHoldMostWithoutOurs) {
  std::vector<OtherProcess> others = read_others({}, 1000);
  ASSERT_FALSE(others.empty());
  EXPECT_TRUE(std::is_sorted(others.begin(), others.end(),
                             [](const auto& a, const auto& b) { return a.bytes > b.bytes; }));
  const auto is_self = [](const OtherProcess& other) { return other.pid == ::getpid(); };
  const auto self = std::find_if(others.begin(), others.end(), is_self);
  ASSERT_NE(self, others.end());
  EXPECT_GT(self->start_time, 0u);
  const pid_t ours[] = {::getpid()};
  others = read_others(ours, 1000);
  EXPECT_TRUE(std::none_of(others.begin(), others.end(), is_self));
}

TEST(Others, AreBoundedButForThoseWhoAreNamed) {
  const pid_t named[] = {::getpid()};
  EXPECT_EQ(read_others({}, 0, named).size(), 1u);
  EXPECT_LE(read_others({}, 1).size(), 1u);
}

}  // namespace
}  // namespace berth::probe
