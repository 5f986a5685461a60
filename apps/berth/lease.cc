// SPDX-License-Identifier: Apache-2.0
// `berth lease` and `berth hold`: a command that runs while it has memory, or while servers stay.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "child.h"
#include "commands.h"
#include "table.h"

namespace berth::cli {
namespace {

namespace json = boost::json;
using client::LeaseInfo;
using client::LeaseNews;
using client::LeaseStream;

/// From SIGTERM to SIGKILL of a command whose lease or hold was revoked.
constexpr Duration kGrace = 10s;
constexpr std::size_t kNameMax = 100;
/// A command comes back for its hold so often, until the servers that Berth left have been stopped
/// (`orphan_timeout`).
constexpr Duration kResumeInterval = 500ms;
constexpr Duration kResumeLimit = 5min;
constexpr const char* kTheHold = "the hold";

std::string default_name(const std::vector<std::string>& command) {
  return std::filesystem::path(command.front()).filename().string().substr(0, kNameMax);
}

void add_common(json::object& wish, const std::string& name, const std::string& max,
                const std::vector<std::string>& command) {
  wish["name"] = name.empty() ? default_name(command) : name;
  if (!max.empty()) wish["max"] = max;
}

/// The amounts as they were given: Berth reads them, and says what is wrong with them.
Result<json::object> bytes_of(const std::vector<std::string>& given) {
  json::object bytes;
  for (const std::string& each : given) {
    const std::size_t at = each.find('=');
    if (at == std::string::npos || at == 0) {
      return fail(
          ErrorCode::bad_request,
          fmt::format("--bytes {} names no pool; write POOL=AMOUNT, for example ram=8GiB", each));
    }
    bytes[each.substr(0, at)] = each.substr(at + 1);
  }
  return bytes;
}

http::Request request_for(json::object wish, std::string_view command) {
  http::Request request;
  identify(request, command);
  request.body = json::serialize(wish);
  return request;
}

Result<http::Request> wish_of(const LeaseOptions& options) {
  Result<json::object> bytes = bytes_of(options.bytes);
  if (!bytes) return fail(bytes.error());
  json::object wish;
  if (!bytes->empty()) wish["bytes"] = std::move(*bytes);
  if (!options.vram.empty()) wish["vram"] = options.vram;
  if (!options.ram.empty()) wish["ram"] = options.ram;
  if (options.device) wish["device"] = *options.device;
  if (!options.job_class.empty()) wish["class"] = options.job_class;
  add_common(wish, options.name, options.max, options.command);
  return request_for(std::move(wish), "lease run");
}

http::Request wish_of(const HoldOptions& options) {
  json::object wish;
  wish["servers"] = json::array(options.servers.begin(), options.servers.end());
  wish["exclusive"] = options.exclusive;
  add_common(wish, options.name, options.max, options.command);
  return request_for(std::move(wish), "hold");
}

Error no_command(std::string_view how) {
  return {ErrorCode::bad_request,
          fmt::format("say what to run, behind --: {} -- python3 work.py", how)};
}

/// One line at a terminal, redrawn each second, while a lease or hold waits.
class WaitLine {
 public:
  static std::shared_ptr<WaitLine> begin(const Executor& executor, std::string what) {
    auto line = std::make_shared<WaitLine>(std::move(what));
    if (is_terminal(STDERR_FILENO)) spawn(executor, draw(line));
    return line;
  }
  explicit WaitLine(std::string what) : what_(std::move(what)) {}
  void end() {
    over_.set();
    if (std::exchange(drawn_, false)) write("\r\x1b[K");
  }

 private:
  static void write(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }
  // Shared: it may be woken after the command has gone on.
  static Task<void> draw(std::shared_ptr<WaitLine> self) {
    const auto begun = std::chrono::steady_clock::now();
    while (!self->over_.is_set()) {
      const Duration waited = std::chrono::steady_clock::now() - begun;
      const auto seconds = std::chrono::floor<std::chrono::seconds>(waited).count();
      self->drawn_ = true;
      write(fmt::format("\r\x1b[Kberth: {} waits, {} s; `berth explain` says why", self->what_,
                        seconds));
      static_cast<void>(co_await self->over_.wait_for(1s));
    }
  }

