// SPDX-License-Identifier: Apache-2.0
#include "berth/plan/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "berth/base/bytes.h"

namespace berth::plan {
namespace {

using core::PlanComponent;
using core::PlanPool;
using core::PlanShare;

/// Far more than any machine; sums of components stay exact.
constexpr Bytes kAmountMax{1'000'000'000'000'000};
constexpr std::size_t kComponentsMax = 100;
constexpr std::int64_t kLayersMax = 10'000;
constexpr auto kClasses = std::to_array<std::pair<std::string_view, core::ServerClass>>(
    {{"video", core::ServerClass::video},
     {"image", core::ServerClass::image},
     {"chat", core::ServerClass::chat},
     {"batch", core::ServerClass::batch}});
constexpr std::string_view kDeclared = "declared";

/// One option with its value, for messages: `--llm "3.5GB:32/32"`.
struct Given {
  std::string_view prefix;
  std::string_view option;
  std::string_view text;

  [[nodiscard]] std::string name(std::string_view other) const {
    return std::string(prefix).append(other);
  }
  [[nodiscard]] tl::unexpected<Error> wrong(std::string_view problem) const {
    return fail(ErrorCode::bad_request, fmt::format("{} \"{}\": {}", name(option), text, problem));
  }
};

using Members = std::vector<std::pair<std::string_view, std::string_view>>;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ')
    text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ')
    text.remove_suffix(1);
  return text;
}

bool is_unknown(std::string_view text) {
  return text == "?" || text == "unknown";
}

Result<Bytes> read_amount(const Given& given, std::string_view text) {
  const Result<Bytes> amount = parse_bytes(text);
  if (!amount) return given.wrong(amount.error().message);
  if (*amount <= kAmountMax) return *amount;
  return given.wrong(fmt::format("{} is more than any machine has; write at most 1000TB", text));
}

Result<std::int64_t> read_whole(const Given& given, std::string_view what, std::string_view text,
                                std::int64_t most) {
  std::int64_t number = -1;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_whole = code == std::errc{} && end == text.data() + text.size();
  if (is_whole && number >= 0 && number <= most) return number;
  return given.wrong(
      fmt::format("{} is \"{}\"; write a whole number from 0 to {}", what, text, most));
}

/// Reads "a=1,b=2", each key at most once and one of `known`.
Result<Members> read_members(const Given& given, std::string_view text,
                             const std::vector<std::string_view>& known) {
  Members members;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view member = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const std::size_t equals = member.find('=');
    const std::string_view key = trimmed(member.substr(0, equals));
    if (std::find(known.begin(), known.end(), key) == known.end() ||
        equals == std::string_view::npos) {
      return given.wrong(fmt::format("\"{}\" is not understood; write KEY=VALUE, where KEY is {}",
                                     trimmed(member), fmt::join(known, ", ")));
    }
    const bool twice = std::any_of(members.begin(), members.end(),
                                   [&](const auto& other) { return other.first == key; });
    if (twice) return given.wrong(fmt::format("{} stands there twice; write it once", key));
    members.emplace_back(key, trimmed(member.substr(equals + 1)));
  }
  return members;
}

std::optional<std::string_view> find(const Members& members, std::string_view key) {
  for (const auto& [name, value] : members) {
    if (name == key) return value;
  }
  return std::nullopt;
}

Result<core::CpuShare> read_cpu(const Given& given, std::string_view text) {
  constexpr std::int64_t kWhole = 100;
  std::string_view number = text;
  const bool is_bound = number.starts_with('<');
  if (is_bound) number.remove_prefix(1);
  if (number.ends_with('%')) number.remove_suffix(1);
  const auto percent = read_whole(given, "cpu", trimmed(number), kWhole);
  if (!percent) {
    return given.wrong(fmt::format(
        "cpu is \"{}\"; write a share of all cores, for example cpu=16% or \"cpu=<5%\"", text));
  }
  return core::CpuShare{static_cast<std::int32_t>(*percent), is_bound};
}

/// Which pools a component's memory lies in.
struct Places {
  std::optional<PoolId> vram;
  PoolId ram;
};

Result<Places> places_of(const Given& given, const Members& members,
                         const std::vector<PlanPool>& pools) {
  Places places;
  std::vector<PoolId> gpus;
  for (std::uint32_t i = 0; i < pools.size(); ++i)
    if (pools[i].is_gpu) gpus.push_back(PoolId{i});
  const auto ram =
      std::find_if(pools.begin(), pools.end(), [](const PlanPool& pool) { return !pool.is_gpu; });
  if (ram == pools.end())
    return given.wrong("the machine's pools are GPUs only; add " + given.name("ram"));
  places.ram = PoolId{static_cast<std::uint32_t>(ram - pools.begin())};
  if (!gpus.empty()) places.vram = gpus.front();
  const auto device = find(members, "device");
  if (!device) return places;
  if (gpus.empty())
    return given.wrong("device: there is no GPU; leave it out, or add " + given.name("vram"));
  const auto number =
      read_whole(given, "device", *device, static_cast<std::int64_t>(gpus.size()) - 1);
  if (!number) return fail(number.error());
  places.vram = gpus[static_cast<std::size_t>(*number)];
  return places;
}

/// cpu, class, running and machine.
Status read_common(const Given& given, const Members& members, PlanComponent& out) {
  if (const auto text = find(members, "cpu")) {
    const auto cpu = read_cpu(given, *text);
    if (!cpu) return fail(cpu.error());
    out.cpu = *cpu;
  }
  if (const auto text = find(members, "class")) {
    const auto* job_class = std::find_if(kClasses.begin(), kClasses.end(),
                                         [&](const auto& each) { return each.first == *text; });
    if (job_class == kClasses.end()) {
      return given.wrong(fmt::format(
          "class is \"{}\"; write class=video, class=image, class=chat or class=batch", *text));
    }
    out.job_class = job_class->second;
  }
  if (const auto text = find(members, "running")) {
    if (*text != "yes" && *text != "no") {
      return given.wrong(fmt::format("running is \"{}\"; write running=yes or running=no", *text));
    }
    if (*text == "no") out.presence = core::Presence::not_running;
  }
  if (const auto text = find(members, "machine")) {
    if (text->empty()) return given.wrong("machine has no name; write for example machine=attic");
    out.presence = core::Presence::elsewhere;
    out.machine = *text;
  }
  return {};
}

Result<std::optional<Bytes>> read_size(const Given& given, std::string_view text) {
  if (is_unknown(text)) return std::optional<Bytes>();
  const auto amount = read_amount(given, text);
  if (!amount) return fail(amount.error());
  return std::optional(*amount);
}

/// Reads "32/32", "16" or "16/?", "all" or "-1".
Result<core::LayerSplit> read_layers(const Given& given, std::string_view text) {
  const std::size_t line = std::min(text.find('/'), text.size());
  const std::string_view on_gpu = trimmed(text.substr(0, line));
  const std::string_view total = trimmed(text.substr(std::min(line + 1, text.size())));
  core::LayerSplit layers;
  const bool is_all = on_gpu == "all" || on_gpu == "auto" || on_gpu == "-1";
  const auto count = read_whole(given, "the number of layers", is_all ? "0" : on_gpu, kLayersMax);
  const bool has_total = line < text.size() && !is_unknown(total);
  const auto of = read_whole(given, "the number of layers", has_total ? total : "1", kLayersMax);
  if (!count || !of || *of == 0) {
    return given.wrong(fmt::format(
        "the layers are \"{}\"; write ON_GPU/ALL, for example 32/32 or 16/32, or all", text));
  }
  if (!is_all) layers.on_gpu = *count;
  if (has_total) layers.total = *of;
  return layers;
}

/// Reads "SIZE[,MEMBERS]", or of an LLM "SIZE[:LAYERS][,MEMBERS]".
Result<PlanComponent> read_by_size(const Given& given, bool is_llm, std::string name,
                                   const std::vector<PlanPool>& pools) {
  const std::size_t comma = std::min(given.text.find(','), given.text.size());
  const std::string_view head = given.text.substr(0, comma);
  const std::string_view rest = given.text.substr(std::min(comma + 1, given.text.size()));
  const auto members =
      read_members(given, rest, {"name", "cpu", "class", "running", "machine", "device"});
  if (!members) return fail(members.error());
  const auto places = places_of(given, *members, pools);
  if (!places) return fail(places.error());
  const std::size_t colon = is_llm ? std::min(head.find(':'), head.size()) : head.size();
  const auto size = read_size(given, trimmed(head.substr(0, colon)));
  if (!size) return fail(size.error());
  core::LayerSplit layers;
  if (colon < head.size()) {
    const auto read = read_layers(given, head.substr(colon + 1));
    if (!read) return fail(read.error());
    layers = *read;
  }
  if (const auto own = find(*members, "name")) name = *own;
  PlanComponent out =
      is_llm ? core::seed_llm(std::move(name), *size, layers, places->vram, places->ram)
             : core::seed_diffusion(std::move(name), *size, places->vram, places->ram);
  const Status common = read_common(given, *members, out);
  if (!common) return fail(common.error());
  return out;
}

/// Adds the share that `key` declares.
Status add_share(const Given& given, const Members& members, std::string_view key,
                 std::optional<PoolId> pool, PlanComponent& out) {
  const auto text = find(members, key);
  if (!text) return {};
  const auto bytes = read_size(given, *text);
  if (!bytes) {
    return given.wrong(
        fmt::format("{}: \"{}\" is not an amount of memory; write for example "
                    "{}=5GB (10^9), {}=5GiB (2^30) or {}=? if it is not known",
                    key, *text, key, key, key));
  }
  if (!pool) {
    if (*bytes == Bytes{0}) return {};
    return given.wrong(
        fmt::format("the machine has no VRAM; add {}, or write ram=", given.name("vram")));
  }
  out.shares.push_back({*pool, *bytes, std::string(kDeclared)});
  return {};
}

/// A name alone is looked up.
Result<PlanComponent> read_declared(const Given& given, const std::vector<PlanPool>& pools) {
  const auto places = places_of(given, {}, pools);
  if (!places) return fail(places.error());
  const auto known = core::declared_component(trimmed(given.text), places->vram, places->ram);
  if (known) return *known;
  return given.wrong(
      "says no memory; write NAME:vram=5GB, NAME:vram=5GB,ram=2GB,cpu=16%, or the name of a "
      "component that Berth knows: \"WAN I2V\" (with " +
      given.name("vram") + ")");
}

Result<PlanComponent> read_component(const Given& given, const std::vector<PlanPool>& pools) {
  const std::size_t equals = given.text.find('=');
  if (equals == std::string_view::npos) return read_declared(given, pools);
  const std::size_t colon = given.text.substr(0, equals).rfind(':');
  if (colon == std::string_view::npos || trimmed(given.text.substr(0, colon)).empty()) {
    return given.wrong("has no name; write NAME:vram=5GB");
  }
  const auto members =
      read_members(given, given.text.substr(colon + 1),
                   {"vram", "ram", "cpu", "class", "running", "machine", "device"});
  if (!members) return fail(members.error());
  const auto places = places_of(given, *members, pools);
  if (!places) return fail(places.error());
  PlanComponent component{.name = std::string(trimmed(given.text.substr(0, colon)))};
  for (const auto& [key, pool] :
       {std::pair("vram", places->vram), std::pair("ram", std::optional(places->ram))}) {
    const Status added = add_share(given, *members, key, pool, component);
    if (!added) return fail(added.error());
  }
  const Status common = read_common(given, *members, component);
  if (!common) return fail(common.error());
  return component;
}

/// "llm", and "llm 2" where there are more.
std::string numbered(std::string_view name, std::size_t index) {
  return index == 0 ? std::string(name) : fmt::format("{} {}", name, index + 1);
}

Status take_foreign(const Given& given, std::vector<PlanPool>& pools) {
  const std::size_t equals = given.text.find('=');
  const std::string_view name = trimmed(given.text.substr(0, equals));
  const auto pool = std::find_if(pools.begin(), pools.end(), [&](const PlanPool& each) {
    return each.name == name || (each.is_gpu && name == "vram");
  });
  if (equals == std::string_view::npos || pool == pools.end() || !pool->capacity) {
    return given.wrong("write POOL=AMOUNT of a pool of the machine, for example vram=1GB");
  }
  const auto amount = read_amount(given, trimmed(given.text.substr(equals + 1)));
  if (!amount) return fail(amount.error());
  if (*amount > *pool->capacity) return given.wrong("is more than the pool has");
  pool->foreign = *amount;
  return {};
}

Status take_all_foreign(const Options& options, std::vector<PlanPool>& pools) {
  for (const std::string& text : options.foreign) {
    const Status taken = take_foreign({options.prefix, "foreign", text}, pools);
    if (!taken) return taken;
  }
  return {};
}

}  // namespace

