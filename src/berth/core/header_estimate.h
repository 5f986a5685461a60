// SPDX-License-Identifier: Apache-2.0
// What a llama-server will take, from the header of its model and its arguments: before it was ever
// started here.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "berth/base/bytes.h"

namespace berth::core {

/// Type of the elements in a KV cache.
enum class CellType : std::uint8_t { f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl };

/// Returns the type of that name in llama.cpp, or nothing.
std::optional<CellType> cell_type(std::string_view name);

/// One layer of the model.
struct LayerFacts {
  Bytes weights;
  std::int64_t key_elements = 0;    ///< of one token: KV heads x length of a key
  std::int64_t value_elements = 0;  ///< of one token
  bool is_windowed = false;         ///< it looks back `window` tokens only
};

/// What the model's header says.
struct ModelFacts {
  std::vector<LayerFacts> layers;
  Bytes input_weights;   ///< embeddings of tokens; they never leave the host
  Bytes output_weights;  ///< 0: the embeddings are used again, and copied where the output lies
  Bytes other_weights;
  std::int64_t embedding = 0;
  std::int64_t feed_forward = 0;
  std::int64_t heads = 0;
  std::int64_t vocabulary = 0;
  std::optional<std::int64_t> window;  ///< tokens
  bool is_latent = false;
  bool is_recurrent = false;
};

/// How the server is started.
struct LaunchFacts {
  std::int64_t context = 0;     ///< tokens over all slots
  std::int64_t parallel = 1;    ///< slots
  std::int64_t gpu_layers = 0;  ///< < 0: all; the output layer counts as one more
  CellType key_type = CellType::f16;
  CellType value_type = CellType::f16;
  bool has_flash_attention = true;
  /// It has an argument that changes memory in a way that is not known here.
  bool has_unknown_argument = false;
};

/// Memory on one side.
struct SideEstimate {
  Bytes weights;
  Bytes cache;    ///< keys and values
  Bytes compute;  ///< bound of the buffers of a graph
  Bytes process;  ///< what the program takes whatever it serves

  [[nodiscard]] Bytes total() const { return weights + cache + compute + process; }
  bool operator==(const SideEstimate&) const = default;
};

struct HeaderEstimate {
  SideEstimate host;
  SideEstimate device;  ///< all devices together; all 0 if nothing lies there

  [[nodiscard]] Bytes total() const { return host.total() + device.total(); }
  bool operator==(const HeaderEstimate&) const = default;
};

/// Why a header does not tell it; such a footprint is declared or learned.
enum class Unknowable : std::uint8_t {
  shape,      ///< layers, heads, lengths or words are missing in the header
  latent,     ///< compressed attention (MLA)
  recurrent,  ///< layers with a state of fixed size
  argument,   ///< LaunchFacts::has_unknown_argument
};

/// Returns the reason as the end of a sentence: "its attention is compressed (MLA)".
std::string_view reason(Unknowable why);

/// Returns the footprint of a llama-server, in exact integers, or why it cannot be told.
///
///     cache = sum over layers of cells x (key elements x bytes(K) + value elements x bytes(V))
///
/// `cells` is the context, by slots and in steps of 256; for a windowed layer at most window + 512
/// a slot. The cache and the weights of a layer lie where the layer lies: the last `gpu_layers` of
/// layers + output on the device.
///
/// Source: llama.cpp src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp (cells),
/// src/llama-model.cpp load_tensors() (placement); checked with a real server by bench/footprints.
std::variant<HeaderEstimate, Unknowable> header_estimate(const ModelFacts& model,
                                                         const LaunchFacts& launch);

/// What llama.cpp itself says that it will reserve, in a run that allocates nothing.
struct DryRun {
  SideEstimate host;  ///< without `process`
  SideEstimate device;
};

/// Returns the estimate with what the dry run knows better: the buffers of graphs on devices, and
/// everything where the header tells nothing. On the host it reserves more than is ever touched
/// (the logits of a whole batch), so the header's bound stays.
HeaderEstimate with_dry_run(const std::variant<HeaderEstimate, Unknowable>& told,
                            const DryRun& dry_run);

}  // namespace berth::core
