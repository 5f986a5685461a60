// SPDX-License-Identifier: Apache-2.0
#include "berth/models/registry.h"

#include <sys/stat.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "berth/models/test_files.h"

namespace berth::models {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string sound() {
  return GgufWriter().front(0, 1).value("general.architecture", "llama").bytes();
}

std::vector<std::string> ids(const Listing& listing) {
  std::vector<std::string> out;
  for (const Entry& entry : listing.entries)
    out.push_back(entry.id);
  return out;
}

TEST(TheRegistry, FindsModelsInAFolderAndBelowIt) {
  const Folder folder;
  folder.write("a.Q4_1.gguf", sound());
  folder.write("deep/er/b.safetensors", safetensors("{}", 0));
  folder.write("notes.txt", "");
  const Listing listing = list_models({{}, {folder.path()}, {}});
  EXPECT_THAT(ids(listing), ElementsAre("a.Q4_1", "deep/er/b"));
  EXPECT_TRUE(listing.entries[0].model);
  EXPECT_TRUE(listing.entries[1].model);
}

TEST(TheRegistry, ListsABrokenFileWithItsErrorAndTheOthersBesideIt) {
  const Folder folder;
  folder.write("a.gguf", "nonsense");
  folder.write("b.gguf", sound());
  const Listing listing = list_models({{}, {folder.path()}, {}});
  ASSERT_THAT(ids(listing), ElementsAre("a", "b"));
  ASSERT_FALSE(listing.entries[0].model);
  EXPECT_THAT(listing.entries[0].model.error().message, HasSubstr("does not begin with"));
  EXPECT_TRUE(listing.entries[1].model);
}

TEST(TheRegistry, ListsASplitModelOnce) {
  const Folder folder;
  folder.write("m-00001-of-00002.gguf", sound());
  folder.write("m-00002-of-00002.gguf", sound());
  EXPECT_THAT(ids(list_models({{}, {folder.path()}, {}})), ElementsAre("m"));
}

TEST(TheRegistry, ListsANamedFileUnderItsNameOnly) {
  const Folder folder;
  const std::string path = folder.write("a.gguf", sound());
  EXPECT_THAT(ids(list_models({{{"mine", path}}, {folder.path()}, {}})), ElementsAre("mine"));
}

TEST(TheRegistry, ListsAFileWithoutANameUnderItsOwnUnlessItsFolderIsListed) {
  const Folder folder;
  const std::string path = folder.write("in/a.gguf", sound());
  EXPECT_THAT(ids(list_models({{}, {}, {path}})), ElementsAre("a"));
  EXPECT_THAT(ids(list_models({{}, {folder.path()}, {path}})), ElementsAre("in/a"));
}

TEST(TheRegistry, GivesTheSecondOfTwoEqualNamesItsWholePath) {
  const Folder one;
  const Folder other;
  one.write("a.gguf", sound());
  const std::string path = other.write("a.gguf", sound());
  const Listing listing = list_models({{}, {one.path(), other.path()}, {}});
  EXPECT_THAT(ids(listing), testing::UnorderedElementsAre("a", path));
}

TEST(TheRegistry, NamesAFolderThatCannotBeRead) {
  const Listing listing = list_models({{}, {"/nowhere/at/all"}, {}});
  EXPECT_THAT(listing.entries, IsEmpty());
  EXPECT_THAT(listing.problems,
              ElementsAre("/nowhere/at/all: cannot be read: No such file or directory; check "
                          "models.directories"));
}

TEST(TheRegistry, IsHeldUpByNoPipeAndNoLinkInACircle) {
  const Folder folder;
  ASSERT_EQ(::mkfifo(folder.path("pipe.gguf").c_str(), 0600), 0);
  std::filesystem::create_directory_symlink(folder.path(), folder.path("again"));
  std::filesystem::create_symlink("loop.gguf", folder.path("loop.gguf"));
  const Listing listing = list_models({{}, {folder.path()}, {}});
  ASSERT_THAT(ids(listing), ElementsAre("loop", "pipe"));
  EXPECT_THAT(listing.entries[1].model.error().message, HasSubstr("is no regular file"));
  EXPECT_THAT(listing.problems, IsEmpty());
}

TEST(TheRegistry, SaysWhichModelsThereAreWhenAskedForAnother) {
  const Folder folder;
  folder.write("a.gguf", sound());
  EXPECT_TRUE(find_model({{}, {folder.path()}, {}}, "a"));
  const auto missing = find_model({{}, {folder.path()}, {}}, "b");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "there is no model \"b\"; write \"a\"");
}

}  // namespace
}  // namespace berth::models
