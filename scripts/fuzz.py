#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./check --fuzz MINUTES: fuzzes what reads from strangers with clang's libFuzzer and AddressSanitizer (packages clang, libclang-rt-14-dev): the debugger's packets and
commands (tests/fuzz/gdb_client.cpp). Only the sources that read them are compiled again, the rest is that of the build directory. What was learned
stays in BUILD/fuzz/corpus; an input that breaks something is written to BUILD/fuzz, and the status is 1."""
import argparse
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What a stranger's bytes go through.
SOURCES = ["cli/gdb/packet.cpp", "cli/gdb/stub.cpp", "cli/gdb/monitor.cpp", "cli/gdb/player.cpp", "cli/gdb/space.cpp"]
TARGET = "tests/fuzz/gdb_client.cpp"
SANITIZE = "-fsanitize=address,undefined"


def flags(build):
    """How the build compiles the tests of the command, without what belongs to one file or to gcc."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if entry["file"].endswith("tests/cli/gdb_test.cpp"):
            words = shlex.split(entry["command"])
            return [w for w in words if re.match(r"-(I|D|std=|ffp-contract|fno-strict-aliasing|fno-math-errno)", w)]
    sys.exit("fuzz: the build directory does not know tests/cli/gdb_test.cpp; run ./check once")


def libraries(build):
    """What the tests of the command are linked with, but for the test framework."""
    line = subprocess.run(["ninja", "-C", str(build), "-t", "commands", "tests/cli/test_cli"], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    return [w for w in shlex.split(line) if (w.endswith((".a", ".so")) or w.startswith("-l")) and "gtest" not in w]


def build_target(build, where):
    subprocess.run(["ninja", "-C", str(build), "tests/cli/test_cli"], check=True, stdout=subprocess.DEVNULL)
    common = ["clang++", *flags(build), "-O1", "-g", "-w", SANITIZE, "-fno-sanitize-recover=undefined"]
    objects = []
    for source in [*SOURCES, TARGET]:
        out = where / (source.replace("/", "_") + ".o")
        subprocess.run([*common, "-fsanitize=fuzzer-no-link", "-c", str(ROOT / source), "-o", str(out)], check=True, cwd=build)
        objects.append(str(out))
    program = where / "gdb_client"
    subprocess.run(["clang++", SANITIZE, "-fsanitize=fuzzer", "-o", str(program), *objects, "-Wl,--start-group", *libraries(build), "-Wl,--end-group"], check=True, cwd=build)
    return program


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", required=True)
    ap.add_argument("--minutes", type=float, default=1)
    args = ap.parse_args()
    if not shutil.which("clang++"):
        sys.exit("fuzz: there is no clang++; apt-get install clang")
    build = pathlib.Path(args.build).resolve()
    where = build / "fuzz"
    corpus = where / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    try:
        program = build_target(build, where)
    except subprocess.CalledProcessError as e:
        sys.exit(f"fuzz: {' '.join(e.cmd[:3])} ...: status {e.returncode}")
    seeds = [b"\xffqSupported:swbreak+\n?\ng\nm100000,40\nZ0,10000b,1\nvCont;c\nbs\nbc\n!when\nD", b"\x10+$g#67$vCont;s:1#24\x03",
             b"\xffZ2,102000,4\nvCont;c\nz2,102000,4\n!goto 50%\n!stop-on exception:14\nvCont;r100000,100012:1\n!irq\n!events 4"]
    for n, seed in enumerate(seeds):
        (corpus / f"seed-{n}").write_bytes(seed)
    done = subprocess.run([str(program), str(corpus), f"-dict={ROOT / 'tests/fuzz/gdb_client.dict'}", f"-max_total_time={max(1, round(args.minutes * 60))}", "-max_len=4096", "-timeout=60",
                           "-rss_limit_mb=4096", f"-artifact_prefix={where}/", "-print_final_stats=1"], stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, errors="replace")
    tail = done.stdout.splitlines()
    print("\n".join(tail[-40:] if done.returncode else [t for t in tail if t.startswith(("stat::", "Done "))]))
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
