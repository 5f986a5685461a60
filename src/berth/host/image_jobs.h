// SPDX-License-Identifier: Apache-2.0
// Image jobs: pictures that are asked for by an id and belong to Berth, not to a connection.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/host/host.h"
#include "berth/host/image_progress.h"
#include "berth/servers/sd_native.h"
#include "berth/store/store.h"

namespace berth::host {

/// Do not change the names; they are stored and answered. The pictures of an `expired` one are
/// gone.
enum class ImageStatus : std::uint8_t {
  pending,
  in_progress,
  complete,
  error,
  cancelled,
  interrupted,
  expired,
};

std::string_view name(ImageStatus status);
bool is_over(ImageStatus status);

struct ImageWish {
  servers::PictureWish picture;
  std::optional<std::int64_t> seed;  ///< of the first picture, the next ones count on from it
  std::int32_t count = 1;
};

/// A picture that is there: a file of mode 0600.
struct KeptPicture {
  std::string file;  ///< its name in the folder
  std::int64_t bytes = 0;
  std::int64_t seed = 0;
  std::int32_t width = 0;
  std::int32_t height = 0;

  bool operator==(const KeptPicture&) const = default;
};

struct ImageJob {
  std::string id;
  std::string server;  ///< that draws it; until one does, that was asked for
  ImageStatus status = ImageStatus::pending;
  WallTime created;
  WallTime updated;
  std::int64_t seed = 0;
  std::int32_t count = 1;
  std::optional<ImageProgress> progress;  ///< while it is in progress
  std::vector<KeptPicture> pictures;      ///< all of them once it is complete
  Duration time_taken{0};                 ///< from its arrival until it was complete
  std::optional<Error> error;             ///< of error, interrupted and expired: why
  Event changed;                          ///< pulsed with each change of status or progress
};

using ImageJobPtr = std::shared_ptr<ImageJob>;

/// Every image job, from its arrival until nobody asks for it any more. Each is one job of the
/// core, however many pictures it has. Rows in the store tell of them after a restart; prompts are
/// in no row and no file.
///
/// Ownership: it outlives its coroutines or ends with the loop.
/// Threads: the strand.
class ImageJobs {
 public:
  struct Options {
    std::string folder;  ///< of the pictures
    Duration result_ttl{5min};
    /// Writes a change to the store and then calls back, on the strand.
    std::function<void(store::Change, std::function<void(Status)>)> put;
  };

  ImageJobs(Executor executor, Host& host, Options options);
  ~ImageJobs();
  ImageJobs(const ImageJobs&) = delete;
  ImageJobs& operator=(const ImageJobs&) = delete;

  /// Takes the job on; `job` is what Host::submit(request) returned, and not refused. When it
  /// returns, the id is on the disk: it is answered whatever happens.
  /// Errors: disk_full; io.
  Task<Result<ImageJobPtr>> submit(ImageWish wish, JobRequest request, std::unique_ptr<Job> job);

  /// Errors: not_found.
  [[nodiscard]] Result<ImageJobPtr> find(std::string_view id) const;

  /// Withdraws a job that waits. The end of one that runs is awaited, or brought about where the
  /// server's `cancel` is "restart". Returns at once if `gone` is set; the job is cancelled anyway.
  /// Errors: conflict if it is over, and not by cancel().
  Task<Status> cancel(ImageJobPtr job, Event& gone);

  /// Errors: expired if the file is not there any more, or not as it was written.
  [[nodiscard]] Result<std::string> read(const ImageJob& job, const KeptPicture& picture) const;

  /// Of a complete job.
  /// Errors: expired if read() would find none of its pictures.
  [[nodiscard]] Status is_served(const ImageJob& job) const;

  /// The server's log tells of the picture that it draws.
  void on_progress(ServerId server, const servers::Progress& said);

  // ---- A start of Berth, in this order ----

  /// What the server of that name still did for the past Berth, by its own ids.
  struct Work {
    std::string server;
    Generation generation;
    std::vector<std::string> ids;
  };
  /// Takes the rows. Returns the work that may still be under way.
  std::vector<Work> recover(const std::vector<store::ImageJobRow>& rows);
  /// Goes on with the work that `job` is the core's job for. Returns false if there is none.
  bool adopt(std::string_view server, std::unique_ptr<Job> job);
  /// Every other job that was under way is interrupted, and files that no row names are deleted.
  void end_recovery();

 private:
  struct Entry;
  using EntryPtr = std::shared_ptr<Entry>;
  struct Outcome;

  // Of the drawing (image_drawing.cc).
  static Task<void> run(ImageJobs* self, EntryPtr entry, std::unique_ptr<Job> job);
  static ImageStatus status_after(const std::optional<Error>& error, const Entry& entry);
  Task<Outcome> draw(EntryPtr entry, Job& job);
  void begin(const EntryPtr& entry, ServerId server);
  Task<Status> ask_for_rest(EntryPtr entry, Job& job);
  Task<Status> collect(EntryPtr entry, Job& job, servers::Work& work);
  Task<void> stop_rest(EntryPtr entry, Job& job, servers::Work& work);
  Task<Result<http::Response>> ask(Job& job, http::Request request);
  Task<Result<servers::PictureState>> look(Job& job, std::string id);
  Status keep(Entry& entry, std::string_view png);

  // Of the records.
  Task<Status> put(store::Change change);
  Task<Status> save(EntryPtr entry);
  void note(const EntryPtr& entry);
  std::vector<EntryPtr> by_age(bool (*counts)(ImageStatus)) const;
  Task<void> finish(EntryPtr entry, ImageStatus status, std::optional<Error> error);
  void set_status(Entry& entry, ImageStatus status);
  void expire_after(const EntryPtr& entry, Duration left);
  static Task<void> expire_later(ImageJobs* self, std::weak_ptr<Entry> entry, Duration left);
  void expire(const EntryPtr& entry, std::string why);
  void drop_files(Entry& entry);
  void bound_results();
  void bound_records();
  [[nodiscard]] std::string path_of(const std::string& file) const;

  Executor executor_;
  Host& host_;
  Options options_;
  std::map<std::string, EntryPtr, std::less<>> entries_;
  std::map<ServerId, EntryPtr> drawn_;  ///< by which server, now
};

}  // namespace berth::host
