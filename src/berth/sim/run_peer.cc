// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "berth/core/admission.h"
#include "berth/sim/policies.h"

namespace berth::sim {
namespace {

constexpr std::string_view kPeerNames[] = {"fifo", "affinity", "broker"};
/// Source: gpu-broker 0.5.0, default of idle_restore_s.
constexpr Duration kBrokerIdleRestore = 120s;

enum class Place : std::uint8_t { absent, loading, ready, stopping };

struct Queued {
  JobId job;
  Task task;
};

struct Model {
  Place place = Place::absent;
  std::vector<Queued> queue;
  std::int32_t running = 0;
  Duration idle_since{0};
};

/// Who comes, who goes for it.
struct Swap {
  std::uint32_t newcomer = 0;
  std::vector<std::uint32_t> victims;
  bool has_begun = false;
};

/// The one machine of all three models; they differ in may_start(), next_newcomer() and
/// may_leave().
class PeerRun {
 public:
  PeerRun(const Workload& workload, Peer peer)
      : workload_(workload),
        peer_(peer),
        clients_(workload),
        record_(workload),
        models_(workload.config.servers.size()) {}

  Summary run();

 private:
  enum class Kind : std::uint8_t { job_ended, moved, timer };
  struct Due {
    Kind kind = Kind::timer;
    std::uint32_t server = 0;
    JobId job{};
  };

  void push(Duration at, Due due) { dues_.emplace(std::pair(at, ++order_), due); }
  void happen(const Due& due);
  void moved(std::uint32_t id);
  void ask();
  void settle();
  bool start_jobs();
  bool plan_swap();
  bool begin_swap();
  void load(std::uint32_t id);
  [[nodiscard]] bool may_start(std::uint32_t id) const;
  [[nodiscard]] std::optional<std::uint32_t> next_newcomer();
  [[nodiscard]] std::optional<std::uint32_t> restored();
  [[nodiscard]] bool may_leave(std::uint32_t id) const;
  [[nodiscard]] std::optional<std::vector<std::uint32_t>> victims_for(std::uint32_t id) const;
  [[nodiscard]] bool fits(std::uint32_t id, const std::vector<std::uint32_t>& without) const;
  [[nodiscard]] std::optional<std::uint32_t> oldest() const;
  [[nodiscard]] bool all_idle() const;

