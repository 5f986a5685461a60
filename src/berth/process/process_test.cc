// SPDX-License-Identifier: Apache-2.0
// What a server gets from its keeper, and what Berth learns of it.
#include "berth/process/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "berth/process/process_test_support.h"

namespace berth::process {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

std::string in_hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes)
    text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

TEST_F(ProcessTest, ArgumentsArriveByteIdentical) {
  const std::vector<std::string> arguments = {"arguments", "with blank", "two\nlines",       "",
                                              "Grüße 船",  "\xff\xfe",   "--flag=\"'\\$HOME"};
  std::vector<std::string> expected = {"[" + in_hex(BERTH_TEST_CHILD) + "]"};
  for (const std::string& argument : arguments)
    expected.push_back("[" + in_hex(argument) + "]");
  EXPECT_EQ(lines_of(options(arguments)), expected);
}

TEST_F(ProcessTest, TheEnvironmentIsExactlyTheAllowList) {
  StartOptions start_options = options({"environment"});
  start_options.launch.environment = {"LLAMA_ARG=x y", "EMPTY="};
  EXPECT_THAT(lines_of(start_options), ElementsAre("LLAMA_ARG=x y", "EMPTY="));
}

TEST_F(ProcessTest, NoOpenFileIsInherited) {
  const UniqueFd leak(::open("/dev/zero", O_RDONLY));  // without O_CLOEXEC
  const std::vector<std::string> files = lines_of(options({"files"}));
  EXPECT_THAT(files, ElementsAre("0 /dev/null", StartsWith("1 pipe:"), StartsWith("2 pipe:")));
}

TEST_F(ProcessTest, TheServerHasASessionOfItsOwnBelowItsKeeper) {
  const std::unique_ptr<Process> process = start(options({"session"}));
  ASSERT_TRUE(process);
  run(process->exited());
  const Identity& identity = process->identity();
  EXPECT_THAT(process->log_tail(5),
              ElementsAre(fmt::format("{0} {0} {1}", identity.pid, identity.keeper_pid)));
  EXPECT_EQ(identity.session, identity.pid);
  EXPECT_THAT(identity.token, SizeIs(32));
}

