# SPDX-License-Identifier: Apache-2.0
"""`berth plan`: the scenarios and tables of both seeds, to the digit (issue 6)."""

import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from harness import BIN, E2eTest

WIDTH = 80
GB = 10 ** 9
TOP = ["pool", "capacity_bytes", "foreign_bytes", "limit_bytes", "need_bytes", "buffer_bytes",
       "verdict", "oversize", "components", "pools", "advice"]
SEED = ["--llm", "3.5GB:32/32", "--diffusion", "6.9GB"]
MISTRAL, WAN = "Mistral 7B:vram=5GB", "WAN I2V:vram=21GB,ram=2GB,cpu=16%"
TWO = ["--component", MISTRAL, "--component", WAN]


def run(*arguments, **more):
    return subprocess.run([BIN / "berth", "plan", *arguments], capture_output=True, text=True,
                          timeout=60, check=False, **more)


class PlanTest(unittest.TestCase):
    def report(self, *arguments, **more):
        done = run(*arguments, "--json", **more)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        report = json.loads(done.stdout)
        self.assertEqual(TOP, list(report))
        return report

    def text(self, *arguments, **more):
        done = run(*arguments, **more)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        for line in done.stdout.splitlines():
            self.assertLessEqual(len(line), WIDTH, line)
            self.assertEqual(line.rstrip(), line)
        self.assertNotIn("\x1b", done.stdout)
        return done.stdout

    def row(self, text, name):
        """The cells of the row with that name, behind the name."""
        found = re.search(rf"^{re.escape(name)}  +(.*)$", text, re.M)
        self.assertIsNotNone(found, text)
        return re.split(r"  +", found[1])

    def words(self, text):
        return " ".join(text.split())

    def numbers(self, report):
        return [report[key] for key in ("need_bytes", "limit_bytes", "verdict", "oversize")]


