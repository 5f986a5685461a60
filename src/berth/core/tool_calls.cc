// SPDX-License-Identifier: Apache-2.0
#include "berth/core/tool_calls.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "berth/core/planted.h"

namespace berth::core {
namespace {

using Calls = std::vector<std::pair<JobId, JobId>>;  // running caller, its call

Calls calls_in(const State& state) {
  Calls calls;
  for (const auto& [id, job] : state.jobs) {
    if (!job.parent) continue;
    const auto parent = state.jobs.find(*job.parent);
    if (parent != state.jobs.end() && parent->second.running) calls.emplace_back(*job.parent, id);
  }
  return calls;
}

bool any_stuck(const Server& server, const std::set<JobId>& stuck) {
  return std::any_of(server.running.begin(), server.running.end(),
                     [&](JobId job) { return stuck.contains(job); });
}

bool all_stuck(const Server& server, const std::set<JobId>& stuck) {
  return !server.running.empty() && std::all_of(server.running.begin(), server.running.end(),
                                                [&](JobId job) { return stuck.contains(job); });
}

/// Why a waiting job cannot run while the jobs of `stuck` go on for ever; empty: it can.
std::string hindrance(const State& state, ServerId id, const std::set<JobId>& stuck) {
  const Server& target = state.server(id);
  if (target.state == ServerState::ready) {
    if (!all_stuck(target, stuck)) return "";  // a job's end frees a slot; calls pass gates
    return fmt::format("all slots of server \"{}\" are taken by jobs that wait for calls",
                       target.config.name);
  }
  bool claimed = false;
  for (const Claim& claim : state.claims) {
    claimed = claimed || claim.newcomer == id;
    const bool own = claim.newcomer == id;
    if (!own && is_planted(Planted::child_checked_against_own_plan)) continue;
    if (!own && !claim.need.touches(target.config.footprint)) continue;
    for (const ServerId victim : claim.victims) {
      if (!any_stuck(state.server(victim), stuck)) continue;
      return fmt::format("server \"{}\" has to leave for \"{}\" and works for a job that waits",
                         state.server(victim).config.name,
                         state.server(claim.newcomer).config.name);
    }
  }
  for (const Server& each : state.servers) {
    const bool in_the_way = each.retiring && each.config.footprint.touches(target.config.footprint);
    if (claimed || !in_the_way || !any_stuck(each, stuck)) continue;
    return fmt::format("server \"{}\" was stopped by the user and works for a job that waits",
                       each.config.name);
  }
  return "";
}

}  // namespace

std::vector<JobId> ancestors_of(const State& state, JobId job) {
  std::vector<JobId> ancestors;
  std::optional<JobId> parent = state.jobs.at(job).parent;
  while (parent) {
    const auto found = state.jobs.find(*parent);
    const bool known = found != state.jobs.end() && found->second.running;
    const bool again = std::find(ancestors.begin(), ancestors.end(), *parent) != ancestors.end();
    if (!known || again) break;
    ancestors.push_back(*parent);
    parent = found->second.parent;
  }
  return ancestors;
}

/// Least fixed point: a caller goes on for ever unless each of its calls can end.
std::optional<Doomed> doomed_call(const State& state) {
  const Calls calls = calls_in(state);
  std::set<JobId> stuck;
  for (const auto& [caller, call] : calls)
    stuck.insert(caller);
  const auto can_end = [&](JobId id) {
    const Job& job = state.jobs.at(id);
    return job.running ? !stuck.contains(id) : hindrance(state, job.server, stuck).empty();
  };
  for (bool changed = true; changed;) {
    changed = std::erase_if(stuck, [&](JobId caller) {
                return std::all_of(calls.begin(), calls.end(), [&](const auto& each) {
                  return each.first != caller || can_end(each.second);
                });
              }) > 0;
  }
  for (const auto& [caller, id] : calls) {
    const Job& job = state.jobs.at(id);
    if (job.running) continue;
    std::string why = hindrance(state, job.server, stuck);
    if (!why.empty()) return Doomed{id, std::move(why)};
  }
  return std::nullopt;
}

}  // namespace berth::core
