#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests behind ./check. Every GoogleTest case counts as one, every bare-metal guest as one, every script as one, or as
many as it says: a script may print lines "ok NAME" and "FAIL NAME ..." to be counted apart.

Scripts are tests/*.sh, tests/*.py and tests/*/test_*.py. One with "# SLOW" in its first ten lines is left out by --quick. They find
BUILD (the build directory), VITRINE (the program) and GUESTS (its guests) in the environment, and DEEP if they shall do more.

As many run at a time as there are processors, the slow ones first."""
import argparse
import concurrent.futures
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/bare"))
import run as bare  # noqa: E402

UNIT_SECONDS, SCRIPT_SECONDS, DEEP_SECONDS = 300, 900, 3600


class Report:
    def __init__(self, only, verbose, listing):
        self.only = re.compile(only) if only else None
        self.verbose, self.listing = verbose, listing
        self.passed = self.failed = 0
        self.lock = threading.Lock()   # several tests end at a time; what one says stays together

    def wanted(self, name):
        return self.only is None or self.only.search(name) is not None

    def add(self, name, ok, seconds, why=""):
        text = f"{'ok  ' if ok else 'FAIL'} {name} ({seconds:.2f} s)\n"
        if why and (not ok or self.verbose):
            text += "".join(f"     {line}\n" for line in why.rstrip().splitlines()[-60:])
        with self.lock:
            self.passed += ok
            self.failed += not ok
            print(text, end="", flush=True)

    def say(self, text):
        with self.lock:
            print(text, end="", flush=True)


def execute(command, seconds, env=None, cwd=ROOT):
    """-> (status or None at the time limit, output)."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, env=env, cwd=cwd,
                              stdin=subprocess.DEVNULL, errors="replace")
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as e:
        out = e.stdout or b""
        return None, (out if isinstance(out, str) else out.decode(errors="replace")) + f"\n(stopped after {seconds} s)"


def unit_tests(build, report):
    """-> what there is to run: functions without arguments."""
    jobs = []
    listed = subprocess.run(["meson", "introspect", str(build), "--tests"], capture_output=True, text=True, check=True)
    for test in sorted(json.loads(listed.stdout), key=lambda t: t["name"]):
        command, room = test["cmd"], test["suite"][0].split(":")[-1] if test["suite"] else ""
        base = f"unit/{test['name'] if room in ('', 'vitrine') else room + '/' + test['name']}"
        env = {**os.environ, **(test["env"] if isinstance(test["env"], dict) else {})}
        _, listing = execute([*command, "--gtest_list_tests"], 60, env)
        names, suite = [], ""
        for line in listing.splitlines():
            line = line.split("#")[0].rstrip()
            if line and not line.startswith(" ") and line.endswith("."):
                suite = line
            elif line.startswith("  ") and suite:
                names.append(suite + line.strip())
        if not names:      # not a GoogleTest program: its status is all it says
            if report.wanted(base):
                if report.listing:
                    print(base)
                    continue
                jobs.append(functools.partial(run_program, command, env, base, build, report))
            continue
        names = [n for n in names if ".DISABLED_" not in n and not n.startswith("DISABLED_") and report.wanted(f"{base}/{n}")]
        if report.listing:
            print("".join(f"{base}/{n}\n" for n in names), end="")
            continue
        if names:
            jobs.append(functools.partial(run_gtest, command, env, base, names, report))
    return jobs


def run_program(command, env, base, build, report):
    begin = time.monotonic()
    status, out = execute(command, UNIT_SECONDS, env, build)  # meson names built programs from there
    report.add(base, status == 0, time.monotonic() - begin, out)


def run_bare(guest, build, report):
    begin = time.monotonic()
    ok, why = bare.run_vitrine(guest, build / "vitrine")
    report.add(f"bare/{guest.name}", ok, time.monotonic() - begin, why)


