// SPDX-License-Identifier: Apache-2.0
// What the bodies of POST /api/v1/leases and /api/v1/holds ask for.
#pragma once

#include <string>
#include <string_view>

#include "berth/base/result.h"
#include "berth/config/config.h"
#include "berth/host/host.h"

namespace berth::gateway {

/// Reads `{"bytes": {"POOL": n}, "vram": n, "device": d, "ram": n, "class": c, "max": t, "name":
/// s}`; at least one amount must be there, a number of bytes or text ("20GiB"). `vram` is of the
/// pool "gpuD.vram", `ram` of the pool "ram". `client` is its name if it has none. Errors:
/// bad_request naming the member; not_found naming the pools that exist.
Result<host::JobRequest> lease_wish(const config::Config& config, std::string_view body,
                                    std::string client);

/// Reads `{"servers": [NAME, ...], "exclusive": bool, "max": t, "name": s}`, or `{"resume": N}` of
/// an owner that comes back for its hold after a restart of Berth. Errors: bad_request naming the
/// member; not_found naming the servers that exist.
Result<host::JobRequest> hold_wish(const config::Config& config, std::string_view body,
                                   std::string client);

}  // namespace berth::gateway
