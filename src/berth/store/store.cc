// SPDX-License-Identifier: Apache-2.0
#include "berth/store/store.h"

#include <array>
#include <chrono>
#include <iterator>
#include <limits>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "berth/base/assert.h"
#include "berth/store/migrations.h"
#include "berth/store/sqlite.h"

namespace berth::store {
namespace {

using core::After;
using core::Wanted;

/// The order of these matters: the lock must be exclusive before WAL is first used, or SQLite makes
/// a file of shared memory. A commit of WAL with FULL syncs the log. Source: sqlite.org/wal.html.
constexpr std::string_view kSettings = R"sql(
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA mmap_size = 0;
    PRAGMA foreign_keys = ON;
    PRAGMA synchronous = FULL;
    PRAGMA journal_mode = WAL;
)sql";

constexpr std::string_view kPut = R"sql(
    INSERT OR REPLACE INTO server (name, wanted, generation, displaced_since_unix_ms, displaced_by,
                                   after, skip_next_restore, launch_spec, updated_unix_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
)sql";

constexpr std::string_view kRows = R"sql(
    SELECT name, wanted, generation, displaced_since_unix_ms, displaced_by, after,
           skip_next_restore, launch_spec
    FROM server ORDER BY name
)sql";

constexpr std::string_view kPutHold = R"sql(
    INSERT OR REPLACE INTO hold (job, holder, servers, exclusive, ends_unix_ms)
    VALUES (?1, ?2, ?3, ?4, ?5)
)sql";

constexpr std::string_view kEndHold = "DELETE FROM hold WHERE job = ?1";

constexpr std::string_view kHolds =
    "SELECT job, holder, servers, exclusive, ends_unix_ms FROM hold ORDER BY job";

constexpr std::string_view kPutFootprint = R"sql(
    INSERT OR REPLACE INTO footprint (key, pool, stage, shape, bytes, server, updated_unix_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
)sql";

constexpr std::string_view kForgetFootprints =
    "DELETE FROM footprint WHERE (key = ?1 OR ?1 = '') AND (stage = ?2 OR ?2 = '')";

constexpr std::string_view kFootprints = R"sql(
    SELECT key, pool, stage, shape, bytes, server
    FROM footprint ORDER BY server, key, pool, stage, shape
)sql";

constexpr std::string_view kPutImageJob = R"sql(
    INSERT OR REPLACE INTO image_job (id, server, status, created_unix_ms, updated_unix_ms,
                                      generation, at_server, seed, count, pictures, time_taken_ms,
                                      error_code, error_message)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
)sql";

constexpr std::string_view kForgetImageJob = "DELETE FROM image_job WHERE id = ?1";

constexpr std::string_view kImageJobs = R"sql(
    SELECT id, server, status, created_unix_ms, updated_unix_ms, generation, at_server, seed, count,
           pictures, time_taken_ms, error_code, error_message
    FROM image_job ORDER BY created_unix_ms, id
)sql";

/// Names of servers have no spaces.
constexpr char kBetweenNames = ' ';

constexpr auto kWanted = std::to_array<Wanted>({Wanted::on_demand, Wanted::on, Wanted::off});
constexpr auto kAfter = std::to_array<After>({After::restore, After::on_request});
constexpr auto kStages =
    std::to_array<Stage>({Stage::load, Stage::steady, Stage::work, Stage::raised});

/// Returns the value of that name; a name that no Berth of this schema writes is damage.
template <class Values>
Result<typename Values::value_type> value_named(const Values& values, const std::string& name) {
  for (const auto value : values) {
    if (stored_name(value) == name) return value;
  }
  return fail(ErrorCode::io, fmt::format("\"{}\" is no known value", name));
}

std::int64_t unix_ms_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::floor<std::chrono::milliseconds>(now).count();
}

void bind_displaced(Statement& put, const std::optional<ServerRow::Displaced>& displaced) {
  if (displaced) {
    put.bind(4, displaced->since_unix_ms);
    put.bind(5, displaced->by);
    put.bind(6, stored_name(displaced->after));
  } else {
    for (const int parameter : {4, 5, 6})
      put.bind_null(parameter);
  }
}

Status run_put(Statement& put, const ServerRow& row, std::int64_t now_unix_ms) {
  BERTH_ASSERT(!row.name.empty());
  BERTH_ASSERT(row.generation <= std::numeric_limits<std::int64_t>::max());
  put.reset();
  put.bind(1, row.name);
  put.bind(2, stored_name(row.wanted));
  put.bind(3, static_cast<std::int64_t>(row.generation));
  bind_displaced(put, row.displaced);
  put.bind(7, std::int64_t{row.skip_next_restore});
  put.bind(8, row.launch_spec);
  put.bind(9, now_unix_ms);
  if (const Result<bool> stepped = put.step(); !stepped) return fail(stepped.error());
  return {};
}