  const Workload& workload_;
  Peer peer_;
  Clients clients_;
  Record record_;
  std::vector<Model> models_;
  std::optional<Swap> swap_;
  std::map<std::pair<Duration, std::uint64_t>, Due> dues_;
  std::uint64_t order_ = 0;
  Duration now_{0};
  std::int64_t steps_ = 0;
  std::int64_t open_ = 0;
};

// ---- The rules ----------------------------------------------------------------------------------

/// The server of the job that has waited longest.
std::optional<std::uint32_t> PeerRun::oldest() const {
  std::optional<std::uint32_t> best;
  for (std::uint32_t i = 0; i < models_.size(); ++i) {
    const std::vector<Queued>& queue = models_[i].queue;
    if (queue.empty()) continue;
    if (!best || queue.front().job < models_[*best].queue.front().job) best = i;
  }
  return best;
}

bool PeerRun::may_start(std::uint32_t id) const {
  switch (peer_) {
    case Peer::fifo:
      return oldest() == id;
    case Peer::affinity:
      return true;
    case Peer::broker:
      return !swap_ ||
             std::find(swap_->victims.begin(), swap_->victims.end(), id) == swap_->victims.end();
  }
  return true;
}

/// May it be chosen as a victim? Whoever still works then is drained first.
bool PeerRun::may_leave(std::uint32_t id) const {
  const Model& model = models_[id];
  if (model.place != Place::ready) return false;
  switch (peer_) {
    case Peer::fifo:
      return true;
    case Peer::affinity:
      return model.queue.empty() && model.running == 0;
    case Peer::broker:
      return model.queue.empty();
  }
  return true;
}

std::optional<std::uint32_t> PeerRun::next_newcomer() {
  if (peer_ == Peer::fifo) {
    const auto first = oldest();
    return first && models_[*first].place == Place::absent ? first : std::nullopt;
  }
  std::optional<std::uint32_t> best;
  const auto comes_before = [&](std::uint32_t a, std::uint32_t b) {
    const auto chats = [&](std::uint32_t id) {
      return peer_ == Peer::broker &&
             models_[id].queue.front().task.job_class == core::ServerClass::chat;
    };
    if (chats(a) != chats(b)) return chats(a);
    return models_[a].queue.front().job < models_[b].queue.front().job;
  };
  for (std::uint32_t i = 0; i < models_.size(); ++i) {
    if (models_[i].place != Place::absent || models_[i].queue.empty()) continue;
    if (!victims_for(i)) continue;
    if (!best || comes_before(i, *best)) best = i;
  }
  return best ? best : restored();
}

bool PeerRun::all_idle() const {
  return std::all_of(models_.begin(), models_.end(),
                     [](const Model& model) { return model.queue.empty() && model.running == 0; });
}

/// What is wanted on comes at the start; again, with the broker alone, when all have been idle.
std::optional<std::uint32_t> PeerRun::restored() {
  if (peer_ != Peer::broker || !all_idle()) return std::nullopt;
  Duration since{0};
  for (const Model& model : models_)
    since = std::max(since, model.idle_since);
  for (std::uint32_t i = 0; i < models_.size(); ++i) {
    const bool on = workload_.config.servers[i].wanted == core::Wanted::on;
    if (!on || models_[i].place != Place::absent) continue;
    if (since + kBrokerIdleRestore <= now_) return i;
    push(since + kBrokerIdleRestore, {.kind = Kind::timer});
    return std::nullopt;
  }
  return std::nullopt;
}

// ---- The machine --------------------------------------------------------------------------------

bool PeerRun::fits(std::uint32_t id, const std::vector<std::uint32_t>& without) const {
  const core::Config& config = workload_.config;
  for (const core::PoolShare& share : config.servers[id].footprint.shares) {
    Bytes others;
    for (std::uint32_t i = 0; i < models_.size(); ++i) {
      const bool leaves = std::find(without.begin(), without.end(), i) != without.end();
      if (i == id || leaves || models_[i].place == Place::absent) continue;
      others += config.servers[i].footprint.in(share.pool);
    }
    const core::PoolConfig& pool = config.pools[share.pool.value];
    const core::AdmissionInput input{.need = share.bytes,
                                     .others = others,
                                     .reserve = pool.reserve,
                                     .capacity = pool.capacity,
                                     .foreign = {}};
    // What is too large for the machine is tried alone, as Berth does.
    const bool alone = core::is_oversize(share.bytes, pool, config.policy) && others.count == 0;
    if (!alone && !core::fits(input, core::policy_in(pool, config.policy))) return false;
  }
  return true;
}

/// The longest idle first, as many as are needed. Nothing: not even all of them are enough.
std::optional<std::vector<std::uint32_t>> PeerRun::victims_for(std::uint32_t id) const {
  std::vector<std::uint32_t> candidates;
  for (std::uint32_t i = 0; i < models_.size(); ++i) {
    const core::Footprint& need = workload_.config.servers[id].footprint;
    const bool touches = workload_.config.servers[i].footprint.touches(need);
    if (i != id && touches && may_leave(i)) candidates.push_back(i);
  }
  const auto key = [&](std::uint32_t i) {
    return std::tuple(models_[i].running > 0, models_[i].idle_since, i);
  };
  std::sort(candidates.begin(), candidates.end(),
            [&](std::uint32_t a, std::uint32_t b) { return key(a) < key(b); });
  std::vector<std::uint32_t> victims;
  for (const std::uint32_t each : candidates) {
    if (fits(id, victims)) break;
    victims.push_back(each);
  }
  if (!fits(id, victims)) return std::nullopt;
  return victims;
}

bool PeerRun::start_jobs() {
  for (std::uint32_t i = 0; i < models_.size(); ++i) {
    Model& model = models_[i];
    const bool has_slot = model.running < workload_.config.servers[i].slots;
    if (model.place != Place::ready || model.queue.empty() || !has_slot || !may_start(i)) continue;
    const Queued next = model.queue.front();
    model.queue.erase(model.queue.begin());
    model.running += 1;
    record_.started(next.job, ServerId{i}, now_);
    push(now_ + next.task.service, {.kind = Kind::job_ended, .server = i, .job = next.job});
    return true;
  }
  return false;
}

bool PeerRun::plan_swap() {
  if (swap_) return false;
  const auto newcomer = next_newcomer();
  if (!newcomer) return false;
  auto victims = victims_for(*newcomer);
  if (!victims) return false;
  swap_ = Swap{*newcomer, std::move(*victims)};
  return true;
}

bool PeerRun::begin_swap() {
  if (!swap_ || swap_->has_begun) return false;
  for (const std::uint32_t id : swap_->victims) {
    if (models_[id].running > 0) return false;
  }
  swap_->has_begun = true;
  for (const std::uint32_t id : swap_->victims) {
    models_[id].place = Place::stopping;
    record_.stopping(ServerId{id}, now_);
    push(now_ + workload_.moves[id].down, {.kind = Kind::moved, .server = id});
  }
  if (swap_->victims.empty()) load(swap_->newcomer);
  return true;
}

void PeerRun::load(std::uint32_t id) {
  models_[id].place = Place::loading;
  record_.loading(ServerId{id}, now_);
  push(now_ + workload_.moves[id].up, {.kind = Kind::moved, .server = id});
}

void PeerRun::moved(std::uint32_t id) {
  Model& model = models_[id];
  if (model.place == Place::loading) {
    model.place = Place::ready;
    model.idle_since = now_;
    record_.ready(ServerId{id}, now_);
    if (swap_ && swap_->newcomer == id) swap_.reset();
    return;
  }
  model.place = Place::absent;
  record_.gone(ServerId{id}, now_);
  const bool all_gone =
      std::all_of(swap_->victims.begin(), swap_->victims.end(),
                  [&](std::uint32_t victim) { return models_[victim].place == Place::absent; });
  if (all_gone) load(swap_->newcomer);
}

void PeerRun::happen(const Due& due) {
  switch (due.kind) {
    case Kind::timer:
      return;
    case Kind::moved:
      return moved(due.server);
    case Kind::job_ended:
      models_[due.server].running -= 1;
      models_[due.server].idle_since = now_;
      record_.ended(due.job, now_);
      clients_.over(due.job, now_);
      open_ -= 1;
      return;
  }
}

void PeerRun::ask() {
  const Clients::Request request = clients_.take();
  record_.arrived(request.job, request.at, request.task.job_class);
  models_[request.task.server.value].queue.push_back({request.job, request.task});
  open_ += 1;
}

void PeerRun::settle() {
  while (start_jobs() || plan_swap() || begin_swap()) {
  }
}

Summary PeerRun::run() {
  for (std::uint32_t i = 0; i < models_.size(); ++i) {
    if (workload_.config.servers[i].wanted == core::Wanted::on && fits(i, {})) load(i);
  }
  for (; steps_ < kRunStepsMax; ++steps_) {
    const auto asks = clients_.next_at();
    if (open_ == 0 && !asks) break;
    if (!asks && dues_.empty()) break;
    if (!dues_.empty() && (!asks || dues_.begin()->first.first <= *asks)) {
      now_ = dues_.begin()->first.first;
      happen(dues_.extract(dues_.begin()).mapped());
    } else {
      now_ = *asks;
      while (clients_.next_at() == now_)  // who comes at once is seen together
        ask();
    }
    settle();
  }
  Summary summary = record_.sum(std::string(name(peer_)));
  summary.is_cut = steps_ >= kRunStepsMax;
  return summary;
}

}  // namespace

Summary run_peer(const Workload& workload, Peer peer) {
  return PeerRun(workload, peer).run();
}

std::string_view name(Peer peer) {
  return kPeerNames[static_cast<std::size_t>(peer)];
}

std::optional<Peer> peer_from_name(std::string_view name) {
  const auto* found = std::find(std::begin(kPeerNames), std::end(kPeerNames), name);
  if (found == std::end(kPeerNames)) return std::nullopt;
  return static_cast<Peer>(found - std::begin(kPeerNames));
}

}  // namespace berth::sim
