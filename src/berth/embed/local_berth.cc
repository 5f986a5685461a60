// SPDX-License-Identifier: Apache-2.0
#include "berth/embed/local_berth.h"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <future>
#include <optional>
#include <utility>

#include "berth/host/host.h"
#include "berth/http/async.h"

namespace berth::embed {

struct LocalBerth::Shared {
  std::promise<Status> is_up;
  std::promise<Executor> executor;
  std::map<std::string, std::uint16_t> ports;  // complete once it is up
  Event asked_to_end;                          // of the thread's loop
  Servers end = Servers::stop;                 // of the thread's loop, once it was asked
  gateway::ParkedDoors parked;                 // of the thread's loop, until it has ended
};

namespace {

using Servers = LocalBerth::Servers;

bool has_jobs(const host::HostStatus& status) {
  return std::any_of(status.servers.begin(), status.servers.end(),
                     [](const auto& server) { return server.running + server.waiting > 0; });
}

/// Pictures are drawn on when nobody is connected.
Task<void> jobs_are_over(host::Host* host) {
  Event never;
  while (has_jobs(host->status())) {
    const std::uint64_t newest = host->records().empty() ? 0 : host->records().back().number;
    static_cast<void>(co_await host->records_after(newest, never));
  }
}

template <class Shared>
Task<void> live(Shared* shared, config::Config config, Servers on_failure) {
  const Executor executor = co_await this_executor();
  shared->executor.set_value(executor);
  auto host = co_await host::Host::start(executor, std::move(config));
  if (!host) {
    shared->is_up.set_value(fail(host.error()));
    co_return;
  }
  gateway::GatewayOptions doors;  // nobody from outside ends the program that this is a part of
  doors.parked = std::move(shared->parked);
  auto gateway = co_await gateway::Gateway::start(executor, **host, std::move(doors));
  if (!gateway) {
    if (on_failure == Servers::stop) co_await (*host)->shut_down();
    shared->is_up.set_value(fail(gateway.error()));
    co_return;
  }
  shared->ports[""] = (*gateway)->port();
  for (const host::ServerStatus& server : (*host)->status().servers) {
    if (server.front_port != 0) shared->ports[server.name] = server.front_port;
  }
  shared->is_up.set_value({});
  co_await shared->asked_to_end.wait();
  if (shared->end == Servers::stop) {
    co_await (*host)->shut_down();
  } else {
    shared->parked = co_await (*gateway)->park();
    co_await jobs_are_over(host->get());
  }
  co_await (*gateway)->stop();
}

/// Signals are for the program's own threads.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

LocalBerth::LocalBerth() : shared_(std::make_unique<Shared>()) {}

Result<std::unique_ptr<LocalBerth>> LocalBerth::start(config::Config config, Servers on_failure,
                                                      gateway::ParkedDoors parked) {
  std::unique_ptr<LocalBerth> berth(new LocalBerth());
  Shared* const shared = berth->shared_.get();
  shared->parked = std::move(parked);
  auto is_up = shared->is_up.get_future();
  {
    const SignalsBlocked blocked;
    berth->thread_ = std::thread([shared, on_failure, config = std::move(config)]() mutable {
      ::pthread_setname_np(::pthread_self(), "berth");
      IoLoop loop;
      run_on(loop, live(shared, std::move(config), on_failure));
    });
  }
  const Status up = is_up.get();
  if (up) return berth;
  berth->thread_.join();
  return fail(up.error());
}

const std::map<std::string, std::uint16_t>& LocalBerth::ports() const {
  return shared_->ports;
}

gateway::ParkedDoors LocalBerth::end(Servers servers) {
  if (!thread_.joinable()) return {};
  post(shared_->executor.get_future().get(), [shared = shared_.get(), servers] {
    shared->end = servers;
    shared->asked_to_end.set();
  });
  thread_.join();
  return std::move(shared_->parked);
}

LocalBerth::~LocalBerth() {
  end(Servers::stop);
}

}  // namespace berth::embed