TEST_F(ProcessTest, TheDirectoryIsPrivate) {
  const std::unique_ptr<Process> process = start(options({"exit", "0"}));
  ASSERT_TRUE(process);
  run(process->exited());
  const auto mode = [&](const std::string& file) {
    return std::filesystem::status(directory() + file).permissions();
  };
  EXPECT_EQ(mode(""), std::filesystem::perms::owner_all);
  for (const char* file : {"/spec", "/pid", "/log", "/exit"}) {
    EXPECT_EQ(mode(file), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << file;
  }
}

TEST_F(ProcessTest, AProgramWithoutASlashIsFoundInThePathOfItsEnvironment) {
  StartOptions start_options = options({});
  start_options.launch = {.argv = {"sh", "-c", "pwd; exit 3"},
                          .environment = {"PATH=/nowhere:/bin"},
                          .working_directory = folder_.path()};
  EXPECT_THAT(lines_of(start_options),
              ElementsAre(std::filesystem::canonical(folder_.path()).string()));
}

TEST_F(ProcessTest, EveryLineArrivesBeforeTheEndIsTold) {
  const std::vector<std::string> lines = lines_of(options({"lines", "2000"}));
  ASSERT_THAT(lines, SizeIs(2000));
  EXPECT_EQ(lines.front(), "line 0");
  EXPECT_EQ(lines.back(), "line 1999");  // it has no newline
}

TEST_F(ProcessTest, LinesThatAreThereAlreadyComeAfterTheSubscriptionNotInsideIt) {
  const std::unique_ptr<Process> process = start(options({"lines", "3"}));
  ASSERT_TRUE(process);
  run(process->exited());
  int lines = 0;
  int lines_inside = -1;
  boost::asio::post(io_, [&] {
    process->on_line([&](std::string_view) { ++lines; });
    lines_inside = lines;
  });
  EXPECT_TRUE(until([&] { return lines == 3; }));
  EXPECT_EQ(lines_inside, 0);
}

boost::asio::awaitable<bool> has_read_log(Process& process) {
  co_await process.read_log();
  co_return true;
}

TEST_F(ProcessTest, ALongLogOfAnAdoptedServerIsReadToItsEnd) {
  ASSERT_TRUE(start_ready(options({"wait"})));
  std::string text;
  for (int i = 0; i < 100'000; ++i)
    text += "a line of earlier\n";
  write_text(directory() + "/log", text);
  const auto adopted = adopt(LogFrom::beginning);
  ASSERT_TRUE(adopted) << adopted.error().message;
  int lines = 0;
  (*adopted)->on_line([&](std::string_view) { ++lines; });
  EXPECT_TRUE(run(has_read_log(**adopted)));
  EXPECT_EQ(lines, 1 + 100'000);
}

TEST_F(ProcessTest, TheLogKeepsToItsLimit) {
  StartOptions start_options = options({"lines", "3000"});
  start_options.log_limit = Bytes{8192};
  const std::unique_ptr<Process> process = start(start_options);
  ASSERT_TRUE(process);
  run(process->exited());
  EXPECT_LE(std::filesystem::file_size(directory() + "/log"), 8192u);
  EXPECT_EQ(std::filesystem::file_size(directory() + "/log.1"), 8192u);
  const std::vector<std::string> tail = process->log_tail(400);
  ASSERT_THAT(tail, SizeIs(400));
  EXPECT_EQ(tail.front(), "line 2600");
  EXPECT_EQ(tail.back(), "line 2999");
}

TEST_F(ProcessTest, TheExitCodeIsTold) {
  const std::unique_ptr<Process> process = start(options({"exit", "7"}));
  ASSERT_TRUE(process);
  const ExitStatus status = run(process->exited());
  EXPECT_EQ(to_text(status), "exit code 7");
  EXPECT_GT(status.at.unix_ms, 1'700'000'000'000);
  EXPECT_FALSE(process->running());
  EXPECT_EQ(run(process->exited()), status) << "also after the fact";
}

TEST_F(ProcessTest, TheSignalIsTold) {
  const std::unique_ptr<Process> process = start_ready(options({"ignore-term"}));
  ASSERT_TRUE(process);
  EXPECT_TRUE(process->running());
  EXPECT_TRUE(process->signal(SIGTERM));
  EXPECT_TRUE(process->signal(SIGKILL));
  EXPECT_EQ(to_text(run(process->exited())), "killed by signal 9 (SIGKILL)");
  const Status late = process->signal(SIGKILL);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::not_found);
}

TEST_F(ProcessTest, AMissingProgramIsAnAnswerThatNamesIt) {
  StartOptions start_options = options({});
  start_options.launch.argv = {"/no/such/llama-server"};
  const auto started = run(Process::start(io_.get_executor(), start_options));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::binary_missing);
  EXPECT_EQ(started.error().message, "cannot run /no/such/llama-server: No such file or directory");
  const auto exit = read_exit(directory());
  ASSERT_TRUE(exit && *exit);
  EXPECT_EQ(to_text(**exit), "could not be executed: No such file or directory");
}

TEST_F(ProcessTest, AMissingWorkingDirectoryIsAnAnswerThatNamesIt) {
  StartOptions start_options = options({"wait"});
  start_options.launch.working_directory = "/no/such/place";
  const auto started = run(Process::start(io_.get_executor(), start_options));
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("working directory /no/such/place: No such file"));
}

TEST_F(ProcessTest, AMissingKeeperIsAnAnswerThatNamesIt) {
  StartOptions start_options = options({"wait"});
  start_options.keeper_binary = "/no/such/keeper";
  const auto started = run(Process::start(io_.get_executor(), start_options));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::binary_missing);
  EXPECT_THAT(started.error().message, HasSubstr("/no/such/keeper: No such file or directory"));
}

TEST_F(ProcessTest, AKeeperThatEndsWithoutAWordIsNoticedAtOnce) {
  StartOptions start_options = options({"wait"});
  start_options.keeper_binary = "/bin/true";
  const auto started = run(Process::start(io_.get_executor(), start_options));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::start_failed);
}

TEST_F(ProcessTest, AUsedDirectoryIsRefused) {
  ASSERT_TRUE(start(options({"exit", "0"})));
  const auto again = run(Process::start(io_.get_executor(), options({"exit", "0"})));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
}

boost::asio::awaitable<int> cancel_start(StartOptions options) {
  const auto executor = co_await boost::asio::this_coro::executor;
  boost::asio::cancellation_signal cancel;
  std::optional<ErrorCode> code;
  boost::asio::co_spawn(
      executor, Process::start(executor, options),
      boost::asio::bind_cancellation_slot(
          cancel.slot(), [&](std::exception_ptr, Result<std::unique_ptr<Process>> result) {
            code = result ? ErrorCode::internal : result.error().code;
          }));
  co_await boost::asio::post(executor, boost::asio::use_awaitable);
  cancel.emit(boost::asio::cancellation_type::terminal);
  while (!code)
    co_await boost::asio::post(executor, boost::asio::use_awaitable);
  co_return static_cast<int>(*code);
}

