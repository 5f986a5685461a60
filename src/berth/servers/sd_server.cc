// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/sd_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "berth/http/client.h"
#include "berth/servers/capture.h"

namespace berth::servers {
namespace {

constexpr std::string_view kPortFlag = "--listen-port";
/// Where the weights wait for a picture.
constexpr std::string_view kWeightsFlag = "--params-backend";
constexpr std::string_view kOnDisk = "disk";
/// Each worker that has drawn keeps some 15 MiB in an arena of its own: after nine pictures 162 MiB
/// stay without this and 54 with it (97d2990 on Debian 12, SD 1.5 shape).
constexpr const char* kOneArena = "MALLOC_ARENA_MAX=1";
/// Left out, it searches its whole working directory, which is "/", at each read, and answers 500
/// if something there cannot be looked at.
constexpr const char* kLoraFlag = "--lora-model-dir";
/// It answers within milliseconds, or never.
constexpr Duration kAnswerDeadline = 5s;
/// An idle sd-server with 2 GB of weights leaves within 0.4 s of TERM (reference/engines.md 4).
constexpr Duration kTermGrace = 2s;
/// A picture of an earlier Berth's client gets this long; to load the weights again takes no
/// longer.
constexpr Duration kOrphanGrace = 2s;
/// To ask it for one of its jobs.
constexpr Duration kAskLimit = 5s;

/// Returns a loopback port that is free now. It can be lost until the server binds it; the start
/// then fails with the server's own words and is tried again with another one.
Result<std::uint16_t> free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool ok = fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!ok) return fail(ErrorCode::io, fmt::format("no free port on loopback: {}", strerror(error)));
  return ntohs(address.sin_port);
}

void pulse(Event& event) {
  event.set();
  event.reset();
}

Task<void> expire(std::shared_ptr<Event> timeout, Duration limit) {
  co_await delay(limit);
  timeout->set();
}

}  // namespace

std::vector<std::string> sd_arguments(const config::SdOptions& options, std::uint16_t port) {
  std::vector<std::string> argv = {"-m", options.model, "--listen-ip", "127.0.0.1",
                                   std::string(kPortFlag), std::to_string(port),
                                   // Without it every picture has seed 42.
                                   "-s", "-1"};
  if (options.threads) {
    argv.emplace_back("-t");
    argv.push_back(std::to_string(*options.threads));
  }
  if (options.weights_on_demand) {
    argv.emplace_back(kWeightsFlag);
    argv.emplace_back(kOnDisk);
  }
  argv.insert(argv.end(), options.extra_args.begin(), options.extra_args.end());
  return argv;
}

SdServer::SdServer(std::string name, config::SdOptions options, Places places,
                   std::shared_ptr<HelpCache> help, Duration job_limit)
    : name_(std::move(name)),
      options_(std::move(options)),
      places_(std::move(places)),
      help_(std::move(help)),
      job_limit_(job_limit),
      supervised_(name_, places_, kind()) {}

void SdServer::step(std::string_view name, std::string detail) {
  if (on_step) on_step(name, std::move(detail));
}

SupervisedKind SdServer::kind() {
  SupervisedKind kind;
  kind.on_line = [this](std::string_view line) { on_line(line); };
  kind.said_ready = &listening_;
  kind.answers = [this](Duration limit) { return healthy(limit); };
  kind.on_exit = [this](Generation generation, Ending ending) {
    if (on_exit) on_exit(generation, std::move(ending));
    pulse(picture_ended_);
  };
  return kind;
}

void SdServer::on_line(std::string_view line) {
  const bool was_drawing = log_.drawing();
  const auto progress = log_.take(line);
  if (progress && on_progress && !replaying_) on_progress(*progress);
  if (log_.listening()) listening_.set();
  pulse(log_changed_);
  if (was_drawing && !log_.drawing()) pulse(picture_ended_);
}