def run_gtest(command, env, base, names, report):
    left = list(names)
    while left:
        with tempfile.TemporaryDirectory() as where:
            result = pathlib.Path(where) / "result.json"
            status, out = execute([*command, f"--gtest_output=json:{result}", "--gtest_filter=" + ":".join(left), "--gtest_color=no"],
                                  UNIT_SECONDS, env)
            try:
                suites = json.loads(result.read_text()).get("testsuites", [])
            except (OSError, ValueError):
                suites = None
        if suites is None:   # it died: tell who was running, then go on with those that had not begun
            began = [n for n in re.findall(r"^\[ RUN      \] (\S+)", out, re.M) if n in left]
            for n in began[:-1]:
                report.add(f"{base}/{n}", f"[       OK ] {n}" in out, 0.0)
            guilty = began[-1] if began else left[0]
            what = "the time limit" if status is None else f"status {status}"
            report.add(f"{base}/{guilty}", False, 0.0, f"the program ended with {what} in this test\n" + out)
            left = [n for n in left if n not in began and n != guilty]
            continue
        seen = set()
        for suite in suites:
            for case in suite["testsuite"]:
                name = f"{suite['name']}.{case['name']}"
                if case.get("status") == "NOTRUN":
                    continue
                seen.add(name)
                fails = "\n".join(f["failure"] for f in case.get("failures", []))
                report.add(f"{base}/{name}", not fails, float(case["time"].rstrip("s")), fails)
        for n in left:
            if n not in seen:
                report.add(f"{base}/{n}", False, 0.0, "the program did not run this test")
        return


def scripts(build, quick, deep, report):
    """-> as unit_tests, the slow ones and the others."""
    env = {**os.environ, "BUILD": str(build), "VITRINE": str(build / "vitrine"), "GUESTS": str(build / "guests"),
           "ROOT": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **({"DEEP": "1"} if deep else {})}
    slow_jobs, jobs = [], []
    tests = ROOT / "tests"
    for path in sorted([*tests.glob("*.sh"), *tests.glob("*.py"), *tests.glob("*/test_*.py"), *tests.glob("*/test_*.sh")]):
        name = "script/" + str(path.relative_to(tests).with_suffix(""))
        if not report.wanted(name):
            continue
        slow = any("# SLOW" in line for line in path.read_text().splitlines()[:10])
        if quick and slow:
            continue
        if report.listing:
            print(name)
            continue
        (slow_jobs if slow else jobs).append(functools.partial(run_script, path, name, env, deep, report))
    return slow_jobs, jobs


def run_script(path, name, env, deep, report):
    begin = time.monotonic()
    status, out = execute((["python3"] if path.suffix == ".py" else ["bash"]) + [str(path)], DEEP_SECONDS if deep else SCRIPT_SECONDS, env)
    took = time.monotonic() - begin
    lines = re.findall(r"^(ok|FAIL) (.*)$", out, re.M)
    for verdict, what in lines:
        report.add(f"{name}: {what}", verdict == "ok", 0.0)
    failed = any(v == "FAIL" for v, _ in lines)
    if not lines or failed != (status != 0):    # its own verdict, unless the lines have said it all
        report.add(name, status == 0, took, out)
    elif failed:
        report.say("".join(f"     {line}\n" for line in out.rstrip().splitlines()[-40:]))
    if lines:
        report.say(f"     {name} took {took:.1f} s\n")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", required=True)
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--deep", action="store_true")
    ap.add_argument("--only")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--verbose", action="store_true")
    args = ap.parse_args()
    build = pathlib.Path(args.build).resolve()
    try:
        report = Report(args.only, args.verbose, args.list)
    except re.error as e:
        sys.exit(f"check: --only: {args.only!r} is not a regular expression: {e}")
    slow, quick = scripts(build, args.quick, args.deep, report)
    jobs = slow + unit_tests(build, report)
    for guest in bare.guests(build / "bare"):
        if report.wanted(f"bare/{guest.name}"):
            if args.list:
                print(f"bare/{guest.name}")
            jobs.append(functools.partial(run_bare, guest, build, report))
    if not args.list:
        with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for done in concurrent.futures.as_completed([pool.submit(job) for job in jobs + quick]):
                done.result()
    if args.list:
        return 0
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
