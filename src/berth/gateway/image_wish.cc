// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/image_wish.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/json.hpp>

#include "berth/gateway/body.h"

namespace berth::gateway {
namespace {

namespace json = boost::json;

/// Those of OpenAI's POST /v1/images/generations beside `prompt`.
constexpr auto kOpenAi =
    std::to_array<std::string_view>({"model", "n", "size", "response_format", "output_format",
                                     "quality", "style", "background", "stream", "user"});

// Source: stable-diffusion.cpp 97d2990, `limits` of /sdcpp/v1/capabilities, and what
// examples/common/common.cpp clamps in silence.
constexpr std::int64_t kSideMin = 64;
constexpr std::int64_t kSideMax = 4096;
constexpr std::int64_t kStepsMax = 100;
constexpr double kScaleMax = 100;
/// With room for the next pictures of a batch. A JSON number beyond 2^53 is another one elsewhere.
constexpr std::int64_t kSeedMax = (1LL << 53) - 16;
constexpr std::int64_t kCountMax = 5;
constexpr double kRelayedCountMax = 8;
constexpr std::size_t kPromptMax = 32 << 10;
constexpr std::size_t kShown = 40;

Status wrong(std::string_view member, const json::value& value, std::string_view wanted) {
  std::string shown = json::serialize(value);
  if (shown.size() > kShown) shown = shown.substr(0, kShown) + "...";
  return fail(ErrorCode::bad_request, fmt::format("{} is {}; it takes {}", member, shown, wanted));
}

/// Reads one member into a wish.
using Read = Status (*)(std::string_view member, const json::value& value, host::ImageWish& wish);

Result<std::int64_t> whole(std::string_view member, const json::value& value, std::int64_t min,
                           std::int64_t max) {
  if (value.is_int64() && value.get_int64() >= min && value.get_int64() <= max) {
    return value.get_int64();
  }
  return fail(wrong(member, value, fmt::format("a whole number from {} to {}", min, max)).error());
}

Status read_number(std::string_view member, const json::value& value, std::int64_t min,
                   std::int64_t max, std::optional<std::int32_t>& out) {
  const auto number = whole(member, value, min, max);
  if (!number) return fail(number.error());
  out = static_cast<std::int32_t>(*number);
  return {};
}

Status read_text(std::string_view member, const json::value& value, std::size_t min,
                 std::string& out) {
  const bool is_text = value.is_string() && value.get_string().size() >= min &&
                       value.get_string().size() <= kPromptMax;
  if (!is_text) {
    return wrong(member, value, fmt::format("a text of {} to {} bytes", min, kPromptMax));
  }
  out = std::string(value.get_string());
  return {};
}

Status read_scale(std::string_view member, const json::value& value, host::ImageWish& wish) {
  const double number = value.is_number() ? value.to_number<double>() : -1;
  if (!(number >= 0 && number <= kScaleMax)) {
    return wrong(member, value, fmt::format("a number from 0 to {}", kScaleMax));
  }
  wish.picture.cfg_scale = number;
  return {};
}

/// A negative seed is a random one, as sd-server has it.
Status read_seed(std::string_view member, const json::value& value, host::ImageWish& wish) {
  const auto number = whole(member, value, -1, kSeedMax);
  if (!number) return fail(number.error());
  if (*number >= 0) wish.seed = *number;
  return {};
}

Status read_sampler(std::string_view member, const json::value& value, host::ImageWish& wish) {
  const auto known = servers::sd_samplers();
  const std::string_view text = value.is_string() ? std::string_view(value.get_string()) : "";
  if (std::find(known.begin(), known.end(), text) == known.end()) {
    return wrong(member, value, fmt::format("one of {}", fmt::join(known, ", ")));
  }
  wish.picture.sampler = text;
  return {};
}

Status read_count(std::string_view member, const json::value& value, host::ImageWish& wish) {
  const auto number = whole(member, value, 1, kCountMax);
  if (!number) return fail(number.error());
  wish.count = static_cast<std::int32_t>(*number);
  return {};
}

struct Member {
  std::string_view name;
  std::string_view snake_case;  ///< "" where it is the same
  Read read;
};

constexpr auto kMembers = std::to_array<Member>({
    {"prompt", "",
     [](auto member, const auto& value, auto& wish) {
       return read_text(member, value, 1, wish.picture.prompt);
     }},
    {"negativePrompt", "negative_prompt",
     [](auto member, const auto& value, auto& wish) {
       return read_text(member, value, 0, wish.picture.negative_prompt);
     }},
    {"width", "",
     [](auto member, const auto& value, auto& wish) {
       return read_number(member, value, kSideMin, kSideMax, wish.picture.width);
     }},
    {"height", "",
     [](auto member, const auto& value, auto& wish) {
       return read_number(member, value, kSideMin, kSideMax, wish.picture.height);
     }},
    {"steps", "",
     [](auto member, const auto& value, auto& wish) {
       return read_number(member, value, 1, kStepsMax, wish.picture.steps);
     }},
    {"cfgScale", "cfg_scale", read_scale},
    {"seed", "", read_seed},
    {"sampler", "", read_sampler},
    {"count", "", read_count},
});

Status read_member(std::string_view name, const json::value& value, host::ImageWish& wish) {
  std::string known;
  for (const Member& each : kMembers) {
    if (name == each.name || (!each.snake_case.empty() && name == each.snake_case)) {
      return each.read(name, value, wish);
    }
    known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  return fail(ErrorCode::bad_request, fmt::format("{} is no member of an image job; it has {}",
                                                  name.substr(0, kShown), known));
}

Status check_spellings(const json::object& object) {
  for (const Member& each : kMembers) {
    if (each.snake_case.empty()) continue;
    if (!object.contains(each.name) || !object.contains(each.snake_case)) continue;
    return fail(ErrorCode::bad_request, fmt::format("{} and {} are the same member; write one",
                                                    each.name, each.snake_case));
  }
  return {};
}

struct Limit {
  std::string_view name;
  double max;
};

/// Of pictures that sd-server itself answers: less than 1 or more than this it clamps in silence,
/// or fails at when everybody else was put out for it.
constexpr auto kRelayed = std::to_array<Limit>({{"n", kRelayedCountMax},
                                                {"batch_size", kRelayedCountMax},
                                                {"width", kSideMax},
                                                {"height", kSideMax},
                                                {"steps", kStepsMax}});

bool is_side(std::string_view text) {
  std::int64_t side = 0;
  const char* const end = text.data() + text.size();
  const auto [at, broken] = std::from_chars(text.data(), end, side);
  return broken == std::errc() && at == end && side >= 1 && side <= kSideMax;
}

bool is_size(const json::value& value) {
  if (!value.is_string()) return false;
  const std::string_view text = value.get_string();
  const std::size_t cross = text.find('x');
  if (cross == std::string_view::npos) return text == "auto" || text.empty();
  return is_side(text.substr(0, cross)) && is_side(text.substr(cross + 1));
}

/// sd-server takes longer ones than an image job, and refuses these only once it is up.
Status check_relayed_prompt(const json::object& object) {
  constexpr std::string_view kWanted = "a text of 1 byte or more";
  const json::value* prompt = object.if_contains("prompt");
  if (prompt == nullptr) {
    return fail(ErrorCode::bad_request, fmt::format("prompt is missing; it takes {}", kWanted));
  }
  if (prompt->is_string() && !prompt->get_string().empty()) return {};
  return wrong("prompt", *prompt, kWanted);
}

}  // namespace

Status check_relayed_picture(std::string_view body) {
  const auto object = object_in(body);
  if (!object) return fail(object.error());
  for (const Limit& limit : kRelayed) {
    const json::value* value = object->if_contains(limit.name);
    if (value == nullptr) continue;
    const double number = value->is_number() ? value->to_number<double>() : 0;
    if (number >= 1 && number <= limit.max) continue;
    return wrong(limit.name, *value, fmt::format("a number from 1 to {}", limit.max));
  }
  const json::value* size = object->if_contains("size");
  if (size != nullptr && !is_size(*size)) {
    return wrong("size", *size, fmt::format("WIDTHxHEIGHT, each from 1 to {}", kSideMax));
  }
  return check_relayed_prompt(*object);
}

bool is_openai_picture(std::string_view body) {
  const auto object = object_in(body);
  return object && std::any_of(kOpenAi.begin(), kOpenAi.end(),
                               [&](std::string_view member) { return object->contains(member); });
}

Result<host::ImageWish> image_wish(std::string_view body) {
  const auto object = object_in(body);
  if (!object) return fail(object.error());
  const Status spelled = check_spellings(*object);
  if (!spelled) return fail(spelled.error());
  host::ImageWish wish;
  for (const auto& member : *object) {
    const Status read = read_member(member.key(), member.value(), wish);
    if (!read) return fail(read.error());
  }
  if (!wish.picture.prompt.empty()) return wish;
  return fail(ErrorCode::bad_request,
              fmt::format("prompt is missing; it takes a text of 1 to {} bytes", kPromptMax));
}

std::string shape_of(const host::ImageWish& wish) {
  const auto& picture = wish.picture;
  if (!picture.width || !picture.height) return "";
  return fmt::format("{}x{}", *picture.width, *picture.height);
}

}  // namespace berth::gateway
