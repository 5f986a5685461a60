// SPDX-License-Identifier: Apache-2.0
// How long the core takes for one event when 1,000 jobs wait for 100 servers that share one pool.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include "berth/base/rng.h"
#include "berth/core/scheduler.h"

namespace berth::core {
namespace {

constexpr std::uint32_t kServers = 100;
constexpr std::size_t kWaiting = 1000;
constexpr int kRounds = 20'000;
constexpr Bytes kCapacity = 100_GiB;
constexpr PoolId kPool{0};

Config make_config() {
  Config config;
  config.pools.push_back({.name = "gpu0", .capacity = kCapacity});
  for (std::uint32_t i = 0; i < kServers; ++i) {
    ServerConfig server{.name = "server", .job_class = static_cast<ServerClass>(i % 4)};
    server.footprint = {{{kPool, 8_GiB + Bytes{i * Bytes{1_MiB}.count}}}};
    config.servers.push_back(std::move(server));
  }
  return config;
}

/// Obedient servers: a row takes 1 ms, a move 1 s, a job 2 s.
class Load {
 public:
  void feed(const Event& event) {
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<Action> actions = scheduler_.apply(now_, event);
    const auto end = std::chrono::steady_clock::now();
    if (waiting_ >= kWaiting - 1) {
      took_.push_back(std::chrono::duration<double, std::micro>(end - begin).count());
    }
    for (const Action& action : actions)
      std::visit([this](const auto& a) { take(a); }, action);
  }

  void run() {
    feed(Recovered{make_config(), {}, {}});
    for (int round = 0; round < kRounds; ++round) {
      while (waiting_ < kWaiting) {
        const ServerId server{static_cast<std::uint32_t>(rng_.below(kServers))};
        ++waiting_;
        feed(JobArrived{.job = JobId{++last_job_},
                        .server = server,
                        .job_class = static_cast<ServerClass>(server.value % 4)});
      }
      const auto next = std::min_element(
          due_.begin(), due_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      const auto [at, event] = *next;
      due_.erase(next);
      now_ = std::max(now_, at);
      feed(event);
    }
    std::sort(took_.begin(), took_.end());
  }

  [[nodiscard]] double percentile(std::size_t per_cent) const {
    return took_[(took_.size() - 1) * per_cent / 100];
  }
  [[nodiscard]] std::size_t events() const { return took_.size(); }

 private:
  void take(const Commit& a) { due_.emplace_back(now_ + 1ms, EffectEnded{a.effect, {}}); }
  void take(const MoveTo& a) { due_.emplace_back(now_ + 1s, EffectEnded{a.effect, {}}); }
  void take(const Dispatch& a) {
    --waiting_;
    due_.emplace_back(now_ + 2s, JobEnded{a.job, JobEnd::done});
  }
  void take(const Measure& a) {
    Measured sample{.effect = a.effect};
    Bytes free = kCapacity;
    const auto& servers = scheduler_.state().servers;
    for (std::uint32_t i = 0; i < servers.size(); ++i) {
      const bool up =
          servers[i].state == ServerState::ready || servers[i].state == ServerState::starting;
      if (!up) continue;
      const Footprint& bytes = servers[i].config.footprint;
      sample.holders.push_back({1, "server", ServerId{i}, servers[i].generation, bytes});
      free -= bytes.in(kPool);
    }
    sample.pools.push_back({kPool, kCapacity, free, {}});
    due_.emplace_back(now_ + 1ms, std::move(sample));
  }
  void take(const SetTimer& a) { due_.emplace_back(a.at, TimerFired{a.timer}); }
  void take(const Reject&) { --waiting_; }
  void take(const Cancel&) {}
  void take(const Announce&) {}

  Scheduler scheduler_;
  Instant now_{1h};
  Rng rng_{1};
  std::vector<std::pair<Instant, Event>> due_;
  std::vector<double> took_;
  std::size_t waiting_ = 0;
  std::uint64_t last_job_ = 0;
};

}  // namespace
}  // namespace berth::core

int main() {
  berth::core::Load load;
  load.run();
  std::printf(
      "apply, %zu jobs waiting for %u servers: %zu events, p50 %.1f us, p99 %.1f us, "
      "max %.1f us\n",
      berth::core::kWaiting, berth::core::kServers, load.events(), load.percentile(50),
      load.percentile(99), load.percentile(100));
  return 0;
}
