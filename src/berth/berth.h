// SPDX-License-Identifier: Apache-2.0
// Berth in your program. One include, no exceptions; see docs/guide/embedding.md and examples/.
//
//     const auto berth = berth::Berth::open({.config_file = "berth.toml"});
//     if (!berth) return complain(berth.error());
//     berth::LlamaServer llama(*berth);
//     berth::DiffusionServer diffusion(*berth);
//     const auto started = llama.start({.model_id = "llama-2-7b", .port = 8080});
//     if (!started) return complain(started.error());
//     const auto picture = diffusion.generate_image({.prompt = "A harbour at dawn"});
//
// Every object is a handle that may be copied, and all handles of one Berth share its one ledger.
//
// Threads: every call may be made from any thread and returns when it is done. Callbacks are called
//   on the thread that made the call, which waits there. They must not throw: an exception ends the
//   program.
// Errors: what went wrong, as a Result: a stable code and a sentence with the next step. Every call
//   that returns one may fail with not_running, once the Berth that it speaks to has gone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/client/replies.h"

namespace berth {

namespace embed {
class Runtime;
class Pictures;
}  // namespace embed

struct BerthOptions {
  std::string config_file;  ///< a berth.toml
  /// What would stand in that file, instead of it. Without either: any free port, every GPU and the
  /// RAM of this machine, and no servers but those that are started by start(). A text that names
  /// no pools has these, too.
  std::string config;
  std::string state_dir;  ///< goes before `state` of the configuration and before BERTH_STATE
};

/// The Berth of one state directory.
///
/// Where another process owns the state directory (`berth up`, or a program like this one), open()
/// makes a client of it: its configuration holds, and the given one only says where it is. Else
/// Berth runs within this process, on a thread of its own named "berth", and others are its
/// clients. All handles of one state directory in one process are the same Berth.
///
/// When the last handle goes, a Berth within this process saves what can be saved and stops its
/// servers; one that is a client leaves everything as it is. After a crash servers go on for
/// `orphan_timeout`, and the next open() takes them over; where the configuration names no servers,
/// the next start().
class Berth {
 public:
  /// Errors: bad_config; not_found for the file; conflict if the directory was opened in this
  ///   process with another configuration; already_running if another Berth has a memory of the
  ///   configuration; what kept it from coming up.
  static Result<Berth> open(const BerthOptions& options = {});

  [[nodiscard]] const std::string& state_dir() const;
  /// Returns whether another process owns the servers.
  [[nodiscard]] bool is_client() const;
  /// Returns everything that `berth status` shows.
  /// Errors: not_running until the first start(), where the configuration names no servers.
  [[nodiscard]] Result<client::DaemonStatus> status() const;

 private:
  friend class ModelManager;
  friend class LlamaServer;
  friend class DiffusionServer;
  explicit Berth(std::shared_ptr<embed::Runtime> runtime);

  std::shared_ptr<embed::Runtime> runtime_;
};

struct MemoryInfo {
  Bytes total;      ///< of the machine, or of the control group where that has less
  Bytes available;  ///< can be had without swapping
  Bytes used;       ///< total - available
};

struct CpuInfo {
  int threads = 0;    ///< that can run at the same time
  std::string model;  ///< "" if the system does not say
};

struct GpuInfo {
  std::string uuid;
  std::string name;
  MemoryInfo vram;
  std::optional<int> utilisation;  ///< percent; nothing: unknown
};

/// What the machine has. Needs no Berth.
class SystemInfo {
 public:
  [[nodiscard]] Result<MemoryInfo> memory() const;
  [[nodiscard]] CpuInfo cpu() const;
  /// Returns the GPUs, in the driver's order; none where no driver is found.
  /// Errors: io; deadline if the driver does not answer.
  [[nodiscard]] Result<std::vector<GpuInfo>> gpus() const;
};

/// A model. One whose header cannot be read has a `problem`, and only what the file system says.
struct ModelInfo {
  std::string id;
  std::string path;  ///< of its first file
  Bytes size;        ///< of all files
  std::string architecture;
  std::string quantisation;
  std::optional<std::int64_t> layers;
  std::optional<std::int64_t> context;  ///< tokens it was trained for
  std::uint64_t parameters = 0;
  std::string problem;
};

/// The models of [models] in the configuration, and those of the servers.
class ModelManager {
 public:
  explicit ModelManager(Berth berth);

