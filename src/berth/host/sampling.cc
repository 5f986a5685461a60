// SPDX-License-Identifier: Apache-2.0
// What the machine has and who holds it: the probe is asked, its answer goes to core and status.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/host/host_impl.h"
#include "berth/host/second_pools.h"
#include "berth/host/world.h"

namespace berth::host {
namespace {

/// The kernel answers a read of /proc in milliseconds; a process in D state can hold it up, and a
/// GPU's driver may never answer.
constexpr Duration kProbeDeadline = 5s;
/// The machine's lock of its own memory, whatever the pool is called.
constexpr const char* kHostLock = "ram";

Error stuck_error() {
  return {ErrorCode::deadline,
          fmt::format("the probe is stuck: /proc or the GPU's driver has not answered for {}; no "
                      "memory is seen free meanwhile, look at the kernel's log",
                      to_text(kProbeDeadline))};
}

/// Of a configuration that was not read from a file there are no options.
std::string device_of(const config::Config& config, std::size_t pool) {
  return pool < config.pools.size() ? config.pools[pool].device : "0";
}

/// `device` is a UUID or a place in the driver's order.
const probe::Gpu* find_gpu(const std::vector<probe::Gpu>& gpus, const std::string& device) {
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    if (gpus[i].uuid == device || std::to_string(i) == device) return &gpus[i];
  }
  return nullptr;
}

Error no_such_gpu(const std::string& pool, const std::string& device,
                  const std::vector<probe::Gpu>& gpus) {
  std::string known;
  for (std::size_t i = 0; i < gpus.size(); ++i)
    known += fmt::format("{}{} ({})", i == 0 ? "" : ", ", i, gpus[i].uuid);
  return {ErrorCode::bad_config, fmt::format("pool \"{}\": the driver shows no GPU {}; it shows {}",
                                             pool, device, known.empty() ? "none" : known)};
}

}  // namespace

// ---- The pools of this machine
// -------------------------------------------------------------------

/// What the configuration leaves to the machine: how large its memories are.
Task<Status> HostImpl::find_pools() {
  std::vector<core::PoolConfig>& pools = config_.core.pools;
  devices_of_pools_.assign(pools.size(), "");
  ProbeQuestion question = Meter(pools, devices_of_pools_).question(Instant{});
  question.others = 0;
  if (question.host || question.gpus) {
    auto machine = co_await ask(std::move(question));
    if (!machine) co_return fail(machine.error());
    const Status measured = take_capacities(*machine);
    if (!measured) co_return measured;
  }
  core_config_ = complete_config(config_);
  meter_ = Meter(pools, devices_of_pools_);
  co_return Status{};
}

Status HostImpl::take_capacities(const Machine& machine) {
  for (std::size_t i = 0; i < config_.core.pools.size(); ++i) {
    core::PoolConfig& pool = config_.core.pools[i];
    if (pool.kind == core::PoolKind::capped) continue;
    if (pool.kind == core::PoolKind::host) pool.capacity = machine.host->total;
    if (pool.kind == core::PoolKind::device) {
      const std::string device = device_of(config_, i);
      const probe::Gpu* gpu = find_gpu(machine.gpus, device);
      if (gpu == nullptr) return fail(no_such_gpu(pool.name, device, machine.gpus));
      pool.capacity = gpu->total;
      devices_of_pools_[i] = gpu->uuid;
    }
    if (pool.reserve < pool.capacity) continue;
    return fail(ErrorCode::bad_config,
                fmt::format("pool \"{}\" has {}; its reserve must be less than that", pool.name,
                            to_text(pool.capacity)));
  }
  return {};
}

