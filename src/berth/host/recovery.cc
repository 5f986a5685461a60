// SPDX-License-Identifier: Apache-2.0
// Coming up and going down: state directory, store, what is found alive, and the end.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "berth/host/freed_footprints.h"
#include "berth/host/host_impl.h"
#include "berth/host/known_footprints.h"
#include "berth/host/world.h"
#include "berth/servers/failpoint.h"
#include "berth/servers/llama_server.h"
#include "berth/servers/sd_server.h"

namespace berth::host {
namespace {

/// A picture whose client is gone is awaited this long where no job_limit is configured.
constexpr Duration kPictureLimit = 30min;
/// Old logs of a server that are kept.
constexpr int kDirectoriesKept = 10;
constexpr Duration kKeeperDeadline = 5s;

Status make_private_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || ::chmod(path.c_str(), 0700) != 0) {
    return fail(ErrorCode::io, fmt::format("cannot make the directory {}: {}", path,
                                           error ? error.message() : strerror(errno)));
  }
  return {};
}

std::string saved_directory(const std::string& state_dir, const std::string& name) {
  return fmt::format("{}/saved/{}", state_dir, name);
}

}  // namespace

Task<Result<std::unique_ptr<Host>>> Host::start(Executor executor, config::Config config) {
  auto host = std::make_unique<HostImpl>(std::move(executor), std::move(config));
  auto opened = co_await host->open();
  if (!opened) co_return fail(opened.error());
  std::unique_ptr<Host> out = std::move(host);
  co_return out;
}

Status HostImpl::make_directories() {
  std::vector<std::string> paths = {config_.state_dir, places_root(), config_.state_dir + "/run",
                                    config_.state_dir + "/saved", config_.state_dir + "/images"};
  for (const core::ServerConfig& server : core_config_.servers) {
    paths.push_back(saved_directory(config_.state_dir, server.name));
  }
  for (const std::string& path : paths) {
    const Status made = make_private_directory(path);
    if (!made) return made;
  }
  return {};
}

void HostImpl::make_adapters() {
  const auto help = std::make_shared<servers::HelpCache>();
  for (std::uint32_t i = 0; i < core_config_.servers.size(); ++i) {
    const core::ServerConfig& server = core_config_.servers[i];
    const servers::Places places{.servers_root = places_root(),
                                 .run_dir = config_.state_dir + "/run",
                                 .saved_dir = saved_directory(config_.state_dir, server.name),
                                 .alive_lock = config_.state_dir + "/alive.lock",
                                 .orphan_timeout = config_.orphan_timeout};
    auto slot = std::make_unique<Slot>();
    if (const auto* llama = std::get_if<config::LlamaOptions>(&config_.servers[i].kind)) {
      slot->adapter = std::make_unique<servers::LlamaServer>(server.name, *llama, places, help);
    } else {
      slot->adapter = std::make_unique<servers::SdServer>(
          server.name, std::get<config::SdOptions>(config_.servers[i].kind), places, help,
          server.job_limit.value_or(kPictureLimit));
    }
    const ServerId id{i};
    slot->adapter->on_step = [this, id](std::string_view name, std::string text) {
      adapter_step(id, name, std::move(text));
    };
    slot->adapter->on_progress = [this, id](servers::Progress progress) {
      images_->on_progress(id, progress);
      keep(journal_->progress(stamp_now(), server_name(id), progress));
    };
    slot->adapter->on_exit = [this, id](Generation generation, servers::Ending ending) {
      using Fact = core::ServerChanged::Fact;
      const Fact fact = ending.out_of_memory ? Fact::out_of_memory : Fact::exited;
      post(core::ServerChanged{id, generation, fact, std::move(ending.how)});
    };
    slot->adapter->on_must_end = [this, id](Generation generation, std::string why) {
      using Fact = core::ServerChanged::Fact;
      post(core::ServerChanged{id, generation, Fact::unresponsive, std::move(why)});
    };
    slots_.push_back(std::move(slot));
  }
}

