// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/token.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace berth::gateway {
namespace {

/// A descriptor that is closed at the end of its scope.
class OpenFile {
 public:
  OpenFile(const std::string& path, int flags)
      : descriptor_(::open(path.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, kOwnerOnly)) {}
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  [[nodiscard]] int get() const { return descriptor_; }

 private:
  static constexpr mode_t kOwnerOnly = 0600;
  const int descriptor_;
};

constexpr std::size_t kTokenBytes = 32;
constexpr std::size_t kTokenDigits = 2 * kTokenBytes;
constexpr mode_t kOwnerOnly = 0600;
constexpr mode_t kOthers = 0077;
/// A token, its end of line, and one byte more to see that there is more.
constexpr std::size_t kReadMax = kTokenDigits + 2;

tl::unexpected<Error> failed(std::string_view what, const std::string& path) {
  return fail(ErrorCode::io,
              fmt::format("cannot {} the token {}: {}; make the state directory writable", what,
                          path, strerror(errno)));
}

tl::unexpected<Error> unusable(const std::string& path, std::string_view why) {
  return fail(ErrorCode::bad_config,
              fmt::format("the token {} {}; delete it, and Berth makes a new one", path, why));
}

bool is_token(std::string_view text) {
  return text.size() == kTokenDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::string> random_token(const std::string& path) {
  std::array<unsigned char, kTokenBytes> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return failed("make", path);
  }
  std::string text;
  for (const unsigned char byte : bytes)
    text += fmt::format("{:02x}", byte);
  return text;
}

/// Written beside and then linked, so that a crash leaves no half of a token.
Result<std::string> make_token(const std::string& path) {
  Result<std::string> token = random_token(path);
  if (!token) return token;
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const OpenFile file(fresh, O_WRONLY | O_CREAT | O_EXCL);
  if (file.get() < 0) return failed("make", path);
  const std::string line = *token + "\n";
  const bool is_written =
      ::write(file.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
      ::fsync(file.get()) == 0 && ::rename(fresh.c_str(), path.c_str()) == 0;
  if (!is_written) return failed("write", path);
  return token;
}

Result<std::string> read_token(int file, const std::string& path) {
  struct stat found {};
  if (::fstat(file, &found) != 0) return failed("read", path);
  if (!S_ISREG(found.st_mode)) return unusable(path, "is no regular file");
  if ((found.st_mode & kOthers) != 0 || found.st_uid != ::geteuid()) {
    return unusable(path, "could be read by others");
  }
  std::string text(kReadMax, '\0');
  const ssize_t count = ::read(file, text.data(), text.size());
  if (count < 0) return failed("read", path);
  text.resize(static_cast<std::size_t>(count));
  if (text.ends_with('\n')) text.pop_back();
  if (!is_token(text)) return unusable(path, "is damaged");
  return text;
}

}  // namespace

std::string token_file(const std::string& state_dir) {
  return state_dir + "/token";
}

Result<std::string> load_token(const std::string& state_dir) {
  const std::string path = token_file(state_dir);
  // Not blocking: a pipe in its place must not hold up the start.
  const OpenFile file(path, O_RDONLY | O_NONBLOCK);
  if (file.get() >= 0) return read_token(file.get(), path);
  if (errno == ENOENT) return make_token(path);
  if (errno == ELOOP) return unusable(path, "is a symbolic link");
  return failed("read", path);
}

bool is_same_secret(std::string_view secret, std::string_view given) {
  // Every byte of what was given is looked at, whatever its length.
  std::size_t difference = secret.size() ^ given.size();
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char expected = secret.empty() ? '\0' : secret[i % secret.size()];
    difference |= static_cast<unsigned char>(expected ^ given[i]);
  }
  return difference == 0 && !secret.empty();
}

}  // namespace berth::gateway
