// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/llama_server.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/http/client.h"
#include "berth/servers/capture.h"

namespace berth::servers {
namespace {

namespace json = boost::json;

constexpr std::size_t kSocketPathMax = 107;
/// TERM of an idle server takes 20 to 140 ms; after this it is hanging (observed, section 4).
constexpr Duration kTermGrace = 2s;
/// A slot whose client left is released within a second unless it evaluates a prompt.
constexpr Duration kReleaseGrace = 2s;
constexpr Duration kSaveLimit = 60s;
/// /health has a thread of its own; a server that is silent for so long will not save either.
constexpr Duration kAnswerLimit = 3s;
constexpr Duration kCallLimit = 10s;
/// A batch of 2048 tokens can take this long on a slow CPU before a cancel is seen.
constexpr Duration kCancelLimit = 2min;
/// Saved state of one server may take this much disk.
constexpr Bytes kSavedQuota = 8_GiB;
constexpr std::size_t kBodiesMax = 8;
constexpr std::size_t kTailMax = 4096;
constexpr const char* kReads[] = {"/v1/models", "/props"};
constexpr std::string_view kSlots = "/slots";
/// Asked more often, llama-server is blind to clients that leave (llama-server-observed.md 2).
constexpr Duration kLookPause = 1500ms;
/// It answers after the batch that it works on.
constexpr Duration kLookLimit = 2s;

std::string socket_path(const Places& places, const std::string& name) {
  return fmt::format("{}/{}.sock", places.run_dir, name);
}

template <class T>
void add(std::vector<std::string>& argv, std::string flag, const std::optional<T>& value) {
  if (!value) return;
  argv.push_back(std::move(flag));
  argv.push_back(fmt::format("{}", *value));
}

http::Request get(std::string target) {
  http::Request request;
  request.target = std::move(target);
  return request;
}

http::Request slot_request(int slot, std::string_view action, const std::string& file_name) {
  http::Request request;
  request.method = "POST";
  request.target = fmt::format("/slots/{}?action={}", slot, action);
  request.headers.set("Content-Type", "application/json");
  request.body = json::serialize(json::object{{"filename", file_name}});
  return request;
}

std::int64_t number_in(const json::value& value, std::string_view key) {
  const json::object* object = value.if_object();
  const json::value* found = object == nullptr ? nullptr : object->if_contains(key);
  boost::system::error_code error;
  return found != nullptr && found->is_number() ? found->to_number<std::int64_t>(error) : -1;
}

std::string error_text(const http::Response& response) {
  return fmt::format("status {}: {}", response.status, response.body.substr(0, 300));
}

/// Returns the N of `"cache_n":N` in the end of a reply, or nothing.
std::optional<std::int64_t> cached_tokens(std::string_view tail) {
  constexpr std::string_view kKey = "\"cache_n\":";
  const std::size_t at = tail.rfind(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  std::int64_t n = 0;
  const char* begin = tail.data() + at + kKey.size();
  const auto [end, errc] = std::from_chars(begin, tail.data() + tail.size(), n);
  if (errc != std::errc{}) return std::nullopt;
  return n;
}

// Work for on_thread(). GCC 12 destroys captures twice if the lambda stands in the coroutine.

std::function<Status()> sealing(std::string directory, SavedSlot slot, SlotOwner owner) {
  return [directory = std::move(directory), slot = std::move(slot), owner = std::move(owner)] {
    return seal_slot(directory, slot, owner);
  };
}

std::function<Status()> searching(std::string directory, SlotOwner owner,
                                  std::shared_ptr<std::vector<FoundSlot>> found) {
  return [directory = std::move(directory), owner = std::move(owner), found]() -> Status {
    *found = find_slots(directory, owner);
    return {};
  };
}

/// Does `body` go on with the conversation of `earlier`? Both are whole requests.
bool continues(const std::string& body, const std::string& earlier) {
  const auto [a, b] = std::mismatch(body.begin(), body.end(), earlier.begin(), earlier.end());
  const auto common = static_cast<std::size_t>(a - body.begin());
  return common * 2 >= earlier.size();
}

}  // namespace

std::vector<std::string> memory_arguments(const config::LlamaOptions& options) {
  std::vector<std::string> argv;
  add(argv, "-b", options.batch_size);
  if (options.gpu_layers) {
    const bool all = *options.gpu_layers == config::kAllLayers;
    argv.emplace_back("-ngl");
    argv.push_back(all ? "999" : std::to_string(*options.gpu_layers));
  }
  add(argv, "-fa", options.flash_attention);
  add(argv, "-ctk", options.cache_type_k);
  add(argv, "-ctv", options.cache_type_v);
  return argv;
}

std::vector<std::string> llama_arguments(const std::string& name,
                                         const config::LlamaOptions& options, const Places& places,
                                         const std::set<std::string>& known) {
  // The defaults of -np, --cache-ram and --cache-idle-slots would move idle conversations where
  // nothing can save them (observed, section 1); without an alias the reply names the full path.
  std::vector<std::string> argv = {"-m",          options.model,
                                   "--alias",     name,
                                   "--host",      socket_path(places, name),
                                   "-c",          std::to_string(options.context),
                                   "-np",         std::to_string(options.parallel),
                                   "--cache-ram", std::to_string(options.cache_ram.count >> 20)};
  if (known.contains("--no-cache-idle-slots")) argv.emplace_back("--no-cache-idle-slots");
  if (options.keep_kv) {
    argv.emplace_back("--slot-save-path");
    argv.push_back(places.saved_dir);
  }
  add(argv, "-t", options.threads);
  const std::vector<std::string> memory = memory_arguments(options);
  argv.insert(argv.end(), memory.begin(), memory.end());
  argv.insert(argv.end(), options.extra_args.begin(), options.extra_args.end());
  return argv;
}

LlamaServer::LlamaServer(std::string name, config::LlamaOptions options, Places places,
                         std::shared_ptr<HelpCache> help)
    : name_(std::move(name)),
      options_(std::move(options)),
      places_(std::move(places)),
      help_(std::move(help)),
      supervised_(name_, places_, kind()) {}

LlamaServer::~LlamaServer() = default;

void LlamaServer::step(std::string_view name, std::string detail) {
  if (on_step) on_step(name, std::move(detail));
}

SupervisedKind LlamaServer::kind() {
  SupervisedKind kind;
  kind.on_line = [this](std::string_view line) { on_line(line); };
  kind.said_ready = &loaded_;
  kind.answers = [this](Duration limit) { return healthy(limit); };
  kind.on_exit = [this](Generation generation, Ending ending) {
    if (on_exit) on_exit(generation, std::move(ending));
  };
  return kind;
}

void LlamaServer::on_line(std::string_view line) {
  switch (log_.take(line)) {
    case LlamaLog::News::loaded:
      return loaded_.set();
    case LlamaLog::News::slot_released:
      slots_changed_.set();
      return slots_changed_.reset();
    case LlamaLog::News::slot_taken:
    case LlamaLog::News::none:
      return;
  }
}

// ---- Launch spec --------------------------------------------------------------------------------

Task<Result<process::LaunchSpec>> LlamaServer::launch_spec() {
  const std::string key = fmt::format("server.{}.binary", name_);
  const char* from_environment = std::getenv("BERTH_LLAMA_SERVER");
  const std::string wanted =
      options_.binary.value_or(from_environment != nullptr ? from_environment : "llama-server");
  auto binary = find_program(wanted, key + " or BERTH_LLAMA_SERVER");
  if (!binary) co_return fail(binary.error());
  auto known = co_await help_->options_of(*binary);
  if (!known) co_return fail(known.error());
  if (::access(options_.model.c_str(), R_OK) != 0) {
    co_return fail(ErrorCode::model_missing,
                   fmt::format("model \"{}\" of server \"{}\" cannot be read: {}; correct "
                               "server.{}.model",
                               options_.model, name_, strerror(errno), name_));
  }
  const std::string socket = socket_path(places_, name_);
  if (socket.size() > kSocketPathMax) {
    co_return fail(ErrorCode::bad_config,
                   fmt::format("the socket's path \"{}\" is longer than {} bytes; choose a shorter "
                               "`state` directory",
                               socket, kSocketPathMax));
  }
  process::LaunchSpec spec;
  spec.argv = llama_arguments(name_, options_, places_, *known);
  spec.argv.insert(spec.argv.begin(), *binary);
  spec.environment = server_environment();
  if (options_.keep_kv && !known->contains("--slot-save-path")) {
    co_return fail(ErrorCode::option_unknown,
                   fmt::format("\"{}\" cannot save conversations (it has no --slot-save-path); set "
                               "server.{}.keep_kv = false, or use a newer llama-server",
                               *binary, name_));
  }
  const Status checked = check_options(*known, spec.argv);
  if (!checked) co_return fail(checked.error());
  co_await warn_about_gpu(*binary);
  co_return spec;
}

/// `-ngl` without a GPU is accepted in silence by the server (observed, section 7); we say it.
/// Said before anybody is put out: between two servers no time is left for a driver's answer.
Task<void> LlamaServer::warn_about_gpu(std::string binary) {
  if (options_.gpu_layers.value_or(0) == 0) co_return;
  const std::string devices = co_await help_->devices_of(binary);
  if (devices.find("(none)") == std::string::npos) co_return;
  step("warning",
       fmt::format("gpu_layers is set, but \"{}\" sees no GPU: server \"{}\" runs on the "
                   "CPU; take gpu_layers out or install a build for your GPU",
                   binary, name_));
}

// ---- Start --------------------------------------------------------------------------------------

Task<Result<Started>> LlamaServer::start(StartContext context) {
  launch_ = context.launch;
  generation_ = context.generation;
  log_.reset();
  loaded_.reset();
  // A stale socket makes the server exit with 1. Nobody else can listen there: the directory is
  // ours alone and the previous generation is gone.
  ::unlink(socket_path(places_, name_).c_str());
  auto ready = co_await supervised_.start(std::move(context));
  if (!ready) co_return fail(ready.error());
  step("ready", fmt::format("server \"{}\" is ready", name_));
  Started started;
  started.state_restored = co_await restore_slots();
  co_await remember_reads();
  serves_ = true;
  const Status watched = supervised_.watch_exit();
  if (!watched) co_return fail(watched.error());
  co_return started;
}

Task<bool> LlamaServer::healthy(Duration limit) {
  const Executor executor = co_await this_executor();
  auto reply = co_await http::fetch(executor, endpoint(), get("/health"), limit);
  co_return reply.has_value() && reply->status == 200;
}

/// The same program with the same arguments and model replies the same: a server that comes back is
/// not asked again while somebody waits for it.
Task<void> LlamaServer::remember_reads() {
  auto owner = co_await slot_owner(launch_);
  if (owner && reads_owner_ == *owner) co_return;
  reads_owner_.reset();
  bool complete = true;
  const Executor executor = co_await this_executor();
  for (const char* path : kReads) {
    auto reply = co_await http::fetch(executor, endpoint(), get(path), kCallLimit);
    const bool ok = reply && reply->status == 200;
    if (ok) reads_[path] = reply->body;
    complete = complete && ok;
  }
  if (owner && complete) reads_owner_ = *owner;
}

/// Whoever asks while another does gets the same reply.
Task<void> LlamaServer::look_again(std::string path) {
  if (path != kSlots || !serves_) co_return;
  if (looks_) {
    co_await look_over_.wait_for(kLookLimit);
    co_return;
  }
  if (std::chrono::steady_clock::now() < looked_at_ + kLookPause) co_return;
  looks_ = true;
  look_over_.reset();
  const Executor executor = co_await this_executor();
  const auto reply = co_await http::fetch(executor, endpoint(), get(path), kLookLimit);
  if (reply && reply->status == 200) reads_[path] = reply->body;
  looked_at_ = std::chrono::steady_clock::now();
  looks_ = false;
  look_over_.set();
}

// ---- Stop ---------------------------------------------------------------------------------------

Task<Status> LlamaServer::stop(bool keep, Duration deadline) {
  supervised_.expect_exit();
  serves_ = false;
  if (looks_) co_await look_over_.wait_for(kLookLimit);  // no connection of ours is left at its end
  if (!supervised_.running()) {
    if (!keep) remove_slots(places_.saved_dir);
    co_return supervised_.sweep();
  }
  auto released = co_await wait_released(0, kReleaseGrace);
  const bool evaluating = !released.has_value();  // TERM would wait for the batch: nothing to save
  if (keep && !evaluating) co_await save_slots();
  if (!keep) remove_slots(places_.saved_dir);
  step("stopping",
       fmt::format("server \"{}\" gets {}", name_,
                   evaluating ? "SIGKILL: it evaluates a prompt for nobody" : "SIGTERM"));
  auto ended = co_await supervised_.terminate(evaluating, kTermGrace, deadline);
  if (ended) step("gone", fmt::format("server \"{}\": {}", name_, supervised_.how()));
  ::unlink(socket_path(places_, name_).c_str());
  co_return ended;
}

/// Waits until at most `others` slots work, or the server's end. Errors: deadline.
Task<Status> LlamaServer::wait_released(std::size_t others, Duration deadline) {
  const std::shared_ptr<Event> exited = supervised_.exit_event();  // it logs no release
  bool released = true;
  while (released && supervised_.running() && log_.busy_slots() > others) {
    std::vector<Event*> events = {&slots_changed_, exited.get()};
    const auto which = co_await wait_any(std::move(events), deadline);
    released = which.has_value();
  }
  if (!released && log_.busy_slots() > others) {
    co_return fail(ErrorCode::deadline, fmt::format("server \"{}\" still works", name_));
  }
  co_return Status{};
}

Task<void> LlamaServer::save_slots() {
  if (!options_.keep_kv) {
    note_ = "kv: not kept (keep_kv = false)";
    co_return;
  }
  if (!restorable_) co_return;
  const bool answers = co_await healthy(kAnswerLimit);
  if (!answers) {
    note_ = "kv: not kept: it does not answer";
    step("state_not_saved", fmt::format("server \"{}\": {}", name_, note_));
    co_return;
  }
  remove_slots(places_.saved_dir);
  auto owner = co_await slot_owner(launch_);
  std::int64_t tokens = 0;
  Bytes size;
  std::string trouble = owner ? "" : owner.error().message;
  int recency = 0;
  const std::vector<int> order = log_.by_last_use(options_.parallel);
  for (const int slot : order) {
    if (!owner || !trouble.empty()) break;
    auto saved = co_await save_slot(slot);
    if (!saved) {
      trouble = saved.error().message;
      break;
    }
    if (saved->tokens == 0) continue;  // never used
    saved->recency = recency++;
    tokens += saved->tokens;
    size += saved->size;
    if (size > kSavedQuota) {
      trouble = fmt::format("{} exceed the quota of {}", to_text(size), to_text(kSavedQuota));
      break;
    }
    std::function<Status()> seal = sealing(places_.saved_dir, *saved, *owner);
    auto sealed = co_await on_thread(std::move(seal));
    if (!sealed) trouble = sealed.error().message;
  }
  if (!trouble.empty()) {
    remove_slots(places_.saved_dir);
    note_ = "kv: not kept: " + trouble;
    step("state_not_saved", fmt::format("server \"{}\": {}", name_, note_));
    co_return;
  }
  note_ = tokens == 0 ? "" : fmt::format("kv: {} tokens kept ({})", tokens, to_text(size));
  step("state_saved", fmt::format("server \"{}\": {} tokens, {} bytes", name_, tokens, size.count));
}

Task<Result<SavedSlot>> LlamaServer::save_slot(int slot) {
  SavedSlot saved;
  saved.slot = slot;
  saved.file_name = fmt::format("slot-{}-{}.bin", slot, generation_.value);
  const Executor executor = co_await this_executor();
  const std::string file = fmt::format("{}/{}", places_.saved_dir, saved.file_name);
  http::Request request = slot_request(slot, "save", saved.file_name);
  auto reply = co_await http::fetch(executor, endpoint(), std::move(request), kSaveLimit);
  if (!reply || reply->status != 200) {
    ::unlink(file.c_str());  // a torso stays under the final name when the disk is full
    co_return fail(ErrorCode::io,
                   fmt::format("slot {} could not be saved ({}); is the disk full?", slot,
                               reply ? error_text(*reply) : reply.error().message));
  }
  boost::system::error_code error;
  const json::value value = json::parse(reply->body, error);
  saved.tokens = number_in(value, "n_saved");
  saved.size = Bytes{number_in(value, "n_written")};
  if (saved.tokens < 0 || saved.size.count < 0) {
    co_return fail(ErrorCode::upstream,
                   "the reply to a slot save cannot be understood: " + reply->body.substr(0, 200));
  }
  if (saved.tokens == 0) ::unlink(file.c_str());
  co_return saved;
}

Task<Result<SlotOwner>> LlamaServer::slot_owner(const process::LaunchSpec& launch) {
  if (launch.argv.empty()) {  // found alive, and no row says how it was started
    co_return fail(ErrorCode::not_found,
                   fmt::format("no row says how server \"{}\" was started", name_));
  }
  auto binary = file_identity(launch.argv.front());
  if (!binary) co_return fail(binary.error());
  auto model = file_identity(options_.model);
  if (!model) co_return fail(model.error());
  SlotOwner owner;
  owner.argv = launch.argv;
  owner.binary_identity = *binary;
  owner.model_identity = *model;
  co_return owner;
}

/// Returns nothing if there was nothing to restore, false if a slot was refused or did not load.
Task<std::optional<bool>> LlamaServer::restore_slots() {
  if (!options_.keep_kv) co_return std::nullopt;
  auto owner = co_await slot_owner(launch_);
  if (!owner) co_return std::nullopt;
  const auto found_slots = std::make_shared<std::vector<FoundSlot>>();
  std::function<Status()> search = searching(places_.saved_dir, *owner, found_slots);
  static_cast<void>(co_await on_thread(std::move(search)));
  const std::vector<FoundSlot>& found = *found_slots;
  if (found.empty()) co_return std::nullopt;
  std::int64_t tokens = 0;
  std::string trouble;
  // After a start all slots are equally unused, and a new conversation gets the highest one: what
  // was used last goes lowest, so that empty slots, and else the oldest conversation, are taken.
  int into = 0;
  for (const FoundSlot& each : found) {
    if (!each.refusal.empty()) {
      trouble = fmt::format("{} was not offered: {}", each.slot.file_name, each.refusal);
      continue;
    }
    auto restored = co_await restore_slot(each.slot, into);
    if (!restored) {
      trouble = restored.error().message;
      continue;
    }
    tokens += each.slot.tokens;
    into += 1;
  }
  remove_slots(places_.saved_dir);  // used up; the next stop writes new ones
  restored_unproven_ = tokens > 0;
  note_ = trouble.empty() ? fmt::format("kv: {} tokens restored", tokens)
                          : fmt::format("kv: not restored: {}", trouble);
  step(trouble.empty() ? "state_restored" : "state_not_restored",
       fmt::format("server \"{}\": {}", name_, note_));
  co_return trouble.empty();
}

Task<Status> LlamaServer::restore_slot(const SavedSlot& saved, int into) {
  const Executor executor = co_await this_executor();
  http::Request request = slot_request(into, "restore", saved.file_name);
  auto reply = co_await http::fetch(executor, endpoint(), std::move(request), kSaveLimit);
  if (!reply) co_return fail(reply.error());
  boost::system::error_code error;
  const json::value value = json::parse(reply->body, error);
  if (reply->status != 200 || number_in(value, "n_restored") != saved.tokens) {
    co_return fail(ErrorCode::io,
                   fmt::format("slot {} did not load ({})", saved.slot, error_text(*reply)));
  }
  co_return Status{};
}

// ---- Adoption -----------------------------------------------------------------------------------

Task<Status> LlamaServer::adopt(Generation generation, process::LaunchSpec launch) {
  launch_ = std::move(launch);
  generation_ = generation;
  log_.reset();
  auto adopted = co_await supervised_.adopt(generation);
  if (!adopted) co_return adopted;
  auto released = co_await wait_released(0, kCancelLimit);
  if (!released) co_return released;
  co_await remember_reads();
  serves_ = true;
  const Status watched = supervised_.watch_exit();
  if (!watched) co_return fail(ErrorCode::not_found, watched.error().message);
  co_return watched;
}

// ---- Requests -----------------------------------------------------------------------------------

http::Endpoint LlamaServer::endpoint() const {
  return http::Endpoint::unix_socket(socket_path(places_, name_));
}

std::optional<std::string> LlamaServer::last_known(std::string_view path) const {
  const auto found = reads_.find(path);
  if (found == reads_.end()) return std::nullopt;
  return found->second;
}

class LlamaServer::Request final : public Work {
 public:
  Request(LlamaServer& server, std::string body)
      : server_(server), exited_(server.supervised_.exit_event()), body_(std::move(body)) {
    server_.open_requests_ += 1;
  }