Result<std::vector<PlanPool>> read_machine(const Options& options) {
  std::vector<PlanPool> pools;
  const auto capacity = [&](std::string_view option, const std::string& text) -> Result<Bytes> {
    const Given given{options.prefix, option, text};
    const auto amount = read_amount(given, text);
    if (!amount) return fail(amount.error());
    if (amount->count == 0) return given.wrong("there is no such memory; leave the option out");
    return *amount;
  };
  for (const std::string& text : options.vram) {
    const auto amount = capacity("vram", text);
    if (!amount) return fail(amount.error());
    pools.push_back(
        {.name = fmt::format("gpu{}.vram", pools.size()), .is_gpu = true, .capacity = *amount});
  }
  pools.push_back({.name = "ram"});
  if (!options.ram.empty()) {
    const auto amount = capacity("ram", options.ram);
    if (!amount) return fail(amount.error());
    pools.back().capacity = *amount;
  }
  const Status taken = take_all_foreign(options, pools);
  if (!taken) return fail(taken.error());
  return pools;
}

Result<std::vector<PlanComponent>> read_components(const Options& options,
                                                   const std::vector<PlanPool>& pools) {
  std::vector<PlanComponent> components;
  const auto add = [&](Result<PlanComponent> read) -> Status {
    if (!read) return fail(read.error());
    if (components.size() >= kComponentsMax) {
      return fail(ErrorCode::bad_request,
                  fmt::format("there are more than {} components; plan fewer", kComponentsMax));
    }
    components.push_back(std::move(*read));
    return {};
  };
  for (std::size_t i = 0; i < options.llms.size(); ++i) {
    const Given given{options.prefix, "llm", options.llms[i]};
    const Status added = add(read_by_size(given, /*is_llm=*/true, numbered("llm", i), pools));
    if (!added) return fail(added.error());
  }
  for (std::size_t i = 0; i < options.diffusions.size(); ++i) {
    const Given given{options.prefix, "diffusion", options.diffusions[i]};
    const Status added =
        add(read_by_size(given, /*is_llm=*/false, numbered("diffusion", i), pools));
    if (!added) return fail(added.error());
  }
  for (const std::string& text : options.components) {
    const Status added = add(read_component({options.prefix, "component", text}, pools));
    if (!added) return fail(added.error());
  }
  return components;
}

