// SPDX-License-Identifier: Apache-2.0
#include "berth/host/meter.h"

#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>

namespace berth::host {
namespace {

using core::PoolKind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr PoolId kPool{0};
constexpr ServerId kServer{0};

core::Footprint in(PoolId pool, Bytes bytes) {
  return {{{pool, bytes}}};
}

/// One sample of a machine with one server of ours, pid 100.
struct Seen {
  Machine machine;
  MeterContext context;
  core::Footprint footprint = in(kPool, 4_GiB);

  /// Pss, and how much of it the kernel does not count as available.
  void ours(pid_t pid, Bytes pss, Bytes anonymous) {
    machine.ours.push_back({.pid = pid,
                            .start_time = 1,
                            .program = "server",
                            .pss = pss,
                            .pss_anon_shmem = anonymous});
    context.owners.push_back(Owner{kServer, Generation{1}, &footprint});
  }
};

Meter meter_of(PoolKind kind, std::string uuid = "") {
  return Meter({{.name = "pool", .kind = kind, .capacity = 32_GiB}}, {std::move(uuid)});
}

/// MemAvailable 20 of 32 GiB; ours takes 5 GiB, 2 of them mapped weights.
Seen host_seen() {
  Seen seen;
  seen.machine.host = probe::HostMemory{.total = 32_GiB, .available = 20_GiB};
  seen.ours(100, 5_GiB, 3_GiB);
  return seen;
}

/// A card of 24 GiB with 10 in use: 6 by ours, 3 by somebody else, 1 by the driver itself.
Seen card_seen() {
  Seen seen;
  seen.ours(100, 1_GiB, 1_GiB);
  seen.machine.gpus = {{.uuid = "GPU-a",
                        .total = 24_GiB,
                        .used = 10_GiB,
                        .utilisation = 40,
                        .processes = {{{100, 6_GiB}, {4711, 3_GiB}}}}};
  seen.machine.others = {{.pid = 4711, .program = "game", .bytes = 2_GiB}};
  seen.context.promised = {8_GiB};
  return seen;
}

TEST(HostPool, ForeignIsWhatIsNotAvailableAndNotOurs) {
  const Seen seen = host_seen();
  Meter meter = meter_of(PoolKind::host);
  const auto measured = meter.measure(EffectId{1}, seen.machine, seen.context);
  EXPECT_THAT(measured.pools,
              ElementsAre(core::PoolSample{kPool, 32_GiB, /*free=*/18_GiB, /*foreign=*/9_GiB}));
  EXPECT_EQ(meter.usage(kServer).ram, 5_GiB);
  EXPECT_EQ(meter.usage(kServer).vram, std::nullopt);
}

TEST(HostPool, WhatOursTakesWhileItLoadsIsNotForeign) {
  Seen seen = host_seen();
  Meter meter = meter_of(PoolKind::host);
  meter.measure(EffectId{1}, seen.machine, seen.context);
  seen.context.settled = false;
  seen.machine.host->available = 16_GiB;  // read after our server took 4 GiB, its Pss before it
  const auto measured = meter.measure(EffectId{2}, seen.machine, seen.context);
  EXPECT_EQ(measured.pools.at(0).foreign, 9_GiB);
  seen.context.settled = true;
  const auto settled = meter.measure(EffectId{3}, seen.machine, seen.context);
  EXPECT_EQ(settled.pools.at(0).foreign, 13_GiB);
}

TEST(HostPool, WhatOthersTakeDuringAMoveIsNotFree) {
  Seen seen = host_seen();
  Meter meter = meter_of(PoolKind::host);
  meter.measure(EffectId{1}, seen.machine, seen.context);
  seen.context.settled = false;
  seen.machine.host->available = 2_GiB;
  const auto measured = meter.measure(EffectId{2}, seen.machine, seen.context);
  EXPECT_EQ(measured.pools.at(0).free, 2_GiB);
}

TEST(HostPool, OthersAreNamedAsHoldersOfNoServer) {
  Seen seen = host_seen();
  seen.machine.others = {{.pid = 4711, .program = "python3", .bytes = 7_GiB}};
  Meter meter = meter_of(PoolKind::host);
  const auto measured = meter.measure(EffectId{1}, seen.machine, seen.context);
  EXPECT_EQ(
      measured.holders.back(),
      (core::Holder{
          .pid = 4711, .program = "python3", .server = std::nullopt, .bytes = in(kPool, 7_GiB)}));
  ASSERT_THAT(meter.foreign(), SizeIs(1));
  EXPECT_EQ(meter.foreign()[0].uses.ram, 7_GiB);
}

TEST(HostPool, OthersAreLookedForOnceASecondAtMost) {
  Seen seen = host_seen();
  seen.machine.at = Instant{10s};
  seen.machine.others = {{.pid = 4711, .program = "python3", .bytes = 7_GiB}};
  Meter meter = meter_of(PoolKind::host);
  EXPECT_GT(meter.question(Instant{10s}).others, 0u);
  meter.measure(EffectId{1}, seen.machine, seen.context);
  EXPECT_EQ(meter.question(Instant{10s} + 900ms).others, 0u);
  EXPECT_GT(meter.question(Instant{11s}).others, 0u);
  seen.machine.others.clear();  // of a sample that did not look for them
  EXPECT_THAT(meter.measure(EffectId{2}, seen.machine, seen.context).holders, SizeIs(2));
}

TEST(DevicePool, TheDriverSaysWhatIsFreeAndWhatIsNotOursIsForeign) {
  const Seen seen = card_seen();
  Meter meter = meter_of(PoolKind::device, "GPU-a");
  const auto measured = meter.measure(EffectId{1}, seen.machine, seen.context);
  EXPECT_THAT(measured.pools, ElementsAre(core::PoolSample{kPool, 24_GiB, 14_GiB, 4_GiB}));
  EXPECT_THAT(
      measured.holders,
      ElementsAre(core::Holder{100, "server", kServer, Generation{1}, in(kPool, 6_GiB)},
                  core::Holder{4711, "game", std::nullopt, Generation{}, in(kPool, 3_GiB)}));
  EXPECT_EQ(meter.usage(kServer).vram, 6_GiB);
  PoolStatus status;
  meter.describe(kPool, status);
  EXPECT_EQ(status.utilisation, 40);
  EXPECT_FALSE(status.foreign_inferred);
}

TEST(DevicePool, WhereTheDriverDoesNotTellWhoseItIsForeignIsWhatIsNotPromised) {
  for (const bool lists : {true, false}) {
    Seen seen = card_seen();
    if (lists) seen.machine.gpus[0].processes = {{{100, std::nullopt}}};
    if (!lists) seen.machine.gpus[0].processes.reset();
    Meter meter = meter_of(PoolKind::device, "GPU-a");
    const auto measured = meter.measure(EffectId{1}, seen.machine, seen.context);
    EXPECT_EQ(measured.pools.at(0).foreign, 2_GiB);
    EXPECT_EQ(meter.usage(kServer).vram, std::nullopt);
    PoolStatus status;
    meter.describe(kPool, status);
    EXPECT_TRUE(status.foreign_inferred);
  }
}

TEST(DevicePool, ThatTheDriverShowsNoMoreIsAnErrorAndNotAnEmptyCard) {
  Seen seen = card_seen();
  seen.machine.gpus[0].uuid = "GPU-b";
  const auto measured =
      meter_of(PoolKind::device, "GPU-a").measure(EffectId{1}, seen.machine, seen.context);
  ASSERT_TRUE(measured.error);
  EXPECT_THAT(measured.error->message, HasSubstr("GPU-a"));
}

TEST(CappedPool, OnlyOursCount) {
  Seen seen = host_seen();
  seen.machine.host.reset();
  Meter meter = meter_of(PoolKind::capped);
  EXPECT_EQ(meter.question(Instant{1h}).others, 0u);
  const auto measured = meter.measure(EffectId{1}, seen.machine, seen.context);
  EXPECT_THAT(measured.pools, ElementsAre(core::PoolSample{kPool, 32_GiB, 27_GiB, Bytes{0}}));
  EXPECT_THAT(meter.foreign(), IsEmpty());
  PoolStatus status;
  meter.describe(kPool, status);
  EXPECT_EQ(status.foreign, std::nullopt);
}

TEST(Pools, TheRamOfAServerOnACardCountsInTheMachinesMemory) {
  Seen seen = card_seen();
  seen.machine.host = probe::HostMemory{.total = 32_GiB, .available = 20_GiB};
  Meter meter({{.name = "vram", .kind = PoolKind::device}, {.name = "ram", .kind = PoolKind::host}},
              {"GPU-a", ""});
  seen.context.promised = {8_GiB, Bytes{}};
  const auto measured = meter.measure(EffectId{1}, seen.machine, seen.context);
  EXPECT_THAT(measured.holders.at(0).bytes.shares,
              ElementsAre(core::PoolShare{PoolId{0}, 6_GiB}, core::PoolShare{PoolId{1}, 1_GiB}));
}

TEST(Pools, AFootprintMayGoOnInPoolsThatNobodyMeasures) {
  Seen seen = card_seen();
  seen.footprint.shares.push_back({PoolId{1}, 5_GiB});  // the same memory by its second rule
  Meter meter = meter_of(PoolKind::device, "GPU-a");
  const auto measured = meter.measure(EffectId{1}, seen.machine, seen.context);
  EXPECT_THAT(measured.holders.at(0).bytes.shares, ElementsAre(core::PoolShare{kPool, 6_GiB}));
}

TEST(CpuShare, IsOfAllProcessorsBetweenTwoSamplesAndUnknownBefore) {
  Seen seen = host_seen();
  Meter meter = meter_of(PoolKind::capped);
  seen.machine.at = Instant{10s};
  meter.measure(EffectId{1}, seen.machine, seen.context);
  EXPECT_EQ(meter.usage(kServer).cpu_percent, std::nullopt);
  const double processors = std::max(1u, std::thread::hardware_concurrency());
  seen.machine.at = Instant{12s};  // one processor worked half of the two seconds
  seen.machine.ours[0].cpu_ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  meter.measure(EffectId{2}, seen.machine, seen.context);
  EXPECT_DOUBLE_EQ(meter.usage(kServer).cpu_percent.value_or(-1), 50 / processors);
  seen.machine.at = Instant{12s} + 10ms;  // too soon to tell anything new
  meter.measure(EffectId{3}, seen.machine, seen.context);
  EXPECT_DOUBLE_EQ(meter.usage(kServer).cpu_percent.value_or(-1), 50 / processors);
  seen.machine.at = Instant{12s} + 5min;  // an average of minutes is no share of now
  meter.measure(EffectId{4}, seen.machine, seen.context);
  EXPECT_EQ(meter.usage(kServer).cpu_percent, std::nullopt);
}

}  // namespace
}  // namespace berth::host