Task<Status> HostImpl::open() {
  const Status made = make_directories();
  if (!made) co_return made;
  auto lock = process::AliveLock::acquire(config_.state_dir + "/alive.lock");
  if (!lock) co_return fail(lock.error());
  alive_.emplace(std::move(*lock));
  auto pools = co_await find_pools();
  if (!pools) co_return pools;
  const Status devices = take_devices();
  if (!devices) co_return devices;
  auto store = store::Store::open(config_.state_dir + "/berth.db");
  if (!store) co_return fail(store.error());
  auto rows = store->rows();
  if (!rows) co_return fail(rows.error());
  const auto holds = store->holds();
  if (!holds) co_return fail(holds.error());
  const auto image_jobs = store->image_jobs();
  if (!image_jobs) co_return fail(image_jobs.error());
  auto footprints = store->footprints();
  if (!footprints) co_return fail(footprints.error());
  footprints_ = std::move(*footprints);
  store_ = std::make_unique<store::StoreThread>(std::move(*store));
  auto journal = Journal::open(config_.state_dir + "/journal.jsonl");
  if (!journal) co_return fail(journal.error());
  journal_ = std::move(*journal);
  for (const config::ServerOptions& server : config_.servers)
    model_files_.push_back(model_file(server));
  co_await ask_dry_runs();
  plan_by_preset(core_config_, config_, footprints_, dry_runs_);
  plan_freed(core_config_, config_, footprints_);
  make_adapters();
  open_images(*image_jobs);

  servers::failpoint("recovery_begun");
  auto found = co_await find_servers(*rows);
  if (!found) co_return fail(found.error());
  servers::failpoint("recovery_found");
  core::Recovered world{
      .config = core_config_, .rows = {}, .found = std::move(*found), .holds = {}};
  const Journal::Stamp now = stamp_now();
  for (const store::HoldRow& row : *holds) {
    if (auto hold = recover_hold(row, now)) world.holds.push_back(std::move(*hold));
  }
  for (const core::FoundServer& each : world.found) {
    if (auto job = recover_images(each.server)) world.holds.push_back(std::move(*job));
  }
  images_->end_recovery();
  for (const store::ServerRow& row : *rows) {
    const auto id = find_server(core_config_, row.name);
    if (!id) continue;  // no longer configured
    world.rows.push_back(to_core(row, core_config_, now));
    slots_[id->value]->recorded_displaced = row.displaced.has_value();
  }
  recovering_ = true;
  post(std::move(world));
  co_return Status{};
}

bool HostImpl::is_settled() const {
  const auto& servers = state().servers;  // behind ours: the places of leases and holds
  const auto end = servers.begin() + static_cast<std::ptrdiff_t>(slots_.size());
  return std::none_of(servers.begin(), end, [](const core::Server& server) {
    const bool owed = server.displaced && server.displaced->after == core::After::restore;
    const bool starts =
        server.wanted == core::Wanted::on && server.state == core::ServerState::absent;
    return server.move || !server.commits.empty() || server.retiring || owed || starts;
  });
}

/// For tests that kill Berth while it recovers.
void HostImpl::recovery_failpoint(std::string_view step) const {
  if (recovering_) servers::failpoint(step);
}

