// SPDX-License-Identifier: Apache-2.0
// From the raw headers to what they mean.
#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "berth/models/gguf_types.h"
#include "berth/models/model.h"

namespace berth::models {
namespace {

/// More than any model; a header that counts more layers is not believed.
constexpr std::int64_t kLayersMax = 10'000;
/// Bound of every other number that is multiplied later; beyond it counts as not said.
constexpr std::int64_t kNumberMax = std::int64_t{1} << 32;

/// The values of the first part by their keys; those of the architecture without its name.
class Values {
 public:
  explicit Values(const GgufHeader& header)
      : header_(header), architecture_(text("general.architecture")) {}

  [[nodiscard]] const std::string& architecture() const { return architecture_; }

  [[nodiscard]] std::string text(std::string_view key) const {
    const auto* value = find<std::string>(key);
    return value == nullptr ? "" : *value;
  }
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view key) const {
    const auto* value = find<std::int64_t>(key);
    if (value == nullptr || *value < 0 || *value > kNumberMax) return std::nullopt;
    return *value;
  }
  [[nodiscard]] std::optional<std::int64_t> own(std::string_view key) const {
    return number(own_key(key));
  }
  [[nodiscard]] bool has_own(std::string_view key) const {
    return header_.values.contains(own_key(key));
  }
  /// A number for every layer, or one for all: `layers` numbers, or none.
  [[nodiscard]] std::vector<std::int64_t> per_layer(std::string_view key,
                                                    std::int64_t layers) const {
    if (const auto one = own(key)) return std::vector(static_cast<std::size_t>(layers), *one);
    const auto* list = find<std::vector<std::int64_t>>(own_key(key));
    if (list == nullptr || list->size() < static_cast<std::size_t>(layers)) return {};
    std::vector<std::int64_t> numbers(list->begin(), list->begin() + layers);
    const bool is_sane = std::all_of(numbers.begin(), numbers.end(),
                                     [](std::int64_t n) { return n >= 0 && n <= kNumberMax; });
    return is_sane ? numbers : std::vector<std::int64_t>{};
  }

 private:
  [[nodiscard]] std::string own_key(std::string_view key) const {
    return fmt::format("{}.{}", architecture_, key);
  }
  template <class T>
  [[nodiscard]] const T* find(std::string_view key) const {
    const auto found = header_.values.find(key);
    return found == header_.values.end() ? nullptr : std::get_if<T>(&found->second);
  }

