// SPDX-License-Identifier: Apache-2.0
#include "berth/config/reference.h"

#include <fmt/format.h>

#include "berth/config/sections.h"
#include "berth/config/server_keys.h"

namespace berth::config {
namespace {

SectionInfo section(std::string title, const std::vector<Key>& keys) {
  SectionInfo info{std::move(title), {}};
  for (const Key& key : keys) {
    const bool required = !key.example.empty();
    info.keys.push_back({.name = std::string(key.name),
                         .type = key.read.type,
                         .fallback = required ? "" : key.read.fallback,
                         .required = required,
                         .meaning = std::string(key.meaning)});
  }
  return info;
}

}  // namespace

std::vector<SectionInfo> reference() {
  Config config;
  const Paths paths;
  Problems problems("");
  Reading reading{config, paths, problems};
  core::PoolConfig pool;
  PoolOptions pool_options;
  ServerDraft server;
  std::vector<SectionInfo> sections{
      section("Top level", root_keys(reading)),
      section("[pool.<name>]", pool_keys(pool, pool_options, true)),
      section("[server.<name>], every kind", common_keys(server, {})),
  };
  for (const ServerKind& kind : server_kinds()) {
    sections.push_back(section(fmt::format("[server.<name>], kind {}", kind.name),
                               kind.keys(server.options, paths)));
  }
  sections.push_back(section("[models]", models_keys(config.models, paths)));
  sections.push_back(section("[policy]", policy_keys(config)));
  return sections;
}

}  // namespace berth::config
