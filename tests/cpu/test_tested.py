#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The record of what tests have tried (tests/tested.txt) promises no more than they do, and scripts/tested.py says what is wrong with one."""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get("ROOT", pathlib.Path(__file__).resolve().parent.parent.parent))
BUILD = os.environ.get("BUILD", str(ROOT / "build"))
failed = 0


def check(name, ok, why=""):
    global failed
    failed += not ok
    print(f"{'ok' if ok else 'FAIL'} {name}{'' if ok else ': ' + str(why)}", flush=True)


def tested(*options):
    return subprocess.run([sys.executable, ROOT / "scripts/tested.py", "--build", BUILD, "--check", *options], capture_output=True, text=True)


done = tested()
check("the record is true", done.returncode == 0, done.stderr)
lines = (ROOT / "tests/tested.txt").read_text().splitlines()
row = next(line for line in lines if line.startswith("EPT\twalk"))
with tempfile.TemporaryDirectory() as where:
    for name, text, said in (("a number that is too high", row[:row.rindex("\t")] + "\t99999999", "tried less than it says"),
                             ("a row that nobody tries", row.replace("EPT\twalk", "EPT\tnothing\u0020"), "0 cases, the record says"),
                             ("a line that is none", row.replace("\t", " "), "not WHAT, ROW, TEST, CASES")):
        file = pathlib.Path(where) / "tested.txt"
        file.write_text(text + "\n")
        done = tested("--record", file)
        check(name, done.returncode == 1 and said in done.stderr, (done.returncode, done.stderr))
    empty = subprocess.run([pathlib.Path(BUILD) / "tools/coverage-doc", where], capture_output=True, text=True)
    check("coverage-doc without a source tree", empty.returncode == 4 and "cannot be read; the argument is the top of the source tree" in empty.stderr, (empty.returncode, empty.stderr))
sys.exit(1 if failed else 0)
