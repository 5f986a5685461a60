// SPDX-License-Identifier: Apache-2.0
// The words of the core that events, actions and the configuration share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/ids.h"
#include "berth/base/time.h"

namespace berth::core {

/// What kind of work a server does. The order is the order of jobs when memory is short.
enum class ServerClass : std::uint8_t { video, image, chat, batch };

/// What the user wants of a server. Stored by name in the server's row.
enum class Wanted : std::uint8_t { on_demand, on, off };

/// How much of a server is in memory. `freed`: its process lives and has given its models back.
enum class Rung : std::uint8_t { absent, resident, freed };

/// What happens to a displaced server when its displacer is done. Stored by name in the row.
enum class After : std::uint8_t { restore, on_request };

/// What a new request gets while its server is displaced (holding.h).
enum class WhileDisplaced : std::uint8_t { hold, refuse, fallback };

enum class JobKind : std::uint8_t { request, hold, lease };

/// The server of a job that names none: a lease.
inline constexpr ServerId kNoServer{0xffffffff};

/// Where a pool's numbers come from. `device`: the driver; `host`: MemAvailable; `capped`: the
/// capacity stands in the configuration and used is what our process trees take.
enum class PoolKind : std::uint8_t { device, host, capped };

/// Where a footprint's number comes from; named in every report.
enum class FootprintSource : std::uint8_t { declared, formula, learned, header };

/// Bytes in one pool.
struct PoolShare {
  PoolId pool;
  Bytes bytes;

  bool operator==(const PoolShare&) const = default;
};

/// Bytes per pool, at most one share a pool, ordered by pool.
struct Footprint {
  std::vector<PoolShare> shares;

  bool operator==(const Footprint&) const = default;

  /// Returns the bytes in `pool`, 0 if the footprint has no share there.
  [[nodiscard]] Bytes in(PoolId pool) const {
    for (const PoolShare& share : shares) {
      if (share.pool == pool) return share.bytes;
    }
    return {};
  }
  [[nodiscard]] bool touches(const Footprint& other) const {
    return std::any_of(shares.begin(), shares.end(), [&](const PoolShare& share) {
      return share.bytes.count > 0 && other.in(share.pool).count > 0;
    });
  }
};

/// A share of a pool, an exact rational.
struct Limit {
  std::int64_t numerator = 1;
  std::int64_t denominator = 1;

  bool operator==(const Limit&) const = default;
};

struct PoolConfig {
  std::string name;
  PoolKind kind = PoolKind::capped;
  Bytes capacity;
  Bytes reserve;
  /// It is the memory of that pool a second time, where best known footprints stand instead of
  /// those of the policy: they have to fit, too.
  std::optional<PoolId> again;
  std::optional<Limit> limit;  ///< nothing: the policy's

  bool operator==(const PoolConfig&) const = default;
};

/// One server as the core sees it.
struct ServerConfig {
  std::string name;
  ServerClass job_class = ServerClass::chat;
  Wanted wanted = Wanted::on_demand;
  Footprint footprint;
  FootprintSource source = FootprintSource::declared;
  std::int32_t slots = 1;  ///< requests that it works on at once
  /// How long running chats may go on once the gate is closed; nothing = for ever. Only chats are
  /// cut.
  std::optional<Duration> drain_limit = Duration{10min};
  std::optional<Duration> job_limit;  ///< a request that runs longer is cut; nothing = none
  Duration start_deadline{2min};
  Duration stop_deadline{10s};
  /// What it keeps when its models are unloaded and its process lives; nothing: it cannot do that.
  std::optional<Footprint> freed;
  WhileDisplaced while_displaced = WhileDisplaced::hold;
  std::optional<ServerId> fallback;  ///< who serves its requests meanwhile
  std::optional<Duration> max_hold;  ///< a request waits this long; nothing = for ever

  bool operator==(const ServerConfig&) const = default;
};

/// What a plan does when the newcomer alone exceeds the limit of the empty machine.
enum class Oversize : std::uint8_t { attempt, refuse };

/// The parameters of every decision. Defaults are the preset `seed`.
struct Policy {
  std::int64_t limit_numerator = 3;  ///< limit x (capacity - foreign), an exact rational
  std::int64_t limit_denominator = 4;
  Oversize oversize = Oversize::attempt;
  std::int32_t patience = 1;       ///< a turn lasts patience x R while it has work
  Duration ageing{60s};            ///< a waiting job gains one class per this
  Duration linger_max{30s};        ///< an unasked return waits min(R, this)
  Duration turn_linger_max{2s};    ///< a served turn stays min(R / 4, this) without a new job
  Duration swap_guess{2s};         ///< S of a server that was never loaded here
  Duration release_deadline{30s};  ///< how long the release barrier waits
  Duration retry_first{1s};        ///< back-off after a failed start, doubled up to retry_max
  Duration retry_max{60s};
  std::int32_t queue_max = 1000;  ///< waiting jobs per server
  /// A request that has to wait is told when it will run, if a copy gets there in so many events;
  /// 0: no request is told.
  std::int32_t foretell_steps = 200;
  std::int32_t swap_percent = 100;  ///< of a measured S that is believed; to try wrong estimates

  bool operator==(const Policy&) const = default;
};

struct Config {
  std::vector<PoolConfig> pools;
  std::vector<ServerConfig> servers;
  Policy policy;

  bool operator==(const Config&) const = default;
};

/// A server that was put out for a rival and is owed its return (unless `on_request`).
struct Displacement {
  Instant since;
  ServerId by;
  After after = After::restore;

  bool operator==(const Displacement&) const = default;
};

/// The one durable record of a server, committed before the first signal of what it announces.
/// Owed = wanted on and not resident, or displaced with After::restore. There is no second record.
struct Row {
  ServerId server;
  Wanted wanted = Wanted::on_demand;
  Generation generation;  ///< the newest start that was announced
  std::optional<Displacement> displaced;
  bool skip_next_restore = false;  ///< clear_saved_state while nothing was displaced

  bool operator==(const Row&) const = default;
};

/// One pool as the probe saw it.
struct PoolSample {
  PoolId pool;
  Bytes capacity;
  Bytes free;
  Bytes foreign;

  bool operator==(const PoolSample&) const = default;
};

/// A process that holds memory, for people ("held by python3 (pid 4711)") and for the barrier.
struct Holder {
  std::int64_t pid = 0;
  std::string program;
  std::optional<ServerId> server;  ///< nothing: foreign
  Generation generation;
  Footprint bytes;

  bool operator==(const Holder&) const = default;
};

}  // namespace berth::core
