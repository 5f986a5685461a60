// SPDX-License-Identifier: Apache-2.0
#include "berth/config/server_keys.h"

#include <array>
#include <string>
#include <variant>

namespace berth::config {
namespace {

constexpr Range kThreads{1, 1024};
constexpr Range kContext{16, 1 << 28};
constexpr Range kParallel{1, 256};
constexpr Range kLayers{1, 10'000};
constexpr Range kBatch{1, 1 << 20};

constexpr auto kFlashAttention = std::to_array<std::string_view>({"auto", "on", "off"});
constexpr auto kCacheTypes = std::to_array<std::string_view>(
    {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"});

constexpr auto kCancel = std::to_array<std::string_view>({"await", "restart"});

constexpr std::string_view kOwnsAddress =
    "Berth chooses where the server listens; the port for clients is the key port";
constexpr std::string_view kOwnsIdleSlots =
    "Berth sets it itself, so that every conversation can be saved";
constexpr std::string_view kOneModel = "download the file and name it with the key model";
constexpr std::string_view kNoSecrets =
    "everybody on this machine can read arguments, and only Berth reaches the server; leave it out";

constexpr auto kRefusedByLlama = std::to_array<RefusedArgument>({
    {"-m", "use the key model"},
    {"--model", "use the key model"},
    {"-mu", kOneModel},
    {"--model-url", kOneModel},
    {"-hf", kOneModel},
    {"-hfr", kOneModel},
    {"--hf-repo", kOneModel},
    {"--host", kOwnsAddress},
    {"--port", kOwnsAddress},
    {"-a", "clients know the server by its name in this file; rename the section instead"},
    {"--alias", "clients know the server by its name in this file; rename the section instead"},
    {"-c", "use the key context"},
    {"--ctx-size", "use the key context"},
    {"-np", "use the key parallel"},
    {"--parallel", "use the key parallel"},
    {"-t", "use the key threads"},
    {"--threads", "use the key threads"},
    {"-b", "use the key batch_size"},
    {"--batch-size", "use the key batch_size"},
    {"-ngl", "use the key gpu_layers"},
    {"--gpu-layers", "use the key gpu_layers"},
    {"--n-gpu-layers", "use the key gpu_layers"},
    {"-fa", "use the key flash_attention"},
    {"--flash-attn", "use the key flash_attention"},
    {"-ctk", "use the key cache_type_k"},
    {"--cache-type-k", "use the key cache_type_k"},
    {"-ctv", "use the key cache_type_v"},
    {"--cache-type-v", "use the key cache_type_v"},
    {"-cram", "use the key cache_ram"},
    {"--cache-ram", "use the key cache_ram"},
    {"--cache-idle-slots", kOwnsIdleSlots},
    {"--no-cache-idle-slots", kOwnsIdleSlots},
    {"--slot-save-path", "use the key keep_kv"},
    {"--sleep-idle-seconds", "Berth decides when the server gives its memory back; leave it out"},
    {"--log-disable", "Berth reads the server's log; leave it out"},
    {"--rpc",
     "it puts a part of the model on another machine, whose memory Berth does not count; leave it "
     "out"},
    {"--api-key", kNoSecrets},
    {"--api-key-file", "only Berth reaches the server, and it sends no key; leave it out"},
});

constexpr auto kRefusedBySd = std::to_array<RefusedArgument>({
    {"-m", "use the key model"},
    {"--model", "use the key model"},
    {"-t", "use the key threads"},
    {"--threads", "use the key threads"},
    {"-l", kOwnsAddress},
    {"--listen-ip", kOwnsAddress},
    {"--listen-port", kOwnsAddress},
});

/// A number of layers, or "all".
Reader gpu_layers(std::optional<std::int32_t>& out) {
  auto fill = [&out](const Entry& entry, Problems& problems) {
    const auto* number = entry.node.as<std::int64_t>();
    const auto* text = entry.node.as<std::string>();
    const bool is_all = (text != nullptr && *text == "all") || (number != nullptr && *number == -1);
    if (is_all) {
      out = kAllLayers;
    } else if (number != nullptr && *number >= 0 && *number <= kLayers.max) {
      out = static_cast<std::int32_t>(*number);
    } else {
      add_mismatch(entry, fmt::format("a whole number from 0 to {}, or \"all\"", kLayers.max),
                   problems);
    }
  };
  return {std::move(fill), fmt::format("0 to {}, \"all\" or -1", kLayers.max)};
}

constexpr std::string_view kExtraArgs =
    "further arguments, no control characters. Those that Berth sets itself are refused, with the "
    "key to use instead";

std::vector<Key> llama_keys(ServerOptions& server, const Paths& paths) {
  LlamaOptions& llama = server.kind.emplace<LlamaOptions>();
  return {
      {"binary",
       falling_back("BERTH_LLAMA_SERVER, else llama-server", program(llama.binary, paths)),
       "the program"},
      {"model", path(llama.model, paths), "GGUF file", R"(model = "SmolLM2.gguf")"},
      {"context", whole(llama.context, kContext), "tokens over all slots together (`-c`)"},
      {"parallel", whole(llama.parallel, kParallel), "slots: requests worked on at once (`-np`)"},
      {"gpu_layers", gpu_layers(llama.gpu_layers),
       "layers on the GPU (`-ngl`); where there is no GPU a warning says so"},
      {"layers", falling_back("as the model's header says", whole(llama.layers, kLayers)),
       "layers of the model, for the formula of `memory`. If the header does not say, all of it "
       "counts as on the GPU"},
      {"threads", whole(llama.threads, kThreads), "CPU threads (`-t`)"},
      {"batch_size", whole(llama.batch_size, kBatch), "tokens (`-b`)"},
      {"flash_attention", one_of(llama.flash_attention, kFlashAttention),
       "flash attention (`-fa`)"},
      {"cache_type_k", one_of(llama.cache_type_k, kCacheTypes), "type of cached keys (`-ctk`)"},
      {"cache_type_v", one_of(llama.cache_type_v, kCacheTypes),
       "type of cached values (`-ctv`); a quantised type needs flash attention"},
      {"cache_ram", whole_mebibytes(llama.cache_ram),
       "llama-server's prompt cache in RAM (`--cache-ram`), counted as part of the footprint's "
       "formula"},
      {"keep_kv", boolean(llama.keep_kv),
       "save the conversations' KV cache before a stop and restore it after the start"},
      {"extra_args", arguments(llama.extra_args, kRefusedByLlama), kExtraArgs},
  };
}

std::int32_t llama_slots(const ServerOptions& server) {
  return std::get<LlamaOptions>(server.kind).parallel;
}

/// llama-server exits at once with such a pair: "quantized V cache requires flash_attn to be
/// enabled" (observed with llama.cpp b10434).
void check_llama(const ServerOptions& server, const Section& section, Problems& problems) {
  const auto& llama = std::get<LlamaOptions>(server.kind);
  const std::string type = llama.cache_type_v.value_or("f16");
  const bool is_quantised = type != "f32" && type != "f16" && type != "bf16";
  if (!is_quantised || llama.flash_attention != "off") return;
  problems.add(find(section.table, "cache_type_v")->node.at,
               fmt::format("cache_type_v is \"{}\", which needs flash attention; write "
                           "flash_attention = \"on\", or cache_type_v = \"f16\"",
                           type));
}

constexpr auto kWeights = std::to_array<std::string_view>({"resident", "on_demand"});

Reader weights(bool& on_demand) {
  auto fill = [&on_demand](const Entry& entry, Problems& problems) {
    std::optional<std::string> word;
    one_of(word, kWeights)(entry, problems);
    on_demand = word == "on_demand";
  };
  return {std::move(fill), alternatives(kWeights), R"("resident")"};
}

std::vector<Key> sd_keys(ServerOptions& server, const Paths& paths) {
  SdOptions& sd = server.kind.emplace<SdOptions>();
  return {
      {"binary", falling_back("BERTH_SD_SERVER, else sd-server", program(sd.binary, paths)),
       "the program (stable-diffusion.cpp)"},
      {"model", path(sd.model, paths), "checkpoint", R"(model = "sd15.safetensors")"},
      {"threads", whole(sd.threads, kThreads), "CPU threads (`-t`)"},
      {"cancel", one_of(sd.cancel, kCancel, kCancel.front()),
       "sd-server cannot cancel a picture that it draws: await its end, or end the server (it "
       "comes back when it is wanted)"},
      {"weights", weights(sd.weights_on_demand),
       "`on_demand`: they are read for each picture and given back after it "
       "(`--params-backend disk`)"},
      {"extra_args", arguments(sd.extra_args, kRefusedBySd), kExtraArgs},
  };
}

/// sd-server draws one picture at a time.
std::int32_t sd_slots(const ServerOptions&) {
  return 1;
}

/// Where the weights are is said once.
void check_sd(const ServerOptions& server, const Section& section, Problems& problems) {
  const auto& sd = std::get<SdOptions>(server.kind);
  for (const std::string& argument : sd.extra_args) {
    const std::string_view name = std::string_view(argument).substr(0, argument.find('='));
    const bool says_it = name == "--params-backend" || name == "--eager-load";
    if (!sd.weights_on_demand || !says_it) continue;
    problems.add(find(section.table, "weights")->node.at,
                 fmt::format("weights is \"on_demand\", and extra_args holds \"{}\", which says "
                             "where they are, too; leave one of them out",
                             name));
  }
}

/// In the order of the alternatives of ServerOptions::kind.
constexpr auto kKinds = std::to_array<ServerKind>({
    {"llama-server", core::ServerClass::chat, llama_keys, llama_slots, check_llama},
    {"sd-server", core::ServerClass::image, sd_keys, sd_slots, check_sd},
});
static_assert(kKinds.size() == std::variant_size_v<decltype(ServerOptions::kind)>);

}  // namespace

std::span<const ServerKind> server_kinds() {
  return kKinds;
}

std::string kind_name(const ServerOptions& options) {
  return std::string(kKinds.at(options.kind.index()).name);
}

}  // namespace berth::config
