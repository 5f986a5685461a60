// SPDX-License-Identifier: Apache-2.0
// What the core wants done. The list is closed: a new server kind adds nothing here.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "berth/base/error.h"
#include "berth/core/types.h"

namespace berth::core {

/// Write the row durably; what depends on it waits for EffectEnded.
struct Commit {
  EffectId effect;
  Row row;

  bool operator==(const Commit&) const = default;
};

/// Take the server to `rung` by its own steps. Ends in EffectEnded.
struct MoveTo {
  EffectId effect;
  ServerId server;
  Rung rung = Rung::absent;
  bool keep = true;  ///< false: its saved state is deleted too
  Generation generation;
  Duration deadline{0};

  bool operator==(const MoveTo&) const = default;
};

/// Hand the job to the server; grant the hold or lease. Ends in JobEnded.
struct Dispatch {
  JobId job;
  ServerId server;
  Generation generation;

  bool operator==(const Dispatch&) const = default;
};

enum class CancelReason : std::uint8_t { client_gone, drain_limit, limit_reached };

/// Stop the running job; revoke the hold or lease. Ends in JobEnded.
struct Cancel {
  JobId job;
  CancelReason reason = CancelReason::client_gone;

  bool operator==(const Cancel&) const = default;
};

/// Ask the probe for one sample. Ends in Measured.
struct Measure {
  EffectId effect;

  bool operator==(const Measure&) const = default;
};

struct SetTimer {
  TimerId timer;
  Instant at;

  bool operator==(const SetTimer&) const = default;
};

/// Answer the job's client with an error; the job is over.
struct Reject {
  JobId job;
  Error error;
  std::optional<Duration> retry_after;

  bool operator==(const Reject&) const = default;
};

/// Why something was decided. Do not change the names; they stand in journals and the API.
enum class Reason : std::uint8_t {
  fits,                ///< the newcomer fits beside what is there
  offload,             ///< the sum exceeds the limit: victims are put out
  oversize,            ///< exceeds the limit of the empty machine: everything else is put out
  impossible,          ///< no complete plan exists; nothing moves
  waits_for_turn,      ///< a plan exists, its victims' turns are not over
  gate_closed,         ///< new requests for the victim wait from now on
  claim_fell,          ///< the claim lost its last job before the first signal
  drain_limit,         ///< chats that still ran were cut
  room_seen,           ///< the barrier saw enough free memory
  room_seen_oversize,  ///< the barrier saw the victims' memory come back and stand still
  room_not_seen,       ///< the barrier's deadline passed
  ready,               ///< the newcomer serves
  restored,            ///< a displaced server serves again
  comes_back,          ///< nobody who can be helped waits: an owed server returns
  start_failed,
  stop_failed,
  exited,  ///< a server ended by itself
  stopped_by_user,
  started_by_user,
  saved_state_cleared,
  commit_failed,
  recovered_adopted,        ///< found alive after a restart of Berth
  recovered_never_stopped,  ///< recorded as displaced but found alive: the stop never happened
  recovered_stopping,       ///< found alive but unwanted or without an answer
  waits_for_itself,         ///< a tool call that its own caller keeps from its place
  needs_more,               ///< a server ran out of memory: its footprint is raised
  appeared,                 ///< a freed server loaded its models by itself
  put_out_again,            ///< it did so beyond the limit and is freed again
  refused_displaced,        ///< its server is displaced, and it was not to wait
  uses_fallback,            ///< its server is displaced, and another one serves it
  held_too_long,            ///< it waited for max_hold
  foretold,                 ///< it has to wait, and when it will run
  not_in_time,              ///< it would have to wait for longer than max_hold
  learned,                  ///< its footprint was measured; that is planned with from now on
};

/// The numbers of one admission, on the pool that decided.
struct Admission {
  PoolId pool;
  Bytes need;    ///< of the newcomer
  Bytes others;  ///< on the books beside it
  Bytes limit;   ///< floor of limit x (capacity - foreign); the comparison itself is exact
  Bytes capacity;
  Bytes foreign;
  Bytes free;  ///< of the sample that ended the barrier; 0 where no sample was taken

  bool operator==(const Admission&) const = default;
};

/// One decision with the numbers it was made from. Log, API and `explain` print this record.
struct Announce {
  Reason reason = Reason::fits;
  ServerId server;
  std::vector<ServerId> victims;
  std::optional<JobId> job;
  std::optional<Admission> numbers;
  std::vector<Holder> holders;
  std::optional<Error> error;
  std::optional<Duration> eta;  ///< until the job runs, as things are
  bool is_guess = false;        ///< `eta` needed a time that nobody has learned yet

  bool operator==(const Announce&) const = default;
};

using Action = std::variant<Commit, MoveTo, Dispatch, Cancel, Measure, SetTimer, Reject, Announce>;

}  // namespace berth::core
