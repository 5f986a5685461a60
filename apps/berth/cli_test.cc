// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <gmock/gmock.h>

#include "bars.h"
#include "console.h"
#include "record_text.h"
#include "table.h"

namespace berth::cli {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    widest = std::max(widest, characters(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return widest;
}

TEST(Table, ColumnsAreAlignedAndNumbersStandToTheRight) {
  EXPECT_EQ(
      render_table({{"NAME"}, {"PID", true}}, {{{{"chat"}, {"7"}}, ""}, {{{"b"}, {"1234"}}, ""}}),
      "NAME   PID\n"
      "chat     7\n"
      "b     1234\n");
}

TEST(Table, NoLineEndsInSpaces) {
  EXPECT_EQ(render_table({{"POOL"}, {""}}, {{{{"ram"}, {"[##]"}}, ""}, {{{"vram"}, {""}}, ""}}),
            "POOL\n"
            "ram   [##]\n"
            "vram\n");
}

TEST(Table, FitsEightyColumnsHoweverLongItsWordsAre) {
  const std::string word(200, 'x');
  const std::string text =
      render_table({{"A"}, {"B"}, {"C"}}, {{{{word}, {"short"}, {word}}, word}});
  EXPECT_LE(widest_line(text), kWidth);
  EXPECT_THAT(text, HasSubstr("short"));
  EXPECT_THAT(text, HasSubstr("x..."));
}

TEST(Table, ANoteStandsBelowItsRowAndIsWrapped) {
  EXPECT_EQ(render_table({{"A"}}, {{{{"chat"}}, "out since 12 s"}}, 12),
            "A\n"
            "chat\n"
            "    out\n"
            "    since 12\n"
            "    s\n");
}

TEST(Table, CharactersAreCountedAndNotBytes) {
  EXPECT_EQ(characters("h\u00e9llo"), 5u);
  EXPECT_EQ(shortened("h\u00e9ll\u00f6 world", 8), "h\u00e9ll\u00f6...");
}

TEST(Console, TextOfOthersCannotSteerTheTerminal) {
  EXPECT_EQ(printable("a\x1b[2Jb\rc\x7f\x07"), "a\\x1b[2Jb\\x0dc\\x7f\\x07");
  EXPECT_EQ(printable("\u202eabc\u2066\u009b2J"), "\\u202eabc\\u2066\\u009b2J");
  EXPECT_EQ(printable("tab\tline\n\u00e4 \u2713 \u20ac"), "tab\tline\n\u00e4 \u2713 \u20ac");
}

TEST(Console, TextWithinALineBeginsNoOther) {
  EXPECT_EQ(printable_line("a\tb\nc\u009b"), "a\\x09b\\x0ac\\u009b");
}

TEST(RecordText, AStepIsOneLineThatCannotSteerTheTerminal) {
  host::Record record;
  record.kind = "step";
  record.name = "job_arrived";
  record.server = "chat";
  record.text = "of \u009b2Jeve\nready";
  record.json = "{}";
  EXPECT_THAT(line_of(record, false), EndsWith("job_arrived: of \\u009b2Jeve\\x0aready\n"));
  EXPECT_EQ(line_of(record, true), "{}\n");
}

TEST(Table, TextOfOthersInCellsAndNotesCannotSteerTheTerminal) {
  EXPECT_EQ(render_table({{"A"}}, {{{{"x\u009b2J\nb"}}, "by \u202eeve"}}),
            "A\n"
            "x\\u009b2J\\x0ab\n"
            "    by \\u202eeve\n");
}

TEST(Bars, ProgressShowsStepStageAndTime) {
  EXPECT_EQ(progress_line({.stage = "diffusion", .step = 5, .steps = 20, .elapsed = 4200ms}, 8),
            "[##------]   5/20 diffusion 4.2 s");
}

TEST(Bars, ProgressWithoutACountAndBeyondItsEndIsABarAllTheSame) {
  EXPECT_THAT(progress_line({.stage = "loading"}, 4), StartsWith("[----] loading"));
  EXPECT_THAT(progress_line({.stage = "x", .step = 9, .steps = 3}, 4), StartsWith("[####]"));
}

TEST(Bars, APoolShowsUseAndLimit) {
  EXPECT_EQ(pool_bar({.used = 2_GiB, .limit = 6_GiB, .capacity = 8_GiB}, 8), "[##----|-]");
  EXPECT_EQ(pool_bar({.used = Bytes{1}, .limit = 8_GiB, .capacity = 8_GiB}, 8), "[#-------]");
  EXPECT_EQ(pool_bar({}, 4), "[----]");
}

}  // namespace
}  // namespace berth::cli
