// SPDX-License-Identifier: Apache-2.0
// For the tests of this folder: a host that decides nothing by itself.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "berth/host/host.h"
#include "berth/host/image_jobs.h"

namespace berth::gateway {

/// What a test sees and says of one job.
struct JobScript {
  JobId id;
  host::JobRequest request;
  ServerId given_to;
  Event decided;  ///< set it: the job is granted, or refused with `refusal`
  std::optional<Error> refusal;
  std::optional<std::int64_t> retry_after;
  std::optional<host::Foretold> foretold;
  std::map<std::string, std::string> environment{{"BERTH_LEASE", "secret"}};
  bool withdrawn = false;
  std::optional<core::JobEnd> how;
  Event over;  ///< ended or withdrawn while it waited
  Event cut;
  Error why_cut{ErrorCode::deadline, "the reply was cut off by Berth"};
  http::Spool spool;
  // Of its work at the server.
  http::Request sent;
  std::string pieces;
  std::optional<bool> reply_complete;
  bool server_dies = false;       ///< what Work::server_died() says
  bool earlier_were_over = true;  ///< when this one was submitted
  Event released;                 ///< set it: the server works no more for an unfinished request
};

class FakeWork final : public servers::Work {
 public:
  explicit FakeWork(JobScript& script) : script_(script) {}
  void on_piece(std::string_view piece) override { script_.pieces += piece; }
  Task<void> ended(bool reply_complete) override {
    script_.reply_complete = reply_complete;
    if (!reply_complete) co_await script_.released.wait();
  }
  Task<bool> server_died(Duration) override { co_return script_.server_dies; }

 private:
  JobScript& script_;
};

class FakeAdapter final : public servers::Adapter {
 public:
  Task<Result<process::LaunchSpec>> launch_spec() override {
    co_return fail(ErrorCode::internal, "not part of the test");
  }
  Task<Result<servers::Started>> start(servers::StartContext) override {
    co_return fail(ErrorCode::internal, "not part of the test");
  }
  Task<Status> stop(bool, Duration) override { co_return Status(); }
  Task<Status> adopt(Generation, process::LaunchSpec) override { co_return Status(); }
  http::Endpoint endpoint() const override { return where; }
  std::unique_ptr<servers::Work> begin_work(const http::Request& request) override {
    next_job->sent = request;
    return std::make_unique<FakeWork>(*next_job);
  }
  process::Process* process() override { return nullptr; }
  std::optional<std::string> last_known(std::string_view path) const override {
    const auto found = known.find(std::string(path));
    if (found == known.end()) return std::nullopt;
    return found->second;
  }
  std::string state_note() const override { return "kept"; }

  http::Endpoint where;
  std::map<std::string, std::string> known;
  JobScript* next_job = nullptr;
};

class FakeJob final : public host::Job {
 public:
  FakeJob(JobScript& script, FakeAdapter& adapter) : script_(script), adapter_(adapter) {}

  JobId id() const override { return script_.id; }
  ServerId server() const override { return script_.given_to; }
  Event& answered() override { return script_.decided; }
  std::map<std::string, std::string> environment() const override { return script_.environment; }
  std::optional<host::Foretold> foretold() const override { return script_.foretold; }
  Duration waited() const override { return 1500ms; }
  Task<Status> granted(Event& gone) override {
    std::vector<Event*> events{&script_.decided, &gone};
    const std::optional<std::size_t> which = co_await wait_any(std::move(events));
    if (which == 0 && !script_.refusal) co_return Status();
    if (which == 0) co_return fail(*script_.refusal);
    script_.withdrawn = true;
    script_.over.set();
    co_return fail(ErrorCode::cancelled, "the client is gone");
  }
  std::optional<std::int64_t> retry_after_seconds() const override { return script_.retry_after; }
  servers::Adapter& adapter() override {
    adapter_.next_job = &script_;
    return adapter_;
  }
  Event& cut() override { return script_.cut; }
  const Error& why_cut() const override { return script_.why_cut; }
  void withdraw() override { script_.withdrawn = true; }
  void ended(core::JobEnd how) override {
    script_.how = how;
    script_.over.set();
  }
  http::Spool& spool() override { return script_.spool; }

 private:
  JobScript& script_;
  FakeAdapter& adapter_;
};

class FakeHost final : public host::Host {
 public:
  explicit FakeHost(config::Config config) : config_(std::move(config)) {
    for (const core::ServerConfig& server : config_.core.servers) {
      core::Server known;
      known.config = server;
      state_.servers.push_back(known);
      adapters_.push_back(std::make_unique<FakeAdapter>());
    }
  }

