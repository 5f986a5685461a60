// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

#include "berth/config/sections.h"

namespace berth::config {
namespace {

constexpr Range kPatience{1, 1000};
constexpr Range kQueue{1, 1'000'000};
constexpr Duration kShortest = 1ms;

constexpr auto kOversize = std::to_array<Name<core::Oversize>>(
    {{"try", core::Oversize::attempt}, {"refuse", core::Oversize::refuse}});

constexpr auto kPresets =
    std::to_array<Name<Preset>>({{"seed", Preset::seed}, {"measured", Preset::measured}});
/// Of preset `measured`, where nothing is written: 0.92.
constexpr std::int64_t kMeasuredLimit = 23;
constexpr std::int64_t kMeasuredLimitOf = 25;

/// With at most this many digits above and below the line, a product with any number of bytes fits
/// the 128 bits of the core.
constexpr std::size_t kFractionDigitsMax = 9;

struct Fraction {
  std::int64_t numerator = 0;
  std::int64_t denominator = 1;
};

/// Reads 1 to kFractionDigitsMax digits; zeros in front do not count.
std::optional<std::int64_t> digits(std::string_view text) {
  while (text.size() > 1 && text.front() == '0')
    text.remove_prefix(1);
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = code == std::errc{} && end == text.data() + text.size() &&
                         text.front() != '-' && text.size() <= kFractionDigitsMax;
  return is_number ? std::optional(number) : std::nullopt;
}

/// Reads "0.75": exactly 75/100, whatever a binary number would make of it.
std::optional<Fraction> decimal(std::string_view text) {
  const std::size_t point = std::min(text.find('.'), text.size());
  const std::string_view before = text.substr(0, point);
  const std::string_view behind = text.substr(std::min(point + 1, text.size()));
  const bool is_complete = !before.empty() && behind.empty() == (point == text.size());
  const auto number = digits(std::string(before).append(behind));
  if (!is_complete || !number || behind.size() > kFractionDigitsMax) return std::nullopt;
  Fraction fraction{*number, 1};
  for (std::size_t i = 0; i < behind.size(); ++i)
    fraction.denominator *= 10;
  return fraction;
}

std::optional<Fraction> fraction(std::string_view text) {
  const std::size_t line = text.find('/');
  if (line == std::string_view::npos) return decimal(text);
  const auto above = digits(text.substr(0, line));
  const auto below = digits(text.substr(line + 1));
  if (!above || !below) return std::nullopt;
  return Fraction{*above, *below};
}

/// Returns the digits of the number as the file has them: the shortest text that reads as the same
/// binary number is the one that was written.
std::string text_of(const Node& node) {
  if (const auto* text = node.as<std::string>()) return *text;
  if (const auto* number = node.as<double>()) return fmt::format("{}", *number);
  if (const auto* number = node.as<std::int64_t>()) return fmt::format("{}", *number);
  return "";
}

Reader limit(core::Policy& out) {
  auto fill = [&out](const Entry& entry, Problems& problems) {
    const auto read = fraction(text_of(entry.node));
    if (!read || read->numerator == 0 || read->numerator > read->denominator) {
      return add_mismatch(entry, "a fraction above 0 and up to 1, for example \"3/4\" or 0.75",
                          problems);
    }
    const std::int64_t divisor = std::gcd(read->numerator, read->denominator);
    out.limit_numerator = read->numerator / divisor;
    out.limit_denominator = read->denominator / divisor;
  };
  return {std::move(fill), "fraction above 0, up to 1",
          fmt::format("\"{}/{}\"; of preset \"measured\" {}", out.limit_numerator,
                      out.limit_denominator,
                      static_cast<double>(kMeasuredLimit) / static_cast<double>(kMeasuredLimitOf))};
}

bool is_ip_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> ignored{};
  return inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

/// Reads "127.0.0.1:8700", "[::1]:8700" or "localhost:8700".
std::optional<Address> parse_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool is_bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  if (!is_bracketed && host.find(':') != std::string_view::npos) return std::nullopt;
  if (host == "localhost") host = "127.0.0.1";
  const auto port = digits(text.substr(colon + 1));
  if (!port || *port > 65'535 || !is_ip_address(std::string(host))) return std::nullopt;
  return Address{std::string(host), static_cast<std::uint16_t>(*port)};
}

}  // namespace

std::vector<Key> policy_keys(Config& config) {
  core::Policy& out = config.core.policy;
  return {
      {"preset", named<Preset>(config.preset, kPresets),
       "what memory is planned with. `seed`: `memory`, or size x 1.2; and beside it, within all of "
       "the pool, the best that is known. `measured`: only the best that is known, in every pool "
       "that a server uses. Best first: measured here, the model's header, the formula or "
       "`memory`"},
      {"limit", limit(out),
       R"(`others + need + reserve <= limit x (capacity - foreign)`; compared exactly. "3/4" or )"
       "0.75 may be written"},
      {"oversize", named<core::Oversize>(out.oversize, kOversize),
       "what to do with a server that exceeds the limit of the empty machine: try it with "
       "everything else out, or refuse"},
      {"patience", whole(out.patience, kPatience),
       "a turn lasts this many round trips while it has work and others wait"},
      {"ageing", duration(out.ageing, kShortest), "a waiting job gains one class per this"},
      {"linger_max", duration(out.linger_max, Duration{0}),
       "an unasked return waits until those it puts out have been idle this long at most"},
      {"release_deadline", duration(out.release_deadline, kShortest),
       "how long freed memory may take to be seen free"},
      {"swap_guess", duration(out.swap_guess, kShortest),
       "how long a server that was never loaded here is thought to take"},
      {"queue_max", whole(out.queue_max, kQueue), "waiting jobs per server; more are answered 429"},
      {"max_hold", duration(config.max_hold, Duration{0}),
       "`max_hold` of the servers that have none of their own"},
      {"hold_grace", duration(config.hold_grace, kShortest),
       "after a crash of Berth a hold goes on for so long without its owner, who comes back for it "
       "(`berth hold` does by itself)"},
      {"image_result_ttl", duration(config.image_result_ttl, kShortest),
       "the pictures of an image job are kept for so long; then its id is answered 410"},
      {"orphan_timeout", duration(config.orphan_timeout, kShortest),
       "when Berth is gone for so long (it crashed and nobody brought it up again), its servers "
       "are stopped. A server keeps the value with which it was started"},
  };
}

void read_policy(const Entry& policy, Reading& reading) {
  const auto* table = policy.node.as<Node::Table>();
  if (table == nullptr) return add_mismatch(policy, "a section, [policy]", reading.problems);
  core::Policy& out = reading.config.core.policy;
  read_section({"[policy]", policy.at, *table}, policy_keys(reading.config), reading.problems);
  if (reading.config.preset == Preset::measured && find(*table, "limit") == nullptr) {
    out.limit_numerator = kMeasuredLimit;
    out.limit_denominator = kMeasuredLimitOf;
  }
}

Reader address(Address& out) {
  auto fill = [&out](const Entry& entry, Problems& problems) {
    const auto* text = entry.node.as<std::string>();
    const auto read = text == nullptr ? std::nullopt : parse_address(*text);
    if (read) {
      out = *read;
    } else {
      add_mismatch(entry, R"(an IP address and a port, for example "127.0.0.1:8700")", problems);
    }
  };
  return {std::move(fill), "text", fmt::format("\"{}:{}\"", out.host, out.port)};
}

}  // namespace berth::config