  /// Returns all models, by id.
  [[nodiscard]] Result<std::vector<ModelInfo>> list() const;
  /// `id`: of the list, or the path of a model's file.
  /// Errors: not_found with the ids there are.
  [[nodiscard]] Result<ModelInfo> info(const std::string& id) const;
  /// Errors: not_found; model_invalid if its header cannot be read.
  [[nodiscard]] Result<Bytes> size(const std::string& id) const;

 private:
  Berth berth_;
};

enum class Health : std::uint8_t {
  ok,       ///< it answers
  loading,  ///< it is on its way in
  away,     ///< it is not in memory: displaced, or not asked for yet. A request waits for it
  stopped,  ///< by stop()
  failed,
};

/// Returns "ok", "loading", ...
std::string name(Health health);

/// How to run a llama-server. What is not given is not passed to it, but for a context_size of 4096
/// and parallel = 1.
struct LlamaConfig {
  std::string model_id;               ///< of ModelManager, or a path
  std::optional<std::uint16_t> port;  ///< that its clients know, also while it is displaced; 0: any
  std::optional<int> threads;
  std::optional<int> gpu_layers;  ///< -1: all
  std::optional<int> context_size;
  std::optional<int> parallel;
  std::optional<bool> flash_attention;
  std::vector<std::string> extra_args;
  /// Its name for Berth and in the `model` of requests; "": made from model_id.
  std::string name;
};

/// How to run an sd-server.
struct DiffusionConfig {
  std::string model_id;
  std::optional<std::uint16_t> port;
  std::optional<int> threads;
  std::vector<std::string> extra_args;
  std::string name;
};

/// A server as both kinds have it.
class AnyServer {
 public:
  /// Errors: not_found if nothing was started and the Berth has not exactly one of the kind.
  [[nodiscard]] Result<std::string> name() const;
  /// What runs on it goes on to its end first. It stays out until start(). Returns when it is out.
  Status stop();
  [[nodiscard]] Result<client::ServerInfo> status() const;
  [[nodiscard]] Result<Health> health() const;
  /// Returns the newest lines of its log, oldest first. `lines`: 0 to 10000.
  [[nodiscard]] Result<std::vector<std::string>> logs(int lines = 100) const;
  /// Returns where its clients find it: "http://127.0.0.1:8080"; the Berth's own address if it has
  /// no port.
  [[nodiscard]] Result<std::string> url() const;

 protected:
  AnyServer(std::shared_ptr<embed::Runtime> runtime, std::string kind, std::string name);

  struct Shared;                    // what all copies of a handle know together
  std::shared_ptr<Shared> shared_;  // never null
};

/// An LLM, served by llama-server.
class LlamaServer : public AnyServer {
 public:
  /// `name`: of a server that the Berth has; "": that of the next start(), or its only LLM.
  explicit LlamaServer(const Berth& berth, std::string name = "");

  /// Returns when it serves; at once if it does so with this configuration already. Berth keeps it
  /// in memory from here on: where it is displaced it comes back.
  ///
  /// A server that this Berth has for the model is used. One that it has not is added, which is
  /// done while no job runs: it waits for that for 30 s at most.
  /// Errors: conflict, naming each option that differs from those of a server that runs, or the
  ///   jobs that still run; not_found if a client asks for a model that the owner has no server
  ///   for.
  Status start(const LlamaConfig& config);
  /// Starts it again with what it was started with.
  Status start();
  /// stop() and start(); also of a server that does not run.
  Status restart();

