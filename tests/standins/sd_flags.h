// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace berth::standin {

/// One flag of sd-server. `hint` is "<string>", "<int>", "<float>" as in its --help, or empty for a
/// flag without a value; "value" marks one with a value that its --help shows without a hint.
struct Flag {
  std::string_view short_name;
  std::string_view long_name;
  std::string_view hint;
  std::string_view sentence = "accepted; the stand-in does not use it";
};

std::span<const Flag> server_flags();
std::span<const Flag> context_flags();
std::span<const Flag> generation_flags();
/// The stand-in's own flags; the real program has none of them.
std::span<const Flag> standin_flags();

}  // namespace berth::standin
