// SPDX-License-Identifier: Apache-2.0
#include "berth/process/process_impl.h"

#include <fmt/format.h>
#include <cerrno>

#include "berth/process/proc_stat.h"
#include "berth/process/readable.h"
#include "berth/process/system_error.h"

namespace berth::process {
namespace {

namespace asio = boost::asio;
using asio::redirect_error;
using asio::use_awaitable;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

/// From the start of the keeper until the server is executed; a cold disk takes a second.
constexpr auto kStartDeadline = std::chrono::seconds(10);
/// From the end of the server until its keeper has written how. It takes a millisecond; more only
/// when the machine is overloaded or the keeper is stopped.
constexpr auto kExitFileDeadline = std::chrono::seconds(2);

}  // namespace

Process::Impl::Impl(Executor executor, std::string directory)
    : executor_(executor),
      directory_(std::move(directory)),
      watches_(DirectoryWatches::of(executor)),
      keeper_(executor),
      server_(executor),
      changed_(executor, Clock::time_point::max()),
      log_(directory_) {}

Status Process::Impl::watch_directory(const Pointer& self) {
  const auto watch = watches_.add(executor_, directory_, [this] { changed_.cancel(); });
  if (!watch) return fail(watch.error());
  watch_ = *watch;
  asio::co_spawn(executor_, follow_log(self), asio::detached);
  return {};
}

void Process::Impl::watch_keeper(const Pointer& self, UniqueFd keeper) {
  if (!keeper || keeper_.is_open()) return;
  keeper_.assign(keeper.release());
  asio::co_spawn(executor_, follow_keeper(self), asio::detached);
}

void Process::Impl::watch_server(const Pointer& self, Identity identity, UniqueFd server) {
  identity_ = std::move(identity);
  if (server) server_.assign(server.release());
  asio::co_spawn(executor_, follow_server(self), asio::detached);
}

void Process::Impl::stop() {
  stopped_ = true;
  error_code ignored;
  for (Descriptor* descriptor : {&keeper_, &server_})
    descriptor->close(ignored);
  if (watch_) watches_.remove(*watch_);
  changed_.cancel();
}

asio::awaitable<Result<Identity>> Process::Impl::await_identity(Pointer self) {
  asio::steady_timer alarm(self->executor_, kStartDeadline);
  alarm.async_wait([self](error_code) { self->changed_.cancel(); });
  while (true) {
    const bool keeper_gone = !keeper_lives(self->directory_);  // asked before its files are read
    const Result<std::optional<Identity>> identity = read_identity(self->directory_);
    if (!identity) co_return fail(identity.error());
    if (*identity) co_return **identity;
    const Result<std::optional<ExitStatus>> exit = read_exit(self->directory_);
    if (!exit) co_return fail(exit.error());
    if (*exit) co_return fail(ErrorCode::binary_missing, (*exit)->what);
    if (keeper_gone) {
      co_return fail(ErrorCode::start_failed,
                     fmt::format("the keeper of {} is gone, and no server", self->directory_));
    }
    if (Clock::now() >= alarm.expiry()) {
      co_return fail(ErrorCode::deadline, fmt::format("no server in {} after {}", self->directory_,
                                                      berth::to_text(Duration(kStartDeadline))));
    }
    error_code ignored;
    co_await self->changed_.async_wait(redirect_error(use_awaitable, ignored));
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none || self->stopped_) {
      co_return fail(ErrorCode::cancelled, "the start was cancelled");
    }
  }
}

asio::awaitable<ExitStatus> Process::Impl::await_exit(Pointer self) {
  while (!self->status_ && !self->stopped_) {
    error_code ignored;
    co_await self->changed_.async_wait(redirect_error(use_awaitable, ignored));
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) break;
  }
  co_return self->status_.value_or(ExitStatus{});
}

bool Process::Impl::running() const {
  return server_.is_open() && !is_readable(server_.native_handle());
}

void Process::Impl::subscribe(const Pointer& self, LineFunction line) {
  subscribers_.push_back(std::move(line));
  // Posted, since co_spawn would call the subscriber from in here.
  asio::post(executor_,
             [self] { asio::co_spawn(self->executor_, pump_log(self), asio::detached); });
}

asio::awaitable<void> Process::Impl::follow_log(Pointer self) {
  while (!self->stopped_) {
    error_code ignored;
    co_await self->changed_.async_wait(redirect_error(use_awaitable, ignored));
    co_await pump_log(self);
  }
}

asio::awaitable<void> Process::Impl::follow_keeper(Pointer self) {
  static_cast<void>(co_await await_readable(self->keeper_));
  self->changed_.cancel();
}

asio::awaitable<void> Process::Impl::follow_server(Pointer self) {
  error_code error;
  if (self->server_.is_open()) error = co_await await_readable(self->server_);
  if (error || self->stopped_) co_return;
  const ExitStatus status = co_await await_exit_file(self);
  self->log_is_complete_ = true;
  co_await pump_log(self);
  if (self->stopped_) co_return;
  self->status_ = status;
  self->changed_.cancel();
}

asio::awaitable<ExitStatus> Process::Impl::await_exit_file(Pointer self) {
  asio::steady_timer alarm(self->executor_, kExitFileDeadline);
  alarm.async_wait([self](error_code) { self->changed_.cancel(); });
  while (!self->stopped_) {
    const bool keeper_gone = !keeper_lives(self->directory_);  // asked before its file is read
    const Result<std::optional<ExitStatus>> exit = read_exit(self->directory_);
    if (!exit) break;
    if (*exit) co_return **exit;
    if (keeper_gone || Clock::now() >= alarm.expiry()) break;
    error_code ignored;
    co_await self->changed_.async_wait(redirect_error(use_awaitable, ignored));
  }
  co_return ExitStatus{};
}

asio::awaitable<void> Process::Impl::pump_log(Pointer self) {
  if (self->subscribers_.empty()) co_return;
  const LineFunction line = [self](std::string_view text) { self->call_subscribers(text); };
  while (!self->stopped_ && self->log_.read(line)) {
    co_await asio::post(self->executor_, use_awaitable);
  }
  if (self->log_is_complete_) self->log_.flush(line);
}

void Process::Impl::call_subscribers(std::string_view line) {
  for (std::size_t i = 0; i < subscribers_.size() && !stopped_; ++i)
    subscribers_[i](line);
}

}  // namespace berth::process