/// Takes over what is alive. Of two keepers for one server the newest stays, and nothing survives
/// that no configured server owns.
Task<Result<std::vector<core::FoundServer>>> HostImpl::find_servers(
    std::vector<store::ServerRow> rows) {
  std::vector<core::FoundServer> out;
  auto scanned = process::scan(places_root());
  if (!scanned) co_return fail(scanned.error());
  std::map<std::uint32_t, process::FoundDirectory> newest;
  std::vector<process::FoundDirectory> strangers;
  for (process::FoundDirectory& each : *scanned) {
    // Whoever runs there may hold the memory of this machine, and cannot be signalled.
    if (each.is_mystery()) {
      co_return fail(each.unreadable->code,
                     fmt::format("a server runs in {} that this Berth cannot manage: {}; end the "
                                 "program `berth-keeper {}`, its server ends with it",
                                 each.directory, each.unreadable->message, each.directory));
    }
    const auto id = find_server(core_config_, each.server);
    const bool starting = each.keeper_alive && !each.identity && !each.exit;
    if (!id || (!each.alive && !starting)) {
      if (each.session_members > 0) strangers.push_back(each);
      continue;
    }
    const auto older = newest.find(id->value);
    if (older != newest.end()) strangers.push_back(older->second);
    newest.insert_or_assign(id->value, each);
  }
  co_await put_out_strangers(std::move(strangers));
  read_launch_specs(rows);
  for (const auto& [index, directory] : newest) {
    Slot& slot = *slots_[index];
    auto adopted = co_await slot.adapter->adopt(directory.generation, slot.launch);
    if (!adopted && adopted.error().code == ErrorCode::not_found) continue;
    note_session(ServerId{index}, directory.generation);
    slot.freed = adopted.has_value() && core_config_.servers[index].freed &&
                 slot.adapter->can_free_models() && !slot.adapter->names_expected_work();
    out.push_back({ServerId{index}, directory.generation, adopted.has_value(), slot.freed});
  }
  for (const core::ServerConfig& server : core_config_.servers) {
    static_cast<void>(
        process::remove_old_directories(places_root(), server.name, kDirectoriesKept));
  }
  co_return out;
}

void HostImpl::read_launch_specs(const std::vector<store::ServerRow>& rows) {
  for (const store::ServerRow& row : rows) {
    const auto id = find_server(core_config_, row.name);
    if (!id) continue;
    Slot& slot = *slots_[id->value];
    slot.launch_generation = Generation{row.generation};
    auto launch = process::launch_spec_from_json(row.launch_spec);
    if (launch) slot.launch = *launch;
  }
}

Task<void> HostImpl::put_out_strangers(std::vector<process::FoundDirectory> found) {
  for (const process::FoundDirectory& each : found) {
    static_cast<void>(process::signal_session(each.directory, SIGKILL));
    if (each.identity) {
      static_cast<void>(co_await process::end_keeper(*each.identity, kKeeperDeadline));
    }
    keep(journal_->step(stamp_now(), "stranger_stopped", each.server,
                        fmt::format("generation {} of \"{}\" was found alive and is not wanted",
                                    each.generation.value, each.server)));
  }
}

// ---- Going down ---------------------------------------------------------------------------------

Task<void> HostImpl::shut_down() {
  going_down_ = true;
  for (const auto& [id, job] : jobs_) {
    if (!job->over) forget_hold(*job);
    turn_away(*job);
    job->cut.set();
  }
  std::vector<std::unique_ptr<Event>> ends;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    ends.push_back(std::make_unique<Event>());
    spawn(executor_, stop_for_good(ServerId{i}, ends.back().get()));
  }
  for (const auto& end : ends) {
    co_await end->wait();
  }
}

/// Whoever goes down in order may change the configuration meanwhile: it holds from the next start
/// on, also for a server that is owed.
Task<void> HostImpl::forget_launch(ServerId server) {
  const core::Server& known = state().server(server);
  if (!known.displaced) co_return;
  core::Row row{.server = server,
                .wanted = known.wanted,
                .generation = known.generation,
                .displaced = known.displaced,
                .skip_next_restore = known.skip_next_restore};
  static_cast<void>(co_await store_row(std::move(row), ""));  // else the old one holds
}

Task<void> HostImpl::stop_for_good(ServerId server, Event* done) {
  Slot& slot = *slots_[server.value];
  if (slot.abort != nullptr) slot.abort->set();
  while (slot.moving) {
    co_await slot.moved.wait();
  }
  slot.moving = true;
  const core::ServerConfig& config = core_config_.servers[server.value];
  static_cast<void>(co_await slot.adapter->stop(/*keep=*/true, config.stop_deadline));
  process::Process* process = slot.adapter->process();
  if (process != nullptr) {
    static_cast<void>(process->signal_session(SIGKILL));
    static_cast<void>(co_await process::end_keeper(process->identity(), kKeeperDeadline));
  }
  co_await forget_launch(server);
  done->set();
}

}  // namespace berth::host