Status run_put(Statement& put, const HoldRow& row) {
  std::string servers;
  for (const std::string& name : row.servers)
    servers += (servers.empty() ? "" : std::string(1, kBetweenNames)) + name;
  put.bind(1, static_cast<std::int64_t>(row.job));
  put.bind(2, row.holder);
  put.bind(3, servers);
  put.bind(4, std::int64_t{row.exclusive});
  put.bind_null(5);
  if (row.ends_unix_ms) put.bind(5, *row.ends_unix_ms);
  if (const Result<bool> stepped = put.step(); !stepped) return fail(stepped.error());
  return {};
}

void bind_footprint(Statement& put, const FootprintRow& row, std::int64_t now_unix_ms) {
  put.bind(1, row.key);
  put.bind(2, row.pool);
  put.bind(3, stored_name(row.stage));
  put.bind(4, row.shape);
  put.bind(5, row.bytes);
  put.bind(6, row.server);
  put.bind(7, now_unix_ms);
}

Status run_put(Statement& put, const ImageJobRow& row) {
  put.bind(1, row.id);
  put.bind(2, row.server);
  put.bind(3, row.status);
  put.bind(4, row.created_unix_ms);
  put.bind(5, row.updated_unix_ms);
  put.bind(6, static_cast<std::int64_t>(row.generation));
  put.bind(7, row.at_server);
  put.bind(8, row.seed);
  put.bind(9, row.count);
  put.bind(10, row.pictures);
  put.bind(11, row.time_taken_ms);
  put.bind(12, row.error_code);
  put.bind(13, row.error_message);
  if (const Result<bool> stepped = put.step(); !stepped) return fail(stepped.error());
  return {};
}

ImageJobRow read_image_job(const Statement& found) {
  return {.id = found.text(0),
          .server = found.text(1),
          .status = found.text(2),
          .created_unix_ms = found.integer(3),
          .updated_unix_ms = found.integer(4),
          .generation = static_cast<std::uint64_t>(found.integer(5)),
          .at_server = found.text(6),
          .seed = found.integer(7),
          .count = found.integer(8),
          .pictures = found.text(9),
          .time_taken_ms = found.integer(10),
          .error_code = found.text(11),
          .error_message = found.text(12)};
}

HoldRow read_hold(const Statement& found) {
  HoldRow row{.job = static_cast<std::uint64_t>(found.integer(0)),
              .holder = found.text(1),
              .servers = {},
              .exclusive = found.integer(3) != 0,
              .ends_unix_ms = std::nullopt};
  std::istringstream names(found.text(2));
  for (std::string name; std::getline(names, name, kBetweenNames);)
    row.servers.push_back(name);
  if (!found.is_null(4)) row.ends_unix_ms = found.integer(4);
  return row;
}

Result<ServerRow> read_row(const Statement& found) {
  const auto wanted = value_named(kWanted, found.text(1));
  if (!wanted) return fail(wanted.error());
  ServerRow row{.name = found.text(0),
                .wanted = *wanted,
                .generation = static_cast<std::uint64_t>(found.integer(2)),
                .displaced = std::nullopt,
                .skip_next_restore = found.integer(6) != 0,
                .launch_spec = found.text(7)};
  if (found.is_null(3)) return row;
  const auto after = value_named(kAfter, found.text(5));
  if (!after) return fail(after.error());
  row.displaced =
      ServerRow::Displaced{.since_unix_ms = found.integer(3), .by = found.text(4), .after = *after};
  return row;
}

Status check_integrity(Database& database) {
  const auto verdict = database.value("PRAGMA quick_check(1)");
  if (!verdict) return fail(verdict.error());
  if (*verdict == "ok") return {};
  return fail(damaged(database.path(), verdict->value_or("no answer")));
}

}  // namespace

std::string_view stored_name(Stage stage) {
  switch (stage) {
    case Stage::load:
      return "load";
    case Stage::steady:
      return "steady";
    case Stage::work:
      return "work";
    case Stage::raised:
      return "raised";
  }
  return "";
}

std::string_view stored_name(Wanted wanted) {
  switch (wanted) {
    case Wanted::on_demand:
      return "on_demand";
    case Wanted::on:
      return "on";
    case Wanted::off:
      return "off";
  }
  BERTH_ASSERT(false);
}

std::string_view stored_name(After after) {
  switch (after) {
    case After::restore:
      return "restore";
    case After::on_request:
      return "on_request";
  }
  BERTH_ASSERT(false);
}