class Scenarios(PlanTest):
    def test_one_offloads_on_eight_gigabytes(self):
        report = self.report("--vram", "8GB", *SEED)
        self.assertEqual([12_480_000_000, 6 * GB, "offload", True], self.numbers(report))
        self.assertEqual((8 * GB, 0, -4_480_000_000), tuple(
            report[key] for key in ("capacity_bytes", "foreign_bytes", "buffer_bytes")))
        self.assertEqual([{"name": "llm", "bytes": 4_200_000_000, "source": "formula"},
                          {"name": "diffusion", "bytes": 8_280_000_000, "source": "formula"}],
                         report["components"])
        self.assertEqual(["gpu0.vram"], [pool["pool"] for pool in report["pools"]])
        text = self.text("--vram", "8GB", *SEED)
        self.assertEqual(["4.2 GB", "formula: 3.5 GB x 32/32 x 1.2"], self.row(text, "llm"))
        self.assertEqual(["8.3 GB", "formula: 6.9 GB x 1.2"], self.row(text, "diffusion"))
        self.assertEqual("12.5 GB", self.row(text, "total")[0])
        self.assertEqual("6.0 GB", self.row(text, "limit")[0])
        self.assertIn("offload, not safe together: 12.5 GB > 6.0 GB", text)
        said = self.words(text)
        self.assertIn("llm is put out for diffusion and brought back: that frees 4.2 GB", said)
        self.assertIn("with it there, 3.8 GB of 8.0 GB are left", said)
        self.assertIn("8.3 GB > 6.0 GB; it is tried on 8.0 GB", said)
        self.assertIn("a GPU of its own for diffusion: from 11.1 GB, so one of 12 GB",
                      report["advice"])
        self.assertIn("attention caches and temporary buffers, the system, and a safety margin", said)

    def test_two_is_direct_on_twenty_four(self):
        report = self.report("--vram", "24GB", *SEED)
        self.assertEqual([12_480_000_000, 18 * GB, "direct", False], self.numbers(report))
        self.assertEqual([], report["advice"])
        said = self.words(self.text("--vram", "24GB", *SEED))
        self.assertIn("direct, safe together: 12.5 GB < 18.0 GB", said)
        self.assertIn("not needed, because 24.0 GB of VRAM is ample", said)

    def test_three_offloads_on_sixteen_gigabytes_of_ram(self):
        arguments = ["--ram", "16GB", "--llm", "3.5GB", "--diffusion", "6.9GB"]
        report = self.report(*arguments)
        self.assertEqual("ram", report["pool"])
        self.assertEqual([12_480_000_000, 12 * GB, "offload", False], self.numbers(report))
        text = self.text(*arguments)
        self.assertIn("offload, not safe together: 12.5 GB > 12.0 GB", text)
        self.assertEqual(["4.2 GB", "formula: 3.5 GB x 1.2"], self.row(text, "llm"))
        self.assertIn("frees 4.2 GB", text)

    def test_equal_is_direct_and_one_byte_more_offloads(self):
        def pair(size):
            return ["--vram", "8GB", "--component", f"a:vram={size}", "--component", "b:vram=4GB"]
        self.assertEqual([6 * GB, 6 * GB, "direct", False], self.numbers(self.report(*pair("2GB"))))
        self.assertIn("direct, safe together: 6.0 GB = 6.0 GB", self.text(*pair("2GB")))
        more = self.report(*pair("2000000001"))
        self.assertEqual([6 * GB + 1, 6 * GB, "offload", False], self.numbers(more))
        self.assertIn("6000000001 > 6000000000 bytes", self.text(*pair("2000000001")))

    def test_layers_count_by_their_share(self):
        def llm(layers):
            report = self.report("--vram", "8GB", "--llm", f"3.5GB:{layers}")
            return report["components"][0]["bytes"]
        self.assertEqual(2_100_000_000, llm("16/32"))
        self.assertEqual(4_200_000_000, llm("33/32"))
        self.assertEqual(4_200_000_000, llm("-1"))
        self.assertEqual(4_200_000_000, llm("16/?"))
        self.assertEqual(0, llm("0/32"))
        self.assertIn("all are taken to be on the GPU",
                      self.words(self.text("--vram", "8GB", "--llm", "3.5GB:16")))
        self.assertIn("its other 16 layers lie in RAM, which the formula does not count",
                      self.words(self.text("--vram", "8GB", "--llm", "3.5GB:16/32")))
        self.assertIn("it counts as 32 of 32",
                      self.words(self.text("--vram", "8GB", "--llm", "3.5GB:33/32")))

    def test_an_unknown_size_is_unknown_and_never_zero(self):
        arguments = ["--vram", "24GB", "--llm", "?:32/32", "--diffusion", "6.9GB"]
        report = self.report(*arguments)
        self.assertEqual([None, 18 * GB, "unknown", False], self.numbers(report))
        self.assertEqual({"name": "llm", "bytes": None, "source": "unknown"},
                         report["components"][0])
        text = self.text(*arguments)
        self.assertEqual(["?", "size unknown"], self.row(text, "llm"))
        self.assertIn("what llm takes is not known, and unknown is not zero", self.words(text))

    def test_an_llm_that_does_not_run_is_no_reason_to_offload(self):
        arguments = ["--vram", "8GB", "--llm", "3.5GB:32/32,running=no", "--diffusion", "6.9GB"]
        report = self.report(*arguments)
        self.assertEqual([8_280_000_000, 6 * GB, "direct", True], self.numbers(report))
        text = self.text(*arguments)
        self.assertIn("not needed, because llm does not run; nothing moves", text)
        self.assertEqual(["0 GB", "not running"], self.row(text, "llm"))

    def test_how_large_a_memory_is_may_be_unknown_too(self):
        text = self.words(self.text("--vram", "8GB", "--component", "x:vram=1GB,ram=1GB"))
        self.assertIn("unknown: RAM how large RAM is is not known: say it with --ram", text)

    def test_where_it_is_not_needed_it_says_why_and_nothing_moves(self):
        cases = [
            (["--vram", "24GB", *SEED], "24.0 GB of VRAM is ample"),
            (["--ram", "32GB", "--llm", "3.5GB", "--diffusion", "6.9GB"],
             "32.0 GB of RAM is ample"),
            (["--vram", "8GB", "--diffusion", "6.9GB"], "only diffusion wants VRAM"),
            (["--vram", "8GB", "--llm", "3.5GB,machine=attic", "--diffusion", "6.9GB"],
             "llm runs on another machine")]
        for arguments, because in cases:
            with self.subTest(because):
                self.assertEqual("direct", self.report(*arguments)["verdict"])
                said = self.words(self.text(*arguments))
                self.assertIn(f"not needed, because {because}", said)
                self.assertIn("nothing moves", said)

    def test_units_are_decimal_or_binary_as_they_are_written(self):
        report = self.report("--vram", "8GiB", "--llm", "5000000000")
        self.assertEqual((8 * 2 ** 30, 6 * 2 ** 30, 6 * GB), tuple(
            report[key] for key in ("capacity_bytes", "limit_bytes", "need_bytes")))



