// SPDX-License-Identifier: Apache-2.0
// Private to the folder: what all handles of one Berth share.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "berth/base/result.h"
#include "berth/client/client.h"
#include "berth/embed/local_berth.h"
#include "berth/embed/text.h"
#include "berth/models/registry.h"

namespace berth::embed {

/// A question to a Berth, on a loop of its own: any thread may ask, and waits.
template <class T>
using Question = std::function<Task<Result<T>>(client::Client*)>;

/// Returns whether the wait is over. Errors: it is over, and for nothing.
using Condition = std::function<Result<bool>(const client::DaemonStatus&)>;

/// The Berth of one state directory as this process sees it: its own, or another process's.
///
/// There is one way to a Berth, its control socket; so a program within and one without get the
/// same answers. Only to add servers a Berth in this process is needed: its configuration is fixed
/// while it runs, so it ends, leaves its servers running, and one with a larger configuration takes
/// them over.
///
/// Threads: any.
class Runtime {
 public:
  /// Returns the one of the state directory that the options name.
  static Result<std::shared_ptr<Runtime>> open(const BerthOptions& options);

  [[nodiscard]] const std::string& state_dir() const { return state_dir_; }
  [[nodiscard]] bool is_client() const;

  /// Asks again where the Berth of this process made room for its successor meanwhile.
  template <class T>
  Result<T> ask(const Question<T>& question) const {
    while (true) {
      const unsigned before = successors_;
      IoLoop loop;
      client::Client client(loop.executor(), state_dir_);
      Result<T> answer = run_on(loop, question(&client));
      if (answer || !was_cut_off(answer.error(), before)) return answer;
    }
  }

  [[nodiscard]] Result<client::DaemonStatus> status() const;
  [[nodiscard]] Result<client::ServerInfo> server(const std::string& name) const;
  /// Waits until the condition holds, by the records that say what happens; for ever without limit.
  /// Errors: deadline, or what the condition says.
  Status await(const Condition& is_over, std::optional<Duration> limit = std::nullopt) const;

  /// Returns the name of a server that is as wished; one is added if there is none.
  Result<std::string> provide(const ServerWish& wish);
  [[nodiscard]] Result<models::Places> model_places() const;

 private:
  Runtime(BerthOptions options, BaseText base, config::Config found);
  Status come_up();
  [[nodiscard]] bool has_owner() const;
  Status become_client();
  Result<std::string> find_or_add(ServerWish wish);
  [[nodiscard]] bool was_cut_off(const Error& error, unsigned before) const;
  Status start_local(LocalBerth::Servers on_failure, gateway::ParkedDoors parked = {});
  [[nodiscard]] Result<config::Config> configuration() const;
  [[nodiscard]] Result<std::string> model_path(const ServerWish& wish,
                                               const client::DaemonStatus& now) const;
  [[nodiscard]] Status agree(const ServerWish& wish, const client::ServerInfo& has) const;
  Status add(const ServerWish& wish);
  Status await_quiet(const std::string& newcomer) const;
  Status give_over(const std::vector<ServerWish>& before);

  BerthOptions options_;
  BaseText base_;
  config::ModelPlaces models_;
  std::string state_dir_;
  std::atomic<bool> is_client_ = false;
  mutable std::mutex giving_over_;  ///< held from the end of one Berth until the next is up
  std::atomic<unsigned> successors_ = 0;
  std::mutex changing_;  ///< held while servers are added; first of the two
  std::vector<ServerWish> added_;
  std::map<std::string, std::uint16_t> ports_;  ///< those of the past Berths of this process
  std::unique_ptr<LocalBerth> local_;
};

}  // namespace berth::embed