  void on_piece(std::string_view piece) override {
    tail_.append(piece);
    if (tail_.size() > 2 * kTailMax) tail_.erase(0, tail_.size() - kTailMax);
  }

  Task<void> ended(bool reply_complete) override {
    server_.open_requests_ -= 1;
    if (reply_complete) {
      const auto cached = cached_tokens(tail_);
      if (cached) server_.first_reply_after_restore(body_, *cached);
      server_.last_bodies_.push_back(std::move(body_));
      if (server_.last_bodies_.size() > kBodiesMax) {
        server_.last_bodies_.erase(server_.last_bodies_.begin());
      }
      co_return;
    }
    // The connection is closed, but the slot may go on working: until the log says "release" or,
    // at the latest, until the largest batch must be through.
    static_cast<void>(co_await server_.wait_released(server_.open_requests_, kCancelLimit));
  }

  Task<bool> server_died(Duration limit) override { return exited_->wait_for(limit); }

 private:
  LlamaServer& server_;
  std::shared_ptr<Event> exited_;
  std::string body_;
  std::string tail_;
};

std::unique_ptr<Work> LlamaServer::begin_work(const http::Request& request) {
  return std::make_unique<Request>(*this, request.body);
}

/// A conversation that goes on after a restore must find its cache. If it finds nothing, this kind
/// of model cannot be restored (recurrent, sliding window), and saving it is a waste.
void LlamaServer::first_reply_after_restore(const std::string& body, std::int64_t cached) {
  if (!restored_unproven_) return;
  const bool known = std::any_of(last_bodies_.begin(), last_bodies_.end(),
                                 [&](const std::string& each) { return continues(body, each); });
  if (cached > 0) restored_unproven_ = false;
  if (cached > 0 || !known) return;
  restored_unproven_ = false;
  restorable_ = false;
  note_ = "kv: not restorable (a restore had no effect)";
  step("state_not_restorable", fmt::format("server \"{}\": {}", name_, note_));
}

}  // namespace berth::servers
