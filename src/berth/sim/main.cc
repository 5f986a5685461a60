// SPDX-License-Identifier: Apache-2.0
// berth-sim: runs worlds by seed. See --help.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/core/planted.h"
#include "berth/sim/simulator.h"

namespace berth::sim {
namespace {

constexpr const char* kHelp =
    "berth-sim: plays seeds against the scheduler and checks every step\n"
    "  --first N     the first seed (1)\n"
    "  --seeds N     how many (1000)\n"
    "  --seconds N   as many as fit into N seconds instead\n"
    "  --seed N      one seed with its whole story\n"
    "  --trace       print every event, action and state (a fingerprint is taken of it)\n"
    "  --crowd       worlds without faults, with servers of all four classes\n"
    "  --probes      fail if a probe was not reached\n"
    "  --plant NAME  switch a bug on; exit 0 if an invariant finds it\n"
    "exit status: 0 all held, 1 a violation, 2 wrong usage\n";

struct Options {
  std::uint64_t first = 1;
  std::uint64_t seeds = 1000;
  std::uint64_t seconds = 0;
  bool story = false;
  bool trace = false;
  bool probes = false;
  bool crowd = false;
  std::string plant;
};

std::optional<std::uint64_t> number(const char* text) {
  std::uint64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [at, errc] = std::from_chars(text, end, value);
  if (errc != std::errc{} || at != end) return std::nullopt;
  return value;
}

/// Reads the command line. Nothing: it is wrong.
std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--trace") {
      options.trace = true;
      continue;
    }
    if (word == "--probes" || word == "--crowd") {
      (word == "--crowd" ? options.crowd : options.probes) = true;
      continue;
    }
    if (i + 1 == argc) return std::nullopt;
    const char* argument = argv[++i];
    if (word == "--plant") {
      options.plant = argument;
      continue;
    }
    const auto value = number(argument);
    if (!value) return std::nullopt;
    if (word == "--first") {
      options.first = *value;
    } else if (word == "--seeds") {
      options.seeds = *value;
    } else if (word == "--seconds") {
      options.seconds = *value;
    } else if (word == "--seed") {
      options.first = *value;
      options.seeds = 1;
      options.story = options.trace = true;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

bool plant(const std::string& name) {
  const auto found =
      std::find(std::begin(core::kPlantedNames), std::end(core::kPlantedNames), name);
  if (found == std::end(core::kPlantedNames)) {
    std::fprintf(stderr, "berth-sim: no bug is called \"%s\"; choose one of:\n", name.c_str());
    for (const std::string_view bug : core::kPlantedNames)
      std::fprintf(stderr, "  %s\n", std::string(bug).c_str());
    return false;
  }
#if defined(BERTH_PLANTED_BUGS)
  core::planted_bug = static_cast<core::Planted>(found - std::begin(core::kPlantedNames));
  return true;
#else
  std::fputs("berth-sim: this build has no planted bugs; configure with -DBERTH_PLANTED_BUGS=ON\n",
             stderr);
  return false;
#endif
}

void print(const std::string& line) {
  std::fputs(line.c_str(), stdout);
  std::fputc('\n', stdout);
}

int run(const Options& options) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  ProbeCounts probes{};
  std::vector<std::int64_t> sizes;
  std::int64_t events = 0;
  std::uint64_t seed = options.first;
  const auto goes_on = [&] {
    if (options.seconds == 0) return seed < options.first + options.seeds;
    return Clock::now() - begin < std::chrono::seconds(options.seconds);
  };
  for (; goes_on(); ++seed) {
    World world = options.crowd ? make_crowd(seed) : make_world(seed);
    if (options.story) print(to_text(world));
    Simulator simulator(std::move(world), probes,
                        options.trace ? print : std::function<void(const std::string&)>{});
    const Outcome outcome = simulator.run();
    sizes.push_back(outcome.events);
    events += outcome.events;
    if (!outcome.violation) continue;
    std::printf("seed %llu, event %lld: %s\n", static_cast<unsigned long long>(seed),
                static_cast<long long>(outcome.events), outcome.violation->c_str());
    std::printf("  again, with its story: berth-sim --seed %llu%s%s%s\n",
                static_cast<unsigned long long>(seed), options.crowd ? " --crowd" : "",
                options.plant.empty() ? "" : " --plant ", options.plant.c_str());
    if (!options.plant.empty()) {
      std::printf("planted bug %s: found after %llu seeds\n", options.plant.c_str(),
                  static_cast<unsigned long long>(seed - options.first + 1));
      return 0;
    }
    return 1;
  }
  if (options.trace) return 0;
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::sort(sizes.begin(), sizes.end());
  std::size_t reached = 0;
  for (std::size_t i = 0; i < probes.size(); ++i) {
    reached += probes[i] > 0 ? 1 : 0;
    if (options.probes && probes[i] == 0)
      std::printf("probe not reached: %s\n", std::string(kProbeNames[i]).c_str());
  }
  std::printf(
      "%zu seeds from %llu, %lld events (median %lld a seed), %zu of %zu probes, "
      "0 violations, %.0f events a second\n",
      sizes.size(), static_cast<unsigned long long>(options.first), static_cast<long long>(events),
      static_cast<long long>(sizes.empty() ? 0 : sizes[sizes.size() / 2]), reached, probes.size(),
      static_cast<double>(events) / seconds);
  if (!options.plant.empty()) {
    std::printf("planted bug %s: not found\n", options.plant.c_str());
    return 1;
  }
  return options.probes && reached < probes.size() ? 1 : 0;
}

}  // namespace
}  // namespace berth::sim

int main(int argc, char** argv) {
  const auto options = berth::sim::parse(argc, argv);
  if (!options) {
    std::fputs(berth::sim::kHelp,
               argc == 2 && std::strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc == 2 && std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  if (!options->plant.empty() && !berth::sim::plant(options->plant)) return 2;
  return berth::sim::run(*options);
}
