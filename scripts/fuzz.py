#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""./check --fuzz MINUTES [TARGET...]: fuzzes what reads from strangers with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer (packages clang,
libclang-rt-14-dev); a row of TARGETS for each. The minutes are shared out among the targets. Only the sources that read are compiled again, the rest is that of the build
directory. What was learned stays in BUILD/fuzz/NAME/corpus and is where the next one begins; an input that breaks something is written beside it, and the status is 1.
tests/fuzz/corpus has inputs for everybody (--keep writes them), which the tests run without a fuzzer."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SANITIZE = "-fsanitize=address,undefined"


def target(harness, program, source, *sources, seeds=(), dictionary=None, longest=4096):
    """`program`: a test of the build, of which `source` is one file: compiled and linked like it. `sources`: what strangers' bytes go through."""
    return dict(harness=f"tests/fuzz/{harness}.cpp", program=program, source=source, sources=sources, seeds=seeds, dictionary=dictionary, longest=longest)


TARGETS = {
    "gdb-client": target("gdb_client", "tests/cli/test_cli", "tests/cli/gdb_test.cpp",
                         "cli/gdb/packet.cpp", "cli/gdb/stub.cpp", "cli/gdb/monitor.cpp", "cli/gdb/player.cpp", "cli/gdb/space.cpp", dictionary="tests/fuzz/gdb_client.dict",
                         seeds=(b"\xffqSupported:swbreak+\n?\ng\nm100000,40\nZ0,10000b,1\nvCont;c\nbs\nbc\n!when\nD", b"\x10+$g#67$vCont;s:1#24\x03",
                                b"\xffZ2,102000,4\nvCont;c\nz2,102000,4\n!goto 50%\n!stop-on exception:14\nvCont;r100000,100012:1\n!irq\n!events 4")),
    "decoder": target("decoder", "tests/cpu/test_cpu", "tests/cpu/decoder_test.cpp", "cpu/decoder.cpp", longest=32,
                      seeds=(b"\x02\x00\x48\x8b\x84\x88\x11\x22\x33\x44", b"\x01\x01\xc4\xe2\x7d\x18\x05\x00\x00\x00\x00", b"\x00\x00\x66\x67\xf3\xa5")),
    "execute": target("execute", "tests/cpu/test_cpu", "tests/cpu/vmx_run_test.cpp",
                      "cpu/decoder.cpp", "cpu/mmu.cpp", "cpu/segments.cpp", "cpu/far.cpp", "cpu/task.cpp", "cpu/deliver.cpp", "cpu/msr.cpp", "cpu/vmx/*.cpp", longest=512,
                      seeds=(b"\x02" + bytes(40) + b"\x0f\xa2\x0f\x01\xc1\xf4", b"\x07" + bytes(40) + b"\x0f\xa2", b"\x00" + bytes(40) + b"\xcd\x21")),
    "machine": target("machine", "tests/cli/test_cli", "tests/cli/gdb_test.cpp", "emu/devices/*.cpp", "emu/pci/*.cpp", "emu/bus.cpp", "emu/isa.cpp", "vtd/*.cpp", longest=2048,
                      seeds=(bytes((8, 1, 0x20, 0, 0xc0, 1, 0, 0, 0, 6, 100)) * 4, bytes((4, 0, 0, 0xff, *range(8), 16, 3, 24, 0, 0xe0, *range(8), 6, 200)))),
    "platform": target("platform", "tests/firmware/test_firmware", "tests/firmware/platform_test.cpp", "firmware/*.cpp", longest=8192,
                       seeds=tuple(f.read_bytes() for f in sorted((ROOT / "platforms").glob("*.json")) if f.stat().st_size < 8192)),
    "loader": target("loader", "tests/firmware/test_firmware", "tests/firmware/load_test.cpp", "firmware/*.cpp", longest=65536),
}


