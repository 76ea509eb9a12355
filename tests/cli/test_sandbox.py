#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""While a guest runs the process has given up what it does not need: every way of running one, switched off, and what the manifest says. proc(5), seccomp(2)."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import VITRINE, check, end, vitrine   # noqa: E402
from rsp import Client   # noqa: E402
from terminal import Terminal   # noqa: E402


def seccomp(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Seccomp:"))


def filtered(pid, wanted, seconds=30):
    """Within a while: the machine is put together first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if seccomp(pid) == wanted:
                return True
        except (OSError, StopIteration):
            return False
        time.sleep(0.05)
    return False


def begin(*args, **more):
    return subprocess.Popen([VITRINE, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def finish(process, by=signal.SIGINT):
    process.send_signal(by)
    return process.communicate(timeout=60)


with tempfile.TemporaryDirectory(prefix="vitrine-sandbox-") as where:
    where = pathlib.Path(where)
    rom = bytearray(b"\xf4" * 0x10000)
    rom[:2] = b"\xeb\xfe"                     # jmp $
    rom[0xfff0:0xfff3] = b"\xe9\x0d\x00"
    (where / "rom").write_bytes(rom)
    run = ["run", "--firmware", where / "rom", "--memory", "64M", "--console", "none"]

    probe = vitrine(*run, "--max-steps", 1, "-o", where / "probe")
    there = json.loads((where / "probe/manifest.json").read_text())["host"]["sandbox"]
    if "seccomp" not in there:
        check("a kernel that takes no filter is told of", "takes no filter of system calls" in probe.stderr, probe.stderr)
        end()
    check("the manifest says what is in force", probe.returncode == 124 and set(there) <= {"seccomp", "landlock"} and not probe.stderr.count("warning"), (there, probe.stderr))

    process = begin(*run, "-o", where / "run")
    check("a filter while a guest runs", filtered(process.pid, 2))
    out, err = finish(process)
    check("Ctrl-C ends the run as ever", process.returncode == 130 and (where / "run/manifest.json").exists(), (process.returncode, err))

    process = begin(*run, "--no-sandbox", "-o", where / "bare")
    time.sleep(0.5)
    check("none with --no-sandbox", filtered(process.pid, 0, 1))
    finish(process)
    check("and the manifest says so", json.loads((where / "bare/manifest.json").read_text())["host"]["sandbox"] == [])
    process = begin(*run, env={**os.environ, "VITRINE_NO_SANDBOX": "1"})
    time.sleep(0.5)
    check("none with VITRINE_NO_SANDBOX=1", filtered(process.pid, 0, 1))
    finish(process)
    done = [vitrine(*run, "--max-steps", 100000, "-o", where / name, *more) for name, more in (("a", []), ("b", ["--no-sandbox"]))]
    hashes = [json.loads((where / n / "manifest.json").read_text())["state_hash"] for n in "ab"]
    check("the run is the same with and without", hashes[0] == hashes[1] and all(d.returncode == 124 for d in done), hashes)

    process = begin(*run, "--net", "user", "-o", where / "net")
    check("with a network", filtered(process.pid, 2))
    finish(process)
    image = where / "disks" / "disk.img"
    image.parent.mkdir()
    image.write_bytes(bytes(8192))
    process = begin(*run, "--disk", image, "--checkpoint-every", 1000000, "-o", where / "disk")
    check("with a disk", filtered(process.pid, 2))
    until = time.monotonic() + 30
    while time.monotonic() < until and not any((where / "disk/cache").glob("*.ckpt")):
        time.sleep(0.05)
    err = finish(process)[1]
    check("and checkpoints are written", any((where / "disk/cache").glob("*.ckpt")) and "warning" not in err, err)

    terminal = Terminal("--firmware", where / "rom", "--memory", "64M")
    check("with a terminal", filtered(terminal.process.pid, 2))
    terminal.type("\x1d")
    check("which is left by its key, as it was before", terminal.end() == 0 and terminal.restored(), terminal.seen)

    process = begin(*run, "--gdb", 0)
    port = int(next(line for line in process.stderr if "waiting on" in line).split("127.0.0.1:")[1].split(";")[0])
    client = Client(port)
    check("a debugger comes in", client("?").startswith("T05"))
    check("and the filter is there", filtered(process.pid, 2))
    client.socket.close()
    finish(process, signal.SIGTERM)

    for verb, args in (("replay", ["--verify", where / "a"]), ("trace", [where / "a", "--from", "99990", "--to", "end"]), ("memory", [where / "a@5000", "-o", where / "memory.bin"]),
                       ("map", [where / "a@6000"]), ("diff", [f"{where}/a@7000", f"{where}/b@7000"]), ("report", [where / "b", "-o", where / "report.html"])):
        done = vitrine(verb, *args)
        check(f"{verb} runs again within it", done.returncode == 0, (done.returncode, done.stdout[-300:], done.stderr))
    check("and keeps what it found", (where / "memory.bin").exists() and (where / "report.html").exists() and len(list((where / "a/cache").iterdir())) > 1, list((where / "a/cache").iterdir()))

end()