class Tables(PlanTest):
    """seeds/resource-management-guide.md."""

    CPU_MODE = ["--vram", "40GB", "--ram", "32GB", "--component", WAN,
                "--component", "Mistral Nemo:ram=4GB,cpu=20%",
                "--component", "Dev server:ram=500MB,cpu=<5%"]

    def test_the_resource_requirements_row_by_row(self):
        text = self.text(*self.CPU_MODE)
        self.assertEqual(["16%", "2.0 GB", "21.0 GB", "declared"], self.row(text, "WAN I2V"))
        self.assertEqual(["20%", "4.0 GB", "0 GB", "declared"], self.row(text, "Mistral Nemo"))
        self.assertEqual(["<5%", "500 MB", "0 GB", "declared"], self.row(text, "Dev server"))
        self.assertEqual(["~40%", "6.5 GB", "21.0 GB"], self.row(text, "total")[:3])
        report = self.report(*self.CPU_MODE)
        self.assertEqual(("gpu0.vram", 21 * GB, "direct"),
                         (report["pool"], report["need_bytes"], report["verdict"]))
        needs = {pool["pool"]: pool["need_bytes"] for pool in report["pools"]}
        self.assertEqual({"gpu0.vram": 21 * GB, "ram": 6_500_000_000}, needs)

    def test_the_llm_on_the_cpu_is_named_as_contention(self):
        advice = self.report(*self.CPU_MODE)["advice"]
        self.assertEqual(1, len(advice), advice)
        self.assertIn("contention: Mistral Nemo works on the CPU beside WAN I2V", advice[0])
        self.assertIn("--exclusive", advice[0])
        self.assertIn("beware", self.text(*self.CPU_MODE))

    def test_five_and_twenty_one_are_safe_on_forty(self):
        arguments = ["--vram", "40GB", "--ram", "32GB", *TWO]
        report = self.report(*arguments)
        self.assertEqual([26 * GB, 30 * GB, "direct", False], self.numbers(report))
        self.assertEqual(14 * GB, report["buffer_bytes"])
        self.assertEqual([("Mistral 7B", 5 * GB), ("WAN I2V", 21 * GB)],
                         [(each["name"], each["bytes"]) for each in report["components"]])
        text = self.text(*arguments)
        self.assertEqual(["-", "0 GB", "5.0 GB", "declared"], self.row(text, "Mistral 7B"))
        self.assertEqual(["16%", "2.0 GB", "26.0 GB"], self.row(text, "total")[:3])
        self.assertEqual("40.0 GB", self.row(text, "available")[1])
        self.assertEqual("14.0 GB", self.row(text, "buffer")[1])
        self.assertIn("direct, safe together", text)

    def test_the_same_two_are_unsafe_on_twenty_four_with_advice(self):
        arguments = ["--vram", "24GB", "--ram", "32GB", *TWO]
        report = self.report(*arguments)
        self.assertEqual([26 * GB, 18 * GB, "offload", True], self.numbers(report))
        self.assertEqual(-2 * GB, report["buffer_bytes"])
        advice = "\n".join(report["advice"])
        for words in ("sequential", "a smaller model or job: WAN I2V in at most 13.0 GB",
                      "a GPU of its own for WAN I2V: from 28.0 GB",
                      "the smallest card that fits all: 34.7 GB, so one of 40 GB",
                      "a second machine for Mistral 7B"):
            self.assertIn(words, advice)
        self.assertIn("offload, not safe together: 26.0 GB > 18.0 GB", self.text(*arguments))

    def test_an_llm_beside_a_picture_may_take_fewer_layers_or_go_to_the_cpu(self):
        advice = "\n".join(self.report("--vram", "16GB", "--ram", "16GB", *SEED)["advice"])
        for words in ("fewer layers: llm with at most 28 of 32 on the GPU takes 3.7 GB",
                      "a smaller context for llm", "a smaller model: llm from a file of at most 3.1 GB",
                      "llm on the CPU", "4.2 GB of RAM instead"):
            self.assertIn(words, advice)

    def test_another_gpu_is_named(self):
        advice = self.report("--vram", "8GB", "--vram", "12GB", *SEED)["advice"]
        self.assertIn("another device: diffusion on gpu1.vram, which has room for its 8.3 GB", advice)

    def test_wan_is_known_by_its_name_with_its_load_and_its_spike(self):
        arguments = ["--vram", "36GB", "--component", MISTRAL, "--component", "WAN I2V"]
        report = self.report(*arguments)
        self.assertEqual([26 * GB, 27 * GB, "direct", False], self.numbers(report))
        said = self.words(self.text(*arguments))
        self.assertIn("18.0 GB once loaded, 21.0 GB at its peak, 23.0 GB with several queued", said)
        self.assertIn("with several jobs queued gpu0.vram takes up to 28.0 GB", said)

    def test_other_programs_lower_the_limit(self):
        report = self.report("--vram", "24GB", "--foreign", "vram=8GB", *SEED)
        self.assertEqual([12_480_000_000, 12 * GB, "offload", False], self.numbers(report))
        self.assertEqual((8 * GB, 3_520_000_000), (report["foreign_bytes"], report["buffer_bytes"]))



