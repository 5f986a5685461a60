// SPDX-License-Identifier: Apache-2.0
// What is known of image jobs, from their arrival until nobody asks for them any more.
#include "berth/host/image_jobs.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "berth/base/assert.h"
#include "berth/host/image_entry.h"

namespace berth::host {
namespace {

/// Jobs whose pictures are kept at once, and their bytes. The oldest go first.
constexpr std::size_t kResultsMax = 100;
constexpr std::int64_t kResultBytesMax = 512LL << 20;
/// Ids that are remembered after their end, and for how long.
constexpr std::size_t kRecordsMax = 1000;
constexpr std::int64_t kRecordAgeMs = 24LL * 60 * 60 * 1000;

std::uint64_t random_number() {
  std::uint64_t number = 0;
  const ssize_t count = ::getrandom(&number, sizeof number, 0);
  BERTH_ASSERT(count == sizeof number);  // so few bytes are never cut short
  return number;
}

/// Nobody guesses the id of a picture of others.
std::string new_id(WallTime now) {
  return fmt::format("gen_{}_{:016x}", now.unix_ms, random_number());
}

/// As genai-electron draws them, with room for the next pictures of a batch.
std::int64_t random_seed() {
  constexpr std::uint64_t kSeeds = (1ULL << 31) - 16;
  return static_cast<std::int64_t>(random_number() % kSeeds);
}

std::int64_t bytes_of(const ImageJob& job) {
  std::int64_t sum = 0;
  for (const KeptPicture& each : job.pictures)
    sum += each.bytes;
  return sum;
}

Error not_as_written(const ImageJob& job, const KeptPicture& picture) {
  return {ErrorCode::expired,
          fmt::format("picture {} of image job {} is not as it was written; ask for it again",
                      picture.file, job.id)};
}

}  // namespace

Error interruption(const ImageJob& job) {
  const std::string_view what = job.status == ImageStatus::pending
                                    ? "while it waited"
                                    : "while it was drawn, and its server draws it no more";
  return {ErrorCode::interrupted,
          fmt::format("Berth ended {}, so image job {} has no picture; ask for it again (prompts "
                      "are not kept on the disk)",
                      what, job.id)};
}

ImageJobs::ImageJobs(Executor executor, Host& host, Options options)
    : executor_(std::move(executor)), host_(host), options_(std::move(options)) {}
ImageJobs::~ImageJobs() = default;

Task<Result<ImageJobPtr>> ImageJobs::submit(ImageWish wish, JobRequest request,
                                            std::unique_ptr<Job> job) {
  const auto entry = std::make_shared<Entry>();
  entry->created = entry->updated = wall_now();
  entry->id = new_id(entry->created);
  entry->server = host_.config().servers.at(request.server.value).name;
  entry->seed = wish.seed.value_or(random_seed());
  entry->count = wish.count;
  entry->wish = std::move(wish);
  entry->request = std::move(request);
  entries_.emplace(entry->id, entry);
  spawn(executor_, run(this, entry, std::move(job)));
  const Status saved = co_await save(entry);
  if (saved) co_return ImageJobPtr(entry);
  entry->cancel_asked.set();
  co_return fail(saved.error());
}

Result<ImageJobPtr> ImageJobs::find(std::string_view id) const {
  const auto found = entries_.find(id);
  if (found != entries_.end()) return ImageJobPtr(found->second);
  return fail(ErrorCode::not_found,
              fmt::format("there is no image job {}; ids are known for a day", id));
}

Task<Status> ImageJobs::cancel(ImageJobPtr job, Event& gone) {
  const EntryPtr entry = entries_.at(job->id);
  if (!is_over(entry->status)) {
    entry->cancel_asked.set();
    std::vector<Event*> events = {&entry->over, &gone};
    co_await wait_any(std::move(events));
  }
  if (!is_over(entry->status) || entry->status == ImageStatus::cancelled) co_return Status{};
  co_return fail(ErrorCode::conflict,
                 fmt::format("image job {} is over already: {}", entry->id, name(entry->status)));
}

std::string ImageJobs::path_of(const std::string& file) const {
  return fmt::format("{}/{}", options_.folder, file);
}

Result<std::string> ImageJobs::read(const ImageJob& job, const KeptPicture& picture) const {
  std::ifstream file(path_of(picture.file), std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  std::string text = std::move(bytes).str();
  if (static_cast<std::int64_t>(text.size()) == picture.bytes) return text;
  return fail(not_as_written(job, picture));
}

Status ImageJobs::is_served(const ImageJob& job) const {
  std::optional<Error> why;
  for (const KeptPicture& each : job.pictures) {
    std::error_code failed;
    const auto bytes = std::filesystem::file_size(path_of(each.file), failed);
    if (!failed && static_cast<std::int64_t>(bytes) == each.bytes) return {};
    why = not_as_written(job, each);
  }
  return why ? fail(*why) : Status{};
}

void ImageJobs::on_progress(ServerId server, const servers::Progress& said) {
  const auto found = drawn_.find(server);
  if (found == drawn_.end() || !found->second->progress) return;
  advance(*found->second->progress, said);
  set_status(*found->second, found->second->status);
}

// ---- Records ------------------------------------------------------------------------------------

void ImageJobs::set_status(Entry& entry, ImageStatus status) {
  entry.status = status;
  entry.updated = wall_now();
  entry.changed.set();
  entry.changed.reset();
}

Task<Status> ImageJobs::put(store::Change change) {
  struct Answer {
    Event done;
    Status status;
  };
  const auto answer = std::make_shared<Answer>();
  options_.put(std::move(change), [answer](Status status) {
    answer->status = std::move(status);
    answer->done.set();
  });
  co_await answer->done.wait();
  co_return answer->status;
}

Task<Status> ImageJobs::save(EntryPtr entry) {
  store::ImageJobRow row = to_row(*entry, entry->at_server, entry->generation);
  Status saved = co_await put(std::move(row));
  co_return saved;
}

void ImageJobs::note(const EntryPtr& entry) {
  // What is lost with a row of one that is not over is only that it is adopted after a crash.
  options_.put(to_row(*entry, entry->at_server, entry->generation), [](const Status&) {});
}

/// On the disk before anybody sees it: who was told "complete" is served after a crash too.
Task<void> ImageJobs::finish(EntryPtr entry, ImageStatus status, std::optional<Error> error) {
  if (status != ImageStatus::complete) drop_files(*entry);
  entry->wish = {};
  entry->error = std::move(error);
  const WallTime now = wall_now();
  if (status == ImageStatus::complete) {
    entry->time_taken = std::chrono::milliseconds(now.unix_ms - entry->created.unix_ms);
  }
  store::ImageJobRow row = to_row(*entry, {}, {});
  row.status = name(status);
  row.updated_unix_ms = now.unix_ms;
  static_cast<void>(co_await put(std::move(row)));  // a full disk takes nobody's picture away
  entry->progress.reset();
  set_status(*entry, status);
  entry->over.set();
  if (status == ImageStatus::complete) expire_after(entry, options_.result_ttl);
  bound_results();
  bound_records();
}

void ImageJobs::drop_files(Entry& entry) {
  for (const KeptPicture& each : entry.pictures)
    ::unlink(path_of(each.file).c_str());
  entry.pictures.clear();
}

void ImageJobs::expire(const EntryPtr& entry, std::string why) {
  if (entry->status != ImageStatus::complete) return;
  drop_files(*entry);
  entry->error = Error{ErrorCode::expired,
                       fmt::format("the pictures of image job {} are gone: {}", entry->id, why)};
  set_status(*entry, ImageStatus::expired);
  note(entry);
}

void ImageJobs::expire_after(const EntryPtr& entry, Duration left) {
  spawn(executor_, expire_later(this, entry, left));
}

Task<void> ImageJobs::expire_later(ImageJobs* self, std::weak_ptr<Entry> entry, Duration left) {
  co_await delay(left);
  const EntryPtr held = entry.lock();
  if (!held) co_return;
  self->expire(held, fmt::format("they were kept for {} (image_result_ttl)",
                                 to_text(self->options_.result_ttl)));
}

std::vector<ImageJobs::EntryPtr> ImageJobs::by_age(bool (*counts)(ImageStatus)) const {
  std::vector<EntryPtr> all;
  for (const auto& [id, entry] : entries_) {
    if (counts(entry->status)) all.push_back(entry);
  }
  std::sort(all.begin(), all.end(), [](const EntryPtr& a, const EntryPtr& b) {
    return std::tie(a->updated.unix_ms, a->id) < std::tie(b->updated.unix_ms, b->id);
  });
  return all;
}

void ImageJobs::bound_results() {
  const std::vector<EntryPtr> kept =
      by_age([](ImageStatus status) { return status == ImageStatus::complete; });
  std::int64_t bytes = 0;
  for (const EntryPtr& each : kept)
    bytes += bytes_of(*each);
  std::size_t count = kept.size();
  for (const EntryPtr& each : kept) {
    if (count <= kResultsMax && bytes <= kResultBytesMax) return;
    --count;
    bytes -= bytes_of(*each);
    expire(each, fmt::format("newer ones needed their place ({} jobs, {})", kResultsMax,
                             to_text(Bytes{kResultBytesMax})));
  }
}

void ImageJobs::bound_records() {
  const std::vector<EntryPtr> over =
      by_age([](ImageStatus status) { return is_over(status) && status != ImageStatus::complete; });
  const std::int64_t oldest = wall_now().unix_ms - kRecordAgeMs;
  std::size_t count = over.size();
  for (const EntryPtr& each : over) {
    if (count-- <= kRecordsMax && each->updated.unix_ms > oldest) return;
    options_.put(store::ImageJobForgotten{each->id}, [](const Status&) {});
    entries_.erase(each->id);
  }
}

// ---- A start of Berth ---------------------------------------------------------------------------

std::vector<ImageJobs::Work> ImageJobs::recover(const std::vector<store::ImageJobRow>& rows) {
  std::vector<Work> work;
  for (const store::ImageJobRow& row : rows) {
    const auto entry = std::make_shared<Entry>();
    if (!read_row(row, *entry, entry->at_server)) {
      options_.put(store::ImageJobForgotten{row.id}, [](const Status&) {});
      continue;
    }
    entry->generation = Generation{row.generation};
    entries_.emplace(entry->id, entry);
    if (is_over(entry->status)) continue;
    // Those that were there when this server was asked, and what it was asked for, are all.
    const std::size_t known = entry->pictures.size() + entry->at_server.size();
    const auto count = static_cast<std::size_t>(entry->count);
    if (known < count || entry->at_server.size() > count) entry->at_server.clear();
    if (entry->at_server.empty()) continue;
    work.push_back({entry->server, entry->generation, entry->at_server});
  }
  return work;
}

bool ImageJobs::adopt(std::string_view server, std::unique_ptr<Job> job) {
  for (const auto& [id, entry] : entries_) {
    if (is_over(entry->status) || entry->server != server || entry->at_server.empty()) continue;
    entry->adopted = true;
    spawn(executor_, run(this, entry, std::move(job)));
    return true;
  }
  return false;
}

void ImageJobs::end_recovery() {
  std::set<std::string> named;
  const std::int64_t now = wall_now().unix_ms;
  for (const auto& [id, entry] : entries_) {
    for (const KeptPicture& each : entry->pictures)
      named.insert(each.file);
    if (entry->status == ImageStatus::complete) {
      const auto age = std::chrono::milliseconds(now - entry->updated.unix_ms);
      expire_after(entry, std::max<Duration>(options_.result_ttl - age, Duration{0}));
    } else if (!is_over(entry->status) && !entry->adopted) {
      spawn(executor_, finish(entry, ImageStatus::interrupted, interruption(*entry)));
    }
  }
  std::error_code failed;
  for (const auto& file : std::filesystem::directory_iterator(options_.folder, failed)) {
    if (!named.contains(file.path().filename().string())) ::unlink(file.path().c_str());
  }
}

}  // namespace berth::host
