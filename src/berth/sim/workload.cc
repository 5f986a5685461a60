// SPDX-License-Identifier: Apache-2.0
#include "berth/sim/workload.h"

#include "berth/base/assert.h"

namespace berth::sim {

Clients::Clients(const Workload& workload) : workload_(workload) {
  for (std::size_t i = 0; i < workload.loops.size(); ++i)
    ask_later({i, 0}, workload.loops[i].from);
}

void Clients::ask_later(Place place, Duration at) {
  const Loop& loop = workload_.loops[place.loop];
  if (loop.turns.empty() || at >= loop.until) return;
  next_.emplace(std::pair(at, place.loop), place);
}

std::optional<Duration> Clients::next_at() const {
  std::optional<Duration> at;
  if (next_open_ < workload_.open.size()) at = workload_.open[next_open_].at;
  if (!next_.empty() && (!at || next_.begin()->first.first < *at)) at = next_.begin()->first.first;
  return at;
}

Clients::Request Clients::take() {
  const JobId job{++last_job_};
  const auto at = next_at();
  BERTH_ASSERT(at.has_value());
  if (next_open_ < workload_.open.size() && workload_.open[next_open_].at == *at) {
    return {job, *at, workload_.open[next_open_++].task};
  }
  const Place place = next_.extract(next_.begin()).mapped();
  asked_.emplace(job, place);
  return {job, *at, workload_.loops[place.loop].turns[place.turn].task};
}

void Clients::over(JobId job, Duration at) {
  const auto found = asked_.find(job);
  if (found == asked_.end()) return;
  const Place place = found->second;
  asked_.erase(found);
  const std::vector<Loop::Turn>& turns = workload_.loops[place.loop].turns;
  ask_later({place.loop, (place.turn + 1) % turns.size()}, at + turns[place.turn].think);
}

}  // namespace berth::sim
