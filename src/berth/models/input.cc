// SPDX-License-Identifier: Apache-2.0
#include "berth/models/input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "berth/base/assert.h"

namespace berth::models {
namespace {

class File : public Input {
 public:
  File(int descriptor, std::uint64_t size) : descriptor_(descriptor), size_(size) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() override { ::close(descriptor_); }

  [[nodiscard]] std::uint64_t size() const override { return size_; }

  bool read(std::uint64_t offset, char* out, std::size_t count) override {
    while (count > 0) {
      const ssize_t got = ::pread(descriptor_, out, count, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      out += got;
      offset += static_cast<std::uint64_t>(got);
      count -= static_cast<std::size_t>(got);
    }
    return true;
  }

 private:
  int descriptor_;
  std::uint64_t size_;
};

class Memory : public Input {
 public:
  explicit Memory(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }

  bool read(std::uint64_t offset, char* out, std::size_t count) override {
    if (offset > bytes_.size() || count > bytes_.size() - offset) return false;
    std::memcpy(out, bytes_.data() + offset, count);
    return true;
  }

 private:
  std::string_view bytes_;
};

}  // namespace

Result<std::unique_ptr<Input>> open_file(const std::string& path) {
  // O_NONBLOCK: a pipe that nobody writes to must not hold up the scan of a folder.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    const bool is_missing = errno == ENOENT;
    return fail(is_missing ? ErrorCode::model_missing : ErrorCode::io,
                fmt::format("{}: cannot be opened: {}; {}", path, strerror(errno),
                            is_missing ? "check the path" : "check its permissions"));
  }
  struct stat facts {};
  if (::fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    ::close(descriptor);
    return fail(ErrorCode::io, fmt::format("{}: is no regular file; name a model file", path));
  }
  return std::make_unique<File>(descriptor, static_cast<std::uint64_t>(facts.st_size));
}

std::unique_ptr<Input> over_memory(std::string_view bytes) {
  return std::make_unique<Memory>(bytes);
}

std::uint64_t Cursor::number(std::size_t bytes) {
  std::array<char, sizeof(std::uint64_t)> raw{};
  BERTH_ASSERT(bytes <= raw.size());
  if (!take(raw.data(), bytes)) return 0;
  std::uint64_t value = 0;
  for (std::size_t i = bytes; i > 0; --i)
    value = value << 8 | static_cast<unsigned char>(raw.at(i - 1));
  return value;
}

std::string Cursor::text(std::size_t count) {
  if (failed_ || count > remaining()) {
    failed_ = true;
    return "";
  }
  std::string text(count, '\0');
  if (!take(text.data(), count)) return "";
  return text;
}

void Cursor::skip(std::uint64_t count) {
  if (failed_ || count > remaining()) {
    failed_ = true;
    return;
  }
  position_ += count;
}

bool Cursor::take(char* out, std::size_t count) {
  if (failed_ || count > remaining()) {
    failed_ = true;
    return false;
  }
  while (count > 0) {
    const bool is_buffered = position_ >= buffer_at_ && position_ < buffer_at_ + buffered_;
    if (!is_buffered && !refill()) return false;
    const auto from = static_cast<std::size_t>(position_ - buffer_at_);
    const std::size_t part = std::min(count, buffered_ - from);
    std::memcpy(out, buffer_.data() + from, part);
    out += part;
    count -= part;
    position_ += part;
  }
  return true;
}

bool Cursor::refill() {
  buffer_at_ = position_;
  buffered_ = static_cast<std::size_t>(std::min<std::uint64_t>(kBufferBytes, remaining()));
  if (buffered_ == 0 || !input_->read(buffer_at_, buffer_.data(), buffered_)) {
    buffered_ = 0;
    failed_ = true;
  }
  return !failed_;
}

}  // namespace berth::models