/// The real keeper, but it begins only when a line is in the pipe `gate`.
std::string keeper_behind(const std::string& gate) {
  const std::string path = gate + "-keeper";
  write_text(path, fmt::format("#!/bin/sh\nread -r line < \"{}\"\nexec \"{}\" \"$@\"\n", gate,
                               BERTH_TEST_KEEPER));
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST_F(ProcessTest, ACancelledStartLeavesNoProcess) {
  const std::string gate = folder_.path() + "/gate";
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  const UniqueFd opener(::open(gate.c_str(), O_RDWR | O_CLOEXEC));
  StartOptions start_options = options({"wait"});
  // A free keeper may have started its server before a busy machine lets us cancel.
  start_options.keeper_binary = keeper_behind(gate);
  EXPECT_EQ(run(cancel_start(start_options)), static_cast<int>(ErrorCode::cancelled));
  ASSERT_EQ(::write(opener.get(), "\n", 1), 1);  // a keeper that is left goes on
  EXPECT_TRUE(until([] { return has_no_children(); }));
  const auto identity = read_identity(directory());
  ASSERT_TRUE(identity);
  EXPECT_FALSE(*identity) << "no server came to be";
}

TEST_F(ProcessTest, NoZombiesAreLeft) {
  for (int generation = 1; generation <= 5; ++generation) {
    const std::unique_ptr<Process> process = start(options({"exit", "0"}, generation));
    ASSERT_TRUE(process);
    if (generation % 2 == 0) run(process->exited());  // the others are destroyed before
  }
  EXPECT_TRUE(until([] { return has_no_children(); }));
}

/// Returns what this program's inotify instances watch: their files in /proc/self/fdinfo.
std::vector<std::string> inotify_instances() {
  std::vector<std::string> out;
  std::error_code gone;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    if (std::filesystem::read_symlink(each.path(), gone) != "anon_inode:inotify") continue;
    out.push_back(content_of("/proc/self/fdinfo/" + each.path().filename().string()));
  }
  return out;
}

// To close an instance takes the kernel longer than all else between two servers.
TEST_F(ProcessTest, ManyProcessesHaveOneInotifyInstanceAndLeaveNoWatch) {
  std::vector<std::unique_ptr<Process>> processes;
  for (int generation = 1; generation <= 10; ++generation)
    processes.push_back(start(options({"exit", "0"}, generation)));
  ASSERT_THAT(inotify_instances(), ElementsAre(HasSubstr("inotify wd:")));
  for (const auto& process : processes)
    run(process->exited());
  processes.clear();
  EXPECT_THAT(inotify_instances(), ElementsAre(Not(HasSubstr("inotify wd:"))));
}

TEST_F(ProcessTest, AllWhoWaitLearnTheEnd) {
  const std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  std::vector<std::string> ends;
  for (int i = 0; i < 3; ++i) {
    boost::asio::co_spawn(io_, process->exited(), [&](std::exception_ptr, ExitStatus status) {
      ends.push_back(to_text(status));
    });
  }
  ASSERT_TRUE(process->signal(SIGTERM));
  EXPECT_TRUE(until([&] { return ends.size() == 3; }));
  const std::string end = "killed by signal 15 (SIGTERM)";
  EXPECT_THAT(ends, ElementsAre(end, end, end));
}

TEST_F(ProcessTest, WhoWaitsReturnsWhenTheObjectIsDestroyed) {
  std::unique_ptr<Process> process = start_ready(options({"wait"}));
  ASSERT_TRUE(process);
  std::optional<ExitStatus> status;
  boost::asio::co_spawn(io_, process->exited(),
                        [&](std::exception_ptr, ExitStatus ended) { status = ended; });
  boost::asio::post(io_, [&] { process.reset(); });
  ASSERT_TRUE(until([&] { return status.has_value(); }));
  EXPECT_EQ(status->kind, ExitStatus::Kind::unknown);
}

TEST_F(ProcessTest, TheObjectMayBeDestroyedByALineOfItsOwn) {
  std::unique_ptr<Process> process = start(options({"lines", "100"}));
  ASSERT_TRUE(process);
  int lines = 0;
  process->on_line([&](std::string_view) {
    ++lines;
    process.reset();
  });
  EXPECT_TRUE(until([&] { return lines > 0; }));
  EXPECT_TRUE(until([] { return has_no_children(); }));
  EXPECT_EQ(lines, 1);
}

TEST(KeeperBinary, IsTheConfiguredOneOrAnErrorThatNamesIt) {
  ::setenv("BERTH_KEEPER", BERTH_TEST_KEEPER, 1);
  EXPECT_EQ(*keeper_binary(), BERTH_TEST_KEEPER);
  ::setenv("BERTH_KEEPER", "/no/such/keeper", 1);
  const Result<std::string> missing = keeper_binary();
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, AllOf(HasSubstr("/no/such/keeper"), HasSubstr("No such")));
  ::unsetenv("BERTH_KEEPER");
  EXPECT_EQ(*keeper_binary(), BERTH_TEST_KEEPER);  // the tree puts both programs into one folder
}

}  // namespace
}  // namespace berth::process
