// SPDX-License-Identifier: Apache-2.0
// Golden: what a person reads who made a mistake in the configuration.
#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <vector>

#include "berth/config/config.h"

namespace berth::config {
namespace {

const Environment kHome{.home = "/home/ann", .state = std::nullopt};

/// Returns what is said of `text`, a file named f.toml; "" if it is right.
std::string said(const std::string& text, const Environment& environment = kHome) {
  const Result<Config> config = parse(text, "f.toml", environment);
  if (config) return "";
  EXPECT_EQ(config.error().code, ErrorCode::bad_config);
  return config.error().message;
}

struct Case {
  std::string line;  ///< the one that is wrong
  std::string said;  ///< behind "f.toml:LINE:"
};

/// `before` is right, and each line behind it is wrong in its own way.
void expect_said(const std::string& before, const std::vector<Case>& cases,
                 const std::string& behind = "") {
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  for (const Case& example : cases) {
    SCOPED_TRACE(example.line);
    EXPECT_EQ(said(before + example.line + "\n" + behind),
              "f.toml:" + std::to_string(line) + ":" + example.said);
  }
}

const std::string kPool = "[pool.ram]\nkind = \"capped\"\ncapacity = \"1GiB\"\n";
const std::string kChat = "[server.chat]\nkind = \"llama-server\"\nmodel = \"chat.gguf\"\n";
const std::string kImage = "[server.image]\nkind = \"sd-server\"\nmodel = \"sd.safetensors\"\n";

TEST(ConfigErrors, SayHowFoldersAndNamesOfModelsAreWritten) {
  expect_said(
      "[models]\n",
      {{"directories = \"models\"",
        "15: directories is \"models\"; write a list of paths, for example [\"~/models\"]"},
       {"directories = [1]", "16: directories is 1; write a path, relative to this file"},
       {"entries = \"x.gguf\"",
        "11: entries is \"x.gguf\"; write names with paths, for example {story = \"story.gguf\"}"},
       {"entries = {Big = \"x.gguf\"}",
        "12: \"Big\" cannot be the name of a model; write 1 to 32 of a-z, 0-9, \"_\", \"-\" and "
        "\".\""},
       {"folders = []",
        "1: [models] has no key \"folders\"; write \"directories\" or \"entries\""}},
      kPool + kChat);
}

TEST(ConfigErrors, NameUnknownKeysAndTheNearestKnownOne) {
  expect_said("",
              {{"lisen = \"127.0.0.1:1\"", R"(1: the file has no key "lisen"; write "listen")"}},
              kPool + kChat);
  expect_said(kPool + kChat,
              {{"contxt = 4096", R"(1: [server.chat] has no key "contxt"; write "context")"},
               {"  model_file = 1", R"(3: [server.chat] has no key "model_file"; write "model")"}});
  expect_said(kPool + kImage,
              {{"context = 1",
                "1: [server.image] has no key \"context\"; write \"kind\", \"port\", \"memory\", "
                "\"class\", "
                "\"wanted\", \"drain_limit\", \"job_limit\", \"start_deadline\", "
                "\"stop_deadline\", \"while_displaced\", \"fallback\", \"max_hold\", "
                "\"binary\", "
                "\"model\", \"threads\", \"cancel\", \"weights\" or \"extra_args\""}});
  expect_said(kPool + kChat + "[policy]\n",
              {{"aging = \"1s\"", R"(1: [policy] has no key "aging"; write "ageing")"}});
  expect_said(
      kChat + kPool,
      {{"size = 1",
        R"(1: [pool.ram] has no key "size"; write "kind", "capacity", "device" or "reserve")"}});
}

TEST(ConfigErrors, DoNotAskForAKeyThatIsOnlyMisspelt) {
  EXPECT_EQ(said("[servers.chat]\nkind = \"llama-server\"\n" + kPool),
            R"(f.toml:1:2: the file has no key "servers"; write "server")");
}

TEST(ConfigErrors, AskForWhatIsMissing) {
  EXPECT_EQ(said(""),
            "f.toml:1:1: the file lacks the key \"pool\"; write for example a section [pool.ram]\n"
            "f.toml:1:1: the file lacks the key \"server\"; write for example a section "
            "[server.chat]");
  EXPECT_EQ(said("[pool]\n[server]\n"),
            "f.toml:1:1: pool is a table; write a section for every pool, for example [pool.ram]\n"
            "f.toml:2:1: server is a table; write a section for every server, for example "
            "[server.chat]");
  EXPECT_EQ(said("[pool.ram]\n[server.chat]\nkind = \"llama-server\"\n[server.image]\n"),
            "f.toml:1:7: [pool.ram] lacks the key \"kind\"; write for example kind = \"host\"\n"
            "f.toml:1:7: [pool.ram] lacks the key \"capacity\"; write for example capacity = "
            "\"16GiB\"\n"
            "f.toml:2:9: [server.chat] lacks the key \"model\"; write for example model = "
            "\"SmolLM2.gguf\"\n"
            "f.toml:4:9: [server.image] lacks the key \"kind\"; write \"llama-server\" or "
            "\"sd-server\"");
  EXPECT_EQ(said(kPool + kChat, Environment{}),
            "f.toml:1:1: the variable HOME is not set, so there is no place for the state; write "
            "for example state = \"/var/lib/berth\"");
  EXPECT_EQ(said("state = \"~/berth\"\n" + kPool + kChat, Environment{}),
            "f.toml:1:9: state is \"~/berth\", but the variable HOME is not set; write the path in "
            "full");
}

TEST(ConfigErrors, SayThatAStateDirectoryIsTooLongForItsSockets) {
  const std::string image =
      "[server.an_image_server_with_a_long_name]\nkind = \"sd-server\"\n"
      "model = \"sd15.safetensors\"\n";
  const auto in_state = [](std::size_t bytes) { return "/" + std::string(bytes - 1, 's'); };
  const auto of_file = [&](std::size_t bytes, const std::string& servers) {
    return said("state = \"" + in_state(bytes) + "\"\n" + kPool + servers);
  };
  EXPECT_EQ(of_file(94, image), "") << "an sd-server has no socket there";
  EXPECT_EQ(of_file(95, image),
            "f.toml:1:9: the state directory " + in_state(95) +
                " is too long: control.sock in it would be the path of a socket, which may have "
                "107 bytes; write for example state = \"/var/lib/berth\"");
  const std::string long_name =
      "[server.a_server_with_a_longer_name]\nkind = \"llama-server\"\n"
      "model = \"chat.gguf\"\n";
  EXPECT_EQ(of_file(70, long_name), "");
  EXPECT_THAT(of_file(71, long_name), testing::HasSubstr("run/a_server_with_a_longer_name.sock"));
  EXPECT_THAT(said(kPool + kChat, {.home = "/h", .state = in_state(95)}),
              testing::AllOf(testing::StartsWith("f.toml:1:1: "),
                             testing::HasSubstr("set the variable BERTH_STATE to a shorter one")));
}

TEST(ConfigErrors, SayWhatAnAddressIs) {
  const std::string wanted = "; write an IP address and a port, for example \"127.0.0.1:8700\"";
  expect_said("",
              {{"listen = 8700", "10: listen is 8700" + wanted},
               {"listen = \"8700\"", "10: listen is \"8700\"" + wanted},
               {"listen = \":8700\"", "10: listen is \":8700\"" + wanted},
               {"listen = \"::1:8700\"", "10: listen is \"::1:8700\"" + wanted},
               {"listen = \"example.org:80\"", "10: listen is \"example.org:80\"" + wanted},
               {"listen = \"127.0.0.1:65536\"", "10: listen is \"127.0.0.1:65536\"" + wanted},
               {"listen = \"127.0.0.1:\"", "10: listen is \"127.0.0.1:\"" + wanted},
               {"listen = \"127.0.0.1:-1\"", "10: listen is \"127.0.0.1:-1\"" + wanted}},
              kPool + kChat);
}

TEST(ConfigErrors, SayWhatAPoolIs) {
  expect_said(kChat + "[pool.ram]\ncapacity = \"1GiB\"\n",
              {{"kind = \"disk\"", R"(8: kind is "disk"; write "device", "host" or "capped")"},
               {"kind = 1", R"(8: kind is 1; write "device", "host" or "capped")"},
               {"kind = [1]", R"(8: kind is a list; write "device", "host" or "capped")"}});
  expect_said(
      kChat + "[pool.ram]\nkind = \"host\"\n",
      {{"capacity = \"1GiB\"",
        "1: capacity: how much there is of it is read from the machine; leave the key out, "
        "or set reserve to keep a part free"},
       {"device = 0", "1: device: only a pool of kind \"device\" is a GPU; leave the key out"},
       {"[pool.memory]\nkind = \"host\"",
        "7: ram and memory are both of kind \"host\", and the machine has its memory once; "
        "leave one of them out"}});
  const std::string gpu =
      "; write a number from 0 to 63, or the GPU's UUID as `nvidia-smi -L` shows it";
  expect_said(kChat + "[pool.vram]\nkind = \"device\"\n",
              {{"device = 64", "10: device is 64" + gpu},
               {"device = -1", "10: device is -1" + gpu},
               {"device = \"cuda:0\"", "10: device is \"cuda:0\"" + gpu}});
  expect_said(
      kChat + "[pool.ram]\nkind = \"capped\"\n",
      {{"capacity = \"1 gig\"",
        "12: capacity: \"1 gig\" is not an amount of memory; write for example 8GB (10^9), 8GiB "
        "(2^30), 512MiB or a number of bytes"},
       {"capacity = \"0\"",
        "12: capacity is \"0\"; write an amount of memory above 0, for example \"512MiB\""},
       {"capacity = -1",
        "12: capacity is -1; write an amount of memory above 0, for example \"512MiB\""},
       {"capacity = 1.5",
        "12: capacity is 1.5; write an amount of memory above 0, for example \"512MiB\""},
       {"capacity = \"99999999TB\"",
        "12: capacity: \"99999999TB\" is not an amount of memory; write for example 8GB (10^9), "
        "8GiB (2^30), 512MiB or a number of bytes"}});
  expect_said(
      kChat + kPool,
      {{"reserve = \"1GiB\"", "11: reserve is \"1GiB\"; write less than the capacity"},
       {"reserve = -1", "11: reserve is -1; write an amount of memory, for example \"512MiB\""}});
  expect_said(kChat + kPool,
              {{"[pool.\"my ram\"]\nkind = \"capped\"\ncapacity = 1",
                "7: \"my ram\" cannot be the name of a pool; write 1 to 32 of a-z, 0-9, \"_\", "
                "\"-\" and \".\""}});
  EXPECT_EQ(said("pool.ram = \"1GiB\"\n" + kChat),
            "f.toml:1:12: ram is \"1GiB\"; write a section, [pool.ram]");
  EXPECT_EQ(said("pool = 1\n" + kChat),
            "f.toml:1:8: pool is 1; write a section for every pool, for example [pool.ram]");
}

TEST(ConfigErrors, SayWhatAServerIs) {
  expect_said(kPool,
              {{"[server.Chat]",
                "9: \"Chat\" cannot be the name of a server; write 1 to 32 of a-z, 0-9, "
                "\"_\" and \"-\""},
               {"[server.a123456789012345678901234567890123]",
                "9: \"a123456789012345678901234567890123\" cannot be the name of a server; "
                "write 1 to 32 of a-z, 0-9, \"_\" and \"-\""}},
              "kind = \"sd-server\"\nmodel = \"m\"\n");
  expect_said(kPool + "[server.chat]\nmodel = \"m\"\n",
              {{"kind = \"lama-server\"",
                R"(8: kind is "lama-server"; write "llama-server" or "sd-server")"},
               {"kind = 1", R"(8: kind is 1; write "llama-server" or "sd-server")"}});
  EXPECT_EQ(said(kPool + "[server]\nchat = \"llama\"\n"),
            "f.toml:5:8: chat is \"llama\"; write a section, [server.chat]");
  EXPECT_EQ(said(kPool + "[[server]]\nname = \"chat\"\n"),
            "f.toml:4:1: server is a list; write a section for every server, for example "
            "[server.chat]");
}

TEST(ConfigErrors, SayWhatTheCommonKeysTake) {
  const std::string length = "not a length of time; write for example 250ms, 3s, 10min or 2h";
  expect_said(
      kPool + kChat,
      {{"port = 65536", "8: port is 65536; write a whole number from 0 to 65535"},
       {"port = \"8080\"", "8: port is \"8080\"; write a whole number from 0 to 65535"},
       {"port = 8080.0", "8: port is 8080; write a whole number from 0 to 65535"},
       {"class = \"text\"", R"(9: class is "text"; write "video", "image", "chat" or "batch")"},
       {"wanted = \"off\"",
        R"(10: wanted is "off"; write "on_demand" or "on"; to keep a server off use "berth stop")"},
       {"wanted = true",
        R"(10: wanted is true; write "on_demand" or "on"; to keep a server off use "berth stop")"},
       {"drain_limit = \"never\"", "15: drain_limit: \"never\" is " + length},
       {"drain_limit = 60",
        "15: drain_limit is 60; write a length of time with its unit, for example \"30s\""},
       {"start_deadline = \"0s\"",
        "18: start_deadline is \"0s\"; write a length of time above 0, for example \"30s\" or "
        "\"10min\""},
       {"stop_deadline = 2026-01-01",
        "17: stop_deadline is a date; write a length of time above 0, for example \"30s\" or "
        "\"10min\""},
       {"memory = \"much\"",
        "10: memory: \"much\" is not an amount of memory; write for example 8GB (10^9), 8GiB "
        "(2^30), 512MiB or a number of bytes"},
       {"memory = 0", "10: memory is 0; write an amount of memory above 0, for example \"512MiB\""},
       {"memory = {}",
        "10: memory is a table; write an amount of memory, for example \"512MiB\", or leave the "
        "key out"},
       {"memory = {vram = \"1GB\"}", "11: there is no pool \"vram\"; write \"ram\""},
       {"memory = {ram = true}",
        "17: ram is true; write an amount of memory above 0, for example \"512MiB\""}});
}

TEST(ConfigErrors, SayWhatARequestMayGetWhileItsServerIsDisplaced) {
  const std::string small = "[server.small]\nkind = \"llama-server\"\nmodel = \"s.gguf\"\n";
  expect_said(kPool + small + kChat,
              {{"while_displaced = \"wait\"",
                R"(19: while_displaced is "wait"; write "hold", "refuse" or "fallback")"},
               {"while_displaced = \"fallback\"",
                "19: while_displaced is \"fallback\" and the key fallback names no server; write "
                "\"small\""},
               {"fallback = \"small\"",
                "1: fallback has no effect; write while_displaced = \"fallback\" too, or leave it "
                "out"},
               {"max_hold = 60",
                "12: max_hold is 60; write a length of time with its unit, for example \"30s\""}});
}

TEST(ConfigErrors, SayWhichServerAFallbackMayBe) {
  const std::string small = "[server.small]\nkind = \"llama-server\"\nmodel = \"s.gguf\"\n";
  const std::string batch =
      "[server.night]\nkind = \"llama-server\"\nmodel = \"s.gguf\"\nclass = \"batch\"\n";
  const std::string other = ", a server of another kind or class; write \"small\"";
  expect_said(
      kPool + small + batch + kImage + kChat + "while_displaced = \"fallback\"\n",
      {{"fallback = \"tiny\"",
        "12: fallback is \"tiny\", and there is no such server; write \"small\""},
       {"fallback = \"chat\"", "12: fallback is \"chat\", the server itself; write \"small\""},
       {"fallback = \"image\"", "12: fallback is \"image\"" + other},
       {"fallback = \"night\"", "12: fallback is \"night\"" + other},
       {"fallback = 1",
        "12: fallback is 1; write the name of another server of the same kind and class"}});
  expect_said(kPool + kImage + "while_displaced = \"fallback\"\n",
              {{"fallback = \"tiny\"",
                "12: fallback is \"tiny\", and there is no such server; add one of the same kind "
                "and class, or leave the key out"}});
}

TEST(ConfigErrors, RefuseFallbacksThatLeadInARing) {
  const auto server = [](const std::string& name, const std::string& fallback) {
    return "[server." + name + "]\nkind = \"llama-server\"\nmodel = \"m.gguf\"\n" +
           "while_displaced = \"fallback\"\nfallback = \"" + fallback + "\"\n";
  };
  EXPECT_EQ(said(kPool + server("a", "b") + server("b", "c") + server("c", "a")),
            "f.toml:18:12: fallback leads in a ring: \"c\" -> \"a\" -> \"b\" -> \"c\"; leave "
            "the key out for one of them");
  EXPECT_EQ(said(kPool + server("a", "c") + server("b", "c") + kChat),
            "f.toml:8:12: fallback is "
            "\"c\", and there is no such server; write \"b\" or \"chat\"\n"
            "f.toml:13:12: fallback is \"c\", and there is no such server; write \"a\" or "
            "\"chat\"");
  EXPECT_EQ(said(kPool + server("a", "chat") + server("b", "a") + kChat), "") << "a chain is none";
}

TEST(ConfigErrors, SayWhatTheKeysOfALlamaServerTake) {
  const std::string types =
      "\"f32\", \"f16\", \"bf16\", \"q8_0\", \"q4_0\", \"q4_1\", \"iq4_nl\", "
      "\"q5_0\" or \"q5_1\"";
  expect_said(
      kPool + kChat,
      {{"context = 0", "11: context is 0; write a whole number from 16 to 268435456"},
       {"context = 5000000000",
        "11: context is 5000000000; write a whole number from 16 to 268435456"},
       {"parallel = 0", "12: parallel is 0; write a whole number from 1 to 256"},
       {"parallel = []", "12: parallel is a list; write a whole number from 1 to 256"},
       {"gpu_layers = \"auto\"",
        "14: gpu_layers is \"auto\"; write a whole number from 0 to 10000, or \"all\""},
       {"gpu_layers = -2",
        "14: gpu_layers is -2; write a whole number from 0 to 10000, or \"all\""},
       {"layers = 0", "10: layers is 0; write a whole number from 1 to 10000"},
       {"threads = 0", "11: threads is 0; write a whole number from 1 to 1024"},
       {"batch_size = 0", "14: batch_size is 0; write a whole number from 1 to 1048576"},
       {"flash_attention = true", "19: flash_attention is true; write \"auto\", \"on\" or \"off\""},
       {"cache_type_k = \"f8\"", "16: cache_type_k is \"f8\"; write " + types},
       {"cache_ram = \"1MB\"",
        "13: cache_ram is \"1MB\"; write a whole number of MiB, for example \"512MiB\""},
       {"keep_kv = \"yes\"", "11: keep_kv is \"yes\"; write true or false, without quotes"},
       {"binary = \"\"", "10: binary is \"\"; write a path, relative to this file"},
       {"binary = 1", "10: binary is 1; write a path, relative to this file"}});
  expect_said(
      kPool + kChat + "flash_attention = \"off\"\n",
      {{"cache_type_v = \"q8_0\"",
        "16: cache_type_v is \"q8_0\", which needs flash attention; write flash_attention = "
        "\"on\", or cache_type_v = \"f16\""}});
  EXPECT_EQ(said(kPool + "[server.chat]\nkind = \"llama-server\"\nmodel = 7\n"),
            "f.toml:6:9: model is 7; write a path, relative to this file");
}

TEST(ConfigErrors, RefuseArgumentsThatBerthSetsItself) {
  const std::string has = "extra_args may not hold ";
  expect_said(
      kPool + kChat,
      {{R"(extra_args = ["--port", "80"])",
        "15: " + has +
            "\"--port\"; Berth chooses where the server listens; the port for clients is "
            "the key port"},
       {R"(extra_args = ["-v", "--ctx-size=9"])",
        "21: " + has + "\"--ctx-size\"; use the key context"},
       {R"(extra_args = ["--api-key", "s3cret"])",
        "15: " + has +
            "\"--api-key\"; everybody on this machine can read arguments, and only Berth "
            "reaches the server; leave it out"},
       {R"(extra_args = ["--rpc=192.0.2.1:50052"])",
        "15: " + has +
            "\"--rpc\"; it puts a part of the model on another machine, whose memory Berth does "
            "not count; leave it out"},
       {R"(extra_args = ["-v\n"])",
        "15: extra_args holds an argument with a control character, for example a line break; "
        "leave it out, or name a file where the program takes one"},
       {R"(extra_args = ["-v\u0000"])",
        "15: extra_args holds an argument with a control character, for example a line break; "
        "leave it out, or name a file where the program takes one"},
       {R"(extra_args = "--verbose")",
        "14: extra_args is \"--verbose\"; write a list of strings, for example [\"--verbose\"]"},
       {R"(extra_args = ["--temp", 0])",
        "25: extra_args holds 0; write every argument as a string"}});
  expect_said(kPool + kImage,
              {{R"(extra_args = ["--listen-port", "80"])",
                "15: " + has +
                    "\"--listen-port\"; Berth chooses where the server listens; the port "
                    "for clients is the key port"}});
}

TEST(ConfigErrors, RefuseToSayTwiceWhereTheWeightsAre) {
  const std::string on_demand = kPool + kImage + "weights = \"on_demand\"\n";
  for (const std::string argument : {"--params-backend", "--eager-load"}) {
    EXPECT_EQ(said(on_demand + "extra_args = [\"" + argument + "\"]\n"),
              "f.toml:7:11: weights is \"on_demand\", and extra_args holds \"" + argument +
                  "\", which says where they are, too; leave one of them out");
    EXPECT_EQ(said(kPool + kImage + "extra_args = [\"" + argument + "\"]\n"), "");
  }
  expect_said(kPool + kImage, {{"weights = \"disk\"",
                                "11: weights is \"disk\"; write \"resident\" or \"on_demand\""}});
}

TEST(ConfigErrors, RefuseEveryArgumentOfTheList) {
  for (const char* argument :
       {"-m", "--model", "--host", "--port", "-c", "--ctx-size", "-np", "--parallel", "--alias",
        "-a", "--slot-save-path", "--cache-ram", "--no-cache-idle-slots", "-t", "--threads", "-ngl",
        "--sleep-idle-seconds", "--api-key"}) {
    EXPECT_NE(said(kPool + kChat + "extra_args = [\"" + argument + "\"]\n"), "") << argument;
  }
  for (const char* argument :
       {"-m", "--model", "-t", "--threads", "--listen-ip", "--listen-port"}) {
    EXPECT_NE(said(kPool + kImage + "extra_args = [\"" + argument + "\"]\n"), "") << argument;
  }
}

TEST(ConfigErrors, SayWhatAPolicyIs) {
  const std::string limit = "; write a fraction above 0 and up to 1, for example \"3/4\" or 0.75";
  expect_said(kPool + kChat + "[policy]\n",
              {{"limit = \"3/0\"", "9: limit is \"3/0\"" + limit},
               {"limit = \"5/4\"", "9: limit is \"5/4\"" + limit},
               {"limit = 0", "9: limit is 0" + limit},
               {"limit = -0.5", "9: limit is -0.5" + limit},
               {"limit = 1.01", "9: limit is 1.01" + limit},
               {"limit = nan", "9: limit is nan" + limit},
               {"limit = 1e-12", "9: limit is 1e-12" + limit},
               {"limit = 0.1234567891", "9: limit is 0.1234567891" + limit},
               {"limit = \"/4\"", "9: limit is \"/4\"" + limit},
               {"limit = \".5\"", "9: limit is \".5\"" + limit},
               {"limit = \"1.\"", "9: limit is \"1.\"" + limit},
               {"limit = \"\"", "9: limit is \"\"" + limit},
               {"limit = \"most\"", "9: limit is \"most\"" + limit},
               {"limit = true", "9: limit is true" + limit},
               {"patience = 0", "12: patience is 0; write a whole number from 1 to 1000"},
               {"queue_max = 0", "13: queue_max is 0; write a whole number from 1 to 1000000"},
               {"ageing = \"0s\"",
                "10: ageing is \"0s\"; write a length of time above 0, for example \"30s\" or "
                "\"10min\""},
               {"oversize = \"yes\"", R"(12: oversize is "yes"; write "try" or "refuse")"}});
  EXPECT_EQ(said("policy = \"seed\"\n" + kPool + kChat),
            "f.toml:1:10: policy is \"seed\"; write a section, [policy]");
}

TEST(ConfigErrors, NameTheOwnerOfAPortThatIsTaken) {
  expect_said(
      kPool + kChat + "port = 8080\n" + kImage,
      {{"port = 8080",
        "8: port 8080 is the port of server \"chat\"; write another one, or 0 for any free "
        "port"},
       {"port = 8700",
        "8: port 8700 is the port of Berth itself (key listen); write another one, or 0 for "
        "any free port"}});
  EXPECT_EQ(
      said("listen = \"127.0.0.1:0\"\n" + kPool + kChat + "port = 0\n" + kImage + "port = 0\n"), "")
      << "any free port is another one each time";
}

TEST(ConfigErrors, PointAtWhatIsNoToml) {
  EXPECT_EQ(said(kPool + "[server.chat\n"),
            "f.toml:4:13: Error while parsing table header: expected ']', saw '\\n'; write key = "
            "value with text in quotes, or a section in brackets");
  EXPECT_EQ(said("listen = 127.0.0.1:8700\n"),
            "f.toml:1:12: Error while parsing time: expected ':', saw '7'; write key = value with "
            "text in quotes, or a section in brackets");
  EXPECT_EQ(said(kPool + kPool),
            "f.toml:4:1: Error while parsing table header: cannot redefine existing table "
            "'pool.ram'; write key = value with text in quotes, or a section in brackets");
  EXPECT_EQ(said("a = \"\xff\"\n"),
            "f.toml:1:5: Encountered invalid utf-8 sequence; write key = value with text in "
            "quotes, or a section in brackets");
}

TEST(ConfigErrors, RefuseAFileThatCannotBeAConfiguration) {
  EXPECT_EQ(
      said(std::string((1 << 20) + 1, ' ')),
      "f.toml:1:1: the file is larger than 1 MiB; name a configuration, or write a shorter one");
}

TEST(ConfigErrors, ColumnsCountCharacters) {
  EXPECT_EQ(said(kPool + kChat + "memory = {\"\u00e4\u00e4\" = 1, ram = true}\n"),
            "f.toml:7:11: there is no pool \"\u00e4\u00e4\"; write \"ram\"\n"
            "f.toml:7:27: ram is true; write an amount of memory above 0, for example \"512MiB\"");
}

TEST(ConfigErrors, AreAllReportedAtOnceInTheOrderOfTheFile) {
  EXPECT_EQ(
      said(R"(listen = "8700"
[server.chat]
kind = "llama-server"
port = 99999
context = "big"
[server.image]
kind = "sd"
[policy]
limit = 2
[pool.ram]
kind = "disk"
capacity = "lots"
)"),
      R"(f.toml:1:10: listen is "8700"; write an IP address and a port, for example "127.0.0.1:8700"
f.toml:2:9: [server.chat] lacks the key "model"; write for example model = "SmolLM2.gguf"
f.toml:4:8: port is 99999; write a whole number from 0 to 65535
f.toml:5:11: context is "big"; write a whole number from 16 to 268435456
f.toml:7:8: kind is "sd"; write "llama-server" or "sd-server"
f.toml:9:9: limit is 2; write a fraction above 0 and up to 1, for example "3/4" or 0.75
f.toml:11:8: kind is "disk"; write "device", "host" or "capped"
f.toml:12:12: capacity: "lots" is not an amount of memory; )"
      "write for example 8GB (10^9), 8GiB (2^30), 512MiB or a number of bytes");
}

}  // namespace
}  // namespace berth::config
