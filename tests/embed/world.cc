// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

extern char** environ;

namespace berth::embed_test {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kModelBytes = std::uintmax_t{100} << 20;

/// The programs of the build lie beside this one.
std::string program(const std::string& name) {
  return (fs::read_symlink("/proc/self/exe").parent_path() / name).string();
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> processes_naming(const std::string& text) {
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string command = read_all((entry.path() / "cmdline").string());
    if (command.find(text) != std::string::npos) found.push_back(command);
  }
  return found;
}

pid_t run(const std::vector<std::string>& arguments, const std::string& output) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments)
    argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(failed, 0) << arguments.front();
  return pid;
}

}  // namespace

World::World() {
  std::string pattern = (fs::temp_directory_path() / "berth-embed-XXXXXX").string();
  root_ = ::mkdtemp(pattern.data());
  ::setenv("BERTH_LLAMA_SERVER", program("llama-server-standin").c_str(), 1);
  ::setenv("BERTH_SD_SERVER", program("sd-server-standin").c_str(), 1);
  write_models();
}

World::~World() {
  end_daemon();
  EXPECT_THAT(processes_naming(root_.string()), testing::IsEmpty()) << "left running";
  fs::remove_all(root_);
}

void World::write_models() {
  for (const char* name : {"llm.gguf", "sd.safetensors"}) {
    std::ofstream(root_ / name).put('x');
    fs::resize_file(root_ / name, kModelBytes);
  }
}

void World::prepare(const WorldOptions& options) {
  world_ = options;
  const std::string capacity =
      options.pool == "capped" ? fmt::format("capacity = {}\n", options.capacity.count) : "";
  text_ = fmt::format(
      "listen = \"127.0.0.1:0\"\nstate = \"{0}/s\"\n\n[pool.memory]\nkind = \"{1}\"\n{2}\n"
      "[models]\nentries = {{\"llama-2-7b\" = \"{0}/llm.gguf\", \"sdxl-turbo\" = "
      "\"{0}/sd.safetensors\"}}\n\n[policy]\nswap_guess = \"300ms\"\nlinger_max = \"100ms\"\n",
      root_.string(), options.pool, capacity);
  std::ofstream(path("berth.toml")) << text_;
  // A command needs a configuration that could be run.
  std::ofstream(path("commands.toml")) << text_ << section("none", "");
}

std::string World::section(const std::string& name, const std::string& options) const {
  return fmt::format(
      "\n[server.{0}]\nkind = \"llama-server\"\nmodel = \"{1}\"\nport = 0\n"
      "extra_args = [\"--standin-memory\", \"24MiB\"]\n{2}",
      name, path("llm.gguf"), options);
}

std::string World::image_section(const std::string& name, const std::string& options,
                                 int step_ms) const {
  return fmt::format(
      "\n[server.{0}]\nkind = \"sd-server\"\nmodel = \"{1}\"\nport = 0\n"
      "extra_args = [\"--standin-memory\", \"24MiB\", \"--standin-step-ms\", \"{2}\"]\n{3}",
      name, path("sd.safetensors"), step_ms, options);
}

Berth World::open(const WorldOptions& options) {
  prepare(options);
  auto berth = Berth::open(this->options());
  EXPECT_TRUE(berth) << berth.error().message;
  return *berth;
}

BerthOptions World::options() const {
  return {.config_file = path("berth.toml"), .config = {}, .state_dir = {}};
}

LlamaConfig World::llama_config() const {
  LlamaConfig config;
  config.model_id = "llama-2-7b";
  config.context_size = 2048;
  config.extra_args = {"--standin-memory", "24MiB"};
  std::string faults;
  for (const std::string& fault : world_.faults)
    faults += (faults.empty() ? "" : ",") + fault;
  if (!faults.empty())
    config.extra_args.insert(config.extra_args.end(), {"--standin-faults", faults});
  return config;
}

DiffusionConfig World::diffusion_config(const std::string& faults) const {
  DiffusionConfig config;
  config.model_id = "sdxl-turbo";
  config.extra_args = {"--standin-memory", "24MiB", "--standin-step-ms",
                       std::to_string(world_.step_ms)};
  if (!faults.empty())
    config.extra_args.insert(config.extra_args.end(), {"--standin-faults", faults});
  return config;
}

ImageRequest World::picture(int steps) {
  ImageRequest request;
  request.prompt = "a harbour at dawn";
  request.width = 64;
  request.height = 64;
  request.steps = steps;
  request.seed = 7;
  return request;
}

std::string World::armed(const std::string& name, const std::string& fault) {
  return fmt::format("once={}:{}", path(name), fault);
}

void World::arm(const std::string& name) {
  std::ofstream(path(name)).put('x');
}

World::Ended World::command(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all{program("berth"), "--config", path("commands.toml")};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const std::string output = path("output");
  fs::remove(output);
  const pid_t pid = run(all, output);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return {WEXITSTATUS(status), read_all(output)};
}

pid_t World::start_self(const std::string& test) const {
  return run({fs::read_symlink("/proc/self/exe").string(), "--gtest_also_run_disabled_tests",
              "--gtest_filter=" + test},
             path("self"));
}

pid_t World::start_daemon(const std::string& servers) {
  std::ofstream(path("commands.toml")) << text_ << servers;
  const Ended up = command({"up", "--detach", "--json"});
  EXPECT_EQ(up.status, 0) << up.output;
  const std::size_t at = up.output.find("\"pid\":");
  daemon_ = at == std::string::npos ? 0 : std::atoi(up.output.c_str() + at + 6);
  return daemon_;
}

void World::end_daemon() {
  if (daemon_ != 0) {
    EXPECT_EQ(command({"down"}).status, 0);
  }
  daemon_ = 0;
}

std::string World::command_line(std::int64_t pid) {
  std::string line = read_all(fmt::format("/proc/{}/cmdline", pid));
  std::replace(line.begin(), line.end(), '\0', '\n');
  return line;
}

/// As tests/e2e/harness.py: the state of another thread's call offers no event.
void World::until(const std::string& what, const std::function<bool()>& is_so) {
  for (int tries = 0; tries < 4000; ++tries) {
    if (is_so()) return;
    ::poll(nullptr, 0, 5);
  }
  FAIL() << "not within 20 s: " << what;
}

std::int64_t World::now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

int World::journal_count(const std::string& text) const {
  int count = 0;
  std::istringstream journal(read_all(path("s/journal.jsonl")));
  for (std::string line; std::getline(journal, line);)
    count += line.find(text) != std::string::npos ? 1 : 0;
  return count;
}

std::int64_t Seed::pid() const {
  const auto status = llama.status();
  return status && status->pid ? *status->pid : 0;
}

}  // namespace berth::embed_test