def compile_flags(build, source):
    """How the build compiles `source`, without what belongs to one file or to gcc."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if entry["file"].endswith(source):
            return [w for w in shlex.split(entry["command"]) if re.match(r"-(I|D|std=|ffp-contract|fno-strict-aliasing|fno-math-errno)", w)]
    sys.exit(f"fuzz: the build directory does not know {source}; run ./check once")


def libraries(build, program):
    """What the test is linked with, but for the test framework's main()."""
    line = subprocess.run(["ninja", "-C", str(build), "-t", "commands", program], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    return [w for w in shlex.split(line) if (w.endswith((".a", ".so")) or w.startswith("-l")) and "gtest_main" not in w]


def include_directories(build, source):
    """Those of the room that a source belongs to, too: its own headers."""
    return [w for w in compile_flags(build, source) if w.startswith("-I")]


def build_target(build, where, row):
    subprocess.run(["ninja", "-C", str(build), row["program"]], check=True, stdout=subprocess.DEVNULL)
    sources = [str(p.relative_to(ROOT)) for pattern in row["sources"] for p in sorted(ROOT.glob(pattern))]
    common = ["clang++", "-O1", "-g", "-w", SANITIZE, "-fno-sanitize-recover=undefined", "-fsanitize=fuzzer-no-link"]

    def compiled(source):
        out = where / (source.replace("/", "_") + ".o")
        flags = compile_flags(build, row["source"] if source == row["harness"] else source)
        subprocess.run([*common, *flags, *include_directories(build, row["source"]), "-c", str(ROOT / source), "-o", str(out)], check=True, cwd=build)
        return str(out)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, [*sources, row["harness"]]))
    program = where / "fuzzer"
    subprocess.run(["clang++", SANITIZE, "-fsanitize=fuzzer", "-o", str(program), *objects, "-Wl,--start-group", *libraries(build, row["program"]), "-Wl,--end-group"], check=True, cwd=build)
    return program


def fuzz(build, name, row, seconds, keep=0):
    where = build / "fuzz" / name
    corpus = where / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    try:
        program = build_target(build, where, row)
    except subprocess.CalledProcessError as e:
        sys.exit(f"fuzz: {name}: {' '.join(e.cmd[:3])} ...: status {e.returncode}")
    kept = ROOT / "tests/fuzz/corpus" / (pathlib.Path(row["harness"]).stem + ".hex")
    common = [bytes.fromhex(line) for line in kept.read_text().split()] if kept.exists() else []
    for n, seed in enumerate([*row["seeds"], *common]):
        (corpus / f"seed-{n}").write_bytes(seed)
    options = [f"-dict={ROOT / row['dictionary']}"] if row["dictionary"] else []
    done = subprocess.run([str(program), str(corpus), *options, f"-max_total_time={seconds}", f"-max_len={row['longest']}", "-timeout=60", "-rss_limit_mb=4096", f"-artifact_prefix={where}/",
                           "-print_final_stats=1"], stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, errors="replace")
    lines = done.stdout.splitlines()
    runs = next((x.rsplit(" ", 1)[-1] for x in lines if x.startswith("stat::number_of_executed_units")), "?")
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {name}: {runs} inputs in {seconds} s, {len(list(corpus.iterdir()))} kept", flush=True)
    if done.returncode:
        print("\n".join(lines[-40:]), f"\nfuzz: the input is in {where}", flush=True)
    if keep and done.returncode == 0:
        merged = where / "merged"
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir()
        subprocess.run([str(program), "-merge=1", str(merged), str(corpus)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        inputs = sorted((f.read_bytes() for f in merged.iterdir() if f.stat().st_size), key=lambda b: (len(b), b))
        step = max(1, -(-len(inputs) // keep))
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("".join(i.hex() + "\n" for i in inputs[::step] if len(i) <= 2048))
    return done.returncode == 0


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", required=True)
    ap.add_argument("--minutes", type=float, default=1)
    ap.add_argument("--keep", type=int, default=0, metavar="N", help="write about N inputs that reach different places to tests/fuzz/corpus")
    ap.add_argument("targets", nargs="*", help="of: " + ", ".join(TARGETS))
    args = ap.parse_args()
    unknown = [t for t in args.targets if t not in TARGETS]
    if unknown:
        sys.exit(f"fuzz: {unknown[0]}: there are {', '.join(TARGETS)}")
    if not shutil.which("clang++"):
        sys.exit("fuzz: there is no clang++; apt-get install clang")
    build = pathlib.Path(args.build).resolve()
    wanted = args.targets or list(TARGETS)
    seconds = max(1, round(args.minutes * 60 / len(wanted)))
    good = [fuzz(build, name, TARGETS[name], seconds, args.keep) for name in wanted]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
