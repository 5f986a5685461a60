// SPDX-License-Identifier: Apache-2.0
#include "berth/sim/trace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace berth::sim {
namespace {

using core::After;

template <class Enum>
int number(Enum value) {
  return static_cast<int>(value);
}

std::string text(const std::optional<Error>& error) {
  return error ? fmt::format(" error {}", name(error->code)) : "";
}

std::string text(const core::Footprint& footprint) {
  std::string out;
  for (const core::PoolShare& share : footprint.shares)
    out += fmt::format(" {}:{}", share.pool.value, share.bytes.count);
  return out;
}

std::string text(const core::Row& row) {
  std::string out = fmt::format("row {} wanted {} generation {}", row.server.value,
                                number(row.wanted), row.generation.value);
  if (row.displaced) {
    out += fmt::format(" displaced by {} after {}", row.displaced->by.value,
                       number(row.displaced->after));
  }
  return out + (row.skip_next_restore ? " skip" : "");
}

template <class Id>
std::string ids(const std::vector<Id>& list) {
  std::string out;
  for (const Id& id : list)
    out += fmt::format(" {}", id.value);
  return out;
}

std::string ids(const std::vector<core::Waiting>& list) {
  std::string out;
  for (const core::Waiting& job : list)
    out += fmt::format(" {}", job.id.value);
  return out;
}

struct EventText {
  std::string operator()(const core::JobArrived& e) const {
    return fmt::format("job {} arrives for {} class {}{}", e.job.value, e.server.value,
                       number(e.job_class),
                       e.parent ? fmt::format(" called by {}", e.parent->value) : "");
  }
  std::string operator()(const core::JobWithdrawn& e) const {
    return fmt::format("job {} withdrawn", e.job.value);
  }
  std::string operator()(const core::JobEnded& e) const {
    return fmt::format("job {} ended {}", e.job.value, number(e.how));
  }
  std::string operator()(const core::EffectEnded& e) const {
    return fmt::format("effect {} ended{}", e.effect.value, text(e.result.error));
  }
  std::string operator()(const core::ServerChanged& e) const {
    return fmt::format("server {} generation {} {}", e.server.value, e.generation.value,
                       number(e.fact));
  }
  std::string operator()(const core::Measured& e) const {
    std::string out = fmt::format("sample {}{}", e.effect.value, text(e.error));
    for (const core::PoolSample& pool : e.pools)
      out += fmt::format(" pool {} free {} foreign {}", pool.pool.value, pool.free.count,
                         pool.foreign.count);
    for (const core::Holder& holder : e.holders)
      out += fmt::format(" held by {}.{}{}", holder.program, holder.generation.value,
                         text(holder.bytes));
    return out;
  }
  std::string operator()(const core::UserAsked& e) const {
    constexpr const char* kWhat[] = {"start", "stop", "pin", "unpin", "clear", "forget"};
    return fmt::format("user {} {}", kWhat[number(e.what)], e.server.value);
  }
  std::string operator()(const core::TimerFired& e) const {
    return fmt::format("timer {}", e.timer.value);
  }
  std::string operator()(const core::Recovered& e) const {
    std::string out = "recovered";
    for (const core::Row& row : e.rows)
      out += ", " + text(row);
    for (const core::FoundServer& found : e.found)
      out += fmt::format(", found {} generation {}{}", found.server.value, found.generation.value,
                         found.healthy ? "" : " deaf");
    for (const core::JobArrived& hold : e.holds)
      out += fmt::format(", hold {} kept", hold.job.value);
    return out;
  }
};

struct ActionText {
  std::string operator()(const core::Commit& a) const {
    return fmt::format("commit {} {}", a.effect.value, text(a.row));
  }
  std::string operator()(const core::MoveTo& a) const {
    return fmt::format("move {} server {} {} generation {}{}", a.effect.value, a.server.value,
                       a.rung == core::Rung::resident ? "up" : "down", a.generation.value,
                       a.keep ? "" : " forget");
  }
  std::string operator()(const core::Dispatch& a) const {
    return fmt::format("dispatch job {} to {} generation {}", a.job.value, a.server.value,
                       a.generation.value);
  }
  std::string operator()(const core::Cancel& a) const {
    return fmt::format("cancel job {} reason {}", a.job.value, number(a.reason));
  }
  std::string operator()(const core::Measure& a) const {
    return fmt::format("measure {}", a.effect.value);
  }
  std::string operator()(const core::SetTimer& a) const {
    return fmt::format("timer {} at {}", a.timer.value, a.at.since_start.count());
  }
  std::string operator()(const core::Reject& a) const {
    return fmt::format("reject job {} {}", a.job.value, name(a.error.code));
  }
  std::string operator()(const core::Announce& a) const {
    return fmt::format("announce {} server {} victims{}{}{}", number(a.reason), a.server.value,
                       ids(a.victims), text(a.error),
                       a.eta ? " eta " + berth::to_text(*a.eta) : "");
  }
};

std::string text(const core::Server& server) {
  std::string out = fmt::format(
      "  {} state {} wanted {} generation {} gate {} freed {} intruder {} retiring {} pinned {} "
      "failures {} queue{} "
      "running{} commits {}",
      server.config.name, number(server.state), number(server.wanted), server.generation.value,
      server.gate_open, server.freed, server.intruder, server.retiring, server.pinned,
      server.failures, ids(server.queue), ids(server.running), server.commits.size());
  if (server.displaced) {
    out += fmt::format(" displaced by {} after {}", server.displaced->by.value,
                       number(server.displaced->after));
  }
  return out + (server.skip_next_restore ? " skip\n" : "\n");
}

}  // namespace

std::string to_text(Instant now, const core::Event& event) {
  const std::int64_t micros = now.since_start.count() / 1000;
  return fmt::format("{}.{:06} {}", micros / 1'000'000, micros % 1'000'000,
                     std::visit(EventText{}, event));
}

std::string to_text(const core::Action& action) {
  return std::visit(ActionText{}, action);
}

std::string to_text(const core::State& state) {
  std::string out;
  for (const core::Server& server : state.servers)
    out += text(server);
  for (const core::Claim& claim : state.claims) {
    out += fmt::format("  claim {} victims{} phase {}{}{}\n", claim.newcomer.value,
                       ids(claim.victims), number(claim.phase), claim.is_return ? " return" : "",
                       claim.oversize ? " oversize" : "");
  }
  for (const core::LedgerEntry& entry : state.ledger.entries()) {
    out += fmt::format("  books {} generation {} state {}{}\n", entry.server.value,
                       entry.generation.value, number(entry.state), text(entry.bytes));
  }
  return out;
}

}  // namespace berth::sim
