// SPDX-License-Identifier: Apache-2.0
#include "daemon.h"

#include <sys/stat.h>

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "berth/gateway/door.h"
#include "berth/gateway/gateway.h"
#include "berth/gateway/token.h"
#include "berth/host/host.h"
#include "console.h"
#include "record_text.h"

namespace berth::cli {
namespace {

constexpr mode_t kOthers = 0077;

bool is_of_interest(const host::Record& record) {
  return record.kind == "decision" || record.kind == "step";
}

/// The lines of the foreground, and their end.
struct Printer {
  host::Host& host;
  bool json = false;
  Event stop;
  Event stopped;
};

Task<void> print_records(std::shared_ptr<Printer> printer) {
  std::uint64_t number = 0;
  while (!printer->stop.is_set()) {
    const auto records = co_await printer->host.records_after(number, printer->stop);
    for (const host::Record& record : records) {
      number = record.number;
      if (is_of_interest(record)) mention(line_of(record, printer->json));
    }
  }
  printer->stopped.set();
}

// Shared: the signal may come, or never come, after everything else has ended.
Task<void> wait_for_signal(std::shared_ptr<Event> asked_to_end) {
  co_await next_signal();
  asked_to_end->set();
}

void say_ready(const host::Host& host, const gateway::Gateway& gateway,
               const DaemonOptions& options) {
  if (!options.json) {
    for (const host::ServerStatus& server : host.status().servers) {
      if (server.front_port == 0) continue;
      mention(fmt::format("{} ({}) on port {}\n", server.name, server.kind, server.front_port));
    }
    if (!gateway::is_loopback(host.config().listen)) {
      mention(fmt::format("{} is not loopback: every request needs the token in {}\n",
                          host.config().listen.host, gateway::token_file(host.config().state_dir)));
    }
    mention(fmt::format("ready: {}\n", gateway.address()));
  } else {
    mention(fmt::format("{{\"ready\":\"{}\"}}\n", gateway.address()));
  }
  if (options.on_ready) options.on_ready(gateway.address());
}

}  // namespace

Task<Status> run_daemon(config::Config config, DaemonOptions options) {
  // What it and its servers write is nobody else's business.
  ::umask(kOthers);
  const Executor executor = co_await this_executor();
  auto asked_to_end = std::make_shared<Event>();
  spawn(executor, wait_for_signal(asked_to_end));
  auto host = co_await host::Host::start(executor, std::move(config));
  if (!host) co_return fail(host.error());
  gateway::GatewayOptions doors{.on_shut_down = [asked_to_end] { asked_to_end->set(); }};
  auto gateway = co_await gateway::Gateway::start(executor, **host, std::move(doors));
  if (!gateway) {
    co_await (*host)->shut_down();
    co_return fail(gateway.error());
  }
  // Shared with its coroutine, which ends a turn of the loop after it was told to.
  auto printer = std::make_shared<Printer>(**host, options.json);
  spawn(executor, print_records(printer));
  say_ready(**host, **gateway, options);
  co_await asked_to_end->wait();
  co_await (*host)->shut_down();
  co_await (*gateway)->stop();
  printer->stop.set();
  co_await printer->stopped.wait();
  co_return Status();
}

}  // namespace berth::cli
