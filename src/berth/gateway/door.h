// SPDX-License-Identifier: Apache-2.0
// Who may come in: protection against web pages that know our ports.
#pragma once

#include <string>
#include <vector>

#include "berth/base/result.h"
#include "berth/config/config.h"
#include "berth/gateway/routes.h"
#include "berth/http/message.h"

namespace berth::gateway {

/// The names under which a listening address may be asked: loopback's, and the address itself,
/// each with the port: "localhost:8700".
std::vector<std::string> own_hosts(const config::Address& bound);

/// What one listening socket lets in.
struct Door {
  Entrance entrance = Entrance::main;
  std::vector<std::string> hosts;  ///< allowed values of Host; the control socket has none
  std::vector<std::string> pages;  ///< hosts of all our addresses: allowed values of Origin
};

/// Lets the request in, or says why not. On a network address the Host must be one of ours, so a
/// foreign name that resolves to this machine gets nothing (DNS rebinding); a request from a
/// foreign web page (Origin) may neither change anything nor see the control API. Errors: forbidden
/// with the next step.
Status admit(const Door& door, const http::Request& request);

}  // namespace berth::gateway
