// SPDX-License-Identifier: Apache-2.0
// Configurations with one server and rows of what it was seen to take, for tests of footprints.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "berth/host/known_footprints.h"

namespace berth::host {

constexpr PoolId kRam{0};
constexpr PoolId kSecond{1};

/// One pool of 1000 MiB and this server; its model is not there: all is declared or learned.
inline config::Config config_with(const std::string& server) {
  const auto config = config::parse(
      "[pool.ram]\nkind = \"capped\"\ncapacity = \"1000MiB\"\n[server.one]\n" + server, "test.toml",
      {.home = "/none", .state = std::nullopt});
  EXPECT_TRUE(config) << config.error().message;
  return *config;
}

inline store::FootprintRow seen(const config::Config& config, store::Stage stage, Bytes bytes,
                                const std::string& pool = "ram") {
  return {.key = footprint_key(config.servers[0]),
          .pool = pool,
          .stage = stage,
          .shape = "",
          .bytes = bytes.count,
          .server = "one"};
}

}  // namespace berth::host
