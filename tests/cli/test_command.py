#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The command from outside, with ROM images of a few bytes: statuses, messages, what a run directory holds, determinism, Ctrl-C."""
import json
import pathlib
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import VITRINE, check, end, vitrine   # noqa: E402


def rom(code, fill=0xf4):
    """64 KiB; the reset vector jumps to `code` at F000:0000."""
    image = bytearray([fill]) * 0x10000
    image[:len(code)] = code
    image[0xfff0:0xfff3] = b"\xe9\x0d\x00"
    return bytes(image)


def say(text):
    """Prints on COM1."""
    out = b"\xba\xf8\x03"                                  # mov dx, 0x3f8
    for c in text.encode():
        out += bytes([0xb0, c, 0xee])                      # mov al, c; out dx, al
    return out


EXIT = lambda n: bytes([0xb0, n, 0xe6, 0xf4])              # mov al, n; out 0xf4, al
LOOP = b"\xeb\xfe"
HALT = b"\xfa\xf4"                                         # cli; hlt
RESET = b"\xba\xf9\x0c\xb0\x06\xee"                        # mov dx, 0xcf9; mov al, 6; out dx, al
POWER_OFF = b"\xba\x04\x06\xb8\x00\x34\xef"                # mov dx, 0x604; mov ax, SLP_TYP 5 + SLP_EN; out dx, ax
UNSUPPORTED = b"\x66\xb9\xd9\x01\x00\x00\x66\xb8\x01\x00\x00\x00\x66\x31\xd2\x0f\x30"   # wrmsr IA32_DEBUGCTL, LBR


def triple():
    """LIDT with limit 0, then INT3: neither it nor the double fault can be delivered."""
    code = b"\x2e\x0f\x01\x1e" + struct.pack("<H", 0x40) + b"\xcc"
    return code + b"\xf4" * (0x40 - len(code)) + b"\0" * 6


class Where:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.n = 0

    def rom(self, code):
        self.n += 1
        file = self.path / f"rom{self.n}"
        file.write_bytes(rom(code))
        return file

    def run(self, code, *args, out=None):
        out = out or self.path / f"run{self.n + 1}"
        done = vitrine("run", "--firmware", self.rom(code), "-o", out, *args)
        file = out / "manifest.json"
        return done, json.loads(file.read_text()) if file.exists() else None, out


def ends(w):
    for name, code, args, status, reason, words in [
            ("exit device", EXIT(7), [], 7, "exit-device", "status 7"),
            ("exit device, 0", EXIT(0), [], 0, "exit-device", "status 0"),
            ("QEMU's exit device", EXIT(7), ["--device", "isa-debug-exit"], 15, "exit-device", "status 15 (isa-debug-exit, value 0x7)"),
            ("QEMU's exit device, 0", EXIT(0), ["--device", "isa-debug-exit,iobase=0xf4,iosize=0x4"], 1, "exit-device", "status 1 (isa-debug-exit, value 0x0)"),
            ("QEMU's exit device elsewhere", EXIT(7), ["--device", "isa-debug-exit,iobase=0x501,iosize=2"], 7, "exit-device", "status 7"),
            ("power off", POWER_OFF + LOOP, [], 0, "power-off", "powered off"),
            ("power off before --until", POWER_OFF + LOOP, ["--until", "console:'x'"], 1, "power-off", "before console:'x'"),
            ("reset", RESET + LOOP, [], 1, "reset", "reset"),
            ("halted for good", HALT, ["--max-steps", 2000000000], 1, "halted", "halted for good"),
            ("triple fault", triple(), [], 1, "triple-fault", "triple fault"),
            ("not modelled", UNSUPPORTED, [], 3, "unsupported", 'last branch recording (IA32_DEBUGCTL.LBR) (SDM 3B "IA32_DEBUGCTL MSR"), at rip 0x'),
            ("step limit", LOOP, ["--max-steps", "10,000"], 124, "limit", "step limit"),
            ("until a step", LOOP, ["--until", 12345], 0, "until", "reached 12345"),
            ("until text", say("hello") + LOOP, ["--until", "console:'ell'"], 0, "until", "reached console:'ell'")]:
        done, m, out = w.run(code, *args)
        ok = done.returncode == status and m and m["end"]["reason"] == reason and m["exit_status"] == status and words in done.stderr
        check(f"end: {name}", ok, (done.returncode, m and m["end"], done.stderr))
        if status in (1, 3) and reason not in ("power-off", "exit-device"):
            check(f"end: {name}: the last state of the processor is shown", re.search(r"cpu 0: .*\n  rip [0-9a-f]{16}", done.stderr), done.stderr)
    done, m, _ = w.run(LOOP, "--until", 12345)
    check("a run until a step makes exactly so many", m["steps"] == 12345 and m["cycles"] == 12345, m["steps"])


