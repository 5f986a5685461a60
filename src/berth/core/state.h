// SPDX-License-Identifier: Apache-2.0
// What the scheduler knows: servers, jobs, claims. Read by status and explain, changed by nobody
// else.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "berth/core/actions.h"
#include "berth/core/ledger.h"
#include "berth/core/types.h"

namespace berth::core {

/// `failed`: it could not be started; tried again at `retry_at` or when the user asks.
/// `unkillable`: it did not die; its memory stays on the books.
enum class ServerState : std::uint8_t { absent, starting, ready, stopping, failed, unkillable };

struct Job {
  JobId id;
  JobKind kind = JobKind::request;
  ServerId server;
  ServerId asked;  ///< the server that was asked for: another one while that is displaced
  ServerClass job_class = ServerClass::chat;
  std::string client;
  std::optional<Footprint> need;
  std::optional<JobId> parent;  ///< it is a tool call of this job
  std::optional<JobId> hold;    ///< it belongs to this hold
  std::vector<ServerId> holds;  ///< of a hold: the servers that stay
  bool exclusive = false;       ///< of a hold: whoever may leave is out meanwhile
  std::optional<Duration> limit;
  Instant arrived;
  bool running = false;
  Instant started;         ///< meaningful while it runs
  bool cancelled = false;  ///< Cancel was sent; the work may still run
};

/// A job in its server's queue, with what its rank is made of.
struct Waiting {
  JobId id;
  ServerClass job_class = ServerClass::chat;
  Instant arrived;
  bool has_need = false;    ///< it needs more than its server's footprint
  bool has_parent = false;  ///< it is a tool call
  bool is_hold = false;     ///< a hold that names this server: it wants it there, and no slot
  std::optional<Instant> hold_until{};  ///< it is refused if it still waits then

  bool operator==(const Waiting&) const = default;
};

/// A server of the configuration; or, with the kind of its job, the place of one lease or hold,
/// after those of the configuration: it needs memory like a server, and Berth does not run it. A
/// place whose job is over is used again.
struct Server {
  JobKind kind = JobKind::request;
  ServerConfig config;
  Wanted wanted = Wanted::on_demand;
  std::optional<Displacement> displaced;
  bool skip_next_restore = false;
  bool pinned = false;
  std::optional<JobId> held_by;  ///< a hold that waits for it to be there or was granted
  std::optional<Instant> until;  ///< of a place: its job is revoked then

  ServerState state = ServerState::absent;
  Generation generation;
  bool freed = false;                 ///< it does not serve, or soon, and its process lives
  bool intruder = false;              ///< it came up by itself beyond the limit (rule 8)
  std::int32_t appearances = 0;       ///< of that kind, since the last turn began in its pools
  std::optional<EffectId> move;       ///< the move that is under way
  Instant move_since;                 ///< meaningful while there is one
  std::set<EffectId> commits;         ///< rows of it that are being written
  std::optional<Error> commit_error;  ///< the newest row could not be written
  bool gate_open = true;              ///< closed: new requests wait until it is open again
  bool retiring = false;              ///< the user stopped it; it goes when its work has ended
  std::optional<Instant> drain_until;

  Instant ready_at;    ///< start of its turn
  Instant idle_since;  ///< meaningful while nothing runs and nothing is queued
  bool served_in_turn = false;
  std::optional<Instant> last_served;
  std::optional<Duration> swap;     ///< S: first signal to the victims until ready, as measured
  std::optional<Duration> stop;     ///< the newest stop: signal until gone
  std::optional<Duration> service;  ///< moving average of how long a request runs

  std::int32_t failures = 0;  ///< starts and runs that failed in a row
  std::optional<Instant> retry_at;
  std::optional<Error> failure;

  /// Is planned with as soon as it is neither in memory nor on its way there.
  std::optional<Footprint> forgotten_to;
  FootprintSource forgotten_source = FootprintSource::formula;

  std::vector<Waiting> queue;  ///< in order of arrival
  std::vector<JobId> running;

  /// It does not serve and its process lives.
  [[nodiscard]] bool rests_freed() const {
    return freed && (state == ServerState::absent || state == ServerState::failed);
  }
  /// It belongs to a lease or hold.
  [[nodiscard]] bool is_place() const { return kind != JobKind::request; }
  [[nodiscard]] bool idle() const { return queue.empty() && running.empty(); }
  /// It shall be resident: wanted on, or displaced and to be restored.
  [[nodiscard]] bool owed() const {
    if (wanted == Wanted::off) return false;
    if (displaced && displaced->after == After::on_request) return false;
    return wanted == Wanted::on || displaced.has_value();
  }
};

/// `waiting`: for the turns of its victims. `draining`: gates close, running work ends, rows are
/// written. `stopping`, `barrier`, `starting`: after the first signal; it is carried out.
enum class ClaimPhase : std::uint8_t { waiting, draining, stopping, barrier, starting };

/// A plan that is being carried out: the newcomer's place, and who leaves for it.
struct Claim {
  ServerId newcomer;
  std::vector<ServerId> victims;
  bool is_return = false;  ///< nobody asked; an owed server comes back
  bool oversize = false;
  Rung victims_to = Rung::absent;  ///< `freed`: those that can be are freed, which is enough
  ClaimPhase phase = ClaimPhase::waiting;
  Footprint need;
  std::optional<Admission> numbers;  ///< as planned; `free` as last seen
  bool announced_wait = false;
  std::optional<Instant> first_signal;
  std::optional<Instant> barrier_deadline;
  EffectId barrier_since;  ///< only a later sample says anything of its victims' memory
  // What the sample before the first signal said, and how free memory moved since; oversize only.
  std::optional<EffectId> sample_before;
  std::vector<PoolSample> before;
  std::vector<Holder> held_before;
  Bytes last_free;
  Instant still_since;
};

/// Everything, as one value that can be copied: status, explain and prediction read it.
struct State {
  Config config;
  std::vector<Server> servers;
  std::map<JobId, Job> jobs;
  std::size_t tool_calls = 0;     ///< how many of them have a parent
  std::size_t jobs_of_holds = 0;  ///< how many of them belong to a hold
  std::vector<Claim> claims;
  Ledger ledger;
  std::vector<PoolSample>
      sample;                   ///< the newest, by pool; capacity from the config until the first
  std::vector<Holder> holders;  ///< of the newest sample

  [[nodiscard]] const Server& server(ServerId id) const { return servers.at(id.value); }
  [[nodiscard]] Server& server(ServerId id) { return servers.at(id.value); }
  /// Returns the name of who put a server out. The place of a lease may be another's by now.
  [[nodiscard]] std::string displacer_name(ServerId id) const {
    return id.value < config.servers.size() ? config.servers[id.value].name : "a lease";
  }
};

}  // namespace berth::core
