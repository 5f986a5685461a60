// SPDX-License-Identifier: Apache-2.0
#include "berth/host/meter.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include <fmt/format.h>

namespace berth::host {
namespace {

/// Holders that are told, of each pool's others.
constexpr std::size_t kOthersMax = 8;
/// All of /proc is read for who else there is no more often than this.
constexpr Duration kWalkInterval = 1s;
/// The kernel counts CPU time in hundredths of a second, and over a longer time it says little.
constexpr Duration kCpuIntervalMin = 200ms;
constexpr Duration kCpuIntervalMax = 60s;

Bytes not_negative(Bytes bytes) {
  return std::max(bytes, Bytes{0});
}

const probe::Gpu* gpu_of(const Machine& machine, const std::string& uuid) {
  const auto found = std::find_if(machine.gpus.begin(), machine.gpus.end(),
                                  [&](const probe::Gpu& gpu) { return gpu.uuid == uuid; });
  return found == machine.gpus.end() ? nullptr : &*found;
}

/// The driver tells of every process how much it holds.
bool tells_all(const probe::Gpu& gpu) {
  return gpu.processes &&
         std::all_of(gpu.processes->begin(), gpu.processes->end(),
                     [](const probe::GpuProcess& process) { return process.used.has_value(); });
}

Bytes held_of(const probe::Gpu& gpu, pid_t pid) {
  Bytes sum;
  if (!gpu.processes) return sum;
  for (const probe::GpuProcess& process : *gpu.processes) {
    if (process.pid == pid) sum += process.used.value_or(Bytes{0});
  }
  return sum;
}

bool holds_nothing(const core::Footprint& bytes) {
  return std::all_of(bytes.shares.begin(), bytes.shares.end(),
                     [](const core::PoolShare& share) { return share.bytes.count == 0; });
}

/// Of all processors together.
double percent(std::uint64_t ticks, Duration elapsed) {
  const double seconds = static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double whole = std::chrono::duration<double>(elapsed).count() *
                       std::max(1u, std::thread::hardware_concurrency());
  return 100.0 * seconds / whole;
}

}  // namespace

Meter::Meter(std::vector<core::PoolConfig> pools, std::vector<std::string> uuids) {
  for (std::size_t i = 0; i < pools.size(); ++i) {
    pools_.push_back({.config = std::move(pools[i]), .uuid = std::move(uuids[i])});
  }
}

ProbeQuestion Meter::question(Instant now) const {
  ProbeQuestion question;
  for (const Pool& pool : pools_) {
    question.host = question.host || pool.config.kind == core::PoolKind::host;
    question.gpus = question.gpus || pool.config.kind == core::PoolKind::device;
  }
  const bool recent = walked_at_ && now - *walked_at_ < kWalkInterval;
  if ((question.host || question.gpus) && !recent) question.others = kOthersMax;
  return question;
}

core::Measured Meter::measure(EffectId effect, const Machine& machine,
                              const MeterContext& context) {
  core::Measured measured{.effect = effect};
  if (!machine.others.empty()) {
    others_ = machine.others;
    walked_at_ = machine.at;
  }
  usage_.clear();
  note_cpu(machine, context);
  add_ours(measured, machine, context);
  for (std::uint32_t i = 0; i < pools_.size(); ++i) {
    const Pool& pool = pools_[i];
    const probe::Gpu* gpu = gpu_of(machine, pool.uuid);
    switch (pool.config.kind) {
      case core::PoolKind::capped:
        measured.pools.push_back(capped(PoolId{i}, measured));
        break;
      case core::PoolKind::host:
        measured.pools.push_back(host(PoolId{i}, machine, context.settled));
        break;
      case core::PoolKind::device:
        if (gpu == nullptr) {
          measured.error = Error{ErrorCode::io, fmt::format("the driver shows no {} any more (pool "
                                                            "\"{}\"); look at the kernel's log",
                                                            pool.uuid, pool.config.name)};
          return measured;
        }
        measured.pools.push_back(device(PoolId{i}, *gpu, measured, context));
        break;
    }
  }
  add_others(measured, machine);
  sampled_ = true;
  return measured;
}

std::optional<PoolId> Meter::memory_pool(const core::Footprint& footprint) const {
  for (const core::PoolShare& share : footprint.shares) {
    if (share.pool.value >= pools_.size()) break;  // of the second pools, which nobody measures
    if (pools_[share.pool.value].config.kind != core::PoolKind::device) return share.pool;
  }
  for (std::uint32_t i = 0; i < pools_.size(); ++i) {
    const core::PoolKind kind = pools_[i].config.kind;
    const bool anywhere = footprint.shares.empty() && kind == core::PoolKind::capped;
    if (kind == core::PoolKind::host || anywhere) return PoolId{i};
  }
  return std::nullopt;
}

core::Footprint Meter::shares_of(const Machine& machine, pid_t pid, Bytes memory,
                                 std::optional<PoolId> pool) const {
  core::Footprint bytes;
  for (std::uint32_t i = 0; i < pools_.size(); ++i) {
    const probe::Gpu* gpu = gpu_of(machine, pools_[i].uuid);
    if (gpu != nullptr) bytes.shares.push_back({PoolId{i}, held_of(*gpu, pid)});
    if (pool == PoolId{i}) bytes.shares.push_back({PoolId{i}, memory});
  }
  std::erase_if(bytes.shares, [](const core::PoolShare& share) { return share.bytes.count == 0; });
  return bytes;
}

void Meter::add_ours(core::Measured& measured, const Machine& machine,
                     const MeterContext& context) {
  vram_known_ = false;
  for (const Pool& pool : pools_) {
    if (pool.config.kind != core::PoolKind::device) continue;
    const probe::Gpu* gpu = gpu_of(machine, pool.uuid);
    vram_known_ = gpu != nullptr && tells_all(*gpu);
    if (!vram_known_) break;
  }
  for (std::size_t i = 0; i < machine.ours.size(); ++i) {
    const probe::ProcessMemory& process = machine.ours[i];
    const std::optional<Owner>& owner = context.owners[i];
    if (!owner) continue;
    core::Holder holder{
        .pid = process.pid,
        .program = process.program,
        .server = owner->server,
        .generation = owner->generation,
        .bytes = shares_of(machine, process.pid, process.pss, memory_pool(*owner->footprint))};
    Usage& usage = usage_[owner->server];
    usage.ram = usage.ram.value_or(Bytes{0}) + process.pss;
    if (vram_known_) usage.vram = usage.vram.value_or(Bytes{0});
    for (const core::PoolShare& share : holder.bytes.shares) {
      const bool device = pools_[share.pool.value].config.kind == core::PoolKind::device;
      if (vram_known_ && device) *usage.vram += share.bytes;
    }
    if (!holds_nothing(holder.bytes)) measured.holders.push_back(std::move(holder));
  }
}

core::PoolSample Meter::capped(PoolId id, const core::Measured& measured) const {
  const Bytes capacity = pools_[id.value].config.capacity;
  core::PoolSample sample{id, capacity, capacity, {}};
  for (const core::Holder& holder : measured.holders)
    sample.free -= holder.bytes.in(id);
  return sample;
}

/// Mapped weights count as available for the kernel, and as used for us.
core::PoolSample Meter::host(PoolId id, const Machine& machine, bool settled) {
  Pool& pool = pools_[id.value];
  const Bytes capacity = machine.host->total;
  Bytes seen;  // of ours by MemAvailable
  Bytes held;
  for (const probe::ProcessMemory& process : machine.ours) {
    seen += process.pss_anon_shmem;
    held += process.pss;
  }
  if (settled || !pool.foreign) {
    pool.foreign = not_negative(capacity - machine.host->available - seen);
  }
  // While foreign use stands still, what others take meanwhile is not free either.
  const Bytes free = std::min(capacity - *pool.foreign - held, machine.host->available);
  return {id, capacity, free, *pool.foreign};
}

core::PoolSample Meter::device(PoolId id, const probe::Gpu& gpu, const core::Measured& measured,
                               const MeterContext& context) {
  Pool& pool = pools_[id.value];
  pool.utilisation = gpu.utilisation;
  if (context.settled || !pool.foreign) {
    pool.inferred = !tells_all(gpu);
    Bytes ours;
    for (const core::Holder& holder : measured.holders)
      ours += holder.bytes.in(id);
    pool.foreign = not_negative(gpu.used - (pool.inferred ? context.promised[id.value] : ours));
  }
  return {id, gpu.total, gpu.total - gpu.used, *pool.foreign};
}

void Meter::add_others(core::Measured& measured, const Machine& machine) {
  std::vector<pid_t> ours;
  for (const probe::ProcessMemory& process : machine.ours)
    ours.push_back(process.pid);
  std::optional<PoolId> memory;
  bool devices = false;
  for (std::uint32_t i = 0; i < pools_.size(); ++i) {
    if (pools_[i].config.kind == core::PoolKind::host) memory = PoolId{i};
    devices = devices || pools_[i].config.kind == core::PoolKind::device;
  }
  foreign_processes_.clear();
  for (const probe::OtherProcess& other : others_) {
    if (std::binary_search(ours.begin(), ours.end(), other.pid)) continue;
    core::Holder holder{.pid = other.pid,
                        .program = other.program,
                        .bytes = shares_of(machine, other.pid, other.bytes, memory)};
    ForeignStatus foreign{.pid = other.pid, .program = other.program, .uses = {.ram = other.bytes}};
    if (devices) foreign.uses.vram = Bytes{0};
    for (const core::PoolShare& share : holder.bytes.shares) {
      const Pool& pool = pools_[share.pool.value];
      if (pool.config.kind == core::PoolKind::device) *foreign.uses.vram += share.bytes;
    }
    if (const auto cpu = foreign_cpu_.find(other.pid); cpu != foreign_cpu_.end()) {
      foreign.uses.cpu_percent = cpu->second;
    }
    foreign_processes_.push_back(std::move(foreign));
    if (!holds_nothing(holder.bytes)) measured.holders.push_back(std::move(holder));
  }
}

/// Two samples that are far enough apart tell a share; those between them only add to it.
void Meter::note_cpu(const Machine& machine, const MeterContext& context) {
  const Duration elapsed = ticks_at_ ? machine.at - *ticks_at_ : Duration::max();
  const bool without_others = walked_at_ && machine.others.empty();
  if (elapsed < kCpuIntervalMin || without_others) return;
  const bool comparable = elapsed <= kCpuIntervalMax;
  cpu_.clear();
  foreign_cpu_.clear();
  Ticks now;
  const auto since_base = [&](pid_t pid, std::uint64_t start, std::uint64_t ticks, bool is_ours) {
    now[{pid, start}] = ticks;
    const auto base = ticks_.find({pid, start});
    if (base == ticks_.end()) return is_ours ? std::optional(ticks) : std::nullopt;  // ours is new
    return std::optional(ticks - std::min(ticks, base->second));
  };
  for (std::size_t i = 0; i < machine.ours.size(); ++i) {
    const probe::ProcessMemory& process = machine.ours[i];
    const auto ticks = since_base(process.pid, process.start_time, process.cpu_ticks, true);
    if (!comparable || !context.owners[i]) continue;
    cpu_[context.owners[i]->server] += percent(*ticks, elapsed);
  }
  for (const probe::OtherProcess& other : machine.others) {
    const auto ticks = since_base(other.pid, other.start_time, other.cpu_ticks, false);
    if (comparable && ticks) foreign_cpu_[other.pid] = percent(*ticks, elapsed);
  }
  ticks_ = std::move(now);
  ticks_at_ = machine.at;
}

Usage Meter::usage(ServerId server) const {
  if (!sampled_) return {};
  const auto found = usage_.find(server);
  Usage usage = found == usage_.end() ? Usage{.ram = Bytes{0}} : found->second;
  if (vram_known_ && !usage.vram) usage.vram = Bytes{0};
  const auto cpu = cpu_.find(server);
  if (cpu != cpu_.end()) usage.cpu_percent = cpu->second;
  return usage;
}

void Meter::describe(PoolId pool, PoolStatus& status) const {
  const Pool& known = pools_[pool.value];
  status.device = known.uuid;
  status.foreign = known.foreign;
  status.foreign_inferred = known.inferred;
  status.utilisation = known.utilisation;
}

}  // namespace berth::host