def full_disk(w):
    """Files cannot grow beyond 12 KiB, which is what a full disk looks like to whoever writes."""
    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (12288, 12288))
    out = w.path / "full"
    file = w.rom(say("kept") + b"\xb9\x00\x40\xe2\xfe" + EXIT(0))
    image = bytearray(file.read_bytes())
    image[0x1000:0xe000] = random.Random(1).randbytes(0xd000)   # so that a checkpoint does not become small
    file.write_bytes(image)
    done = vitrine("run", "--firmware", file, "-o", out, "--memory", "64M", "--checkpoint-every", 5000, preexec_fn=small)
    m = json.loads((out / "manifest.json").read_text())
    check("a full disk: status 1, and which file", done.returncode == 1 and "5000.ckpt.part: cannot be written (disk full?); no more checkpoints are written" in done.stderr
          and "end.ckpt.part: cannot be written (disk full?)" in done.stderr, (done.returncode, done.stderr))
    check("the run has gone on to its end, and what there is can be read", m["end"]["reason"] == "exit-device" and m["exit_status"] == 1 and "kept" in (out / "console.txt").read_text()
          and vitrine("stat", out).returncode == 0, m["end"])
    check("nothing half-written is left", not list(out.rglob("*.part")), list(out.rglob("*")))
    done = vitrine("run", "--firmware", w.rom(EXIT(0)), "-o", "/proc/nowhere/run")
    check("a run directory that cannot be made: status 2, and why", done.returncode == 2 and "-o /proc/nowhere/run: cannot be made" in done.stderr, done.stderr)


def run_directory(w):
    done, m, out = w.run(say("one\r\ntwo") + EXIT(0))
    files = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    check("files of a run", files == ["cache/end.ckpt", "console.txt", "events.vit", "manifest.json", "platform.json"], files)
    console = (out / "console.txt").read_text()
    check("console lines carry their step", re.fullmatch(r"\[ +\d+\] one\n\[ +\d+\] two\n", console), console)
    check("and are on stdout", done.stdout == console, done.stdout)
    i = m["inputs"][0]
    sha = subprocess.run(["sha256sum", i["file"]], capture_output=True, text=True).stdout.split()[0]
    check("inputs with their SHA-256", i["role"] == "firmware" and i["size"] == 65536 and i["sha256"] == sha, m["inputs"])
    check("the state hash", re.fullmatch(r"[0-9a-f]{32}", m["state_hash"]), m["state_hash"])
    raw = vitrine("run", "--firmware", i["file"], "--console", "raw")
    check("--console raw", raw.stdout == "one\ntwo" and raw.returncode == 0, repr(raw.stdout))
    check("--console none", vitrine("run", "--firmware", i["file"], "--console", "none").stdout == "")
    for verb, schema in (("stat", "vitrine.stat/1"), ("map", "vitrine.map/1")):
        j = vitrine(verb, out, "--json")
        check(f"{verb} --json", j.returncode == 0 and json.loads(j.stdout)["schema"] == schema, j.stderr)
    check("stat", "exit-device" in vitrine("stat", out).stdout)
    check("map tells that there is no EPT", "no EPT" in vitrine("map", out).stderr)
    j = vitrine("walk", out, "gva:f0000", "--json")
    check("walk without paging", json.loads(j.stdout)["result"]["hpa"] == "0xf0000", j.stdout)
    image = w.path / "image"
    done = vitrine("memory", out, "-o", image, "0xf0000+64K")
    check("memory", done.returncode == 0 and image.read_bytes() == pathlib.Path(i["file"]).read_bytes(), done.stderr)
    check("an older run is replaced", w.run(EXIT(3), out=out)[1]["exit_status"] == 3 and (out / "console.txt").read_text() == "")


def determinism(w):
    code = say("x") + b"\xb9\xff\xff" + b"\xe2\xfe" + EXIT(0)      # a loop of 65535
    a, b, c = w.run(code)[1], w.run(code)[1], w.run(code.replace(b"x", b"x") + b"\x90")[1]
    check("two runs have one hash", a["state_hash"] == b["state_hash"] and a["steps"] == b["steps"])
    check("one byte more in the ROM changes it", a["state_hash"] != c["state_hash"])
    d = w.run(code, "--memory", "256M")[1]
    check("another platform changes it", a["state_hash"] != d["state_hash"])
    for m in (a, b):
        for key in ("host", "arguments", "options", "inputs"):
            m.pop(key)
    check("manifests differ in nothing else", a == b)


