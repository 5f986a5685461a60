// SPDX-License-Identifier: Apache-2.0
// What outlives Berth: one SQLite database in the state directory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "berth/base/result.h"
#include "berth/core/types.h"

namespace berth::store {

class Database;

/// The durable record of one server. core::Row with names instead of positions, and the frozen
/// launch spec: a configuration may have changed between two runs.
struct ServerRow {
  struct Displaced {
    std::int64_t since_unix_ms = 0;
    std::string by;  ///< name of the server
    core::After after = core::After::restore;

    bool operator==(const Displaced&) const = default;
  };

  std::string name;
  core::Wanted wanted = core::Wanted::on_demand;
  std::uint64_t generation = 0;
  std::optional<Displaced> displaced;
  bool skip_next_restore = false;
  std::string launch_spec;  ///< JSON; empty before the first start

  bool operator==(const ServerRow&) const = default;
};

/// A hold that was granted and is not over: its owner may come back for it after a crash of Berth.
struct HoldRow {
  std::uint64_t job = 0;  ///< its commands know it by this number
  std::string holder;
  std::vector<std::string> servers;  ///< names, in order
  bool exclusive = false;
  std::optional<std::int64_t> ends_unix_ms;  ///< its limit; nothing = none

  bool operator==(const HoldRow&) const = default;
};

/// The hold of that number is over.
struct HoldEnded {
  std::uint64_t job = 0;
};

/// When a server took what was measured of it. `load`: until it was ready; `steady`: ready and
/// without work; `work`: while it worked. `raised`: not measured: that it needs more than was
/// counted is known because it ran out of memory.
enum class Stage : std::uint8_t { load, steady, work, raised };

/// The most that a server was measured to take in one pool.
struct FootprintRow {
  std::string key;  ///< model, program and the arguments that matter
  std::string pool;
  Stage stage = Stage::work;
  std::string shape;  ///< of its work: "1024x768"; "" where all of it takes the same
  std::int64_t bytes = 0;
  std::string server;  ///< its name then, for people

  bool operator==(const FootprintRow&) const = default;
};

/// What is known under that key is not believed any more; "" = of all.
struct FootprintsForgotten {
  std::string key;
  std::optional<Stage> stage = std::nullopt;  ///< only this; nothing = all
};

/// An image job, which outlives its connection and perhaps Berth.
struct ImageJobRow {
  std::string id;
  std::string server;
  std::string status;  ///< see host::name(ImageStatus)
  std::int64_t created_unix_ms = 0;
  std::int64_t updated_unix_ms = 0;
  std::uint64_t generation = 0;  ///< of the server that `at_server` belongs to
  std::string at_server;         ///< what the server calls its pictures, with spaces between
  std::int64_t seed = 0;         ///< of the first picture
  std::int64_t count = 1;
  std::string pictures;  ///< JSON; what is known of the files
  std::int64_t time_taken_ms = 0;
  std::string error_code;  ///< "" = none
  std::string error_message;

  bool operator==(const ImageJobRow&) const = default;
};

/// Nobody asks for the image job of that id any more.
struct ImageJobForgotten {
  std::string id;
};

/// Something to be written: a row over the one of the same name or number, or its end.
using Change = std::variant<ServerRow, HoldRow, HoldEnded, FootprintRow, FootprintsForgotten,
                            ImageJobRow, ImageJobForgotten>;

/// The names that stand in the database. Do not change them; they are stored.
std::string_view stored_name(core::Wanted wanted);
std::string_view stored_name(core::After after);
std::string_view stored_name(Stage stage);

/// The database, held open by exactly one connection.
///
/// WAL with synchronous=FULL: when put() has returned, the rows survive a power cut. The file is
/// locked for as long as the Store lives; nobody else can read or write it.
///
/// Threads: one at a time; it may move between threads.
class Store {
 public:
  /// Opens the database at `path`, or creates it (mode 0600), checks it and brings its schema up
  /// to date. The folder must exist.
  /// Errors: already_running if another process has it open; conflict if a newer Berth wrote it;
  /// io if it is damaged or cannot be read; disk_full.
  static Result<Store> open(const std::string& path);

  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  /// Writes all changes in one transaction, in order; nothing or all.
  /// Errors: disk_full (try again when there is room), or io. After io every later call fails the
  /// same way: a failed fsync may have lost what was written, only opening again tells.
  Status put(std::span<const Change> changes);

  /// Returns every row, by name.
  /// Errors: io.
  Result<std::vector<ServerRow>> rows();
  /// Returns every hold, by number.
  /// Errors: io.
  Result<std::vector<HoldRow>> holds();
  /// Returns every footprint, by server and pool.
  /// Errors: io.
  Result<std::vector<FootprintRow>> footprints();
  /// Returns every image job, oldest first.
  /// Errors: io.
  Result<std::vector<ImageJobRow>> image_jobs();

  /// Counts the transactions that were committed by put(), each at least one fsync.
  [[nodiscard]] std::uint64_t transactions() const { return transactions_; }

 private:
  explicit Store(std::unique_ptr<Database> database);
  Status write(std::span<const Change> changes);
  Status write_one(const Change& change, std::int64_t now_unix_ms);

  std::unique_ptr<Database> database_;
  std::optional<Error> broken_;
  std::uint64_t transactions_ = 0;
};

}  // namespace berth::store
