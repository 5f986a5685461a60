# SPDX-License-Identifier: Apache-2.0
"""Pools that the machine has: its own memory, and GPUs that a library of ours plays (issue 6)."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fast_world import LLAMA_STANDIN, real_model
from harness import BIN, MIB, E2eTest, Later, wait_for
from test_leases import Screen

GIB = 1 << 30
PROBE_DEADLINE = 5  # s, of the host
ASKED = 5  # times, while the probe hangs
HOLD_MEMORY = "import sys; held = b'1' * int(sys.argv[1]); print('held', flush=True); input()"


def pools_config(pool, memory, llm_extra="", image_memory=None, step_ms=2):
    """An LLM in `pool`, and perhaps a picture server."""
    arguments = ["--standin-memory", "24MiB"]
    text = f'''
{pool}

[server.chat]
kind = "llama-server"
binary = "{LLAMA_STANDIN}"
model = "{real_model()}"
memory = {memory}
extra_args = {json.dumps(arguments)}
{llm_extra}

[policy]
limit = 1.0
swap_guess = "300ms"
'''
    if image_memory:
        text += f'''
[server.image]
kind = "sd-server"
binary = "{BIN / "sd-server-standin"}"
model = "{real_model()}"
memory = {image_memory}
extra_args = {json.dumps([*arguments, "--standin-step-ms", str(step_ms)])}
'''
    return text


class Gpu:
    """What the library plays: one GPU of 8 GiB."""

    def __init__(self, folder):
        self.uuid = f"GPU-{os.getpid()}-{folder.name}"
        self.scene, self.fifo = folder / "scene", folder / "fifo"
        os.mkfifo(self.fifo)
        self.play()
        self.environment = {"BERTH_NVML_LIBRARY": str(BIN / "nvml-standin.so"),
                            "BERTH_STANDIN_NVML": str(self.scene)}

    def play(self, holders=(), more="", utilisation=37):
        """`holders`: pid -> bytes."""
        holders = dict(holders)
        lines = [f"gpu {self.uuid} {8 * GIB} {sum(holders.values())} {utilisation}"]
        lines += [f"process {self.uuid} {pid} {size}" for pid, size in holders.items()]
        new = self.scene.with_suffix(".new")
        new.write_text("\n".join([*lines, more, ""]))
        new.rename(self.scene)

    def hang(self):
        self.play(more=f"hang {self.fifo}")

    def go_on(self):
        self.play()
        try:
            os.close(os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            pass  # nobody hangs there


class Pools(E2eTest):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="berth-pools-"))
        self.addCleanup(lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def berth_on(self, text, environment=None):
        berth = self.berth_with(text, {"XDG_RUNTIME_DIR": str(self.folder), **(environment or {})})
        return berth

    def on_gpu(self, memory=4 * GIB, **options):
        gpu = Gpu(self.folder)
        self.addCleanup(gpu.go_on)
        text = pools_config('[pool."gpu0.vram"]\nkind = "device"', memory, **options)
        berth = self.berth_on(text, gpu.environment)
        return gpu, berth

    def other_program(self, *command):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()

    def waits_for(self, berth, words):
        return wait_for(f"a job waits for {words}", lambda: [
            w for w in berth.status()["waiting"] if words in w["waits_for"]])[0]

    def pool(self, berth):
        return berth.status()["pools"][0]

    # ---- the machine's memory ----

    def test_a_program_that_holds_the_machines_memory_is_named_and_the_job_goes_on_when_it_leaves(self):
        first = self.berth_on(pools_config('[pool.ram]\nkind = "host"', 64 * MIB)).up()
        ram = self.pool(first)
        first.down()
        room = ram["capacity_bytes"] - ram["foreign_bytes"]
        self.assertGreater(ram["foreign_bytes"], 0)
        self.assertEqual(room, ram["limit_bytes"])
        size = min(4 * GIB, room // 3)  # more than what others take or leave meanwhile
        berth = self.berth_on(pools_config('[pool.ram]\nkind = "host"', room - size // 2)).up()
        holder = self.other_program(sys.executable, "-c", HOLD_MEMORY, str(size))
        self.assertEqual(b"held\n", holder.stdout.readline())
        chat = Later(lambda: berth.chat("Hi"))
        shown = self.waits_for(berth, f"pid {holder.pid}")
        self.assertIn('of pool "ram" are used by others', shown["waits_for"])
        self.assertIsNone(shown["eta_ms"])
        self.assertEqual([], berth.starts("chat"))
        seen = next(f for f in berth.status()["foreign"] if f["pid"] == holder.pid)
        self.assertAlmostEqual(size, seen["ram_bytes"], delta=100 * MIB)
        self.end(holder)
        self.assertEqual(200, chat.get().status)
        left = self.pool(berth)
        self.assertLess(left["foreign_bytes"], ram["foreign_bytes"] + size // 2)

    # ---- a device ----

    def test_a_program_that_holds_a_gpu_is_named_and_the_job_goes_on_when_it_leaves(self):
        gpu, berth = self.on_gpu()
        sleeper = self.other_program("sleep", "1000")
        gpu.play({sleeper.pid: 6 * GIB})
        berth.up()
        chat = Later(lambda: berth.chat("Hi"))
        shown = self.waits_for(berth, f"sleep, pid {sleeper.pid}, 6.0 GiB")
        self.assertIn('6.0 GiB of pool "gpu0.vram"', shown["waits_for"])
        self.assertEqual([], berth.starts("chat"))
        pool = self.pool(berth)
        self.assertEqual((gpu.uuid, 8 * GIB, 6 * GIB, 2 * GIB, 37, False), (
            pool["device"], pool["capacity_bytes"], pool["foreign_bytes"], pool["free_bytes"],
            pool["utilisation_percent"], pool["foreign_inferred"]))
        table = berth.cli("status").stdout
        self.assertRegex(table, rf"sleep +{sleeper.pid} .* 6\.0 GiB")
        self.assertLessEqual(max(map(len, table.splitlines())), 80, table)
        gpu.play()
        self.assertEqual(200, chat.get().status)

    def test_a_request_that_others_keep_from_its_memory_is_refused_with_their_names(self):
        gpu, berth = self.on_gpu(llm_extra='max_hold = "3s"')
        sleeper = self.other_program("sleep", "1000")
        gpu.play({sleeper.pid: 6 * GIB})
        berth.up()
        reply = berth.chat("Hi")
        self.assertEqual((503, "memory_not_released"), (reply.status, reply.json()["error"]["code"]))
        self.assertIn(f"sleep, pid {sleeper.pid}, 6.0 GiB", reply.json()["error"]["message"])

    def test_a_gpus_memory_is_free_when_its_driver_says_so_and_not_when_the_process_is_gone(self):
        gpu, berth = self.on_gpu(5 * GIB, image_memory=5 * GIB, llm_extra='wanted = "on"')
        berth.up()
        pid = berth.wait_state("chat", "ready")["pid"]
        gpu.play({pid: 5 * GIB})
        self.assertEqual(5 * GIB, berth.server("chat")["vram_bytes"])
        self.assertEqual(0, self.pool(berth)["foreign_bytes"])
        picture = berth.picture_later()
        berth.wait_step("victim_gone")
        seen = len(self.samples(berth))
        wait_for("the driver was asked again", lambda: len(self.samples(berth)) > seen + 5)
        self.assertEqual([], berth.starts("image"))
        gpu.play()
        self.assertEqual(200, picture.get().status)

    def test_the_peak_of_work_on_a_gpu_is_looked_for_while_it_works(self):
        gpu, berth = self.on_gpu(image_memory=2 * GIB, step_ms=200)
        berth.up()
        picture = berth.picture_later()
        pid = wait_for("it draws", lambda: berth.record("step", "dispatched", "image") and
                       berth.server("image")["pid"])
        os.kill(pid, signal.SIGSTOP)  # its work lasts until the peak was seen
        gpu.play({pid: 3 * GIB})
        seen = len(self.samples(berth))
        wait_for("nobody asks for status, and it is seen", lambda: len(self.samples(berth)) > seen + 1)
        gpu.play({pid: GIB})
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(200, picture.get().status)
        berth.cli("stop", "image")
        work = [row for row in berth.api("GET", "/api/v1/footprints").json()["footprints"]
                if row["stage"] == "work" and row["pool"] == "gpu0.vram"]
        self.assertEqual([("image", "64x64", 3 * GIB)],
                         [(row["server"], row["shape"], row["bytes"]) for row in work])

    def test_a_server_sees_the_gpus_of_its_footprint_and_no_others(self):
        gpu = Gpu(self.folder)
        pools = '[pool."gpu0.vram"]\nkind = "device"\n[pool.ram]\nkind = "host"'
        for memory, shown in (("{\"gpu0.vram\" = 1073741824}", gpu.uuid), ("{ram = 67108864}", "")):
            berth = self.berth_on(pools_config(pools, memory, llm_extra='wanted = "on"'),
                                  {**gpu.environment, "CUDA_VISIBLE_DEVICES": "7"}).up()
            pid = berth.wait_state("chat", "ready")["pid"]
            entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
            self.assertEqual([f"CUDA_VISIBLE_DEVICES={shown}"],
                             [e for e in entries if e.startswith("CUDA_VISIBLE_DEVICES=")])
            berth.down()

    def samples(self, berth):
        return [r for r in berth.journal() if r["kind"] == "memory"]

    def test_a_second_berth_on_the_same_memory_is_refused_with_the_owners_pid(self):
        gpu, berth = self.on_gpu()
        berth.up()
        pools = (f'[pool.card]\nkind = "device"\ndevice = "{gpu.uuid}"', '[pool.ram]\nkind = "host"')
        for pool in pools:
            other = self.berth_on(pools_config(pool, GIB), gpu.environment)
            other.up(wait=False)
            if pool == pools[1]:  # the machine's memory is free still
                wait_for("it is up", other.alive_and_answers)
                berth = other
                other = self.berth_on(pools_config(pool.replace("ram", "memory"), GIB))
                other.up(wait=False)
            self.assertEqual(75, other.wait_killed())
            said = Path(other.log_path).read_text()
            self.assertIn(f"another Berth (pid {berth.process.pid})", said)

    def test_a_gpu_that_is_not_there_is_said_at_the_start_with_those_that_are(self):
        gpu, berth = self.on_gpu()
        other = self.berth_on(pools_config('[pool.card]\nkind = "device"\ndevice = 3', GIB),
                              gpu.environment)
        other.up(wait=False)
        self.assertEqual(78, other.wait_killed())
        self.assertIn(f"no GPU 3; it shows 0 ({gpu.uuid})", Path(other.log_path).read_text())

    # ---- a probe that hangs ----

    def test_a_driver_that_hangs_is_a_stuck_probe_and_hangs_nothing_else(self):
        gpu, berth = self.on_gpu(llm_extra='wanted = "on"')
        berth.up()
        berth.wait_state("chat", "ready")
        gpu.hang()
        self.assertEqual("stuck", berth.status()["probe"]["state"])
        begin = time.monotonic()
        for _ in range(ASKED):
            probe = berth.status()["probe"]
        self.assertLess(time.monotonic() - begin, ASKED * PROBE_DEADLINE, "each waits for it")
        self.assertEqual("stuck", probe["state"])
        self.assertIn("probe stuck: ", berth.cli("status").stdout)
        self.assertEqual(200, berth.chat("Hi").status)
        gpu.go_on()
        wait_for("the probe answers", lambda: berth.status()["probe"] == {"state": "ok", "detail": ""})
        self.assertEqual(["probe_stuck", "probe_ok"], berth.steps("probe_stuck", "probe_ok"))
        gpu.hang()
        self.assertEqual("stuck", berth.status()["probe"]["state"])
        berth.down()
        self.assertEqual(0, berth.process.wait(30))

    def test_nothing_is_started_while_the_probe_is_stuck_and_goes_on_after_it(self):
        gpu, berth = self.on_gpu()
        berth.up()
        gpu.hang()
        chat = Later(lambda: berth.chat("Hi"))
        wait_for("it is stuck", lambda: berth.status()["probe"]["state"] == "stuck")
        self.assertEqual([], berth.starts("chat"))
        gpu.go_on()
        self.assertEqual(200, chat.get().status)

    def test_a_driver_that_hangs_from_the_start_is_said_and_berth_ends(self):
        gpu, berth = self.on_gpu()
        gpu.hang()
        berth.up(wait=False)
        self.assertEqual(75, berth.wait_killed())
        self.assertIn("the probe is stuck", Path(berth.log_path).read_text())

    # ---- watching ----

    def watch(self, berth, *arguments, **options):
        process = subprocess.Popen([BIN / "berth", "--config", berth.config_path, "status", "--watch",
                                    *arguments], **options)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def test_watching_shows_one_object_a_second_and_ends_with_ctrl_c(self):
        _, berth = self.on_gpu(llm_extra='wanted = "on"')
        berth.up()
        berth.wait_state("chat", "ready")
        begin = time.monotonic()
        watch = self.watch(berth, "--json", stdout=subprocess.PIPE)
        lines = [json.loads(watch.stdout.readline()) for _ in range(3)]
        self.assertGreater(time.monotonic() - begin, 1.9)
        chat = lines[-1]["servers"][0]
        self.assertIsNotNone(chat["cpu_percent"])
        self.assertGreater(chat["ram_bytes"], 20 * MIB)
        self.assertEqual(0, chat["vram_bytes"])
        watch.send_signal(signal.SIGINT)
        self.assertEqual(0, watch.wait(30))
        watch.stdout.close()

    def test_watching_on_a_terminal_draws_over_what_was_there(self):
        _, berth = self.on_gpu()
        berth.up()
        ours, theirs = pty.openpty()
        watch = self.watch(berth, stdout=theirs)
        os.close(theirs)
        screen = Screen(ours)
        wait_for("it was drawn twice", lambda: screen.text.count("\x1b[H\x1b[J") >= 2)
        watch.send_signal(signal.SIGINT)
        self.assertEqual(0, watch.wait(30))
        os.close(ours)
