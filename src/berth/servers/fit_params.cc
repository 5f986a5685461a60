// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/fit_params.h"

#include <unistd.h>

#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "berth/servers/capture.h"
#include "berth/servers/llama_server.h"

namespace berth::servers {
namespace {

constexpr const char* kProgram = "llama-fit-params";
/// It takes 0.3 to 1.2 s, with a GPU's driver.
constexpr Duration kDeadline = 10s;
/// Far above any machine's memory; more is damage.
constexpr std::int64_t kMebibytesMax = std::int64_t{1} << 30;
constexpr std::size_t kQuotedMax = 200;

/// "CUDA0 4096 512 300": nothing else that it prints has this form.
std::optional<core::SideEstimate> side_in(const std::string& line, std::string& name) {
  std::istringstream words(line);
  std::int64_t model = -1;
  std::int64_t context = -1;
  std::int64_t compute = -1;
  std::string more;
  words >> name >> model >> context >> compute;
  const bool fits = words && !(words >> more);
  for (const std::int64_t number : {model, context, compute}) {
    if (!fits || number < 0 || number > kMebibytesMax) return std::nullopt;
  }
  const auto rounded_up = [](std::int64_t mebibytes) {
    return Bytes{mebibytes == 0 ? 0 : (mebibytes + 1) << 20};
  };
  return core::SideEstimate{.weights = rounded_up(model),
                            .cache = rounded_up(context),
                            .compute = rounded_up(compute),
                            .process = {}};
}

}  // namespace

Result<core::DryRun> parse_fit(std::string_view output) {
  core::DryRun told;
  bool has_host = false;
  std::istringstream lines{std::string(output)};
  for (std::string line; std::getline(lines, line);) {
    std::string name;
    const auto side = side_in(line, name);
    if (!side) continue;
    core::SideEstimate& sum = name == "Host" ? told.host : told.device;
    has_host = has_host || name == "Host";
    sum.weights += side->weights;
    sum.cache += side->cache;
    sum.compute += side->compute;
  }
  if (has_host) return told;
  return fail(ErrorCode::upstream, fmt::format("{} does not say what the host needs; it says: {}",
                                               kProgram, output.substr(0, kQuotedMax)));
}

std::optional<std::string> find_fit_params(const config::LlamaOptions& options) {
  const auto server = find_program(options.binary.value_or("llama-server"), "binary");
  if (server) {
    const std::string beside = server->substr(0, server->rfind('/') + 1) + kProgram;
    if (::access(beside.c_str(), X_OK) == 0) return beside;
  }
  const auto found = find_program(kProgram, "");
  return found ? std::optional(*found) : std::nullopt;
}

std::vector<std::string> fit_arguments(const std::string& program,
                                       const config::LlamaOptions& options) {
  std::vector<std::string> argv = {program,
                                   "-m",
                                   options.model,
                                   "-c",
                                   std::to_string(options.context),
                                   "-np",
                                   std::to_string(options.parallel)};
  const std::vector<std::string> memory = memory_arguments(options);
  argv.insert(argv.end(), memory.begin(), memory.end());
  argv.insert(argv.end(), options.extra_args.begin(), options.extra_args.end());
  argv.insert(argv.end(), {"--fit-print", "on"});
  return argv;
}

Task<Result<core::DryRun>> dry_run(std::string program, config::LlamaOptions options) {
  std::vector<std::string> argv = fit_arguments(program, options);
  std::vector<std::string> environment = server_environment();
  const auto output = co_await capture(std::move(argv), std::move(environment), kDeadline);
  if (!output) co_return fail(output.error());
  co_return parse_fit(*output);
}

}  // namespace berth::servers
