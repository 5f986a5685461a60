// SPDX-License-Identifier: Apache-2.0
#include "berth/sim/record.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace berth::sim {
namespace {

using Span = std::pair<Duration, Duration>;

/// Returns how long the union of the spans is.
Duration length_of(std::vector<Span> spans) {
  std::sort(spans.begin(), spans.end());
  Duration sum{0};
  Duration end = Duration::min();
  for (const auto& [from, to] : spans) {
    if (to > end) sum += to - std::max(from, end);
    end = std::max(end, to);
  }
  return sum;
}

double share(Duration part, Duration whole) {
  if (whole.count() == 0) return 0;
  return static_cast<double>(part.count()) / static_cast<double>(whole.count());
}

/// The smallest wait that at least this share of all stay within (nearest rank).
Duration quantile(const std::vector<Duration>& sorted, std::size_t per_cent) {
  const std::size_t rank = (sorted.size() * per_cent + 99) / 100;
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

Waits waits_of(std::vector<Duration> waits) {
  std::sort(waits.begin(), waits.end());
  const auto count = static_cast<std::int64_t>(waits.size());
  const Duration sum = std::accumulate(waits.begin(), waits.end(), Duration{0});
  return {count, sum / count, quantile(waits, 50), quantile(waits, 99), waits.back()};
}

}  // namespace

Record::Record(const Workload& workload)
    : workload_(workload), servers_(workload.config.servers.size()) {}

void Record::arrived(JobId job, Duration at, core::ServerClass job_class) {
  jobs_[job] = {.arrived = at, .job_class = job_class};
}

void Record::started(JobId id, ServerId server, Duration at) {
  Job& job = jobs_.at(id);
  job.started = at;
  job.server = server;
  servers_[server.value].has_served = true;
  if (servers_[server.value].running++ == 0) turn_to(server, Doing::working, at);
}

void Record::ended(JobId id, Duration at) {
  const Job& job = jobs_.at(id);
  if (!job.server) return;
  if (--servers_[job.server->value].running == 0) turn_to(*job.server, Doing::idle, at);
  waits_[job.job_class].push_back(*job.started - job.arrived);
  summary_.served += 1;
  summary_.span = std::max(summary_.span, at);
  jobs_.erase(id);
}

void Record::refused(JobId job) {
  jobs_.erase(job);
  summary_.refused += 1;
}

void Record::loading(ServerId server, Duration at) {
  summary_.swaps += 1;
  servers_[server.value].has_served = false;
  turn_to(server, Doing::loading, at);
}

void Record::ready(ServerId server, Duration at) {
  turn_to(server, Doing::idle, at);
}

void Record::stopping(ServerId server, Duration at) {
  if (!servers_[server.value].has_served) summary_.unused += 1;
  turn_to(server, Doing::stopping, at);
}

void Record::gone(ServerId server, Duration at) {
  turn_to(server, std::nullopt, at);
}

void Record::turn_to(ServerId id, std::optional<Doing> doing, Duration at) {
  Server& server = servers_[id.value];
  if (server.open && at > server.open->from) {
    server.open->to = at;
    server.bars.push_back(*server.open);
  }
  server.open.reset();
  if (doing) server.open = Bar{at, at, *doing};
}

double Record::absent() const {
  std::vector<Span> ready;
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    if (workload_.config.servers[i].job_class != core::ServerClass::chat) continue;
    for (const Bar& bar : servers_[i].bars) {
      const bool serves = bar.doing == Doing::working || bar.doing == Doing::idle;
      if (serves && bar.from < summary_.span)
        ready.emplace_back(bar.from, std::min(bar.to, summary_.span));
    }
  }
  return 1 - share(length_of(std::move(ready)), summary_.span);
}

double Record::busy() const {
  std::vector<Span> works;
  std::vector<Span> either;
  for (const Server& server : servers_) {
    for (const Bar& bar : server.bars) {
      if (bar.doing == Doing::idle) continue;
      either.emplace_back(bar.from, bar.to);
      if (bar.doing == Doing::working) works.emplace_back(bar.from, bar.to);
    }
  }
  return share(length_of(std::move(works)), length_of(std::move(either)));
}

Summary Record::sum(std::string policy) {
  for (std::uint32_t i = 0; i < servers_.size(); ++i)
    turn_to(ServerId{i}, std::nullopt, summary_.span);
  summary_.policy = std::move(policy);
  summary_.unserved = static_cast<std::int64_t>(jobs_.size());
  for (auto& [job_class, waits] : waits_)
    summary_.waits[job_class] = waits_of(std::move(waits));
  summary_.busy_share = busy();
  summary_.llm_absent = absent();
  for (Server& server : servers_)
    summary_.bars.push_back(std::move(server.bars));
  return std::move(summary_);
}

}  // namespace berth::sim
