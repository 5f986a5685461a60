// SPDX-License-Identifier: Apache-2.0
// models footprint: what the running Berth has measured of its servers.
#include <algorithm>

#include <fmt/format.h>

#include "commands.h"
#include "table.h"

namespace berth::cli {
namespace {

std::string table_of(const std::vector<client::FootprintInfo>& known) {
  std::vector<Row> rows;
  for (const client::FootprintInfo& each : known) {
    Row row{{{each.server},
             {each.pool},
             {each.stage},
             {each.shape.empty() ? "-" : each.shape},
             {to_text(each.bytes)}},
            ""};
    if (!each.current) row.note = "not as it is configured now: not planned with";
    if (each.stage == "raised") row.note = "it ran out of memory with less; not measured yet";
    rows.push_back(std::move(row));
  }
  if (rows.empty()) {
    return "nothing was measured yet: a server is when it has done its first job and leaves\n";
  }
  return render_table({{"SERVER"}, {"POOL"}, {"STAGE"}, {"WORK"}, {"MOST", true}}, rows);
}

Task<int> show(client::Client* berth, std::string server, bool forget, bool json) {
  auto question = forget ? berth->forget_footprints(server) : berth->footprints();
  const Result<std::string> reply = co_await std::move(question);
  if (!reply) co_return report(reply.error(), json);
  if (json) {
    say(*reply + "\n");
    co_return 0;
  }
  auto known = client::read_footprints(*reply);
  if (!known) co_return report(known.error(), json);
  if (forget) {
    say(fmt::format("forgotten; {} measured anew\n",
                    server.empty() ? "every server is" : server + " is"));
    co_return 0;
  }
  std::erase_if(*known, [&](const client::FootprintInfo& each) {
    return !server.empty() && each.server != server;
  });
  say(table_of(*known));
  co_return 0;
}

}  // namespace

int footprints(const Common& common, const std::string& server, bool forget) {
  return converse(common,
                  [&](client::Client* berth) { return show(berth, server, forget, common.json); });
}

}  // namespace berth::cli
