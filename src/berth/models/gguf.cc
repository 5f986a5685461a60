// SPDX-License-Identifier: Apache-2.0
#include "berth/models/gguf.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "berth/models/gguf_types.h"

namespace berth::models {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint64_t kAlignmentDefault = 32;
constexpr std::uint64_t kAlignmentMax = 1 << 16;
constexpr std::uint64_t kGgufDimensionsMax = 4;

/// Type of a value in the header. The numbers stand in files.
enum class ValueType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  text = 8,
  list = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};
constexpr std::uint64_t kValueTypes = 13;

/// Bytes of one value, 0 where that differs from value to value.
std::size_t width(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean:
      return 1;
    case ValueType::u16:
    case ValueType::i16:
      return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32:
      return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64:
      return 8;
    case ValueType::text:
    case ValueType::list:
      return 0;
  }
  return 0;
}

bool is_fraction(ValueType type) {
  return type == ValueType::f32 || type == ValueType::f64;
}

class Reader {
 public:
  explicit Reader(Input& input) : cursor_(input), size_(input.size()) {}

  /// Returns false if something is wrong: problem() says what.
  bool read() { return read_front() && read_values() && read_tensors() && place_tensors(); }
  [[nodiscard]] const std::string& problem() const { return problem_; }
  GgufHeader take() { return std::move(header_); }

 private:
  bool wrong(std::string what) {
    if (problem_.empty()) problem_ = std::move(what);
    return false;
  }

  /// Everything read so far was there, and the header is not endless.
  bool is_sound(std::string_view part) {
    if (cursor_.has_failed()) {
      return wrong(fmt::format("it ends at byte {} within {}", size_, part));
    }
    if (cursor_.position() <= kGgufHeaderBytesMax) return true;
    return wrong(fmt::format("its header is longer than {} MiB", kGgufHeaderBytesMax >> 20));
  }

  bool read_front() {
    if (cursor_.text(kMagic.size()) != kMagic) return wrong("it does not begin with \"GGUF\"");
    header_.version = static_cast<std::uint32_t>(cursor_.number(4));
    tensor_count_ = cursor_.number(8);
    key_count_ = cursor_.number(8);
    if (!is_sound("the first 24 bytes")) return false;
    constexpr std::uint32_t kSwapped = 0x0200'0000;
    if (header_.version >= kSwapped) return wrong("it is big-endian, or its version is damaged");
    if (header_.version != 2 && header_.version != 3) {
      return wrong(fmt::format("its version is {}; 2 and 3 are read", header_.version));
    }
    if (tensor_count_ > kTensorsMax) {
      return wrong(
          fmt::format("it counts {} tensors, at most {} are read", tensor_count_, kTensorsMax));
    }
    if (key_count_ <= kGgufKeysMax) return true;
    return wrong(fmt::format("it counts {} keys, at most {} are read", key_count_, kGgufKeysMax));
  }

  /// Reads a length and that many characters.
  bool read_name(std::string_view what, std::size_t max, std::string& out) {
    const std::uint64_t length = cursor_.number(8);
    if (!is_sound(what)) return false;
    if (length == 0 || length > max) {
      return wrong(fmt::format("{} is {} bytes long; 1 to {} are read", what, length, max));
    }
    out = cursor_.text(static_cast<std::size_t>(length));
    return is_sound(what);
  }

  bool read_values() {
    for (std::uint64_t i = 0; i < key_count_; ++i) {
      std::string key;
      if (!read_name(fmt::format("the name of key {} of {}", i + 1, key_count_), kGgufKeyBytesMax,
                     key)) {
        return false;
      }
      if (!seen_.insert(key).second) {
        return wrong(fmt::format("key \"{}\" is there twice", quotable(key)));
      }
      const std::string what = fmt::format("the value of key \"{}\"", quotable(key));
      const auto type = read_type(what);
      if (!type || !read_value(key, what, *type)) return false;
    }
    return true;
  }

  std::optional<ValueType> read_type(const std::string& what) {
    const std::uint64_t type = cursor_.number(4);
    if (!is_sound(what)) return std::nullopt;
    if (type < kValueTypes) return static_cast<ValueType>(type);
    wrong(fmt::format("{} has type {}; 0 to {} are known", what, type, kValueTypes - 1));
    return std::nullopt;
  }

  bool read_value(const std::string& key, const std::string& what, ValueType type) {
    if (type == ValueType::list) return read_list(key, what);
    if (type == ValueType::text) {
      const auto text = read_text(what);
      if (!text) return false;
      if (!text->empty()) header_.values[key] = *text;
    } else if (is_fraction(type)) {
      header_.values[key] = fraction(type);
    } else {
      header_.values[key] = whole(type);
    }
    return is_sound(what);
  }

  /// Returns the text, "" if it is longer than what is kept, nothing if it is not all there.
  std::optional<std::string> read_text(const std::string& what) {
    const std::uint64_t length = cursor_.number(8);
    if (!is_sound(what)) return std::nullopt;
    if (length > cursor_.remaining()) {
      wrong(fmt::format("{} is a text of {} bytes, {} are left in the file", what, length,
                        cursor_.remaining()));
      return std::nullopt;
    }
    std::string text;
    if (length <= kTextKept) {
      text = cursor_.text(static_cast<std::size_t>(length));
    } else {
      cursor_.skip(length);
    }
    if (!is_sound(what)) return std::nullopt;
    return text;
  }

