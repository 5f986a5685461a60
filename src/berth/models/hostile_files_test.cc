// SPDX-License-Identifier: Apache-2.0
// Files that somebody damaged or made to do harm: each gets its own sentence, nothing is allocated
// or read because a file says so.
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "berth/models/model.h"
#include "berth/models/test_files.h"

namespace berth::models {
namespace {

using std::string;

constexpr std::uint64_t k2To63 = std::uint64_t{1} << 63;
constexpr const char* kAgain = "; download the file again";

/// A file as it is written, and what is said about it behind its path.
struct Hostile {
  string name;
  string file;
  string bytes;
  string error;
};

GgufWriter gguf(std::uint64_t tensors, std::uint64_t keys) {
  return GgufWriter().front(tensors, keys);
}

string sound_gguf() {
  return gguf(1, 1).value("general.architecture", "llama").tensor("t", {8}, 0, 0).data(32).bytes();
}

std::vector<Hostile> hostile_gguf() {
  const string sound = sound_gguf();
  return {
      {"AFileOfAnotherKind", "a.gguf", "PK\x03\x04 and more", "it does not begin with \"GGUF\""},
      {"AnEmptyFile", "a.gguf", "", "it does not begin with \"GGUF\""},
      {"AFutureVersion", "a.gguf", GgufWriter().front(0, 0, 4).bytes(),
       "its version is 4; 2 and 3 are read"},
      {"AFileOfTheOtherByteOrder", "a.gguf", GgufWriter().front(0, 0, 0x0300'0000).bytes(),
       "it is big-endian, or its version is damaged"},
      {"AFrontThatIsCut", "a.gguf", sound.substr(0, 20),
       "it ends at byte 20 within the first 24 bytes"},
      {"AKeyThatIsCut", "a.gguf", sound.substr(0, 30),
       "it ends at byte 30 within the name of key 1 of 1"},
      {"MoreTensorsThanMemory", "a.gguf", gguf(k2To63, 0).bytes(),
       "it counts 9223372036854775808 tensors, at most 65536 are read"},
      {"MoreKeysThanMemory", "a.gguf", gguf(0, k2To63).bytes(),
       "it counts 9223372036854775808 keys, at most 4096 are read"},
      {"AnEndlessName", "a.gguf", gguf(0, 1).number(~std::uint64_t{0}, 8).data(64).bytes(),
       "the name of key 1 of 1 is 18446744073709551615 bytes long; 1 to 256 are read"},
      {"ATextOfFourGigabytes", "a.gguf",
       gguf(0, 1)
           .text("k")
           .number(GgufWriter::kText, 4)
           .number(4'000'000'000, 8)
           .raw("abc")
           .bytes(),
       "the value of key \"k\" is a text of 4000000000 bytes, 3 are left in the file"},
      {"AnEndlessList", "a.gguf",
       gguf(0, 1)
           .text("k")
           .number(GgufWriter::kList, 4)
           .number(GgufWriter::kText, 4)
           .number(k2To63, 8)
           .bytes(),
       "the value of key \"k\" is a list of 9223372036854775808, 0 bytes are left in the file"},
      {"AListOfLists", "a.gguf",
       gguf(0, 1)
           .text("k")
           .number(GgufWriter::kList, 4)
           .number(GgufWriter::kList, 4)
           .number(1, 8)
           .bytes(),
       "the value of key \"k\" is a list of lists"},
      {"AValueOfAnUnknownType", "a.gguf", gguf(0, 1).text("k").number(255, 4).data(64).bytes(),
       "the value of key \"k\" has type 255; 0 to 12 are known"},
      {"AKeyThatIsThereTwice", "a.gguf", gguf(0, 2).value("k", 1).value("k", 2).bytes(),
       "key \"k\" is there twice"},
      {"AnAlignmentOfNothing", "a.gguf", gguf(0, 1).value("general.alignment", 0).bytes(),
       "general.alignment is no power of two up to 65536"},
      {"AnAlignmentThatIsAText", "a.gguf", gguf(0, 1).value("general.alignment", "32").bytes(),
       "general.alignment is no power of two up to 65536"},
  };
}

/// Tensors that are impossible, or lie where they may not.
std::vector<Hostile> hostile_tensors() {
  const string sound = sound_gguf();
  return {
      {"TooManyDimensions", "a.gguf", gguf(1, 0).text("t").number(5, 4).data(64).bytes(),
       "tensor \"t\" has 5 dimensions, at most 4 are known"},
      {"AShapeThatOverflows", "a.gguf",
       gguf(1, 0)
           .tensor("t", {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0)
           .data(32)
           .bytes(),
       "tensor \"t\" has more than 2^48 elements"},
      {"ATensorOfARemovedType", "a.gguf", gguf(1, 0).tensor("t", {8}, 4, 0).data(32).bytes(),
       "tensor \"t\" has type 4, which is not known"},
      {"ATensorBehindTheEnd", "a.gguf", gguf(1, 0).tensor("t", {16}, 0, 32).data(64).bytes(),
       "tensor \"t\" lies at 32 with 64 bytes, but the data has 64"},
      {"AnOffsetThatOverflows", "a.gguf",
       gguf(1, 0).tensor("t", {8}, 0, 0xFFFF'FFFF'FFFF'FFE0).data(32).bytes(),
       "tensor \"t\" lies at 18446744073709551584 with 32 bytes, but the data has 32"},
      {"AnOffsetBesideTheAlignment", "a.gguf", gguf(1, 0).tensor("t", {8}, 0, 4).data(64).bytes(),
       "tensor \"t\" lies at 4, which is no multiple of 32"},
      {"TensorsThatOverlap", "a.gguf",
       gguf(2, 0).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).data(64).bytes(),
       "tensor \"b\" overlaps \"a\""},
      {"ATensorThatIsThereTwice", "a.gguf",
       gguf(2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).data(64).bytes(),
       "tensor \"a\" is there twice"},
      {"AFileThatIsCutInHalf", "a.gguf", sound.substr(0, sound.size() - 1),
       "tensor \"t\" lies at 0 with 32 bytes, but the data has 31"},
      {"ANameThatWritesOnTheTerminal", "a.gguf",
       gguf(1, 0).tensor("\x1b[2J\"\r", {8}, 99, 0).data(32).bytes(),
       "tensor \"?[2J??\" has type 99, which is not known"},
  };
}

std::vector<Hostile> hostile_safetensors() {
  const auto one = [](const string& tensor) { return R"({"t":)" + tensor + "}"; };
  const string sound = R"({"dtype":"F16","shape":[4],"data_offsets":[0,8]})";
  const auto file = [&](const string& json, std::size_t data) { return safetensors(json, data); };
  return {
      {"AnEmptyFile", "a.safetensors", "", "it is shorter than 8 bytes"},
      {"AHeaderOfNothing", "a.safetensors", string(8, '\0'),
       "its header is 0 bytes long; 2 to 100000000 are read"},
      {"AHeaderOfHalfOfAllMemory", "a.safetensors", GgufWriter().number(k2To63, 8).bytes(),
       "its header is 9223372036854775808 bytes long; 2 to 100000000 are read"},
      {"AHeaderLongerThanTheFile", "a.safetensors", GgufWriter().number(100, 8).raw("{}").bytes(),
       "its header is 100 bytes long, 2 are left in the file"},
      {"AHeaderThatIsNoJson", "a.safetensors", file("{]", 0),
       "its header is no JSON that can be read: syntax error"},
      {"AHeaderThatIsNoObject", "a.safetensors", file("[1]", 0),
       "the header holds a list where none may stand"},
      {"ANestThatIsDeep", "a.safetensors", file(one(R"({"x":{"y":{"z":1}}})"), 0),
       "tensor \"t\" holds an object where none may stand"},
      {"SomethingBehindTheJson", "a.safetensors", file("{} {}", 0),
       "something stands behind the JSON of its header"},
      {"ATensorThatIsThereTwice", "a.safetensors",
       file(R"({"t":)" + sound + R"(,"t":)" + sound + "}", 8), "tensor \"t\" is there twice"},
      {"AnUnknownType", "a.safetensors",
       file(one(R"({"dtype":"F7","shape":[4],"data_offsets":[0,8]})"), 8),
       "tensor \"t\" has dtype \"F7\", which is not known"},
      {"AShapeOfLess", "a.safetensors",
       file(one(R"({"dtype":"F16","shape":[-4],"data_offsets":[0,8]})"), 8),
       "tensor \"t\" holds a negative number where none may stand"},
      {"AShapeThatOverflows", "a.safetensors",
       file(one(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})"), 0),
       "tensor \"t\" has more than 2^48 elements"},
      {"AShapeBesideItsOffsets", "a.safetensors",
       file(one(R"({"dtype":"F16","shape":[4],"data_offsets":[0,4]})"), 4),
       "tensor \"t\" takes 8 bytes by its shape and 4 by its offsets"},
      {"ATensorBehindTheEnd", "a.safetensors", file(one(sound), 7),
       "tensor \"t\" lies at 0 with 8 bytes, but the data has 7"},
      {"TensorsThatOverlap", "a.safetensors",
       file(R"({"a":)" + sound + R"(,"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}})", 12),
       "tensor \"b\" overlaps \"a\""},
      {"AHoleBetweenTensors", "a.safetensors",
       file(R"({"a":)" + sound + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[9,10]}})", 10),
       "there is a hole of 1 bytes before tensor \"b\""},
      {"BytesOfNobody", "a.safetensors", file(one(sound), 9),
       "1 bytes stand behind its last tensor"},
  };
}

string hostile_name(const testing::TestParamInfo<Hostile>& info) {
  return info.param.name;
}

class AHostileFile : public testing::TestWithParam<Hostile> {};

TEST_P(AHostileFile, IsRefusedWithWhatIsWrongWithIt) {
  const Folder folder;
  const string path = folder.write(GetParam().file, GetParam().bytes);
  const auto model = read_model(path);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().message, path + ": " + GetParam().error + kAgain);
  EXPECT_EQ(model.error().code, ErrorCode::model_invalid);
}

