// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "berth/base/result.h"

namespace berth::store {

class Database;

/// Returns the version of the schema that this Berth writes.
std::int64_t schema_version();

/// Brings the schema up to schema_version(), each step in a transaction of its own.
/// Errors: conflict if the database is of a newer version; else as Database.
Status migrate(Database& database);

}  // namespace berth::store