  const GgufHeader& header_;
  std::string architecture_;
};

std::optional<std::int64_t> largest(const std::vector<std::int64_t>& numbers) {
  if (numbers.empty()) return std::nullopt;
  return *std::max_element(numbers.begin(), numbers.end());
}

/// Layers with a sliding window where the header does not list them: every n-th layer looks at all.
/// Source: set_swa_pattern() in llama.cpp's src/llama-model.cpp.
std::optional<std::int64_t> known_period(std::string_view architecture) {
  struct Known {
    std::string_view architecture;
    std::int64_t period;
  };
  constexpr Known kKnown[] = {{"gemma2", 2}, {"gemma3", 6}, {"gpt-oss", 2}, {"cohere2", 4}};
  for (const Known& known : kKnown) {
    if (known.architecture == architecture) return known.period;
  }
  return std::nullopt;
}

Attention attention(const Values& values, std::int64_t layers,
                    std::optional<std::int64_t> embedding) {
  Attention out;
  const auto heads = values.per_layer("attention.head_count", layers);
  out.heads = largest(heads);
  out.kv_heads = values.per_layer("attention.head_count_kv", layers);
  if (out.kv_heads.empty() && !values.has_own("attention.head_count_kv")) out.kv_heads = heads;
  const bool is_divisible = embedding && out.heads.value_or(0) > 0;
  const auto head_size = is_divisible ? std::optional(*embedding / *out.heads) : std::nullopt;
  const auto length = [&](std::string_view key) {
    const auto said = values.own(key);
    return said ? said : head_size;
  };
  out.key_length = length("attention.key_length");
  out.value_length = length("attention.value_length");
  out.window = values.own("attention.sliding_window");
  if (out.window == 0) out.window = std::nullopt;
  const std::string pattern = "attention.sliding_window_pattern";
  out.window_period = values.own(pattern);
  if (!out.window_period) {
    out.windowed = values.per_layer(pattern, layers);
    if (out.windowed.empty()) out.window_period = known_period(values.architecture());
  }
  out.is_latent = values.has_own("attention.kv_lora_rank");
  out.is_recurrent = values.has_own("ssm.state_size") || values.has_own("wkv.head_size") ||
                     values.has_own("ssm.conv_kernel") || values.has_own("shortconv.l_cache");
  return out;
}

/// Returns N of "blk.N.", or nothing.
std::optional<std::int64_t> layer_of(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool is_layer = code == std::errc{} && end != name.data() + name.size() && *end == '.';
  if (!is_layer || number < 0 || number >= kLayersMax) return std::nullopt;
  return number;
}

bool is_any(std::string_view name, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

/// Adds up the tensors of all parts.
struct Sums {
  std::map<std::string, std::uint64_t> by_type;
  std::string_view layer_prefix;
  Model& model;

  void add(const Tensor& tensor) {
    const Bytes bytes{static_cast<std::int64_t>(tensor.bytes)};
    by_type[tensor.type] += tensor.bytes;
    model.parameters += tensor.elements;
    ++model.tensors;
    Weights& weights = model.weights;
    if (const auto layer = layer_of(tensor.name, layer_prefix)) {
      const auto index = static_cast<std::size_t>(*layer);
      if (weights.layers.size() <= index) weights.layers.resize(index + 1);
      weights.layers[index] += bytes;
    } else if (is_any(tensor.name, {"token_embd", "per_layer_token_embd", "model.embed_tokens"})) {
      weights.input += bytes;
    } else if (is_any(tensor.name, {"output", "lm_head", "model.norm"})) {
      weights.output += bytes;
    } else {
      weights.rest += bytes;
    }
  }

  /// The type of most bytes; of two that have as many the first by name.
  void finish() {
    std::uint64_t most = 0;
    for (const auto& [type, bytes] : by_type) {
      if (bytes <= most) continue;
      most = bytes;
      model.main_type = type;
    }
  }
};

/// What the tensors' names tell of an image model.
/// Source: the names that sd.cpp's model.cpp and ComfyUI's model_detection.py look for.
std::string family(const std::vector<SafetensorsHeader>& parts) {
  struct Mark {
    std::string_view text;
    std::string_view family;
  };
  constexpr Mark kMarks[] = {{"conditioner.embedders.1.", "sdxl"},
                             {"cond_stage_model.model.", "sd2"},
                             {"cond_stage_model.transformer.", "sd1"},
                             {"joint_blocks.", "sd3"},
                             {"double_blocks.", "flux"},
                             {"img_mod.", "qwen-image"},
                             {"blocks.0.cross_attn.norm_k.", "wan"},
                             {"model.layers.0.self_attn.", "transformer"}};
  for (const Mark& mark : kMarks) {
    for (const SafetensorsHeader& part : parts) {
      const bool has = std::any_of(part.tensors.begin(), part.tensors.end(), [&](const Tensor& t) {
        return t.name.find(mark.text) != std::string::npos;
      });
      if (has) return std::string(mark.family);
    }
  }
  return "";
}

}  // namespace

Model describe(const std::vector<GgufHeader>& parts) {
  const Values values(parts.front());
  Model model;
  model.format = Format::gguf;
  model.architecture = values.architecture();
  model.name = values.text("general.name");
  model.layers = values.own("block_count");
  if (model.layers.value_or(0) < 1 || *model.layers > kLayersMax) model.layers = std::nullopt;
  model.context = values.own("context_length");
  model.embedding = values.own("embedding_length");
  const std::int64_t layers = model.layers.value_or(0);
  model.feed_forward = largest(values.per_layer("feed_forward_length", layers));
  model.vocabulary = values.own("vocab_size");
  const auto words = static_cast<std::int64_t>(parts.front().vocabulary);
  if (!model.vocabulary && words > 0 && words <= kNumberMax) model.vocabulary = words;
  model.experts = values.own("expert_count");
  model.attention = attention(values, layers, model.embedding);
  Sums sums{{}, "blk.", model};
  for (const GgufHeader& part : parts) {
    for (const Tensor& tensor : part.tensors)
      sums.add(tensor);
  }
  sums.finish();
  const auto type = values.number("general.file_type");
  model.quantisation = type ? std::string(file_type_name(*type)) : "";
  if (model.quantisation.empty()) model.quantisation = model.main_type;
  return model;
}

Model describe(const std::vector<SafetensorsHeader>& parts) {
  Model model;
  model.format = Format::safetensors;
  Sums sums{{}, "model.layers.", model};
  for (const SafetensorsHeader& part : parts) {
    for (const Tensor& tensor : part.tensors)
      sums.add(tensor);
  }
  sums.finish();
  if (!model.weights.layers.empty()) {
    model.layers = static_cast<std::int64_t>(model.weights.layers.size());
  }
  const auto said = [&](std::string_view key) {
    const auto found = parts.front().metadata.find(key);
    return found == parts.front().metadata.end() ? "" : found->second;
  };
  model.architecture = said("modelspec.architecture");
  if (model.architecture.empty()) model.architecture = family(parts);
  model.name = said("modelspec.title");
  model.quantisation = model.main_type;
  return model;
}

}  // namespace berth::models
