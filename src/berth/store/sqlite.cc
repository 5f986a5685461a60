// SPDX-License-Identifier: Apache-2.0
#include "berth/store/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "berth/base/assert.h"

namespace berth::store {
namespace {

constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;

bool is_no_space(int system_error) {
  return system_error == ENOSPC || system_error == EDQUOT;
}

Error no_room(const std::string& path) {
  return {ErrorCode::disk_full,
          fmt::format("no room to write {}; free some space on its disk", path)};
}

Error unusable(const std::string& path, std::string_view detail) {
  return {ErrorCode::io,
          fmt::format("cannot read or write the database {} ({}); check its disk, its rights and "
                      "its folder, then start Berth again",
                      path, detail)};
}

/// Turns the connection's last failure into an Error that names the file and the next step.
Error last_error(sqlite3* connection, const std::string& path) {
  const std::string detail = sqlite3_errmsg(connection);
  const int system_error = sqlite3_system_errno(connection);
  switch (sqlite3_errcode(connection)) {
    case SQLITE_FULL:
      return no_room(path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::already_running,
              fmt::format("another process has {} open; stop the other Berth, or use another "
                          "state directory",
                          path)};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return damaged(path, detail);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      if (is_no_space(system_error)) return no_room(path);
      if (system_error == 0) return unusable(path, detail);
      return unusable(path, fmt::format("{}, {}", detail, strerror(system_error)));
    default:
      return unusable(path, detail);
  }
}

/// Makes the file before SQLite does, whose mode would be 0644; SQLite gives the -wal file the
/// mode of the database. An existing file is never opened here: closing any descriptor of it would
/// drop the locks of a connection of this process (https://sqlite.org/howtocorrupt.html, 2.2).
Status make_private(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kOwnerOnly);
  if (fd >= 0) {
    ::close(fd);
    return {};
  }
  if (errno == EEXIST && ::chmod(path.c_str(), kOwnerOnly) == 0) return {};
  const int cause = errno;
  return fail(is_no_space(cause) ? ErrorCode::disk_full : ErrorCode::io,
              fmt::format("cannot create the database {}: {}; check that its folder exists and is "
                          "yours",
                          path, strerror(cause)));
}

}  // namespace

Error damaged(const std::string& path, std::string_view detail) {
  return {
      ErrorCode::io,
      fmt::format("the database {} is damaged ({}); move it away together with {}-wal and start "
                  "again: servers then come back as the configuration says",
                  path, detail, path)};
}

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void Statement::bind(int parameter, std::int64_t value) {
  const int code = sqlite3_bind_int64(statement_.get(), parameter, value);
  BERTH_ASSERT(code == SQLITE_OK);
}

void Statement::bind(int parameter, std::string_view text) {
  const int code = sqlite3_bind_text64(statement_.get(), parameter, text.empty() ? "" : text.data(),
                                       text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  BERTH_ASSERT(code == SQLITE_OK);
}

void Statement::bind_null(int parameter) {
  const int code = sqlite3_bind_null(statement_.get(), parameter);
  BERTH_ASSERT(code == SQLITE_OK);
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return fail(last_error(sqlite3_db_handle(statement_.get()), path_));
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::text(int column) const {
  const auto* bytes = sqlite3_column_text(statement_.get(), column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return bytes == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(bytes), size);
}

void Database::Close::operator()(sqlite3* connection) const {
  sqlite3_close_v2(connection);
}

Result<Database> Database::open(const std::string& path) {
  if (Status made = make_private(path); !made) return fail(made.error());
  sqlite3* connection = nullptr;
  // The connection has one user at a time, so SQLite's own mutex is left out.
  const int code = sqlite3_open_v2(path.c_str(), &connection,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  BERTH_ASSERT(connection != nullptr);  // null only when memory has run out
  Database database(connection, path);
  if (code != SQLITE_OK) return fail(last_error(connection, path));
  return database;
}

Status Database::execute(const std::string& sql) {
  if (sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return fail(last_error(connection_.get(), path_));
  }
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                      &statement, nullptr);
  if (code != SQLITE_OK) return fail(last_error(connection_.get(), path_));
  return Statement(statement, path_);
}

Result<std::optional<std::string>> Database::value(std::string_view sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement) return fail(statement.error());
  const Result<bool> has_row = statement->step();
  if (!has_row) return fail(has_row.error());
  if (!*has_row) return std::optional<std::string>();
  return std::optional<std::string>(statement->text(0));
}

Status Database::commit() {
  Status committed = execute("COMMIT");
  if (!committed) roll_back();
  return committed;
}

void Database::roll_back() {
  if (sqlite3_get_autocommit(connection_.get()) != 0) return;  // SQLite did it by itself
  sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace berth::store
