// SPDX-License-Identifier: Apache-2.0
#include "berth/core/turns.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "berth/base/assert.h"
#include "berth/core/admission.h"
#include "berth/core/foreign.h"
#include "berth/core/planted.h"

namespace berth::core {
namespace {

/// A server that has served keeps its place this share of R without a new job.
constexpr std::int32_t kTurnLingerShare = 4;
constexpr Instant kNever{Duration::min()};

std::int32_t home_group(ServerClass job_class) {
  switch (job_class) {
    case ServerClass::chat:
      return 0;
    case ServerClass::image:
      return 1;
    case ServerClass::video:
      return 2;
    case ServerClass::batch:
      return 3;
  }
  return 3;
}

/// All leases are one server: when any of them was served.
std::optional<Instant> last_lease(const State& state) {
  std::optional<Instant> last;
  for (const Server& each : state.servers) {
    if (each.kind == JobKind::lease) last = std::max(last, each.last_served);
  }
  return last;
}

}  // namespace

std::int32_t aged_class(const Waiting& job, Instant now, const Policy& policy) {
  const auto steps =
      is_planted(Planted::ageing_forgotten) ? 0 : (now - job.arrived) / policy.ageing;
  return static_cast<std::int32_t>(
      std::max<std::int64_t>(static_cast<std::int64_t>(job.job_class) - steps, 0));
}

Rank rank_of(const State& state, const Server& server, const Waiting& job, Instant now) {
  const bool lease = server.kind == JobKind::lease;
  const std::optional<Instant> served = lease ? last_lease(state) : server.last_served;
  return {aged_class(job, now, state.config.policy), served.value_or(kNever), job.arrived, job.id};
}

namespace {

const Waiting* best_of(const State& state, const Server& server, Instant now, bool with_holds) {
  const Policy& policy = state.config.policy;
  const Waiting* best = nullptr;
  std::int32_t best_class = 0;
  for (const Waiting& job : server.queue) {
    const std::int32_t aged = aged_class(job, now, policy);
    if ((job.is_hold && !with_holds) || (best != nullptr && aged >= best_class)) continue;
    best = &job;
    best_class = aged;
  }
  return best;
}

}  // namespace

const Waiting& head_of(const State& state, const Server& server, Instant now) {
  BERTH_ASSERT(!server.queue.empty());
  return *best_of(state, server, now, true);
}

const Waiting* next_to_run(const State& state, const Server& server, Instant now) {
  return best_of(state, server, now, false);
}

Duration swap_time(const State& state, const Server& server) {
  return server.swap.value_or(state.config.policy.swap_guess);
}

Duration round_trip(const State& state, const Claim& claim) {
  Duration back{0};
  for (const ServerId victim : claim.victims) {
    back = std::max(back, swap_time(state, state.server(victim)));
  }
  return swap_time(state, state.server(claim.newcomer)) + back;
}

std::optional<Instant> turn_ends(const State& state, const Server& victim, Duration round_trip) {
  if (victim.state == ServerState::starting) return std::nullopt;
  if (victim.state != ServerState::ready) return kNever;
  const Policy& policy = state.config.policy;
  const Instant lasted = victim.ready_at + policy.patience * round_trip;
  if (!victim.idle()) return lasted;
  if (!victim.served_in_turn) return kNever;
  const Duration linger = std::min(policy.turn_linger_max, round_trip / kTurnLingerShare);
  return std::min(lasted, victim.idle_since + linger);
}

namespace {

/// All servers that compete with `server` for memory, directly or through others, itself included.
std::vector<ServerId> rivals_of(const State& state, ServerId server) {
  std::vector<ServerId> rivals = {server};
  for (std::size_t i = 0; i < rivals.size(); ++i) {
    for (std::uint32_t k = 0; k < state.servers.size(); ++k) {
      const Server& each = state.servers[k];
      const bool seen = std::find(rivals.begin(), rivals.end(), ServerId{k}) != rivals.end();
      const bool unused = each.wanted == Wanted::off || (each.is_place() && each.idle());
      const bool gone = unused && each.state == ServerState::absent;
      const Footprint& mine = state.server(rivals[i]).config.footprint;
      if (!seen && !gone && each.config.footprint.touches(mine)) rivals.push_back(ServerId{k});
    }
  }
  return rivals;
}

/// The longest that a running job of the server keeps it from leaving; nothing: no limit.
std::optional<Duration> longest_job(const ServerConfig& config) {
  if (config.job_class != ServerClass::chat || !config.drain_limit) return config.job_limit;
  return config.job_limit ? std::min(*config.drain_limit, *config.job_limit) : *config.drain_limit;
}

/// Why no bound can be given while `rival` is as it is; empty: it can.
std::string hindrance_of(const State& state, ServerId rival, ServerId server) {
  const Server& each = state.server(rival);
  const std::string& name = each.config.name;
  if (each.pinned && rival != server) return fmt::format("server \"{}\" is pinned", name);
  if (each.state == ServerState::unkillable) {
    return fmt::format("server \"{}\" does not die", name);
  }
  if (each.held_by && !state.jobs.at(*each.held_by).limit) {
    return fmt::format("server \"{}\" is held by job {}, which has no limit", name,
                       each.held_by->value);
  }
  if (!longest_job(each.config)) return fmt::format("jobs of server \"{}\" have no limit", name);
  for (const PoolSample& sample : state.sample) {
    const Bytes need = each.config.footprint.in(sample.pool);
    const PoolConfig& pool = state.config.pools[sample.pool.value];
    const AdmissionInput alone{.need = need,
                               .reserve = pool.reserve,
                               .capacity = sample.capacity,
                               .foreign = sample.foreign};
    const bool free = sample.foreign.count == 0 || need.count == 0;
    if (free || is_oversize(need, pool, state.config.policy)) continue;
    if (!fits(alone, policy_in(pool, state.config.policy))) return foreign_text(state, sample.pool);
  }
  for (const JobId job : each.running) {
    const bool waits = std::any_of(state.jobs.begin(), state.jobs.end(),
                                   [job](const auto& entry) { return entry.second.parent == job; });
    if (waits) return fmt::format("job {} waits for its tool call", job.value);
  }
  return "";
}

}  // namespace

Bound bound_of(const State& state, ServerId server, ServerClass job_class, std::size_t before) {
  const std::vector<ServerId> rivals = rivals_of(state, server);
  Duration swap{0};
  Duration second{0};
  Duration chat{0};
  Duration other{0};
  for (const ServerId id : rivals) {
    std::string hindrance = hindrance_of(state, id, server);
    if (!hindrance.empty()) return {std::nullopt, std::move(hindrance)};
    const Server& each = state.server(id);
    const Duration s = swap_time(state, each);
    second = std::max(second, std::min(s, swap));
    swap = std::max(swap, s);
    Duration& longest = each.config.job_class == ServerClass::chat ? chat : other;
    longest = std::max(longest, *longest_job(each.config));
    if (each.held_by) other = std::max(other, *state.jobs.at(*each.held_by).limit);
  }
  const Policy& policy = state.config.policy;
  const auto leases = std::count_if(rivals.begin(), rivals.end(), [&](ServerId id) {
    return state.server(id).kind == JobKind::lease;
  });
  const auto m = static_cast<std::int64_t>(rivals.size()) - std::max<std::int64_t>(leases - 1, 0);
  const auto slots = static_cast<std::size_t>(state.server(server).config.slots);
  const auto turns = static_cast<std::int64_t>((before + slots - 1) / slots) * m + m - 1;
  const std::optional<Duration> own = state.server(server).config.job_limit;
  if (before > 0 && !own) {
    const std::string& name = state.server(server).config.name;
    return {std::nullopt, fmt::format("jobs of server \"{}\" have no limit", name)};
  }
  // Those before it in its own queue are not drained: they take what they take.
  const Duration drain = std::max(chat + other, before > 0 ? *own : Duration{0});
  const Duration turn = swap + policy.patience * (swap + second) + drain;
  return {static_cast<std::int64_t>(job_class) * policy.ageing + turns * turn + swap + drain, ""};
}

HomeOrder home_order(ServerId id, const Server& server) {
  return {server.wanted != Wanted::on, home_group(server.config.job_class), id};
}

}  // namespace berth::core
