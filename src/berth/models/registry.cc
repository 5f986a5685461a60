// SPDX-License-Identifier: Apache-2.0
#include "berth/models/registry.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace berth::models {
namespace {

namespace fs = std::filesystem;

bool is_model_file(const fs::path& path) {
  return path.extension() == ".gguf" || path.extension() == ".safetensors";
}

/// Ids and files before any header is read.
class Scan {
 public:
  explicit Scan(const Places& places) {
    for (const Named& named : places.named)
      add(named.id, named.path);
    for (const std::string& directory : places.directories)
      look_into(directory);
    for (const std::string& file : places.files)
      add(part_of(file).stem, file);
  }

  [[nodiscard]] const std::map<std::string, std::string>& paths() const { return paths_; }
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

 private:
  void add(const std::string& id, const std::string& path) {
    if (!files_.insert(path).second) return;
    const bool is_free = !id.empty() && !paths_.contains(id);
    paths_[is_free ? id : path] = path;
  }

  void look_into(const std::string& directory) {
    std::vector<std::string> found;
    std::error_code error;
    fs::recursive_directory_iterator at(directory, fs::directory_options::skip_permission_denied,
                                        error);
    for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
      if (at.depth() >= kScanDepthMax) at.disable_recursion_pending();
      std::error_code ignored;  // a link that leads nowhere is listed, with that as its error
      if (!is_model_file(at->path()) || at->is_directory(ignored)) continue;
      if (found.size() == kScanFilesMax) {
        problems_.push_back(
            fmt::format("{}: holds more than {} model files, the rest is left out; "
                        "name folders further down",
                        directory, kScanFilesMax));
        break;
      }
      found.push_back(at->path().string());
    }
    if (error) {
      problems_.push_back(fmt::format("{}: cannot be read: {}; check models.directories", directory,
                                      error.message()));
    }
    std::sort(found.begin(), found.end());  // the order of a folder is nobody's choice
    for (const std::string& path : found)
      add_found(directory, path);
  }

  void add_found(const std::string& directory, const std::string& path) {
    const Part part = part_of(path);
    if (part.number != 1) return;
    const fs::path inside = fs::path(path).lexically_relative(directory);
    add((inside.parent_path() / part.stem).string(), path);
  }

  std::map<std::string, std::string> paths_;
  std::set<std::string> files_;
  std::vector<std::string> problems_;
};

}  // namespace

Listing list_models(const Places& places) {
  const Scan scan(places);
  Listing listing{{}, scan.problems()};
  for (const auto& [id, path] : scan.paths())
    listing.entries.push_back({id, path, read_model(path)});
  return listing;
}

Result<Entry> find_model(const Places& places, const std::string& id) {
  const Scan scan(places);
  const auto found = scan.paths().find(id);
  if (found != scan.paths().end()) return Entry{id, found->second, read_model(found->second)};
  constexpr std::size_t kShown = 5;
  std::string known;
  for (const auto& [other, path] : scan.paths()) {
    if (std::count(known.begin(), known.end(), '"') == 2 * kShown) {
      known += ", ...";
      break;
    }
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", other);
  }
  return fail(
      ErrorCode::not_found,
      fmt::format("there is no model \"{}\"; {}", id,
                  known.empty() ? "name folders with models.directories" : "write " + known));
}

}  // namespace berth::models
