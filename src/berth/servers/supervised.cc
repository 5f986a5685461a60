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
/// A server whose log says nothing that is known is asked this often; the log line comes first.
constexpr Duration kAskFallback = 500ms;
/// Between the log's line and the first good answer lies about a millisecond.
constexpr Duration kAskAgain = 5ms;
constexpr Duration kAskLimit = 1s;
/// One that an earlier Berth left is asked once: to take it for hung costs its KV cache.
constexpr Duration kAdoptLimit = 3s;
/// How long a process that was killed may take to be gone.
constexpr Duration kKillGrace = 2s;

}  // namespace

struct Supervised::Running {
  std::unique_ptr<process::Process> process;
  Event exited;
  process::ExitStatus status;
  KernelKills kernel_kills;
  bool killed = false;                  // by us
  std::function<void(Ending)> on_exit;  // empty: the exit is expected

  /// Reads the end of the log: to be asked only about an exit that nobody wanted.
  std::optional<std::string> out_of_memory() const {
    if (killed) return std::nullopt;
    return servers::out_of_memory(status, process->log_tail(kOutOfMemoryTail),
                                  kernel_kills.count());
  }

  void tell_exit() const {
    Ending ending{.how = process::to_text(status)};
    const auto words = out_of_memory();
    ending.out_of_memory = words.has_value();
    if (words) ending.how += ", out of memory: " + *words;
    on_exit(std::move(ending));
  }
};

Supervised::Supervised(std::string name, Places places, SupervisedKind kind)
    : name_(std::move(name)), places_(std::move(places)), kind_(std::move(kind)) {}

Supervised::~Supervised() {
  if (!running_) return;
  running_->on_exit = nullptr;
  running_->process->on_line([](std::string_view) {});
}

Task<void> Supervised::wait_for_exit(std::shared_ptr<Running> running) {
  const process::ExitStatus status = co_await running->process->exited();
  running->status = status;
  running->exited.set();
  if (running->on_exit) running->tell_exit();
}

void Supervised::take(const Executor& executor, std::unique_ptr<process::Process> process,
                      Generation generation, KernelKills kernel_kills) {
  generation_ = generation;
  running_ = std::make_shared<Running>();
  running_->process = std::move(process);
  running_->kernel_kills = std::move(kernel_kills);
  running_->process->on_line(kind_.on_line);
  berth::spawn(executor, wait_for_exit(running_));
}

Task<Status> Supervised::start(StartContext context) {
  auto spawned = co_await spawn(context);
  if (!spawned) co_return spawned;
  auto ready = co_await wait_ready(context.abort, context.deadline);
  if (ready) co_return ready;
  static_cast<void>(co_await terminate(/*kill_at_once=*/true, {}, kKillGrace));
  static_cast<void>(sweep());
  co_return ready;
}

Task<Status> Supervised::wait_ready(Event* abort, Duration deadline) {
  Duration waited{0};
  while (waited < deadline) {
    const bool has_said = kind_.said_ready->is_set();
    const Duration pause = has_said ? kAskAgain : kAskFallback;
    std::vector<Event*> events = {&exited(), abort, has_said ? nullptr : kind_.said_ready};
    const auto which = co_await wait_any(std::move(events), pause);
    if (which == 0u) co_return fail(exit_error());
    if (abort != nullptr && abort->is_set()) {
      co_return fail(ErrorCode::superseded,
                     fmt::format("the start of server \"{}\" was given up", name_));
    }
    const bool ok = co_await kind_.answers(kAskLimit);
    if (ok) co_return Status{};
    waited += pause;
  }
  co_return fail(start_error(fmt::format("not ready within {}", to_text(deadline))));
}

Task<Status> Supervised::spawn(StartContext context) {
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
  KernelKills kernel_kills = KernelKills::around("self");  // the server inherits our cgroup
  auto started = co_await process::Process::start(executor, std::move(options));
  if (!started) co_return fail(started.error());
  take(executor, std::move(*started), context.generation, std::move(kernel_kills));
  co_return Status{};
}

Task<Status> Supervised::adopt(Generation generation) {
  const Executor executor = co_await this_executor();
  auto adopted = co_await process::Process::adopt(
      executor, fmt::format("{}/{}/{}", places_.servers_root, name_, generation.value),
      process::LogFrom::beginning);
  if (!adopted) co_return fail(adopted.error());
  const std::string pid = std::to_string((*adopted)->identity().pid);
  take(executor, std::move(*adopted), generation, KernelKills::around(pid));
  co_await process()->read_log();
  const bool ok = co_await kind_.answers(kAdoptLimit);
  if (ok) co_return Status{};
  co_return fail(ErrorCode::deadline,
                 fmt::format("server \"{}\" of an earlier run does not answer", name_));
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

void Supervised::kill() {
  if (!running_) return;
  running_->killed = true;
  // It may end by itself at any moment: "not found" is then what we want.
  static_cast<void>(running_->process->signal(SIGKILL));
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
  return running_ ? process::to_text(running_->status) : "never started";
}

Error Supervised::exit_error() const {
  const auto words = running_->out_of_memory();
  if (!words) return start_error(how());
  return {ErrorCode::out_of_memory,
          fmt::format("server \"{0}\" did not start: it ran out of memory ({1}): {2}; more is "
                      "counted for it before it is tried again; if that does not help, give it a "
                      "smaller model or context; `berth logs {0}` shows more",
                      name_, how(), *words)};
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

Status Supervised::watch_exit() {
  if (running_->exited.is_set()) {
    static_cast<void>(sweep());
    return fail(exit_error());
  }
  running_->on_exit = [this, generation = generation_](Ending ending) {
    kind_.on_exit(generation, std::move(ending));
  };
  return {};
}

void Supervised::expect_exit() {
  if (running_) running_->on_exit = nullptr;
}

}  // namespace berth::servers
