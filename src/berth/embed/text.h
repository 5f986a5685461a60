// SPDX-License-Identifier: Apache-2.0
// Configurations that a program adds to: servers as sections of a berth.toml.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "berth/base/result.h"
#include "berth/berth.h"
#include "berth/config/config.h"

namespace berth::embed {

/// What start() asks for, of either kind.
struct ServerWish {
  std::string kind;      ///< llama-server, sd-server
  std::string name;      ///< "": of the model
  std::string model_id;  ///< as the program calls it
  std::string model;     ///< path of its file, once it is known
  std::optional<std::uint16_t> port;
  std::optional<int> threads;
  std::optional<int> gpu_layers;
  std::optional<int> context_size;
  std::optional<int> parallel;
  std::optional<bool> flash_attention;
  std::vector<std::string> extra_args;

  bool operator==(const ServerWish&) const = default;
};

ServerWish wish_of(const LlamaConfig& config);
ServerWish wish_of(const DiffusionConfig& config);

/// Returns a name that a server may have, made of the id of its model: "models/SDXL Turbo.gguf"
/// becomes "sdxl-turbo".
std::string server_name(const std::string& model_id);

/// Returns the section of the server, as it would stand in the file.
std::string section_of(const ServerWish& wish);

/// Returns what the wish says that the server of the configuration does not: "threads is 4 and
/// shall be 2", one of each option that was given.
std::vector<std::string> differences(const ServerWish& wish, const client::ServerConfigInfo& has);

/// The text that a Berth was opened with.
struct BaseText {
  std::string text;
  std::string file;          ///< what its messages and relative paths refer to
  bool has_servers = false;  ///< a configuration without servers is none yet
};

/// Returns the text that the options name, with the pools of this machine if it names none.
/// Errors: not_found, io; bad_config if it is no TOML.
Result<BaseText> base_text(const BerthOptions& options);

/// Returns the environment that the configuration is read with.
config::Environment environment_of(const BerthOptions& options);

/// Returns the state directory and the models of a text without servers, which is no configuration
/// that could be run. Errors: bad_config.
Result<config::Config> read_without_servers(const BaseText& base, const config::Environment& env);

}  // namespace berth::embed
