// SPDX-License-Identifier: Apache-2.0
// Which models there are: those that were named, and those found in folders.
#pragma once

#include <string>
#include <vector>

#include "berth/models/model.h"

namespace berth::models {

/// A model that was named with its file.
struct Named {
  std::string id;
  std::string path;

  bool operator==(const Named&) const = default;
};

struct Places {
  std::vector<Named> named;
  std::vector<std::string> directories;
  std::vector<std::string> files;  ///< without a name: the id is the file's name
};

/// A model of the list. One whose header cannot be read is listed with what is wrong.
struct Entry {
  std::string id;
  std::string path;  ///< of its first file
  Result<Model> model;
};

struct Listing {
  std::vector<Entry> entries;         ///< ordered by id
  std::vector<std::string> problems;  ///< folders that cannot be read or are too large
};

inline constexpr int kScanDepthMax = 8;
inline constexpr std::size_t kScanFilesMax = 10'000;

/// Reads the header of every model. In folders these are all files that end in .gguf or
/// .safetensors, in folders below too, second and later parts left out; links to folders are not
/// followed. The id of a found model is its path in the folder without extension and part; where
/// that is taken, its whole path. A file that was named is not listed again for its folder.
Listing list_models(const Places& places);

/// Returns the entry with that id; headers of others are not read.
/// Errors: not_found with ids that exist.
Result<Entry> find_model(const Places& places, const std::string& id);

}  // namespace berth::models
