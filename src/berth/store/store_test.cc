// SPDX-License-Identifier: Apache-2.0
#include "berth/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "berth/store/faulty_vfs.h"
#include "berth/store/sqlite.h"
#include "berth/store/temporary_folder.h"

namespace berth::store {
namespace {

using core::After;
using core::Wanted;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const ServerRow kChat{.name = "chat",
                      .wanted = Wanted::on,
                      .generation = 7,
                      .displaced = ServerRow::Displaced{.since_unix_ms = 1'700'000'000'123,
                                                        .by = "image",
                                                        .after = After::on_request},
                      .skip_next_restore = true,
                      .launch_spec = R"({"argv":["llama-server","-m","a b.gguf"]})"};
const ServerRow kImage{.name = "image",
                       .wanted = Wanted::off,
                       .generation = 0,
                       .displaced = std::nullopt,
                       .skip_next_restore = false,
                       .launch_spec = ""};

class StoreTest : public testing::Test {
 protected:
  Store open() {
    Result<Store> store = Store::open(path_);
    if (!store) throw std::runtime_error(store.error().message);
    return std::move(*store);
  }

  /// Runs SQL as some other program would while no Berth runs.
  void execute(const std::string& sql) {
    auto database = Database::open(path_).value();
    const Status done = database.execute(sql);
    ASSERT_TRUE(done) << done.error().message;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.path() + "/berth.db";
};

TEST_F(StoreTest, ANewDatabaseHasNoRows) {
  EXPECT_THAT(open().rows().value(), IsEmpty());
}

TEST_F(StoreTest, RowsSurviveReopening) {
  ASSERT_TRUE(open().put(std::vector<Change>{kImage, kChat}));

  EXPECT_THAT(open().rows().value(), ElementsAre(kChat, kImage));
}

TEST_F(StoreTest, ANewRowReplacesTheOldOneOfItsName) {
  Store store = open();
  ASSERT_TRUE(store.put(std::vector<Change>{kChat}));
  ServerRow restored = kChat;
  restored.displaced.reset();

  ASSERT_TRUE(store.put(std::vector<Change>{kChat, restored}));

  EXPECT_THAT(store.rows().value(), ElementsAre(restored));
}

TEST_F(StoreTest, AHoldSurvivesReopeningUntilItHasEnded) {
  const HoldRow night{.job = 7,
                      .holder = "night run",
                      .servers = {"image", "chat"},
                      .exclusive = true,
                      .ends_unix_ms = 1'700'000'000'000};
  const HoldRow day{.job = 9, .holder = "", .servers = {"chat"}};
  ASSERT_TRUE(open().put(std::vector<Change>{night, day}));
  EXPECT_THAT(open().holds().value(), ElementsAre(night, day));

  ASSERT_TRUE(open().put(std::vector<Change>{HoldEnded{7}}));
  EXPECT_THAT(open().holds().value(), ElementsAre(day));
}

TEST_F(StoreTest, AFootprintSurvivesReopeningAndIsReplacedByANewerOne) {
  const FootprintRow first{
      .key = "m -c 4096", .pool = "ram", .stage = Stage::load, .bytes = 300, .server = "chat"};
  const FootprintRow other{
      .key = "sd", .pool = "ram", .shape = "64x64", .bytes = 700, .server = "image"};
  FootprintRow more = first;
  more.bytes = 350;
  FootprintRow raised = first;
  raised.stage = Stage::raised;
  ASSERT_TRUE(open().put(std::vector<Change>{first, other, raised}));
  ASSERT_TRUE(open().put(std::vector<Change>{FootprintsForgotten{first.key, Stage::raised}}));
  ASSERT_TRUE(open().put(std::vector<Change>{more}));
  EXPECT_THAT(open().footprints().value(), ElementsAre(more, other));

  ASSERT_TRUE(open().put(std::vector<Change>{FootprintsForgotten{first.key}}));
  EXPECT_THAT(open().footprints().value(), ElementsAre(other));
  ASSERT_TRUE(open().put(std::vector<Change>{FootprintsForgotten{""}}));
  EXPECT_THAT(open().footprints().value(), IsEmpty());
}

TEST_F(StoreTest, FootprintsOfAnEarlierSchemaAreKept) {
  ASSERT_TRUE(open().put(std::vector<Change>{kChat}));
  execute(
      "DROP TABLE footprint; CREATE TABLE footprint (key TEXT, pool TEXT, bytes INTEGER, server "
      "TEXT, updated_unix_ms INTEGER) STRICT; INSERT INTO footprint VALUES ('m', 'ram (measured)', "
      "300, 'chat', 1); DROP TABLE image_job; PRAGMA user_version = 3");
  const FootprintRow kept{
      .key = "m", .pool = "ram", .stage = Stage::work, .bytes = 300, .server = "chat"};
  EXPECT_THAT(open().footprints().value(), ElementsAre(kept));
}

TEST_F(StoreTest, ManyRowsAreOneTransaction) {
  Store store = open();

  ASSERT_TRUE(store.put(std::vector<Change>{kChat, kImage}));

  EXPECT_EQ(store.transactions(), 1u);
}

TEST_F(StoreTest, WritingNothingCostsNoTransaction) {
  Store store = open();

  ASSERT_TRUE(store.put({}));

  EXPECT_EQ(store.transactions(), 0u);
}

TEST_F(StoreTest, EachTransactionIsSyncedToTheDisk) {
  const FaultyVfs disk;
  Store store = open();
  ASSERT_TRUE(store.put(std::vector<Change>{kChat}));  // the first one also begins the log
  const int before = FaultyVfs::syncs;

  ASSERT_TRUE(store.put(std::vector<Change>{kChat, kImage}));

  EXPECT_EQ(FaultyVfs::syncs, before + 1);
}

TEST_F(StoreTest, TheDatabaseKeepsAWriteAheadLog) {
  Store store = open();
  ASSERT_TRUE(store.put(std::vector<Change>{kChat}));

  EXPECT_TRUE(std::filesystem::exists(path_ + "-wal"));
  EXPECT_FALSE(std::filesystem::exists(path_ + "-shm")) << "the lock is not exclusive";
}

TEST_F(StoreTest, OnlyTheOwnerMayReadTheFiles) {
  std::ofstream(path_).close();
  std::filesystem::permissions(path_, std::filesystem::perms(0664));
  Store store = open();
  ASSERT_TRUE(store.put(std::vector<Change>{kChat}));

  for (const std::string& file : {path_, path_ + "-wal"}) {
    EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600)) << file;
  }
}

TEST_F(StoreTest, ASecondOpenerIsToldWhichFileIsTaken) {
  const Store store = open();

  const Result<Store> second = Store::open(path_);

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(),
            (Error{ErrorCode::already_running,
                   "another process has " + path_ +
                       " open; stop the other Berth, or use another state directory"}));
}

