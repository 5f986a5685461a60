// SPDX-License-Identifier: Apache-2.0
#include "berth/models/model.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

namespace berth::models {
namespace {

constexpr std::size_t kPartDigits = 5;
constexpr std::string_view kOf = "-of-";

/// Returns the number that is the whole of `text`, or nothing.
std::optional<std::uint64_t> digits(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.size() != kPartDigits || code != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

std::string part_path(const std::filesystem::path& first, const Part& part, std::uint64_t number) {
  const std::string file =
      fmt::format("{}-{:05}-of-{:05}{}", part.stem, number, part.count, first.extension().string());
  return (first.parent_path() / file).string();
}

template <class Header>
struct Parts {
  std::vector<Header> headers;
  std::vector<std::string> files;
  Bytes bytes;
};

/// A GGUF file also says itself which part it is; a file that stands for another is found by it.
Status check_part(const GgufHeader& header, const std::string& path, const Part& part) {
  const auto value = [&](const char* key, std::int64_t otherwise) {
    const auto found = header.values.find(key);
    if (found == header.values.end()) return otherwise;
    const auto* number = std::get_if<std::int64_t>(&found->second);
    return number == nullptr ? otherwise : *number;
  };
  const auto count = value("split.count", 1);
  const auto number = value("split.no", 0);
  const auto wanted = static_cast<std::int64_t>(part.number) - 1;
  if (count == static_cast<std::int64_t>(part.count) && (count == 1 || number == wanted)) {
    return {};
  }
  return fail(ErrorCode::model_invalid,
              fmt::format("{}: by its name it is part {} of {}, by its header part {} of {}; put "
                          "the parts of one model under their own names into one folder",
                          path, part.number, part.count, number + 1, count));
}

Status check_part(const SafetensorsHeader&, const std::string&, const Part&) {
  return {};
}

/// Tensors of all parts have different names, and are as many as the first part says.
Status check_whole(const std::vector<GgufHeader>& headers, const std::string& path) {
  std::vector<Tensor> all;
  for (const GgufHeader& header : headers)
    all.insert(all.end(), header.tensors.begin(), header.tensors.end());
  if (const auto twice = listed_twice(all)) {
    return fail(ErrorCode::model_invalid,
                fmt::format("{}: tensor \"{}\" is in two parts; download all parts again", path,
                            quotable(*twice)));
  }
  const auto found = headers.front().values.find("split.tensors.count");
  if (found == headers.front().values.end()) return {};
  const auto* count = std::get_if<std::int64_t>(&found->second);
  if (count == nullptr || *count == static_cast<std::int64_t>(all.size())) return {};
  return fail(ErrorCode::model_invalid,
              fmt::format("{}: its parts have {} tensors, its header says {}; download all parts "
                          "again",
                          path, all.size(), *count));
}

Status check_whole(const std::vector<SafetensorsHeader>&, const std::string&) {
  return {};
}

template <class Header>
Result<Parts<Header>> read_parts(const std::string& path,
                                 Result<Header> (*read)(Input&, const std::string&)) {
  Part part = part_of(path);
  Parts<Header> parts;
  const std::string first_path = part_path(path, part, 1);
  if (part.number != 1) {
    return fail(ErrorCode::model_invalid,
                fmt::format("{}: is part {} of {}; name the first part, {}", path, part.number,
                            part.count, first_path));
  }
  if (part.count > kPartsMax) {
    return fail(ErrorCode::model_invalid,
                fmt::format("{}: has {} parts, at most {} are read; join them", path, part.count,
                            kPartsMax));
  }
  for (; part.number <= part.count; ++part.number) {
    const std::string file = part.count == 1 ? path : part_path(path, part, part.number);
    const auto input = open_file(file);
    if (!input && part.number > 1 && input.error().code == ErrorCode::model_missing) {
      return fail(ErrorCode::model_missing,
                  fmt::format("{}: part {} of {} is missing; put {} beside it", path, part.number,
                              part.count, file));
    }
    if (!input) return fail(input.error());
    Result<Header> header = read(**input, file);
    if (!header) return fail(header.error());
    if (const Status fits = check_part(*header, file, part); !fits) return fail(fits.error());
    parts.bytes += Bytes{static_cast<std::int64_t>((*input)->size())};
    parts.headers.push_back(std::move(*header));
    parts.files.push_back(file);
  }
  if (const Status whole = check_whole(parts.headers, path); !whole) return fail(whole.error());
  return parts;
}

template <class Header>
Result<Model> read_as(const std::string& path, Result<Header> (*read)(Input&, const std::string&)) {
  auto parts = read_parts(path, read);
  if (!parts) return fail(parts.error());
  Model model = describe(parts->headers);
  model.file_bytes = parts->bytes;
  model.files = std::move(parts->files);
  return model;
}

}  // namespace

Bytes Weights::total() const {
  Bytes sum = input + output + rest;
  for (const Bytes layer : layers)
    sum += layer;
  return sum;
}

Part part_of(const std::string& path) {
  const std::string stem = std::filesystem::path(path).stem().string();
  constexpr std::size_t kTail = 1 + 2 * kPartDigits + kOf.size();  // "-00001-of-00003"
  if (stem.size() <= kTail || stem[stem.size() - kTail] != '-') return {stem};
  const std::string_view tail = std::string_view(stem).substr(stem.size() - kTail + 1);
  const auto number = digits(tail.substr(0, kPartDigits));
  const auto count = digits(tail.substr(kPartDigits + kOf.size()));
  const bool is_part = number && count && tail.substr(kPartDigits, kOf.size()) == kOf;
  if (!is_part || *number < 1 || *number > *count) return {stem};
  return {stem.substr(0, stem.size() - kTail), *number, *count};
}

Result<Model> read_model(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".gguf") return read_as<GgufHeader>(path, read_gguf);
  if (extension == ".safetensors") return read_as<SafetensorsHeader>(path, read_safetensors);
  return fail(ErrorCode::model_invalid,
              fmt::format("{}: only headers of .gguf and .safetensors are read, so 1.2 x its size "
                          "is planned with; convert it, if its server takes no such file",
                          path));
}

}  // namespace berth::models
