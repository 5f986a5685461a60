// SPDX-License-Identifier: Apache-2.0
// Lines are as the programs print them; each says where it was recorded.
#include "berth/servers/out_of_memory.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace berth::servers {
namespace {

using process::ExitStatus;

constexpr ExitStatus::Kind kExited = ExitStatus::Kind::exited;
constexpr ExitStatus::Kind kSignalled = ExitStatus::Kind::signalled;

std::string words(ExitStatus exit, std::vector<std::string> tail, std::int64_t kernel_kills = 0) {
  return out_of_memory(exit, tail, kernel_kills).value_or("");
}

// llama-server b10434, CPU, `-c 200000000 -fit off`, Nov 2026: the whole end of its log.
const std::vector<std::string> kLlamaWithoutRoom = {
    "0.00.308.662 W llama_context: n_ctx_seq (200000000) > n_ctx_train (8192) -- possible training "
    "context overflow",
    "0.43.863.649 E ggml_aligned_malloc: insufficient memory (attempted to allocate 4394531.25 MB)",
    "0.43.863.681 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size "
    "4608000000000",
    "0.43.863.682 E alloc_tensor_range: failed to allocate CPU buffer of size 4608000000000",
    "0.44.678.033 E llama_init_from_model: failed to initialize the context: failed to allocate "
    "buffer for kv cache",
    "0.44.678.050 E cmn  common_init_: failed to create context with model '/m.gguf'",
    "0.44.678.082 I srv    operator(): operator(): cleaning up before exit...",
    "0.44.682.742 E srv  llama_server: exiting due to model loading error"};

TEST(OutOfMemory, TheFirstLineThatNamesItIsTold) {
  EXPECT_EQ(words({kExited, 1, "", {}}, kLlamaWithoutRoom), kLlamaWithoutRoom[1]);
}

TEST(OutOfMemory, EveryLineThatServersPrintOfItIsKnown) {
  for (const char* line : {
           kLlamaWithoutRoom[2].c_str(),
           kLlamaWithoutRoom[3].c_str(),
           kLlamaWithoutRoom[4].c_str(),
           // llama.cpp issue 20431
           "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 144817.04 MiB on device 0: "
           "cudaMalloc failed: out of memory",
           "alloc_tensor_range: failed to allocate CUDA0 buffer of size 151851674624",
           "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
           // ollama issue 9782, of the llama.cpp inside
           "ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 838447104",
           // llama.cpp issue 4680
           "CUDA error: out of memory",
           // llama.cpp issue 12817
           "ggml_vulkan: Device memory allocation of size 3959422976 failed.",
           // stable-diffusion.cpp pull request 1621, and its model_manager.cpp and ggml_runner.cpp
           "[ERROR] ggml_extend.hpp:70   - ROCm error: out of memory",
           "[ERROR] model_manager.cpp:737  - model manager alloc params backend buffer failed, "
           "size "
           "= 5638.16MB",
           "[ERROR] ggml_runner.cpp:991 - wan alloc compute buffer failed",
           // libstdc++ 12
           "terminate called after throwing an instance of 'std::bad_alloc'",
       }) {
    EXPECT_EQ(words({kExited, 1, "", {}}, {"loading", line, "the end"}), line);
    EXPECT_EQ(words({kSignalled, SIGABRT, "", {}}, {line}), line);
    EXPECT_EQ(words({kSignalled, SIGSEGV, "", {}}, {line}), line);  // stable-diffusion.cpp 1094
  }
}

TEST(OutOfMemory, OtherFailuresAreNotTakenForIt) {
  for (const char* line : {
           // llama.cpp issue 9271 and its ggml-cuda.cu: the server goes on without
           "ggml_vulkan: Failed to allocate pinned memory.",
           "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
           "ggml_cuda_host_malloc: failed to allocate 512.00 MiB of pinned memory: out of memory",
           // llama-server b10434
           "srv  llama_server: exiting due to model loading error",
           "srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080",
           "llama_model_load: error loading model: llama_model_loader: failed to load model from x",
           "load_tensors:   CPU_Mapped model buffer size =    91.73 MiB",
       }) {
    EXPECT_EQ(words({kExited, 1, "", {}}, {line}), "");
  }
  EXPECT_EQ(words({kExited, 1, "", {}}, {}), "") << "nothing is printed";
}

TEST(OutOfMemory, AServerThatEndedWellOrWasToldToEndDidNotLackIt) {
  EXPECT_EQ(words({kExited, 0, "", {}}, kLlamaWithoutRoom, 1), "");
  EXPECT_EQ(words({kSignalled, SIGTERM, "", {}}, kLlamaWithoutRoom, 1), "");
  EXPECT_EQ(words({ExitStatus::Kind::unknown, 0, "", {}}, kLlamaWithoutRoom, 1), "");
}

TEST(OutOfMemory, AKilledServerLackedItOnlyIfTheKernelSaysSo) {
  const ExitStatus killed{kSignalled, SIGKILL, "", {}};
  EXPECT_EQ(words(killed, {"loading"}, 1),
            "the kernel killed for lack of memory (oom_kill of its cgroup rose by 1)");
  EXPECT_EQ(words(killed, kLlamaWithoutRoom, 0), "") << "whoever killed it, this was not why";
  EXPECT_EQ(words({kExited, 1, "", {}}, {"loading"}, 1), "") << "the kernel kills by SIGKILL";
}

TEST(OutOfMemory, TheKernelsCountIsFoundByTheProcesssCgroup) {
  EXPECT_EQ(memory_events_file("0::/user.slice/session-2.scope\n"),
            "/sys/fs/cgroup/user.slice/session-2.scope/memory.events");
  // Linux 6.18 with both versions mounted
  EXPECT_EQ(memory_events_file("9:name=systemd:/\n4:memory:/job\n0::/\n"),
            "/sys/fs/cgroup//memory.events");
  EXPECT_EQ(memory_events_file("4:memory:/job\n"), "");
}

TEST(OutOfMemory, TheKernelsCountIsReadFromMemoryEvents) {
  // Linux 6.1, Documentation/admin-guide/cgroup-v2.rst
  EXPECT_EQ(oom_kills_in("low 0\nhigh 0\nmax 812\noom 3\noom_kill 2\noom_group_kill 0\n"), 2);
  EXPECT_EQ(oom_kills_in("low 0\nhigh 0\n"), std::nullopt);
  EXPECT_EQ(oom_kills_in(""), std::nullopt);
}

TEST(OutOfMemory, OnlyWhatTheKernelKillsFromNowOnCounts) {
  const std::string file = testing::TempDir() + "/berth-memory-events";
  const auto write = [&](const char* text) { std::ofstream(file) << text; };
  write("oom 3\noom_kill 2\n");
  const KernelKills kills(file);
  EXPECT_EQ(kills.count(), 0);
  write("oom 4\noom_kill 3\n");
  EXPECT_EQ(kills.count(), 1);
  std::filesystem::remove(file);
  EXPECT_EQ(kills.count(), 0) << "its cgroup is gone";
}

TEST(OutOfMemory, WhereTheKernelDoesNotSayNothingIsCounted) {
  EXPECT_EQ(KernelKills("/no/such/memory.events").count(), 0);
  EXPECT_EQ(KernelKills::around("no-such-process").count(), 0);
}

}  // namespace
}  // namespace berth::servers