TEST_F(StoreTest, AFailedSecondOpenerLeavesTheFirstOneItsLock) {
  Store store = open();
  ASSERT_FALSE(Store::open(path_));

  EXPECT_FALSE(Store::open(path_));
  EXPECT_TRUE(store.put(std::vector<Change>{kChat}));
}

TEST_F(StoreTest, ADatabaseOfANewerBerthIsRefused) {
  ASSERT_TRUE(open().put(std::vector<Change>{kChat}));
  execute("PRAGMA user_version = 99");

  const Result<Store> store = Store::open(path_);

  ASSERT_FALSE(store);
  EXPECT_EQ(store.error(),
            (Error{ErrorCode::conflict, "the database " + path_ +
                                            " is of version 99, this Berth knows up to 5; install "
                                            "the newer Berth again, or use another state "
                                            "directory"}));
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsNamedWithTheNextStep) {
  std::ofstream(path_) << std::string(5000, 'x');

  const Result<Store> store = Store::open(path_);

  ASSERT_FALSE(store);
  EXPECT_EQ(store.error(),
            (Error{ErrorCode::io, "the database " + path_ +
                                      " is damaged (file is not a database); move it away together "
                                      "with " +
                                      path_ +
                                      "-wal and start again: servers then come back as the "
                                      "configuration says"}));
}

TEST_F(StoreTest, ATruncatedDatabaseIsNoticedWhenItIsOpened) {
  ASSERT_TRUE(open().put(std::vector<Change>{kChat}));
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) / 2);

  const Result<Store> store = Store::open(path_);

  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::io);
  EXPECT_THAT(store.error().message, HasSubstr("the database " + path_ + " is damaged"));
}

TEST_F(StoreTest, ADamagedPageIsNoticedWhenItIsOpened) {
  ASSERT_TRUE(open().put(std::vector<Change>{kChat}));
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(512, '\x7f');
  file.close();

  const Result<Store> store = Store::open(path_);

  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, HasSubstr("the database " + path_ + " is damaged"));
}

TEST_F(StoreTest, AFolderThatDoesNotExistIsNamed) {
  const Result<Store> store = Store::open(folder_.path() + "/none/berth.db");

  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::io);
  EXPECT_THAT(store.error().message, HasSubstr("/none/berth.db: No such file or directory"));
}

