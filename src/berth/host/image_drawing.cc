// SPDX-License-Identifier: Apache-2.0
// The way of one image job through the core and its server.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "berth/host/image_entry.h"
#include "berth/http/client.h"
#include "berth/process/unique_fd.h"

namespace berth::host {
namespace {

using Clock = std::chrono::steady_clock;

/// Its server dies over it: it is asked for once more, as a request of a client is.
constexpr int kReplaysMax = 1;
/// The exit of a server is seen within milliseconds after its connections break.
constexpr Duration kExitLimit = 2s;
/// sd-server answers while it draws; on a machine that is all at work it takes a while.
constexpr Duration kAskLimit = 10s;
constexpr int kFailuresMax = 3;
/// The log tells of the end of a picture; the state follows within milliseconds.
constexpr Duration kAfterTheLog = 20ms;
/// Asked without a word of the log, should its words have changed.
constexpr Duration kWithoutTheLog = 1s;
/// As for a picture whose client has left (host/recovery.cc), where no job_limit is configured.
constexpr Duration kPictureLimit = 30min;

/// How long until the server is asked again.
class Pace {
 public:
  /// `told`: the log has said that a picture has ended.
  void note(bool told) { quick_ = told ? kQuickMax : quick_ - (quick_ > 0); }
  [[nodiscard]] Duration pause() const { return quick_ > 0 ? kAfterTheLog : kWithoutTheLog; }

