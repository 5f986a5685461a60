// SPDX-License-Identifier: Apache-2.0
#include "berth/sim/world.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "berth/base/rng.h"

namespace berth::sim {
namespace {

using core::ServerClass;

constexpr std::int64_t kPoolsMax = 3;
constexpr std::int64_t kServersMax = 8;
constexpr Bytes kMinCapacity = 4_GiB;
constexpr const char* kKinds[] = {"requests", "holds", "leases"};

/// In one world out of three a fault family is at home.
int maybe(Rng& rng, int per_mille_max) {
  if (!rng.chance(333)) return 0;
  return static_cast<int>(rng.between(1, per_mille_max));
}

Faults make_faults(Rng& rng) {
  Faults f;
  if (rng.chance(250)) return f;  // a world in which all goes well: the bound must hold
  f.start_refused = maybe(rng, 200);
  f.dies_starting = maybe(rng, 200);
  f.out_of_memory = maybe(rng, 1000);
  f.never_ready = maybe(rng, 60);
  f.dies_ready = maybe(rng, 300);
  f.unresponsive = maybe(rng, 100);
  f.dies_stopping = maybe(rng, 300);
  f.ignores_term = maybe(rng, 300);
  f.unkillable = maybe(rng, 60);
  f.memory_late = maybe(rng, 500);
  f.memory_sticks = maybe(rng, 100);
  f.memory_partly = maybe(rng, 300);
  f.foreign = maybe(rng, 40);
  f.commit_fails = maybe(rng, 100);
  f.restore_fails = maybe(rng, 300);
  f.sample_lost = maybe(rng, 60);
  f.sample_late = maybe(rng, 300);
  f.stale = maybe(rng, 60);
  f.client_leaves = maybe(rng, 400);
  f.user = maybe(rng, 40);
  f.host_crash = maybe(rng, 12);
  f.cancel_slow = maybe(rng, 300);
  f.tool_calls = maybe(rng, 300);
  f.reloads = maybe(rng, 400);
  f.unattributed = rng.chance(300);
  return f;
}

core::Policy make_policy(Rng& rng) {
  core::Policy policy;
  if (rng.chance(500)) {
    policy.limit_numerator = rng.between(60, 100);
    policy.limit_denominator = 100;
  }
  if (rng.chance(250)) policy.oversize = core::Oversize::refuse;
  policy.patience = static_cast<std::int32_t>(rng.between(0, 3));
  policy.ageing = rng.between(Duration{2s}, Duration{90s});
  policy.linger_max = rng.between(Duration{0s}, Duration{30s});
  policy.release_deadline = rng.between(Duration{1s}, Duration{10s});
  policy.foretell_steps = rng.chance(150) ? static_cast<std::int32_t>(rng.between(20, 200)) : 0;
  if (rng.chance(100)) policy.queue_max = static_cast<std::int32_t>(rng.between(1, 6));
  return policy;
}

std::vector<core::PoolConfig> make_pools(Rng& rng) {
  std::vector<core::PoolConfig> pools;
  const std::int64_t count = rng.between(1, kPoolsMax);
  for (std::int64_t i = 0; i < count; ++i) {
    core::PoolConfig pool;
    pool.name = fmt::format("pool{}", i);
    pool.kind = rng.chance(500) ? core::PoolKind::capped : core::PoolKind::device;
    pool.capacity = Bytes{rng.between(kMinCapacity.count, Bytes{24_GiB}.count)};
    if (rng.chance(300)) pool.reserve = Bytes{rng.between(0, Bytes{512_MiB}.count)};
    pools.push_back(std::move(pool));
  }
  return pools;
}

ServerClass make_class(Rng& rng) {
  constexpr ServerClass kClasses[] = {ServerClass::chat, ServerClass::chat, ServerClass::image,
                                      ServerClass::video, ServerClass::batch};
  return kClasses[rng.below(std::size(kClasses))];
}

core::Footprint make_footprint(Rng& rng, const std::vector<core::PoolConfig>& pools) {
  core::Footprint footprint;
  const std::uint64_t home = rng.below(pools.size());
  for (std::uint32_t i = 0; i < pools.size(); ++i) {
    if (i != home && !rng.chance(150)) continue;
    // Mostly between a tenth and all of the card; now and then more than the limit allows.
    const std::int64_t per_cent = i == home ? rng.between(10, rng.chance(100) ? 110 : 90) : 20;
    footprint.shares.push_back({PoolId{i}, Bytes{pools[i].capacity.count / 100 * per_cent}});
  }
  return footprint;
}

core::ServerConfig make_server(Rng& rng, std::int64_t index,
                               const std::vector<core::PoolConfig>& pools) {
  core::ServerConfig server;
  server.job_class = index == 0 ? ServerClass::chat : make_class(rng);
  constexpr const char* kNames[] = {"video", "image", "chat", "batch"};
  server.name = fmt::format("{}{}", kNames[static_cast<std::size_t>(server.job_class)], index);
  const std::uint64_t wanted = rng.below(10);
  server.wanted = wanted < 4   ? core::Wanted::on
                  : wanted < 9 ? core::Wanted::on_demand
                               : core::Wanted::off;
  server.footprint = make_footprint(rng, pools);
  if (server.job_class != ServerClass::chat && rng.chance(400)) {
    server.freed = server.footprint;
    const std::int64_t per_cent = rng.between(0, 8);
    for (core::PoolShare& share : server.freed->shares)
      share.bytes = Bytes{share.bytes.count / 100 * per_cent};
  }
  server.slots =
      server.job_class == ServerClass::chat ? static_cast<std::int32_t>(rng.between(1, 4)) : 1;
  server.drain_limit =
      rng.chance(300) ? Duration{rng.between(Duration{1s}, Duration{30s})} : Duration{10min};
  return server;
}

/// In most worlds jobs wait for ever: a limit would hide a job that nobody will serve.
void make_holds(Rng& rng, std::vector<core::ServerConfig>& servers) {
  const bool has_limits = rng.chance(300);
  const bool is_picky = rng.chance(300);
  for (std::uint32_t i = 0; i < servers.size(); ++i) {
    core::ServerConfig& server = servers[i];
    server.max_hold.reset();
    if (has_limits && rng.chance(700)) server.max_hold = rng.between(Duration{0}, Duration{60s});
    if (!is_picky || !rng.chance(600)) continue;
    server.while_displaced = core::WhileDisplaced::refuse;
    for (std::uint32_t k = 0; k < i; ++k) {  // only to earlier ones, so never in a ring
      if (servers[k].job_class != server.job_class || !rng.chance(700)) continue;
      server.while_displaced = core::WhileDisplaced::fallback;
      server.fallback = ServerId{k};
    }
  }
}

Traits make_traits(Rng& rng) {
  Traits traits;
  traits.spawn = rng.between(Duration{1ms}, Duration{20ms});
  traits.start = rng.between(Duration{50ms}, Duration{20s});
  traits.stop = rng.between(Duration{5ms}, Duration{2s});
  traits.work = rng.between(Duration{20ms}, Duration{rng.chance(200) ? 120s : 12s});
  traits.real_per_cent = rng.between(60, 100);
  return traits;
}

Stream make_leases(Rng& rng, const core::Config& config) {
  Stream stream{.server = core::kNoServer, .job_class = ServerClass::video};
  stream.kind = core::JobKind::lease;
  if (rng.chance(300)) stream.job_class = ServerClass::batch;
  stream.pause = rng.between(Duration{1s}, Duration{60s});
  stream.limit = rng.between(Duration{1s}, Duration{40s});
  stream.need = make_footprint(rng, config.pools);
  for (core::PoolShare& share : stream.need.shares)
    share.bytes = std::min(share.bytes, config.pools[share.pool.value].capacity);
  return stream;
}

Stream make_holds(Rng& rng, const core::Config& config) {
  Stream stream{.server = core::kNoServer, .job_class = ServerClass::video};
  stream.kind = core::JobKind::hold;
  stream.pause = rng.between(Duration{5s}, Duration{120s});
  stream.limit = rng.between(Duration{1s}, Duration{60s});
  stream.exclusive = rng.chance(300);
  const std::int64_t count = rng.between(1, 2);
  for (std::int64_t i = 0; i < count; ++i)
    stream.servers.push_back(
        ServerId{static_cast<std::uint32_t>(rng.below(config.servers.size()))});
  return stream;
}

std::vector<Stream> make_streams(Rng& rng, const core::Config& config) {
  std::vector<Stream> streams;
  const std::int64_t count = rng.between(1, 2 + static_cast<std::int64_t>(config.servers.size()));
  for (std::int64_t i = 0; i < count; ++i) {
    Stream stream;
    stream.server = ServerId{static_cast<std::uint32_t>(rng.below(config.servers.size()))};
    stream.job_class = config.servers[stream.server.value].job_class;
    if (rng.chance(100)) stream.job_class = ServerClass::batch;
    stream.pattern = static_cast<Stream::Pattern>(rng.below(3));
    const bool tight = stream.pattern == Stream::Pattern::overnight;
    stream.pause = rng.between(Duration{10ms}, Duration{tight ? 1s : 60s});
    stream.size = stream.pattern == Stream::Pattern::burst ? rng.between(2, 12) : 1;
    streams.push_back(stream);
  }
  if (rng.chance(250)) streams.push_back(make_leases(rng, config));
  if (rng.chance(200)) streams.push_back(make_holds(rng, config));
  return streams;
}

}  // namespace

bool has_bound(const World& world) {
  const Faults& f = world.faults;
  const int troubles[] = {f.start_refused, f.dies_starting, f.never_ready,  f.dies_ready,
                          f.unresponsive,  f.unkillable,    f.ignores_term, f.memory_late,
                          f.memory_sticks, f.memory_partly, f.foreign,      f.commit_fails,
                          f.sample_lost,   f.sample_late,   f.user,         f.host_crash,
                          f.tool_calls,    f.cancel_slow,   f.reloads};
  const bool holds =
      std::any_of(world.streams.begin(), world.streams.end(),
                  [](const Stream& stream) { return stream.kind == core::JobKind::hold; });
  return world.config.pools.size() == 1 && !holds &&
         std::all_of(std::begin(troubles), std::end(troubles), [](int each) { return each == 0; });
}

World make_world(std::uint64_t seed) {
  Rng rng(seed);
  World world;
  world.seed = seed;
  world.config.pools = make_pools(rng);
  const std::int64_t servers = rng.between(1, kServersMax);
  for (std::int64_t i = 0; i < servers; ++i) {
    world.config.servers.push_back(make_server(rng, i, world.config.pools));
    world.traits.push_back(make_traits(rng));
  }
  make_holds(rng, world.config.servers);
  world.config.policy = make_policy(rng);
  world.streams = make_streams(rng, world.config);
  world.faults = make_faults(rng);
  world.measures = rng.chance(300);
  world.events_max = rng.between(300, 700);
  return world;
}

World make_crowd(std::uint64_t seed) {
  Rng rng(seed);
  World world;
  world.seed = seed;
  world.config.pools = {{.name = "pool0", .kind = core::PoolKind::device, .capacity = 16_GiB}};
  constexpr ServerClass kEach[] = {ServerClass::chat, ServerClass::image, ServerClass::video,
                                   ServerClass::batch};
  const std::int64_t servers = rng.between(4, kServersMax);
  for (std::int64_t i = 0; i < servers; ++i) {
    core::ServerConfig server = make_server(rng, i, world.config.pools);
    if (i < 4) server.job_class = kEach[i];
    server.name = fmt::format("server{}", i);
    if (server.wanted == core::Wanted::off) server.wanted = core::Wanted::on;
    server.freed.reset();
    world.config.servers.push_back(std::move(server));
    world.traits.push_back(make_traits(rng));
    Stream stream{.server = ServerId{static_cast<std::uint32_t>(i)}};
    stream.job_class = world.config.servers.back().job_class;
    stream.pattern = static_cast<Stream::Pattern>(rng.below(3));
    stream.pause = rng.between(Duration{10ms}, Duration{20s});
    stream.size = stream.pattern == Stream::Pattern::burst ? rng.between(2, 6) : 1;
    world.streams.push_back(std::move(stream));
  }
  world.config.policy = make_policy(rng);
  world.config.policy.oversize = core::Oversize::attempt;
  if (rng.chance(250)) world.streams.push_back(make_leases(rng, world.config));
  world.events_max = rng.between(300, 700);
  return world;
}

std::string to_text(const World& world) {
  std::string text = fmt::format("seed {}: {} events until calm\n", world.seed, world.events_max);
  const core::Policy& p = world.config.policy;
  text += fmt::format("policy limit {}/{} oversize {} patience {} ageing {} linger {} release {}\n",
                      p.limit_numerator, p.limit_denominator,
                      p.oversize == core::Oversize::attempt ? "try" : "refuse", p.patience,
                      berth::to_text(p.ageing), berth::to_text(p.linger_max),
                      berth::to_text(p.release_deadline));
  for (const core::PoolConfig& pool : world.config.pools) {
    text += fmt::format("{} {} reserve {}{}\n", pool.name, berth::to_text(pool.capacity),
                        berth::to_text(pool.reserve),
                        pool.kind == core::PoolKind::capped ? " capped" : "");
  }
  for (std::size_t i = 0; i < world.config.servers.size(); ++i) {
    const core::ServerConfig& server = world.config.servers[i];
    text += fmt::format("{} wanted {} slots {} start {} stop {} work {}:", server.name,
                        static_cast<int>(server.wanted), server.slots,
                        berth::to_text(world.traits[i].start), berth::to_text(world.traits[i].stop),
                        berth::to_text(world.traits[i].work));
    if (server.while_displaced == core::WhileDisplaced::refuse) text += " refuses";
    if (server.fallback) text += fmt::format(" falls back to {}", server.fallback->value);
    if (server.max_hold) text += fmt::format(" holds {}", berth::to_text(*server.max_hold));
    for (const core::PoolShare& share : server.footprint.shares) {
      text += fmt::format(" {} in pool{}", berth::to_text(share.bytes), share.pool.value);
      if (!server.freed) continue;
      text += fmt::format(" ({} freed)", berth::to_text(server.freed->in(share.pool)));
    }
    text += '\n';
  }
  for (const Stream& stream : world.streams) {
    if (stream.kind != core::JobKind::request) {
      text += fmt::format("{} class {} pause {} limit {}{}", kKinds[static_cast<int>(stream.kind)],
                          static_cast<int>(stream.job_class), berth::to_text(stream.pause),
                          berth::to_text(stream.limit), stream.exclusive ? " exclusive" : "");
      for (const core::PoolShare& share : stream.need.shares)
        text += fmt::format(" {} in pool{}", berth::to_text(share.bytes), share.pool.value);
      for (const ServerId id : stream.servers)
        text += fmt::format(" {}", id.value);
      text += '\n';
      continue;
    }
    text += fmt::format("stream to {} class {} pattern {} pause {} size {}\n", stream.server.value,
                        static_cast<int>(stream.job_class), static_cast<int>(stream.pattern),
                        berth::to_text(stream.pause), stream.size);
  }
  const Faults& f = world.faults;
  text += fmt::format(
      "faults: refused {} dies starting {} of memory {} never ready {} dies ready {} deaf {} dies "
      "stopping {} "
      "ignores TERM {} unkillable {} late {} sticks {} partly {} foreign {} commit {} restore {} "
      "lost {} late sample {} stale {} leaves {} user {} crash {} slow cancel {} unattributed {} "
      "tool calls {} reloads {}\n",
      f.start_refused, f.dies_starting, f.out_of_memory, f.never_ready, f.dies_ready,
      f.unresponsive, f.dies_stopping, f.ignores_term, f.unkillable, f.memory_late, f.memory_sticks,
      f.memory_partly, f.foreign, f.commit_fails, f.restore_fails, f.sample_lost, f.sample_late,
      f.stale, f.client_leaves, f.user, f.host_crash, f.cancel_slow, f.unattributed, f.tool_calls,
      f.reloads);
  return text;
}

}  // namespace berth::sim
