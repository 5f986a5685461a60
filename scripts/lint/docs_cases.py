# SPDX-License-Identifier: Apache-2.0
"""The small bad trees of docs.py."""
import gen_errors

ERRORS = '// x\nBERTH_ERROR(io, 10, 500, 74, "reading or writing failed")\n// BERTH_ERROR(old, 9, 500, 74, "gone")\n'

CASES = [
    ("links",
     {"README.md": '[a](docs/a.md#top) [b](docs/b.md)\n<img src="docs/c.svg">\n[d](https://example.org/x)\n'
                   "```\n[e](none.md)\n```\n",
      "docs/a.md": "[back](../README.md)\n[no](README.md)\n"},
     ["README.md:1: docs/b.md does not exist", "README.md:2: docs/c.svg does not exist",
      "docs/a.md:2: README.md does not exist"]),
    ("commands",
     {"README.md": "```sh\n./scripts/test  # all\nbuild/release/bin/berth status --json\n./scripts/nothing\n"
                   "ls -l\n```\n```toml\n./scripts/x\n```\n", ".ci/run": "true\n"},
     ["README.md:2: ./scripts/test: .ci/run should run it, but does not hold `./scripts/test`",
      "README.md:3: berth status: no test runs it; name one in scripts/lint/docs.py",
      "README.md:4: ./scripts/nothing: no test runs it; name one in scripts/lint/docs.py"]),
    ("a page that was never made", {gen_errors.SOURCE: ERRORS},
     ["docs/reference/errors.md is out of date; run scripts/gen_errors.py"]),
    ("a page that is old", {gen_errors.SOURCE: ERRORS, gen_errors.TARGET: gen_errors.page("")},
     ["docs/reference/errors.md is out of date; run scripts/gen_errors.py"]),
    ("a page that is up to date", {gen_errors.SOURCE: ERRORS, gen_errors.TARGET: gen_errors.page(ERRORS)}, []),
]
