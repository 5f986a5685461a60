// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "berth/core/actions.h"
#include "berth/core/events.h"
#include "berth/core/state.h"

namespace berth::core {

struct Foretold;

/// Every decision of Berth. Events in, actions out; no clock, IO, threads, randomness, callbacks.
/// The same events always give the same actions, so a journal replays and a copy predicts.
///
/// Threads: none of its own; one owner. Errors: a broken invariant aborts.
class Scheduler {
 public:
  /// Takes one event at `now` and returns what is to be done, in order. The first event must be
  /// Recovered. `now` never goes back. An event of a past generation or effect changes nothing.
  std::vector<Action> apply(Instant now, const Event& event);

  [[nodiscard]] const State& state() const { return state_; }

  /// What it waits for besides moves and rows, which stand with their servers.
  struct Pending {
    std::optional<SetTimer> wake;
    std::optional<EffectId> sample;
  };
  [[nodiscard]] Pending pending() const {
    Pending pending{.sample = sample_};
    if (wake_at_) pending.wake = SetTimer{TimerId{last_timer_}, *wake_at_};
    return pending;
  }

  /// For a copy that is run ahead: foreign use stays what it is, so nobody has to look for it.
  void trust_samples() { trusts_samples_ = true; }

 private:
  // Events (scheduler.cc).
  void on(const JobArrived& event);
  void on(const JobWithdrawn& event);
  void on(const JobEnded& event);
  void on(const EffectEnded& event);
  void on(const ServerChanged& event);
  void on(const Measured& event);
  void on(const UserAsked& event);
  void on(const TimerFired& event);
  void on(const Recovered& event);
  void commit_ended(Server& server, const EffectEnded& event);
  void move_ended(ServerId id, const EffectEnded& event);
  void became_ready(ServerId id, const EffectResult& result);
  void became_absent(ServerId id, const EffectResult& result);
  void learn_footprint(ServerId id, const Footprint& measured);
  void forget_footprints();
  void raise_footprint(ServerId id, const Error& error);
  void user_start(ServerId id);
  void user_stop(ServerId id);
  void user_clear(ServerId id);
  void appeared(ServerId id);  // scheduler_rungs.cc
  void freed_one_ended(ServerId id);
  void leave_claims(ServerId id);
  void recover(ServerId id, const Row* row, const FoundServer* found);
  void recover_displaced(ServerId id);

  // Leases and holds (scheduler_places.cc).
  void place_arrived(const JobArrived& event);
  void leave_place(ServerId id);
  bool revoke_places();
  bool gather_holds();
  bool refuse_stuck_jobs_of_holds();
  [[nodiscard]] bool can_gather(const Job& hold) const;
  bool gather(const Job& hold);
  void scatter(const Job& hold);

  // Jobs.
  void forget(JobId id);
  void end_jobs_of(Server& server);
  void reject(JobId id, Error error, std::optional<Duration> retry_after = std::nullopt);
  void reject_queue(Server& server, const Error& error, std::optional<Duration> retry_after);

  // While a server is displaced (scheduler_holding.cc).
  [[nodiscard]] Foretold foretell_arrival(const JobArrived& event) const;
  void refuse_late(const JobArrived& event, Duration eta);
  void meet_displacement(JobId id, const Foretold& foretold);
  void send_to_fallback(JobId id, ServerId fallback);
  bool refuse_held_too_long();
  [[nodiscard]] Announce why_too_long(const Waiting& job) const;

  // Settling: what follows from the state, until nothing follows any more (scheduler_settle.cc).
  void settle();
  bool dispatch_jobs();
  [[nodiscard]] const Waiting* next_for(const Server& server) const;
  bool refuse_doomed_calls();
  bool retire_servers();
  bool put_out_again();
  bool advance_claims();
  bool advance(Claim& claim);
  bool advance_waiting(Claim& claim);
  bool advance_draining(Claim& claim);
  bool advance_stopping(Claim& claim);
  bool advance_barrier(Claim& claim);
  bool claim_jobs();
  bool claim_returns();
  [[nodiscard]] bool waits_for_release(ServerId newcomer);
  [[nodiscard]] bool is_promised_soon(const Footprint& need) const;
  bool must_fall(const Claim& claim) const;
  bool close_gates(Claim& claim);
  bool cut_at_drain_limit(const Claim& claim);
  void begin_draining(Claim& claim);
  bool start_newcomer(Claim& claim);
  void drop(const Claim& claim);  ///< erases it and opens the gates
  void fall(const Claim& claim);  ///< before the first signal
  void fail(const Claim& claim, const Error& error, Reason reason);
  void sample_if_needed();
  bool must_look(const Footprint& need);
  [[nodiscard]] bool others_took_place(const Claim& claim) const;
  [[nodiscard]] bool foreign_may_block() const;
  void expire_releases();
  void set_wake();
  [[nodiscard]] std::optional<Instant> next_wake() const;

  // Emitting.
  EffectId next_effect() { return EffectId{++last_effect_}; }
  void emit(Action action) { actions_.push_back(std::move(action)); }
  void commit(ServerId id);
  void move(ServerId id, Rung rung, bool keep);
  void start_failed(ServerId id, const Error& error);
  Server& server(ServerId id) { return state_.server(id); }
  [[nodiscard]] const Server& server(ServerId id) const { return state_.server(id); }
  Claim* claim_of_newcomer(ServerId id);

  State state_;
  std::vector<Action> actions_;
  std::vector<Footprint> soon_;  ///< of one settling: who claims once memory is seen free
  Instant now_;
  bool recovered_ = false;
  std::uint64_t last_effect_ = 0;
  std::uint64_t last_timer_ = 0;
  std::optional<Instant> wake_at_;
  std::optional<EffectId> sample_;      ///< the Measure that is under way
  Instant sample_asked_;                ///< when it was asked for
  EffectId last_sample_;                ///< the newest Measure that told something
  std::optional<Instant> next_sample_;  ///< not before this
  std::optional<Instant> seen_at_;      ///< when the newest Measure that told something came
  bool look_ = false;                   ///< something waits for a Measure
  bool trusts_samples_ = false;
};

}  // namespace berth::core