CONFIG = """
state = "s"
[pool."gpu0.vram"]
kind = "capped"
capacity = "8GB"
[pool.ram]
kind = "capped"
capacity = "16GB"
[server.chat]
kind = "llama-server"
model = "llm.gguf"
gpu_layers = 16
layers = 32
[server.image]
kind = "sd-server"
model = "picture.safetensors"
[server.small]
kind = "llama-server"
model = "small.gguf"
memory = {ram = "2GB"}
"""


class Configuration(PlanTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="berth-plan-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.config = self.folder / "berth.toml"
        self.config.write_text(CONFIG)
        self.model("llm.gguf", 3_500_000_000)
        self.model("picture.safetensors", 6_900_000_000)

    def model(self, name, size):
        """A file of that size that takes no place on the disk."""
        with open(self.folder / name, "wb") as file:
            file.truncate(size)

    def test_its_servers_are_planned_with_the_sources_of_their_numbers(self):
        report = self.report("--config", self.config)
        self.assertEqual("gpu0.vram", report["pool"])
        self.assertEqual([{"name": "chat", "bytes": 2_100_000_000, "source": "formula"},
                          {"name": "image", "bytes": 8_280_000_000, "source": "formula"},
                          {"name": "small", "bytes": 0, "source": "none"}], report["components"])
        self.assertEqual([10_380_000_000, 6 * GB, "offload", True], self.numbers(report))
        ram = next(pool for pool in report["pools"] if pool["pool"] == "ram")
        self.assertEqual((2 * GB, "direct"), (ram["need_bytes"], ram["verdict"]))
        self.assertEqual({"name": "small", "bytes": 2 * GB, "source": "declared"},
                         ram["components"][2])
        text = self.text("--config", self.config)
        self.assertIn(f"plan for the servers of {self.config}", self.words(text))
        self.assertEqual(["0 GB", "2.1 GB", "formula: 3.5 GB x 16/32 x 1.2"],
                         self.row(text, "chat"))

    def test_a_model_that_is_not_there_is_unknown_and_named(self):
        (self.folder / "llm.gguf").unlink()
        report = self.report("--config", self.config)
        self.assertEqual(("unknown", None), (report["verdict"], report["need_bytes"]))
        self.assertIn("its model cannot be read", self.text("--config", self.config))

    def test_its_policy_is_the_plans(self):
        self.config.write_text(CONFIG + '[policy]\nlimit = "1/2"\noversize = "refuse"\n')
        self.assertEqual(4 * GB, self.report("--config", self.config)["limit_bytes"])
        text = self.words(self.text("--config", self.config))
        self.assertIn("1/2 of what is available", text)
        self.assertIn("the policy refuses it, and nobody leaves", text)

    def test_a_prompt_cache_is_counted_with_the_formula(self):
        self.config.write_text(CONFIG.replace("layers = 32", 'layers = 32\ncache_ram = "1GiB"'))
        report = self.report("--config", self.config)
        self.assertEqual(2_100_000_000 + 2 ** 30, report["components"][0]["bytes"])
        text = self.text("--config", self.config)
        self.assertEqual(["0 GB", "3.2 GB", "formula"], self.row(text, "chat"))
        self.assertIn("its cache_ram of 1.1 GB is counted", text)

    def test_it_is_found_without_being_named_and_its_machine_takes_other_components(self):
        environment = {**os.environ, "BERTH_STATE": str(self.folder / "s")}
        here = {"cwd": self.folder, "env": environment}
        self.assertEqual(10_380_000_000, self.report(**here)["need_bytes"])
        report = self.report("--component", "b:vram=3GB", **here)
        self.assertEqual((8 * GB, 3 * GB), (report["capacity_bytes"], report["need_bytes"]))
        text = self.text("--component", "b:vram=3GB", **here)
        self.assertIn("plan for the machine of the servers of berth.toml", self.words(text))

    def test_a_berth_that_answers_nonsense_is_named_and_not_passed_over(self):
        (self.folder / "s").mkdir()
        environment = {**os.environ, "BERTH_STATE": str(self.folder / "s")}

        def answer(listener):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwhat")

        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / "s" / "control.sock"))
            listener.listen()
            listener.settimeout(60)
            thread = threading.Thread(target=answer, args=[listener])
            thread.start()
            done = run(cwd=self.folder, env=environment)
            thread.join()
        self.assertEqual((75, ""), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, "^berth: ")

    def test_without_any_it_says_what_to_do(self):
        environment = {**os.environ, "BERTH_STATE": str(self.folder / "s"),
                       "HOME": str(self.folder)}
        self.config.unlink()
        done = run(cwd=self.folder, env=environment)
        self.assertEqual((66, ""), (done.returncode, done.stdout))
        self.assertRegex(done.stderr, r"^berth: plan what\? .*`berth up`.*--vram 8GB --llm")


