// SPDX-License-Identifier: Apache-2.0
// The sections of the file: the keys of each, and the functions that read them, which fill `config`
// and add what is wrong to `problems`.
#pragma once

#include <vector>

#include "berth/config/config.h"
#include "berth/config/keys.h"

namespace berth::config {

/// What every section is read with.
struct Reading {
  Config& config;
  const Paths& paths;
  Problems& problems;
};

/// What one server's section gives, for the core and for the shell.
struct ServerDraft {
  core::ServerConfig core;
  ServerOptions options;
};

/// The keys beside every section.
std::vector<Key> root_keys(Reading& reading);

/// `by_machine`: its kind says how much there is of it.
std::vector<Key> pool_keys(core::PoolConfig& pool, PoolOptions& options, bool by_machine);
/// `[pool.*]`
void read_pools(const Entry& pools, Reading& reading);

/// The keys of servers of every kind.
std::vector<Key> common_keys(ServerDraft& draft, const std::vector<core::PoolConfig>& pools);
/// `[server.*]`; the pools must have been read.
void read_servers(const Entry& servers, Reading& reading);

std::vector<Key> models_keys(ModelPlaces& places, const Paths& paths);
/// `[models]`
void read_models(const Entry& models, Reading& reading);

std::vector<Key> policy_keys(Config& config);
/// `[policy]`
void read_policy(const Entry& policy, Reading& reading);

/// `listen`
Reader address(Address& out);

}  // namespace berth::config
