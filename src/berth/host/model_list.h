// SPDX-License-Identifier: Apache-2.0
// The models of a configuration: what their headers say, and what its servers will take for them.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "berth/base/result.h"
#include "berth/config/config.h"
#include "berth/core/header_estimate.h"
#include "berth/models/registry.h"

namespace berth::host {

/// A server that serves a model, with what it will take. Ownership: `options` of the configuration.
struct Served {
  std::string server;
  const config::LlamaOptions& options;
  std::variant<core::HeaderEstimate, core::Unknowable> estimate;
};

/// Returns where the configuration's models are: those that it names, its folders, its servers'.
models::Places model_places(const config::Config& config);

/// Returns the LLM servers of that model. Its header must be readable.
std::vector<Served> served_by(const config::Config& config, const models::Entry& entry);

/// Returns the file's kind, "gguf" or "safetensors"; of one that cannot be read its extension.
std::string kind_of(const models::Entry& entry);

/// Returns `{"models": [...], "problems": [...]}`. Reads the header of every model.
std::string models_json(const config::Config& config);

/// Returns all that is known of one model, as one object.
/// Errors: not_found with ids that exist; why its header cannot be used.
Result<std::string> model_json(const config::Config& config, const std::string& id);

}  // namespace berth::host