Task<Result<process::LaunchSpec>> SdServer::launch_spec() {
  const char* from_environment = std::getenv("BERTH_SD_SERVER");
  const std::string wanted =
      options_.binary.value_or(from_environment != nullptr ? from_environment : "sd-server");
  auto binary = find_program(wanted, fmt::format("server.{}.binary or BERTH_SD_SERVER", name_));
  if (!binary) co_return fail(binary.error());
  auto known = co_await help_->options_of(*binary);
  if (!known) co_return fail(known.error());
  if (::access(options_.model.c_str(), R_OK) != 0) {
    co_return fail(ErrorCode::model_missing,
                   fmt::format("model \"{}\" of server \"{}\" cannot be read: {}; correct "
                               "server.{}.model",
                               options_.model, name_, strerror(errno), name_));
  }
  if (options_.weights_on_demand && !known->contains(std::string(kWeightsFlag))) {
    co_return fail(ErrorCode::option_unknown,
                   fmt::format("\"{}\" does not know the option {}, which server.{}.weights = "
                               "\"on_demand\" needs; use a newer version of it, or leave the key "
                               "weights out",
                               *binary, kWeightsFlag, name_));
  }
  auto port = free_port();
  if (!port) co_return fail(port.error());
  process::LaunchSpec spec;
  spec.argv = sd_arguments(options_, *port);
  spec.argv.insert(spec.argv.begin(), *binary);
  const auto& extra = options_.extra_args;
  const bool has_loras = std::find(extra.begin(), extra.end(), kLoraFlag) != extra.end();
  if (!has_loras && known->contains(kLoraFlag)) {
    spec.argv.emplace_back(kLoraFlag);
    spec.argv.push_back(places_.saved_dir);  // it has no state: nothing is in there
  }
  spec.environment = server_environment();
  if (options_.weights_on_demand) spec.environment.emplace_back(kOneArena);
  const Status checked = check_options(*known, spec.argv);
  if (!checked) co_return fail(checked.error());
  co_return spec;
}

/// The port is part of the frozen argv.
void SdServer::read_port() {
  const auto flag = std::find(launch_.argv.begin(), launch_.argv.end(), kPortFlag);
  if (flag == launch_.argv.end() || flag + 1 == launch_.argv.end()) return;
  std::from_chars((flag + 1)->data(), (flag + 1)->data() + (flag + 1)->size(), port_);
}

Task<Result<Started>> SdServer::start(StartContext context) {
  if (context.generation == generation_ && supervised_.process() != nullptr) {
    auto again = co_await serve_again();
    co_return again;
  }
  launch_ = context.launch;
  generation_ = context.generation;
  names_expected_work_ = false;
  read_port();
  log_.reset();
  listening_.reset();
  auto ready = co_await supervised_.start(std::move(context));
  if (!ready) co_return fail(ready.error());
  step("ready", fmt::format("server \"{}\" is ready", name_));
  const Status watched = supervised_.watch_exit();
  if (!watched) co_return fail(watched.error());
  co_return Started{};
}

/// Its weights come with the next picture.
Task<Result<Started>> SdServer::serve_again() {
  const bool answers = co_await healthy(kAnswerDeadline);
  if (answers) {
    step("ready", fmt::format("server \"{}\" is ready: its process lives", name_));
    co_return Started{};
  }
  supervised_.expect_exit();
  static_cast<void>(co_await supervised_.terminate(/*kill_at_once=*/true, kTermGrace, kTermGrace));
  co_return fail(ErrorCode::start_failed,
                 fmt::format("server \"{}\" does not answer; the next request starts it anew, its "
                             "log tells more",
                             name_));
}

bool SdServer::can_free_models() const {
  const auto flag = std::find(launch_.argv.begin(), launch_.argv.end(), kWeightsFlag);
  return flag != launch_.argv.end() && flag + 1 != launch_.argv.end() && *(flag + 1) == kOnDisk;
}

/// It has given them back after its last picture.
Task<Status> SdServer::free_models() {
  if (!can_free_models() || log_.drawing() || !supervised_.running()) {
    co_return fail(ErrorCode::conflict,
                   fmt::format("server \"{}\" cannot give its weights back now", name_));
  }
  step("freed", fmt::format("server \"{}\" lives on without its weights", name_));
  co_return Status{};
}

Task<bool> SdServer::healthy(Duration limit) {
  const Executor executor = co_await this_executor();
  http::Request request;
  request.target = "/sdcpp/v1/capabilities";
  auto reply = co_await http::fetch(executor, endpoint(), std::move(request), limit);
  co_return reply.has_value() && reply->status == 200;
}

Task<Status> SdServer::stop(bool /*keep: it has no state*/, Duration deadline) {
  supervised_.expect_exit();
  if (!supervised_.running()) co_return supervised_.sweep();
  // It has no handler: a picture that is still drawn, for nobody, ends with it.
  step("stopping", fmt::format("server \"{}\" gets SIGTERM", name_));
  auto ended = co_await supervised_.terminate(/*kill_at_once=*/false, kTermGrace, deadline);
  if (ended) step("gone", fmt::format("server \"{}\": {}", name_, supervised_.how()));
  co_return ended;
}

