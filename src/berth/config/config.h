// SPDX-License-Identifier: Apache-2.0
// The configuration file: TOML in, typed values out. See docs/reference for the keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/config/server_options.h"
#include "berth/core/types.h"

namespace berth::config {

/// Where Berth listens. Port 0: any free port.
struct Address {
  std::string host = "127.0.0.1";  ///< without brackets: "::1"
  std::uint16_t port = 8700;

  bool operator==(const Address&) const = default;
};

/// Of a pool, what the core need not know.
struct PoolOptions {
  std::string device = "0";  ///< of kind `device`: the GPU's place in the driver's order, or UUID

  bool operator==(const PoolOptions&) const = default;
};

/// A model with a name of its own.
struct NamedModel {
  std::string id;
  std::string path;  ///< absolute

  bool operator==(const NamedModel&) const = default;
};

/// Where models are looked for, beside those of the servers.
struct ModelPlaces {
  std::vector<std::string> directories;  ///< absolute
  std::vector<NamedModel> entries;       ///< in the order of the file

  bool operator==(const ModelPlaces&) const = default;
};

/// What memory is planned with: the seed's formulas and the best that is known beside them, or the
/// best that is known alone.
enum class Preset : std::uint8_t { seed, measured };

/// What the file says, with every default filled in.
struct Config {
  std::string file;  ///< as it was given to load() or parse()
  Address listen;
  std::string state_dir;            ///< absolute
  Duration max_hold{285s};          ///< of servers that have none of their own
  Duration hold_grace{60s};         ///< a hold waits so long for its owner after a restart of Berth
  Duration image_result_ttl{5min};  ///< pictures of image jobs are kept so long
  Duration orphan_timeout{5min};    ///< from the end of Berth to the end of servers it left
  Preset preset = Preset::seed;
  ModelPlaces models;
  core::Config core;  ///< the capacities of `device` and `host` pools are 0: the machine knows
  std::vector<PoolOptions> pools;      ///< same order as core.pools
  std::vector<ServerOptions> servers;  ///< same order as core.servers: the order in the file

  bool operator==(const Config&) const = default;
};

/// What the configuration takes from the process's environment.
struct Environment {
  std::optional<std::string> home;   ///< HOME: what "~" stands for
  std::optional<std::string> state;  ///< BERTH_STATE: overrides the key `state`

  /// Reads the variables of this process; empty ones count as absent.
  static Environment of_process();
};

/// Reads the file at `path`.
/// Errors: not_found or io if the file cannot be read; else as parse().
Result<Config> load(const std::string& path,
                    const Environment& environment = Environment::of_process());

/// Reads `text`. Touches no file: whether models and programs exist is not asked here.
/// Paths in it are relative to the folder of `file_name`.
/// Errors: bad_config with everything that is wrong, one
/// `file:line:column: what is wrong; what to write instead` a line, in the order of the file.
Result<Config> parse(std::string_view text, const std::string& file_name,
                     const Environment& environment = Environment::of_process());

}  // namespace berth::config
