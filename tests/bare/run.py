#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the bare-metal guests of build/bare and compares with what the comments at the top of each source expect:

  EXPECT exit N             status that the guest writes to the exit device at port 0xf4 (0 if not said)
  EXPECT console "text"     printed on COM1
  EXPECT vitrine N          vitrine's status where it is not the guest's (1: triple fault, halted for good)
  ARGS words                the command line
  MEMORY size  CPUS n       256M, 1
  DEVICE words              one more device, as for --device; QEMU gets it as -device
  PLATFORM file             a platform description, relative to the top of the tree
  ALSO name...              once more on each of these of platforms/, as NAME@name (vitrine only)
  NEEDS vitrine|bochs       what only some emulators have (VMX: bochs; VT-d with the bus master: vitrine); nothing: qemu as well
  SKIP qemu|bochs why       what that emulator is known to get wrong

With --on kvm QEMU runs them under /dev/kvm, on the host's processor as far as the host's KVM lets it.

usage: tests/bare/run.py [--on vitrine|qemu|bochs|kvm] [NAME...]"""
import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SECONDS = 120


@dataclasses.dataclass
class Guest:
    name: str
    image: pathlib.Path
    exit: int = 0
    vitrine: int | None = None
    console: list = dataclasses.field(default_factory=list)
    args: str = ""
    memory: str = "256M"
    cpus: int = 1
    platform: str = ""
    needs: str = "qemu"
    devices: list = dataclasses.field(default_factory=list)
    also: list = dataclasses.field(default_factory=list)
    skip: dict = dataclasses.field(default_factory=dict)


def read(name, source, image):
    g = Guest(name, image)
    for line in source.read_text().splitlines():
        m = re.match(r"\s*(?://|;|#)\s*(EXPECT|ARGS|MEMORY|CPUS|DEVICE|PLATFORM|ALSO|NEEDS|SKIP)\s+(.*?)\s*$", line)
        if m is None:
            if line.strip() and not re.match(r"\s*(//|;|#)", line):
                break
            continue
        key, rest = m[1], m[2]
        if key == "EXPECT":
            what, _, value = rest.partition(" ")
            if what == "exit":
                g.exit = int(value)
            elif what == "vitrine":
                g.vitrine = int(value)
            elif what == "console" and re.fullmatch(r'".*"', value):
                g.console.append(value[1:-1])
            else:
                sys.exit(f"{source}: what is '{line.strip()}'?")
        elif key == "DEVICE":
            g.devices.append(rest)
        elif key == "ALSO":
            g.also += rest.split()
        elif key == "SKIP":
            who, _, why = rest.partition(" ")
            g.skip[who] = why
        else:
            setattr(g, key.lower(), int(rest) if key == "CPUS" else rest)
    return g


def guests(images):
    sys.path.insert(0, str(ROOT / "guests/bare"))
    import build
    for name, source, _ in build.guests():
        g = read(name, source, pathlib.Path(images) / name)
        yield g
        for platform in g.also:
            yield dataclasses.replace(g, name=f"{name}@{platform}", platform=f"platforms/{platform}.json", needs="vitrine")


def judge(g, status, want, console):
    why = [f"status {status}, expected {want}"] if status != want else []
    why += [f"not on the console: {text!r}" for text in g.console if text not in console]
    return not why, "\n".join([console.rstrip(), *why])


def run_vitrine(g, vitrine):
    with tempfile.TemporaryDirectory(prefix="vitrine-bare-") as where:
        command = [str(vitrine), "run", "--memory", g.memory, "--cpus", str(g.cpus), "--kernel", str(g.image), "--append", g.args,
                   "--max-steps", "2000000000", "--console", "raw", "-o", where + "/run"]
        command += [word for d in g.devices for word in ("--device", d)]
        if g.platform:
            command += ["--platform", str(ROOT / g.platform)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, errors="replace", stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return False, f"no end after {SECONDS} s"
        ok, why = judge(g, done.returncode, g.exit if g.vitrine is None else g.vitrine, done.stdout)
        return ok, why if ok else why + "\n" + done.stderr.rstrip()


def run_qemu(g, kvm=False):
    command = ["qemu-system-x86_64", "-machine", "q35", *(["-accel", "kvm", "-cpu", "host"] if kvm else ["-cpu", "max"]), "-m", g.memory, "-smp", str(g.cpus), "-display", "none", "-serial", "stdio",
               "-monitor", "none", "-no-reboot", "-kernel", str(g.image), "-append", g.args]
    for d in [d for d in g.devices if d != "fw-cfg"] + ([] if any("isa-debug-exit" in d for d in g.devices) else ["isa-debug-exit,iobase=0xf4,iosize=1"]):
        command += ["-device", d]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, errors="replace", stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as e:
        return False, (e.stdout or b"").decode(errors="replace") + f"\nno end after {SECONDS} s"
    status = done.returncode >> 1 if done.returncode & 1 else -1   # its own status is value << 1 | 1
    return judge(g, status, g.exit, done.stdout.replace("\r", ""))


def run_bochs(g):
    sys.path.insert(0, str(ROOT / "bench"))
    import bochs
    if bochs.missing():
        return False, f"not installed: {bochs.missing()}"
    text, _, how = bochs.run(g.image, g.args, seconds=SECONDS)
    m = re.search(r"exit status (\d+)", text)
    return judge(g, int(m[1]) if m else how, g.exit, text)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--on", choices=["vitrine", "qemu", "bochs", "kvm"], default="vitrine")
    ap.add_argument("--build", default=str(ROOT / "build"))
    ap.add_argument("-v", "--verbose", action="store_true")
    ap.add_argument("names", nargs="*")
    args = ap.parse_args()
    build = pathlib.Path(args.build)
    subprocess.run([str(ROOT / "guests/bare/build.py"), "-o", str(build / "bare")], check=True)
    failed = ran = 0
    rank = {"kvm": 0, "qemu": 0, "bochs": 1, "vitrine": 2}
    for g in guests(build / "bare"):
        if args.names and g.name not in args.names:
            continue
        if args.on in g.skip or rank[args.on] < rank[g.needs]:
            print(f"skip {g.name}: {g.skip.get(args.on, 'needs ' + g.needs)}")
            continue
        ok, why = run_vitrine(g, build / "vitrine") if args.on == "vitrine" else run_bochs(g) if args.on == "bochs" else run_qemu(g, args.on == "kvm")
        ran += 1
        failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {g.name}", flush=True)
        if not ok or args.verbose:
            print("".join(f"     {line}\n" for line in why.splitlines() if args.verbose or not line.startswith("ok ")), end="", flush=True)
    print(f"{ran - failed} passed, {failed} failed")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
