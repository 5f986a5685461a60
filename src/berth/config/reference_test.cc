// SPDX-License-Identifier: Apache-2.0
#include "berth/config/reference.h"

#include <gmock/gmock.h>

#include <regex>

#include <fmt/format.h>

#include "berth/config/config.h"

namespace berth::config {
namespace {

using testing::AllOf;
using testing::Each;
using testing::Field;
using testing::IsEmpty;
using testing::Not;

TEST(Reference, EveryKeyHasANameATypeAndAMeaning) {
  for (const SectionInfo& section : reference()) {
    EXPECT_THAT(section.keys, Each(AllOf(Field(&KeyInfo::name, Not(IsEmpty())),
                                         Field(&KeyInfo::type, Not(IsEmpty())),
                                         Field(&KeyInfo::meaning, Not(IsEmpty())))))
        << section.title;
  }
}

/// The keys of the section whose default can be written into a file.
std::string defaults(const std::string& title) {
  static const std::regex is_value(R"re("[^"]*"|[0-9]+|true|false|\[\])re");
  std::string lines;
  for (const SectionInfo& section : reference()) {
    if (section.title != title) continue;
    for (const KeyInfo& key : section.keys) {
      const std::string value = key.fallback.substr(0, key.fallback.find(';'));
      if (std::regex_match(value, is_value)) lines += fmt::format("{} = {}\n", key.name, value);
    }
  }
  return lines;
}

std::string file(bool written_out) {
  const auto all = [&](const std::string& title) { return written_out ? defaults(title) : ""; };
  const std::string every = all("[server.<name>], every kind");
  return all("Top level") +
         "[pool.ram]\nkind = \"host\"\n[server.chat]\nkind = \"llama-server\"\n"
         "model = \"a.gguf\"\n" +
         every + all("[server.<name>], kind llama-server") +
         "[server.image]\nkind = \"sd-server\"\nmodel = \"b.safetensors\"\n" + every +
         all("[server.<name>], kind sd-server") + "[models]\n" + all("[models]") + "[policy]\n" +
         all("[policy]");
}

TEST(Reference, ADefaultThatIsWrittenOutChangesNothing) {
  const Environment environment{.home = "/somewhere", .state = {}};
  const auto silent = parse(file(false), "berth.toml", environment);
  const auto spoken = parse(file(true), "berth.toml", environment);
  ASSERT_TRUE(silent) << silent.error().message;
  ASSERT_TRUE(spoken) << spoken.error().message;
  EXPECT_GT(file(true).size(), file(false).size() + 600);
  Config expected = *silent;
  for (ServerOptions& server : expected.servers) {
    // What is passed on is passed on, whoever wrote it.
    if (auto* sd = std::get_if<SdOptions>(&server.kind)) sd->cancel = "await";
  }
  EXPECT_EQ(*spoken, expected);
}

}  // namespace
}  // namespace berth::config