  std::int64_t whole(ValueType type) {
    const std::size_t bytes = width(type);
    const std::uint64_t value = cursor_.number(bytes);
    switch (type) {
      case ValueType::i8:
        return static_cast<std::int8_t>(value);
      case ValueType::i16:
        return static_cast<std::int16_t>(value);
      case ValueType::i32:
        return static_cast<std::int32_t>(value);
      case ValueType::u8:
      case ValueType::u16:
      case ValueType::u32:
      case ValueType::u64:
      case ValueType::i64:
      case ValueType::boolean:
      case ValueType::f32:
      case ValueType::f64:
      case ValueType::text:
      case ValueType::list:
        break;
    }
    return static_cast<std::int64_t>(value);  // beyond 2^63 it is negative, which no use accepts
  }

  double fraction(ValueType type) {
    if (type == ValueType::f64) return std::bit_cast<double>(cursor_.number(8));
    return std::bit_cast<float>(static_cast<std::uint32_t>(cursor_.number(4)));
  }

  bool read_list(const std::string& key, const std::string& what) {
    const auto type = read_type(what);
    if (!type) return false;
    if (*type == ValueType::list) return wrong(fmt::format("{} is a list of lists", what));
    const std::uint64_t count = cursor_.number(8);
    if (!is_sound(what)) return false;
    // A text has at least its length.
    const std::size_t least = *type == ValueType::text ? 8 : width(*type);
    if (count > cursor_.remaining() / least) {
      return wrong(fmt::format("{} is a list of {}, {} bytes are left in the file", what, count,
                               cursor_.remaining()));
    }
    if (key == "tokenizer.ggml.tokens") header_.vocabulary = count;
    if (*type == ValueType::text) return skip_texts(what, count);
    if (count > kListKept || is_fraction(*type)) {
      cursor_.skip(count * least);
      return is_sound(what);
    }
    std::vector<std::int64_t> numbers;
    for (std::uint64_t i = 0; i < count; ++i)
      numbers.push_back(whole(*type));
    header_.values[key] = std::move(numbers);
    return is_sound(what);
  }

  bool skip_texts(const std::string& what, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t length = cursor_.number(8);
      cursor_.skip(length);
      if (!is_sound(what)) return false;
    }
    return true;
  }

  bool read_tensors() {
    for (std::uint64_t i = 0; i < tensor_count_; ++i) {
      Tensor tensor;
      if (!read_name(fmt::format("the name of tensor {} of {}", i + 1, tensor_count_),
                     kTensorNameMax, tensor.name) ||
          !read_tensor(tensor)) {
        return false;
      }
      header_.tensors.push_back(std::move(tensor));
    }
    const auto twice = listed_twice(header_.tensors);
    return !twice || wrong(fmt::format("tensor \"{}\" is there twice", quotable(*twice)));
  }

  bool read_tensor(Tensor& tensor) {
    const std::string what = fmt::format("tensor \"{}\"", quotable(tensor.name));
    const std::uint64_t dimensions = cursor_.number(4);
    if (!is_sound(what)) return false;
    if (dimensions > kGgufDimensionsMax) {
      return wrong(fmt::format("{} has {} dimensions, at most {} are known", what, dimensions,
                               kGgufDimensionsMax));
    }
    std::vector<std::uint64_t> shape;
    for (std::uint64_t i = 0; i < dimensions; ++i)
      shape.push_back(cursor_.number(8));
    const std::uint64_t type_number = cursor_.number(4);
    tensor.offset = cursor_.number(8);
    if (!is_sound(what)) return false;
    const auto type = ggml_type(type_number);
    if (!type) return wrong(fmt::format("{} has type {}, which is not known", what, type_number));
    const auto elements = element_count(shape);
    if (!elements) return wrong(fmt::format("{} has more than 2^48 elements", what));
    tensor.type = type->name;
    tensor.elements = *elements;
    tensor.bytes = byte_count(*type, *elements);
    return true;
  }

  /// The data begins at the next multiple of the alignment, and so does every tensor.
  bool place_tensors() {
    std::uint64_t alignment = kAlignmentDefault;
    if (const auto found = header_.values.find("general.alignment");
        found != header_.values.end()) {
      const auto* number = std::get_if<std::int64_t>(&found->second);
      const bool is_sane = number != nullptr && *number > 0 &&
                           *number <= static_cast<std::int64_t>(kAlignmentMax) &&
                           std::has_single_bit(static_cast<std::uint64_t>(*number));
      if (!is_sane) return wrong("general.alignment is no power of two up to 65536");
      alignment = static_cast<std::uint64_t>(*number);
    }
    for (const Tensor& tensor : header_.tensors) {
      if (tensor.offset % alignment == 0) continue;
      return wrong(fmt::format("tensor \"{}\" lies at {}, which is no multiple of {}",
                               quotable(tensor.name), tensor.offset, alignment));
    }
    const std::uint64_t begin = (cursor_.position() + alignment - 1) / alignment * alignment;
    const auto place = misplaced(header_.tensors, size_ - std::min(size_, begin));
    return !place || wrong(*place);
  }

  Cursor cursor_;
  std::uint64_t size_;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t key_count_ = 0;
  std::set<std::string> seen_;
  GgufHeader header_;
  std::string problem_;
};

}  // namespace

Result<GgufHeader> read_gguf(Input& input, const std::string& name) {
  Reader reader(input);
  if (reader.read()) return reader.take();
  return fail(ErrorCode::model_invalid,
              fmt::format("{}: {}; download the file again", name, reader.problem()));
}

}  // namespace berth::models
