// SPDX-License-Identifier: Apache-2.0
// The subcommands. Each returns the exit status, having said what there is to say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "berth/plan/options.h"
#include "console.h"
#include "trace_file.h"

namespace berth::cli {

struct UpOptions {
  bool detach = false;
};

struct ChatOptions {
  std::string model;
  std::optional<std::int64_t> max_tokens;
  std::optional<double> temperature;
  std::vector<std::string> prompt;  ///< words; none: standard input
};

struct ImageOptions {
  std::string model;
  std::int32_t width = 512;
  std::int32_t height = 512;
  std::optional<std::int32_t> steps;
  std::optional<std::int64_t> seed;
  std::string negative_prompt;
  std::string output;
  std::vector<std::string> prompt;
};

struct SimulateOptions {
  std::vector<std::string> traces;  ///< files; or one of the next two
  std::string workload;
  std::string journal;
  TraceMapping mapping;
  std::string svg;             ///< file to write; "" = none
  std::vector<double> window;  ///< seconds: from, to; empty: all
  std::int32_t swap_percent = 100;
  std::vector<std::string> policies = {"berth", "fifo", "affinity", "broker"};
};

struct LeaseOptions {
  std::string vram;  ///< amounts as they were given; Berth reads them
  std::string ram;
  std::vector<std::string> bytes;  ///< POOL=AMOUNT
  std::optional<std::int64_t> device;
  std::string job_class;
  std::string max;
  std::string name;  ///< "": the command's
  std::vector<std::string> command;
};

struct HoldOptions {
  std::vector<std::string> servers;
  bool exclusive = false;
  std::string max;
  std::string name;
  std::vector<std::string> command;
};

int up(const Common& common, const UpOptions& options);
int down(const Common& common);
/// `watched`: again each second, until Ctrl-C (exit status 0) or until Berth is gone.
int status(const Common& common, bool watched);
int start(const Common& common, const std::string& server);
int stop(const Common& common, const std::string& server);
int clear(const Common& common, const std::string& server);
int pin(const Common& common, const std::string& server);
int unpin(const Common& common, const std::string& server);
int explain(const Common& common, int limit);
int logs(const Common& common, const std::string& server, int lines);
int replay(const Common& common, const std::string& file);
int plan(const Common& common, const plan::Options& options);
int simulate(const Common& common, const SimulateOptions& options);
int chat(const Common& common, const ChatOptions& options);
int image(const Common& common, const ImageOptions& options);
int lease_run(const Common& common, const LeaseOptions& options);
int lease_status(const Common& common);
/// Of all keys if `word` is "", else of those with that name.
int config_keys(const Common& common, const std::string& word);
int config_check(const Common& common);
int models_list(const Common& common);
int models_show(const Common& common, const std::string& id);
/// Of all servers if `server` is "".
int footprints(const Common& common, const std::string& server, bool forget);
int hold(const Common& common, const HoldOptions& options);

/// Returns the leases and holds as a table, each line at most 80 columns wide.
std::string leases_table(const std::vector<client::LeaseInfo>& leases);

}  // namespace berth::cli
