// SPDX-License-Identifier: Apache-2.0
#include "berth/host/event_json.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "berth/host/describe.h"
#include "berth/host/text.h"

namespace berth::host {
namespace {

namespace json = boost::json;

template <class Archive, class Value>
concept Described = requires(Archive& archive, Value& value) {
  describe(archive, value);
};

template <class Type>
concept Number = std::integral<Type> && !std::same_as<Type, bool>;

/// Types that hold one number, with its place.
std::int64_t& number_in(Bytes& bytes) {
  return bytes.count;
}
template <class Tag>
std::uint64_t& number_in(Id<Tag, std::uint64_t>& id) {
  return id.value;
}
template <class Type>
concept HoldsNumber = requires(Type& value) {
  number_in(value);
};

// ---- Writing ------------------------------------------------------------------------------------

class Writer {
 public:
  Writer(json::object& out, const core::Config& config) : out_(out), config_(&config) {}

  void name_by(const core::Config& config) { config_ = &config; }

  template <class Type>
  void operator()(std::string_view key, const Type& value) {
    out_[key] = text(value);
  }
  template <class Type>
  void operator()(std::string_view key, const std::optional<Type>& value) {
    if (value) out_[key] = text(*value);
  }

 private:
  json::value text(bool value) { return value; }
  json::value text(const std::string& value) { return json::string(value); }
  json::value text(Duration value) { return value.count(); }
  json::value text(Instant value) { return value.since_start.count(); }
  json::value text(ServerId id) {  // a lease has a number and no name
    if (id.value >= config_->servers.size()) return id.value;
    return json::string(config_->servers[id.value].name);
  }
  json::value text(PoolId id) { return json::string(config_->pools.at(id.value).name); }
  json::value text(const core::Footprint& footprint) {
    json::object out;
    for (const core::PoolShare& share : footprint.shares)
      out[config_->pools.at(share.pool.value).name] = share.bytes.count;
    return out;
  }
  template <Number Type>
  json::value text(Type value) {
    return value;
  }
  template <HoldsNumber Type>
  json::value text(Type value) {
    return number_in(value);
  }
  template <class Type>
  requires std::is_enum_v<Type> json::value text(Type value) { return json::string(name(value)); }
  template <class Type>
  json::value text(const std::vector<Type>& values) {
    json::array out;
    for (const Type& value : values)
      out.push_back(text(value));
    return out;
  }
  template <class Type>
  requires Described<Writer, const Type> json::value text(const Type& value) {
    json::object out;
    Writer inner(out, *config_);
    describe(inner, value);
    return out;
  }

  json::object& out_;
  const core::Config* config_;
};

// ---- Reading ------------------------------------------------------------------------------------

/// Reads member by member; the first problem stays, and what follows it is not read.
class Reader {
 public:
  Reader(const json::object& in, const core::Config& config, std::string& problem)
      : in_(in), config_(&config), problem_(problem) {}

  void name_by(const core::Config& config) { config_ = &config; }

  template <class Type>
  void operator()(std::string_view key, Type& value) {
    const json::value* member = in_.if_contains(key);
    if (member == nullptr) return complain(fmt::format("\"{}\" is missing", key));
    take(key, *member, value);
  }
  template <class Type>
  void operator()(std::string_view key, std::optional<Type>& value) {
    value.reset();
    if (const json::value* member = in_.if_contains(key)) take(key, *member, value.emplace());
  }

 private:
  void complain(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }
  template <class Type>
  void take(std::string_view key, const json::value& member, Type& value) {
    if (problem_.empty() && !read(member, value)) {
      complain(fmt::format("\"{}\" cannot be {}", key, json::serialize(member)));
    }
  }

