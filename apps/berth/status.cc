// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "commands.h"
#include "status_text.h"

namespace berth::cli {
namespace {

constexpr Duration kWatchInterval = 1s;
/// Two samples tell how much of the processors a server takes.
constexpr Duration kCpuInterval = 250ms;
/// To the upper left corner, and nothing is left behind what is written there.
constexpr std::string_view kRedraw = "\x1b[H\x1b[J";

bool lacks_cpu(const client::DaemonStatus& status) {
  return std::any_of(
      status.servers.begin(), status.servers.end(),
      [](const client::ServerInfo& server) { return server.pid && !server.uses.cpu_percent; });
}

/// Returns what is shown of one look: a table, or the reply as one line.
Task<Result<std::string>> look(client::Client* berth, bool json, bool again) {
  auto reply = co_await berth->status();
  if (!reply) co_return fail(reply.error());
  if (json) co_return *reply + "\n";
  auto read = client::read_status(*reply);
  if (!read) co_return fail(read.error());
  if (again && lacks_cpu(*read)) {
    co_await delay(kCpuInterval);
    auto second = co_await look(berth, json, /*again=*/false);
    co_return second;
  }
  co_return text_of(*read, read->leases.empty() ? "" : leases_table(read->leases));
}

Task<int> show(client::Client* berth, bool json) {
  const Result<std::string> text = co_await look(berth, json, /*again=*/true);
  if (!text) co_return report(text.error(), json);
  say(*text);
  co_return 0;
}

// Shared: the signal may come, or never come, after everything else has ended.
Task<void> wait_for_signal(std::shared_ptr<Event> asked_to_end) {
  co_await next_signal();
  asked_to_end->set();
}

/// Until Ctrl-C, until nobody reads it, or until Berth is gone.
Task<int> watch(client::Client* berth, bool json) {
  const Executor executor = co_await this_executor();
  const auto asked_to_end = std::make_shared<Event>();
  spawn(executor, wait_for_signal(asked_to_end));
  const bool redraws = !json && is_terminal(STDOUT_FILENO);
  bool ended = false;
  while (!ended) {
    const Result<std::string> text = co_await look(berth, json, /*again=*/false);
    if (!text) co_return report(text.error(), json);
    const bool is_said = say(redraws ? fmt::format("{}{}", kRedraw, *text)
                             : json  ? *text
                                     : *text + "\n");
    if (!is_said) co_return 0;  // the exit status tells of it all the same
    ended = co_await asked_to_end->wait_for(kWatchInterval);
  }
  co_return 0;
}

}  // namespace

int status(const Common& common, bool watched) {
  return converse(common, [&](client::Client* berth) {
    return watched ? watch(berth, common.json) : show(berth, common.json);
  });
}

}  // namespace berth::cli
