// SPDX-License-Identifier: Apache-2.0
// Test equipment: drives the real scheduler under virtual time with one pool and obedient servers.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "berth/base/assert.h"
#include "berth/core/scheduler.h"
#include "berth/core/turns.h"

namespace berth::core {

inline constexpr ServerId kLlm{0};
inline constexpr ServerId kSd{1};
inline constexpr PoolId kPool{0};

inline Footprint bytes(Bytes amount) {
  return {{{kPool, amount}}};
}

/// LLM 6 and SD 8 on a card of 10: they do not fit together (limit 3/4 is lifted to 1 for clarity).
inline Config card_of_ten(Wanted llm = Wanted::on, Wanted sd = Wanted::on_demand) {
  Config config;
  config.pools.push_back({.name = "gpu0", .capacity = 10_GiB});
  config.servers.push_back({.name = "llm",
                            .job_class = ServerClass::chat,
                            .wanted = llm,
                            .footprint = bytes(6_GiB),
                            .slots = 2});
  config.servers.push_back(
      {.name = "sd", .job_class = ServerClass::image, .wanted = sd, .footprint = bytes(8_GiB)});
  config.policy.limit_numerator = 1;
  config.policy.limit_denominator = 1;
  config.policy.release_deadline = 3s;
  return config;
}

/// Plays the host: rows are written at once unless told otherwise, moves end when the test says so
/// or after the server's own time, memory comes back with the exit unless a server keeps it.
class Driver {
 public:
  explicit Driver(Config config, std::vector<Row> rows = {}, std::vector<FoundServer> found = {},
                  std::vector<JobArrived> holds = {}) {
    for (std::uint32_t i = 0; i < config.servers.size(); ++i)
      servers_.push_back({});
    for (const FoundServer& f : found)
      servers_[f.server.value].resident = f.generation;
    config_ = config;
    apply(Recovered{std::move(config), std::move(rows), std::move(found), std::move(holds)});
  }

  struct Behaviour {
    Duration start{4s};
    Duration stop{1s};
    bool keeps_memory = false;  ///< after its exit, until this is set to false again
    std::optional<Error> start_error;
    std::optional<Generation> resident;
    std::optional<Generation> leftover;
    bool freed = false;
    bool frees_nothing = false;  ///< told to, it keeps its models
  };
  Behaviour& behaviour(ServerId id) { return servers_[id.value]; }
  bool commits_fail = false;
  bool commits_wait = false;
  bool samples_fail = false;
  bool leases_keep_memory = false;  ///< a child of the holder outlives it
  Bytes foreign;
  std::vector<Holder> foreign_holders;

  JobId ask(ServerId server, ServerClass job_class, std::optional<JobId> parent = std::nullopt) {
    const JobId job{++last_job_};
    apply(JobArrived{
        .job = job, .server = server, .job_class = job_class, .client = "test", .parent = parent});
    return job;
  }
  JobId lease(Bytes amount, std::optional<Duration> limit = 30min,
              ServerClass job_class = ServerClass::video) {
    const JobId job{++last_job_};
    apply(JobArrived{.job = job,
                     .kind = JobKind::lease,
                     .server = kNoServer,
                     .job_class = job_class,
                     .client = "test",
                     .need = bytes(amount),
                     .limit = limit});
    return job;
  }
  JobId hold(std::vector<ServerId> servers, bool exclusive = false,
             std::optional<JobId> inside = std::nullopt) {
    const JobId job{++last_job_};
    apply(JobArrived{.job = job,
                     .kind = JobKind::hold,
                     .server = servers.front(),
                     .job_class = ServerClass::video,
                     .client = "test",
                     .hold = inside,
                     .servers = servers,
                     .exclusive = exclusive,
                     .limit = 30min});
    return job;
  }
  JobId ask_inside(JobId hold, ServerId server, ServerClass job_class) {
    const JobId job{++last_job_};
    apply(JobArrived{
        .job = job, .server = server, .job_class = job_class, .client = "test", .hold = hold});
    return job;
  }
  void withdraw(JobId job) { apply(JobWithdrawn{job}); }
  void end(JobId job, JobEnd how = JobEnd::done) {
    if (!leases_keep_memory) leases_.erase(job);
    apply(JobEnded{job, how});
  }
  void user(UserAsked::What what, ServerId server) { apply(UserAsked{what, server}); }

