// SPDX-License-Identifier: Apache-2.0
#include "berth/process/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "berth/process/directories.h"
#include "berth/process/keeper_launch.h"
#include "berth/process/proc_stat.h"
#include "berth/process/process_impl.h"
#include "berth/process/readable.h"
#include "berth/process/session.h"
#include "berth/process/system_error.h"

namespace berth::process {
namespace {

namespace asio = boost::asio;

/// Reaps one child when it ends. A coroutine of its own, since the keeper may outlive the Process;
/// by pidfd, so that no other child of the program is touched.
asio::awaitable<void> reap(asio::posix::stream_descriptor keeper) {
  static_cast<void>(co_await await_readable(keeper));
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(keeper.native_handle()), &info, WEXITED | WNOHANG);
}

/// Says which program could not be started; `error` holds the keeper's reason.
tl::unexpected<Error> start_failure(Error error, const LaunchSpec& launch) {
  if (error.code == ErrorCode::binary_missing) {
    error.message = fmt::format("cannot run {}: {}", launch.argv.front(), error.message);
  }
  return fail(std::move(error));
}

/// Returns a pidfd of the recorded process if it lives.
UniqueFd open_living(const Identity& identity) {
  if (identity.boot_id != read_boot_id()) return UniqueFd();
  const std::optional<ProcStat> stat = read_proc_stat(identity.pid);
  if (!stat || !stat->is_live()) return UniqueFd();
  return UniqueFd(open_same_process(identity.pid, identity.start_time));
}

}  // namespace

asio::awaitable<Result<std::unique_ptr<Process>>> Process::start(asio::any_io_executor executor,
                                                                 StartOptions options) {
  if (options.launch.argv.empty()) co_return fail(ErrorCode::bad_request, "the argv is empty");
  const Status made = make_directory(options.directory);
  if (!made) co_return fail(made.error());
  const auto impl = std::make_shared<Impl>(executor, options.directory);
  std::unique_ptr<Process> process(new Process(impl));
  const Status watching = impl->watch_directory(impl);
  if (!watching) co_return fail(watching.error());
  const Result<UniqueFd> keeper = spawn_keeper(options);
  if (!keeper) co_return fail(keeper.error());
  asio::posix::stream_descriptor child(executor, ::fcntl(keeper->get(), F_DUPFD_CLOEXEC, 0));
  asio::co_spawn(executor, reap(std::move(child)), asio::detached);
  impl->watch_keeper(impl, UniqueFd(::fcntl(keeper->get(), F_DUPFD_CLOEXEC, 0)));
  const Result<Identity> identity = co_await Impl::await_identity(impl);
  if (!identity) {
    send_signal(keeper->get(), SIGKILL);  // its server, should it come to be, dies with it
    co_return start_failure(identity.error(), options.launch);
  }
  impl->watch_server(impl, *identity, open_living(*identity));
  co_return process;
}

asio::awaitable<Result<std::unique_ptr<Process>>> Process::adopt(asio::any_io_executor executor,
                                                                 std::string directory,
                                                                 LogFrom log) {
  const auto impl = std::make_shared<Impl>(executor, directory);
  std::unique_ptr<Process> process(new Process(impl));
  const Status watching = impl->watch_directory(impl);
  if (!watching) co_return fail(watching.error());
  const Result<Identity> identity = co_await Impl::await_identity(impl);
  if (!identity) {
    const Error& error = identity.error();
    const bool passed_on = error.code == ErrorCode::cancelled || error.code == ErrorCode::io;
    co_return fail(passed_on ? error.code : ErrorCode::not_found, error.message);
  }
  UniqueFd server = open_living(*identity);
  if (!server) {
    co_return fail(ErrorCode::not_found,
                   fmt::format("the process {} of {} has ended", identity->pid, directory));
  }
  impl->watch_keeper(
      impl, UniqueFd(open_same_process(identity->keeper_pid, identity->keeper_start_time)));
  if (log == LogFrom::end) impl->skip_log();
  impl->watch_server(impl, *identity, std::move(server));
  co_return process;
}

Process::Process(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Process::~Process() {
  impl_->stop();
}

const Identity& Process::identity() const {
  return impl_->identity();
}
const std::string& Process::directory() const {
  return impl_->directory();
}
asio::awaitable<ExitStatus> Process::exited() {
  return Impl::await_exit(impl_);
}
bool Process::running() const {
  return impl_->running();
}

Status Process::signal(int signal_number) {
  const pid_t pid = identity().pid;
  if (!running()) return signal_failure(pid, ESRCH);
  if (send_signal(impl_->server_pidfd(), signal_number) == 0) return {};
  return signal_failure(pid, errno);
}

Status Process::signal_session(int signal_number) {
  return signal_members(session_of(identity()), signal_number);
}

bool Process::session_empty() const {
  const Result<std::vector<ProcStat>> processes = read_processes();
  return processes && live_members(session_of(identity()), *processes).empty();
}

void Process::on_line(std::function<void(std::string_view)> line) {
  impl_->subscribe(impl_, std::move(line));
}

asio::awaitable<void> Process::read_log() {
  return Impl::pump_log(impl_);
}

std::vector<std::string> Process::log_tail(int lines) const {
  return process::log_tail(directory(), lines);
}

namespace {

constexpr const char* kKeeper = "berth-keeper";

/// Where a keeper may lie: beside `berth`; elsewhere for a program that Berth is a part of.
std::vector<std::filesystem::path> keeper_places() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  std::vector<std::filesystem::path> places{self.parent_path() / kKeeper};
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (!folder.empty()) places.push_back(std::filesystem::path(folder) / kKeeper);
  }
  return places;
}

}  // namespace

Result<std::string> keeper_binary() {
  if (const char* configured = std::getenv("BERTH_KEEPER"); configured != nullptr) {
    if (::access(configured, X_OK) == 0) return configured;
    return fail(ErrorCode::binary_missing,
                fmt::format("cannot run the keeper {}: {}; set BERTH_KEEPER to its path",
                            configured, reason(errno)));
  }
  const std::vector<std::filesystem::path> places = keeper_places();
  for (const std::filesystem::path& place : places) {
    if (::access(place.c_str(), X_OK) == 0) return place.string();
  }
  return fail(ErrorCode::binary_missing,
              fmt::format("the keeper {} is not there, nor is one in PATH; set BERTH_KEEPER to its "
                          "path",
                          places.front().string()));
}

}  // namespace berth::process
