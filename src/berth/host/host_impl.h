// SPDX-License-Identifier: Apache-2.0
// The shell's one object. Events go in by post(), the core's actions come out and are carried out.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "berth/core/predict.h"
#include "berth/core/scheduler.h"
#include "berth/host/host.h"
#include "berth/host/image_jobs.h"
#include "berth/host/journal.h"
#include "berth/host/known_footprints.h"
#include "berth/host/meter.h"
#include "berth/host/probe_thread.h"
#include "berth/host/run_memory.h"
#include "berth/process/alive_lock.h"
#include "berth/process/directories.h"
#include "berth/store/store_thread.h"

namespace berth::host {

/// What the host knows of a job between its arrival and its end.
struct PendingJob {
  JobId id;
  /// That was asked for; once granted, that it was given to. Of a lease `core::kNoServer`, then the
  /// core's place of it.
  ServerId server;
  Event answered;  ///< granted or rejected
  Event cut;
  bool granted = false;
  bool over = false;  ///< the core knows it no more
  std::optional<Error> error;
  std::optional<Duration> retry_after;
  Error why_cut{ErrorCode::shutting_down, "Berth is going down"};
  JobRequest request;
  Instant arrived;
  Instant since;  ///< when it arrived, then when it was granted
  std::optional<Foretold> foretold;
  // Of a lease, from its grant: whose memory samples show, and by which tag it is found.
  Generation generation;
  std::string tag;  ///< kLeaseVariable "=" a value that nobody can guess

  [[nodiscard]] bool is_request() const { return request.kind == core::JobKind::request; }
};

/// Answers a job that was not granted: Berth is going down. Those that run are told when to come
/// back.
void turn_away(PendingJob& job);

/// The variable by whose value the processes of a lease are found, however often they were forked.
inline constexpr const char* kLeaseVariable = "BERTH_LEASE";
/// The number of a hold, for commands that it runs: X-Berth-Hold.
inline constexpr const char* kHoldVariable = "BERTH_HOLD";

class HostImpl final : public Host {
 public:
  HostImpl(Executor executor, config::Config config);
  ~HostImpl() override;

  /// Everything that can fail; after it the core has been told of the world.
  Task<Status> open();

  std::unique_ptr<Job> submit(JobRequest request) override;
  void user_asked(core::UserAsked::What what, ServerId server) override;
  Task<Status> wish_stored(ServerId server) override;
  Task<Status> settled(ServerId server) override;
  const config::Config& config() const override { return config_; }
  std::optional<ServerId> find(std::string_view name) const override;
  servers::Adapter& adapter(ServerId server) override { return *slots_[server.value]->adapter; }
  const core::State& state() const override { return scheduler_.state(); }
  HostStatus status() const override;
  std::vector<WaitingStatus> waiting() const override;
  const std::deque<PastWait>& past_waits() const override { return past_waits_; }
  Task<Result<std::string>> models(std::optional<std::string> id) override;
  const Counters& counters() const override { return counters_; }
  core::OffloadAnswer would_need_offload(ServerId server) const override;
  std::optional<SavedState> saved_state(ServerId server) const override;
  std::vector<std::string> log_tail(ServerId server, int lines) const override;
  std::vector<KnownFootprint> known_footprints() const override;
  void forget_footprints(std::optional<ServerId> server) override;
  ImageJobs& images() override { return *images_; }
  Task<void> refresh() override;
  const std::deque<Record>& records() const override { return records_; }
  Task<std::vector<Record>> records_after(std::uint64_t number, Event& gone) override;
  void set_front_port(ServerId server, std::uint16_t port) override;
  Task<void> shut_down() override;

  // For JobImpl.
  void post(core::Event event);
  std::shared_ptr<PendingJob> pending(JobId id) const;
  http::Spool& spool(ServerId server) { return slots_[server.value]->spool; }
  /// Its wait is over: ran, refused or left.
  void note_wait(const PendingJob& job, std::string_view how);
  /// It is over: nobody comes back for it.
  void forget_hold(const PendingJob& job);

 private:
  struct Slot {
    std::unique_ptr<servers::Adapter> adapter;
    process::LaunchSpec launch;
    Generation launch_generation;  ///< which start `launch` was frozen for
    std::deque<core::Commit> commits;
    bool committing = false;
    EffectId wish;                    ///< the row of what the user asked last
    std::optional<Error> not_stored;  ///< why the newest row is not in the database
    bool recorded_displaced = false;
    Event* abort = nullptr;  ///< of the start that is under way
    bool moving = false;
    Event moved;  ///< pulsed when a move has ended
    http::Spool spool;
    // Of its newest start, for what is learned of it.
    bool has_served = false;  ///< a job was done
    bool freed = false;       ///< its process lives without its models
    RunMemory seen;
    std::string key;    ///< footprint_key() of what it was started with; "": it was taken over
    std::string shape;  ///< of the newest work
    std::uint16_t front_port = 0;
  };

  struct Session {
    pid_t id = 0;
    ServerId server;
    Generation generation;
  };

