// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/metrics.h"

#include <gmock/gmock.h>

#include "berth/gateway/test_world.h"

namespace berth::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;

class MetricsTest : public testing::Test {
 protected:
  http::Response read() { return world_.get(world_.main(), "/metrics"); }

  World world_;
};

TEST_F(MetricsTest, ThePageIsTextOfTheFormatThatItNames) {
  const http::Response reply = read();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(world_.host.refreshed, 1) << "memory is looked at";
}

TEST_F(MetricsTest, AServerHasItsStateAndItsAmountsInBytes) {
  world_.host.shown.servers = {{.name = "chat",
                                .state = "ready",
                                .displaced = true,
                                .used = 3_GiB,
                                .uses = {.ram = 1_GiB},
                                .footprint = 4_GiB,
                                .footprint_source = "formula",
                                .running = 2,
                                .waiting = 1}};
  const std::string page = read().body;
  EXPECT_THAT(page, HasSubstr("berth_server_state{server=\"chat\",state=\"ready\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("berth_server_state{server=\"chat\",state=\"failed\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("berth_server_displaced{server=\"chat\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("berth_server_used_bytes{server=\"chat\"} 3221225472\n"));
  EXPECT_THAT(page, HasSubstr("berth_server_ram_bytes{server=\"chat\"} 1073741824\n"));
  EXPECT_THAT(page, HasSubstr("berth_server_footprint_bytes{server=\"chat\",source=\"formula\"}"));
  EXPECT_THAT(page, HasSubstr("berth_server_jobs{server=\"chat\",state=\"running\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("berth_server_jobs{server=\"chat\",state=\"waiting\"} 1\n"));
}

TEST_F(MetricsTest, WhatIsNotKnownHasNoSample) {
  world_.host.shown.servers = {{.name = "chat"}};
  const std::string page = read().body;
  EXPECT_THAT(page, Not(HasSubstr("berth_server_vram_bytes{")));
  EXPECT_THAT(page, Not(HasSubstr("berth_server_wait_bound_seconds{")));
}

TEST_F(MetricsTest, APoolHasItsAmountsAndHowBusyItIs) {
  world_.host.shown.pools = {
      {.name = "gpu0.vram", .kind = "device", .capacity = 8_GiB, .free = 1_GiB, .utilisation = 45}};
  const std::string page = read().body;
  EXPECT_THAT(page, HasSubstr("berth_pool_capacity_bytes{pool=\"gpu0.vram\",kind=\"device\"} "
                              "8589934592\n"));
  EXPECT_THAT(page, HasSubstr("berth_pool_free_bytes{pool=\"gpu0.vram\"} 1073741824\n"));
  EXPECT_THAT(page, HasSubstr("berth_pool_utilisation_ratio{pool=\"gpu0.vram\"} 0.45\n"));
}

TEST_F(MetricsTest, WaitsAreAHistogramWhoseBucketsAddUp) {
  world_.host.shown.servers = {{.name = "chat"}};
  host::WaitCounts& waits = world_.host.counted.servers["chat"].waits;
  waits.add(50ms);
  waits.add(1500ms);
  waits.add(10min);
  const std::string page = read().body;
  EXPECT_THAT(page, HasSubstr("berth_job_wait_seconds_bucket{server=\"chat\",le=\"0.1\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("berth_job_wait_seconds_bucket{server=\"chat\",le=\"2\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("berth_job_wait_seconds_bucket{server=\"chat\",le=\"300\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("berth_job_wait_seconds_bucket{server=\"chat\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("berth_job_wait_seconds_sum{server=\"chat\"} 601.55\n"));
  EXPECT_THAT(page, HasSubstr("berth_job_wait_seconds_count{server=\"chat\"} 3\n"));
}

TEST_F(MetricsTest, LeasesAndHoldsAreCountedByTheirState) {
  world_.host.shown.leases = {{.kind = "hold", .state = "granted"},
                              {.kind = "lease", .state = "granted"},
                              {.kind = "lease", .state = "granted"}};
  const std::string page = read().body;
  EXPECT_THAT(page, HasSubstr("berth_leases{kind=\"lease\",state=\"granted\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("berth_leases{kind=\"hold\",state=\"granted\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("berth_leases{kind=\"hold\",state=\"waiting\"} 0\n"));
}

TEST_F(MetricsTest, OddNamesAreEscaped) {
  world_.host.counted.decisions["a\"b\\c\nd"] = 1;
  EXPECT_THAT(read().body, HasSubstr("berth_decisions_total{decision=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

TEST_F(MetricsTest, TheFrontPortsHaveNone) {
  EXPECT_EQ(world_.get(world_.front(kChat), "/metrics").status, 404);
}

}  // namespace
}  // namespace berth::gateway
