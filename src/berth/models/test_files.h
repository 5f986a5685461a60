// SPDX-License-Identifier: Apache-2.0
// Model files that tests write themselves, sound and broken ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace berth::models {

/// A folder that is gone with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-models-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] std::string path(const std::string& name = "") const {
    return name.empty() ? path_ : path_ + "/" + name;
  }
  std::string write(const std::string& name, std::string_view bytes) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }

 private:
  std::string path_;
};

/// Writes the pieces of a GGUF header, right or wrong.
class GgufWriter {
 public:
  static constexpr std::uint32_t kU32 = 4;
  static constexpr std::uint32_t kText = 8;
  static constexpr std::uint32_t kList = 9;
  static constexpr std::uint32_t kU16 = 2;
  static constexpr std::uint32_t kI32 = 5;
  static constexpr std::uint32_t kF32 = 0;   // of a tensor
  static constexpr std::uint32_t kQ8_0 = 8;  // of a tensor

  GgufWriter& number(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i)
      bytes_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  GgufWriter& raw(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  GgufWriter& text(std::string_view text) { return number(text.size(), 8).raw(text); }
  GgufWriter& front(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    return raw("GGUF").number(version, 4).number(tensors, 8).number(keys, 8);
  }
  GgufWriter& value(std::string_view key, std::uint32_t number_value) {
    return text(key).number(kU32, 4).number(number_value, 4);
  }
  GgufWriter& value(std::string_view key, std::string_view text_value) {
    return text(key).number(kText, 4).text(text_value);
  }
  GgufWriter& list(std::string_view key, std::initializer_list<std::uint32_t> numbers) {
    text(key).number(kList, 4).number(kU32, 4).number(numbers.size(), 8);
    for (const std::uint32_t one : numbers)
      number(one, 4);
    return *this;
  }
  GgufWriter& tensor(std::string_view name, std::initializer_list<std::uint64_t> shape,
                     std::uint32_t type, std::uint64_t offset) {
    text(name).number(shape.size(), 4);
    for (const std::uint64_t extent : shape)
      number(extent, 8);
    return number(type, 4).number(offset, 8);
  }
  /// Fills up to the alignment and adds that many bytes of data.
  GgufWriter& data(std::size_t count, std::size_t alignment = 32) {
    bytes_.append((alignment - bytes_.size() % alignment) % alignment, '\0');
    bytes_.append(count, 'w');
    return *this;
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// Returns a safetensors file with this JSON and that many bytes of data.
inline std::string safetensors(std::string_view json, std::size_t data) {
  GgufWriter writer;
  writer.number(json.size(), 8).raw(json);
  return writer.bytes() + std::string(data, 'w');
}

}  // namespace berth::models
