// SPDX-License-Identifier: Apache-2.0
#include "berth/sim/ground.h"

#include <algorithm>
#include <utility>

namespace berth::sim {
namespace {

constexpr std::int64_t kFirstPid = 1000;

bool holds_nothing(const Process& process) {
  return std::all_of(process.bytes.shares.begin(), process.bytes.shares.end(),
                     [](const core::PoolShare& share) { return share.bytes.count == 0; });
}

}  // namespace

Ground::Ground(const World& from)
    : world(&from),
      now{1h},
      foreign(from.config.pools.size()),
      rows(from.config.servers.size()),
      sampled_at{Duration{0}},
      ended_at(from.config.servers.size()),
      freed_at(from.config.servers.size()) {}

bool Ground::is_place(ServerId server) const {
  return server.value >= world->config.servers.size();
}

void Ground::note_end(ServerId server) {
  if (server.value >= ended_at.size()) ended_at.resize(server.value + 1);
  ended_at[server.value] = now;
}

Process* Ground::find(ServerId server, Generation generation) {
  return const_cast<Process*>(std::as_const(*this).find(server, generation));
}

const Process* Ground::find(ServerId server, Generation generation) const {
  for (const Process& process : processes) {
    if (process.server == server && process.generation == generation) return &process;
  }
  return nullptr;
}

const Process* Ground::newest_alive(ServerId server) const {
  const Process* newest = nullptr;
  for (const Process& process : processes) {
    if (process.server != server || !process.alive) continue;
    if (newest == nullptr || newest->generation < process.generation) newest = &process;
  }
  return newest;
}

Bytes Ground::used(PoolId pool) const {
  Bytes sum;
  for (const Process& process : processes)
    sum += process.bytes.in(pool);
  return sum;
}

core::Measured Ground::measure(EffectId effect) const {
  core::Measured measured{.effect = effect};
  for (std::uint32_t i = 0; i < foreign.size(); ++i) {
    const core::PoolConfig& pool = world->config.pools[i];
    measured.pools.push_back(
        {PoolId{i}, pool.capacity, pool.capacity - foreign[i] - used(PoolId{i}), foreign[i]});
  }
  for (std::size_t i = 0; i < processes.size(); ++i) {
    const Process& process = processes[i];
    const bool unseen = !process.alive && world->faults.unattributed;
    if (holds_nothing(process) || unseen) continue;
    measured.holders.push_back(
        {kFirstPid + static_cast<std::int64_t>(i),
         is_place(process.server) ? "tool" : world->config.servers[process.server.value].name,
         process.server, process.generation, process.bytes});
  }
  return measured;
}

void Ground::bury() {
  std::erase_if(processes,
                [](const Process& process) { return !process.alive && holds_nothing(process); });
}

}  // namespace berth::sim
