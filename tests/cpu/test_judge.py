#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW
"""The judges' program: what is on record, that it goes on where it was interrupted, and what it says of wrong options. With DEEP the long
form: every class in every mode, the decoder's random strings and Unicorn's sequences with another seed than the record's."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ["ROOT"])
JUDGE = pathlib.Path(os.environ["BUILD"]) / "tools/judge"
RECORD = ROOT / "tools/judge/tally.txt"
sys.path.insert(0, str(ROOT / "tests/cli"))
import command  # noqa: E402
from command import check  # noqa: E402


def judge(*args, seconds=3000):
    return subprocess.run([str(JUDGE), *map(str, args)], capture_output=True, text=True, timeout=seconds, errors="replace", check=False)


def tally(file):
    """-> {class: (seed, cases, faults, differences)}"""
    rows = (line.split() for line in pathlib.Path(file).read_text().splitlines() if line and line[0] != "#")
    return {row[0]: tuple(map(int, row[1:5])) for row in rows}


def record():
    done = judge("--doc", RECORD)
    check("docs/conformance.md is what the tally says", done.returncode == 0 and done.stdout == (ROOT / "docs/conformance.md").read_text(),
          done.stderr or "make it: build/tools/judge --doc tools/judge/tally.txt > docs/conformance.md")
    rows = tally(RECORD)
    listed = [line.split()[0] for line in judge("--list").stdout.splitlines()]
    check("every class of every mode is on record", listed and all(name in rows for name in listed), [n for n in listed if n not in rows])
    check("no difference is on record", not any(r[3] for r in rows.values()), {n: r[3] for n, r in rows.items() if r[3]})


def resumes(options, name):
    """Two halves make the same tally as the whole."""
    with tempfile.TemporaryDirectory() as where:
        once, twice = pathlib.Path(where) / "once", pathlib.Path(where) / "twice"
        for file, parts in ((once, (3000,)), (twice, (1000, 3000))):
            file.write_text("")
            for cases in parts:
                done = judge(*options, "--cases", cases, "--resume", file)
                if "skipped" in done.stderr or "left out" in done.stderr:
                    return check(f"{name}: left out: {done.stderr.strip()}", True)
        rows = tally(once)
        check(f"{name} goes on where it was interrupted", rows and rows == tally(twice) and all(r[1] >= 1 for r in rows.values()), (rows, tally(twice)))
    return None


def wrong():
    for options, text in ((["--class", "nonsense"], "--class nonsense: see --list"), (["--mode", "8"], "--mode: 16, 32 or 64"),
                          (["--cases", "many"], "--cases: 'many' is not a number"), (["--cases"], "--cases: a value is missing"),
                          (["--only", "FLD", "--resume", "x"], "--only: what it runs is not for the tally of --resume"), (["--nonsense"], "--nonsense: not understood")):
        done = judge(*options)
        check("wrong: " + " ".join(options), done.returncode == 2 and text in done.stderr and "usage: judge" in done.stderr, done.stderr)


def long_form():
    for name, options in (("in 64-bit mode", ["--cases", 1_000_000]), ("in 32-bit mode", ["--mode", 32, "--cases", 300_000]),
                          ("in 16-bit mode", ["--mode", 16, "--cases", 300_000]), ("of the decoder", ["--decode", "--cases", 10_000_000]),
                          ("in sequences", ["--unicorn", "--cases", 300_000])):
        done = judge(*options, "--seed", 2, "--reports", 3)
        said = done.stdout + done.stderr
        totals = [int(n) for n in re.findall(r" (\d+) differences", done.stdout)]
        skipped = "skipped" in done.stderr or "left out" in done.stderr
        check(f"long form {name}" + (": left out" if skipped and not totals else ""), done.returncode == 0 and (skipped or totals) and not any(totals), said)


if not JUDGE.exists():
    check("left out: built without the judges", True)
    command.end()
record()
resumes(["--class", "bit", "--seed", 5], "a class")
resumes(["--decode", "--seed", 5], "the decoder")
resumes(["--unicorn", "--seed", 5], "Unicorn")
wrong()
if os.environ.get("DEEP"):
    long_form()
command.end()
