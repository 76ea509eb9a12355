#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rows of the machine's tables the tests have tried, and how often: tests/tested.txt, from which docs/coverage.md is made.

  scripts/tested.py                runs the unit tests that tell (tests/tested.hpp) and the bare-metal guests, and writes the record
  scripts/tested.py --check        runs the unit tests that the record names, and says where they try less than it says

Then: build/tools/coverage-doc > docs/coverage.md

Each line of the record is WHAT, ROW, TEST, CASES, with tabs between them. A guest's cases are its checks; tables of cases that count as one check say their number."""
import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests/tested.txt"
PROGRAMS = ["cpu", "ept", "vtd"]


def read(file):
    """-> {(what, row, test): cases}"""
    rows = collections.Counter()
    for n, line in enumerate(file.read_text().splitlines(), 1):
        if line.startswith("#") or not line:
            continue
        fields = line.split("\t")
        if len(fields) != 4 or not fields[3].isdigit():
            sys.exit(f"{file}:{n}: not WHAT, ROW, TEST, CASES with tabs between them: {line!r}")
        rows[tuple(fields[:3])] += int(fields[3])
    return rows


def run_tests(build, only):
    """Runs the programs with their tests that `only` names (None: all). -> as read."""
    rows = collections.Counter()
    for program in PROGRAMS:
        tests = None if only is None else sorted(t.split("/", 1)[1] for t in only if t.startswith(program + "/"))
        if tests == []:
            continue
        with tempfile.TemporaryDirectory() as where:
            told = pathlib.Path(where) / "cases"
            told.touch()
            command = [build / "tests" / program / f"test_{program}", "--gtest_brief=1"] + ([] if tests is None else ["--gtest_filter=" + ":".join(tests)])
            done = subprocess.run(command, env={**os.environ, "VT_TESTED": str(told)}, capture_output=True, text=True, errors="replace")
            if done.returncode != 0:
                sys.exit(f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
            for (what, row, test), n in read(told).items():
                rows[(what, row, f"{program}/{test}")] += n
    return rows


def run_guests(build):
    done = subprocess.run([sys.executable, ROOT / "tests/bare/run.py", "--build", build, "-v"], capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        sys.exit(f"tests/bare/run.py: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    rows = collections.Counter()
    name = None
    for line in done.stdout.splitlines():
        if m := re.match(r"ok   (\S+)$", line):
            name = m[1]
        elif m := re.match(r" +(\d+) ok, 0 failed$", line):
            rows[("guest", name, f"bare/{name}")] += int(m[1])
        elif m := re.search(r"\b(\d+) cases$", line):
            rows[("guest", name, f"bare/{name}")] += int(m[1])
    return rows


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.environ.get("BUILD", str(ROOT / "build")))
    ap.add_argument("--check", action="store_true")
    ap.add_argument("--record", default=str(RECORD), help="another file than tests/tested.txt")
    args = ap.parse_args()
    build, record = pathlib.Path(args.build).resolve(), pathlib.Path(args.record)
    if not args.check:
        rows = run_tests(build, None) + run_guests(build)
        lines = ["# Made by scripts/tested.py: what, row, test, cases"] + ["\t".join([*key, str(n)]) for key, n in sorted(rows.items())]
        record.write_text("\n".join(lines) + "\n")
        return 0
    said = {key: n for key, n in read(record).items() if key[0] != "guest"}
    now = run_tests(build, {test for _, _, test in said})
    wrong = [f"{' '.join(key)}: {now.get(key, 0)} cases, the record says {n}" for key, n in sorted(said.items()) if now.get(key, 0) < n]
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    if wrong:
        print(f"{record.name}: {len(wrong)} rows are tried less than it says; if that is right: scripts/tested.py, then build/tools/coverage-doc > docs/coverage.md", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
