// SPDX-License-Identifier: Apache-2.0
#include "berth/sim/checks.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "berth/core/turns.h"
#include "berth/sim/checks_common.h"

namespace berth::sim {
namespace {

using core::ServerState;
using core::Wanted;

/// Commits, samples and timers, which no bound counts.
constexpr Duration kBesides = 200ms;

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
  if (const auto* ended = std::get_if<core::JobEnded>(&event)) holds_.erase(ended->job);
  if (state != nullptr) check_holds(*state);
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
    case core::UserAsked::What::forget:
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
  if (found->second.kind == core::JobKind::lease) check_lease(state, action);
  if (found->second.kind == core::JobKind::hold) check_hold(state, action);
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
  if (found->second.kind != core::JobKind::request) {
    return broken(fmt::format("I19: {} is cut by a drain", place_));
  }
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
    const auto* changed = std::get_if<core::ServerChanged>(&event);
    const bool appears = changed != nullptr && changed->server == ServerId{i} &&
                         changed->fact == core::ServerChanged::Fact::appeared;
    if (!first && !kMay[from][to] && !appears) {
      broken(fmt::format("I20: {} goes from state {} to {}", server.config.name, from, to));
    }
    if (shadow.state == S::starting && server.state == S::failed) {
      shadow.failures += 1;
      shadow.failed_at = ground_.now;
    }
    if (server.state == S::absent) shadow.appeared = false;
    if (server.state == S::ready && shadow.state != S::ready && (appears || first)) {
      shadow.appeared = true;
    } else if (server.state == S::ready && shadow.state != S::ready) {
      for (std::size_t k = 0; k < shadows_.size(); ++k) {
        const core::Footprint& rival = state.servers[k].config.footprint;
        if (rival.touches(server.config.footprint)) shadows_[k].put_out = 0;
      }
    }
    if (server.state == S::ready && shadow.state != S::ready && !server.intruder) {
      shadow.debt = shadow.cleared = false;
      shadow.failed_at.reset();
      shadow.failures = 0;
    }
    // An intruder may stay after all, once its rival has left.
    if (server.state == S::ready && !server.intruder && !server.displaced) shadow.debt = false;
    shadow.state = server.state;
    if (server.gate_open) {
      shadow.closed_at.reset();
    } else if (!shadow.closed_at) {
      shadow.closed_at = ground_.now;
    }
    const auto waiting = static_cast<std::int32_t>(
        std::count_if(server.queue.begin(), server.queue.end(),
                      [](const core::Waiting& job) { return !job.is_hold; }));
    if (waiting > state.config.policy.queue_max) {
      broken(fmt::format("I11: {} jobs wait for {}", waiting, server.config.name));
    }
  }
}

/// I2 and I5: what holds memory, and what Berth started, is on the books until it was seen gone.
void Checks::check_ledger(const core::State& state) {
  for (const Process& process : ground_.processes) {
    const bool holds =
        std::any_of(process.bytes.shares.begin(), process.bytes.shares.end(),
                    [](const core::PoolShare& share) { return share.bytes.count > 0; });
    if (process.forgotten || (!process.alive && !holds)) continue;
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

/// The printed bounds, with the world's true swap times and job lengths.
void Checks::compute_bounds(const core::State& state) {
  core::State known = state;
  for (const Stream& stream : ground_.world->streams) {
    if (stream.kind != core::JobKind::lease) continue;
    core::Server& lease = known.servers.emplace_back();
    lease.kind = core::JobKind::lease;
    lease.config.name = place_;
    lease.config.footprint = stream.need;
    lease.config.job_class = stream.job_class;
    lease.config.drain_limit.reset();
    lease.config.job_limit = stream.limit + kBesides;
    lease.queue.emplace_back();
  }
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
    // From the arrival of who waits now: those before may have left, or waited for max_hold.
    const Instant first = server.queue.front().arrived;
    shadow.unserved_since = std::max(shadow.unserved_since.value_or(ground_.now), first);
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
  holds_.clear();
  for (std::uint32_t i = 0; i < shadows_.size(); ++i) {
    const std::optional<core::Row>& row = ground_.rows[i];
    const Wanted configured = ground_.world->config.servers[i].wanted;
    const Wanted wanted = row && row->wanted != Wanted::on_demand ? row->wanted : configured;
    Shadow fresh;
    fresh.off = wanted == Wanted::off;
    const Process* lives = ground_.newest_alive(ServerId{i});
    const bool serves = lives != nullptr && !lives->freed && !(row && row->displaced);
    fresh.debt = shadows_[i].debt && !fresh.off && !serves;
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
        const bool there = other.state == ServerState::ready || other.freed;
        if (!there || k == i || home(state, id) < home(state, ServerId{k})) continue;
        const core::Footprint& bytes =
            other.state == ServerState::ready ? other.config.footprint : *other.config.freed;
        sum += bytes.in(share.pool);
        alone = alone && bytes.in(share.pool).count == 0;
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
