// SPDX-License-Identifier: Apache-2.0
#include "berth/config/keys.h"

#include <algorithm>

namespace berth::config {
namespace {

/// Returns the value as it stands in messages: `"text"`, `17`, or its kind if it is not short.
std::string shown(const Node& node) {
  constexpr std::size_t kShownMax = 60;
  if (const auto* text = node.as<std::string>(); text != nullptr && text->size() <= kShownMax) {
    return fmt::format("\"{}\"", *text);
  }
  if (const auto* number = node.as<std::int64_t>()) return fmt::format("{}", *number);
  if (const auto* number = node.as<double>()) return fmt::format("{}", *number);
  if (const auto* boolean = node.as<bool>()) return *boolean ? "true" : "false";
  return std::string(kind_of(node));
}

/// Reports the keys that are not known. Returns the known ones that they were probably meant to be.
std::vector<std::string_view> report_unknown(const Section& section, const std::vector<Key>& keys,
                                             Problems& problems) {
  std::vector<std::string_view> names;
  std::vector<std::string_view> meant;
  for (const Key& key : keys)
    names.push_back(key.name);
  for (const Entry& entry : section.table) {
    if (std::find(names.begin(), names.end(), entry.key) != names.end()) continue;
    const auto known = nearest(entry.key, names);
    problems.add(entry.at,
                 fmt::format("{} has no key \"{}\"; write {}", section.title, entry.key,
                             known ? fmt::format("\"{}\"", *known) : alternatives(names)));
    if (known) meant.push_back(*known);
  }
  return meant;
}

/// Returns the amount, or adds a problem and returns nothing.
std::optional<Bytes> amount(const Entry& entry, Bytes min, Problems& problems) {
  if (const auto* number = entry.node.as<std::int64_t>(); number != nullptr) {
    if (*number >= min.count) return Bytes{*number};
  } else if (const auto* text = entry.node.as<std::string>()) {
    const Result<Bytes> parsed = parse_bytes(*text);
    if (!parsed) {
      problems.add(entry.node.at, fmt::format("{}: {}", entry.key, parsed.error().message));
      return std::nullopt;
    }
    if (*parsed >= min) return *parsed;
  }
  add_mismatch(entry,
               min.count > 0 ? "an amount of memory above 0, for example \"512MiB\""
                             : "an amount of memory, for example \"512MiB\"",
               problems);
  return std::nullopt;
}

std::optional<Duration> length(const Entry& entry, Duration min, Problems& problems) {
  if (const auto* text = entry.node.as<std::string>()) {
    const Result<Duration> parsed = parse_duration(*text);
    if (!parsed) {
      problems.add(entry.node.at, fmt::format("{}: {}", entry.key, parsed.error().message));
      return std::nullopt;
    }
    if (*parsed >= min) return *parsed;
  }
  add_mismatch(entry,
               min > Duration{0} ? "a length of time above 0, for example \"30s\" or \"10min\""
                                 : "a length of time with its unit, for example \"30s\"",
               problems);
  return std::nullopt;
}

/// The length as the file has it: "30s", exactly.
std::string written(Duration length) {
  const auto in = [length](Duration unit, std::string_view name) {
    return length.count() % unit.count() == 0 ? fmt::format("\"{}{}\"", length / unit, name) : "";
  };
  for (const auto& text : {in(1h, "h"), in(1min, "min"), in(1s, "s")}) {
    if (!text.empty() && length > Duration{0}) return text;
  }
  return fmt::format("\"{}ms\"", length / 1ms);
}

/// Returns the text, or adds a problem and returns nothing.
std::optional<std::string> resolved(const Entry& entry, const Paths& paths, Problems& problems) {
  const auto* text = entry.node.as<std::string>();
  if (text == nullptr || text->empty() || text->find('\0') != std::string::npos) {
    add_mismatch(entry, "a path, relative to this file", problems);
    return std::nullopt;
  }
  std::optional<std::string> full = paths.resolve(*text);
  if (!full) {
    problems.add(entry.node.at, fmt::format("{} is \"{}\", but the variable HOME is not set; write "
                                            "the path in full",
                                            entry.key, *text));
  }
  return full;
}

bool is_control(char sign) {
  return static_cast<unsigned char>(sign) < ' ' || sign == '\x7f';
}

const RefusedArgument* find_refused(std::string_view argument,
                                    std::span<const RefusedArgument> refused) {
  const std::string_view option = argument.substr(0, argument.find('='));
  const auto found = std::find_if(refused.begin(), refused.end(),
                                  [&](const RefusedArgument& r) { return r.argument == option; });
  return found == refused.end() ? nullptr : &*found;
}

}  // namespace

void read_section(const Section& section, const std::vector<Key>& keys, Problems& problems) {
  const std::vector<std::string_view> meant = report_unknown(section, keys, problems);
  for (const Key& key : keys) {
    if (const Entry* entry = find(section.table, key.name)) {
      key.read(*entry, problems);
    } else if (!key.example.empty() &&
               std::find(meant.begin(), meant.end(), key.name) == meant.end()) {
      problems.add(section.at, fmt::format("{} lacks the key \"{}\"; write for example {}",
                                           section.title, key.name, key.example));
    }
  }
}

bool is_name(std::string_view text, std::string_view signs) {
  return !text.empty() && text.size() <= kNameMax &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  signs.find(c) != std::string_view::npos;
         });
}

void add_mismatch(const Entry& entry, std::string_view wanted, Problems& problems) {
  problems.add(entry.node.at,
               fmt::format("{} is {}; write {}", entry.key, shown(entry.node), wanted));
}

std::string plain_path(const std::filesystem::path& path) {
  const std::filesystem::path normal = path.lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).string();
}

