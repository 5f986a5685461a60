// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/status_json.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include <boost/json.hpp>

namespace berth::gateway {
namespace {

boost::json::value bytes(const std::optional<Bytes>& amount) {
  if (!amount) return nullptr;
  return amount->count;
}

/// Of the object of a server, or of a process of others.
void add_usage(boost::json::object& object, const host::Usage& usage) {
  object["ram_bytes"] = bytes(usage.ram);
  object["vram_bytes"] = bytes(usage.vram);
  object["cpu_percent"] = nullptr;
  if (usage.cpu_percent) object["cpu_percent"] = *usage.cpu_percent;
}

boost::json::object server_object(const host::ServerStatus& server) {
  boost::json::object object;
  object["name"] = server.name;
  object["kind"] = server.kind;
  object["state"] = server.state;
  object["wanted"] = server.wanted;
  object["displaced"] = server.displaced;
  object["pinned"] = server.pinned;
  object["displaced_by"] = server.displaced_by;
  object["displaced_for_ms"] = nullptr;
  if (server.displaced_for) object["displaced_for_ms"] = milliseconds(*server.displaced_for);
  object["gate_open"] = server.gate_open;
  object["generation"] = server.generation.value;
  object["pid"] = nullptr;
  if (server.pid) object["pid"] = *server.pid;
  object["used_bytes"] = bytes(server.used);
  add_usage(object, server.uses);
  object["footprint_bytes"] = server.footprint.count;
  boost::json::object shares;
  for (const host::NamedShare& share : server.footprint_shares)
    shares[share.pool] = share.bytes.count;
  object["footprint"] = std::move(shares);
  object["footprint_source"] = server.footprint_source;
  object["known_bytes"] = server.known.count;
  object["running"] = server.running;
  object["waiting"] = server.waiting;
  object["bound_ms"] = nullptr;
  if (server.bound) object["bound_ms"] = milliseconds(*server.bound);
  object["no_bound_because"] = server.no_bound_because;
  object["front_port"] = server.front_port;
  object["state_note"] = server.state_note;
  object["failure"] = server.failure;
  return object;
}

template <class T>
boost::json::value given(const std::optional<T>& value) {
  return value ? boost::json::value(*value) : boost::json::value(nullptr);
}

void add_options(boost::json::object& object, const config::LlamaOptions& llama) {
  object["model"] = llama.model;
  object["threads"] = given(llama.threads);
  object["gpu_layers"] = given(llama.gpu_layers);
  object["context_size"] = llama.context;
  object["parallel"] = llama.parallel;
  object["flash_attention"] = llama.flash_attention.value_or("");
}

void add_options(boost::json::object& object, const config::SdOptions& sd) {
  object["model"] = sd.model;
  object["threads"] = given(sd.threads);
}

/// What the configuration says; extra_args may hold secrets and are not told.
boost::json::object config_object(const config::ServerOptions& options) {
  boost::json::object object;
  std::visit([&](const auto& kind) { add_options(object, kind); }, options.kind);
  object["port"] = options.front_port.value_or(0);
  return object;
}

/// What the host tells, and what its configuration and the core know beside that.
boost::json::object whole_server(const Context& context, const host::HostStatus& status,
                                 std::size_t place) {
  boost::json::object object = server_object(status.servers.at(place));
  const auto& displaced = context.host.state().servers.at(place).displaced;
  object["comes_back"] = !displaced || displaced->after == core::After::restore;
  object["config"] = config_object(context.host.config().servers.at(place));
  return object;
}

boost::json::object pool_object(const host::PoolStatus& pool) {
  boost::json::object object;
  object["name"] = pool.name;
  object["kind"] = pool.kind;
  object["capacity_bytes"] = pool.capacity.count;
  object["limit_bytes"] = pool.limit.count;
  object["free_bytes"] = bytes(pool.free);
  object["promised_bytes"] = pool.promised.count;
  object["foreign_bytes"] = bytes(pool.foreign);
  object["foreign_inferred"] = pool.foreign_inferred;
  object["device"] = pool.device;
  object["utilisation_percent"] = nullptr;
  if (pool.utilisation) object["utilisation_percent"] = *pool.utilisation;
  return object;
}

boost::json::object foreign_object(const host::ForeignStatus& process) {
  boost::json::object object;
  object["pid"] = process.pid;
  object["program"] = process.program;
  add_usage(object, process.uses);
  return object;
}

boost::json::object bytes_object(const std::vector<host::NamedShare>& shares) {
  boost::json::object object;
  for (const host::NamedShare& share : shares)
    object[share.pool] = share.bytes.count;
  return object;
}

boost::json::array processes_array(const std::vector<core::Holder>& holders) {
  boost::json::array processes;
  for (const core::Holder& holder : holders) {
    Bytes held;
    for (const core::PoolShare& share : holder.bytes.shares)
      held += share.bytes;
    processes.push_back({{"pid", holder.pid}, {"program", holder.program}, {"bytes", held.count}});
  }
  return processes;
}

boost::json::object lease_object(const host::LeaseStatus& lease) {
  boost::json::object object;
  object["job"] = lease.job.value;
  object["kind"] = lease.kind;
  object["state"] = lease.state;
  object["holder"] = lease.holder;
  object["bytes"] = bytes_object(lease.bytes);
  object["servers"] = boost::json::array(lease.servers.begin(), lease.servers.end());
  object["exclusive"] = lease.exclusive;
  object["since_ms"] = milliseconds(lease.since);
  object["limit_ms"] = nullptr;
  if (lease.limit) object["limit_ms"] = milliseconds(*lease.limit);
  object["seen_bytes"] = bytes(lease.seen);
  object["processes"] = processes_array(lease.processes);
  return object;
}

boost::json::object waiting_object(const host::WaitingStatus& waiting) {
  boost::json::object object;
  object["job"] = waiting.job.value;
  object["server"] = waiting.server;
  object["place"] = waiting.place;
  object["waited_ms"] = milliseconds(waiting.waited);
  object["eta_ms"] = nullptr;
  if (waiting.eta) object["eta_ms"] = milliseconds(*waiting.eta);
  object["guess"] = waiting.is_guess;
  object["waits_for"] = waiting.waits_for;
  return object;
}

boost::json::array waiting_array(const std::vector<host::WaitingStatus>& waiting) {
  boost::json::array array;
  for (const host::WaitingStatus& each : waiting)
    array.push_back(waiting_object(each));
  return array;
}

boost::json::object past_wait_object(const host::PastWait& wait) {
  return {{"job", wait.job.value},
          {"server", wait.server},
          {"eta_ms", milliseconds(wait.foretold.eta)},
          {"guess", wait.foretold.is_guess},
          {"waited_ms", milliseconds(wait.waited)},
          {"how", wait.how}};
}

boost::json::array leases_array(const host::HostStatus& status) {
  boost::json::array leases;
  for (const host::LeaseStatus& lease : status.leases)
    leases.push_back(lease_object(lease));
  return leases;
}

boost::json::array front_ports(const host::HostStatus& status) {
  boost::json::array ports;
  for (const host::ServerStatus& server : status.servers) {
    if (server.front_port == 0) continue;
    boost::json::object port;
    port["server"] = server.name;
    port["port"] = server.front_port;
    ports.push_back(std::move(port));
  }
  return ports;
}

}  // namespace

std::string status_json(const Context& context, const host::HostStatus& status) {
  boost::json::object object;
  object["version"] = BERTH_VERSION;
  object["pid"] = static_cast<std::int64_t>(getpid());
  object["state_dir"] = context.host.config().state_dir;
  object["address"] = context.address;
  object["front_ports"] = front_ports(status);
  object["uptime_ms"] = milliseconds(std::chrono::steady_clock::now() - context.started);
  boost::json::array servers;
  for (std::size_t i = 0; i < status.servers.size(); ++i)
    servers.push_back(whole_server(context, status, i));
  object["servers"] = std::move(servers);
  boost::json::array pools;
  for (const host::PoolStatus& pool : status.pools)
    pools.push_back(pool_object(pool));
  object["pools"] = std::move(pools);
  object["leases"] = leases_array(status);
  boost::json::array foreign;
  for (const host::ForeignStatus& process : status.foreign)
    foreign.push_back(foreign_object(process));
  object["foreign"] = std::move(foreign);
  object["probe"] = {{"state", status.probe.state}, {"detail", status.probe.detail}};
  object["waiting"] = waiting_array(status.waiting);
  return boost::json::serialize(object);
}

std::string waiting_json(const std::vector<host::WaitingStatus>& waiting) {
  return boost::json::serialize(waiting_array(waiting));
}

std::string waits_json(const std::deque<host::PastWait>& waits, std::size_t limit) {
  boost::json::array array;
  std::vector<std::int64_t> off;
  for (std::size_t i = waits.size() - std::min(limit, waits.size()); i < waits.size(); ++i) {
    array.push_back(past_wait_object(waits[i]));
    if (waits[i].how == "ran")
      off.push_back(milliseconds(std::chrono::abs(waits[i].waited - waits[i].foretold.eta)));
  }
  boost::json::object object{{"waits", std::move(array)}, {"median_error_ms", nullptr}};
  const auto middle = off.begin() + static_cast<std::ptrdiff_t>(off.size() / 2);
  std::nth_element(off.begin(), middle, off.end());
  if (!off.empty()) object["median_error_ms"] = *middle;
  return boost::json::serialize(object);
}

std::string leases_json(const host::HostStatus& status) {
  boost::json::object object;
  object["leases"] = leases_array(status);
  return boost::json::serialize(object);
}

std::string server_json(const Context& context, const host::HostStatus& status, ServerId server) {
  return boost::json::serialize(whole_server(context, status, server.value));
}

}  // namespace berth::gateway
