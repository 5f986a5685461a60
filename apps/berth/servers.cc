// SPDX-License-Identifier: Apache-2.0
// start, stop, clear, explain and logs: one question, one answer.
#include <fmt/format.h>

#include "commands.h"
#include "status_text.h"
#include "table.h"

namespace berth::cli {
namespace {

/// Turns the reply into what a person reads.
using Reading = Result<std::string> (*)(const std::string& reply);

Task<int> show(Task<Result<std::string>> question, bool json, Reading reading) {
  const Result<std::string> reply = co_await std::move(question);
  if (!reply) co_return report(reply.error(), json);
  if (json) {
    say(*reply + "\n");
    co_return 0;
  }
  const Result<std::string> text = reading(*reply);
  if (!text) co_return report(text.error(), json);
  say(*text);
  co_return 0;
}

Result<std::string> server_line(const std::string& reply) {
  const Result<client::ServerInfo> server = client::read_server(reply);
  if (!server) return fail(server.error());
  std::string line = fmt::format("{} is {}", server->name, server->state);
  if (server->pid) line += fmt::format(", pid {}", *server->pid);
  if (server->pinned) line += ", pinned";
  if (server->displaced) line += fmt::format(", displaced by {}", server->displaced_by);
  return line + "\n";
}

Result<std::string> cleared_line(const std::string& reply) {
  const Result<client::ServerInfo> server = client::read_server(reply);
  if (!server) return fail(server.error());
  return fmt::format("{} {}\n", server->name,
                     server->displaced ? "is not brought back from this displacement unasked"
                                       : "is not brought back from its next displacement unasked");
}

Result<std::string> decision_lines(const std::string& reply) {
  const auto records = client::read_records(reply);
  if (!records) return fail(records.error());
  std::string text;
  for (const client::RecordInfo& record : *records) {
    const std::string head = fmt::format("{}  {}", time_of_day(record.wall), record.name);
    text += painted(head, Colour::grey) + "\n" + wrapped(record.text, "    ");
  }
  const auto waiting = client::read_waiting(reply);
  if (!waiting) return fail(waiting.error());
  if (text.empty()) text = "nothing has been decided yet\n";
  return waiting->empty() ? text : text + "\n" + waiting_text(*waiting);
}

Result<std::string> log_lines(const std::string& reply) {
  const auto lines = client::read_lines(reply);
  if (!lines) return fail(lines.error());
  std::string text;
  for (const std::string& line : *lines)
    text += printable(line) + "\n";
  return text;
}

}  // namespace

int start(const Common& common, const std::string& server) {
  return converse(common, [&](client::Client* berth) {
    return show(berth->start(server), common.json, server_line);
  });
}

int stop(const Common& common, const std::string& server) {
  return converse(common, [&](client::Client* berth) {
    return show(berth->stop(server), common.json, server_line);
  });
}

int clear(const Common& common, const std::string& server) {
  return converse(common, [&](client::Client* berth) {
    return show(berth->clear(server), common.json, cleared_line);
  });
}

int pin(const Common& common, const std::string& server) {
  return converse(common, [&](client::Client* berth) {
    return show(berth->pin(server), common.json, server_line);
  });
}

int unpin(const Common& common, const std::string& server) {
  return converse(common, [&](client::Client* berth) {
    return show(berth->unpin(server), common.json, server_line);
  });
}

int explain(const Common& common, int limit) {
  return converse(common, [&](client::Client* berth) {
    return show(berth->explain(limit), common.json, decision_lines);
  });
}

int logs(const Common& common, const std::string& server, int lines) {
  return converse(common, [&](client::Client* berth) {
    return show(berth->logs(server, lines), common.json, log_lines);
  });
}

}  // namespace berth::cli