/// Memory that the machine has once is handed out by one Berth. `capped` pools are invented.
Status HostImpl::take_devices() {
  for (std::size_t i = 0; i < core_config_.pools.size(); ++i) {
    const core::PoolConfig& pool = core_config_.pools[i];
    if (pool.kind == core::PoolKind::capped || pool.again) continue;
    const bool is_device = pool.kind == core::PoolKind::device;
    const auto& before = devices_of_pools_;
    const auto end = before.begin() + static_cast<std::ptrdiff_t>(i);
    if (is_device && std::find(before.begin(), end, before[i]) != end) {
      return fail(ErrorCode::bad_config,
                  fmt::format("pool \"{}\" is {}, which another pool is already; name another "
                              "device, or take it out of the configuration",
                              pool.name, before[i]));
    }
    auto lock = process::AliveLock::acquire_device(process::runtime_directory(),
                                                   is_device ? before[i] : kHostLock, pool.name);
    if (!lock) return fail(lock.error());
    devices_.push_back(std::move(*lock));
  }
  return {};
}

/// Where GPUs are handed out a server sees those of its footprint and no others: it would take
/// memory that was promised to somebody else. CUDA takes UUIDs, and its own numbers are not NVML's.
void HostImpl::show_devices(ServerId server, process::LaunchSpec& launch) const {
  constexpr std::string_view kVariable = "CUDA_VISIBLE_DEVICES=";
  std::string devices;
  bool any = false;
  for (std::uint32_t i = 0; i < devices_of_pools_.size(); ++i) {
    if (devices_of_pools_[i].empty()) continue;
    any = true;
    if (core_config_.servers[server.value].footprint.in(PoolId{i}).count == 0) continue;
    devices += (devices.empty() ? "" : ",") + devices_of_pools_[i];
  }
  if (!any) return;
  std::erase_if(launch.environment,
                [&](const std::string& entry) { return entry.starts_with(kVariable); });
  launch.environment.push_back(fmt::format("{}{}", kVariable, devices));
}

// ---- Samples ------------------------------------------------------------------------------------

void HostImpl::take(const core::Measure& action) {
  spawn(executor_, measure(action.effect));
}

Task<void> HostImpl::measure(EffectId effect) {
  core::Measured measured = co_await sample(effect);
  if (!measured.error) add_second_pools(measured, core_config_);
  post(std::move(measured));
}

/// Errors: deadline, where the probe hangs: it is asked nothing more until it has answered.
Task<Result<Machine>> HostImpl::ask(ProbeQuestion question) {
  const auto answer = std::make_shared<ProbeAnswer>();
  const Executor executor = executor_;
  probe_.read(std::move(question), [answer, executor](ProbeThread::Sample sample) {
    berth::post(executor, [answer, sample = std::move(sample)] {
      answer->sample = sample;
      answer->done.set();
    });
  });
  const bool answered = co_await answer->done.wait_for(kProbeDeadline);
  if (!answered) {
    stuck_ = answer;
    co_return fail(stuck_error());
  }
  co_return std::move(*answer->sample);
}

/// Returns whether the probe hangs still; waits for it up to its deadline if there is time.
Task<bool> HostImpl::is_stuck(bool may_wait) {
  if (!stuck_) co_return false;
  const std::shared_ptr<ProbeAnswer> answer = stuck_;
  if (may_wait) static_cast<void>(co_await answer->done.wait_for(kProbeDeadline));
  if (!answer->done.is_set()) co_return true;
  stuck_.reset();
  co_return false;
}

/// One for the core may wait for a probe that hangs: the core asks again as soon as it has heard.
Task<core::Measured> HostImpl::sample(EffectId effect) {
  core::Measured measured{.effect = effect};
  const bool for_core = effect != EffectId{0};
  const bool stuck = co_await is_stuck(for_core);
  if (stuck) {
    measured.error = stuck_error();
    co_return measured;
  }
  std::vector<std::string> ended;  // a lease that ends while /proc is read may not have been seen
  ProbeQuestion question = meter_.question(stamp_now().at);
  for (const auto& lease : leases_) {
    question.tags.push_back(lease->tag);
    if (lease->over) ended.push_back(lease->tag);
  }
  question.sessions = session_ids();
  const bool settled = !is_between_rungs();
  auto machine = co_await ask(std::move(question));
  if (machine) {
    measured = to_measured(effect, *machine, settled && !is_between_rungs());
  } else {
    measured.error = machine.error();
  }
  note_probe(measured.error);
  if (!measured.error) {
    forget_leases(measured.holders, ended);
    newest_sample_ = measured;
    note_peaks(measured);
    sampled_ = true;
    journal_->memory(stamp_now(), measured, core_config_);
  }
  co_return measured;
}

