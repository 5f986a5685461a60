// SPDX-License-Identifier: Apache-2.0
// Tables of keys: a key of the configuration is one row, its name and the reader of its value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "berth/base/bytes.h"
#include "berth/base/time.h"
#include "berth/config/document.h"
#include "berth/config/problems.h"

namespace berth::config {

/// Reads the entry's value into the place that the reader was made for, or adds a problem.
/// Ownership: a reader holds references; it lives no longer than the struct that it fills.
struct Reader {
  std::function<void(const Entry&, Problems&)> read;
  std::string type;           ///< what may be written, for a person: "1 to 1000", "time"
  std::string fallback = {};  ///< what holds where nothing is written, as in the file; "" = none

  void operator()(const Entry& entry, Problems& problems) const { read(entry, problems); }
};

struct Key {
  std::string_view name;
  Reader read;
  std::string_view meaning;       ///< a sentence for the reference
  std::string_view example = {};  ///< the key must be there; what to write if it is not
};

/// A table of the file: where it stands and what it is called in messages.
struct Section {
  std::string title;  ///< "[server.chat]"
  Position at;
  const Node::Table& table;
};

/// Reads the section by its keys, in the order of `keys`. Keys that are not among them, and keys
/// that must be there but are not, are problems.
void read_section(const Section& section, const std::vector<Key>& keys, Problems& problems);

inline constexpr std::size_t kNameMax = 32;

/// Returns whether `text` is 1 to kNameMax of a-z, 0-9 and `signs`.
bool is_name(std::string_view text, std::string_view signs);

/// Adds "`key` is a string; write `wanted`".
void add_mismatch(const Entry& entry, std::string_view wanted, Problems& problems);

/// Returns the path without ".", "..", double slashes and a slash at the end.
std::string plain_path(const std::filesystem::path& path);

/// Where the paths of the file start.
struct Paths {
  std::string folder;               ///< absolute
  std::optional<std::string> home;  ///< what "~" stands for

  /// Returns the absolute path, or nothing if it needs a home and there is none.
  [[nodiscard]] std::optional<std::string> resolve(std::string_view path) const;
};

/// The smallest and the largest number allowed.
struct Range {
  std::int64_t min = 0;
  std::int64_t max = std::numeric_limits<std::int32_t>::max();
};

/// Returns the entry's whole number, or adds a problem and returns nothing.
std::optional<std::int64_t> whole_number(const Entry& entry, Range range, Problems& problems);

/// `out`: an integer or an optional one.
template <class Number>
Reader whole(Number& out, Range range) {
  constexpr bool kIsOptional = requires {
    typename Number::value_type;
  };
  auto fill = [&out, range](const Entry& entry, Problems& problems) {
    if (const auto number = whole_number(entry, range, problems)) {
      if constexpr (kIsOptional) {
        out = static_cast<typename Number::value_type>(*number);
      } else {
        out = static_cast<Number>(*number);
      }
    }
  };
  Reader reader{std::move(fill), fmt::format("{} to {}", range.min, range.max)};
  if constexpr (!kIsOptional) reader.fallback = fmt::format("{}", out);
  return reader;
}

/// The reader, told of with another fallback: one that depends on more than its own place.
Reader falling_back(std::string fallback, Reader reader);

Reader boolean(bool& out);
/// An amount of memory: "300MiB" or a number of bytes.
Reader bytes(Bytes& out, Bytes min);
/// Memory that is passed on in MiB.
Reader whole_mebibytes(Bytes& out);
Reader duration(Duration& out, Duration min);
/// A length of time, or "none".
Reader duration_or_none(std::optional<Duration>& out);
/// A path, made absolute.
Reader path(std::string& out, const Paths& paths);
/// A list of paths, each made absolute.
Reader paths(std::vector<std::string>& out, const Paths& paths);
/// A program: a path, made absolute, or a bare name, kept as it is.
Reader program(std::optional<std::string>& out, const Paths& paths);
/// One of the names; `fallback` is what holds where none is written.
Reader one_of(std::optional<std::string>& out, std::span<const std::string_view> names,
              std::string_view fallback = "");

/// An argument that may not be passed through, and what to do instead.
struct RefusedArgument {
  std::string_view argument;
  std::string_view instead;
};

/// Command-line arguments; `refused` are those that Berth sets itself.
Reader arguments(std::vector<std::string>& out, std::span<const RefusedArgument> refused);

/// The name of an enumerator in the file.
template <class Enum>
struct Name {
  std::string_view name;
  Enum value;
};

/// One of the names; `hint` is added to the message if another stands there.
template <class Enum>
Reader named(Enum& out, std::span<const Name<Enum>> names, std::string_view hint = "") {
  std::vector<std::string_view> known;
  std::string fallback;
  for (const Name<Enum>& candidate : names) {
    known.push_back(candidate.name);
    if (candidate.value == out) fallback = fmt::format("\"{}\"", candidate.name);
  }
  const std::string type = alternatives(known);
  auto fill = [&out, names, wanted = type + std::string(hint)](const Entry& entry,
                                                               Problems& problems) {
    const auto* text = entry.node.as<std::string>();
    for (const Name<Enum>& candidate : names) {
      if (text == nullptr || *text != candidate.name) continue;
      out = candidate.value;
      return;
    }
    add_mismatch(entry, wanted, problems);
  };
  return {std::move(fill), type, fallback};
}

}  // namespace berth::config