  std::string what_;
  bool drawn_ = false;
  Event over_;
};

/// Waits for the grant. Errors: why it is refused.
Task<Result<LeaseNews>> granted(LeaseStream* stream, Executor executor, std::string what) {
  const auto line = WaitLine::begin(executor, std::move(what));
  while (true) {
    Result<LeaseNews> news = co_await stream->next();
    if (news && news->state == "waiting") continue;
    line->end();
    if (news && news->state != "granted") co_return fail(news->error);
    co_return news;
  }
}

/// A lease or hold that was granted. Shared: its stream ends after the command, or before it.
struct Grant {
  client::Client* berth = nullptr;
  std::shared_ptr<LeaseStream> stream;
  bool is_hold = false;
  std::int64_t job = 0;
  Event given_back;  ///< the command has ended
  Event revoked;     ///< it has ended otherwise
  Error why{ErrorCode::server_gone, "Berth went down"};
};

void note(const std::string& text) {
  const std::string line = "berth: " + printable_line(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

/// A crash of Berth ends no hold: the next Berth keeps it for a while, for its owner to come back.
Task<bool> resume(std::shared_ptr<Grant> grant) {
  note(fmt::format("Berth is gone; the command goes on, and comes back for hold {}", grant->job));
  const auto until = std::chrono::steady_clock::now() + kResumeLimit;
  while (std::chrono::steady_clock::now() < until) {
    const bool over = co_await grant->given_back.wait_for(kResumeInterval);
    if (over) co_return false;
    http::Request request = request_for(json::object{{"resume", grant->job}}, "hold");
    auto stream = co_await grant->berth->hold(std::move(request));
    if (stream) {
      grant->stream = std::move(*stream);
      note("Berth is back, the hold goes on");
      co_return true;
    }
    const ErrorCode code = stream.error().code;
    if (code == ErrorCode::not_running || code == ErrorCode::server_gone) continue;
    grant->why = stream.error();
    co_return false;
  }
  co_return false;
}

Task<void> follow(std::shared_ptr<Grant> grant) {
  while (!grant->given_back.is_set()) {
    const Result<LeaseNews> news = co_await grant->stream->next();
    const bool goes_on = news && (news->state == "waiting" || news->state == "granted");
    if (goes_on) continue;
    if (!news && grant->is_hold && !grant->given_back.is_set()) {
      const bool is_back = co_await resume(grant);
      if (is_back) continue;
    }
    if (news) grant->why = news->error;
    grant->revoked.set();
    co_return;
  }
}

Task<int> run_granted(std::shared_ptr<Grant> grant, LeaseNews news,
                      std::vector<std::string> command) {
  const std::string name = command.front();
  auto child = Child::start(std::move(command), std::move(news.environment));
  if (!child) co_return report(child.error(), false);
  const Executor executor = grant->berth->executor();
  spawn(executor, Child::watch(*child));
  spawn(executor, follow(grant));
  std::vector<Event*> events;
  events.push_back(&(*child)->ended());
  events.push_back(&grant->revoked);
  const std::optional<std::size_t> which = co_await wait_any(std::move(events));
  if (which == 0) {
    grant->given_back.set();
    grant->stream->close();
    co_return (*child)->exit_status();
  }
  note(fmt::format("{}; {} is told to end", grant->why.message, name));
  co_await (*child)->stop(kGrace);
  co_return exit_status(ErrorCode::deadline);
}

/// Asks, waits, runs the command, returns its exit status.
Task<int> run(client::Client* berth, Task<Result<std::unique_ptr<LeaseStream>>> asking,
              std::string what, std::vector<std::string> command, bool as_json) {
  auto asked = co_await std::move(asking);
  if (!asked) co_return report(asked.error(), as_json);
  const auto grant = std::make_shared<Grant>();
  grant->berth = berth;
  grant->stream = std::move(*asked);
  grant->is_hold = what == kTheHold;
  auto news = co_await granted(grant->stream.get(), berth->executor(), std::move(what));
  if (!news) co_return report(news.error(), as_json);
  grant->job = news->job;
  const int status = co_await run_granted(grant, std::move(*news), std::move(command));
  co_return status;
}

std::string need_text(const LeaseInfo& lease) {
  std::vector<std::string> parts;
  for (const auto& [pool, bytes] : lease.bytes)
    parts.push_back(fmt::format("{} {}", to_text(bytes), pool));
  for (const std::string& server : lease.servers)
    parts.push_back(server);
  return fmt::format("{}{}", fmt::join(parts, ", "), lease.exclusive ? " alone" : "");
}

Row row_of(const LeaseInfo& lease) {
  const std::string note =
      lease.processes.empty() ? "" : fmt::format("held by {}", fmt::join(lease.processes, ", "));
  return {{{std::to_string(lease.job)},
           {lease.kind},
           {lease.state, lease.state == "granted" ? Colour::green : Colour::yellow},
           {lease.holder},
           {need_text(lease)},
           {lease.seen ? to_text(*lease.seen) : "-"},
           {to_text(lease.since)},
           {lease.limit ? to_text(*lease.limit) : "none"}},
          note};
}

Task<int> show_leases(client::Client* berth, bool as_json) {
  const Result<std::string> reply = co_await berth->leases();
  if (!reply) co_return report(reply.error(), as_json);
  const auto leases = client::read_leases(*reply);
  if (!leases) co_return report(leases.error(), as_json);
  say(as_json ? *reply + "\n" : leases_table(*leases));
  co_return 0;
}

}  // namespace

std::string leases_table(const std::vector<LeaseInfo>& leases) {
  if (leases.empty()) return "there are no leases and no holds\n";
  std::vector<Row> rows;
  for (const LeaseInfo& lease : leases)
    rows.push_back(row_of(lease));
  return render_table({{"JOB", true},
                       {"KIND"},
                       {"STATE"},
                       {"HOLDER"},
                       {"WHAT"},
                       {"USED", true},
                       {"SINCE", true},
                       {"LIMIT", true}},
                      rows);
}

int lease_run(const Common& common, const LeaseOptions& options) {
  if (options.command.empty()) return report(no_command("berth lease run --ram 8GiB"), common.json);
  const Result<http::Request> wish = wish_of(options);
  if (!wish) return report(wish.error(), common.json);
  return converse(common, [&](client::Client* berth) {
    return run(berth, berth->lease(*wish), "the lease", options.command, common.json);
  });
}

int lease_status(const Common& common) {
  return converse(common, [&](client::Client* berth) { return show_leases(berth, common.json); });
}

int hold(const Common& common, const HoldOptions& options) {
  if (options.command.empty()) return report(no_command("berth hold SERVER"), common.json);
  return converse(common, [&](client::Client* berth) {
    return run(berth, berth->hold(wish_of(options)), kTheHold, options.command, common.json);
  });
}

}  // namespace berth::cli