/// A change is told once.
void HostImpl::note_probe(const std::optional<Error>& error) {
  ProbeStatus now;
  if (error) now = {error->code == ErrorCode::deadline ? "stuck" : "failed", error->message};
  if (now.state != probe_status_.state) {
    const std::string text = error ? error->message : "the machine can be read again";
    keep(journal_->step(stamp_now(), "probe_" + now.state, "", text));
  }
  probe_status_ = std::move(now);
}

/// What a server takes or gives back just now would count as foreign use.
bool HostImpl::is_between_rungs() const {
  if (state().ledger.any(core::EntryState::releasing)) return true;
  return std::any_of(state().servers.begin(), state().servers.end(), [](const auto& server) {
    return server.state == core::ServerState::starting ||
           server.state == core::ServerState::stopping;
  });
}

/// A server that still loads holds memory too, long before its move ends.
std::vector<pid_t> HostImpl::session_ids() {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    const process::Process* process = slots_[i]->adapter->process();
    const bool lives = process != nullptr && process->running();
    if (lives) note_session(ServerId{i}, state().server(ServerId{i}).generation);
  }
  std::vector<pid_t> ids;
  for (const Session& session : sessions_)
    ids.push_back(session.id);
  return ids;
}

core::Measured HostImpl::to_measured(EffectId effect, const Machine& machine, bool settled) {
  MeterContext context{.settled = settled};
  for (const probe::ProcessMemory& process : machine.ours)
    context.owners.push_back(owner_of(process));
  for (std::uint32_t i = 0; i < config_.core.pools.size(); ++i)
    context.promised.push_back(state().ledger.promised(PoolId{i}));
  core::Measured measured = meter_.measure(effect, machine, context);
  if (!measured.error) forget_sessions(measured.holders);
  return measured;
}

/// Whose memory it is; nothing if it is nobody's or there is none.
std::optional<Owner> HostImpl::owner_of(const probe::ProcessMemory& process) const {
  if (process.pss.count == 0) return std::nullopt;
  std::optional<Owner> owner;
  for (const auto& lease : leases_) {
    if (lease->tag != process.tag) continue;
    owner = Owner{lease->server, lease->generation, &*lease->request.need};
  }
  for (const Session& session : sessions_) {
    if (!process.tag.empty() || session.id != process.session) continue;
    owner = Owner{session.server, session.generation,
                  &core_config_.servers[session.server.value].footprint};
  }
  return owner;
}

/// A session that holds nothing and whose server is not resident is over.
void HostImpl::forget_sessions(const std::vector<core::Holder>& holders) {
  std::erase_if(sessions_, [&](const Session& session) {
    const bool holds = std::any_of(holders.begin(), holders.end(), [&](const core::Holder& holder) {
      return holder.server == session.server && holder.generation == session.generation;
    });
    const process::Process* process = slots_[session.server.value]->adapter->process();
    const bool lives =
        process != nullptr && process->identity().session == session.id && process->running();
    return !holds && !lives;
  });
}

void HostImpl::note_session(ServerId server, Generation generation) {
  const process::Process* process = slots_[server.value]->adapter->process();
  if (process == nullptr) return;
  const pid_t id = process->identity().session;
  const bool known = std::any_of(sessions_.begin(), sessions_.end(),
                                 [&](const Session& session) { return session.id == id; });
  if (!known && id > 0) sessions_.push_back({id, server, generation});
}

Task<void> HostImpl::refresh() {
  static_cast<void>(co_await sample(EffectId{0}));
}

}  // namespace berth::host