  /// Lets time pass; timers, moves and samples happen when they are due.
  void pass(Duration duration) {
    const Instant until = now_ + duration;
    while (true) {
      const auto due = std::min_element(
          due_.begin(), due_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      if (due == due_.end() || due->first > until) break;
      auto [at, event] = *due;
      due_.erase(due);
      now_ = std::max(now_, at);
      if (const auto* ended = std::get_if<EffectEnded>(&event)) carry_out(*ended);
      if (const auto* measured = std::get_if<Measured>(&event)) {
        apply(sample(measured->effect));
      } else {
        apply(event);
      }
    }
    now_ = until;
  }

  void apply(const Event& event) {
    for (Action& action : scheduler_.apply(now_, event)) {
      log_.push_back(action);
      std::visit([this](const auto& a) { take(a); }, action);
    }
  }

  [[nodiscard]] ServerState state(ServerId id) const { return server(id).state; }
  [[nodiscard]] const Server& server(ServerId id) const { return scheduler_.state().server(id); }
  [[nodiscard]] const Scheduler& scheduler() const { return scheduler_; }
  [[nodiscard]] const Row& row(ServerId id) const {
    for (auto i = rows_.rbegin(); i != rows_.rend(); ++i) {
      if (i->server == id) return *i;
    }
    BERTH_ASSERT(false && "no row was committed");
  }
  [[nodiscard]] bool running(JobId job) const {
    const auto found = scheduler_.state().jobs.find(job);
    return found != scheduler_.state().jobs.end() && found->second.running;
  }
  [[nodiscard]] std::optional<Error> rejected(JobId job) const {
    for (const Action& action : log_) {
      const auto* reject = std::get_if<Reject>(&action);
      if (reject != nullptr && reject->job == job) return reject->error;
    }
    return std::nullopt;
  }
  /// The story so far: "up llm", "down llm", "free llm", "run 1", "cancel 1", by name and in order.
  [[nodiscard]] std::vector<std::string> story() const { return story_; }
  void forget_story() { story_.clear(); }
  [[nodiscard]] bool announced(Reason reason) const {
    return std::any_of(log_.begin(), log_.end(), [&](const Action& action) {
      const auto* announce = std::get_if<Announce>(&action);
      return announce != nullptr && announce->reason == reason;
    });
  }
  [[nodiscard]] const std::vector<Action>& log() const { return log_; }
  [[nodiscard]] Instant now() const { return now_; }

 private:
  void take(const Commit& commit) {
    rows_.push_back(commit.row);
    if (commits_wait) return;
    EffectResult result;
    if (commits_fail) result.error = Error{ErrorCode::disk_full, "the disk is full"};
    due_.emplace_back(now_, EffectEnded{commit.effect, result});
  }
  void take(const MoveTo& move) {
    Behaviour& server = servers_[move.server.value];
    const bool up = move.rung == Rung::resident;
    const char* what = up ? "up " : move.rung == Rung::freed ? "free " : "down ";
    story_.push_back(what + config_.servers[move.server.value].name);
    EffectResult result;
    if (up) result.error = server.start_error;
    moves_.emplace_back(move);
    due_.emplace_back(now_ + (up ? server.start : server.stop), EffectEnded{move.effect, result});
  }
  void take(const Dispatch& dispatch) {
    const Server& target = server(dispatch.server);
    if (target.kind == JobKind::lease) leases_[dispatch.job] = dispatch;
    const char* what = target.is_place() ? "grant " : "run ";
    story_.push_back(what + std::to_string(dispatch.job.value));
  }
  void take(const Cancel& cancel) {
    story_.push_back("cancel " + std::to_string(cancel.job.value));
  }
  void take(const Measure& measure) {
    due_.emplace_back(now_ + (samples_fail ? Duration{1s} : Duration{0}), Measured{measure.effect});
  }
  void take(const SetTimer& timer) { due_.emplace_back(timer.at, TimerFired{timer.timer}); }
  void take(const Reject&) {}
  void take(const Announce&) {}

  void carry_out(const EffectEnded& ended) {
    for (const MoveTo& move : moves_) {
      if (move.effect != ended.effect || ended.result.error) continue;
      Behaviour& server = servers_[move.server.value];
      server.freed = move.rung == Rung::freed && !server.frees_nothing;
      if (move.rung == Rung::resident) {
        server.resident = move.generation;
      } else if (move.rung == Rung::absent) {
        if (server.resident && server.keeps_memory) server.leftover = server.resident;
        server.resident.reset();
      }
    }
  }

  Measured sample(EffectId effect) {
    Measured measured{.effect = effect};
    if (samples_fail) {
      measured.error = Error{ErrorCode::deadline, "the probe is stuck"};
      return measured;
    }
    const Bytes capacity = config_.pools[0].capacity;
    PoolSample pool{PoolId{0}, capacity, capacity - foreign, foreign};
    for (std::uint32_t i = 0; i < servers_.size(); ++i) {
      Behaviour& server = servers_[i];
      if (!server.keeps_memory) server.leftover.reset();
      for (const auto& generation : {server.resident, server.leftover}) {
        if (!generation) continue;
        const ServerConfig& config = config_.servers[i];
        const Footprint& bytes = server.freed ? *config.freed : config.footprint;
        measured.holders.push_back(
            {100 + i, config_.servers[i].name + "-helper", ServerId{i}, *generation, bytes});
        pool.free -= bytes.in(PoolId{0});
      }
    }
    for (const auto& [job, grant] : leases_) {
      const Footprint& held = server(grant.server).config.footprint;
      measured.holders.push_back({500, "tool", grant.server, grant.generation, held});
      pool.free -= held.in(PoolId{0});
    }
    measured.holders.insert(measured.holders.end(), foreign_holders.begin(), foreign_holders.end());
    measured.pools.push_back(pool);
    return measured;
  }

  Config config_;
  Scheduler scheduler_;
  Instant now_{1h};
  std::vector<Behaviour> servers_;
  std::vector<MoveTo> moves_;
  std::vector<std::pair<Instant, Event>> due_;
  std::vector<Row> rows_;
  std::map<JobId, Dispatch> leases_;
  std::vector<Action> log_;
  std::vector<std::string> story_;
  std::uint64_t last_job_ = 0;
};

/// The LLM is resident and idle for an hour: longer than S, R and every linger.
inline Driver settled(Config config = card_of_ten()) {
  Driver driver(std::move(config));
  driver.pass(1h);
  driver.forget_story();
  return driver;
}

/// Every server has answered one request and was swapped once each way: 12 s a picture, 10 s a
/// chat; a stop takes 1 s, a start 4 s. The LLM has been back for an hour.
inline Driver experienced(Config config = card_of_ten()) {
  Driver driver = settled(std::move(config));
  const JobId talk = driver.ask(kLlm, ServerClass::chat);
  driver.pass(10s);
  driver.end(talk);
  const JobId picture = driver.ask(kSd, ServerClass::image);
  driver.pass(17s);
  driver.end(picture);
  driver.pass(1h);
  BERTH_ASSERT(driver.state(kLlm) == ServerState::ready);
  driver.forget_story();
  return driver;
}

/// The LLM was put out and the picture is being drawn.
inline Driver drawing(Config config = card_of_ten()) {
  Driver driver = settled(std::move(config));
  driver.ask(kSd, ServerClass::image);
  driver.pass(10s);
  driver.forget_story();
  return driver;
}

}  // namespace berth::core
