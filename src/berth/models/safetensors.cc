// SPDX-License-Identifier: Apache-2.0
#include "berth/models/safetensors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <boost/json/basic_parser_impl.hpp>

namespace berth::models {
namespace {

namespace json = boost::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kDepthMax = 4;
constexpr std::size_t kChunkBytes = std::size_t{64} << 10;

struct DataType {
  std::string_view name;
  std::uint64_t bits;
};

// Source: enum Dtype of safetensors/src/tensor.rs.
constexpr auto kDataTypes = std::to_array<DataType>(
    {{"BOOL", 8}, {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
     {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},
     {"U16", 16}, {"F16", 16},    {"BF16", 16},   {"I32", 32},    {"U32", 32},
     {"F32", 32}, {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}});

std::optional<std::uint64_t> bits_of(std::string_view type) {
  const auto found = std::find_if(kDataTypes.begin(), kDataTypes.end(),
                                  [&](const DataType& known) { return known.name == type; });
  if (found == kDataTypes.end()) return std::nullopt;
  return found->bits;
}

/// Takes the JSON apart while it is read: nothing but the tensors is kept of it.
///
/// Depth 1 holds names of tensors and `__metadata__`; depth 2 their keys; depth 3 is the list of a
/// shape or of offsets. Members of a tensor that are not known are passed over.
struct Handler {
  static constexpr std::size_t max_object_size = kTensorsMax + 1;
  static constexpr std::size_t max_array_size = kDimensionsMax;
  static constexpr std::size_t max_key_size = kTensorNameMax;
  static constexpr std::size_t max_string_size = std::size_t{1} << 20;

  using Error = json::error_code;

  bool wrong(std::string what, Error& error) {
    problem = std::move(what);
    error = json::error::syntax;  // any error stops the parser; `problem` is what is reported
    return false;
  }

  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }

  bool on_object_begin(Error& error) {
    if (depth > 0 && (in_list || depth > 1)) return wrong(unexpected("an object"), error);
    ++depth;
    return true;
  }
  bool on_object_end(std::size_t, Error& error) {
    --depth;
    if (depth != 1) return true;
    return in_metadata || finish_tensor(error);
  }

  bool on_array_begin(Error& error) {
    if (depth != 2 || in_list || in_metadata || (key != "shape" && key != "data_offsets")) {
      return wrong(unexpected("a list"), error);
    }
    in_list = true;
    numbers.clear();
    return true;
  }
  bool on_array_end(std::size_t, Error&) {
    in_list = false;
    (key == "shape" ? shape : offsets) = numbers;
    return true;
  }

  bool on_key_part(json::string_view part, std::size_t, Error&) {
    text.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Error& error) {
    text.append(part.data(), part.size());
    std::string name = std::exchange(text, {});
    if (depth == 2) {
      key = std::move(name);
      if (keys.size() == kMetadataKeysMax) {
        return wrong(fmt::format("{} has more than {} keys", place(), kMetadataKeysMax), error);
      }
      if (keys.insert(key).second) return true;
      return wrong(fmt::format("{}: \"{}\" is there twice", place(), quotable(key)), error);
    }
    keys.clear();
    shape.reset();
    offsets.reset();
    type.clear();
    tensor = std::move(name);
    in_metadata = tensor == "__metadata__";
    if (names.insert(tensor).second) return true;
    return wrong(fmt::format("tensor \"{}\" is there twice", quotable(tensor)), error);
  }

  bool on_string_part(json::string_view part, std::size_t, Error&) {
    if (text.size() <= kMetadataKept) text.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view part, std::size_t, Error& error) {
    if (text.size() <= kMetadataKept) text.append(part.data(), part.size());
    const std::string value = std::exchange(text, {});
    if (depth != 2 || in_list) return wrong(unexpected("a text"), error);
    if (in_metadata) {
      const bool is_kept =
          value.size() <= kMetadataKept && header.metadata.size() < kMetadataKeysMax;
      if (is_kept) header.metadata[key] = value;
    } else if (key == "dtype") {
      type = value;
    }
    return true;
  }

  bool on_number_part(json::string_view, Error&) { return true; }
  bool on_int64(std::int64_t value, json::string_view, Error& error) {
    if (value < 0) return wrong(unexpected("a negative number"), error);
    return on_uint64(static_cast<std::uint64_t>(value), {}, error);
  }
  bool on_uint64(std::uint64_t value, json::string_view, Error& error) {
    if (!in_list) return wrong(unexpected("a number"), error);
    numbers.push_back(value);
    return true;
  }
  bool on_double(double, json::string_view, Error& error) {
    return wrong(unexpected("a fraction"), error);
  }
  bool on_bool(bool, Error& error) { return wrong(unexpected("a truth value"), error); }
  bool on_null(Error& error) { return wrong(unexpected("null"), error); }
  bool on_comment_part(json::string_view, Error&) { return true; }
  bool on_comment(json::string_view, Error&) { return true; }

  [[nodiscard]] std::string place() const {
    if (depth == 0) return "the header";
    return in_metadata ? "__metadata__" : fmt::format("tensor \"{}\"", quotable(tensor));
  }
  [[nodiscard]] std::string unexpected(std::string_view what) const {
    return fmt::format("{} holds {} where none may stand", place(), what);
  }

  bool finish_tensor(Error& error) {
    const auto bits = bits_of(type);
    if (!bits) {
      return wrong(fmt::format("{} has dtype \"{}\", which is not known", place(), quotable(type)),
                   error);
    }
    if (!shape || !offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1]) {
      return wrong(fmt::format("{} lacks a shape or two data_offsets in order", place()), error);
    }
    const auto elements = element_count(*shape);
    if (!elements) return wrong(fmt::format("{} has more than 2^48 elements", place()), error);
    const std::uint64_t bytes = (*elements * *bits + 7) / 8;
    if (bytes != (*offsets)[1] - (*offsets)[0]) {
      return wrong(fmt::format("{} takes {} bytes by its shape and {} by its offsets", place(),
                               bytes, (*offsets)[1] - (*offsets)[0]),
                   error);
    }
    if (header.tensors.size() == kTensorsMax) {
      return wrong(fmt::format("it lists more than {} tensors", kTensorsMax), error);
    }
    header.tensors.push_back({.name = tensor,
                              .type = type,
                              .elements = *elements,
                              .bytes = bytes,
                              .offset = (*offsets)[0]});
    return true;
  }

