# SPDX-License-Identifier: Apache-2.0
"""docs/reference/openapi.yaml against the running Berth (issue 7, build 2).

schemathesis asks everything that the document allows, and much that it does not; an answer that is not as
documented, a status that is not listed, and any 5xx that is not are failures.
"""

import json
import os
import re
import subprocess
import sys
import unittest

from api_bridge import Bridge
from fast_world import fast_config
from harness import HERE, SLOW_STEP_MS, E2eTest, UnixConnection

ROOT = HERE.parents[1]
DOCUMENT = ROOT / "docs" / "reference" / "openapi.yaml"
sys.path.insert(0, str(ROOT / "scripts"))
import fetch_checkers  # noqa: E402

CHECKS = ",".join(("not_a_server_error", "status_code_conformance", "content_type_conformance",
                   "response_schema_conformance", "unsupported_method"))
JUDGED = CHECKS + ",negative_data_rejection"  # what the document does not allow is refused

# 503 and 504 are refusals with a code and a next step; they must be documented like any other status.
SETTINGS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]

[[operations]]
include-path = "/v1/images/generations"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "500", "503", "504"]  # sd-server's own, relayed
"""


def document():
    import yaml
    return yaml.safe_load(DOCUMENT.read_text())


class OpenApi(E2eTest):
    @classmethod
    def setUpClass(cls):
        cls.checkers = str(fetch_checkers.fetch())
        sys.path.append(cls.checkers)

    def world(self, **options):
        berth = self.berth_with(fast_config(**options))
        berth.up()
        berth.wait_state("chat", "ready")
        return berth

    def narrowed(self):
        """The document with the names of this world; what never ends or ends Berth is tested elsewhere."""
        import yaml
        known = document()
        parameters = known["components"]["parameters"]
        parameters["name"]["schema"] = {"enum": ["chat", "image", "nobody"]}
        parameters["server"]["schema"] = {"enum": ["chat", "image", "nobody"]}
        known["components"]["schemas"]["HoldWish"]["properties"]["servers"]["items"] = {"enum": ["chat", "image"]}
        wish = known["components"]["schemas"]["LeaseWish"]
        wish["properties"]["bytes"]["propertyNames"] = {"enum": ["ram"]}
        del wish["properties"]["vram"], wish["properties"]["device"], known["paths"]["/api/v1/shutdown"]
        folder = self.new_folder()
        (folder / "schemathesis.toml").write_text(SETTINGS)
        path = folder / "openapi.yaml"
        path.write_text(yaml.safe_dump(known))
        return path

    def schemathesis(self, url, document, checks, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", document.with_name("schemathesis.toml"),
             "run", str(document), "--url", url, "--checks", checks, "--seed", "7", "--workers", "1", "--no-color",
             "--generation-database", "none", "--request-timeout", "60", *arguments],
            env={**os.environ, "PYTHONPATH": self.checkers}, cwd=document.parent, capture_output=True, text=True,
            timeout=500)

    def check(self, url, *arguments, checks=JUDGED):
        done = self.schemathesis(url, self.narrowed(), checks, "--phases", "examples,coverage,fuzzing", "--max-examples",
                                 os.environ.get("BERTH_EXAMPLES", "12"), *arguments)
        self.assertEqual(0, done.returncode, done.stdout[-8000:] + done.stderr[-2000:])

    def test_every_answer_is_as_documented(self):
        berth = self.world()
        with Bridge(berth) as bridge:
            self.check(bridge.url, "--exclude-path-regex", "^/v1/")
        self.assertEqual(200, berth.api("GET", "/api/v1/status").status, "it lives")

    def test_every_answer_of_the_front_port_of_an_image_server_is_as_documented(self):
        berth = self.world()
        # OpenAI's form is relayed: what is wrong in it is the server's to judge. Ours is judged below /api, too.
        self.check(f"http://127.0.0.1:{berth.server('image')['front_port']}", "--include-path-regex", "^/v1/",
                   checks=CHECKS)
        self.assertEqual(200, berth.api("GET", "/api/v1/status").status, "it lives")

    def test_an_image_job_is_as_documented_until_its_end(self):
        berth = self.world(step_ms=20)
        taken = berth.post("/api/v1/servers/image/images", {"prompt": "a cat", "width": 64, "height": 64, "steps": 4})
        self.assertEqual(201, taken.status, taken.body)
        self.assert_is("ImageTaken", taken.json())
        path = f"/api/v1/images/{taken.json()['id']}"
        events = berth.get(path + "/events", timeout=60).body.decode()
        for event in re.findall(r"^event: progress\ndata: (.*)$", events, re.M):
            self.assert_is("ImageProgress", json.loads(event))
        state = berth.get(path).json()
        self.assert_is("ImageState", state)
        self.assertEqual("complete", state["status"])
        self.assertIn("event: complete", events)

    def assert_is(self, name, value):
        """`value` is what the document calls `name`."""
        import jsonschema_rs
        schema = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
        errors = [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(value)]
        self.assertEqual([], errors, value)

    def first_lines(self, berth, path, wish, wanted):
        """What a lease or hold says up to the word `wanted`; then its holder leaves."""
        connection = UnixConnection(f"{berth.state}/s/control.sock")
        connection.request("POST", path, json.dumps(wish))
        reply, lines = connection.getresponse(), []
        self.assertEqual(200, reply.status)
        while not lines or lines[-1]["state"] != wanted:
            lines.append(json.loads(reply.readline()))
        connection.close()
        return lines

    def test_each_line_of_a_lease_or_hold_is_as_documented(self):
        berth = self.world()
        for path, wish in (("/api/v1/leases", {"bytes": {"ram": "10MiB"}}), ("/api/v1/holds", {"servers": ["chat"]})):
            for line in self.first_lines(berth, path, wish, "granted"):
                self.assert_is("PlaceNews", line)
        revoked = self.first_lines(berth, "/api/v1/leases", {"bytes": {"ram": "10MiB"}, "max": "100ms"}, "revoked")
        self.assert_is("PlaceNews", revoked[-1])
        self.assertIn("error", revoked[-1])

    def test_what_the_api_says_of_models_and_the_plan_is_what_the_command_says(self):
        berth = self.world()
        models = berth.get("/api/v1/models").json()
        self.assert_is("Models", models)
        self.assertEqual(json.loads(berth.cli("models", "--json").stdout), models)
        details = berth.get("/api/v1/models/show?id=" + models["models"][0]["id"]).json()
        self.assert_is("ModelDetails", details)
        self.assertEqual(["chat"], [server["name"] for server in details["servers"]])
        plan = berth.get("/api/v1/plan").json()
        self.assert_is("Plan", plan)
        self.assertEqual(json.loads(berth.cli("plan", "--json").stdout)["verdict"], plan["verdict"])
        self.assertEqual({"chat", "image"}, {part["name"] for part in plan["components"]})

    def test_a_plan_of_what_is_not_there_is_the_commands(self):
        berth = self.world()
        wish = {"vram": "8GB", "llm": ["3.5GB:32/32"], "diffusion": "6.9GB"}
        plan = berth.post("/api/v1/plan", wish)
        self.assertEqual(200, plan.status, plan.body)
        self.assert_is("Plan", plan.json())
        self.assertEqual((6000000000, 12480000000, "offload"),
                         tuple(plan.json()[key] for key in ("limit_bytes", "need_bytes", "verdict")))
        command = berth.cli("plan", "--vram", "8GB", "--llm", "3.5GB:32/32", "--diffusion", "6.9GB", "--json")
        self.assertEqual(json.loads(command.stdout), plan.json())
        here = berth.post("/api/v1/plan", {"component": "Mistral:ram=1MB"}).json()
        self.assertEqual(("ram", ["Mistral"]), (here["pool"], [part["name"] for part in here["components"]]))

    def test_each_event_is_a_record(self):
        berth = self.world(step_ms=2)
        self.assertEqual(200, berth.picture().status)
        connection = UnixConnection(f"{berth.state}/s/control.sock")
        self.addCleanup(connection.close)
        connection.request("GET", "/api/v1/events?after=0")
        records = []
        for line in connection.getresponse():
            if line.startswith(b"data: "):
                records.append(json.loads(line[6:]))
            if records and records[-1]["name"] == "row_cleared":
                break
        for record in records:
            self.assert_is("Record", record)
        self.assertEqual({"decision", "step", "progress"}, {record["kind"] for record in records})

    def test_a_displaced_server_has_the_saved_state_of_the_document(self):
        berth = self.world(step_ms=SLOW_STEP_MS)
        berth.drawing()
        state = berth.get("/api/v1/servers/chat/saved-state").json()
        self.assert_is("SavedStateReply", state)
        self.assertIsNotNone(state["saved_state"])
        self.assert_is("Status", berth.status())

    def test_going_down_is_answered_as_documented(self):
        berth = self.world()
        reply = berth.api("POST", "/api/v1/shutdown")
        self.assertEqual(202, reply.status)
        self.assert_is("GoingDown", reply.json())
        self.assertEqual(0, berth.process.wait(60))


if __name__ == "__main__":
    unittest.main()
