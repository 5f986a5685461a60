// SPDX-License-Identifier: Apache-2.0
// The members of events and actions, each named once, for writing and for reading. Private.
//
// Each description takes its value apart by structured bindings: a member that is added in core/
// does not compile until it is described here, so the journal is never less than the event.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "berth/core/actions.h"
#include "berth/core/events.h"

namespace berth::host {

/// A `Type`, const while it is written.
template <class Value, class Type>
concept Like = std::same_as<std::remove_const_t<Value>, Type>;

// ---- Values -------------------------------------------------------------------------------------

template <class Archive, Like<Error> Value>
void describe(Archive& archive, Value& value) {
  auto& [code, message] = value;
  archive("code", code);
  archive("message", message);
}

template <class Archive, Like<core::Limit> Value>
void describe(Archive& archive, Value& value) {
  auto& [numerator, denominator] = value;
  archive("numerator", numerator);
  archive("denominator", denominator);
}

template <class Archive, Like<core::PoolConfig> Value>
void describe(Archive& archive, Value& value) {
  auto& [name, kind, capacity, reserve, again, limit] = value;
  archive("name", name);
  archive("kind", kind);
  archive("capacity_bytes", capacity);
  archive("reserve_bytes", reserve);
  // By its place: while the pools are read, one that comes later has no name yet.
  std::optional<std::uint32_t> place;
  if (again) place = again->value;
  archive("again_place", place);
  if constexpr (!std::is_const_v<Value>) {
    again.reset();
    if (place) again = PoolId{*place};
  }
  archive("limit", limit);
}

template <class Archive, Like<core::ServerConfig> Value>
void describe(Archive& archive, Value& value) {
  auto& [name, job_class, wanted, footprint, source, slots, drain_limit, job_limit, start_deadline,
         stop_deadline, freed, while_displaced, fallback, max_hold] = value;
  archive("name", name);
  archive("class", job_class);
  archive("wanted", wanted);
  archive("footprint_bytes", footprint);
  archive("footprint_source", source);
  archive("slots", slots);
  archive("drain_limit_ns", drain_limit);
  archive("job_limit_ns", job_limit);
  archive("start_deadline_ns", start_deadline);
  archive("stop_deadline_ns", stop_deadline);
  archive("freed_bytes", freed);
  archive("while_displaced", while_displaced);
  // By its place: while the servers are read, one that comes later has no name yet.
  std::optional<std::uint32_t> place;
  if (fallback) place = fallback->value;
  archive("fallback_place", place);
  if constexpr (!std::is_const_v<Value>) {
    fallback.reset();
    if (place) fallback = ServerId{*place};
  }
  archive("max_hold_ns", max_hold);
}

template <class Archive, Like<core::Policy> Value>
void describe(Archive& archive, Value& value) {
  auto& [limit_numerator, limit_denominator, oversize, patience, ageing, linger_max,
         turn_linger_max, swap_guess, release_deadline, retry_first, retry_max, queue_max,
         foretell_steps, swap_percent] = value;
  archive("limit_numerator", limit_numerator);
  archive("limit_denominator", limit_denominator);
  archive("oversize", oversize);
  archive("patience", patience);
  archive("ageing_ns", ageing);
  archive("linger_max_ns", linger_max);
  archive("turn_linger_max_ns", turn_linger_max);
  archive("swap_guess_ns", swap_guess);
  archive("release_deadline_ns", release_deadline);
  archive("retry_first_ns", retry_first);
  archive("retry_max_ns", retry_max);
  archive("queue_max", queue_max);
  archive("foretell_steps", foretell_steps);
  archive("swap_percent", swap_percent);
}

template <class Archive, Like<core::Config> Value>
void describe(Archive& archive, Value& value) {
  auto& [pools, servers, policy] = value;
  archive("pools", pools);
  archive.name_by(value);  // footprints name pools
  archive("servers", servers);
  archive("policy", policy);
}

template <class Archive, Like<core::Displacement> Value>
void describe(Archive& archive, Value& value) {
  auto& [since, by, after] = value;
  archive("since_ns", since);
  archive("by", by);
  archive("after", after);
}

template <class Archive, Like<core::Row> Value>
void describe(Archive& archive, Value& value) {
  auto& [server, wanted, generation, displaced, skip_next_restore] = value;
  archive("server", server);
  archive("wanted", wanted);
  archive("generation", generation);
  archive("displaced", displaced);
  archive("skip_next_restore", skip_next_restore);
}

template <class Archive, Like<core::PoolSample> Value>
void describe(Archive& archive, Value& value) {
  auto& [pool, capacity, free, foreign] = value;
  archive("name", pool);
  archive("capacity_bytes", capacity);
  archive("free_bytes", free);
  archive("foreign_bytes", foreign);
}

template <class Archive, Like<core::Holder> Value>
void describe(Archive& archive, Value& value) {
  auto& [pid, program, server, generation, bytes] = value;
  archive("pid", pid);
  archive("program", program);
  archive("server", server);
  archive("generation", generation);
  archive("bytes", bytes);
}

template <class Archive, Like<core::Admission> Value>
void describe(Archive& archive, Value& value) {
  auto& [pool, need, others, limit, capacity, foreign, free] = value;
  archive("pool", pool);
  archive("need_bytes", need);
  archive("others_bytes", others);
  archive("limit_bytes", limit);
  archive("capacity_bytes", capacity);
  archive("foreign_bytes", foreign);
  archive("free_bytes", free);
}

template <class Archive, Like<core::FoundServer> Value>
void describe(Archive& archive, Value& value) {
  auto& [server, generation, healthy, freed] = value;
  archive("server", server);
  archive("generation", generation);
  archive("healthy", healthy);
  archive("freed", freed);
}

template <class Archive, Like<core::EffectResult> Value>
void describe(Archive& archive, Value& value) {
  auto& [error, state_restored, measured] = value;
  archive("error", error);
  archive("state_restored", state_restored);
  archive("measured_bytes", measured);
}

// ---- Events -------------------------------------------------------------------------------------

/// The name under which an event or action stands in the journal. Do not change the names.
template <class Type>
inline constexpr std::string_view kName = "";
template <>
inline constexpr std::string_view kName<core::JobArrived> = "job_arrived";
template <>
inline constexpr std::string_view kName<core::JobWithdrawn> = "job_withdrawn";
template <>
inline constexpr std::string_view kName<core::JobEnded> = "job_ended";
template <>
inline constexpr std::string_view kName<core::EffectEnded> = "effect_ended";
template <>
inline constexpr std::string_view kName<core::ServerChanged> = "server_changed";
template <>
inline constexpr std::string_view kName<core::Measured> = "measured";
template <>
inline constexpr std::string_view kName<core::UserAsked> = "user_asked";
template <>
inline constexpr std::string_view kName<core::TimerFired> = "timer_fired";
template <>
inline constexpr std::string_view kName<core::Recovered> = "recovered";
template <>
inline constexpr std::string_view kName<core::Commit> = "commit";
template <>
inline constexpr std::string_view kName<core::MoveTo> = "move_to";
template <>
inline constexpr std::string_view kName<core::Dispatch> = "dispatch";
template <>
inline constexpr std::string_view kName<core::Cancel> = "cancel";
template <>
inline constexpr std::string_view kName<core::Measure> = "measure";
template <>
inline constexpr std::string_view kName<core::SetTimer> = "set_timer";
template <>
inline constexpr std::string_view kName<core::Reject> = "reject";
template <>
inline constexpr std::string_view kName<core::Announce> = "announce";

template <class Archive, Like<core::JobArrived> Value>
void describe(Archive& archive, Value& value) {
  auto& [job, kind, server, job_class, client, need, parent, hold, servers, exclusive, limit,
         kept_alive] = value;
  archive("job", job);
  archive("job_kind", kind);
  archive("server", server);
  archive("class", job_class);
  archive("client", client);
  archive("need_bytes", need);
  archive("parent", parent);
  archive("hold", hold);
  archive("servers", servers);
  archive("exclusive", exclusive);
  archive("limit_ns", limit);
  archive("kept_alive", kept_alive);
}

template <class Archive, Like<core::JobWithdrawn> Value>
void describe(Archive& archive, Value& value) {
  auto& [job] = value;
  archive("job", job);
}

template <class Archive, Like<core::JobEnded> Value>
void describe(Archive& archive, Value& value) {
  auto& [job, how] = value;
  archive("job", job);
  archive("how", how);
}

template <class Archive, Like<core::EffectEnded> Value>
void describe(Archive& archive, Value& value) {
  auto& [effect, result] = value;
  archive("effect", effect);
  describe(archive, result);
}

template <class Archive, Like<core::ServerChanged> Value>
void describe(Archive& archive, Value& value) {
  auto& [server, generation, fact, detail] = value;
  archive("server", server);
  archive("generation", generation);
  archive("fact", fact);
  archive("detail", detail);
}

template <class Archive, Like<core::Measured> Value>
void describe(Archive& archive, Value& value) {
  auto& [effect, error, pools, holders] = value;
  archive("effect", effect);
  archive("error", error);
  archive("pools", pools);
  archive("holders", holders);
}

template <class Archive, Like<core::UserAsked> Value>
void describe(Archive& archive, Value& value) {
  auto& [what, server, footprint, source] = value;
  archive("what", what);
  archive("server", server);
  archive("footprint_bytes", footprint);
  archive("source", source);
}

template <class Archive, Like<core::TimerFired> Value>
void describe(Archive& archive, Value& value) {
  auto& [timer] = value;
  archive("timer", timer);
}

template <class Archive, Like<core::Recovered> Value>
void describe(Archive& archive, Value& value) {
  auto& [config, rows, found, holds] = value;
  archive("config", config);
  archive.name_by(config);
  archive("rows", rows);
  archive("found", found);
  archive("holds", holds);
}

// ---- Actions ------------------------------------------------------------------------------------

template <class Archive, Like<core::Commit> Value>
void describe(Archive& archive, Value& value) {
  auto& [effect, row] = value;
  archive("effect", effect);
  describe(archive, row);
}

template <class Archive, Like<core::MoveTo> Value>
void describe(Archive& archive, Value& value) {
  auto& [effect, server, rung, keep, generation, deadline] = value;
  archive("effect", effect);
  archive("server", server);
  archive("rung", rung);
  archive("keep", keep);
  archive("generation", generation);
  archive("deadline_ns", deadline);
}

template <class Archive, Like<core::Dispatch> Value>
void describe(Archive& archive, Value& value) {
  auto& [job, server, generation] = value;
  archive("job", job);
  archive("server", server);
  archive("generation", generation);
}

template <class Archive, Like<core::Cancel> Value>
void describe(Archive& archive, Value& value) {
  auto& [job, reason] = value;
  archive("job", job);
  archive("reason", reason);
}

template <class Archive, Like<core::Measure> Value>
void describe(Archive& archive, Value& value) {
  auto& [effect] = value;
  archive("effect", effect);
}

template <class Archive, Like<core::SetTimer> Value>
void describe(Archive& archive, Value& value) {
  auto& [timer, at] = value;
  archive("timer", timer);
  archive("at_ns", at);
}

template <class Archive, Like<core::Reject> Value>
void describe(Archive& archive, Value& value) {
  auto& [job, error, retry_after] = value;
  archive("job", job);
  archive("error", error);
  archive("retry_after_ns", retry_after);
}

template <class Archive, Like<core::Announce> Value>
void describe(Archive& archive, Value& value) {
  auto& [reason, server, victims, job, numbers, holders, error, eta, is_guess] = value;
  archive("reason", reason);
  archive("server", server);
  archive("victims", victims);
  archive("job", job);
  archive("numbers", numbers);
  archive("holders", holders);
  archive("error", error);
  archive("eta_ns", eta);
  archive("is_guess", is_guess);
}

}  // namespace berth::host
