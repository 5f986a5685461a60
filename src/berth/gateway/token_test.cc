// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/token.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

namespace berth::gateway {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::MatchesRegex;

class TokenTest : public testing::Test {
 protected:
  TokenTest() {
    std::string pattern = (fs::temp_directory_path() / "berth-token-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~TokenTest() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  void write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(token_file(folder_)) << text;
    ::chmod(token_file(folder_).c_str(), mode);
  }
  Error refusal() {
    const Result<std::string> token = load_token(folder_);
    return token ? Error{ErrorCode::internal, "it was taken"} : token.error();
  }

  std::string folder_;
};

TEST_F(TokenTest, ItIsMadeOnceAndHas256BitsThatOnlyTheOwnerCanRead) {
  const Result<std::string> made = load_token(folder_);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_THAT(*made, MatchesRegex("[0-9a-f]+"));
  EXPECT_EQ(made->size(), 64u);
  struct stat found {};
  ASSERT_EQ(::stat(token_file(folder_).c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777u, 0600u);
  EXPECT_EQ(*load_token(folder_), *made);
}

TEST_F(TokenTest, TwoStateDirectoriesHaveTwoTokens) {
  fs::create_directory(folder_ + "/other");
  EXPECT_NE(*load_token(folder_), *load_token(folder_ + "/other"));
}

TEST_F(TokenTest, AFileThatOthersMayReadIsRefusedAndLeftAlone) {
  const std::string text(64, 'a');
  write(text, 0640);
  EXPECT_EQ(refusal().code, ErrorCode::bad_config);
  EXPECT_THAT(refusal().message, HasSubstr("could be read by others; delete it"));
  std::string kept;
  std::ifstream(token_file(folder_)) >> kept;
  EXPECT_EQ(kept, text);
}

TEST_F(TokenTest, ADamagedFileIsRefusedAndNotReplaced) {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string(63, 'a'), std::string(65, 'a'),
        std::string(64, 'A'), std::string(64, 'a') + "\nmore"}) {
    write(text);
    EXPECT_THAT(refusal().message, HasSubstr("is damaged; delete it")) << text;
  }
}

TEST_F(TokenTest, ALinkAPipeAndAFolderAreNoToken) {
  write(std::string(64, 'a'));
  fs::rename(token_file(folder_), folder_ + "/elsewhere");
  fs::create_symlink("elsewhere", token_file(folder_));
  EXPECT_THAT(refusal().message, HasSubstr("is a symbolic link"));
  fs::remove(token_file(folder_));
  ASSERT_EQ(::mkfifo(token_file(folder_).c_str(), 0600), 0);
  EXPECT_THAT(refusal().message, HasSubstr("is no regular file"));
  fs::remove(token_file(folder_));
  fs::create_directory(token_file(folder_));
  EXPECT_THAT(refusal().message, HasSubstr("is no regular file"));
}

TEST(Secrets, AreTheSameOnlyIfEveryByteIs) {
  EXPECT_TRUE(is_same_secret("abc", "abc"));
  for (const char* other : {"", "ab", "abd", "Abc", "abcd", "abcabc"}) {
    EXPECT_FALSE(is_same_secret("abc", other)) << other;
  }
  EXPECT_FALSE(is_same_secret("", ""));
}

}  // namespace
}  // namespace berth::gateway
