// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/saved_slots.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace berth::servers {
namespace {

namespace fs = std::filesystem;

class SavedSlots : public testing::Test {
 protected:
  SavedSlots() {
    std::string name = (fs::temp_directory_path() / "berth-slots-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~SavedSlots() override { fs::remove_all(folder_); }

  std::string file() const { return folder_ + "/slot-0-1.bin"; }
  void write(const std::string& text) const {
    std::ofstream(file(), std::ios::binary | std::ios::trunc) << text;
  }
  Status seal() const {
    return seal_slot(folder_, {.slot = 0, .file_name = "slot-0-1.bin", .tokens = 5, .size = {10}},
                     owner_);
  }
  std::string refusal(const SlotOwner& owner) const {
    const auto found = find_slots(folder_, owner);
    return found.size() == 1 ? found[0].refusal : "found " + std::to_string(found.size());
  }

  std::string folder_;
  SlotOwner owner_{{"llama-server", "-c", "2048"}, "binary 1", "model 1"};
};

TEST_F(SavedSlots, AFileIsOfferedToTheServerThatWroteIt) {
  write("0123456789");
  ASSERT_TRUE(seal());
  EXPECT_EQ(refusal(owner_), "");
  struct stat info {};
  ASSERT_EQ(::stat((file() + ".json").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(SavedSlots, TheConversationThatWasUsedLastIsFoundFirst) {
  for (const auto& [slot, recency] : {std::pair(0, 2), std::pair(1, 0), std::pair(2, 1)}) {
    const std::string name = "slot-" + std::to_string(slot) + "-1.bin";
    std::ofstream(folder_ + "/" + name, std::ios::binary) << "0123456789";
    ASSERT_TRUE(seal_slot(
        folder_, {.slot = slot, .recency = recency, .file_name = name, .tokens = 5, .size = {10}},
        owner_));
  }
  std::vector<int> order;
  for (const FoundSlot& each : find_slots(folder_, owner_)) {
    EXPECT_EQ(each.refusal, "");
    order.push_back(each.slot.slot);
  }
  EXPECT_EQ(order, (std::vector<int>{1, 2, 0}));
}

TEST_F(SavedSlots, ATruncatedFileIsNeverOffered) {  // it would abort llama-server
  write("0123456789");
  ASSERT_TRUE(seal());
  fs::resize_file(file(), 9);
  EXPECT_EQ(refusal(owner_), "it has 9 bytes instead of 10");
}

TEST_F(SavedSlots, AChangedFileIsNeverOffered) {  // it would be accepted in silence
  write("0123456789");
  ASSERT_TRUE(seal());
  write("0123456788");
  EXPECT_EQ(refusal(owner_), "its content was changed");
}

TEST_F(SavedSlots, AForeignFileIsNeverOffered) {
  write("0123456789");
  ASSERT_TRUE(seal());
  SlotOwner other = owner_;
  other.argv = {"llama-server", "-c", "4096"};
  EXPECT_EQ(refusal(other), "it belongs to another command line");
  other = owner_;
  other.model_identity = "model 2";
  EXPECT_EQ(refusal(other), "it belongs to another model");
  other = owner_;
  other.binary_identity = "binary 2";
  EXPECT_EQ(refusal(other), "it belongs to another binary");
}

TEST_F(SavedSlots, AMissingFileAndADamagedSidecarAreSaid) {
  write("0123456789");
  ASSERT_TRUE(seal());
  fs::remove(file());
  EXPECT_EQ(refusal(owner_), "the file is missing");
  std::ofstream(file() + ".json", std::ios::trunc) << "{\"slot\":";
  EXPECT_EQ(refusal(owner_), "its sidecar is damaged");
}

TEST_F(SavedSlots, AFileThatIsShorterThanTheServerSaidIsNotKept) {
  write("01234");
  EXPECT_FALSE(seal());
  EXPECT_FALSE(fs::exists(file()));
  EXPECT_TRUE(find_slots(folder_, owner_).empty());
}

}  // namespace
}  // namespace berth::servers
