// SPDX-License-Identifier: Apache-2.0
#include "berth/embed/runtime.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "berth/process/alive_lock.h"

namespace berth::embed {
namespace {

/// How long a server that is to be added waits for the jobs of the others.
constexpr Duration kQuietLimit = 30s;
/// How long another Berth may take from its lock to its doors: it asks each server that it finds.
constexpr Duration kComingUpLimit = 10s;
constexpr Duration kComingUpPause = 10ms;

std::string quoted_names(const client::DaemonStatus& status) {
  std::string names;
  for (const client::ServerInfo& server : status.servers)
    names += fmt::format("{}\"{}\" ({})", names.empty() ? "" : ", ", server.name, server.kind);
  return names.empty() ? "none" : names;
}

/// Returns what of the status forbids that a Berth makes room for its successor; "" if nothing.
std::string unrest(const client::DaemonStatus& status) {
  for (const client::ServerInfo& server : status.servers) {
    const std::int64_t jobs = server.running + server.waiting;
    if (jobs > 0) return fmt::format("\"{}\" has {} job(s)", server.name, jobs);
    if (server.state == "starting" || server.state == "stopping")
      return fmt::format("\"{}\" is {}", server.name, server.state);
  }
  if (!status.leases.empty())
    return fmt::format("\"{}\" has a lease or hold", status.leases[0].holder);
  return "";
}

bool is_out(const client::ServerInfo& server) {
  return server.state == "absent" || server.state == "failed";
}

Task<void> close_after(std::weak_ptr<client::EventStream> stream, Duration limit) {
  co_await delay(limit);
  if (const auto alive = stream.lock()) alive->close();
}

Task<Result<client::DaemonStatus>> status_of(client::Client* berth) {
  const Result<std::string> json = co_await berth->status();
  if (!json) co_return fail(json.error());
  Result<client::DaemonStatus> status = client::read_status(*json);
  co_return status;
}

/// A status is asked for after each record, with the stream open before the first.
Task<Status> await_status(client::Client* berth, Condition is_over, std::optional<Duration> limit) {
  auto opened = co_await berth->events();
  if (!opened) co_return fail(opened.error());
  const std::shared_ptr<client::EventStream> stream = std::move(*opened);
  if (limit) spawn(berth->executor(), close_after(stream, *limit));
  while (true) {
    const Result<client::DaemonStatus> status = co_await status_of(berth);
    if (!status) co_return fail(status.error());
    const Result<bool> over = is_over(*status);
    if (!over) co_return fail(over.error());
    if (*over) co_return Status();
    const Result<std::optional<client::RecordInfo>> record = co_await stream->next();
    if (!record) co_return fail(record.error());
    if (!*record)
      co_return fail(ErrorCode::deadline, fmt::format("not within {}", to_text(*limit)));
  }
}

/// The lock is there before the doors are; between them lies no event that others can see.
Task<Status> await_doors(client::Client* berth) {
  Duration waited{0};
  while (true) {
    const Result<std::string> status = co_await berth->status();
    if (status) co_return Status();
    if (waited >= kComingUpLimit || status.error().code != ErrorCode::not_running)
      co_return fail(status.error());
    co_await delay(kComingUpPause);
    waited += kComingUpPause;
  }
}

std::string canonical(const std::string& path) {
  std::error_code failed;
  const auto real = std::filesystem::weakly_canonical(path, failed);
  return failed ? path : real.string();
}

bool is_same(const BerthOptions& a, const BerthOptions& b) {
  return a.config_file == b.config_file && a.config == b.config;
}

bool says_nothing(const BerthOptions& options) {
  return options.config_file.empty() && options.config.empty();
}

/// Every Berth that this process has opened.
struct Registry {
  std::recursive_mutex mutex;  // a Runtime that cannot come up ends while it is held
  std::map<std::string, std::weak_ptr<Runtime>> berths;
};

// A process has one ledger for each state directory, however many parts of it open one.
Registry& registry() {
  static auto* const one = new Registry();  // never destroyed: handles may be static, too
  return *one;
}

/// Whoever opens the state directory anew meanwhile waits for it.
void end_alone(Runtime* runtime) {
  const std::lock_guard lock(registry().mutex);
  delete runtime;
}

}  // namespace

Runtime::Runtime(BerthOptions options, BaseText base, config::Config found)
    : options_(std::move(options)),
      base_(std::move(base)),
      models_(std::move(found.models)),
      state_dir_(std::move(found.state_dir)) {}

Result<std::shared_ptr<Runtime>> Runtime::open(const BerthOptions& options) {
  Result<BaseText> base = base_text(options);
  if (!base) return fail(base.error());
  Result<config::Config> found = read_without_servers(*base, environment_of(options));
  if (!found) return fail(found.error());
  const std::string key = canonical(found->state_dir);
  const std::lock_guard lock(registry().mutex);
  std::weak_ptr<Runtime>& known = registry().berths[key];
  if (const std::shared_ptr<Runtime> here = known.lock()) {
    if (says_nothing(options) || is_same(options, here->options_)) return here;
    return fail(ErrorCode::conflict,
                fmt::format("this process has opened {} with another configuration; open it with "
                            "the same, with none, or with another state directory",
                            found->state_dir));
  }
  std::shared_ptr<Runtime> fresh(new Runtime(options, std::move(*base), std::move(*found)),
                                 end_alone);
  const Status up = fresh->come_up();
  if (!up) return fail(up.error());
  known = fresh;
  return fresh;
}

Status Runtime::come_up() {
  const std::lock_guard lock(changing_);
  if (has_owner()) return become_client();
  const Status up = base_.has_servers ? start_local(LocalBerth::Servers::stop) : Status();
  const bool was_slower = !up && up.error().code == ErrorCode::already_running && has_owner();
  return was_slower ? become_client() : up;
}

bool Runtime::has_owner() const {
  return process::open_lock_owner(state_dir_ + "/alive.lock").get() >= 0;
}

Status Runtime::become_client() {
  is_client_ = true;
  const Question<void> question = [](client::Client* berth) { return await_doors(berth); };
  return ask(question);
}

bool Runtime::is_client() const {
  return is_client_;
}

/// Returns whether the answer is to be had from the successor.
bool Runtime::was_cut_off(const Error& error, unsigned before) const {
  if (error.code != ErrorCode::not_running && error.code != ErrorCode::server_gone) return false;
  const std::lock_guard lock(giving_over_);
  return successors_ != before;
}

/// Whoever knows a port that was any free one finds its server there again.
Result<config::Config> Runtime::configuration() const {
  std::string text = base_.text;
  for (const ServerWish& wish : added_)
    text += section_of(wish);
  Result<config::Config> config = config::parse(text, base_.file, environment_of(options_));
  if (!config) return config;
  const auto same_as_before = [this](const std::string& name, std::uint16_t port) {
    const auto known = ports_.find(name);
    return port == 0 && known != ports_.end() ? known->second : port;
  };
  config->listen.port = same_as_before("", config->listen.port);
  for (config::ServerOptions& server : config->servers) {
    if (server.front_port) server.front_port = same_as_before(server.name, *server.front_port);
  }
  return config;
}

Status Runtime::start_local(LocalBerth::Servers on_failure, gateway::ParkedDoors parked) {
  Result<config::Config> config = configuration();
  if (!config) return fail(config.error());
  auto started = LocalBerth::start(std::move(*config), on_failure, std::move(parked));
  if (!started) return fail(started.error());
  local_ = std::move(*started);
  ports_ = local_->ports();
  return {};
}

// ---- Questions ----------------------------------------------------------------------------------

Result<client::DaemonStatus> Runtime::status() const {
  const Question<client::DaemonStatus> question = status_of;
  return ask(question);
}

Result<client::ServerInfo> Runtime::server(const std::string& name) const {
  const Result<client::DaemonStatus> now = status();
  if (!now) return fail(now.error());
  for (const client::ServerInfo& server : now->servers) {
    if (server.name == name) return server;
  }
  return fail(ErrorCode::not_found,
              fmt::format("there is no server \"{}\"; there are: {}", name, quoted_names(*now)));
}

Status Runtime::await(const Condition& is_over, std::optional<Duration> limit) const {
  const Question<void> question = [&](client::Client* berth) {
    return await_status(berth, is_over, limit);
  };
  return ask(question);
}

// ---- Servers ------------------------------------------------------------------------------------

Result<models::Places> Runtime::model_places() const {
  models::Places places;
  for (const config::NamedModel& entry : models_.entries)
    places.named.push_back({entry.id, entry.path});
  places.directories = models_.directories;
  const Result<client::DaemonStatus> now = status();
  if (!now && now.error().code != ErrorCode::not_running) return fail(now.error());
  if (!now) return places;
  for (const client::ServerInfo& server : now->servers)
    places.files.push_back(server.config.model);
  return places;
}

/// A model is named as a server, by its id, or by its file.
Result<std::string> Runtime::model_path(const ServerWish& wish,
                                        const client::DaemonStatus& now) const {
  for (const client::ServerInfo& server : now.servers) {
    if (server.name == wish.model_id && server.kind == wish.kind) return server.config.model;
  }
  for (const config::NamedModel& entry : models_.entries) {
    if (entry.id == wish.model_id) return entry.path;
  }
  std::error_code failed;
  const std::filesystem::path file(wish.model_id);
  if (std::filesystem::is_regular_file(file, failed))
    return std::filesystem::absolute(file).string();
  const Result<models::Places> places = model_places();
  if (!places) return fail(places.error());
  const Result<models::Entry> entry = models::find_model(*places, wish.model_id);
  if (!entry) return fail(entry.error());
  return entry->path;
}

/// A server that is there must be what was wished for; the given name may be left open.
Status Runtime::agree(const ServerWish& wish, const client::ServerInfo& has) const {
  if (has.kind != wish.kind) {
    return fail(ErrorCode::conflict, fmt::format("server \"{}\" is a {}; give the {} another name",
                                                 has.name, has.kind, wish.kind));
  }
  const auto own = std::find_if(added_.begin(), added_.end(),
                                [&](const ServerWish& each) { return each.name == has.name; });
  if (own != added_.end() && own->extra_args == wish.extra_args) {
    ServerWish without = wish;
    without.extra_args.clear();
    if (differences(without, has.config).empty()) return {};
  }
  const std::vector<std::string> other = differences(wish, has.config);
  if (other.empty()) return {};
  const std::string_view next = own != added_.end()
                                    ? "stop it first"
                                    : "leave that out, or change the configuration it comes from";
  return fail(ErrorCode::conflict, fmt::format("server \"{}\" runs with other options: {}; {}",
                                               has.name, fmt::join(other, ", "), next));
}

/// Of two processes that come up at the same time one is slower, and becomes the other's client.
Result<std::string> Runtime::provide(const ServerWish& wish) {
  const std::lock_guard lock(changing_);
  Result<std::string> name = find_or_add(wish);
  const bool was_slower = !name && name.error().code == ErrorCode::already_running && !local_;
  if (!was_slower || is_client_ || !has_owner()) return name;
  const Status up = become_client();
  return up ? find_or_add(wish) : fail(up.error());
}

Result<std::string> Runtime::find_or_add(ServerWish wish) {
  client::DaemonStatus now;
  const Result<client::DaemonStatus> asked = status();
  if (asked) now = *asked;
  if (asked && !local_) is_client_ = true;  // another process came up since this one looked
  if (!asked && (asked.error().code != ErrorCode::not_running || is_client_ || local_))
    return fail(asked.error());
  const Result<std::string> path = model_path(wish, now);
  if (!path) return fail(path.error());
  wish.model = *path;
  if (wish.name.empty()) wish.name = server_name(wish.model_id);
  for (const client::ServerInfo& server : now.servers) {
    const bool is_meant =
        server.name == wish.name || (server.kind == wish.kind && server.config.model == wish.model);
    if (!is_meant) continue;
    const Status agreed = agree(wish, server);
    if (agreed) return server.name;
    const auto own = std::find_if(added_.begin(), added_.end(), [&](const ServerWish& each) {
      return each.name == server.name && each.kind == wish.kind;
    });
    if (own == added_.end() || !is_out(server)) return fail(agreed.error());
    wish.name = server.name;
  }
  const Status added = add(wish);
  if (!added) return fail(added.error());
  return wish.name;
}

Status Runtime::await_quiet(const std::string& newcomer) const {
  std::string why_not;
  const Condition is_quiet = [&](const client::DaemonStatus& now) -> Result<bool> {
    why_not = unrest(now);
    return why_not.empty();
  };
  const Status quiet = await(is_quiet, kQuietLimit);
  if (quiet || quiet.error().code != ErrorCode::deadline) return quiet;
  return fail(
      ErrorCode::conflict,
      fmt::format("server \"{}\" cannot be added while jobs run, and within {} {}; start it "
                  "before they begin, or once they have ended",
                  newcomer, to_text(kQuietLimit), why_not));
}

/// The servers of the Berth that ends go on and are taken over by the next one.
/// `before`: those of the Berth that ends, which comes back if the next one cannot come up.
Status Runtime::give_over(const std::vector<ServerWish>& before) {
  const std::lock_guard lock(giving_over_);
  const bool had_one = local_ != nullptr;
  gateway::ParkedDoors parked;
  if (had_one) parked = local_->end(LocalBerth::Servers::leave);
  local_.reset();
  const Status up = start_local(LocalBerth::Servers::leave, std::move(parked));
  if (up) ++successors_;
  if (up || !had_one) return up;
  added_ = before;
  const Status back = start_local(LocalBerth::Servers::stop);
  if (back) ++successors_;
  return back ? up : back;
}

Status Runtime::add(const ServerWish& wish) {
  if (is_client_) {
    const Result<client::DaemonStatus> now = status();
    if (!now) return fail(now.error());
    return fail(ErrorCode::not_found,
                fmt::format("the Berth with pid {}, which owns {}, has no {} for model \"{}\"; it "
                            "has: {}; add one to its configuration",
                            now->pid, state_dir_, wish.kind, wish.model_id, quoted_names(*now)));
  }
  const std::vector<ServerWish> before = added_;
  std::erase_if(added_, [&](const ServerWish& each) { return each.name == wish.name; });
  added_.push_back(wish);
  Status added;
  if (const Result<config::Config> valid = configuration(); !valid) added = fail(valid.error());
  if (added && local_) added = await_quiet(wish.name);
  if (added) added = give_over(before);
  if (!added) added_ = before;
  return added;
}

}  // namespace berth::embed