  // Actions.
  void carry_out(const core::Action& action);
  void take(const core::Commit& action);
  void take(const core::MoveTo& action);
  void take(const core::Dispatch& action);
  void take(const core::Cancel& action);
  void take(const core::Measure& action);
  void take(const core::SetTimer& action);
  void take(const core::Reject& action);
  void take(const core::Announce& action);
  Task<void> pump_commits(ServerId server);
  Task<Status> freeze_launch(ServerId server, core::Row row);
  Task<Status> store_row(core::Row row, std::string launch_json);
  Task<void> start_server(core::MoveTo move);
  Task<void> stop_server(core::MoveTo move);
  Task<void> await_late_end(ServerId server, Generation generation);
  Task<void> fire_after(core::SetTimer timer, Duration wait);
  Task<void> cut_after(std::shared_ptr<PendingJob> job, Duration limit);
  void grant(const std::shared_ptr<PendingJob>& job, const core::Dispatch& action);
  void revoke(PendingJob& job, core::CancelReason reason);
  void keep_hold(const PendingJob& job);
  std::optional<core::JobArrived> recover_hold(const store::HoldRow& row, Journal::Stamp now);
  Task<void> await_owner(JobId hold);
  void open_images(const std::vector<store::ImageJobRow>& rows);
  std::optional<core::JobArrived> recover_images(ServerId server);
  std::unique_ptr<Job> job_of(std::shared_ptr<PendingJob> job);

  // Memory.
  Task<core::Measured> sample(EffectId effect);
  std::vector<pid_t> session_ids();
  Task<void> measure(EffectId effect);
  void note_session(ServerId server, Generation generation);
  struct ProbeAnswer {
    Event done;
    std::optional<ProbeThread::Sample> sample;
  };
  Task<Result<Machine>> ask(ProbeQuestion question);
  Task<bool> is_stuck(bool may_wait);
  void note_probe(const std::optional<Error>& error);
  [[nodiscard]] bool is_between_rungs() const;
  core::Measured to_measured(EffectId effect, const Machine& machine, bool settled);
  [[nodiscard]] std::optional<Owner> owner_of(const probe::ProcessMemory& process) const;
  Task<Status> find_pools();
  Status take_capacities(const Machine& machine);
  void show_devices(ServerId server, process::LaunchSpec& launch) const;
  void note_peaks(const core::Measured& sample);
  void note_mark(ServerId server, store::Stage stage);
  void note_work_done(const PendingJob& job, core::JobEnd how);
  void note_raised(ServerId server);
  [[nodiscard]] bool keep_row(store::FootprintRow row);
  [[nodiscard]] std::optional<core::Footprint> learned(ServerId server);
  Task<void> watch_work();
  Task<void> ask_dry_runs();
  void look_at_model(ServerId server);
  void plan_again(ServerId server, const core::Config& fresh);
  void forget_sessions(const std::vector<core::Holder>& holders);
  void forget_leases(const std::vector<core::Holder>& holders,
                     const std::vector<std::string>& ended_tags);

  // Records.
  ServerCounts& counts(ServerId server) { return counters_.servers[server_name(server)]; }
  void step(std::string_view name, ServerId server, std::string text);
  void adapter_step(ServerId server, std::string_view name, std::string text);
  void keep(Record record);
  /// Of the place of a lease or hold: as the core calls it; "" before it has one.
  [[nodiscard]] std::string server_name(ServerId server) const;

  // Status.
  [[nodiscard]] ServerStatus server_status(ServerId id) const;
  [[nodiscard]] std::vector<LeaseStatus> lease_status() const;
  [[nodiscard]] LeaseStatus lease_status(const PendingJob& job, std::string_view in_state) const;

  // Recovery.
  Status make_directories();
  Status take_devices();
  void make_adapters();
  Task<Result<std::vector<core::FoundServer>>> find_servers(std::vector<store::ServerRow> rows);
  void read_launch_specs(const std::vector<store::ServerRow>& rows);
  [[nodiscard]] bool is_settled() const;
  [[nodiscard]] std::optional<Error> error_if_kept_out(ServerId server) const;
  void recovery_failpoint(std::string_view step) const;
  Task<void> put_out_strangers(std::vector<process::FoundDirectory> found);
  std::string places_root() const { return config_.state_dir + "/servers"; }
  Task<void> forget_launch(ServerId server);
  Task<void> stop_for_good(ServerId server, Event* done);

  Executor executor_;
  config::Config config_;
  core::Config core_config_;
  std::optional<process::AliveLock> alive_;
  std::vector<process::AliveLock> devices_;
  std::unique_ptr<store::StoreThread> store_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<ImageJobs> images_;
  ProbeThread probe_;
  std::shared_ptr<ProbeAnswer> stuck_;  ///< what the probe has not answered in time
  ProbeStatus probe_status_;
  std::vector<std::string> devices_of_pools_;  ///< UUIDs; "" where the pool is no device
  Meter meter_;
  core::Scheduler scheduler_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Session> sessions_;
  std::vector<std::shared_ptr<PendingJob>> leases_;  ///< granted, and what of them is not gone yet
  std::map<JobId, std::shared_ptr<PendingJob>> jobs_;
  std::map<JobId, std::unique_ptr<Job>> without_owner_;  ///< holds of a past Berth
  std::deque<PastWait> past_waits_;
  Counters counters_;
  std::vector<store::FootprintRow> footprints_;  ///< as they stand in the store
  DryRuns dry_runs_;
  std::vector<std::string> model_files_;  ///< of each server: which file is planned with
  bool watching_work_ = false;
  /// What predict() said last, until something happens.
  mutable std::optional<std::pair<Instant, std::vector<core::Forecast>>> forecasts_;
  std::uint64_t last_job_ = 0;
  std::deque<core::Event> inbox_;
  bool applying_ = false;
  bool recovering_ = false;  ///< from the world's discovery until nothing is owed any more
  bool going_down_ = false;
  std::deque<Record> records_;
  Event changed_;   // pulsed after each event
  Event recorded_;  // pulsed with each record
  core::Measured newest_sample_;
  bool sampled_ = false;
  std::shared_ptr<bool> alive_token_ = std::make_shared<bool>(true);  // for posts of other threads
};

}  // namespace berth::host
