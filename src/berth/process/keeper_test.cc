// SPDX-License-Identifier: Apache-2.0
// What outlives what: Berth, the keeper, the server, its helpers.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>

#include "berth/process/process_test_support.h"

namespace berth::process {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class KeeperTest : public ProcessTest {
 protected:
  /// Replaces a member of the pid record, as if it had been written at another time.
  void change_record(const std::string& from, const std::string& to) {
    std::string text = content_of(directory() + "/pid");
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, from.size(), to);
    std::filesystem::remove(directory() + "/pid");
    write_text(directory() + "/pid", text);
  }
  [[nodiscard]] std::string lock_path(const char* name = "alive.lock") const {
    return folder_.path() + "/" + name;
  }
};

TEST_F(KeeperTest, TheServerDiesWithItsKeeperAndItsEndIsUnknown) {
  const std::unique_ptr<Process> process = start_ready(options({"ignore-term"}));
  ASSERT_TRUE(process);
  ASSERT_EQ(::kill(process->identity().keeper_pid, SIGKILL), 0);
  EXPECT_EQ(run(process->exited()).kind, ExitStatus::Kind::unknown);
  EXPECT_TRUE(ends(process->identity().pid));
}

TEST_F(KeeperTest, TheServerOutlivesItsObjectAndCanBeAdopted) {
  std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  const Identity identity = process->identity();
  process.reset();
  const auto adopted = adopt();
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_EQ((*adopted)->identity(), identity);
  EXPECT_TRUE((*adopted)->running());
  ASSERT_TRUE((*adopted)->signal(SIGTERM));
  EXPECT_EQ(to_text(run((*adopted)->exited())), "killed by signal 15 (SIGTERM)");
}

TEST_F(KeeperTest, AnAdoptedLogBeginsWhereAskedFor) {
  ASSERT_TRUE(start_ready(options({"wait"})));
  for (const LogFrom from : {LogFrom::beginning, LogFrom::end}) {
    const auto adopted = adopt(from);
    ASSERT_TRUE(adopted) << adopted.error().message;
    std::vector<std::string> lines;
    (*adopted)->on_line([&](std::string_view line) { lines.emplace_back(line); });
    write_text(directory() + "/log", from == LogFrom::beginning ? "first\n" : "second\n");
    const std::size_t expected = from == LogFrom::beginning ? 2 : 1;
    EXPECT_TRUE(until([&] { return lines.size() == expected; }));
    EXPECT_EQ(lines.front(), from == LogFrom::beginning ? "ready" : "second");
  }
}

TEST_F(KeeperTest, AProcessThatHasTheNumberButAnotherStartTimeIsNotAdopted) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  const std::string start_time = std::to_string(process->identity().start_time);
  change_record("\"start_time\":" + start_time, "\"start_time\":1");
  const auto adopted = adopt();
  ASSERT_FALSE(adopted);
  EXPECT_EQ(adopted.error().code, ErrorCode::not_found);
  EXPECT_THAT(*scan(root()), ElementsAre(testing::Field(&FoundDirectory::alive, false)));
  EXPECT_TRUE(process::signal_session(directory(), SIGKILL));  // a stranger's session: not touched
  EXPECT_TRUE(process->running());
  EXPECT_TRUE(process->signal_session(SIGKILL));
}

TEST_F(KeeperTest, AProcessOfAnotherBootIsNotAdopted) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  change_record(read_boot_id(), "another boot");
  EXPECT_FALSE(adopt());
  EXPECT_TRUE(process::signal_session(directory(), SIGKILL));
  EXPECT_TRUE(process->running());
  EXPECT_TRUE(process->signal_session(SIGKILL));
}

TEST_F(KeeperTest, AServerThatABerthOfAnotherVersionRecordedIsAMysteryAndNotTouched) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  change_record("\"format\":1", "\"format\":2");
  EXPECT_FALSE(adopt());
  const auto found = scan(root());
  ASSERT_THAT(*found, SizeIs(1));
  EXPECT_TRUE(found->front().is_mystery());
  EXPECT_THAT(found->front().unreadable->message, HasSubstr("another version"));
  EXPECT_FALSE(process::signal_session(directory(), SIGKILL));
  EXPECT_TRUE(process->running());
  EXPECT_TRUE(process->signal_session(SIGKILL));
}

TEST_F(KeeperTest, AKeeperThatIsStoppedIsKilledWhenNothingOfItsServerIsLeft) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  const Identity identity = process->identity();
  ASSERT_EQ(::kill(identity.keeper_pid, SIGSTOP), 0);
  EXPECT_FALSE(run(end_keeper(identity, 20ms))) << "its server still runs";
  EXPECT_TRUE(process->running());
  EXPECT_TRUE(process->signal_session(SIGKILL));
  EXPECT_TRUE(run(end_keeper(identity, 20ms)));
}