  std::unique_ptr<host::Job> submit(host::JobRequest request) override {
    auto script = std::make_unique<JobScript>();
    script->id = JobId{jobs.size() + 1};
    script->request = request;
    script->given_to = fallback.value_or(request.server);
    if (grants_at_once) script->decided.set();
    if (refusal) script->refusal = refusal;
    script->retry_after = retry_after;
    script->foretold = foretold;
    script->server_dies = server_dies;
    for (const auto& earlier : jobs)
      script->earlier_were_over = script->earlier_were_over && earlier->over.is_set();
    jobs.push_back(std::move(script));
    submitted.set();
    const bool is_lease = request.server == core::kNoServer;
    return std::make_unique<FakeJob>(*jobs.back(),
                                     fake_adapter(is_lease ? ServerId{0} : jobs.back()->given_to));
  }
  void user_asked(core::UserAsked::What what, ServerId server) override {
    asked.emplace_back(what, server);
    asked_something.set();
  }
  Task<Status> wish_stored(ServerId) override {
    if (is_slow_to_store) co_await is_stored.wait();
    if (not_stored) co_return fail(*not_stored);
    co_return Status();
  }
  Task<Status> settled(ServerId) override {
    co_await is_settled.wait();
    co_return Status();
  }
  const config::Config& config() const override { return config_; }
  std::optional<ServerId> find(std::string_view name) const override {
    for (std::uint32_t i = 0; i < config_.servers.size(); ++i) {
      if (config_.servers[i].name == name) return ServerId{i};
    }
    return std::nullopt;
  }
  servers::Adapter& adapter(ServerId server) override { return fake_adapter(server); }
  FakeAdapter& fake_adapter(ServerId server) { return *adapters_.at(server.value); }
  const core::State& state() const override { return state_; }
  host::HostStatus status() const override { return shown; }
  std::vector<host::WaitingStatus> waiting() const override { return shown.waiting; }
  const std::deque<host::PastWait>& past_waits() const override { return past; }
  Task<Result<std::string>> models(std::optional<std::string> id) override {
    if (id == "none") co_return fail(ErrorCode::not_found, "there is no model \"none\"");
    co_return id ? R"({"id":")" + *id + R"("})" : R"({"models":[],"problems":[]})";
  }
  const host::Counters& counters() const override { return counted; }
  core::OffloadAnswer would_need_offload(ServerId) const override { return offload; }
  std::optional<host::SavedState> saved_state(ServerId) const override { return saved; }
  std::vector<std::string> log_tail(ServerId, int lines) const override {
    return {"last " + std::to_string(lines)};
  }
  std::vector<host::KnownFootprint> known_footprints() const override { return known; }
  void forget_footprints(std::optional<ServerId> server) override {
    std::erase_if(known, [&](const host::KnownFootprint& each) {
      return !server || each.server == config_.servers[server->value].name;
    });
  }
  host::ImageJobs& images() override { return *images_; }
  /// Where image jobs run and keep their pictures; rows go to `stored`.
  void keep_images(const Executor& executor, const std::string& folder) {
    const auto put = [this](store::Change change, std::function<void(Status)> done) {
      stored.push_back(std::move(change));
      done(store_answer);
    };
    images_ = std::make_unique<host::ImageJobs>(
        executor, *this,
        host::ImageJobs::Options{.folder = folder, .result_ttl = image_ttl, .put = put});
  }
  Task<void> refresh() override {
    ++refreshed;
    co_return;
  }
  const std::deque<host::Record>& records() const override { return records_; }
  Task<std::vector<host::Record>> records_after(std::uint64_t number, Event& gone) override {
    while (true) {
      std::vector<host::Record> newer;
      for (const host::Record& record : records_) {
        if (record.number > number) newer.push_back(record);
      }
      if (!newer.empty() || gone.is_set()) co_return newer;
      record_added_.reset();
      std::vector<Event*> events{&record_added_, &gone};
      co_await wait_any(std::move(events));
    }
  }
  void add_record(const std::string& kind, const std::string& text) {
    const std::uint64_t number = records_.size() + 1;
    host::Record record;
    record.number = number;
    record.kind = kind;
    record.text = text;
    record.json = R"({"number":)" + std::to_string(number) + R"(,"text":")" + text + R"("})";
    records_.push_back(std::move(record));
    record_added_.set();
  }
  void set_front_port(ServerId server, std::uint16_t port) override { front_ports[server] = port; }
  Task<void> shut_down() override { co_return; }

  core::Server& server(ServerId id) { return state_.server(id); }
  core::State& state() { return state_; }
  void pools(const std::vector<std::string>& names) {
    for (const std::string& name : names)
      config_.core.pools.push_back({.name = name, .capacity = 8_GiB});
  }

  bool grants_at_once = true;
  std::optional<Error> refusal;
  std::optional<std::int64_t> retry_after;
  std::optional<host::Foretold> foretold;  ///< of the jobs that come
  std::optional<ServerId> fallback;        ///< gets the jobs of the server that was asked for
  bool server_dies = false;
  // Behind pointers, so that a job's script stays where it is.
  std::vector<std::unique_ptr<JobScript>> jobs;
  Event submitted;
  std::vector<std::pair<core::UserAsked::What, ServerId>> asked;
  Event asked_something;
  Event is_settled;
  bool is_slow_to_store = false;
  Event is_stored;
  std::optional<Error> not_stored;
  host::HostStatus shown;
  core::OffloadAnswer offload;
  host::Counters counted;
  std::optional<host::SavedState> saved;
  std::deque<host::PastWait> past;
  std::vector<host::KnownFootprint> known;
  int refreshed = 0;
  std::map<ServerId, std::uint16_t> front_ports;
  std::vector<store::Change> stored;
  Status store_answer;
  Duration image_ttl{5min};

 private:
  config::Config config_;
  core::State state_;
  std::vector<std::unique_ptr<FakeAdapter>> adapters_;
  std::deque<host::Record> records_;
  Event record_added_;
  std::unique_ptr<host::ImageJobs> images_;
};

}  // namespace berth::gateway