TEST_F(StoreTest, AValueThatNoBerthWritesIsAnErrorThatNamesTheRow) {
  ASSERT_TRUE(open().put(std::vector<Change>{kChat}));
  execute("UPDATE server SET wanted = 'perhaps'");

  const auto rows = open().rows();

  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, ErrorCode::io);
  EXPECT_THAT(rows.error().message, HasSubstr("server \"chat\" that cannot be read: \"perhaps\""));
}

TEST_F(StoreTest, AFullDiskIsToldFromABrokenOneAndPasses) {
  const FaultyVfs disk;
  Store store = open();
  ASSERT_TRUE(store.put(std::vector<Change>{kChat}));
  FaultyVfs::is_full = true;
  const Status full = store.put(std::vector<Change>{kImage});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error(), (Error{ErrorCode::disk_full,
                                 "no room to write " + path_ + "; free some space on its disk"}));
  EXPECT_THAT(store.rows().value(), ElementsAre(kChat)) << "nothing of it was written";

  FaultyVfs::is_full = false;

  EXPECT_TRUE(store.put(std::vector<Change>{kImage}));
  EXPECT_THAT(store.rows().value(), ElementsAre(kChat, kImage));
}

TEST_F(StoreTest, AfterAFailedSyncNothingIsAcknowledgedAnyMore) {
  const FaultyVfs disk;
  Store store = open();
  ASSERT_TRUE(store.put(std::vector<Change>{kChat}));
  FaultyVfs::sync_fails = true;
  const Status first = store.put(std::vector<Change>{kImage});
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code, ErrorCode::io);
  EXPECT_THAT(first.error().message, HasSubstr(path_));

  FaultyVfs::sync_fails = false;

  EXPECT_EQ(store.put(std::vector<Change>{kImage}).error(), first.error());
  EXPECT_EQ(store.rows().error(), first.error());
  EXPECT_EQ(store.transactions(), 1u);
}

// Golden: do not change these; they are stored in the databases of users.
TEST(StoredNames, AreTheOnesThatDatabasesHold) {
  EXPECT_EQ(stored_name(Wanted::on_demand), "on_demand");
  EXPECT_EQ(stored_name(Wanted::on), "on");
  EXPECT_EQ(stored_name(Wanted::off), "off");
  EXPECT_EQ(stored_name(After::restore), "restore");
  EXPECT_EQ(stored_name(After::on_request), "on_request");
}

TEST_F(StoreTest, ImageJobsSurviveReopeningUntilTheyAreForgotten) {
  const ImageJobRow older{.id = "gen_1_b",
                          .server = "image",
                          .status = "in_progress",
                          .created_unix_ms = 1'700'000'000'001,
                          .updated_unix_ms = 1'700'000'000'002,
                          .generation = 3,
                          .at_server = "job_1 job_2",
                          .seed = 9'007'199'254'740'976,
                          .count = 2,
                          .pictures = R"([{"file":"a.png"}])",
                          .time_taken_ms = 0,
                          .error_code = "",
                          .error_message = ""};
  ImageJobRow newer = older;
  newer.id = "gen_2_a";
  newer.created_unix_ms += 1;
  newer.error_code = "upstream";
  ASSERT_TRUE(open().put(std::vector<Change>{newer, older}));
  EXPECT_THAT(open().image_jobs().value(), ElementsAre(older, newer));

  ASSERT_TRUE(open().put(std::vector<Change>{ImageJobForgotten{"gen_1_b"}}));

  EXPECT_THAT(open().image_jobs().value(), ElementsAre(newer));
}

// Golden: the text of one stored row, as other programs and later versions find it.
TEST_F(StoreTest, ARowIsStoredInTheseColumns) {
  ASSERT_TRUE(open().put(std::vector<Change>{kChat}));

  auto database = Database::open(path_).value();
  const auto row = database.value(
      "SELECT concat_columns FROM (SELECT name || '|' || wanted || '|' || generation || '|' || "
      "displaced_since_unix_ms || '|' || displaced_by || '|' || after || '|' || skip_next_restore "
      "|| '|' || launch_spec || '|' || (updated_unix_ms > 1700000000000) AS concat_columns "
      "FROM server)");

  EXPECT_EQ(row.value(),
            "chat|on|7|1700000000123|image|on_request|1|"
            R"({"argv":["llama-server","-m","a b.gguf"]}|1)");
}

}  // namespace
}  // namespace berth::store
