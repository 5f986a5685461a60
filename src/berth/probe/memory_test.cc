// SPDX-License-Identifier: Apache-2.0
#include "berth/probe/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace berth::probe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Recorded: Linux 6.18.
constexpr std::string_view kRollup =
    "561ccddce000-7fff70341000 ---p 00000000 00:00 0                          [rollup]\n"
    "Rss:                1640 kB\nPss:                 438 kB\nPss_Dirty:           112 kB\n"
    "Pss_Anon:            112 kB\nPss_File:            322 kB\nPss_Shmem:             4 kB\n"
    "Shared_Clean:       1436 kB\nSwapPss:               0 kB\n";

constexpr std::string_view kStat =
    "5181 (cat) R 5171 5171 3598 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 1 0 97102 3133440 380 "
    "18446744073709551615 94820522741760 94820522761641 140720454470704 0 0 0 0 0 0 0 0 0 17 1\n";

TEST(SmapsRollup, IsReadInBytes) {
  const Result<Rollup> rollup = parse_smaps_rollup(kRollup);
  ASSERT_TRUE(rollup);
  EXPECT_EQ(rollup->pss, Bytes{438 * 1024});
  EXPECT_EQ(rollup->pss_anon_shmem, Bytes{(112 + 4) * 1024});
}

TEST(SmapsRollup, WithAMissingOrStrangeLineIsAnErrorThatNamesIt) {
  const Result<Rollup> empty = parse_smaps_rollup("");
  ASSERT_FALSE(empty);
  EXPECT_THAT(empty.error().message, HasSubstr("Pss:"));
  const Result<Rollup> old_kernel = parse_smaps_rollup("Rss: 1 kB\nPss: 438 kB\n");
  ASSERT_FALSE(old_kernel);
  EXPECT_THAT(old_kernel.error().message, HasSubstr("Pss_Anon:"));
  EXPECT_FALSE(parse_smaps_rollup("Pss: many kB\nPss_Anon: 1 kB\nPss_Shmem: 0 kB\n"));
  EXPECT_FALSE(parse_smaps_rollup("Pss: 438 MB\nPss_Anon: 1 kB\nPss_Shmem: 0 kB\n"));
}

TEST(Stat, GivesSessionAndStartTime) {
  const Result<ProcessStat> stat = parse_stat(kStat);
  ASSERT_TRUE(stat);
  EXPECT_EQ(
      *stat,
      (ProcessStat{
          .pid = 5181, .program = "cat", .state = 'R', .session = 3598, .start_time = 97102}));
}

TEST(Stat, OfAProgramWithBlanksAndParenthesesInItsNameIsReadAllTheSame) {
  std::string text(kStat);
  text.replace(text.find("cat"), 3, "a) R 1 (b");
  const Result<ProcessStat> stat = parse_stat(text);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->program, "a) R 1 (b");
  EXPECT_EQ(stat->session, 3598);
}

TEST(Stat, ThatIsCutOffIsAnError) {
  EXPECT_FALSE(parse_stat(""));
  EXPECT_FALSE(parse_stat("5181 (cat"));
  EXPECT_FALSE(parse_stat(kStat.substr(0, 60)));
}

TEST(Stat, CpuTimeIsThatInUserAndInSystemMode) {
  std::string text(kStat);
  text.replace(text.find("98 0 0 0 0 0"), 12, "98 0 0 0 30 4");
  const Result<ProcessStat> stat = parse_stat(text);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->cpu_ticks, 34u);
}

TEST(MemInfo, IsReadInBytes) {
  const Result<HostMemory> host = parse_meminfo(
      "MemTotal:       24683656 kB\nMemFree:        24488020 kB\nMemAvailable:   24423736 kB\n");
  ASSERT_TRUE(host);
  EXPECT_EQ(host->total, Bytes{24683656LL * 1024});
  EXPECT_EQ(host->available, Bytes{24423736LL * 1024});
}

TEST(MemInfo, WithoutMemAvailableIsAnError) {
  EXPECT_FALSE(parse_meminfo("MemTotal: 1 kB\n"));
}

TEST(Host, HasMemory) {
  const Result<HostMemory> host = read_host();
  ASSERT_TRUE(host) << host.error().message;
  EXPECT_GT(host->total, host->available);
  EXPECT_GT(host->available, Bytes{0});
}

