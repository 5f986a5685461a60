// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <gmock/gmock.h>

#include "status_text.h"
#include "table.h"

namespace berth::cli {
namespace {

using client::DaemonStatus;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// A card with two servers and somebody else on it, as wide as its numbers can be.
DaemonStatus busy_card() {
  DaemonStatus status;
  client::ServerInfo chat;
  chat.name = "a-long-name-for-a-server";
  chat.state = "stopping";
  chat.pid = 4194304;
  chat.uses = {.ram = Bytes{1023} + 900_MiB, .vram = 20_GiB, .cpu_percent = 99.6};
  chat.footprint = 20_GiB;
  chat.running = 12;
  chat.waiting = 1000;
  chat.front_port = 65535;
  status.servers = {chat};
  client::PoolInfo card;
  card.name = "gpu0.vram";
  card.kind = "device";
  card.capacity = card.limit = 24_GiB;
  card.free = 1_GiB;
  card.foreign = 3_GiB;
  card.utilisation = 97;
  client::PoolInfo ram = card;
  ram.name = "ram";
  ram.kind = "host";
  ram.utilisation.reset();
  status.pools = {card, ram};
  status.foreign = {{4711, "blender", {.ram = 800_MiB, .vram = 3_GiB, .cpu_percent = 12.4}}};
  return status;
}

TEST(StatusText, WhatAJobWaitsForCannotSteerTheTerminal) {
  client::WaitingInfo waiting;
  waiting.server = "chat";
  waiting.waits_for = "eve\u009b2J\nall is well";
  EXPECT_THAT(waiting_text({waiting}), testing::EndsWith("eve\\u009b2J\\x0aall is well\n"));
}

TEST(StatusText, FitsEightyColumnsWhateverItShows) {
  const std::string text = text_of(busy_card());
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    EXPECT_LE(characters(text.substr(begin, end - begin)), kWidth)
        << text.substr(begin, end - begin);
    begin = end + 1;
  }
}

TEST(StatusText, ShowsWhatServersAndOthersUse) {
  EXPECT_THAT(text_of(busy_card()),
              AllOf(HasSubstr("100 %"), HasSubstr("20.0 GiB"), HasSubstr("97 %"),
                    HasSubstr("blender  4711  12 %  800 MiB  3.0 GiB")));
}

TEST(StatusText, ShowsADashForWhatIsNotKnown) {
  DaemonStatus status = busy_card();
  status.foreign[0].uses = {};
  status.servers.clear();
  EXPECT_THAT(text_of(status), HasSubstr("blender  4711    -    -     -"));
  EXPECT_THAT(text_of(status), Not(HasSubstr("0 B")));
}

TEST(StatusText, SaysWhetherADisplacedServerComesBack) {
  DaemonStatus status = busy_card();
  client::ServerInfo& chat = status.servers[0];
  chat.displaced = true;
  chat.displaced_by = "image";
  chat.displaced_for = 36s;
  EXPECT_THAT(text_of(status), HasSubstr("displaced by image for 36.0 s, comes back;"));
  chat.comes_back = false;
  EXPECT_THAT(text_of(status), HasSubstr("comes back when it is asked for"));
  chat.wanted = "off";
  EXPECT_THAT(text_of(status), HasSubstr("stays out"));
}

TEST(StatusText, SaysWhyAServerThatIsAbsentHasAProcess) {
  DaemonStatus status = busy_card();
  EXPECT_THAT(text_of(status), Not(HasSubstr("lives on")));
  status.servers[0].state = "absent";
  EXPECT_THAT(text_of(status), HasSubstr("its process lives on without its weights"));
  status.servers[0].pid.reset();
  EXPECT_THAT(text_of(status), Not(HasSubstr("lives on")));
}

TEST(StatusText, SaysWhatOthersUseOnlyAsAGuessWhereTheDriverDoesNotTell) {
  DaemonStatus status = busy_card();
  status.pools[0].foreign_inferred = true;
  EXPECT_THAT(text_of(status), HasSubstr("~3.0 GiB"));
}

TEST(StatusText, HasNoColumnForOthersWherePoolsAreBerthsAlone) {
  DaemonStatus status = busy_card();
  status.foreign.clear();
  for (client::PoolInfo& pool : status.pools)
    pool.kind = "capped";
  EXPECT_THAT(text_of(status), AllOf(Not(HasSubstr("OTHERS")), Not(HasSubstr("VRAM"))));
}

TEST(StatusText, SaysThatTheProbeIsStuck) {
  DaemonStatus status = busy_card();
  status.probe = "stuck";
  status.probe_detail = "the driver has not answered for 5 s";
  EXPECT_THAT(text_of(status), HasSubstr("probe stuck: the driver has not answered for 5 s"));
}

}  // namespace
}  // namespace berth::cli