 private:
  friend class ResourceOrchestrator;
};

enum class ImageStage : std::uint8_t { loading, diffusion, decoding };

/// Returns "loading", "diffusion" or "decoding".
std::string name(ImageStage stage);

using OnProgress =
    std::function<void(int current_step, int total_steps, ImageStage stage, double percentage)>;

struct ImageRequest {
  std::string prompt;  ///< 1 to 32768 bytes
  std::string negative_prompt;
  int width = 512;                   ///< 64 to 4096
  int height = 512;                  ///< 64 to 4096
  std::optional<int> steps;          ///< 1 to 100
  std::optional<double> cfg_scale;   ///< 0 to 100
  std::optional<std::int64_t> seed;  ///< nothing: a random one, which the result names
  std::string sampler;
  int count = 1;           ///< of generate_images(): 1 to 5
  OnProgress on_progress;  ///< may be empty
};

struct ImageResult {
  std::string image;   ///< the bytes of the file
  std::string format;  ///< "png"
  int width = 0;
  int height = 0;
  std::int64_t seed = 0;
  Duration time_taken{0};  ///< of all pictures of the request, the way in included
};

/// An image model, served by sd-server. Drawing puts LLMs out where it has to, and brings them
/// back.
class DiffusionServer : public AnyServer {
 public:
  explicit DiffusionServer(const Berth& berth, std::string name = "");

  /// Makes it ready to be asked. It is loaded by its first picture, and stays until its place is
  /// wanted. Errors: as LlamaServer::start(); model_missing.
  Status start(const DiffusionConfig& config);
  Status start();

  /// Returns when the picture is there; an LLM that had to leave for it comes back after that.
  /// Errors: bad_request beyond the limits of ImageRequest; cancelled by cancel(); what the server
  ///   says.
  Result<ImageResult> generate_image(const ImageRequest& request);
  /// Returns `request.count` pictures, which are drawn one after the other, with one offload.
  Result<std::vector<ImageResult>> generate_images(const ImageRequest& request);
  /// Gives up every picture that was asked for by this handle or its copies. Returns at once; the
  /// calls that wait for them return `cancelled` once sd-server has ended its picture.
  /// Errors: not_found if there is none.
  Status cancel();
  /// Returns whether a picture is drawn or waits, whoever asked for it.
  [[nodiscard]] Result<bool> busy() const;

 private:
  friend class ResourceOrchestrator;
  std::shared_ptr<embed::Pictures> pictures_;
};

/// What is kept of an LLM that was put out, until it is back.
struct SavedState {
  LlamaConfig config;             ///< as it ran, without extra_args
  std::vector<std::string> argv;  ///< its frozen command line, whole
  bool was_running = true;
  WallTime saved_at;
  std::string displaced_by;
};

/// The object of that name in genai-electron. It decides nothing: the Berth that all handles share
/// does, also for pictures that were asked for elsewhere.
class ResourceOrchestrator {
 public:
  ResourceOrchestrator(LlamaServer llama, DiffusionServer diffusion);
  ResourceOrchestrator(std::optional<SystemInfo> system_info, LlamaServer llama,
                       DiffusionServer diffusion,
                       const std::optional<ModelManager>& models = std::nullopt);

  /// The same as DiffusionServer::generate_image().
  Result<ImageResult> orchestrate_image_generation(const ImageRequest& request);
  /// Returns whether a picture that is asked for now puts this LLM out. False if it does not run.
  [[nodiscard]] Result<bool> would_need_offload() const;
  /// Nothing: the LLM is not displaced.
  [[nodiscard]] Result<std::optional<SavedState>> saved_state() const;
  /// The LLM is not brought back from this displacement; if there is none, from the next one.
  /// LlamaServer::start(), also before that, or a request for it brings it back.
  Status clear_saved_state();
  /// Returns once the LLM is back from its displacement; at once if it is not displaced.
  /// Errors: conflict after clear_saved_state(), since it does not come back by itself; what kept
  ///   it from coming up.
  Status wait_for_reload();

 private:
  LlamaServer llama_;
  DiffusionServer diffusion_;
};

}  // namespace berth
