// SPDX-License-Identifier: Apache-2.0
// Reads the members of the small JSON objects of this folder. Private; Boost.JSON inside.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::process {

/// Parses an object; strings may hold bytes that are not UTF-8, as file names and arguments do.
inline std::optional<boost::json::object> parse_object(std::string_view text) {
  boost::json::parse_options options;
  options.allow_invalid_utf8 = true;
  boost::json::error_code error;
  const boost::json::value value = boost::json::parse(text, error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  return value.get_object();
}

template <class Number>
std::optional<Number> number_member(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  if (value == nullptr) return std::nullopt;
  boost::json::error_code error;
  const Number number = value->to_number<Number>(error);
  if (error) return std::nullopt;
  return number;
}

inline std::optional<std::string> string_member(const boost::json::object& object,
                                                std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string(value->get_string());
}

inline std::optional<std::vector<std::string>> strings_member(const boost::json::object& object,
                                                              std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_array()) return std::nullopt;
  std::vector<std::string> strings;
  for (const boost::json::value& element : value->get_array()) {
    if (!element.is_string()) return std::nullopt;
    strings.emplace_back(element.get_string());
  }
  return strings;
}

}  // namespace berth::process