  bool read(const json::value& in, bool& out) {
    if (in.is_bool()) out = in.get_bool();
    return in.is_bool();
  }
  bool read(const json::value& in, std::string& out) {
    if (in.is_string()) out = std::string(in.get_string());
    return in.is_string();
  }
  template <Number Type>
  bool read(const json::value& in, Type& out) {
    json::error_code error;
    if (in.is_int64() || in.is_uint64()) out = in.to_number<Type>(error);
    return !error && (in.is_int64() || in.is_uint64());
  }
  template <HoldsNumber Type>
  bool read(const json::value& in, Type& out) {
    return read(in, number_in(out));
  }
  bool read(const json::value& in, Duration& out) {
    Duration::rep count = 0;
    const bool known = read(in, count);
    out = Duration{count};
    return known;
  }
  bool read(const json::value& in, Instant& out) { return read(in, out.since_start); }
  bool read(const json::value& in, ServerId& out) {
    return in.is_string() ? find(config_->servers, in, out.value) : read(in, out.value);
  }
  bool read(const json::value& in, PoolId& out) { return find(config_->pools, in, out.value); }
  template <class Named>
  static bool find(const std::vector<Named>& all, const json::value& name, std::uint32_t& out) {
    for (out = 0; out < all.size(); ++out) {
      if (name.is_string() && name.get_string() == all[out].name) return true;
    }
    return false;
  }
  bool read(const json::value& in, core::Footprint& out) {
    if (!in.is_object()) return false;
    for (const auto& member : in.get_object()) {
      core::PoolShare& share = out.shares.emplace_back();
      const json::string pool(member.key());
      if (!read(json::value(pool), share.pool) || !read(member.value(), share.bytes)) return false;
    }
    return true;
  }
  bool read(const json::value& in, ErrorCode& out) {
    if (!in.is_string()) return false;
    const auto code = error_code_from_name(std::string_view(in.get_string()));
    out = code.value_or(ErrorCode::internal);
    return code.has_value();
  }
  template <class Type>
  requires std::is_enum_v<Type>
  bool read(const json::value& in, Type& out) {
    if (!in.is_string()) return false;
    const auto value = from_name<Type>(std::string_view(in.get_string()));
    out = value.value_or(Type{});
    return value.has_value();
  }
  template <class Type>
  bool read(const json::value& in, std::vector<Type>& out) {
    if (!in.is_array()) return false;
    for (const json::value& each : in.get_array()) {
      if (!read(each, out.emplace_back())) return false;
    }
    return true;
  }
  template <class Type>
  requires Described<Reader, Type>
  bool read(const json::value& in, Type& out) {
    if (!in.is_object()) return false;
    Reader inner(in.get_object(), *config_, problem_);
    describe(inner, out);
    return problem_.empty();
  }

  const json::object& in_;
  const core::Config* config_;
  std::string& problem_;
};

template <class Variant>
json::object write(const Variant& variant, const core::Config& config) {
  json::object out;
  std::visit(
      [&]<class Type>(const Type& value) {
        out["name"] = json::string(kName<Type>);
        Writer writer(out, config);
        describe(writer, value);
      },
      variant);
  return out;
}

template <std::size_t kIndex = 0>
Result<core::Event> read_event(std::string_view name, const json::object& object,
                               const core::Config& config) {
  if constexpr (kIndex == std::variant_size_v<core::Event>) {
    return fail(ErrorCode::bad_request, fmt::format("there is no event \"{}\"", name));
  } else {
    using Type = std::variant_alternative_t<kIndex, core::Event>;
    if (name != kName<Type>) return read_event<kIndex + 1>(name, object, config);
    Type event;
    std::string problem;
    Reader reader(object, config, problem);
    describe(reader, event);
    if (!problem.empty()) {
      return fail(ErrorCode::bad_request, fmt::format("in event \"{}\" {}", name, problem));
    }
    return core::Event(std::move(event));
  }
}

}  // namespace

json::object to_json(const core::Event& event, const core::Config& config) {
  return write(event, config);
}

json::object to_json(const core::Action& action, const core::Config& config) {
  return write(action, config);
}

Result<core::Event> event_from_json(const json::object& object, const core::Config& config) {
  const json::value* name = object.if_contains("name");
  const bool is_named = name != nullptr && name->is_string();
  return read_event(is_named ? std::string_view(name->get_string()) : "", object, config);
}

}  // namespace berth::host
