# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of the command share: running it, and a report as ./check reads it."""
import json
import os
import pathlib
import subprocess
import sys

VITRINE = os.environ["VITRINE"]
_failed = False


def check(name, ok, why=""):
    global _failed
    _failed |= not ok
    print(f"{'ok' if ok else 'FAIL'} {name}" + ("" if ok else f": {str(why)[-1500:]}"))


def vitrine(*args, stdin=subprocess.DEVNULL, **more):
    return subprocess.run([VITRINE, *map(str, args)], capture_output=True, text=True, timeout=120, errors="replace", stdin=stdin, **more)


def inputs(run):
    """What came from outside, in order."""
    file = pathlib.Path(run) / "input.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def end():
    sys.exit(1 if _failed else 0)