  SafetensorsHeader header;
  std::string problem;
  int depth = 0;
  bool in_list = false;
  bool in_metadata = false;
  std::string text;
  std::string tensor;
  std::string key;
  std::string type;
  std::optional<std::vector<std::uint64_t>> shape;
  std::optional<std::vector<std::uint64_t>> offsets;
  std::vector<std::uint64_t> numbers;
  std::set<std::string> keys;
  std::set<std::string> names;
};

using Parser = json::basic_parser<Handler>;

/// Feeds the parser chunk by chunk. Returns what is wrong, "" if nothing.
std::string parse(Parser& parser, Cursor& cursor, std::uint64_t length) {
  while (length > 0) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(length, kChunkBytes));
    const std::string chunk = cursor.text(part);
    if (cursor.has_failed()) return "it cannot be read to the end of its header";
    length -= part;
    json::error_code error;
    const std::size_t used = parser.write_some(length > 0, chunk.data(), chunk.size(), error);
    if (!parser.handler().problem.empty()) return parser.handler().problem;
    if (error) return fmt::format("its header is no JSON that can be read: {}", error.message());
    // The format allows the JSON to be filled up with spaces.
    if (chunk.find_first_not_of(" \t\r\n", used) != std::string::npos) {
      return "something stands behind the JSON of its header";
    }
  }
  return "";
}

/// Returns what is wrong with the tensors' places, "" if nothing: no overlap, no hole, no rest.
std::string misplacement(std::vector<Tensor>& tensors, std::uint64_t data_bytes) {
  if (const auto place = misplaced(tensors, data_bytes)) return *place;
  std::uint64_t end = 0;
  for (const Tensor& tensor : tensors) {
    if (tensor.bytes == 0) continue;
    if (tensor.offset != end) {
      return fmt::format("there is a hole of {} bytes before tensor \"{}\"", tensor.offset - end,
                         quotable(tensor.name));
    }
    end += tensor.bytes;
  }
  if (end == data_bytes) return "";
  return fmt::format("{} bytes stand behind its last tensor", data_bytes - end);
}

std::string read(Input& input, SafetensorsHeader& out) {
  Cursor cursor(input);
  const std::uint64_t length = cursor.number(kLengthBytes);
  if (cursor.has_failed()) return "it is shorter than 8 bytes";
  if (length < 2 || length > kSafetensorsHeaderBytesMax) {
    return fmt::format("its header is {} bytes long; 2 to {} are read", length,
                       kSafetensorsHeaderBytesMax);
  }
  if (length > cursor.remaining()) {
    return fmt::format("its header is {} bytes long, {} are left in the file", length,
                       cursor.remaining());
  }
  json::parse_options options;
  options.max_depth = kDepthMax;
  Parser parser(options);
  if (std::string problem = parse(parser, cursor, length); !problem.empty()) return problem;
  out = std::move(parser.handler().header);
  return misplacement(out.tensors, cursor.remaining());
}

}  // namespace

Result<SafetensorsHeader> read_safetensors(Input& input, const std::string& name) {
  SafetensorsHeader header;
  const std::string problem = read(input, header);
  if (problem.empty()) return header;
  return fail(ErrorCode::model_invalid,
              fmt::format("{}: {}; download the file again", name, problem));
}

}  // namespace berth::models
