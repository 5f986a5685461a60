// SPDX-License-Identifier: Apache-2.0
// A state directory, models, and stand-ins for the servers, for programs that have Berth in them.
#pragma once

#include <gmock/gmock.h>
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "berth/berth.h"

namespace berth::embed_test {

/// What a test changes of its world.
struct WorldOptions {
  std::string pool = "capped";
  Bytes capacity = 300_MiB;         ///< 3/4 of it holds either server, but not both
  std::vector<std::string> faults;  ///< of the LLM, as in tests/standins/faults.h
  int step_ms = 2;
};

/// Both models are 100 MiB of nothing: by the seed's formula each server needs 120 MiB.
class World : public testing::Test {
 protected:
  World();
  ~World() override;

  /// Writes the configuration, which has no servers.
  void prepare(const WorldOptions& options = {});
  /// Starts from a state directory without anything.
  Berth open(const WorldOptions& options = {});
  [[nodiscard]] BerthOptions options() const;
  [[nodiscard]] LlamaConfig llama_config() const;
  [[nodiscard]] DiffusionConfig diffusion_config(const std::string& faults = "") const;
  static ImageRequest picture(int steps = 4);

  /// The fault that strikes once per call from here on.
  std::string armed(const std::string& name, const std::string& fault);
  void arm(const std::string& name);
  [[nodiscard]] std::string path(const std::string& name) const { return (root_ / name).string(); }
  [[nodiscard]] std::string config_text() const { return text_; }

  /// Runs `berth` with these arguments until it ends. Returns its exit status and what it wrote.
  struct Ended {
    int status = 0;
    std::string output;
  };
  [[nodiscard]] Ended command(const std::vector<std::string>& arguments) const;
  /// An LLM's section, with further keys; and one of an image server.
  [[nodiscard]] std::string section(const std::string& name, const std::string& options) const;
  [[nodiscard]] std::string image_section(const std::string& name, const std::string& options = "",
                                          int step_ms = 2) const;
  /// Starts this program again, for one test that is disabled. The caller ends it.
  [[nodiscard]] pid_t start_self(const std::string& test) const;
  /// Starts `berth up` on the state directory, with these sections behind the world's own.
  pid_t start_daemon(const std::string& servers);
  void end_daemon();
  /// Returns the command line of a server's process, a line an argument.
  static std::string command_line(std::int64_t pid);
  /// Waits for something that this process is not told of.
  static void until(const std::string& what, const std::function<bool()>& is_so);

  static std::int64_t now_ms();
  /// How many lines of the journal have this text.
  [[nodiscard]] int journal_count(const std::string& text) const;

  WorldOptions world_;

 private:
  void write_models();

  std::filesystem::path root_;
  std::string text_;
  pid_t daemon_ = 0;
};

/// Both servers of the seed, and its orchestrator.
struct Seed {
  explicit Seed(const Berth& which)
      : berth(which), llama(which), diffusion(which), orchestrator(llama, diffusion) {}

  /// The LLM's process; 0 if it has none.
  [[nodiscard]] std::int64_t pid() const;

  Berth berth;
  LlamaServer llama;
  DiffusionServer diffusion;
  ResourceOrchestrator orchestrator;
};

#define ASSERT_OK(call)                                  \
  do {                                                   \
    const auto ok_result = (call);                       \
    ASSERT_TRUE(ok_result) << ok_result.error().message; \
  } while (false)

/// Returns the name of the error's code, "" of a success.
template <class T>
std::string code_of(const Result<T>& result) {
  return result ? "" : std::string(name(result.error().code));
}

#define EXPECT_CODE(call, code) EXPECT_EQ(code_of(call), name(code))

}  // namespace berth::embed_test
