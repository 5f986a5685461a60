// SPDX-License-Identifier: Apache-2.0
// Rows and moves: I1, I2, I4, I5, I6, I19, I22 and rule 8.
#include "berth/sim/checks.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/sim/checks_common.h"

namespace berth::sim {
namespace {

using core::Rung;
using core::ServerState;
using core::Wanted;

constexpr Bytes kBarrierSlack = 64_MiB;
/// A server that comes up by itself is put out again so often in a turn.
constexpr std::int32_t kPutOutMax = 3;

bool is_going(const core::LedgerEntry& entry) {
  return entry.state == core::EntryState::releasing || entry.state == core::EntryState::stuck;
}

/// What stays in `pool` of the entry of a victim: all that is stuck, and what one that is only
/// freed keeps.
Bytes kept(const core::State& state, const core::Claim& claim, const core::LedgerEntry& entry,
           PoolId pool) {
  if (entry.state == core::EntryState::stuck) return entry.bytes.in(pool);
  const core::Server& victim = state.server(entry.server);
  const bool only_freed = victim.config.freed && claim.victims_to == Rung::freed &&
                          entry.generation == victim.generation;
  return only_freed ? victim.config.freed->in(pool) : Bytes{};
}

std::int64_t doubled(Duration first, std::int32_t times, Duration most) {
  std::int64_t pause = first.count();
  for (std::int32_t i = 1; i < times && pause < most.count(); ++i)
    pause *= 2;
  return std::min(pause, most.count());
}

}  // namespace

void Checks::check(const core::State&, const core::Event&, const core::Commit& action) {
  Shadow& shadow = shadows_[action.row.server.value];
  shadow.unwritten = false;
  const bool off = action.row.wanted == Wanted::off;
  if (off != shadow.off) {
    broken(fmt::format("I6: the row of {} says {}, the user said otherwise",
                       name(action.row.server), off ? "off" : "not off"));
  }
}

void Checks::check(const core::State& state, const core::Event&, const core::Announce& action) {
  if (action.reason == core::Reason::uses_fallback) check_fallback(state, action);
  if (action.reason == core::Reason::commit_failed) shadows_[action.server.value].unwritten = true;
}

void Checks::check(const core::State& state, const core::Event& event, const core::MoveTo& action) {
  if (ground_.is_place(action.server)) return broken("lease: Berth moves what it does not run");
  if (action.rung == Rung::resident) {
    check_start(state, action);
  } else {
    check_stop(state, event, action);
  }
}

/// I4 and I5 of a lease: its bytes are granted when they are free.
void Checks::check_lease(const core::State& state, const core::Dispatch& action) {
  const core::Server& place = state.server(action.server);
  for (const core::PoolShare& share : place.config.footprint.shares) {
    const Bytes sum = state.ledger.staying(share.pool);
    const bool oversize = over_limit(state, share.pool, share.bytes);
    if (oversize ? sum != share.bytes : over_limit(state, share.pool, sum)) {
      broken(fmt::format("I4: a lease is granted and {} are on the books of {}", to_text(sum),
                         state.config.pools[share.pool.value].name));
    }
  }
  core::Claim claim;
  claim.newcomer = action.server;
  claim.need = place.config.footprint;
  check_barrier(state, claim);
  placed_.push_back(action.server);
}

/// Rule 7: granted when all its servers are there; an exclusive one when nobody else is who may
/// leave.
void Checks::check_hold(const core::State& state, const core::Dispatch& action) {
  const Stream& stream = ground_.world->streams[ground_.jobs.at(action.job).stream];
  for (std::uint32_t i = 0; i < shadows_.size(); ++i) {
    const core::Server& server = state.servers[i];
    const bool named = has(stream.servers, ServerId{i});
    if (named && server.state != ServerState::ready) {
      broken(fmt::format("hold: it is granted and {} is not there", server.config.name));
    }
    // What has given its models back may be ended while the hold is granted.
    const Process* process = ground_.newest_alive(ServerId{i});
    const bool away = server.state == ServerState::absent || server.state == ServerState::failed ||
                      (process != nullptr && process->freed);
    // A pin may have been taken away, and a server have come up by itself, since the plan was made.
    const Faults& faults = ground_.world->faults;
    const bool pins = faults.user > 0 || faults.reloads > 0;
    const bool stays = pins || server.state == ServerState::unkillable || is_held(ServerId{i});
    if (stream.exclusive && !named && !away && !stays) {
      broken(fmt::format("hold: it is exclusive and {} is there", server.config.name));
    }
  }
  holds_.emplace(action.job, &stream);
}

bool Checks::is_held(ServerId server) const {
  return std::any_of(holds_.begin(), holds_.end(),
                     [server](const auto& hold) { return has(hold.second->servers, server); });
}

void Checks::check_start(const core::State& state, const core::MoveTo& move) {
  const std::string& who = name(move.server);
  for (const auto& [id, stream] : holds_) {
    if (!stream->exclusive || has(stream->servers, move.server)) continue;
    broken(fmt::format("hold: {} is started while hold {} is exclusive", who, id.value));
  }
  Shadow& shadow = shadows_[move.server.value];
  if (shadow.off) broken(fmt::format("I6: {} is started although the user stopped it", who));
  for (const Process& process : ground_.processes) {
    const bool loads_again = process.freed && process.generation == move.generation;
    if (process.server == move.server && process.alive && !loads_again) {
      broken(fmt::format("I1: {} is started while generation {} lives", who,
                         process.generation.value));
    }
  }
  const std::optional<core::Row>& row = ground_.rows[move.server.value];
  if (!row || row->generation < move.generation) {
    broken(fmt::format("I2: generation {} of {} is started before its row is written",
                       move.generation.value, who));
  }
  if (shadow.failed_at) {
    const core::Policy& policy = state.config.policy;
    const auto pause = doubled(policy.retry_first, shadow.failures, policy.retry_max);
    if ((ground_.now - *shadow.failed_at).count() < pause) {
      broken(fmt::format("I22: {} is started again too early after {} failures", who,
                         shadow.failures));
    }
  }
  const auto claim =
      std::find_if(state.claims.begin(), state.claims.end(),
                   [&](const core::Claim& each) { return each.newcomer == move.server; });
  if (claim == state.claims.end()) return broken(fmt::format("plan first: {} has no plan", who));
  const bool written = row && row->displaced && row->displaced->after == core::After::restore;
  if (claim->is_return && state.server(move.server).queue.empty() && !shadow.debt && !written &&
      (state.server(move.server).wanted != Wanted::on || shadow.cleared)) {
    broken(fmt::format("I6: {} comes back and is not owed it", who));
  }
  check_room(state, *claim);
  check_barrier(state, *claim);
  placed_.push_back(move.server);
}

/// I4, and nothing is loaded that would not fit beside the claims that are in progress.
void Checks::check_room(const core::State& state, const core::Claim& claim) {
  const std::string& who = name(claim.newcomer);
  for (const core::PoolShare& share : claim.need.shares) {
    Bytes books;
    bool alone = true;
    for (const core::LedgerEntry& entry : state.ledger.entries()) {
      // What a victim has not given back yet is the barrier's matter, which looks at free memory.
      if (has(claim.victims, entry.server)) {
        books += kept(state, claim, entry, share.pool);
        continue;
      }
      books += entry.bytes.in(share.pool);
      alone = alone && (entry.server == claim.newcomer || entry.bytes.in(share.pool).count == 0);
    }
    const bool oversize = over_limit(state, share.pool, share.bytes);
    if (oversize ? !alone : over_limit(state, share.pool, books)) {
      broken(fmt::format("I4: {} is started and {} are on the books of {}", who, to_text(books),
                         state.config.pools[share.pool.value].name));
    }
    for (const core::Claim& other : state.claims) {
      if (other.newcomer == claim.newcomer || other.victims.empty() ||
          other.need.in(share.pool).count == 0) {
        continue;
      }
      Bytes later = other.phase == core::ClaimPhase::starting ? Bytes{} : other.need.in(share.pool);
      for (const core::LedgerEntry& entry : state.ledger.entries()) {
        if (entry.server == other.newcomer && entry.keeps) continue;  // it loads where it is
        later += has(other.victims, entry.server) ? kept(state, other, entry, share.pool)
                                                  : entry.bytes.in(share.pool);
      }
      if (over_limit(state, share.pool, later)) {
        broken(fmt::format("backfill: {} is started where {} has claimed its place", who,
                           name(other.newcomer)));
      }
    }
  }
}

/// I5: memory is free when it was seen free after the victims were gone.
void Checks::check_barrier(const core::State& state, const core::Claim& claim) {
  bool going = false;
  for (const core::LedgerEntry& entry : state.ledger.entries())
    going = going || entry.state == core::EntryState::releasing;
  if (claim.victims.empty() && !going) return;
  for (const ServerId victim : claim.victims) {
    const Process* left = ground_.newest_alive(victim);
    // It may load again already; what it takes is not free, and the news are under way.
    const bool loads = left != nullptr && !left->ready && state.server(victim).rests_freed();
    const bool enough =
        left != nullptr && (left->freed || loads) && claim.victims_to == Rung::freed;
    if (left != nullptr && !enough) {
      broken(fmt::format("I5: {} is started while its victim {} lives", name(claim.newcomer),
                         name(victim)));
    }
    const bool ended = victim.value < ground_.ended_at.size();
    const bool freed =  // which was enough, also if its process was ended later
        claim.victims_to == Rung::freed && state.server(victim).config.freed.has_value();
    const auto& since = freed ? ground_.freed_at : ground_.ended_at;
    if (ended && ground_.sampled_at < since[victim.value]) {
      broken(fmt::format("I5: {} is started and no sample was taken since {} ended",
                         name(claim.newcomer), name(victim)));
    }
  }
  if (claim.oversize) return;
  for (const core::PoolShare& share : claim.need.shares) {
    const core::PoolSample& sample = ground_.sample.pools[share.pool.value];
    Bytes stays;
    Bytes promised;  // since the sample was taken: the same bytes are not free for two
    for (const core::LedgerEntry& entry : state.ledger.entries()) {
      const bool mine = entry.server == claim.newcomer;
      const bool new_one =
          entry.state == core::EntryState::reserved || ground_.is_place(entry.server);
      const bool later = new_one && entry.since == ground_.now && !has(placed_, entry.server);
      if (is_going(entry) || mine || later) continue;
      stays += entry.bytes.in(share.pool);
      Bytes seen;
      for (const core::Holder& holder : ground_.sample.holders) {
        const bool same = holder.server == entry.server && holder.generation == entry.generation;
        if (same) seen += holder.bytes.in(share.pool);
      }
      promised += std::max(entry.bytes.in(share.pool) - seen, Bytes{0});
    }
    Bytes own;  // it was freed and loads where it is, or has died and the news are under way
    for (const core::Holder& holder : ground_.sample.holders) {
      const bool mine = holder.server == claim.newcomer &&
                        holder.generation == state.server(claim.newcomer).generation;
      if (mine) own += holder.bytes.in(share.pool);
    }
    const Bytes room = sample.capacity - sample.foreign - stays - own - kBarrierSlack;
    if (sample.free - promised < std::min(share.bytes - own, room)) {
      broken(fmt::format("I5: {} is started and {} were seen free in {}", name(claim.newcomer),
                         to_text(sample.free), state.config.pools[share.pool.value].name));
    }
  }
}

void Checks::check_stop(const core::State& state, const core::Event& event,
                        const core::MoveTo& move) {
  const Shadow& shadow = shadows_[move.server.value];
  const std::string& who = name(move.server);
  const std::optional<core::Row>& row = ground_.rows[move.server.value];
  if (std::holds_alternative<core::Recovered>(event)) return;
  if (const auto* changed = std::get_if<core::ServerChanged>(&event)) {
    if (changed->server == move.server && changed->generation == move.generation &&
        changed->fact == core::ServerChanged::Fact::unresponsive) {
      return;
    }
  }
  if (shadow.state == ServerState::absent || shadow.state == ServerState::failed) return;  // sweep
  // It has just been freed, or could not be: what is left of it goes.
  const bool was_being_freed = std::holds_alternative<core::EffectEnded>(event);
  if (was_being_freed && shadow.state == ServerState::stopping) return;
  for (const auto& [id, job] : ground_.jobs) {
    if (job.server == move.server && job.state == JobTruth::State::running &&
        job.generation == move.generation) {
      broken(fmt::format("I19: {} is stopped while job {} runs on it", who, id.value));
    }
  }
  if (shadow.off) {
    if ((!row || row->wanted != Wanted::off) && !shadow.unwritten) {
      broken(fmt::format("commit: {} is stopped before its row says off", who));
    }
    return;
  }
  if (is_held(move.server)) broken(fmt::format("hold: {} is stopped while it is held", who));
  const auto claim =
      std::find_if(state.claims.begin(), state.claims.end(),
                   [&](const core::Claim& each) { return has(each.victims, move.server); });
  if (claim == state.claims.end()) return check_intruder(state, move);
  check_victim(state, *claim, move);
}

/// Rule 8: a server is freed without a plan where it came up by itself beyond the limit.
void Checks::check_intruder(const core::State& state, const core::MoveTo& move) {
  Shadow& shadow = shadows_[move.server.value];
  bool beyond = false;
  for (const core::PoolShare& share : state.server(move.server).config.footprint.shares) {
    const Bytes sum = state.ledger.promised(share.pool);
    const bool oversize = over_limit(state, share.pool, share.bytes);
    const bool alone = state.ledger.of(move.server, move.generation, share.pool) == sum;
    const bool foreign = state.sample[share.pool.value].foreign.count > 0;  // it lowers the limit
    beyond = beyond || foreign || (oversize ? !alone : over_limit(state, share.pool, sum));
  }
  if (move.rung != Rung::freed || !shadow.appeared || !beyond) {
    broken(fmt::format("plan first: {} is stopped", name(move.server)));
  }
  shadow.put_out += 1;
  if (shadow.put_out > kPutOutMax) {
    broken(
        fmt::format("rule 8: {} is put out {} times in a turn", name(move.server), shadow.put_out));
  }
}

void Checks::check_victim(const core::State& state, const core::Claim& claim,
                          const core::MoveTo& move) {
  Shadow& shadow = shadows_[move.server.value];
  const std::string& who = name(move.server);
  const core::Server& victim = state.server(move.server);
  // A hold's victims leave in the name of one of its servers.
  const core::Server& newcomer = state.server(claim.newcomer);
  const bool for_hold = newcomer.kind == core::JobKind::hold && !newcomer.queue.empty();
  const ServerId rival =
      for_hold ? state.jobs.at(newcomer.queue.front().id).holds.front() : claim.newcomer;
  const bool ahead = home(state, move.server) < home(state, rival);
  if (claim.is_return) {
    if (ahead) {
      broken(fmt::format("home order: {} comes back over {}", name(claim.newcomer), who));
    }
    for (const auto& [id, job] : ground_.jobs) {
      if (job.server == move.server && job.state != JobTruth::State::over) {
        broken(fmt::format("I19: {} comes back over {}, which has job {}", name(claim.newcomer),
                           who, id.value));
      }
    }
  }
  // Not displaced, just absent: it stands behind, or is on demand like one of its kind.
  const bool peer = std::get<1>(home(state, move.server)) == std::get<1>(home(state, rival)) &&
                    state.server(rival).kind == core::JobKind::request;
  if (victim.wanted != Wanted::on && (peer || !ahead)) return;
  const std::optional<core::Row>& row = ground_.rows[move.server.value];
  if (!row || (!row->displaced && row->wanted != Wanted::on)) {
    broken(fmt::format("commit: {} is stopped before its displacement is written", who));
  }
  // A server that the user started while it drained leaves undisplaced, owed as wanted on: no
  // waiver of a displacement is used up.
  if (victim.displaced && std::exchange(shadow.skip, false)) {
    shadow.cleared = true;
  } else if (!shadow.cleared) {
    shadow.debt = true;
  }
}

}  // namespace berth::sim