 private:
  static constexpr int kQuickMax = 25;
  int quick_ = 0;
};

/// Source: PNG, section 11.2.2.
std::int32_t number_at(std::string_view png, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = at; i < at + 4 && i < png.size(); ++i)
    value = value << 8 | static_cast<unsigned char>(png[i]);
  return static_cast<std::int32_t>(value);
}

Status cannot_write(const std::string& path) {
  const ErrorCode code = errno == ENOSPC ? ErrorCode::disk_full : ErrorCode::io;
  return fail(code, fmt::format("cannot write the picture {}: {}", path, strerror(errno)));
}

/// Nobody ever sees a part of it under its name.
Status write_private(const std::string& path, std::string_view bytes) {
  const std::string part = path + ".part";
  const process::UniqueFd file(
      ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.get() < 0) return cannot_write(path);
  while (!bytes.empty()) {
    const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return cannot_write(path);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  if (std::rename(part.c_str(), path.c_str()) != 0) return cannot_write(path);
  return {};
}

/// Whose words name the private address of the server.
bool is_of_connection(ErrorCode code) {
  return code == ErrorCode::server_gone || code == ErrorCode::deadline;
}

/// In the words that a relayed request is answered with.
Error no_answer(std::string_view server, std::string_view why,
                ErrorCode code = ErrorCode::server_gone) {
  return {code, fmt::format("\"{0}\" gave no answer: {1}; see `berth logs {0}`", server, why)};
}

core::JobEnd end_of(const std::optional<Error>& error, Job& job, bool cancelled) {
  if (!error) return core::JobEnd::done;
  if (cancelled) return core::JobEnd::cancelled;
  return job.cut().is_set() ? core::JobEnd::cut : core::JobEnd::failed;
}

}  // namespace

Task<void> ImageJobs::run(ImageJobs* self, EntryPtr entry, std::unique_ptr<Job> job) {
  std::optional<Error> error;
  for (int replays = 0;; ++replays) {
    const Status granted = co_await job->granted(entry->cancel_asked);
    if (!granted) error = granted.error();
    if (!granted) break;
    const Outcome outcome = co_await self->draw(entry, *job);
    error = outcome.error;
    const bool again = outcome.server_died && replays < kReplaysMax &&
                       entry->can_be_asked_again() && !entry->cancel_asked.is_set();
    if (!again) break;
    // Nobody shall look for them at its next process, should Berth end meanwhile.
    entry->at_server.clear();
    self->note(entry);
    job = self->host_.submit(entry->request);
  }
  const ImageStatus status = status_after(error, *entry);
  if (status == ImageStatus::cancelled) error.reset();
  if (status == ImageStatus::interrupted) error = interruption(*entry);
  co_await self->finish(entry, status, std::move(error));
}

/// Berth went down, or came up too late to go on with what the server did for it.
ImageStatus ImageJobs::status_after(const std::optional<Error>& error, const Entry& entry) {
  if (!error) return ImageStatus::complete;
  if (entry.cancel_asked.is_set()) return ImageStatus::cancelled;
  const bool lost = error->code == ErrorCode::not_found || error->code == ErrorCode::server_gone;
  const bool is_interrupted = error->code == ErrorCode::shutting_down || (lost && entry.adopted);
  return is_interrupted ? ImageStatus::interrupted : ImageStatus::error;
}

/// The server that draws may be the fallback of the one that was asked for, and after its death
/// another one: one batch is drawn by one server.
void ImageJobs::begin(const EntryPtr& entry, ServerId server) {
  const std::string& name = host_.config().servers.at(server.value).name;
  if (entry->server != name) drop_files(*entry);
  entry->server = name;
  entry->generation = host_.state().server(server).generation;
  entry->kept = entry->at_server.empty()
                    ? entry->pictures.size()
                    : static_cast<std::size_t>(entry->count) - entry->at_server.size();
  if (!entry->progress) entry->progress = ImageProgress{.images = entry->count};
  begin_at(*entry->progress, static_cast<std::int32_t>(entry->pictures.size()));
  drawn_[server] = entry;
  set_status(*entry, ImageStatus::in_progress);
}

/// From the grant until the server works for it no more.
Task<ImageJobs::Outcome> ImageJobs::draw(EntryPtr entry, Job& job) {
  const http::Request first = servers::draw_request(entry->wish.picture, entry->seed);
  const std::unique_ptr<servers::Work> work = job.adapter().begin_work(first);
  begin(entry, job.server());
  Status done;
  if (entry->at_server.empty()) done = co_await ask_for_rest(entry, job);
  if (done) done = co_await collect(entry, job, *work);
  drawn_.erase(job.server());
  Outcome outcome;
  if (!done) outcome.error = done.error();
  if (done) {
    co_await work->ended(/*reply_complete=*/true);
  } else {
    if (done.error().code == ErrorCode::server_gone) {
      outcome.server_died = co_await work->server_died(kExitLimit);
      if (outcome.server_died) outcome.error = no_answer(entry->server, "it ended while it drew");
    }
    const bool goes_down = done.error().code == ErrorCode::shutting_down;
    if (!outcome.server_died && !goes_down) co_await stop_rest(entry, job, *work);
  }
  job.ended(end_of(outcome.error, job, entry->cancel_asked.is_set()));
  co_return outcome;
}

Task<Result<http::Response>> ImageJobs::ask(Job& job, http::Request request) {
  Result<http::Response> reply =
      co_await http::fetch(executor_, job.adapter().endpoint(), std::move(request), kAskLimit);
  if (!reply && is_of_connection(reply.error().code)) {
    const std::string& name = host_.config().servers.at(job.server().value).name;
    const std::string_view why = reply.error().code == ErrorCode::deadline
                                     ? "it was silent for too long"
                                     : "its connection broke";
    co_return fail(no_answer(name, why, reply.error().code));
  }
  co_return reply;
}

/// sd-server draws one after the other and names each: what is not begun can be cancelled, and each
/// picture is there as soon as it is drawn.
Task<Status> ImageJobs::ask_for_rest(EntryPtr entry, Job& job) {
  for (auto i = static_cast<std::int32_t>(entry->kept); i < entry->count; ++i) {
    http::Request request = servers::draw_request(entry->wish.picture, entry->seed + i);
    const auto reply = co_await ask(job, std::move(request));
    if (!reply) co_return fail(reply.error());
    auto id = servers::id_of_accepted(*reply);
    if (!id) co_return fail(id.error());
    entry->at_server.push_back(std::move(*id));
  }
  note(entry);
  co_return Status{};
}

/// A few answers may fail while the machine is busy; a server that is gone is known at once.
Task<Result<servers::PictureState>> ImageJobs::look(Job& job, std::string id) {
  Error error;
  for (int failures = 0; failures < kFailuresMax; ++failures) {
    http::Request request = servers::look_request(id);
    const auto reply = co_await ask(job, std::move(request));
    if (reply) co_return servers::state_of(*reply);
    error = reply.error();
    if (error.code == ErrorCode::server_gone || job.cut().is_set()) break;
  }
  co_return fail(std::move(error));
}

Task<Status> ImageJobs::collect(EntryPtr entry, Job& job, servers::Work& work) {
  Pace pace;
  const std::size_t count = static_cast<std::size_t>(entry->count);
  while (entry->pictures.size() < count) {
    if (job.cut().is_set()) co_return fail(job.why_cut());
    if (entry->cancel_asked.is_set()) co_return fail(ErrorCode::cancelled, "it was cancelled");
    const auto state = co_await look(job, entry->at_server[entry->pictures.size() - entry->kept]);
    if (!state && job.cut().is_set()) co_return fail(job.why_cut());
    if (!state) co_return fail(state.error());
    if (state->error) co_return fail(*state->error);
    if (state->is_over) {
      const Status kept = keep(*entry, state->png);
      if (!kept) co_return kept;
      if (entry->pictures.size() < count) note(entry);
      continue;
    }
    std::vector<Event*> events = {work.piece_ended(), &entry->cancel_asked, &job.cut()};
    const auto which = co_await wait_any(std::move(events), pace.pause());
    pace.note(which == 0u);
  }
  co_return Status{};
}

Status ImageJobs::keep(Entry& entry, std::string_view png) {
  const std::size_t place = entry.pictures.size();
  const std::string file = fmt::format("{}-{}.png", entry.id, place + 1);
  const Status written = write_private(path_of(file), png);
  if (!written) return written;
  entry.pictures.push_back({.file = file,
                            .bytes = static_cast<std::int64_t>(png.size()),
                            .seed = entry.seed + static_cast<std::int64_t>(place),
                            .width = number_at(png, 16),
                            .height = number_at(png, 20)});
  advance_to(*entry.progress, static_cast<std::int32_t>(place + 1));
  set_status(entry, entry.status);
  return {};
}

/// It was cancelled, cut, or failed: nothing of it may go on at the server. The last picture is
/// taken back first, or the server would begin the next one meanwhile.
Task<void> ImageJobs::stop_rest(EntryPtr entry, Job& job, servers::Work& work) {
  std::string drawn;
  for (std::size_t i = entry->at_server.size(); i > entry->pictures.size() - entry->kept; --i) {
    const std::string& id = entry->at_server[i - 1];
    http::Request request = servers::cancel_request(id);
    const auto reply = co_await ask(job, std::move(request));
    if (reply && reply->status == 409) drawn = id;
  }
  if (drawn.empty()) {
    co_await work.ended(/*reply_complete=*/!entry->at_server.empty());
    co_return;
  }
  const bool ended = co_await work.interrupt();
  if (ended) co_return;
  Pace pace;
  const auto begun = Clock::now();
  while (!job.cut().is_set() && Clock::now() - begun < kPictureLimit) {
    const auto state = co_await look(job, drawn);
    if (!state || state->is_over) {
      co_await work.ended(/*reply_complete=*/state.has_value());
      co_return;
    }
    std::vector<Event*> events = {work.piece_ended(), &job.cut()};
    const auto which = co_await wait_any(std::move(events), pace.pause());
    pace.note(which == 0u);
  }
  co_await work.ended(/*reply_complete=*/false);
}

}  // namespace berth::host
