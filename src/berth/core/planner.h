// SPDX-License-Identifier: Apache-2.0
// Plan first: nothing moves unless a complete feasible plan exists. Pure functions over State.
#pragma once

#include <optional>

#include "berth/core/state.h"

namespace berth::core {

enum class Verdict : std::uint8_t {
  fits,        ///< nobody has to leave
  offload,     ///< `claim.victims` have to leave
  blocked,     ///< not now; something that is going or pinned stands in the way
  impossible,  ///< not on this machine
};

struct Plan {
  Verdict verdict = Verdict::impossible;
  Claim claim;
};

/// Plans the place of an absent server that somebody waits for (rules 1 and 2 of design section 6).
Plan plan_for_job(const State& state, ServerId newcomer, Instant now);

/// The same for a job of `job_class` that the server's queue does not hold yet.
Plan plan_for_class(const State& state, ServerId newcomer, std::int32_t job_class, Instant now);

/// Plans the grant of a hold whose servers are all there: whoever may leave does, if it is
/// exclusive; nobody has to if not.
Plan plan_hold(const State& state, ServerId place, Instant now);

/// Returns who stands in the way of an absent server and does not leave for a job: somebody pinned,
/// held or leased. Nothing: nobody does, or it has its place already.
std::optional<ServerId> keeper_of_place(const State& state, ServerId newcomer,
                                        ServerClass job_class, Instant now);

/// Does nothing but a grant stand between the hold of this place and its servers? True for all
/// that are no hold's place.
bool is_gathered(const State& state, const Server& place);

/// Returns the server in whose name the claim's victims leave.
ServerId displacer_of(const State& state, const Claim& claim);

/// Plans the place of an absent server where nobody may leave for it.
Plan plan_beside(const State& state, ServerId newcomer);

/// Plans the unasked return of an owed server (rule 5). Victims are only servers behind it in the
/// home order that have been idle for `linger`.
Plan plan_return(const State& state, ServerId newcomer, Instant now);

/// Returns who keeps a server that is wanted out for as long as nobody asks for it: servers that
/// are wanted, too, and stand before it in the home order. Empty: it may come by itself.
std::vector<ServerId> keepers_at_home(const State& state, ServerId id);

/// Returns when an idle server may be put out by an unasked return of `newcomer`.
Instant linger_ends(const State& state, ServerId newcomer, const Server& victim);

/// Returns the numbers of `claim` on the pool with the least room, as they would be once its
/// victims are gone (`leaving` = true) or as they are now.
std::optional<Admission> numbers_of(const State& state, const Claim& claim, bool leaving);

/// Returns what is on the books for the newcomer already: it is freed and its process lives.
Bytes own_in(const State& state, ServerId newcomer, PoolId pool);

/// An exclusive hold that gathers or was granted keeps everybody else out: returns one of its
/// servers. Nothing: the newcomer is not kept out.
std::optional<ServerId> kept_out_by(const State& state, ServerId newcomer);

/// Is more on the books than the limit allows beside a resident server?
bool is_beyond_limit(const State& state, ServerId id);

/// Is the server the newcomer or a victim of a claim that is in progress?
bool in_a_claim(const State& state, ServerId id);

/// Does the newcomer fit beside what is on the books now, without its victims' leftovers? Those are
/// judged by free memory.
bool fits_now(const State& state, const Claim& claim);

/// Does `need` exceed the limit of the empty machine in some pool?
bool is_oversize_need(const State& state, const Footprint& need);

/// Does any pool serve both the claim and `need`? One claim per device.
bool shares_pool(const Claim& claim, const Footprint& need);

/// Returns what the newcomer will take: its footprint, or more where a queued job needs more.
Footprint need_of(const State& state, const Server& server);

}  // namespace berth::core