/// A child in a session of its own that touches `size` and waits until it is killed.
class Child {
 public:
  explicit Child(std::size_t size, bool readable = true) {
    int ready[2];
    if (::pipe(ready) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) run(size, readable, ready[1]);
    char byte = 0;
    ready_ = ::read(ready[0], &byte, 1) == 1;
    for (const int end : ready)
      ::close(end);
  }
  ~Child() { kill_and_reap(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool ready() const { return ready_; }
  void make_zombie() const {
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  void kill_and_reap() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  [[noreturn]] static void run(std::size_t size, bool readable, int ready) {
    ::setsid();
    if (!readable) ::prctl(PR_SET_DUMPABLE, 0);  // so that its own user may not look into it
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED || ::write(ready, "r", 1) != 1) ::_exit(1);
    while (true)
      ::pause();
  }

  pid_t pid_ = 0;
  bool ready_ = false;
};

TEST(Sessions, HoldWhatTheirProcessesTouched) {
  const Child child(std::size_t{32} << 20);
  ASSERT_TRUE(child.ready());
  const pid_t sessions[] = {child.pid()};
  const auto memories = read_sessions(sessions);
  ASSERT_TRUE(memories) << memories.error().message;
  ASSERT_EQ(memories->size(), 1u);
  const ProcessMemory& memory = memories->front();
  EXPECT_EQ(memory.pid, child.pid());
  EXPECT_EQ(memory.session, child.pid());
  EXPECT_GT(memory.start_time, 0u);
  EXPECT_EQ(memory.program, "probe_test");
  EXPECT_GE(memory.pss_anon_shmem, 32_MiB);
  EXPECT_GE(memory.pss, memory.pss_anon_shmem);
}

/// Reads the session as a user who may not look into it. Returns 0 if that is an error with the
/// pid.
int read_without_permission(pid_t session) {
  if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 1;
  const pid_t sessions[] = {session};
  const auto memories = read_sessions(sessions);
  if (memories) return 2;
  const std::string expected = "process " + std::to_string(session) + " (probe_test)";
  return memories.error().message.find(expected) == std::string::npos ? 3 : 0;
}

TEST(Sessions, WithAProcessThatCannotBeReadAreAnErrorThatNamesIt) {
  const Child child(std::size_t{1} << 20, /*readable=*/false);
  ASSERT_TRUE(child.ready());
  const pid_t reader = ::fork();
  if (reader == 0) ::_exit(read_without_permission(child.pid()));
  int status = 0;
  ::waitpid(reader, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Sessions, ListAZombieWithNoMemory) {
  const Child child(std::size_t{1} << 20);
  ASSERT_TRUE(child.ready());
  child.make_zombie();
  const pid_t sessions[] = {child.pid()};
  const auto memories = read_sessions(sessions);
  ASSERT_TRUE(memories) << memories.error().message;
  ASSERT_EQ(memories->size(), 1u);
  EXPECT_EQ(memories->front().pss, Bytes{0});
}

/// A child in a session of its own whose helper stays when it ends. The helper is forked twice and
/// is in a process group of its own, so that only its session tells whose it is.
class ChildWithHelper {
 public:
  explicit ChildWithHelper(bool leaves_session) {
    int told[2];
    if (::pipe(told) != 0) return;
    session_ = ::fork();
    if (session_ == 0) run(leaves_session, told[1]);
    ::close(told[1]);
    if (::read(told[0], &helper_, sizeof helper_) != sizeof helper_) helper_ = 0;
    ::close(told[0]);
    ::waitpid(session_, nullptr, 0);
  }
  ~ChildWithHelper() {
    if (helper_ > 0) ::kill(helper_, SIGKILL);
  }
  ChildWithHelper(const ChildWithHelper&) = delete;
  ChildWithHelper& operator=(const ChildWithHelper&) = delete;

  [[nodiscard]] pid_t session() const { return session_; }
  [[nodiscard]] pid_t helper() const { return helper_; }

 private:
  [[noreturn]] static void run(bool leaves_session, int told) {
    ::setsid();
    const pid_t middle = ::fork();
    if (middle != 0) ::_exit(::waitpid(middle, nullptr, 0) == middle ? 0 : 1);
    if (::fork() != 0) ::_exit(0);
    if (leaves_session) ::setsid();
    ::setpgid(0, 0);  // the leader of a session is one of a group already
    const pid_t self = ::getpid();
    if (::write(told, &self, sizeof self) != sizeof self) ::_exit(1);
    while (true)
      ::pause();
  }

  pid_t session_ = 0;
  pid_t helper_ = 0;
};

TEST(Sessions, HoldAHelperThatWasForkedTwiceIntoAGroupOfItsOwn) {
  const ChildWithHelper child(/*leaves_session=*/false);
  ASSERT_GT(child.helper(), 0);
  ASSERT_NE(::getpgid(child.helper()), child.session());
  const pid_t sessions[] = {child.session()};
  const auto memories = read_sessions(sessions);
  ASSERT_TRUE(memories) << memories.error().message;
  ASSERT_EQ(memories->size(), 1u);
  EXPECT_EQ(memories->front().pid, child.helper());
  EXPECT_GT(memories->front().pss, Bytes{0});
}

TEST(Sessions, DoNotHoldWhoLeftThemForASessionOfTheirOwn) {
  const ChildWithHelper child(/*leaves_session=*/true);
  ASSERT_GT(child.helper(), 0);
  const pid_t sessions[] = {child.session()};
  EXPECT_THAT(*read_sessions(sessions), ElementsAre());
  const pid_t own[] = {child.helper()};
  EXPECT_EQ(read_sessions(own)->size(), 1u);
}

/// A process that was executed with a tag and has left its parent and its session.
class TaggedHelper {
 public:
  explicit TaggedHelper(std::string tag) {
    int told[2];
    if (::pipe(told) != 0) return;
    const pid_t child = ::fork();
    if (child == 0) become(std::move(tag), told[1]);
    ::close(told[1]);
    char text[16] = {};
    if (::read(told[0], text, sizeof text - 1) > 0) pid_ = std::atoi(text);
    ::close(told[0]);
    ::waitpid(child, nullptr, 0);
  }
  ~TaggedHelper() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
  }
  TaggedHelper(const TaggedHelper&) = delete;
  TaggedHelper& operator=(const TaggedHelper&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  [[noreturn]] static void become(std::string tag, int told) {
    if (::fork() != 0) ::_exit(0);
    ::setsid();
    ::dup2(told, STDOUT_FILENO);
    char* const environment[] = {tag.data(), nullptr};
    ::execle("/bin/sh", "sh", "-c", "echo $$; kill -STOP $$", nullptr, environment);
    ::_exit(1);
  }

  pid_t pid_ = 0;
};

TEST(Tags, AreFoundAtAHelperThatLeftItsSessionAndItsParent) {
  const TaggedHelper helper("BERTH_LEASE=mine");
  ASSERT_GT(helper.pid(), 0);
  const std::string tags[] = {"BERTH_LEASE=other", "BERTH_LEASE=mine"};
  const auto memories = read_sessions({}, tags);
  ASSERT_TRUE(memories) << memories.error().message;
  ASSERT_EQ(memories->size(), 1u);
  EXPECT_EQ(memories->front().pid, helper.pid());
  EXPECT_EQ(memories->front().tag, tags[1]);
  EXPECT_GT(memories->front().pss, Bytes{0});
}

TEST(Tags, WithAnotherValueAreNobodys) {
  const TaggedHelper helper("BERTH_LEASE=mine");
  ASSERT_GT(helper.pid(), 0);
  const std::string tags[] = {"BERTH_LEASE=min", "BERTH_LEASE=mine2"};
  EXPECT_THAT(*read_sessions({}, tags), ElementsAre());
}

TEST(Tags, StandAsAWholeEntryOfTheEnvironment) {
  using namespace std::string_view_literals;
  const std::string tags[] = {"BERTH_LEASE=7-ab"};
  EXPECT_EQ(find_tag("HOME=/\0BERTH_LEASE=7-ab\0X=1\0"sv, tags), tags[0]);
  EXPECT_EQ(find_tag("BERTH_LEASE=7-ab", tags), tags[0]);
  EXPECT_EQ(find_tag("X=BERTH_LEASE=7-ab\0BERTH_LEASE=7-abc\0"sv, tags), "");
  EXPECT_EQ(find_tag("", tags), "");
}

TEST(Sessions, LeaveOutWhoIsGoneAndWhoBelongsToOthers) {
  Child gone(std::size_t{1} << 20);
  const Child other(std::size_t{1} << 20);
  const pid_t sessions[] = {gone.pid()};
  gone.kill_and_reap();
  const auto memories = read_sessions(sessions);
  ASSERT_TRUE(memories) << memories.error().message;
  EXPECT_THAT(*memories, ElementsAre());
  EXPECT_THAT(*read_sessions({}), ElementsAre());
}

}  // namespace
}  // namespace berth::probe
