// SPDX-License-Identifier: Apache-2.0
// The sections of the file. Each function fills `config` and adds what is wrong to `problems`.
#pragma once

#include "berth/config/config.h"
#include "berth/config/keys.h"

namespace berth::config {

/// What every section is read with.
struct Reading {
  Config& config;
  const Paths& paths;
  Problems& problems;
};

/// `[pool.*]`
void read_pools(const Entry& pools, Reading& reading);
/// `[server.*]`; the pools must have been read.
void read_servers(const Entry& servers, Reading& reading);
/// `[models]`
void read_models(const Entry& models, Reading& reading);
/// `[policy]`
void read_policy(const Entry& policy, Reading& reading);
/// `listen`
Reader address(Address& out);

}  // namespace berth::config