TEST_F(KeeperTest, WhatHasEndedOrNeverWasIsNotAdopted) {
  EXPECT_EQ(adopt().error().code, ErrorCode::not_found);
  const std::unique_ptr<Process> process = start(options({"exit", "0"}));
  ASSERT_TRUE(process);
  run(process->exited());
  EXPECT_EQ(adopt().error().code, ErrorCode::not_found);
}

// Berth died between the start of the keeper and the pid file.
TEST_F(KeeperTest, AServerThatIsAboutToStartIsAwaitedAndAdopted) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  const std::string record = content_of(directory() + "/pid");
  std::filesystem::remove(directory() + "/pid");
  EXPECT_THAT(*scan(root()), ElementsAre(testing::Field(&FoundDirectory::keeper_alive, true)));
  boost::asio::post(io_, [&] {
    write_text(directory() + "/pid.new", record);
    std::filesystem::rename(directory() + "/pid.new", directory() + "/pid");
  });
  const auto adopted = adopt();
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_EQ((*adopted)->identity(), process->identity());
}

TEST_F(KeeperTest, AHelperThatOutlivesTheServerIsSeenAndCanBeKilled) {
  const std::unique_ptr<Process> process = start(options({"leave-helper"}));
  ASSERT_TRUE(process);
  EXPECT_EQ(to_text(run(process->exited())), "exit code 0");
  EXPECT_FALSE(process->running());
  EXPECT_FALSE(process->session_empty());
  const auto found = scan(root());
  ASSERT_TRUE(found);
  ASSERT_THAT(*found, SizeIs(1));
  EXPECT_FALSE(found->front().alive);
  EXPECT_TRUE(found->front().keeper_alive);
  EXPECT_EQ(found->front().session_members, 1);
  EXPECT_TRUE(process->signal_session(SIGKILL));
  EXPECT_TRUE(ends(process->identity().keeper_pid)) << "nothing is left to keep";
  EXPECT_TRUE(process->session_empty());
  EXPECT_TRUE(process->signal_session(SIGKILL)) << "nobody left is a success";
}

TEST_F(KeeperTest, AServerWithoutBerthIsStoppedAfterTheOrphanTimeout) {
  std::optional<AliveLock> lock(std::move(*AliveLock::acquire(lock_path())));
  StartOptions start_options = options({"wait"});
  start_options.alive_lock = lock_path();
  start_options.orphan_timeout = 100ms;
  const std::unique_ptr<Process> process = start_ready(start_options);
  ASSERT_TRUE(process);
  lock.reset();
  EXPECT_EQ(to_text(run(process->exited())), "killed by signal 15 (SIGTERM)");
}

// The keeper ends when no descendant is left, and this fixture waits for its end.
TEST_F(KeeperTest, AnOrphanThatIgnoresTermIsKilledWithAllItsDescendants) {
  std::optional<AliveLock> lock(std::move(*AliveLock::acquire(lock_path())));
  StartOptions start_options = options({"stubborn"});
  start_options.alive_lock = lock_path();
  start_options.orphan_timeout = 50ms;
  start_options.stop_grace = 50ms;
  const std::unique_ptr<Process> process = start_ready(start_options);
  ASSERT_TRUE(process);
  lock.reset();
  EXPECT_EQ(to_text(run(process->exited())), "killed by signal 9 (SIGKILL)");
  EXPECT_TRUE(ends(process->identity().keeper_pid));
  EXPECT_TRUE(process->session_empty());
}

// The end of a second server, orphaned later, says that the first one's time has passed.
TEST_F(KeeperTest, AServerWhoseBerthCameBackInTimeGoesOn) {
  std::optional<AliveLock> lock(std::move(*AliveLock::acquire(lock_path())));
  std::optional<AliveLock> other(std::move(*AliveLock::acquire(lock_path("other.lock"))));
  StartOptions first = options({"wait"}, 1);
  first.alive_lock = lock_path();
  first.orphan_timeout = 300ms;
  StartOptions second = options({"wait"}, 2);
  second.alive_lock = lock_path("other.lock");
  second.orphan_timeout = 300ms;
  const std::unique_ptr<Process> kept = start_ready(first);
  const std::unique_ptr<Process> orphan = start_ready(second);
  ASSERT_TRUE(kept && orphan);
  lock.reset();
  lock.emplace(std::move(*AliveLock::acquire(lock_path())));
  other.reset();
  run(orphan->exited());
  EXPECT_TRUE(kept->running());
}

