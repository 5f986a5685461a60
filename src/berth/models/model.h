// SPDX-License-Identifier: Apache-2.0
// What the header of a model tells, whatever its format and however many files it has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/result.h"
#include "berth/models/gguf.h"
#include "berth/models/safetensors.h"

namespace berth::models {

enum class Format : std::uint8_t { gguf, safetensors };

/// How a model pays attention: what its cache holds for each token.
struct Attention {
  std::optional<std::int64_t> heads;       ///< the most of any layer
  std::vector<std::int64_t> kv_heads;      ///< one a layer; empty: the header does not say
  std::optional<std::int64_t> key_length;  ///< elements of one head's key
  std::optional<std::int64_t> value_length;
  std::optional<std::int64_t> window;  ///< tokens that a layer with a sliding window looks back
  /// One a layer, 1 = with a sliding window; empty: the header does not say which.
  std::vector<std::int64_t> windowed;
  std::optional<std::int64_t> window_period;  ///< as above, where every n-th layer looks at all
  bool is_latent = false;                     ///< MLA: the cache holds compressed keys only
  bool is_recurrent = false;                  ///< some layers keep a state of fixed size
};

/// Where the bytes of the weights lie.
struct Weights {
  std::vector<Bytes> layers;  ///< tensors of blk.N
  Bytes input;                ///< embeddings of tokens
  Bytes output;               ///< everything behind the last layer; 0: the embeddings serve again
  Bytes rest;                 ///< what belongs to none of these

  [[nodiscard]] Bytes total() const;
};

struct Model {
  Format format = Format::gguf;
  std::string architecture;  ///< "llama"; "" if the header does not say
  std::string name;          ///< "" as above
  std::string quantisation;  ///< "Q4_K_M"; else the type that most bytes have
  std::string main_type;     ///< the type that most bytes have: "Q8_0"
  std::optional<std::int64_t> layers;
  std::optional<std::int64_t> context;  ///< tokens it was trained for
  std::optional<std::int64_t> embedding;
  std::optional<std::int64_t> feed_forward;  ///< the widest of any layer
  std::optional<std::int64_t> vocabulary;
  std::optional<std::int64_t> experts;
  Attention attention;
  Weights weights;
  std::uint64_t parameters = 0;
  std::size_t tensors = 0;
  Bytes file_bytes;                ///< of all files
  std::vector<std::string> files;  ///< in order
};

inline constexpr std::uint64_t kPartsMax = 512;

/// Place of a file in a model of several: NAME-00002-of-00003.gguf.
struct Part {
  std::string stem;  ///< NAME
  std::uint64_t number = 1;
  std::uint64_t count = 1;
};

/// Returns which part of a model the file is by its name; 1 of 1 if the name does not say.
Part part_of(const std::string& path);

/// Reads the headers of the model whose first or only file this is; weights are not touched.
/// Errors: model_missing, io, or model_invalid: file, what is wrong, what to do.
Result<Model> read_model(const std::string& path);

/// Returns what these headers say, without files. The parts are those of one model, in order.
Model describe(const std::vector<GgufHeader>& parts);
Model describe(const std::vector<SafetensorsHeader>& parts);

}  // namespace berth::models
