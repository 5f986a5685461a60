// SPDX-License-Identifier: Apache-2.0
#include "berth/berth.h"

#include <filesystem>
#include <utility>

#include "berth/embed/runtime.h"

namespace berth {

Berth::Berth(std::shared_ptr<embed::Runtime> runtime) : runtime_(std::move(runtime)) {}

Result<Berth> Berth::open(const BerthOptions& options) {
  auto runtime = embed::Runtime::open(options);
  if (!runtime) return fail(runtime.error());
  return Berth(std::move(*runtime));
}

const std::string& Berth::state_dir() const {
  return runtime_->state_dir();
}

bool Berth::is_client() const {
  return runtime_->is_client();
}

Result<client::DaemonStatus> Berth::status() const {
  Result<client::DaemonStatus> now = runtime_->status();
  const bool is_empty =
      !now && now.error().code == ErrorCode::not_running && !runtime_->is_client();
  if (is_empty) now.error().message = "no server was started in this Berth yet; call start()";
  return now;
}

// ---- Models -------------------------------------------------------------------------------------

namespace {

ModelInfo info_of(const models::Entry& entry) {
  ModelInfo info;
  info.id = entry.id;
  info.path = entry.path;
  if (!entry.model) {
    info.problem = entry.model.error().message;
    std::error_code unknown;
    const std::uintmax_t size = std::filesystem::file_size(entry.path, unknown);
    if (!unknown) info.size = Bytes{static_cast<std::int64_t>(size)};
    return info;
  }
  info.size = entry.model->file_bytes;
  info.architecture = entry.model->architecture;
  info.quantisation = entry.model->quantisation;
  info.layers = entry.model->layers;
  info.context = entry.model->context;
  info.parameters = entry.model->parameters;
  return info;
}

}  // namespace

ModelManager::ModelManager(Berth berth) : berth_(std::move(berth)) {}

Result<std::vector<ModelInfo>> ModelManager::list() const {
  const Result<models::Places> places = berth_.runtime_->model_places();
  if (!places) return fail(places.error());
  std::vector<ModelInfo> out;
  for (const models::Entry& entry : models::list_models(*places).entries)
    out.push_back(info_of(entry));
  return out;
}

Result<ModelInfo> ModelManager::info(const std::string& id) const {
  Result<models::Places> places = berth_.runtime_->model_places();
  if (!places) return fail(places.error());
  const Result<models::Entry> entry = models::find_model(*places, id);
  if (entry) return info_of(*entry);
  return fail(entry.error());
}

Result<Bytes> ModelManager::size(const std::string& id) const {
  const Result<ModelInfo> model = info(id);
  if (!model) return fail(model.error());
  if (model->problem.empty()) return model->size;
  return fail(ErrorCode::model_invalid, model->problem);
}

}  // namespace berth
