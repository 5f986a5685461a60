// SPDX-License-Identifier: Apache-2.0
// What servers take is measured while they run, and kept (known_footprints.h says what it is for).
#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "berth/host/host_impl.h"
#include "berth/host/known_footprints.h"
#include "berth/host/second_pools.h"
#include "berth/host/world.h"
#include "berth/probe/memory.h"
#include "berth/servers/fit_params.h"

namespace berth::host {
namespace {

/// Runs of one server differ by so much; less is no news.
constexpr Bytes kSmall = 1_MiB;
/// The driver of a GPU tells of no peaks: while somebody works they are looked for as often as
/// this.
constexpr Duration kWorkInterval = 500ms;

}  // namespace

void HostImpl::note_peaks(const core::Measured& sample) {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    const core::Server& server = state().server(ServerId{i});
    const bool loads = server.state == core::ServerState::starting;
    if (!loads && server.state != core::ServerState::ready) continue;
    core::Footprint held;
    for (const core::PoolSample& pool : sample.pools) {
      Bytes sum = {};
      for (const core::Holder& holder : sample.holders) {
        const bool its = holder.server == ServerId{i} && holder.generation == server.generation;
        if (its) sum += holder.bytes.in(pool.pool);
      }
      held.shares.push_back({pool.pool, sum});
    }
    Slot& slot = *slots_[i];
    if (loads) {
      slot.seen.sampled(store::Stage::load, "", held);
    } else if (server.running.empty()) {
      slot.seen.sampled(store::Stage::steady, "", held);
    } else {
      slot.seen.sampled(store::Stage::work, slot.shape, held);
    }
  }
}

/// Of the memory of its process the kernel knows the peak exactly.
void HostImpl::note_mark(ServerId id, store::Stage stage) {
  Slot& slot = *slots_[id.value];
  const process::Process* process = slot.adapter->process();
  const auto pool = meter_.memory_pool(core_config_.servers[id.value].footprint);
  if (process == nullptr || !process->running() || !pool) return;
  const Result<Bytes> mark = probe::read_peak(process->identity().pid);
  if (!mark) return;  // it ends just now
  const std::string shape = stage == store::Stage::work ? slot.shape : "";
  slot.seen.marked(stage, shape, *pool, *mark);
}

void HostImpl::note_work_done(const PendingJob& job, core::JobEnd how) {
  if (!job.is_request()) return;
  Slot& slot = *slots_[job.server.value];
  note_mark(job.server, store::Stage::work);
  if (how != core::JobEnd::done) return;
  // What it keeps between two jobs is seen once it has done the first.
  if (!std::exchange(slot.has_served, true)) spawn(executor_, refresh());
}

/// Ends with the work.
Task<void> HostImpl::watch_work() {
  const bool any = std::any_of(devices_of_pools_.begin(), devices_of_pools_.end(),
                               [](const std::string& uuid) { return !uuid.empty(); });
  if (!any || std::exchange(watching_work_, true)) co_return;
  const std::shared_ptr<bool> alive = alive_token_;
  const auto works = [this] {
    return std::any_of(state().servers.begin(), state().servers.end(),
                       [](const core::Server& server) { return !server.running.empty(); });
  };
  while (works() && !going_down_) {
    co_await refresh();
    co_await delay(kWorkInterval);
    if (!*alive) co_return;
  }
  watching_work_ = false;
}

/// What it was promised was too little; the next Berth shall know.
void HostImpl::note_raised(ServerId id) {
  const core::ServerConfig& server = state().server(id).config;
  for (const core::PoolShare& share : server.footprint.shares) {
    if (share.bytes.count <= 0) continue;
    static_cast<void>(keep_row({.key = footprint_key(config_.servers[id.value]),
                                .pool = core_config_.pools[share.pool.value].name,
                                .stage = store::Stage::raised,
                                .shape = "",
                                .bytes = share.bytes.count,
                                .server = server.name}));
  }
}

/// Returns whether it is news.
bool HostImpl::keep_row(store::FootprintRow row) {
  const auto same = std::find_if(footprints_.begin(), footprints_.end(), [&](const auto& each) {
    return each.key == row.key && each.pool == row.pool && each.stage == row.stage &&
           each.shape == row.shape;
  });
  const bool known = same != footprints_.end();
  if (known && row.bytes <= same->bytes + kSmall.count) return false;
  known ? * same = row : footprints_.emplace_back(row);
  store_->put(std::move(row), [](const Status&) {});
  return true;
}

