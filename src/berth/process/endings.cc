// SPDX-License-Identifier: Apache-2.0
// Waits for the end of processes that need not be children.
#include <fcntl.h>

#include <boost/asio.hpp>
#include <csignal>
#include <memory>

#include "berth/process/directories.h"
#include "berth/process/proc_stat.h"
#include "berth/process/readable.h"
#include "berth/process/session.h"
#include "berth/process/unique_fd.h"

namespace berth::process {
namespace {

namespace asio = boost::asio;

bool is_empty(const Session& session) {
  const Result<std::vector<ProcStat>> processes = read_processes();
  return processes && live_members(session, *processes).empty();
}

}  // namespace

asio::awaitable<bool> await_end(UniqueFd pidfd, Duration limit) {
  if (!pidfd) co_return true;
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  // Shared with the timer's handler, which may run after this coroutine has ended.
  const auto end = std::make_shared<asio::posix::stream_descriptor>(executor, pidfd.release());
  asio::steady_timer timer(executor, limit);
  timer.async_wait([end](boost::system::error_code stopped) {
    boost::system::error_code ignored;
    if (!stopped) end->close(ignored);
  });
  const boost::system::error_code error = co_await await_readable(*end);
  timer.cancel();
  co_return !error;
}

asio::awaitable<bool> end_keeper(Identity identity, Duration limit) {
  if (identity.boot_id != read_boot_id()) co_return true;
  UniqueFd keeper(open_same_process(identity.keeper_pid, identity.keeper_start_time));
  if (!keeper) co_return true;
  send_signal(keeper.get(), SIGTERM);
  UniqueFd watched(::fcntl(keeper.get(), F_DUPFD_CLOEXEC, 0));
  bool is_gone = co_await await_end(std::move(watched), limit);
  if (is_gone || !is_empty(session_of(identity))) co_return is_gone;
  send_signal(keeper.get(), SIGKILL);
  is_gone = co_await await_end(std::move(keeper), limit);
  co_return is_gone;
}

}  // namespace berth::process