namespace {

/// With what the options say of other programs.
Result<core::PlanQuestion> question_at_hand(
    const Options& options, const std::function<Result<core::PlanQuestion>()>& at_hand) {
  auto question = at_hand();
  if (!question) return question;
  const Status taken = take_all_foreign(options, question->pools);
  if (!taken) return fail(taken.error());
  return question;
}

}  // namespace

Result<core::PlanQuestion> question_of(const Options& options,
                                       const std::function<Result<core::PlanQuestion>()>& at_hand) {
  if (!options.has_machine() && !options.has_components()) {
    return question_at_hand(options, at_hand);
  }
  if (!options.has_components()) {
    return fail(ErrorCode::bad_request,
                fmt::format("plan what? Name what shall be there together, for example {0}llm "
                            "3.5GB:32/32 and {0}diffusion 6.9GB, or {0}component \"WAN "
                            "I2V:vram=21GB\"",
                            options.prefix));
  }
  core::PlanQuestion question;
  if (options.has_machine()) {
    auto pools = read_machine(options);
    if (!pools) return fail(pools.error());
    question.pools = std::move(*pools);
  } else {
    auto machine = question_at_hand(options, at_hand);
    if (!machine) return machine;
    question.pools = std::move(machine->pools);
  }
  auto components = read_components(options, question.pools);
  if (!components) return fail(components.error());
  question.components = std::move(*components);
  return question;
}

}  // namespace berth::plan