def refusals(w):
    good, out = w.rom(EXIT(0)), w.path / "never"
    other = w.path / "other"
    other.mkdir()
    (other / "file").write_text("precious")
    broken = w.path / "broken.json"
    broken.write_text("{")
    short = w.path / "short"
    short.write_bytes(b"\x7fELF")
    for name, args, status, words in [
            ("no kernel", [], 2, "--kernel"),
            ("unknown option", ["--nothing"], 2, "--nothing"),
            ("an option of a later version", ["--firmware", good, "--reboot", "x"], 2, "--reboot: is not in this version"),
            ("until a symbol", ["--firmware", good, "--until", "sym:x"], 2, "--until sym:x: there are no symbols"),
            ("a time that is none", ["--firmware", good, "--until", "soon"], 2, "not a time"),
            ("--console", ["--firmware", good, "--console", "x"], 2, "--console x"),
            ("--console file without a directory", ["--firmware", good, "--console", "file"], 2, "-o DIR"),
            ("memory", ["--firmware", good, "--memory", "much"], 2, "--memory much"),
            ("processors", ["--firmware", good, "--cpus", 99], 2, "--cpus 99"),
            ("AMD", ["--firmware", good, "--cpu", "amd"], 2, "out of scope"),
            ("a directory of somebody's", ["--firmware", good, "-o", other], 2, "something else in it"),
            ("missing kernel", ["--kernel", w.path / "missing"], 4, "missing: cannot be opened"),
            ("truncated kernel", ["--kernel", short], 4, "short: "),
            ("broken platform", ["--firmware", good, "--platform", broken], 4, "broken.json: "),
            ("missing symbols", ["--firmware", good, "--symbols", w.path / "none"], 4, "none: cannot be opened")]:
        done = vitrine("run", *args, *([] if "directory" in name else ["-o", out]))
        check(f"refused: {name}", done.returncode == status and words in done.stderr + done.stdout and not out.exists(), (done.returncode, done.stderr))
    check("somebody's file is still there", (other / "file").read_text() == "precious")
    for name, args, status, words in [
            ("no verb", [], 2, "--help"), ("unknown verb", ["frobnicate"], 2, "frobnicate"),
            ("no run", ["map", other], 4, "not a run directory"), ("no run, at a time", ["map", str(other) + "@12"], 4, "not a run directory"),
            ("no such table", ["map", other, "--of", "x"], 2, "--of x"), ("no address", ["walk", other, "12"], 2, "what kind"),
            ("lint of nothing", ["platform", "lint", w.path / "missing"], 4, "cannot be opened")]:
        done = vitrine(*args)
        check(f"refused: {name}", done.returncode == status and words in done.stderr + done.stdout, (done.returncode, done.stderr))
    check("lint of a broken description", vitrine("platform", "lint", broken).returncode == 1)
    show = vitrine("platform", "show", "--memory", "1G", "--json")
    mine = w.path / "mine.json"
    mine.write_text(show.stdout)
    again = vitrine("platform", "show", mine, "--json")
    check("a shown platform can be read again", show.returncode == 0 and again.stdout == show.stdout, again.stderr)
    check("--version", re.fullmatch(r"vitrine \d+\.\d+\.\d+\n", vitrine("--version").stdout))
    check("--help", "Exit status" in vitrine("--help").stdout)


def interruption(w):
    out = w.path / "interrupted"
    p = subprocess.Popen([VITRINE, "run", "--firmware", w.rom(say("up\n") + LOOP), "-o", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    time.sleep(0.2)
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=60)
    m = json.loads((out / "manifest.json").read_text())
    check("Ctrl-C: status 130 and a readable run", p.returncode == 130 and m["end"]["reason"] == "interrupted" and m["steps"] > 0, (p.returncode, err))
    check("Ctrl-C: the end can be looked at", vitrine("map", out).returncode == 0)
    out = w.path / "killed"
    p = subprocess.Popen([VITRINE, "run", "--firmware", w.rom(say("up\n") + LOOP), "-o", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    time.sleep(0.2)
    p.kill()
    p.communicate(timeout=60)
    m = json.loads((out / "manifest.json").read_text())
    check("killed: the manifest says unfinished", m["end"]["reason"] == "unfinished" and m["exit_status"] is None)
    check("killed: the console is there", "up" in (out / "console.txt").read_text())
    done = vitrine("map", out)
    check("killed: map says what is missing", done.returncode == 4 and "checkpoint" in done.stderr, done.stderr)
    check("killed: stat works", "unfinished" in vitrine("stat", out).stdout)


def main():
    with tempfile.TemporaryDirectory(prefix="vitrine-command-") as where:
        w = Where(where)
        for part in (ends, full_disk, run_directory, determinism, refusals, interruption):
            part(w)
    end()


if __name__ == "__main__":
    main()