void SdServer::expect_work(Generation generation, std::vector<std::string> ids) {
  expected_of_ = generation;
  expected_ = std::move(ids);
}

/// Its ids are those of its native API. Source: stable-diffusion.cpp, examples/server/api.md.
Task<bool> SdServer::names_all(std::vector<std::string> ids) {
  const Executor executor = co_await this_executor();
  for (const std::string& id : ids) {
    http::Request request;
    request.target = "/sdcpp/v1/jobs/" + id;
    const auto reply = co_await http::fetch(executor, endpoint(), std::move(request), kAskLimit);
    if (!reply || reply->status != 200) co_return false;
  }
  co_return !ids.empty();
}

Task<Status> SdServer::adopt(Generation generation, process::LaunchSpec launch) {
  launch_ = std::move(launch);
  generation_ = generation;
  read_port();
  log_.reset();
  replaying_ = true;
  auto adopted = co_await supervised_.adopt(generation);
  replaying_ = false;
  if (!adopted) co_return adopted;
  if (generation == expected_of_) names_expected_work_ = co_await names_all(expected_);
  bool draws = false;
  if (!names_expected_work_) draws = co_await draws_after(kOrphanGrace);
  if (draws) {
    co_return fail(ErrorCode::deadline,
                   fmt::format("server \"{}\" of an earlier run draws for nobody", name_));
  }
  const Status watched = supervised_.watch_exit();
  if (!watched) co_return fail(ErrorCode::not_found, watched.error().message);
  co_return watched;
}

/// Waits until it draws no more or `limit` is over. Returns whether it lives and draws on.
Task<bool> SdServer::draws_after(Duration limit) {
  const Executor executor = co_await this_executor();
  const std::shared_ptr<Event> exited = supervised_.exit_event();
  const auto timeout = std::make_shared<Event>();
  if (log_.drawing()) spawn(executor, expire(timeout, limit));
  while (supervised_.running() && log_.drawing() && !timeout->is_set()) {
    std::vector<Event*> events = {&log_changed_, exited.get(), timeout.get()};
    co_await wait_any(std::move(events));
  }
  co_return supervised_.running() && log_.drawing();
}

http::Endpoint SdServer::endpoint() const {
  return http::Endpoint::tcp("127.0.0.1", port_);
}

std::optional<std::string> SdServer::last_known(std::string_view) const {
  return std::nullopt;
}

// ---- Pictures -----------------------------------------------------------------------------------

class SdServer::Picture final : public Work {
 public:
  explicit Picture(SdServer& server)
      : server_(server),
        exited_(server.supervised_.exit_event()),
        generation_(server.generation_),
        begun_(std::chrono::steady_clock::now()) {}

  void on_piece(std::string_view) override {}

  /// sd-server draws on when its client leaves and refuses to cancel what it draws (409). Its end
  /// is awaited; a server that never ends is killed, and the exit is reported like any other.
  Task<void> ended(bool reply_complete) override {
    if (reply_complete) co_return;
    if (server_.log_.drawing()) {
      const bool is_over = co_await interrupt();
      if (is_over) co_return;
    }
    const Duration worked = std::chrono::steady_clock::now() - begun_;
    const Duration left = std::max(server_.job_limit_ - worked, Duration{0});
    const bool draws = co_await server_.draws_after(left);
    if (!draws) co_return;
    server_.supervised_.kill();
    co_await exited_->wait();
  }

  Task<bool> server_died(Duration limit) override { return exited_->wait_for(limit); }

  Event* piece_ended() override { return &server_.picture_ended_; }

  /// With `cancel = "restart"`.
  Task<bool> interrupt() override {
    if (!server_.restarts_on_cancel() || exited_->is_set()) co_return false;
    server_.step("cancel_restarts", fmt::format("server \"{}\" ends: it cannot be told that its "
                                                "picture was cancelled (cancel = \"restart\")",
                                                server_.name_));
    server_.on_must_end(generation_, "its picture was cancelled, and `cancel` is \"restart\"");
    co_await exited_->wait();
    co_return true;
  }

 private:
  SdServer& server_;
  std::shared_ptr<Event> exited_;
  Generation generation_;
  std::chrono::steady_clock::time_point begun_;
};

std::unique_ptr<Work> SdServer::begin_work(const http::Request&) {
  return std::make_unique<Picture>(*this);
}

}  // namespace berth::servers
