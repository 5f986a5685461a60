// SPDX-License-Identifier: Apache-2.0
// Which server a request is for. A model's name is the name of its server.
#pragma once

#include <string_view>

#include "berth/base/ids.h"
#include "berth/base/result.h"
#include "berth/config/config.h"
#include "berth/gateway/routes.h"

namespace berth::gateway {

/// Returns the kind of a server: which routes it has.
Serves kind_of(const config::ServerOptions& server);

/// Finds the server that the JSON body's "model" names; without a name the only one of its kind.
/// Errors: bad_request if the body is no JSON object, or a name is needed and missing; not_found
///   listing the names that are known.
Result<ServerId> server_for(const config::Config& config, const Route& route,
                            std::string_view body);

/// Returns the server of that name. Errors: not_found listing the names that are known.
Result<ServerId> server_named(const config::Config& config, std::string_view name);

}  // namespace berth::gateway