Store::Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::open(const std::string& path) {
  Result<Database> database = Database::open(path);
  if (!database) return fail(database.error());
  if (Status set = database->execute(std::string(kSettings)); !set) return fail(set.error());
  if (Status sound = check_integrity(*database); !sound) return fail(sound.error());
  if (Status current = migrate(*database); !current) return fail(current.error());
  return Store(std::make_unique<Database>(std::move(*database)));
}

Status Store::put(std::span<const Change> changes) {
  if (broken_) return fail(*broken_);
  if (changes.empty()) return {};
  Status written = write(changes);
  if (written) {
    ++transactions_;
  } else if (written.error().code == ErrorCode::io) {
    broken_ = written.error();
  }
  return written;
}

Status Store::write(std::span<const Change> changes) {
  if (Status begun = database_->execute("BEGIN IMMEDIATE"); !begun) return begun;
  const std::int64_t now_unix_ms = unix_ms_now();
  for (const Change& change : changes) {
    Status written = write_one(change, now_unix_ms);
    if (written) continue;
    database_->roll_back();
    return written;
  }
  return database_->commit();
}

Status Store::write_one(const Change& change, std::int64_t now_unix_ms) {
  constexpr std::string_view kSql[] = {
      kPut, kPutHold, kEndHold, kPutFootprint, kForgetFootprints, kPutImageJob, kForgetImageJob};
  static_assert(std::size(kSql) == std::variant_size_v<Change>);
  Result<Statement> put = database_->prepare(kSql[change.index()]);
  if (!put) return fail(put.error());
  if (const auto* row = std::get_if<ServerRow>(&change)) return run_put(*put, *row, now_unix_ms);
  if (const auto* row = std::get_if<HoldRow>(&change)) return run_put(*put, *row);
  if (const auto* row = std::get_if<ImageJobRow>(&change)) return run_put(*put, *row);
  if (const auto* forgotten = std::get_if<ImageJobForgotten>(&change)) put->bind(1, forgotten->id);
  if (const auto* ended = std::get_if<HoldEnded>(&change))
    put->bind(1, static_cast<std::int64_t>(ended->job));
  if (const auto* forgotten = std::get_if<FootprintsForgotten>(&change)) {
    put->bind(1, forgotten->key);
    put->bind(2, forgotten->stage ? stored_name(*forgotten->stage) : std::string_view());
  }
  if (const auto* row = std::get_if<FootprintRow>(&change)) bind_footprint(*put, *row, now_unix_ms);
  if (const Result<bool> stepped = put->step(); !stepped) return fail(stepped.error());
  return {};
}

Result<std::vector<FootprintRow>> Store::footprints() {
  if (broken_) return fail(*broken_);
  Result<Statement> found = database_->prepare(kFootprints);
  if (!found) return fail(found.error());
  std::vector<FootprintRow> rows;
  for (;;) {
    const Result<bool> has_row = found->step();
    if (!has_row) return fail(has_row.error());
    if (!*has_row) return rows;
    const auto stage = value_named(kStages, found->text(2));
    if (!stage) return fail(stage.error());
    rows.push_back({.key = found->text(0),
                    .pool = found->text(1),
                    .stage = *stage,
                    .shape = found->text(3),
                    .bytes = found->integer(4),
                    .server = found->text(5)});
  }
}

Result<std::vector<ImageJobRow>> Store::image_jobs() {
  if (broken_) return fail(*broken_);
  Result<Statement> found = database_->prepare(kImageJobs);
  if (!found) return fail(found.error());
  std::vector<ImageJobRow> rows;
  for (;;) {
    const Result<bool> has_row = found->step();
    if (!has_row) return fail(has_row.error());
    if (!*has_row) return rows;
    rows.push_back(read_image_job(*found));
  }
}

Result<std::vector<HoldRow>> Store::holds() {
  if (broken_) return fail(*broken_);
  Result<Statement> found = database_->prepare(kHolds);
  if (!found) return fail(found.error());
  std::vector<HoldRow> holds;
  for (;;) {
    const Result<bool> has_row = found->step();
    if (!has_row) return fail(has_row.error());
    if (!*has_row) return holds;
    holds.push_back(read_hold(*found));
  }
}

Result<std::vector<ServerRow>> Store::rows() {
  if (broken_) return fail(*broken_);
  Result<Statement> found = database_->prepare(kRows);
  if (!found) return fail(found.error());
  std::vector<ServerRow> rows;
  for (;;) {
    const Result<bool> has_row = found->step();
    if (!has_row) return fail(has_row.error());
    if (!*has_row) return rows;
    Result<ServerRow> row = read_row(*found);
    if (!row) {
      return fail(row.error().code,
                  fmt::format("the database {} has a row of server \"{}\" that "
                              "cannot be read: {}; delete the row or move the "
                              "file away",
                              database_->path(), found->text(0), row.error().message));
    }
    rows.push_back(std::move(*row));
  }
}

}  // namespace berth::store