INSTANTIATE_TEST_SUITE_P(Tensors, AHostileFile, testing::ValuesIn(hostile_tensors()), hostile_name);
INSTANTIATE_TEST_SUITE_P(Gguf, AHostileFile, testing::ValuesIn(hostile_gguf()), hostile_name);
INSTANTIATE_TEST_SUITE_P(Safetensors, AHostileFile, testing::ValuesIn(hostile_safetensors()),
                         hostile_name);

/// One part of a split model, as its header says.
string part(std::uint32_t number, std::uint32_t count, const char* tensor) {
  return GgufWriter()
      .front(1, 3)
      .value("general.architecture", "llama")
      .value("split.no", number)
      .value("split.count", count)
      .tensor(tensor, {8}, 0, 0)
      .data(32)
      .bytes();
}

class AHostileSplit : public testing::Test {
 protected:
  string error_of(const string& name) {
    const auto model = read_model(folder_.path(name));
    return model ? "" : model.error().message;
  }
  const string first_ = "m-00001-of-00002.gguf";
  const string second_ = "m-00002-of-00002.gguf";
  Folder folder_;
};

TEST_F(AHostileSplit, NamesThePartThatIsMissing) {
  folder_.write(first_, part(0, 2, "a"));
  EXPECT_EQ(error_of(first_), folder_.path(first_) + ": part 2 of 2 is missing; put " +
                                  folder_.path(second_) + " beside it");
}

