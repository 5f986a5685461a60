// SPDX-License-Identifier: Apache-2.0
#include "berth/sim/checks.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "berth/core/turns.h"

namespace berth::sim {
namespace {

using core::Rung;
using core::ServerState;
using core::Wanted;
__extension__ using Wide = __int128;

constexpr Bytes kBarrierSlack = 64_MiB;
/// Commits, samples and timers, which no bound counts.
constexpr Duration kBesides = 200ms;

/// wanted on first; then LLM, image, video, the rest; then the order of the configuration.
auto home(const core::State& state, ServerId id) {
  constexpr std::array<int, 4> kGroup = {2, 1, 0, 3};  // video, image, chat, batch
  const core::Server& server = state.server(id);
  return std::tuple(server.wanted != Wanted::on,
                    kGroup[static_cast<std::size_t>(server.config.job_class)], id);
}

bool is_going(const core::LedgerEntry& entry) {
  return entry.state == core::EntryState::releasing || entry.state == core::EntryState::stuck;
}

bool has(const std::vector<ServerId>& list, ServerId id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

bool over_limit(const core::State& state, PoolId pool, Bytes sum) {
  const core::PoolConfig& config = state.config.pools[pool.value];
  const core::Policy& policy = state.config.policy;
  return (Wide{sum.count} + config.reserve.count) * policy.limit_denominator >
         Wide{config.capacity.count} * policy.limit_numerator;
}

bool ran_out_of_memory(const core::Server& server, ServerId id, const core::Event& event) {
  if (const auto* ended = std::get_if<core::EffectEnded>(&event)) {
    return server.state == ServerState::starting && server.move == ended->effect &&
           ended->result.error && ended->result.error->code == ErrorCode::out_of_memory;
  }
  const auto* changed = std::get_if<core::ServerChanged>(&event);
  return changed != nullptr && changed->server == id && changed->generation == server.generation &&
         server.state == ServerState::ready &&
         changed->fact == core::ServerChanged::Fact::out_of_memory;
}

std::int64_t doubled(Duration first, std::int32_t times, Duration most) {
  std::int64_t pause = first.count();
  for (std::int32_t i = 1; i < times && pause < most.count(); ++i)
    pause *= 2;
  return std::min(pause, most.count());
}

}  // namespace

Checks::Checks(const Ground& ground)
    : ground_(ground),
      shadows_(ground.world->config.servers.size()),
      bound_(has_bound(*ground.world)) {
  for (std::size_t i = 0; i < shadows_.size(); ++i)
    shadows_[i].off = ground.world->config.servers[i].wanted == Wanted::off;
}

void Checks::broken(std::string what) {
  if (!broken_) broken_ = std::move(what);
}

void Checks::before(const core::State* state, const core::Event& event) {
  if (const auto* user = std::get_if<core::UserAsked>(&event)) note_user(*state, *user);
  starved_.reset();
  for (std::uint32_t i = 0; state != nullptr && i < state->servers.size(); ++i) {
    if (ran_out_of_memory(state->servers[i], ServerId{i}, event)) {
      starved_ = {ServerId{i}, state->servers[i].config.footprint};
    }
  }
}

/// What ran out of memory is promised more before it is tried again.
void Checks::check_raised(const core::State& state) {
  if (!starved_) return;
  const auto& [id, before] = *starved_;
  for (const core::PoolShare& share : before.shares) {
    const Bytes now = state.server(id).config.footprint.in(share.pool);
    if (now > share.bytes || now >= state.config.pools[share.pool.value].capacity) continue;
    broken(fmt::format("oom: {} ran out of memory and is promised {} as before", name(id),
                       berth::to_text(now)));
  }
}

void Checks::note_user(const core::State& state, const core::UserAsked& event) {
  Shadow& shadow = shadows_[event.server.value];
  const core::Server& server = state.server(event.server);
  switch (event.what) {
    case core::UserAsked::What::start:
      shadow.off = false;
      shadow.cleared = false;
      if (server.displaced) shadow.skip = false;  // this displacement has used it up, and ends
      shadow.failures = 0;
      shadow.failed_at.reset();
      return;
    case core::UserAsked::What::stop:
      shadow.off = true;
      shadow.debt = shadow.skip = shadow.cleared = false;
      return;
    case core::UserAsked::What::clear_saved_state:
      if (server.displaced) {
        shadow.debt = false;
        shadow.cleared = true;
      } else {
        shadow.skip = true;
      }
      return;
    case core::UserAsked::What::pin:
    case core::UserAsked::What::unpin:
      return;
  }
}

std::optional<std::string> Checks::after(const core::State& state, const core::Event& event,
                                         const std::vector<core::Action>& actions) {
  check_ledger(state);
  placed_.clear();
  for (const core::Action& action : actions)
    std::visit([&](const auto& a) { check(state, event, a); }, action);
  check_states(state, event);
  check_debts(state);
  check_calls(state);
  check_raised(state);
  if (bound_) check_bound(state);
  return broken_;
}

// ---- Jobs ---------------------------------------------------------------------------------------

void Checks::check(const core::State& state, const core::Event&, const core::Dispatch& action) {
  const auto found = ground_.jobs.find(action.job);
  const core::Server& server = state.server(action.server);
  if (found == ground_.jobs.end() || found->second.state != JobTruth::State::queued) {
    return broken(fmt::format("I7: job {} is dispatched but does not wait", action.job.value));
  }
  if (server.state != ServerState::ready || server.generation != action.generation) {
    return broken(fmt::format("I12: job {} goes to {} which is not ready", action.job.value,
                              name(action.server)));
  }
  for (const auto& [id, job] : ground_.jobs) {
    if (job.server != action.server) continue;
    // Earlier in the same class: the ids count arrivals.
    const bool earlier =
        id < action.job && !found->second.parent && !job.parent &&
        job.state == JobTruth::State::queued && job.job_class == found->second.job_class &&
        std::any_of(server.queue.begin(), server.queue.end(),
                    [waiting = id](const core::Waiting& each) { return each.id == waiting; });
    if (earlier) {
      return broken(
          fmt::format("I11: job {} overtakes job {} of its class", action.job.value, id.value));
    }
  }
  const auto known = static_cast<std::int32_t>(server.running.size());
  if (known > server.config.slots) {
    broken(fmt::format("I12: {} runs {} jobs on {} slots", name(action.server), known,
                       server.config.slots));
  }
}

void Checks::check(const core::State& state, const core::Event&, const core::Cancel& action) {
  if (action.reason != core::CancelReason::drain_limit) return;
  const auto found = ground_.jobs.find(action.job);
  if (found == ground_.jobs.end()) return;
  const core::Server& server = state.server(found->second.server);
  const Shadow& shadow = shadows_[found->second.server.value];
  const bool chat = server.config.job_class == core::ServerClass::chat;
  const bool late = shadow.closed_at && server.config.drain_limit &&
                    ground_.now - *shadow.closed_at >= *server.config.drain_limit;
  if (!chat || !late) {
    broken(fmt::format("I19: job {} of {} is cut before its drain limit", action.job.value,
                       server.config.name));
  }
}

void Checks::check(const core::State&, const core::Event&, const core::Reject& action) {
  const auto found = ground_.jobs.find(action.job);
  if (found == ground_.jobs.end() || found->second.state != JobTruth::State::queued) {
    broken(fmt::format("I7: job {} is rejected but does not wait", action.job.value));
  }
}

// ---- Rows and moves -----------------------------------------------------------------------------

void Checks::check(const core::State&, const core::Event&, const core::Commit& action) {
  Shadow& shadow = shadows_[action.row.server.value];
  shadow.unwritten = false;
  const bool off = action.row.wanted == Wanted::off;
  if (off != shadow.off) {
    broken(fmt::format("I6: the row of {} says {}, the user said otherwise",
                       name(action.row.server), off ? "off" : "not off"));
  }
}

void Checks::check(const core::State&, const core::Event&, const core::Announce& action) {
  if (action.reason == core::Reason::commit_failed) shadows_[action.server.value].unwritten = true;
}

void Checks::check(const core::State& state, const core::Event& event, const core::MoveTo& action) {
  if (action.rung == Rung::resident) {
    check_start(state, action);
  } else {
    check_stop(state, event, action);
  }
}

void Checks::check_start(const core::State& state, const core::MoveTo& move) {
  const std::string& who = name(move.server);
  Shadow& shadow = shadows_[move.server.value];
  if (shadow.off) broken(fmt::format("I6: {} is started although the user stopped it", who));
  for (const Process& process : ground_.processes) {
    if (process.server == move.server && process.alive) {
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
      if (has(claim.victims, entry.server)) continue;
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
        if (!has(other.victims, entry.server)) later += entry.bytes.in(share.pool);
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
    if (ground_.newest_alive(victim) != nullptr) {
      broken(fmt::format("I5: {} is started while its victim {} lives", name(claim.newcomer),
                         name(victim)));
    }
    if (ground_.sampled_at < ground_.ended_at[victim.value]) {
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
      const bool later = entry.state == core::EntryState::reserved && entry.since == ground_.now &&
                         !has(placed_, entry.server);
      if (is_going(entry) || mine || later) continue;
      stays += entry.bytes.in(share.pool);
      Bytes seen;
      for (const core::Holder& holder : ground_.sample.holders) {
        const bool same = holder.server == entry.server && holder.generation == entry.generation;
        if (same) seen += holder.bytes.in(share.pool);
      }
      promised += std::max(entry.bytes.in(share.pool) - seen, Bytes{0});
    }
    const Bytes room = sample.capacity - sample.foreign - stays - kBarrierSlack;
    if (sample.free - promised < std::min(share.bytes, room)) {
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
  const auto claim =
      std::find_if(state.claims.begin(), state.claims.end(),
                   [&](const core::Claim& each) { return has(each.victims, move.server); });
  if (claim == state.claims.end()) return broken(fmt::format("plan first: {} is stopped", who));
  check_victim(state, *claim, move);
}

void Checks::check_victim(const core::State& state, const core::Claim& claim,
                          const core::MoveTo& move) {
  Shadow& shadow = shadows_[move.server.value];
  const std::string& who = name(move.server);
  const core::Server& victim = state.server(move.server);
  const bool ahead = home(state, move.server) < home(state, claim.newcomer);
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
  if (victim.wanted != Wanted::on && !ahead) return;  // not displaced, just absent
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

// ---- After each step ----------------------------------------------------------------------------

void Checks::check_states(const core::State& state, const core::Event& event) {
  using S = ServerState;
  // I20, one row a state, one column a state to come: absent, starting, ready, stopping, failed,
  // unkillable. A sweep of what an ended server left behind is a `stopping` from absent.
  constexpr bool kMay[6][6] = {
      {true, true, false, true, true, false}, {false, true, true, true, true, false},
      {true, false, true, true, true, false}, {true, false, false, true, true, true},
      {true, true, false, true, true, false}, {true, false, false, true, false, true}};
  const bool first = std::holds_alternative<core::Recovered>(event);
  for (std::uint32_t i = 0; i < shadows_.size(); ++i) {
    Shadow& shadow = shadows_[i];
    const core::Server& server = state.servers[i];
    const auto from = static_cast<std::size_t>(shadow.state);
    const auto to = static_cast<std::size_t>(server.state);
    if (!first && !kMay[from][to]) {
      broken(fmt::format("I20: {} goes from state {} to {}", server.config.name, from, to));
    }
    if (shadow.state == S::starting && server.state == S::failed) {
      shadow.failures += 1;
      shadow.failed_at = ground_.now;
    }
    if (server.state == S::ready && shadow.state != S::ready) {
      shadow.debt = shadow.cleared = false;
      shadow.failed_at.reset();
      shadow.failures = 0;
    }
    shadow.state = server.state;
    if (server.gate_open) {
      shadow.closed_at.reset();
    } else if (!shadow.closed_at) {
      shadow.closed_at = ground_.now;
    }
    const auto waiting = static_cast<std::int32_t>(server.queue.size());
    if (waiting > state.config.policy.queue_max) {
      broken(fmt::format("I11: {} jobs wait for {}", waiting, server.config.name));
    }
  }
}

/// I2 and I5: what holds memory, and what Berth started, is on the books until it was seen gone.
void Checks::check_ledger(const core::State& state) {
  for (const Process& process : ground_.processes) {
    if (process.forgotten) continue;
    const core::Server& server = state.server(process.server);
    const bool known = process.generation == server.generation &&
                       server.state != ServerState::absent && server.state != ServerState::failed;
    const auto& entries = state.ledger.entries();
    const bool booked =
        std::any_of(entries.begin(), entries.end(), [&](const core::LedgerEntry& entry) {
          return entry.server == process.server && entry.generation == process.generation;
        });
    if (process.alive && process.ready && !known) {
      // Its end may be on the way to the core, but then it is not alive any more.
      broken(fmt::format("I2: generation {} of {} lives and the core knows nothing of it",
                         process.generation.value, name(process.server)));
    }
    const bool unseen = !process.alive && ground_.world->faults.unattributed;
    if (!booked && !unseen) {
      broken(fmt::format("I5: generation {} of {} holds memory that is on nobody's books",
                         process.generation.value, name(process.server)));
    }
  }
}

void Checks::check_debts(const core::State& state) {
  for (std::uint32_t i = 0; i < shadows_.size(); ++i) {
    const core::Server& server = state.servers[i];
    const bool known = server.displaced || server.wanted == Wanted::on;
    if (shadows_[i].debt && !known && server.state != ServerState::ready) {
      broken(
          fmt::format("I6: {} was put out and its displacement is forgotten", server.config.name));
    }
  }
}

/// Rule 6: no call waits for a claim that waits for the call's own caller.
void Checks::check_calls(const core::State& state) {
  for (const auto& [id, job] : ground_.jobs) {
    if (!job.parent || job.state != JobTruth::State::queued) continue;
    const auto caller = ground_.jobs.find(*job.parent);
    const core::Server& server = state.server(job.server);
    const bool rejected = !state.jobs.contains(id);
    if (caller == ground_.jobs.end() || rejected || server.state == ServerState::ready) continue;
    const std::vector<JobId>& runs = state.server(caller->second.server).running;
    if (std::find(runs.begin(), runs.end(), caller->first) == runs.end()) continue;
    for (const core::Claim& claim : state.claims) {
      const bool waits_for_it = claim.need.touches(server.config.footprint);
      if (!waits_for_it || !has(claim.victims, caller->second.server)) continue;
      broken(fmt::format("rule 6: call {} waits for the place of its caller {} on {}", id.value,
                         caller->first.value, name(caller->second.server)));
    }
  }
}

/// The printed bounds, with the world's true swap times and job lengths.
void Checks::compute_bounds(const core::State& state) {
  core::State known = state;
  Duration stop{0};
  for (const Traits& each : ground_.world->traits)
    stop = std::max(stop, each.stop);
  for (std::uint32_t i = 0; i < shadows_.size(); ++i) {
    const Traits& traits = ground_.world->traits[i];
    known.servers[i].swap = stop + traits.start + kBesides;
    known.servers[i].config.job_limit = traits.work + kBesides;
  }
  for (std::uint32_t i = 0; i < shadows_.size(); ++i) {
    for (std::size_t k = 0; k < kClasses; ++k) {
      const auto job_class = static_cast<core::ServerClass>(k);
      const core::Bound bound = core::bound_of(known, ServerId{i}, job_class, 0);
      shadows_[i].bounds[k] = bound.within.value_or(Duration::max());
    }
  }
  bounds_known_ = true;
}

/// I11: no server with a waiting job goes unserved for longer than the bound.
void Checks::check_bound(const core::State& state) {
  if (!bounds_known_) compute_bounds(state);
  for (std::uint32_t i = 0; i < shadows_.size(); ++i) {
    Shadow& shadow = shadows_[i];
    const core::Server& server = state.servers[i];
    const bool served = !server.running.empty() || server.last_served == ground_.now;
    if (server.queue.empty() || served) shadow.unserved_since.reset();
    if (server.queue.empty() || served) continue;
    if (!shadow.unserved_since) shadow.unserved_since = ground_.now;
    std::size_t worst = 0;
    for (const core::Waiting& job : server.queue)
      worst = std::max(worst, static_cast<std::size_t>(job.job_class));
    const Duration unserved = ground_.now - *shadow.unserved_since;
    if (unserved <= shadow.bounds[worst]) continue;
    broken(fmt::format("bound: {} was not served for {}, its bound is {}", server.config.name,
                       berth::to_text(unserved), berth::to_text(shadow.bounds[worst])));
  }
}

void Checks::host_died() {
  for (std::uint32_t i = 0; i < shadows_.size(); ++i) {
    const std::optional<core::Row>& row = ground_.rows[i];
    const Wanted configured = ground_.world->config.servers[i].wanted;
    const Wanted wanted = row && row->wanted != Wanted::on_demand ? row->wanted : configured;
    Shadow fresh;
    fresh.off = wanted == Wanted::off;
    fresh.debt = shadows_[i].debt && !fresh.off;
    fresh.skip = row && row->skip_next_restore;
    fresh.cleared = row && row->displaced && row->displaced->after == core::After::on_request;
    fresh.debt = fresh.debt && !fresh.cleared;
    shadows_[i] = fresh;
  }
}

// ---- Liveness -----------------------------------------------------------------------------------

std::optional<std::string> Checks::stranded(const core::State& state) const {
  for (const core::Server& server : state.servers) {
    // A pin or what cannot be killed may stand in the way for as long as it likes.
    if (server.pinned || server.state == ServerState::unkillable) return std::nullopt;
  }
  for (const core::Server& server : state.servers) {
    if (!server.queue.empty()) {
      return fmt::format("liveness: {} jobs wait for {} and nothing is due", server.queue.size(),
                         server.config.name);
    }
  }
  if (state.claims.empty()) return std::nullopt;
  return fmt::format("liveness: the claim of {} waits and nothing is due",
                     name(state.claims.front().newcomer));
}

std::optional<std::string> Checks::at_rest(const core::State& state) const {
  for (const auto& [id, job] : ground_.jobs) {
    if (job.state != JobTruth::State::over) {
      return fmt::format("I7: job {} for {} never ended", id.value, name(job.server));
    }
  }
  for (std::uint32_t i = 0; i < shadows_.size(); ++i) {
    const ServerId id{i};
    const core::Server& server = state.servers[i];
    if (shadows_[i].off && server.state != ServerState::absent) {
      return fmt::format("I6: {} is not absent although the user stopped it", name(id));
    }
    const bool waived = shadows_[i].cleared || (shadows_[i].skip && server.displaced &&
                                                server.displaced->after == core::After::on_request);
    const bool owed =
        !shadows_[i].off && !waived && (server.wanted == Wanted::on || shadows_[i].debt);
    if (!owed || server.state == ServerState::ready) continue;
    // Owed and not here: those before it in the home order must take the place.
    bool fits = true;
    for (const core::PoolShare& share : server.config.footprint.shares) {
      Bytes sum = share.bytes;
      bool alone = true;
      for (std::uint32_t k = 0; k < state.servers.size(); ++k) {
        const core::Server& other = state.servers[k];
        if (other.state != ServerState::ready || home(state, id) < home(state, ServerId{k})) {
          continue;
        }
        sum += other.config.footprint.in(share.pool);
        alone = alone && other.config.footprint.in(share.pool).count == 0;
      }
      const bool oversize = over_limit(state, share.pool, share.bytes);
      const bool refused = oversize && state.config.policy.oversize == core::Oversize::refuse;
      fits = fits && !refused && (oversize ? alone : !over_limit(state, share.pool, sum));
    }
    if (fits) return fmt::format("I6: {} is owed its return, fits, and is not back", name(id));
  }
  return std::nullopt;
}

}  // namespace berth::sim
