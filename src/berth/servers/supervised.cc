// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/supervised.h"

#include <csignal>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace berth::servers {
namespace {

/// The cause of a failed start stands 3 to 6 lines above the end (llama-server-observed.md 7).
constexpr int kTailLines = 20;
constexpr int kShownLines = 6;

}  // namespace

struct Supervised::Running {
  std::unique_ptr<process::Process> process;
  Event exited;
  std::string how;
  std::function<void(std::string)> on_exit;  // empty: the exit is expected
};

Supervised::Supervised(std::string name, Places places)
    : name_(std::move(name)), places_(std::move(places)) {}

Supervised::~Supervised() {
  if (!running_) return;
  running_->on_exit = nullptr;
  running_->process->on_line([](std::string_view) {});
}

Task<void> Supervised::wait_for_exit(std::shared_ptr<Running> running) {
  const process::ExitStatus status = co_await running->process->exited();
  running->how = process::to_text(status);
  running->exited.set();
  if (running->on_exit) running->on_exit(running->how);
}

void Supervised::take(std::unique_ptr<process::Process> process,
                      std::function<void(std::string_view)> on_line) {
  running_ = std::make_shared<Running>();
  running_->process = std::move(process);
  running_->process->on_line(std::move(on_line));
}

Task<Status> Supervised::spawn(const StartContext& context,
                               std::function<void(std::string_view)> on_line) {
  auto keeper = process::keeper_binary();
  if (!keeper) co_return fail(keeper.error());
  process::StartOptions options;
  options.keeper_binary = *keeper;
  options.directory =
      fmt::format("{}/{}/{}", places_.servers_root, name_, context.generation.value);
  options.alive_lock = places_.alive_lock;
  options.orphan_timeout = places_.orphan_timeout;
  options.launch = context.launch;
  const Executor executor = co_await this_executor();
  auto started = co_await process::Process::start(executor, std::move(options));
  if (!started) co_return fail(started.error());
  take(std::move(*started), std::move(on_line));
  berth::spawn(executor, wait_for_exit(running_));
  co_return Status{};
}

Task<Status> Supervised::adopt(Generation generation,
                               std::function<void(std::string_view)> on_line) {
  const Executor executor = co_await this_executor();
  auto adopted = co_await process::Process::adopt(
      executor, fmt::format("{}/{}/{}", places_.servers_root, name_, generation.value),
      process::LogFrom::beginning);
  if (!adopted) co_return fail(adopted.error());
  take(std::move(*adopted), std::move(on_line));
  berth::spawn(executor, wait_for_exit(running_));
  co_return Status{};
}

Task<Status> Supervised::terminate(bool kill_at_once, Duration grace, Duration deadline) {
  if (!running_) co_return Status{};
  const std::shared_ptr<Running> running = running_;
  running->on_exit = nullptr;
  if (!running->exited.is_set()) {
    // The process may end by itself at any moment: "not found" is then what we want.
    static_cast<void>(running->process->signal(kill_at_once ? SIGKILL : SIGTERM));
    const bool gone = co_await running->exited.wait_for(kill_at_once ? deadline : grace);
    if (!gone && !kill_at_once) {
      static_cast<void>(running->process->signal(SIGKILL));
      static_cast<void>(co_await running->exited.wait_for(deadline));
    }
  }
  if (!running->exited.is_set()) {
    co_return fail(
        ErrorCode::unkillable,
        fmt::format("server \"{}\" (pid {}) does not die, not even by SIGKILL; its memory "
                    "stays reserved until it is gone",
                    name_, running->process->identity().pid));
  }
  co_return Status{};
}

Status Supervised::sweep() {
  if (!running_) return {};
  return running_->process->signal_session(SIGKILL);
}

process::Process* Supervised::process() const {
  return running_ ? running_->process.get() : nullptr;
}

bool Supervised::running() const {
  return running_ && !running_->exited.is_set();
}

Event& Supervised::exited() {
  return running_->exited;
}

std::shared_ptr<Event> Supervised::exit_event() const {
  return {running_, &running_->exited};
}

std::string Supervised::how() const {
  return running_ ? running_->how : "never started";
}

Error Supervised::start_error(std::string_view what) const {
  std::vector<std::string> tail;
  if (running_) tail = running_->process->log_tail(kTailLines);
  if (tail.size() > kShownLines) tail.erase(tail.begin(), tail.end() - kShownLines);
  const std::string said = tail.empty() ? "it wrote nothing into its log"
                                        : fmt::format("its last lines: {}", fmt::join(tail, " | "));
  return {ErrorCode::start_failed,
          fmt::format("server \"{}\" did not start: {}; {}; `berth logs {}` shows more", name_,
                      what, said, name_)};
}

std::vector<Event*> Supervised::start_events(Event* abort, Event& said_so) {
  std::vector<Event*> events = {&exited()};
  if (abort != nullptr) events.push_back(abort);
  if (!said_so.is_set()) events.push_back(&said_so);
  return events;
}

void Supervised::watch_exit(std::function<void(std::string)> on_exit) {
  running_->on_exit = std::move(on_exit);
  if (running_->exited.is_set()) running_->on_exit(running_->how);
}

void Supervised::expect_exit() {
  if (running_) running_->on_exit = nullptr;
}

}  // namespace berth::servers
