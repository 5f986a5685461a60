// SPDX-License-Identifier: Apache-2.0
#include "berth/core/planner.h"

#include <algorithm>
#include <tuple>
#include <type_traits>
#include <utility>

#include "berth/core/admission.h"
#include "berth/core/planted.h"
#include "berth/core/turns.h"

namespace berth::core {
namespace {

const PoolSample& sample_of(const State& state, PoolId pool) {
  return state.sample.at(pool.value);
}

/// What other claims promise to their newcomers in `pool`.
Bytes coming_in(const State& state, PoolId pool, ServerId except) {
  Bytes sum;
  for (const Claim& claim : state.claims) {
    const bool counted = claim.newcomer == except || claim.phase == ClaimPhase::starting;
    if (!counted) sum += claim.need.in(pool);
  }
  return sum;
}

AdmissionInput input_for(const State& state, PoolId pool, Bytes need, Bytes others) {
  const PoolSample& sample = sample_of(state, pool);
  return {.need = need,
          .others = others,
          .reserve = state.config.pools[pool.value].reserve,
          .capacity = sample.capacity,
          .foreign = sample.foreign};
}

bool is_oversize_in(const State& state, const PoolShare& share) {
  return is_oversize(share.bytes, state.config.pools[share.pool.value], state.config.policy);
}

/// In a pool where the newcomer is oversize nothing but the victims may hold memory.
bool fits_beside(const State& state, const PoolShare& share, Bytes others) {
  if (is_oversize_in(state, share)) return others.count == 0;
  const Policy policy = policy_in(state.config.pools[share.pool.value], state.config.policy);
  return fits(input_for(state, share.pool, share.bytes, others), policy);
}

/// What victims that are only freed keep.
Bytes kept_by(const State& state, const Claim& claim, const std::vector<ServerId>& victims,
              PoolId pool) {
  Bytes sum;
  for (const ServerId id : victims) {
    const Server& victim = state.server(id);
    if (claim.victims_to == Rung::freed && victim.config.freed) {
      sum += victim.config.freed->in(pool);
    }
  }
  return sum;
}

/// On the books of `pool` beside the claim's newcomer, once `victims` have left for the claim and
/// `gone` have, too.
Bytes beside(const State& state, const Claim& claim, PoolId pool,
             const std::vector<ServerId>& victims, const std::vector<ServerId>& gone) {
  return state.ledger.promised(pool, gone) + kept_by(state, claim, victims, pool) -
         own_in(state, claim.newcomer, pool);
}

/// With `victims` gone: beside what is there and comes at once, beside that after each claim in
/// progress is carried out, whichever comes first, and after all of them are.
bool has_room_in(const State& state, const Claim& claim, const PoolShare& share,
                 const std::vector<ServerId>& victims) {
  Bytes at_once;
  Bytes all;
  std::vector<ServerId> gone = victims;
  for (const Claim& other : state.claims) {
    if (other.newcomer == claim.newcomer) continue;
    const bool waits = other.phase == ClaimPhase::waiting;
    if (waits && is_planted(Planted::claim_when_gates_close)) continue;
    const Bytes coming = other.phase == ClaimPhase::starting ? Bytes{} : other.need.in(share.pool);
    all += coming;
    if (other.victims.empty()) at_once += coming;
    gone.insert(gone.end(), other.victims.begin(), other.victims.end());
    all += kept_by(state, other, other.victims, share.pool);
  }
  const Bytes now = beside(state, claim, share.pool, victims, victims) + at_once;
  if (!fits_beside(state, share, now)) return false;
  if (is_planted(Planted::backfill_past_the_claim)) return true;
  for (const Claim& other : state.claims) {
    const Bytes coming = other.need.in(share.pool);
    if (other.newcomer == claim.newcomer || other.victims.empty() || coming.count == 0) continue;
    if (other.phase == ClaimPhase::starting) continue;
    const bool waits = other.phase == ClaimPhase::waiting;
    if (waits && is_planted(Planted::claim_when_gates_close)) continue;
    std::vector<ServerId> out = victims;
    out.insert(out.end(), other.victims.begin(), other.victims.end());
    const Bytes kept = kept_by(state, other, other.victims, share.pool);
    const Bytes then = beside(state, claim, share.pool, victims, out) + kept + at_once + coming;
    if (!fits_beside(state, share, then)) return false;
  }
  return fits_beside(state, share, beside(state, claim, share.pool, victims, gone) + all);
}

bool has_room(const State& state, const Claim& claim, const std::vector<ServerId>& victims) {
  return std::all_of(
      claim.need.shares.begin(), claim.need.shares.end(),
      [&](const PoolShare& share) { return has_room_in(state, claim, share, victims); });
}

bool may_move(const State& state, ServerId id, const Claim& claim) {
  const Server& server = state.server(id);
  const bool resident = server.state == ServerState::ready ||
                        server.state == ServerState::starting ||
                        (server.rests_freed() && claim.victims_to == Rung::absent);
  return resident && id != claim.newcomer && !server.pinned && !server.retiring &&
         !server.held_by && !in_a_claim(state, id) && server.config.footprint.touches(claim.need);
}

/// Never one with a queued job of better class than the claim's.
bool queue_outranks(const State& state, const Server& victim, std::int32_t claim_class,
                    Instant now) {
  if (victim.queue.empty()) return false;
  return aged_class(head_of(state, victim, now), now, state.config.policy) < claim_class;
}

/// Cheapest first: idle before working, short to bring back before long, then home order backwards.
auto cost_of(const State& state, ServerId id) {
  const Server& server = state.server(id);
  return std::tuple(!server.running.empty(), !server.owed() ? 0 : 1, swap_time(state, server), id);
}

/// Takes candidates, cheapest first, until there is room; then gives back who is not needed,
/// dearest first. Nothing: no room even without all of them.
std::optional<std::vector<ServerId>> choose_victims(const State& state, const Claim& claim,
                                                    std::vector<ServerId> candidates) {
  std::sort(candidates.begin(), candidates.end(),
            [&](ServerId a, ServerId b) { return cost_of(state, a) < cost_of(state, b); });
  std::vector<ServerId> victims;
  for (const ServerId id : candidates) {
    if (has_room(state, claim, victims)) break;
    victims.push_back(id);
  }
  if (!has_room(state, claim, victims)) return std::nullopt;
  for (std::size_t i = victims.size(); i-- > 0;) {
    std::vector<ServerId> fewer = victims;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    if (has_room(state, claim, fewer)) victims = std::move(fewer);
  }
  return victims;
}

/// `allowed` says who may leave; nullopt: nobody.
template <class Allowed>
Plan plan_with(const State& state, Claim claim, Allowed allowed) {
  claim.need = need_of(state, state.server(claim.newcomer));
  claim.oversize = is_oversize_need(state, claim.need);
  Plan plan;
  plan.claim = std::move(claim);
  if (kept_out_by(state, plan.claim.newcomer)) {
    plan.verdict = Verdict::blocked;
    return plan;
  }
  if (plan.claim.oversize && state.config.policy.oversize == Oversize::refuse) {
    plan.claim.numbers = numbers_of(state, plan.claim, true);
    return plan;
  }
  std::optional<std::vector<ServerId>> victims;
  for (const Rung rung : {Rung::freed, Rung::absent}) {  // no more than is needed
    plan.claim.victims_to = rung;
    std::vector<ServerId> candidates;
    if constexpr (!std::is_same_v<Allowed, std::nullopt_t>) {
      for (std::uint32_t i = 0; i < state.servers.size(); ++i) {
        if (may_move(state, ServerId{i}, plan.claim) && allowed(ServerId{i})) {
          candidates.push_back(ServerId{i});
        }
      }
    }
    victims = choose_victims(state, plan.claim, std::move(candidates));
    if (victims) break;
  }
  plan.verdict = !victims ? Verdict::blocked : victims->empty() ? Verdict::fits : Verdict::offload;
  if (victims) plan.claim.victims = *victims;
  plan.claim.numbers = numbers_of(state, plan.claim, false);
  return plan;
}

}  // namespace

Bytes own_in(const State& state, ServerId newcomer, PoolId pool) {
  const Server& server = state.server(newcomer);
  return server.freed ? state.ledger.of(newcomer, server.generation, pool) : Bytes{};
}

std::optional<ServerId> kept_out_by(const State& state, ServerId newcomer) {
  for (std::size_t i = state.config.servers.size(); i < state.servers.size(); ++i) {
    const Server& place = state.servers[i];
    if (place.kind != JobKind::hold || place.idle() || newcomer.value == i) continue;
    const JobId id = place.running.empty() ? place.queue.front().id : place.running.front();
    const Job& hold = state.jobs.at(id);
    const auto& members = hold.holds;
    const bool member = std::find(members.begin(), members.end(), newcomer) != members.end();
    const bool gathers = state.server(members.front()).held_by == id;
    if (hold.exclusive && gathers && !member) return members.front();
  }
  return std::nullopt;
}

bool is_beyond_limit(const State& state, ServerId id) {
  const Server& server = state.server(id);
  const auto& shares = server.config.footprint.shares;
  return std::any_of(shares.begin(), shares.end(), [&](const PoolShare& share) {
    const Bytes own = state.ledger.of(id, server.generation, share.pool);
    return !fits_beside(state, share, state.ledger.promised(share.pool) - own);
  });
}

bool in_a_claim(const State& state, ServerId id) {
  return std::any_of(state.claims.begin(), state.claims.end(), [&](const Claim& claim) {
    return claim.newcomer == id ||
           std::find(claim.victims.begin(), claim.victims.end(), id) != claim.victims.end();
  });
}

Footprint need_of(const State& state, const Server& server) {
  Footprint need = server.config.footprint;
  for (const Waiting& job : server.queue) {
    if (!job.has_need) continue;
    const std::optional<Footprint>& job_need = state.jobs.at(job.id).need;
    for (PoolShare& share : need.shares) {
      share.bytes = std::max(share.bytes, job_need->in(share.pool));
    }
  }
  return need;
}

bool fits_now(const State& state, const Claim& claim) {
  return std::all_of(
      claim.need.shares.begin(), claim.need.shares.end(), [&](const PoolShare& share) {
        const Bytes kept = kept_by(state, claim, claim.victims, share.pool);
        const Bytes others = state.ledger.promised(share.pool, claim.victims);
        return fits_beside(state, share, others + kept - own_in(state, claim.newcomer, share.pool));
      });
}

bool shares_pool(const Claim& claim, const Footprint& need) {
  return claim.need.touches(need);
}

bool is_oversize_need(const State& state, const Footprint& need) {
  return std::any_of(need.shares.begin(), need.shares.end(),
                     [&](const PoolShare& share) { return is_oversize_in(state, share); });
}

Plan plan_for_job(const State& state, ServerId newcomer, Instant now) {
  const Waiting& head = head_of(state, state.server(newcomer), now);
  return plan_for_class(state, newcomer, aged_class(head, now, state.config.policy), now);
}

Plan plan_for_class(const State& state, ServerId newcomer, std::int32_t job_class, Instant now) {
  Claim claim;
  claim.newcomer = newcomer;
  return plan_with(state, std::move(claim), [&](ServerId id) {
    const bool works = !state.server(id).idle() && is_planted(Planted::victims_only_idle);
    return !works && !queue_outranks(state, state.server(id), job_class, now);
  });
}

std::optional<ServerId> keeper_of_place(const State& state, ServerId newcomer,
                                        ServerClass job_class, Instant now) {
  if (state.server(newcomer).state != ServerState::absent || in_a_claim(state, newcomer)) {
    return std::nullopt;
  }
  if (const auto keeper = kept_out_by(state, newcomer)) return keeper;
  State free = state;
  for (Server& each : free.servers) {
    each.pinned = false;
    each.held_by.reset();
  }
  const Plan plan = plan_for_class(free, newcomer, static_cast<std::int32_t>(job_class), now);
  if (plan.verdict != Verdict::offload) return std::nullopt;
  const auto& victims = plan.claim.victims;
  const auto found = std::find_if(victims.begin(), victims.end(), [&](ServerId id) {
    const Server& each = state.server(id);
    return each.pinned || each.held_by || each.kind == JobKind::lease;
  });
  return found == victims.end() ? std::nullopt : std::optional(*found);
}

bool is_gathered(const State& state, const Server& place) {
  if (place.kind != JobKind::hold || place.queue.empty()) return true;
  const Job& hold = state.jobs.at(place.queue.front().id);
  return std::all_of(hold.holds.begin(), hold.holds.end(), [&](ServerId id) {
    const Server& each = state.server(id);
    return each.state == ServerState::ready && each.held_by == hold.id && !each.retiring;
  });
}

ServerId displacer_of(const State& state, const Claim& claim) {
  const Server& newcomer = state.server(claim.newcomer);
  if (newcomer.kind != JobKind::hold || newcomer.queue.empty()) return claim.newcomer;
  return state.jobs.at(newcomer.queue.front().id).holds.front();
}

Plan plan_hold(const State& state, ServerId place, Instant now) {
  const Waiting& head = head_of(state, state.server(place), now);
  const std::int32_t job_class = aged_class(head, now, state.config.policy);
  Plan plan{.verdict = Verdict::fits, .claim = {}};
  plan.claim.newcomer = place;
  if (!state.jobs.at(head.id).exclusive) return plan;
  const std::vector<ServerId>& members = state.jobs.at(head.id).holds;
  for (const Claim& claim : state.claims) {  // before its first signal it falls, else it comes up
    const bool member = std::find(members.begin(), members.end(), claim.newcomer) != members.end();
    if (!member && claim.newcomer != place) return {Verdict::blocked, plan.claim};
  }
  for (std::uint32_t i = 0; i < state.servers.size(); ++i) {
    const Server& each = state.servers[i];
    const bool out = each.state == ServerState::absent || each.state == ServerState::failed;
    const bool stays = each.pinned || each.held_by || each.kind == JobKind::hold ||
                       each.state == ServerState::unkillable;
    if (out || stays || ServerId{i} == place) continue;
    const bool busy = in_a_claim(state, ServerId{i}) || each.retiring ||
                      each.state == ServerState::stopping ||
                      queue_outranks(state, each, job_class, now);
    if (busy) return {Verdict::blocked, plan.claim};
    plan.claim.victims.push_back(ServerId{i});
  }
  if (!plan.claim.victims.empty()) plan.verdict = Verdict::offload;
  return plan;
}

Plan plan_beside(const State& state, ServerId newcomer) {
  Claim claim;
  claim.newcomer = newcomer;
  return plan_with(state, std::move(claim), std::nullopt);
}

Instant linger_ends(const State& state, ServerId newcomer, const Server& victim) {
  const Duration there_and_back =
      swap_time(state, state.server(newcomer)) + swap_time(state, victim);
  return victim.idle_since + std::min(there_and_back, state.config.policy.linger_max);
}

Plan plan_return(const State& state, ServerId newcomer, Instant now) {
  Claim claim;
  claim.newcomer = newcomer;
  claim.is_return = true;
  const HomeOrder place = home_order(newcomer, state.server(newcomer));
  return plan_with(state, std::move(claim), [&](ServerId id) {
    const Server& victim = state.server(id);
    const bool idle = victim.idle() || is_planted(Planted::restore_while_displacer_works);
    const bool behind = place < home_order(id, victim) || is_planted(Planted::home_order_ignored);
    const bool rests = victim.state == ServerState::ready
                           ? idle && linger_ends(state, newcomer, victim) <= now
                           : victim.freed && victim.queue.empty();
    return rests && behind;
  });
}

std::vector<ServerId> keepers_at_home(const State& state, ServerId id) {
  std::vector<ServerId> keepers;
  std::vector<ServerId> others;
  const HomeOrder place = home_order(id, state.server(id));
  for (std::uint32_t i = 0; i < state.servers.size(); ++i) {
    const Server& each = state.servers[i];
    const bool stays = each.wanted == Wanted::on && each.state == ServerState::ready &&
                       home_order(ServerId{i}, each) < place;
    (stays ? keepers : others).push_back(ServerId{i});
  }
  const auto& shares = state.server(id).config.footprint.shares;
  const bool fits = std::all_of(shares.begin(), shares.end(), [&](const PoolShare& share) {
    return fits_beside(state, share, state.ledger.promised(share.pool, others));
  });
  if (fits) keepers.clear();
  return keepers;
}

std::optional<Admission> numbers_of(const State& state, const Claim& claim, bool leaving) {
  std::optional<Admission> tightest;
  for (const PoolShare& share : claim.need.shares) {
    const PoolSample& sample = sample_of(state, share.pool);
    const Policy policy = policy_in(state.config.pools[share.pool.value], state.config.policy);
    const std::vector<ServerId> gone = leaving ? claim.victims : std::vector<ServerId>{};
    const Bytes others = state.ledger.promised(share.pool, gone) +
                         coming_in(state, share.pool, claim.newcomer) -
                         own_in(state, claim.newcomer, share.pool);
    const Admission numbers{.pool = share.pool,
                            .need = share.bytes,
                            .others = others,
                            .limit = limit_of(sample.capacity, sample.foreign, policy),
                            .capacity = sample.capacity,
                            .foreign = sample.foreign,
                            .free = {}};
    const Bytes room = numbers.limit - numbers.others - numbers.need;
    if (!tightest || room < tightest->limit - tightest->others - tightest->need) tightest = numbers;
  }
  return tightest;
}

}  // namespace berth::core