class Running(PlanTest, E2eTest):
    def test_a_running_berth_is_planned_with_its_pools_and_footprints(self):
        berth = self.berth(capacity=600, llm=300, image=400, wanted="on_demand").up()
        here = {"cwd": berth.state, "env": {**os.environ, "BERTH_STATE": f"{berth.state}/s"}}
        report = self.report(**here)
        status = berth.status()
        self.assertEqual("ram", report["pool"])
        self.assertEqual(status["pools"][0]["limit_bytes"], report["limit_bytes"])
        self.assertEqual([700 * 2 ** 20, 450 * 2 ** 20, "offload", False], self.numbers(report))
        self.assertEqual([(each["name"], each["footprint_bytes"], each["footprint_source"])
                          for each in status["servers"]],
                         [(each["name"], each["bytes"], each["source"])
                          for each in report["components"]])
        text = self.words(self.text(**here))
        self.assertIn(f"plan for the servers of the Berth that runs at {status['address']}", text)
        self.assertIn("3/4 of what is available", text)
        berth.cli("stop", "chat")
        stopped = self.report(**here)
        self.assertEqual((400 * 2 ** 20, "direct"), (stopped["need_bytes"], stopped["verdict"]))

    def test_with_several_pools_berth_says_in_which_a_server_lies(self):
        berth = self.berth_with(CONFIG.replace('state = "s"\n', "").replace(
            "gpu_layers = 16", 'memory = {"gpu0.vram" = "4GB", ram = "1GB"}'))
        berth.up()
        environment = {**os.environ, "BERTH_STATE": f"{berth.state}/s", "HOME": berth.state}
        report = self.report(cwd=berth.state, env=environment)
        self.assertEqual(["gpu0.vram", "ram"], sorted(pool["pool"] for pool in report["pools"]))
        self.assertEqual({"name": "chat", "bytes": 4 * GB, "source": "declared"},
                         report["components"][0])
        elsewhere = self.report(cwd="/", env=environment)
        self.assertEqual(report["components"], elsewhere["components"])
        ram = next(pool for pool in elsewhere["pools"] if pool["pool"] == "ram")
        self.assertEqual(GB, ram["components"][0]["bytes"])

    def test_what_others_take_of_the_machine_is_not_planned_with(self):
        text = '[pool.ram]\nkind = "host"\n' + CONFIG[CONFIG.index("[server.small]"):]
        berth = self.berth_with(text)
        berth.environment["XDG_RUNTIME_DIR"] = berth.state
        for berth_runs in (False, True):
            where = ["--config", berth.config_path]
            if berth_runs:
                berth.up()
                where = []
            report = self.report(*where, cwd="/", env={**os.environ, "BERTH_STATE": f"{berth.state}/s"})
            ram = report["pools"][0]
            total = int(re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
            self.assertLessEqual(report["capacity_bytes"], total)
            self.assertGreater(ram["foreign_bytes"], 0)
            self.assertEqual((report["capacity_bytes"] - ram["foreign_bytes"]) * 3 // 4,
                             report["limit_bytes"])
            self.assertEqual(("direct", 2 * GB), (report["verdict"], report["need_bytes"]))

    def test_an_explicit_configuration_goes_before_the_running_berth(self):
        berth = self.berth(capacity=600, llm=300, image=400, wanted="on_demand").up()
        text = self.words(self.text("--config", berth.config_path))
        self.assertIn(f"plan for the servers of {berth.config_path}", text)


class BadInput(PlanTest):
    def test_it_names_the_option_what_is_wrong_and_what_to_write(self):
        cases = [(["--vram", "8GB"], r"plan what\? .*--llm 3\.5GB:32/32"),
                 (["--vram", "lots", *SEED], r'--vram "lots": .* write for example 8GB'),
                 (["--vram", "8GB", "--llm", "3.5GB:x"], r'--llm "3\.5GB:x": .*write ON_GPU/ALL'),
                 (["--vram", "8GB", "--component", "X:wram=5GB"], r'--component .*where KEY is vram'),
                 (["--ram", "8GB", "--component", "X:vram=5GB"], r"--component .*no VRAM; add --vram, or write")]
        for arguments, expected in cases:
            with self.subTest(arguments):
                done = run(*arguments)
                self.assertEqual((64, ""), (done.returncode, done.stdout))
                self.assertRegex(done.stderr, rf"^berth: {expected}")
                error = json.loads(run(*arguments, "--json").stdout)["error"]
                self.assertEqual("bad_request", error["code"])


if __name__ == "__main__":
    unittest.main()