TEST_F(KeeperTest, AKeeperThatIsToldToEndStopsItsServerFirst) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  ASSERT_EQ(::kill(process->identity().keeper_pid, SIGTERM), 0);
  EXPECT_EQ(to_text(run(process->exited())), "killed by signal 15 (SIGTERM)");
  EXPECT_TRUE(ends(process->identity().keeper_pid));
}

TEST_F(KeeperTest, ADirectoryHasOneKeeper) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  const pid_t second = ::fork();
  if (second == 0) {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDERR_FILENO);
    ::execl(BERTH_TEST_KEEPER, "berth-keeper", directory().c_str(), nullptr);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(second, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 66);
  EXPECT_TRUE(process->running());
}

TEST_F(KeeperTest, ALockThatCannotBeWatchedIsAFailedStart) {
  StartOptions start_options = options({"wait"});
  start_options.alive_lock = "/no/such/lock";
  const auto started = run(Process::start(io_.get_executor(), start_options));
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("alive lock /no/such/lock"));
}

TEST_F(KeeperTest, ScanListsWhatRecoveryNeeds) {
  EXPECT_THAT(*scan(root()), SizeIs(0)) << "the folder does not exist yet";
  const std::unique_ptr<Process> ended = start(options({"exit", "5"}, 9));
  ASSERT_TRUE(ended);
  run(ended->exited());
  const std::unique_ptr<Process> alive = start_ready(options({"wait"}, 10));
  std::filesystem::create_directories(root() + "/chat/not a generation");
  const auto found = scan(root());
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_THAT(*found, SizeIs(2));
  const FoundDirectory& first = found->front();
  EXPECT_EQ(first.server, "chat");
  EXPECT_EQ(first.generation, Generation{9});
  EXPECT_EQ(first.identity, ended->identity());
  EXPECT_FALSE(first.alive);
  EXPECT_EQ(to_text(first.exit.value_or(ExitStatus{})), "exit code 5");
  EXPECT_EQ(first.session_members, 0);
  const FoundDirectory& second = found->back();
  EXPECT_EQ(second.generation, Generation{10});
  EXPECT_EQ(second.directory, directory(10));
  EXPECT_TRUE(second.alive && second.keeper_alive);
  EXPECT_EQ(second.exit, std::nullopt);
  EXPECT_EQ(second.session_members, 1);
}

TEST_F(KeeperTest, OldDirectoriesAreRemovedUnlessSomethingLivesInThem) {
  const std::unique_ptr<Process> alive = start_ready(options({"wait"}, 1));
  for (const int generation : {2, 3, 9, 10}) {
    std::filesystem::create_directories(directory(generation));
  }
  const Status removed = remove_old_directories(root(), "chat", 2);
  ASSERT_TRUE(removed) << removed.error().message;
  std::vector<std::uint64_t> left;
  const auto found = scan(root());
  ASSERT_TRUE(found);
  for (const FoundDirectory& each : *found) {
    left.push_back(each.generation.value);
  }
  EXPECT_THAT(left, ElementsAre(1, 9, 10));
  EXPECT_TRUE(remove_old_directories(root(), "never started"));
}

TEST(ExitStatusText, IsASentenceForPeople) {
  using Kind = ExitStatus::Kind;
  EXPECT_EQ(to_text(ExitStatus{.kind = Kind::exited, .value = 1}), "exit code 1");
  EXPECT_EQ(to_text(ExitStatus{.kind = Kind::signalled, .value = 6}),
            "killed by signal 6 (SIGABRT)");
  EXPECT_EQ(to_text(ExitStatus{.kind = Kind::signalled, .value = 40}),
            "killed by signal 40 (unnamed)");
  EXPECT_EQ(to_text(ExitStatus{}), "ended in an unknown way: its keeper is gone");
}

TEST(ProcStat, OfAProgramWithBlanksAndParenthesesInItsNameIsReadAllTheSame) {
  const auto stat = parse_proc_stat(
      "5181 (a) R 1 (b) S 5171 5171 3598 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 1 0 97102 3133440\n");
  ASSERT_TRUE(stat);
  EXPECT_EQ(
      *stat,
      (ProcStat{.pid = 5181, .state = 'S', .parent = 5171, .session = 3598, .start_time = 97102}));
  EXPECT_FALSE(parse_proc_stat("5181 (cat) S 5171"));
  EXPECT_FALSE(parse_proc_stat(""));
}

}  // namespace
}  // namespace berth::process
