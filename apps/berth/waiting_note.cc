// SPDX-License-Identifier: Apache-2.0
#include "waiting_note.h"

#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>

#include "console.h"

namespace berth::cli {
namespace {

/// A resident server answers sooner.
constexpr Duration kPatience = 700ms;

/// Returns why the server does not answer, "" if it is resident.
std::string reason(const client::ServerInfo& server) {
  if (server.displaced)
    return fmt::format("{} is displaced by {}", server.name, server.displaced_by);
  if (server.state != "ready") return fmt::format("{} is {}", server.name, server.state);
  if (!server.gate_open) return fmt::format("{} makes room for another server", server.name);
  return "";
}

}  // namespace

std::shared_ptr<WaitingNote> WaitingNote::begin(client::Client& berth, std::string model) {
  // Shared with its coroutine, which may end after the answer has begun.
  auto note = std::make_shared<WaitingNote>(berth, std::move(model));
  if (is_terminal(STDERR_FILENO)) spawn(berth.executor(), watch(note));
  return note;
}

Task<void> WaitingNote::watch(std::shared_ptr<WaitingNote> self) {
  const bool is_answered = co_await self->answered_.wait_for(kPatience);
  if (is_answered) co_return;
  const Result<std::string> json = co_await self->berth_.status();
  if (!json || self->answered_.is_set()) co_return;
  const Result<client::DaemonStatus> status = client::read_status(*json);
  if (!status) co_return;
  for (const client::ServerInfo& server : status->servers) {
    const bool is_asked = self->model_.empty() ? server.waiting > 0 : server.name == self->model_;
    const std::string why = is_asked ? reason(server) : "";
    if (why.empty()) continue;
    const std::string line =
        fmt::format("berth: {}; your request waits and will be answered\n", printable_line(why));
    std::fwrite(line.data(), 1, line.size(), stderr);
    co_return;
  }
}

}  // namespace berth::cli
