// SPDX-License-Identifier: Apache-2.0
#include "berth/embed/text.h"

#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "berth/config/document.h"
#include "berth/embed/machine.h"

namespace berth::embed {
namespace {

constexpr std::size_t kNameMax = 32;
constexpr std::string_view kLlama = "llama-server";
constexpr std::string_view kDiffusion = "sd-server";
/// A program that wants servers of its own does not want to meet others on a port.
constexpr std::string_view kAnyPort = "listen = \"127.0.0.1:0\"\n";
/// Stands in for the servers that a text has not got yet.
constexpr std::string_view kNoServer =
    "\n[server.none]\nkind = \"llama-server\"\nmodel = \"none.gguf\"\nmemory = 1\n";

/// Source: TOML 1.0, basic strings.
std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string on_off(bool on) {
  return on ? "on" : "off";
}

template <class T>
void add_number(std::string& out, std::string_view key, const std::optional<T>& value) {
  if (value) out += fmt::format("{} = {}\n", key, *value);
}

void compare(std::vector<std::string>& out, std::string_view what,
             const std::optional<std::string>& wish, const std::string& has) {
  if (!wish || *wish == has) return;
  out.push_back(
      fmt::format("{} is {} and shall be {}", what, has.empty() ? "not given" : has, *wish));
}

std::optional<std::string> text_of(const std::optional<int>& number) {
  return number ? std::optional(std::to_string(*number)) : std::nullopt;
}

std::string text_of(const std::optional<std::int64_t>& number) {
  return number ? std::to_string(*number) : "";
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (file && text) return text.str();
  return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io,
              fmt::format("cannot read the configuration {}: {}", path, strerror(errno)));
}

/// The first pool is where footprints count by default: a GPU's if there is one.
std::string machine_pools() {
  std::string text;
  const auto gpus = read_gpus();
  for (std::size_t i = 0; gpus && i < gpus->size(); ++i) {
    text += fmt::format("\n[pool.\"gpu{0}.vram\"]\nkind = \"device\"\ndevice = {0}\n", i);
  }
  return text + "\n[pool.ram]\nkind = \"host\"\n";
}

}  // namespace

ServerWish wish_of(const LlamaConfig& config) {
  return {.kind = std::string(kLlama),
          .name = config.name,
          .model_id = config.model_id,
          .model = {},
          .port = config.port,
          .threads = config.threads,
          .gpu_layers = config.gpu_layers,
          .context_size = config.context_size,
          .parallel = config.parallel,
          .flash_attention = config.flash_attention,
          .extra_args = config.extra_args};
}

ServerWish wish_of(const DiffusionConfig& config) {
  ServerWish wish;
  wish.kind = kDiffusion;
  wish.name = config.name;
  wish.model_id = config.model_id;
  wish.port = config.port;
  wish.threads = config.threads;
  wish.extra_args = config.extra_args;
  return wish;
}

std::string server_name(const std::string& model_id) {
  const std::filesystem::path path(model_id);
  const bool is_file = path.extension() == ".gguf" || path.extension() == ".safetensors";
  std::string name;
  for (const char c : is_file ? path.stem().string() : path.filename().string()) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = c == '_' || c == '-' || (byte < 0x80 && std::isalnum(byte) != 0);
    name += is_plain ? static_cast<char>(std::tolower(byte)) : '-';
  }
  name.resize(std::min(name.size(), kNameMax));
  return name.empty() ? "model" : name;
}

std::string section_of(const ServerWish& wish) {
  std::string text =
      fmt::format("\n[server.{}]\nkind = {}\nmodel = {}\nport = {}\n", toml_text(wish.name),
                  toml_text(wish.kind), toml_text(wish.model), wish.port.value_or(0));
  add_number(text, "threads", wish.threads);
  add_number(text, "gpu_layers", wish.gpu_layers);
  add_number(text, "context", wish.context_size);
  add_number(text, "parallel", wish.parallel);
  if (wish.flash_attention)
    text += fmt::format("flash_attention = \"{}\"\n", on_off(*wish.flash_attention));
  if (wish.extra_args.empty()) return text;
  std::string arguments;
  for (const std::string& argument : wish.extra_args)
    arguments += (arguments.empty() ? "" : ", ") + toml_text(argument);
  return text + fmt::format("extra_args = [{}]\n", arguments);
}

std::vector<std::string> differences(const ServerWish& wish, const client::ServerConfigInfo& has) {
  std::vector<std::string> out;
  const bool asks_for_port = wish.port && *wish.port != 0;
  if (!wish.model.empty()) compare(out, "model", wish.model, has.model);
  if (asks_for_port) compare(out, "port", std::to_string(*wish.port), std::to_string(has.port));
  compare(out, "threads", text_of(wish.threads), text_of(has.threads));
  compare(out, "gpu_layers", text_of(wish.gpu_layers), text_of(has.gpu_layers));
  compare(out, "context_size", text_of(wish.context_size), text_of(has.context_size));
  compare(out, "parallel", text_of(wish.parallel), text_of(has.parallel));
  if (wish.flash_attention)
    compare(out, "flash_attention", on_off(*wish.flash_attention), has.flash_attention);
  // They may hold secrets, so no Berth tells them.
  if (!wish.extra_args.empty()) out.emplace_back("extra_args can only be given to a new server");
  return out;
}

Result<BaseText> base_text(const BerthOptions& options) {
  BaseText base{.text = options.config, .file = "embedded.toml"};
  if (!options.config_file.empty()) {
    Result<std::string> text = read_file(options.config_file);
    if (!text) return fail(text.error());
    base.text = std::move(*text);
    base.file = options.config_file;
  }
  if (base.text.empty()) base.text = kAnyPort;
  config::Problems problems(base.file);
  const config::Node::Table document = config::read_document(base.text, problems);
  if (!problems.empty()) return fail(problems.error());
  base.has_servers = config::find(document, "server") != nullptr;
  if (config::find(document, "pool") == nullptr) base.text += machine_pools();
  return base;
}

config::Environment environment_of(const BerthOptions& options) {
  config::Environment environment = config::Environment::of_process();
  if (!options.state_dir.empty()) environment.state = options.state_dir;
  return environment;
}

Result<config::Config> read_without_servers(const BaseText& base, const config::Environment& env) {
  return config::parse(base.has_servers ? base.text : base.text + std::string(kNoServer), base.file,
                       env);
}

}  // namespace berth::embed