std::optional<std::string> Paths::resolve(std::string_view path) const {
  if (path != "~" && !path.starts_with("~/")) {
    return plain_path(std::filesystem::path(folder) / path);
  }
  if (!home) return std::nullopt;
  return plain_path(*home + std::string(path.substr(1)));
}

std::optional<std::int64_t> whole_number(const Entry& entry, Range range, Problems& problems) {
  const auto* number = entry.node.as<std::int64_t>();
  if (number != nullptr && *number >= range.min && *number <= range.max) return *number;
  add_mismatch(entry, fmt::format("a whole number from {} to {}", range.min, range.max), problems);
  return std::nullopt;
}

Reader falling_back(std::string fallback, Reader reader) {
  reader.fallback = std::move(fallback);
  return reader;
}

Reader boolean(bool& out) {
  auto fill = [&out](const Entry& entry, Problems& problems) {
    if (const auto* value = entry.node.as<bool>()) {
      out = *value;
    } else {
      add_mismatch(entry, "true or false, without quotes", problems);
    }
  };
  return {std::move(fill), "true or false", out ? "true" : "false"};
}

Reader bytes(Bytes& out, Bytes min) {
  auto fill = [&out, min](const Entry& entry, Problems& problems) {
    if (const auto read = amount(entry, min, problems)) out = *read;
  };
  return {std::move(fill), "amount", fmt::format("{}", out.count)};
}

Reader whole_mebibytes(Bytes& out) {
  auto fill = [&out](const Entry& entry, Problems& problems) {
    const auto read = amount(entry, Bytes{0}, problems);
    if (!read) return;
    if (read->count % (1_MiB).count == 0) {
      out = *read;
    } else {
      add_mismatch(entry, "a whole number of MiB, for example \"512MiB\"", problems);
    }
  };
  return {std::move(fill), "amount, whole MiB", fmt::format("{}", out.count)};
}

Reader duration(Duration& out, Duration min) {
  auto fill = [&out, min](const Entry& entry, Problems& problems) {
    if (const auto read = length(entry, min, problems)) out = *read;
  };
  return {std::move(fill), "time", written(out)};
}

Reader duration_or_none(std::optional<Duration>& out) {
  auto fill = [&out](const Entry& entry, Problems& problems) {
    if (const auto* text = entry.node.as<std::string>(); text != nullptr && *text == "none") {
      out = std::nullopt;
    } else if (const auto read = length(entry, Duration{0}, problems)) {
      out = read;
    }
  };
  return {std::move(fill), "time or \"none\"", out ? written(*out) : "\"none\""};
}

Reader path(std::string& out, const Paths& paths) {
  auto fill = [&out, &paths](const Entry& entry, Problems& problems) {
    if (auto full = resolved(entry, paths, problems)) out = std::move(*full);
  };
  return {std::move(fill), "path"};
}

Reader paths(std::vector<std::string>& out, const Paths& paths) {
  auto fill = [&out, &paths](const Entry& entry, Problems& problems) {
    const auto* list = entry.node.as<Node::Array>();
    if (list == nullptr) {
      return add_mismatch(entry, R"(a list of paths, for example ["~/models"])", problems);
    }
    for (const Node& element : *list) {
      if (auto full = resolved({entry.key, entry.at, element}, paths, problems)) {
        out.push_back(std::move(*full));
      }
    }
  };
  return {std::move(fill), "list of paths", "[]"};
}

Reader program(std::optional<std::string>& out, const Paths& paths) {
  auto fill = [&out, &paths](const Entry& entry, Problems& problems) {
    const auto* text = entry.node.as<std::string>();
    const bool is_bare = text != nullptr && !text->empty() && *text != "~" &&
                         text->find('/') == std::string::npos &&
                         text->find('\0') == std::string::npos;
    if (is_bare) {
      out = *text;
    } else if (auto full = resolved(entry, paths, problems)) {
      out = std::move(*full);
    }
  };
  return {std::move(fill), "path, or name in PATH"};
}

Reader one_of(std::optional<std::string>& out, std::span<const std::string_view> names,
              std::string_view fallback) {
  auto fill = [&out, names](const Entry& entry, Problems& problems) {
    const auto* text = entry.node.as<std::string>();
    if (text != nullptr && std::find(names.begin(), names.end(), *text) != names.end()) {
      out = *text;
    } else {
      add_mismatch(entry, alternatives(names), problems);
    }
  };
  return {std::move(fill), alternatives(names),
          fallback.empty() ? "" : fmt::format("\"{}\"", fallback)};
}

Reader arguments(std::vector<std::string>& out, std::span<const RefusedArgument> refused) {
  auto fill = [&out, refused](const Entry& entry, Problems& problems) {
    const auto* list = entry.node.as<Node::Array>();
    if (list == nullptr) {
      return add_mismatch(entry, R"(a list of strings, for example ["--verbose"])", problems);
    }
    for (const Node& element : *list) {
      const auto* text = element.as<std::string>();
      if (text == nullptr) {
        problems.add(element.at, fmt::format("{} holds {}; write every argument as a string",
                                             entry.key, shown(element)));
      } else if (std::any_of(text->begin(), text->end(), is_control)) {
        problems.add(element.at, fmt::format("{} holds an argument with a control character, for "
                                             "example a line break; leave it out, or name a file "
                                             "where the program takes one",
                                             entry.key));
      } else if (const RefusedArgument* found = find_refused(*text, refused)) {
        problems.add(element.at, fmt::format("{} may not hold \"{}\"; {}", entry.key,
                                             found->argument, found->instead));
      } else {
        out.push_back(*text);
      }
    }
  };
  return {std::move(fill), "list of text", "[]"};
}

}  // namespace berth::config
