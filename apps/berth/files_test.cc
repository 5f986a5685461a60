// SPDX-License-Identifier: Apache-2.0
#include "files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iterator>

#include <gmock/gmock.h>

namespace berth::cli {
namespace {

namespace fs = std::filesystem;
using testing::EndsWith;

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "berth-files-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  static std::string content(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static Status write(const std::string& path, std::string_view bytes) {
    Result<OutputFile> output = OutputFile::open(path);
    if (!output) return fail(output.error());
    return output->write(bytes);
  }
  static std::string problem(const std::string& path) {
    const Result<OutputFile> output = OutputFile::open(path);
    return output ? "" : output.error().message;
  }
  [[nodiscard]] std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }

  fs::path folder_;
};

TEST_F(Files, AnOutputIsMadeOnlyWhenItIsWritten) {
  Result<OutputFile> output = OutputFile::open(path("new"));
  ASSERT_TRUE(output);
  EXPECT_EQ(entries(), 0u);
  EXPECT_TRUE(output->write("picture"));
  EXPECT_EQ(content(path("new")), "picture");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, AnOutputBehindALinkIsReplacedAndTheLinkStays) {
  fs::create_directory(path("there"));
  std::ofstream(path("there/old")) << "old";
  fs::create_symlink("there/old", path("link"));
  fs::create_symlink("link", path("link to the link"));
  EXPECT_TRUE(write(path("link to the link"), "new"));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_TRUE(fs::is_symlink(path("link to the link")));
  EXPECT_EQ(content(path("there/old")), "new");
}

TEST_F(Files, ALinkToNothingIsFollowedToo) {
  fs::create_symlink(path("absent"), path("link"));
  EXPECT_TRUE(write(path("link"), "new"));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(content(path("absent")), "new");
}

TEST_F(Files, AFifoIsWrittenThroughAndStaysOne) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  const process::UniqueFd reader(::open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK));
  EXPECT_TRUE(write(path("fifo"), "picture"));
  char read[16];
  EXPECT_EQ(::read(reader.get(), read, sizeof read), 7);
  EXPECT_TRUE(fs::is_fifo(path("fifo")));
}

TEST_F(Files, AFifoWhoseReaderLeftIsAnError) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  process::UniqueFd reader(::open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK));
  Result<OutputFile> output = OutputFile::open(path("fifo"));
  ASSERT_TRUE(output);
  reader.reset();
  std::signal(SIGPIPE, SIG_IGN);  // as main() does
  const Status written = output->write("picture");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::io);
  EXPECT_THAT(written.error().message, EndsWith("fifo: Broken pipe"));
}

TEST_F(Files, WhereNothingCanBeWrittenIsSaidBefore) {
  EXPECT_THAT(problem(path("none/x.png")), EndsWith("none/x.png: No such file or directory"));
  EXPECT_THAT(problem(path(".")), EndsWith("Is a directory"));
  EXPECT_THAT(problem(path("none/")), EndsWith("No such file or directory"));
  EXPECT_THAT(problem(""), EndsWith("No such file or directory"));
  EXPECT_THAT(problem(path(std::string(300, 'x'))), EndsWith("File name too long"));
  std::ofstream(path("file")) << "no folder";
  EXPECT_THAT(problem(path("file/x.png")), EndsWith("Not a directory"));
}

TEST_F(Files, WhatCannotBeReadIsNamedWithTheReason) {
  const auto why = [](const std::string& path) {
    const Result<std::ifstream> in = open_input(path);
    return in ? Error{ErrorCode::internal, "it can"} : in.error();
  };
  EXPECT_EQ(why(path("none")).code, ErrorCode::not_found);
  EXPECT_THAT(why(path("none")).message, EndsWith("none: No such file or directory"));
  EXPECT_EQ(why(path(".")).code, ErrorCode::not_found);
  EXPECT_THAT(why(path(".")).message, EndsWith("Is a directory"));
}

}  // namespace
}  // namespace berth::cli
