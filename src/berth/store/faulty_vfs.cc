// SPDX-License-Identifier: Apache-2.0
#include "berth/store/faulty_vfs.h"

#include <sqlite3.h>

#include "berth/base/assert.h"

namespace berth::store {
namespace {

// SQLite's own VFS with two calls replaced. SQLite gives a database and its log different methods
// (they differ in locking), so each has a table; write and sync are the same in both.
sqlite3_vfs* the_real = nullptr;
sqlite3_vfs the_faulty{};
sqlite3_io_methods real_methods{};
sqlite3_io_methods faulty_database{};
sqlite3_io_methods faulty_log{};

int write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
  if (FaultyVfs::is_full) return SQLITE_FULL;
  return real_methods.xWrite(file, bytes, count, offset);
}

int sync(sqlite3_file* file, int flags) {
  ++FaultyVfs::syncs;
  if (FaultyVfs::sync_fails) return SQLITE_IOERR_FSYNC;
  return real_methods.xSync(file, flags);
}

int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  const int code = the_real->xOpen(the_real, name, file, flags, out_flags);
  if (file->pMethods == nullptr) return code;
  if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0) return code;
  real_methods = *file->pMethods;
  sqlite3_io_methods& faulty = (flags & SQLITE_OPEN_WAL) != 0 ? faulty_log : faulty_database;
  faulty = real_methods;
  faulty.xWrite = write;
  faulty.xSync = sync;
  file->pMethods = &faulty;
  return code;
}

}  // namespace

FaultyVfs::FaultyVfs() {
  the_real = sqlite3_vfs_find(nullptr);
  the_faulty = *the_real;
  the_faulty.zName = "berth-faulty";
  the_faulty.xOpen = open;
  const int code = sqlite3_vfs_register(&the_faulty, /*makeDflt=*/1);
  BERTH_ASSERT(code == SQLITE_OK);
  is_full = false;
  sync_fails = false;
  syncs = 0;
}

FaultyVfs::~FaultyVfs() {
  sqlite3_vfs_unregister(&the_faulty);
  sqlite3_vfs_register(the_real, /*makeDflt=*/1);
}

}  // namespace berth::store
