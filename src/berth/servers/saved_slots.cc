// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/saved_slots.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

namespace berth::servers {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::string_view kSidecarSuffix = ".json";
constexpr std::size_t kReadSize = 1 << 20;
constexpr std::size_t kSidecarMax = 1 << 20;

tl::unexpected<Error> failed(std::string_view what, const std::string& path) {
  const ErrorCode code = errno == ENOSPC ? ErrorCode::disk_full : ErrorCode::io;
  return fail(code, fmt::format("{} {}: {}", what, path, strerror(errno)));
}

/// A descriptor that closes itself.
class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

struct Content {
  Bytes size;
  std::uint32_t crc32 = 0;
};

Result<Content> read_content(const File& file, const std::string& path) {
  Content content;
  std::vector<unsigned char> buffer(kReadSize);
  uLong crc = ::crc32(0, nullptr, 0);
  while (true) {
    const ssize_t n = ::read(file.fd(), buffer.data(), buffer.size());
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("cannot read", path);
    crc = ::crc32(crc, buffer.data(), static_cast<uInt>(n));
    content.size.count += n;
  }
  content.crc32 = static_cast<std::uint32_t>(crc);
  return content;
}

Status sync_directory(const std::string& directory) {
  const File folder(directory, O_RDONLY | O_DIRECTORY);
  if (folder.fd() < 0 || ::fsync(folder.fd()) != 0) return failed("cannot sync", directory);
  return {};
}

Status write_synced(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".new";
  {
    const File file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.fd() < 0) return failed("cannot write", temporary);
    const ssize_t n = ::write(file.fd(), text.data(), text.size());
    if (n != static_cast<ssize_t>(text.size()) || ::fsync(file.fd()) != 0) {
      return failed("cannot write", temporary);
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("cannot write", path);
  return {};
}

json::object owner_to_json(const SlotOwner& owner) {
  return {{"argv", json::value_from(owner.argv)},
          {"binary", owner.binary_identity},
          {"model", owner.model_identity}};
}

std::string sidecar_text(const SavedSlot& slot, const SlotOwner& owner) {
  return json::serialize(json::object{{"slot", slot.slot},
                                      {"recency", slot.recency},
                                      {"file", slot.file_name},
                                      {"tokens", slot.tokens},
                                      {"size_bytes", slot.size.count},
                                      {"crc32", slot.crc32},
                                      {"owner", owner_to_json(owner)}});
}

struct Sidecar {
  SavedSlot slot;
  json::value owner;
};

std::optional<Sidecar> read_sidecar(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kSidecarMax, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  const json::object* object = error ? nullptr : value.if_object();
  if (object == nullptr) return std::nullopt;
  const auto number = [&](std::string_view key) -> std::int64_t {
    const json::value* found = object->if_contains(key);
    return found != nullptr && found->is_number() ? found->to_number<std::int64_t>(error) : -1;
  };
  const json::value* file = object->if_contains("file");
  const json::value* owner = object->if_contains("owner");
  if (file == nullptr || !file->is_string() || owner == nullptr) return std::nullopt;
  Sidecar sidecar;
  sidecar.slot = {.slot = static_cast<int>(number("slot")),
                  .recency = static_cast<int>(number("recency")),
                  .file_name = std::string(file->get_string()),
                  .tokens = number("tokens"),
                  .size = Bytes{number("size_bytes")},
                  .crc32 = static_cast<std::uint32_t>(number("crc32"))};
  sidecar.owner = *owner;
  return sidecar;
}

std::string refusal_of(const Sidecar& sidecar, const std::string& directory,
                       const SlotOwner& owner) {
  if (sidecar.slot.slot < 0 || sidecar.slot.tokens <= 0) return "its sidecar is damaged";
  const json::value wanted = owner_to_json(owner);
  for (const std::string_view part : {"model", "binary", "argv"}) {
    const json::object* saved = sidecar.owner.if_object();
    if (saved == nullptr || !saved->contains(part) || saved->at(part) != wanted.at(part)) {
      return fmt::format("it belongs to another {}", part == "argv" ? "command line" : part);
    }
  }
  const std::string path = fmt::format("{}/{}", directory, sidecar.slot.file_name);
  const File file(path, O_RDONLY | O_NOFOLLOW);
  if (file.fd() < 0) return "the file is missing";
  const auto content = read_content(file, path);
  if (!content) return content.error().message;
  if (content->size != sidecar.slot.size) {
    return fmt::format("it has {} bytes instead of {}", content->size.count,
                       sidecar.slot.size.count);
  }
  if (content->crc32 != sidecar.slot.crc32) return "its content was changed";
  return "";
}

}  // namespace

Result<std::string> file_identity(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return fail(ErrorCode::not_found, fmt::format("{}: {}", path, strerror(errno)));
  }
  return fmt::format("{} {} {}.{:09}", path, info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
}

Status seal_slot(const std::string& directory, SavedSlot slot, const SlotOwner& owner) {
  const std::string path = fmt::format("{}/{}", directory, slot.file_name);
  const auto seal = [&]() -> Status {
    const File file(path, O_RDONLY | O_NOFOLLOW);
    if (file.fd() < 0) return failed("cannot open", path);
    const auto content = read_content(file, path);
    if (!content) return fail(content.error());
    if (content->size != slot.size) {
      return fail(ErrorCode::io, fmt::format("{} has {} bytes, the server wrote {}", path,
                                             content->size.count, slot.size.count));
    }
    slot.crc32 = content->crc32;
    if (::fchmod(file.fd(), 0600) != 0 || ::fsync(file.fd()) != 0)
      return failed("cannot sync", path);
    const Status written =
        write_synced(path + std::string(kSidecarSuffix), sidecar_text(slot, owner));
    return written ? sync_directory(directory) : written;
  };
  Status sealed = seal();
  if (!sealed) ::unlink(path.c_str());
  return sealed;
}

std::vector<FoundSlot> find_slots(const std::string& directory, const SlotOwner& owner) {
  std::vector<FoundSlot> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (entry.path().extension() != kSidecarSuffix) continue;
    const auto sidecar = read_sidecar(entry.path());
    if (!sidecar) {
      found.push_back({{.file_name = entry.path().stem().string()}, "its sidecar is damaged"});
      continue;
    }
    found.push_back({sidecar->slot, refusal_of(*sidecar, directory, owner)});
  }
  std::sort(found.begin(), found.end(), [](const FoundSlot& a, const FoundSlot& b) {
    return std::pair(a.slot.recency, a.slot.slot) < std::pair(b.slot.recency, b.slot.slot);
  });
  return found;
}

void remove_slots(const std::string& directory) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    std::error_code ignored;  // what cannot be removed now is refused by its sidecar later
    fs::remove(entry.path(), ignored);
  }
}

}  // namespace berth::servers
