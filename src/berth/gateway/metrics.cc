// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/metrics.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace berth::gateway {
namespace {

using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char each : text) {
    if (each == '\\' || each == '"') out += '\\';
    if (each == '\n') {
      out += "\\n";
    } else {
      out += each;
    }
  }
  return out;
}

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Writes families one after the other; a family's samples stand together.
class Page {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  void gauge(std::string_view name, std::string_view help) { family(name, "gauge", help); }
  void counter(std::string_view name, std::string_view help) { family(name, "counter", help); }

  template <class Number>
  void sample(const Labels& labels, Number value, std::string_view suffix = "") {
    text_ += name_;
    text_ += suffix;
    char before = '{';
    for (const auto& [label, word] : labels) {
      text_ += fmt::format("{}{}=\"{}\"", before, label, escaped(word));
      before = ',';
    }
    if (!labels.empty()) text_ += '}';
    text_ += fmt::format(" {}\n", value);
  }
  /// What is not known has no sample.
  void bytes(const Labels& labels, const std::optional<Bytes>& amount) {
    if (amount) sample(labels, amount->count);
  }

  std::string take() { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

void add_process(Page& page, std::chrono::system_clock::time_point started) {
  page.gauge("berth_build_info", "1, with the version of Berth.");
  page.sample({{"version", BERTH_VERSION}}, 1);
  page.gauge("process_start_time_seconds", "When Berth was started, since the Unix epoch.");
  const auto since = std::chrono::duration<double>(started.time_since_epoch());
  page.sample({}, fmt::format("{:.3f}", since.count()));
}

constexpr std::array<std::string_view, 6> kStates{"absent",   "starting", "ready",
                                                  "stopping", "failed",   "unkillable"};

void add_server_states(Page& page, const host::HostStatus& status) {
  page.gauge("berth_server_state", "1 for the state that the server is in, 0 for the others.");
  for (const host::ServerStatus& server : status.servers) {
    for (const std::string_view state : kStates)
      page.sample({{"server", server.name}, {"state", state}}, server.state == state ? 1 : 0);
  }
  page.gauge("berth_server_displaced", "1 while the server is put out for a rival.");
  for (const host::ServerStatus& server : status.servers)
    page.sample({{"server", server.name}}, server.displaced ? 1 : 0);
  page.gauge("berth_server_pinned", "1 while nobody may put the server out.");
  for (const host::ServerStatus& server : status.servers)
    page.sample({{"server", server.name}}, server.pinned ? 1 : 0);
  page.gauge("berth_server_gate_open", "0 while new requests for the server wait.");
  for (const host::ServerStatus& server : status.servers)
    page.sample({{"server", server.name}}, server.gate_open ? 1 : 0);
}

void add_server_memory(Page& page, const host::HostStatus& status) {
  page.gauge("berth_server_used_bytes", "What the server's processes take in its pools.");
  for (const host::ServerStatus& server : status.servers)
    page.bytes({{"server", server.name}}, server.used);
  page.gauge("berth_server_ram_bytes", "What they take of RAM (Pss).");
  for (const host::ServerStatus& server : status.servers)
    page.bytes({{"server", server.name}}, server.uses.ram);
  page.gauge("berth_server_vram_bytes", "What they take of all configured GPUs.");
  for (const host::ServerStatus& server : status.servers)
    page.bytes({{"server", server.name}}, server.uses.vram);
  page.gauge("berth_server_footprint_bytes", "What is planned with for the server.");
  for (const host::ServerStatus& server : status.servers) {
    page.sample({{"server", server.name}, {"source", server.footprint_source}},
                server.footprint.count);
  }
  page.gauge("berth_server_known_bytes", "The best known footprint of the server.");
  for (const host::ServerStatus& server : status.servers)
    page.sample({{"server", server.name}}, server.known.count);
}

void add_server_work(Page& page, const host::HostStatus& status, const core::State& state) {
  page.gauge("berth_server_jobs", "Jobs of the server that run or wait.");
  for (const host::ServerStatus& server : status.servers) {
    page.sample({{"server", server.name}, {"state", "running"}}, server.running);
    page.sample({{"server", server.name}, {"state", "waiting"}}, server.waiting);
  }
  page.gauge("berth_server_wait_bound_seconds",
             "A request that comes now is served within this; no sample: there is no bound.");
  for (const host::ServerStatus& server : status.servers) {
    if (server.bound) page.sample({{"server", server.name}}, seconds(*server.bound));
  }
  page.gauge("berth_server_swap_seconds",
             "The newest swap to the server: first signal to its victims until it was ready.");
  for (std::size_t i = 0; i < status.servers.size() && i < state.servers.size(); ++i) {
    const std::optional<Duration>& swap = state.servers[i].swap;
    if (swap) page.sample({{"server", status.servers[i].name}}, seconds(*swap));
  }
  page.counter("berth_server_starts_total",
               "Starts of the server since its row was made; it outlives Berth.");
  for (const host::ServerStatus& server : status.servers)
    page.sample({{"server", server.name}}, server.generation.value);
}

void add_pools(Page& page, const host::HostStatus& status) {
  page.gauge("berth_pool_capacity_bytes", "All of the pool.");
  for (const host::PoolStatus& pool : status.pools)
    page.sample({{"pool", pool.name}, {"kind", pool.kind}}, pool.capacity.count);
  page.gauge("berth_pool_limit_bytes", "How much of the pool may be planned with.");
  for (const host::PoolStatus& pool : status.pools)
    page.sample({{"pool", pool.name}}, pool.limit.count);
  page.gauge("berth_pool_free_bytes", "What is free in the newest sample.");
  for (const host::PoolStatus& pool : status.pools)
    page.bytes({{"pool", pool.name}}, pool.free);
  page.gauge("berth_pool_promised_bytes", "What is promised to servers and leases.");
  for (const host::PoolStatus& pool : status.pools)
    page.sample({{"pool", pool.name}}, pool.promised.count);
  page.gauge("berth_pool_foreign_bytes",
             "What others use; no sample: unknown, or they do not count.");
  for (const host::PoolStatus& pool : status.pools)
    page.bytes({{"pool", pool.name}}, pool.foreign);
  page.gauge("berth_pool_utilisation_ratio", "How busy the pool's GPU is, 0 to 1.");
  for (const host::PoolStatus& pool : status.pools) {
    if (pool.utilisation) page.sample({{"pool", pool.name}}, *pool.utilisation / 100.0);
  }
}

void add_places(Page& page, const host::HostStatus& status) {
  page.gauge("berth_leases", "Leases and holds.");
  for (const std::string_view kind : {"lease", "hold"}) {
    for (const std::string_view state : {"waiting", "granted", "releasing"}) {
      std::size_t count = 0;
      for (const host::LeaseStatus& lease : status.leases)
        count += lease.kind == kind && lease.state == state ? 1 : 0;
      page.sample({{"kind", kind}, {"state", state}}, count);
    }
  }
  page.gauge("berth_probe_up", "1 if the machine's memory can be read.");
  page.sample({}, status.probe.state == "ok" ? 1 : 0);
}

void add_waits(Page& page, const std::string& server, const host::WaitCounts& waits) {
  for (std::size_t i = 0; i < host::WaitCounts::kBounds.size(); ++i) {
    const std::string bound = fmt::format("{}", seconds(host::WaitCounts::kBounds[i]));
    page.sample({{"server", server}, {"le", bound}}, waits.within[i], "_bucket");
  }
  page.sample({{"server", server}, {"le", "+Inf"}}, waits.count, "_bucket");
  page.sample({{"server", server}}, seconds(waits.sum), "_sum");
  page.sample({{"server", server}}, waits.count, "_count");
}

void add_counters(Page& page, const host::HostStatus& status, const host::Counters& counters) {
  const host::ServerCounts nothing;
  const auto of = [&](const std::string& name) -> const host::ServerCounts& {
    const auto found = counters.servers.find(name);
    return found == counters.servers.end() ? nothing : found->second;
  };
  page.counter("berth_server_displacements_total", "How often the server was put out for a rival.");
  for (const host::ServerStatus& server : status.servers)
    page.sample({{"server", server.name}}, of(server.name).displacements);
  page.counter("berth_jobs_total", "Requests that are over, by how they ended.");
  for (const host::ServerStatus& server : status.servers) {
    for (const auto& [how, count] : of(server.name).jobs)
      page.sample({{"server", server.name}, {"how", how}}, count);
  }
  page.family("berth_job_wait_seconds", "histogram",
              "How long requests that ran had waited for their server.");
  for (const host::ServerStatus& server : status.servers)
    add_waits(page, server.name, of(server.name).waits);
  page.counter("berth_decisions_total", "Decisions, by their name.");
  for (const auto& [decision, count] : counters.decisions)
    page.sample({{"decision", decision}}, count);
}

}  // namespace

std::string metrics_text(const host::HostStatus& status, const core::State& state,
                         const host::Counters& counters,
                         std::chrono::system_clock::time_point started) {
  Page page;
  add_process(page, started);
  add_server_states(page, status);
  add_server_memory(page, status);
  add_server_work(page, status, state);
  add_pools(page, status);
  add_places(page, status);
  add_counters(page, status, counters);
  return page.take();
}

Task<void> serve_metrics(Call call) {
  co_await call.host().refresh();
  http::Response reply;
  reply.status = 200;
  reply.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  reply.body = metrics_text(call.host().status(), call.host().state(), call.host().counters(),
                            call.context->started_wall);
  static_cast<void>(co_await call.exchange.respond(std::move(reply)));
}

}  // namespace berth::gateway