/// What it held at most, before it is stopped. Nothing: it has served nobody, or nothing new was
/// learned.
std::optional<core::Footprint> HostImpl::learned(ServerId id) {
  Slot& slot = *slots_[id.value];
  if (!slot.has_served) return std::nullopt;
  note_mark(id, store::Stage::work);
  const std::string now = footprint_key(config_.servers[id.value]);
  const std::string key = slot.key.empty() ? now : slot.key;
  const core::ServerConfig& server = core_config_.servers[id.value];
  std::vector<std::string> pools;
  for (store::FootprintRow& row : slot.seen.rows(key, server.name, core_config_)) {
    std::string pool = row.pool;
    if (keep_row(std::move(row))) pools.push_back(std::move(pool));
  }
  if (key != now) return std::nullopt;  // another model lies there since it was started
  core::Footprint news;
  for (std::uint32_t i = 0; i < config_.core.pools.size(); ++i) {
    const std::string& name = core_config_.pools[i].name;
    const auto into = learning_pool(core_config_, PoolId{i});
    const bool counts = into && (into == PoolId{i} || server.footprint.in(*into).count > 0);
    if (!counts || std::find(pools.begin(), pools.end(), name) == pools.end()) continue;
    news.shares.push_back({*into, most_measured(footprints_, key, name).value_or(Bytes{})});
  }
  if (news.shares.empty()) return std::nullopt;
  // What was measured goes before what was only found to be too little.
  std::erase_if(footprints_, [&](const store::FootprintRow& row) {
    return row.key == key && row.stage == store::Stage::raised;
  });
  store_->put(store::FootprintsForgotten{key, store::Stage::raised}, [](const Status&) {});
  return news;
}

/// Before the first run of a server: what llama.cpp itself says of it, where its program for that
/// is there. Without it the header's bound does.
Task<void> HostImpl::ask_dry_runs() {
  for (const config::ServerOptions& server : config_.servers) {
    const auto* options = std::get_if<config::LlamaOptions>(&server.kind);
    if (options == nullptr || server.memory_declared) continue;
    const std::string key = footprint_key(server);
    const bool was_measured =
        std::any_of(footprints_.begin(), footprints_.end(),
                    [&](const store::FootprintRow& row) { return row.key == key; });
    const auto program = servers::find_fit_params(*options);
    if (was_measured || !program) continue;
    config::LlamaOptions copy = *options;
    const auto told = co_await servers::dry_run(*program, std::move(copy));
    if (told) dry_runs_.insert_or_assign(key, *told);
    const std::string text =
        told ? fmt::format("a dry run says {} on the host and {} on devices",
                           to_text(told->host.total()), to_text(told->device.total()))
             : told.error().message;
    keep(journal_->step(stamp_now(), "dry_run", server.name, text));
  }
}

// ---- For people ---------------------------------------------------------------------------------

std::vector<KnownFootprint> HostImpl::known_footprints() const {
  std::vector<std::string> keys;
  for (const config::ServerOptions& server : config_.servers)
    keys.push_back(footprint_key(server));
  std::vector<KnownFootprint> known;
  for (const store::FootprintRow& row : footprints_) {
    // A second pool has its raised share under a name of its own; people know the first.
    const auto first = std::find_if(
        core_config_.pools.begin(), core_config_.pools.end(),
        [&](const core::PoolConfig& pool) { return pool.name == row.pool && !pool.again; });
    if (first == core_config_.pools.end() && row.stage == store::Stage::raised) continue;
    known.push_back({.server = row.server,
                     .current = std::find(keys.begin(), keys.end(), row.key) != keys.end(),
                     .pool = row.pool,
                     .stage = std::string(stored_name(row.stage)),
                     .shape = row.shape,
                     .bytes = Bytes{row.bytes}});
  }
  std::sort(known.begin(), known.end(), [](const KnownFootprint& a, const KnownFootprint& b) {
    return std::tie(a.server, a.pool, a.stage, a.shape) <
           std::tie(b.server, b.pool, b.stage, b.shape);
  });
  return known;
}

void HostImpl::forget_footprints(std::optional<ServerId> server) {
  const std::string key = server ? footprint_key(config_.servers[server->value]) : "";
  std::erase_if(footprints_,
                [&](const store::FootprintRow& row) { return key.empty() || row.key == key; });
  store_->put(store::FootprintsForgotten{key}, [](const Status&) {});
  core::Config fresh = complete_config(config_);
  plan_by_preset(fresh, config_, footprints_, dry_runs_);
  for (std::uint32_t i = 0; i < fresh.servers.size(); ++i) {
    if (key.empty() || footprint_key(config_.servers[i]) == key) plan_again(ServerId{i}, fresh);
  }
}

void HostImpl::plan_again(ServerId id, const core::Config& fresh) {
  slots_[id.value]->seen = {};
  post(core::UserAsked{core::UserAsked::What::forget, id, fresh.servers[id.value].footprint,
                       fresh.servers[id.value].source});
}

/// What is planned with was read from a model's file; another file in its place is read anew.
void HostImpl::look_at_model(ServerId id) {
  std::string now = model_file(config_.servers[id.value]);
  if (now.empty() || now == model_files_[id.value]) return;  // its start names a missing one
  model_files_[id.value] = std::move(now);
  core::Config fresh = complete_config(config_);
  plan_by_preset(fresh, config_, footprints_, dry_runs_);
  step("model_changed", id,
       fmt::format("the model of \"{}\" is another file than before, and was read again",
                   server_name(id)));
  plan_again(id, fresh);
}

}  // namespace berth::host
