// SPDX-License-Identifier: Apache-2.0
// The SQLite C API behind two owning types; for the files of store/ only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "berth/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth::store {

/// Returns the error of a file whose content makes no sense, with the next step.
Error damaged(const std::string& path, std::string_view detail);

/// One prepared statement. Parameters count from 1, columns from 0.
class Statement {
 public:
  void bind(int parameter, std::int64_t value);
  void bind(int parameter, std::string_view text);
  void bind_null(int parameter);

  /// Goes to the next row. Returns whether there is one.
  Result<bool> step();
  /// Makes the statement ready to run again; the parameters lose their values.
  void reset();

  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };

  Statement(sqlite3_stmt* statement, const std::string& path)
      : statement_(statement), path_(path) {}

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string path_;
};

/// One connection.
class Database {
 public:
  /// Opens the file for reading and writing; creates it with mode 0600 if it is not there, and
  /// takes other people's rights from one that is.
  static Result<Database> open(const std::string& path);

  /// Runs every statement of `sql` and drops the rows they give.
  Status execute(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);
  /// Returns the first column of the first row as text, or nothing if there is no row.
  Result<std::optional<std::string>> value(std::string_view sql);
  /// Runs `COMMIT`, and `ROLLBACK` if that fails.
  Status commit();
  /// Ends the transaction, if one is open, as if it had not been.
  void roll_back();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };

  Database(sqlite3* connection, std::string path)
      : connection_(connection), path_(std::move(path)) {}

  std::unique_ptr<sqlite3, Close> connection_;
  std::string path_;
};

}  // namespace berth::store
