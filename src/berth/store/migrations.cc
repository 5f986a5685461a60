// SPDX-License-Identifier: Apache-2.0
#include "berth/store/migrations.h"

#include <array>
#include <charconv>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "berth/store/sqlite.h"

namespace berth::store {
namespace {

/// Migration n (from 1) brings a database from version n - 1 to n. Never edit one: databases exist
/// that ran it. Add another at the end.
constexpr auto kMigrations = std::to_array<std::string_view>({
    // 1: the rows of servers.
    R"sql(
    CREATE TABLE server (
      name TEXT NOT NULL PRIMARY KEY,
      wanted TEXT NOT NULL,
      generation INTEGER NOT NULL CHECK (generation >= 0),
      displaced_since_unix_ms INTEGER,
      displaced_by TEXT,
      after TEXT,
      skip_next_restore INTEGER NOT NULL CHECK (skip_next_restore IN (0, 1)),
      launch_spec TEXT NOT NULL,
      updated_unix_ms INTEGER NOT NULL,
      CHECK ((displaced_since_unix_ms IS NULL) = (displaced_by IS NULL)
         AND (displaced_since_unix_ms IS NULL) = (after IS NULL))
    ) STRICT;
    )sql",
    // 2: holds that were granted.
    R"sql(
    CREATE TABLE hold (
      job INTEGER NOT NULL PRIMARY KEY CHECK (job > 0),
      holder TEXT NOT NULL,
      servers TEXT NOT NULL,
      exclusive INTEGER NOT NULL CHECK (exclusive IN (0, 1)),
      ends_unix_ms INTEGER
    ) STRICT;
    )sql",
    // 3: what servers were measured to take.
    R"sql(
    CREATE TABLE footprint (
      key TEXT NOT NULL,
      pool TEXT NOT NULL,
      bytes INTEGER NOT NULL CHECK (bytes > 0),
      server TEXT NOT NULL,
      updated_unix_ms INTEGER NOT NULL,
      PRIMARY KEY (key, pool)
    ) STRICT;
    )sql",
    // 4: when they took it, and for what work.
    R"sql(
    ALTER TABLE footprint RENAME TO footprint_3;
    CREATE TABLE footprint (
      key TEXT NOT NULL,
      pool TEXT NOT NULL,
      stage TEXT NOT NULL,
      shape TEXT NOT NULL,
      bytes INTEGER NOT NULL CHECK (bytes > 0),
      server TEXT NOT NULL,
      updated_unix_ms INTEGER NOT NULL,
      PRIMARY KEY (key, pool, stage, shape)
    ) STRICT;
    INSERT INTO footprint SELECT key, replace(pool, ' (measured)', ''), 'work', '', bytes, server,
                                 updated_unix_ms FROM footprint_3;
    DROP TABLE footprint_3;
    )sql",
    // 5: image jobs, which outlive their connections. No prompt: it is nobody's business.
    R"sql(
    CREATE TABLE image_job (
      id TEXT NOT NULL PRIMARY KEY,
      server TEXT NOT NULL,
      status TEXT NOT NULL,
      created_unix_ms INTEGER NOT NULL,
      updated_unix_ms INTEGER NOT NULL,
      generation INTEGER NOT NULL CHECK (generation >= 0),
      at_server TEXT NOT NULL,
      seed INTEGER NOT NULL,
      count INTEGER NOT NULL CHECK (count > 0),
      pictures TEXT NOT NULL,
      time_taken_ms INTEGER NOT NULL,
      error_code TEXT NOT NULL,
      error_message TEXT NOT NULL
    ) STRICT;
    )sql",
});

Result<std::int64_t> version_of(Database& database) {
  const auto text = database.value("PRAGMA user_version");
  if (!text) return fail(text.error());
  std::int64_t version = 0;
  const std::string digits = text->value_or("0");
  std::from_chars(digits.data(), digits.data() + digits.size(), version);
  return version;
}

Status run_migration(Database& database, std::int64_t version) {
  const std::string_view sql = kMigrations.at(static_cast<std::size_t>(version - 1));
  Status ran = database.execute(
      fmt::format("BEGIN IMMEDIATE; {} PRAGMA user_version = {}; COMMIT;", sql, version));
  if (!ran) database.roll_back();
  return ran;
}

}  // namespace

std::int64_t schema_version() {
  return static_cast<std::int64_t>(kMigrations.size());
}

Status migrate(Database& database) {
  const Result<std::int64_t> found = version_of(database);
  if (!found) return fail(found.error());
  if (*found < 0 || *found > schema_version()) {
    return fail(ErrorCode::conflict,
                fmt::format("the database {} is of version {}, this Berth knows up to {}; install "
                            "the newer Berth again, or use another state directory",
                            database.path(), *found, schema_version()));
  }
  for (std::int64_t version = *found + 1; version <= schema_version(); ++version) {
    if (Status ran = run_migration(database, version); !ran) return ran;
  }
  return {};
}

}  // namespace berth::store