TEST_F(AHostileSplit, IsNotReadInACircle) {
  folder_.write(first_, part(0, 2, "a"));
  std::filesystem::create_symlink(first_, folder_.path(second_));
  EXPECT_EQ(error_of(first_),
            folder_.path(second_) +
                ": by its name it is part 2 of 2, by its header part 1 of 2; put the parts of one "
                "model under their own names into one folder");
}

TEST_F(AHostileSplit, IsNotMixedFromTwoModels) {
  folder_.write(first_, part(0, 2, "a"));
  folder_.write(second_, part(1, 3, "b"));
  EXPECT_EQ(error_of(first_),
            folder_.path(second_) +
                ": by its name it is part 2 of 2, by its header part 2 of 3; put the parts of one "
                "model under their own names into one folder");
}

TEST_F(AHostileSplit, HasEveryTensorInOnePartOnly) {
  folder_.write(first_, part(0, 2, "a"));
  folder_.write(second_, part(1, 2, "a"));
  EXPECT_EQ(error_of(first_),
            folder_.path(first_) + ": tensor \"a\" is in two parts; download all parts again");
}

TEST_F(AHostileSplit, IsReadFromItsFirstPart) {
  folder_.write(second_, part(1, 2, "b"));
  EXPECT_EQ(error_of(second_), folder_.path(second_) + ": is part 2 of 2; name the first part, " +
                                   folder_.path(first_));
}

TEST_F(AHostileSplit, OfCountlessPartsIsNotLookedFor) {
  folder_.write("m-00001-of-99999.gguf", part(0, 2, "a"));
  EXPECT_EQ(
      error_of("m-00001-of-99999.gguf"),
      folder_.path("m-00001-of-99999.gguf") + ": has 99999 parts, at most 512 are read; join them");
}

TEST(AHeaderCutAnywhere, IsRefusedAndNeverReadBeyondItsEnd) {
  const Folder folder;
  const string whole = part(0, 1, "a");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(read_model(folder.write("a.gguf", whole.substr(0, size)))) << size;
  }
  EXPECT_TRUE(read_model(folder.write("a.gguf", whole)));
}

}  // namespace
}  // namespace berth::models
