#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vitrine gdb from outside: real gdb and hostile clients on a ROM image of a few bytes; nothing of it changes the run."""
import json
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import VITRINE, check, end, vitrine   # noqa: E402
import rsp   # noqa: E402


# F000:0000: mov cx, 2000; loop: mov ax, [0x500]; inc ax; mov [0x500], ax; print '.' every 256th; loop; exit device
CODE = bytes([0xb9, 0xd0, 0x07]) + b"\xa1\x00\x05" + b"\x40" + b"\xa3\x00\x05" + b"\x84\xc0\x75\x06" + b"\xba\xf8\x03\xb0.\xee" + b"\xe2\xed" + \
    b"\xba\xf8\x03\xb0\x0a\xee" + b"\xb0\x00\xe6\xf4"


def rom(code):
    image = bytearray(b"\xf4") * 0x10000
    image[:len(code)] = code
    image[0xfff0:0xfff3] = b"\xe9\x0d\x00"
    return bytes(image)


def messages(where, run):
    for name, args, status, words in [
            ("no run", ["gdb", where / "none"], 4, "not a run directory"),
            ("a step behind the end", ["gdb", f"{run}@99999999", "--serve", 0], 2, "the run has"),
            ("a port that is none", ["gdb", run, "--serve", "70000"], 2, "not a port"),
            ("memory that is none", ["gdb", run, "--serve", 0, "--checkpoint-memory", "12"], 2, "not a size")]:
        done = vitrine(*args)
        check(f"{name}: status {status}, and says so", done.returncode == status and words in done.stderr, f"{done.returncode} {done.stderr}")
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    done = vitrine("gdb", run, "--serve", taken.getsockname()[1])
    check("a port that is taken: status 4, and says so", done.returncode == 4 and "choose another port" in done.stderr, done.stderr)
    taken.close()


def real_gdb(run, steps):
    server = rsp.Server(VITRINE, "gdb", run, "--serve", 0)
    status, out = rsp.gdb([
        f"target remote 127.0.0.1:{server.port}", "printf \"begin %ld\\n\", $step", "break *6", "continue", "continue", "print $pc", "print $ax",
        "stepi", "print/x $cs", "print $cr0", "reverse-stepi", "reverse-continue", "printf \"at %ld\\n\", $step", "info threads", "monitor help",
        "delete", "watch *(unsigned short*)0x500", "continue", "continue", "reverse-continue", "set var *(char*)0x500 = 1", "monitor when",
        "delete", "continue", "printf \"end %ld\\n\", $step", "detach"])
    check("gdb connects and goes", status == 0 and "begin 0" in out, out)
    check("gdb's breakpoints", out.count("Breakpoint 1,") >= 3, out[:1200])
    check("gdb's watchpoints, by hardware", re.search(r"ardware watchpoint 2: .*\n\nOld value = \d+\nNew value = \d+", out), out)
    check("control registers have names", "[ ET NW CD ]" in out or "[ ET" in out, out)
    check("threads are processors", "cpu 0: real, CPL 0, VMX off" in out, out)
    check("monitor help lists commands", "stop-on" in out and "vmcs" in out, out)
    check("memory cannot be changed", re.search(r"annot access memory|E\.|is fixed|rror", out), out)
    check("the end is an end", "No more reverse-execution history" in out and f"end {steps}" in out, out)
    check("the server ends when it is killed", server.end() == 0, server.text)


def read_watchpoints(run):
    """The loop reads the counter at step 4n + 1 or so and writes it two instructions later."""
    server = rsp.Server(VITRINE, "gdb", run, "--serve", 0)
    status, out = rsp.gdb([
        f"target remote 127.0.0.1:{server.port}", "awatch *(unsigned short*)0x500", "continue", "continue", "continue", "reverse-continue", "delete",
        "rwatch *(unsigned short*)0x500", "reverse-continue", "printf \"back %ld\\n\", $step", "detach"])
    check("gdb's access watchpoints", status == 0 and "ardware access (read/write) watchpoint 1" in out and out.count("\nValue = ") >= 2 and "New value = " in out, out)
    check("gdb's read watchpoints, backwards", "ardware read watchpoint 2: *(unsigned short*)0x500\n\nValue = " in out and re.search(r"^back \d+$", out, re.M), out)
    server.end()


def unchanged(run, hash_):
    """Random moving about with and without breakpoints, then to the end."""
    server = rsp.Server(VITRINE, "gdb", run, "--serve", 0)
    c = rsp.Client(server.port)
    c("qSupported:swbreak+")
    choice = random.Random(7)
    for _ in range(300):
        c(choice.choice(["vCont;s:1", "vCont;s:1", "bs", "bs", "Z0,6,1", "z0,6,1", "Z0,a,1", "Z2,500,2", "z2,500,2", "vCont;c", "bc", "m500,40", "g", "qfThreadInfo", "vCont;r0,8:1"]))
        if choice.random() < 0.1:
            c.monitor(choice.choice(["goto 50%", "goto -100", "goto +77", "bt", "regs", "lapic", "pci", "map --of e820", "walk gva:500", "goto 3"]))
    for p in ("z0,6,1", "z0,a,1", "z2,500,2"):
        while c(p) == "OK":
            pass
    c.monitor("goto end")
    check("after 300 random commands the end is that of the run", c.monitor("hash").strip() == hash_, c.monitor("hash"))
    c.close()
    server.end()


def hostile(run, hash_):
    server = rsp.Server(VITRINE, "gdb", run, "--serve", 0)
    check("it listens on the loopback interface only", all(a.startswith("0100007F:") for a in rsp.listeners(server.process.pid)) and rsp.listeners(server.process.pid), rsp.listeners(server.process.pid))
    c = rsp.Client(server.port)
    c.raw(b"$m0,4#00" + b"$" * 100 + b"\x03\x03---" + b"$}#}#" + b"\x00\xff" * 500)
    c.raw(rsp.frame("?"))
    reply = c.read()
    while not reply.startswith("T05"):
        reply = c.read()
    check("rubbish is passed over", reply.startswith("T05"), reply)
    c.raw(b"$" + b"x" * 3_000_000 + b"#%02x" % (3_000_000 * ord("x") & 0xff))
    check("a giant packet is refused", c.read().startswith("E."))
    check("giant lengths give what there is", 0 < len(c("m0,ffffffffffffffff")) <= 0x4000 and c("Z2,0,ffffffffffffffff").startswith("E"))
    other = rsp.Client(server.port, 10)
    try:
        said = other.read()
    except (EOFError, OSError):
        said = ""
    check("a second client is told that there is one", said.startswith("E.another"), said)
    other.close()
    c("Z0,6,1")
    c.raw(rsp.frame("vCont;c")[:-3])
    c.close()   # in the middle of a packet
    c = rsp.Client(server.port)
    c("vCont;s:1")
    c.raw(rsp.frame("vCont;c"))
    c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()   # by reset, while it runs
    choice = random.Random(3)
    for _ in range(20):
        c = rsp.Client(server.port, 10)
        c.raw(bytes(choice.choice(b"$#}+-mMXgGpPqQvVbcsZz0123456789abcdef,;:\x03\x00") for _ in range(choice.randrange(2000))))
        c.close()
    c = rsp.Client(server.port)
    check("the next client finds no breakpoints of the others", c("vCont;c").startswith("T05thread:1;replaylog:end"))
    check("and the machine as it should be", c.monitor("hash").strip() == hash_)
    c.monitor("goto begin")
    check("the beginning is still there", c.step_number() == 0)
    c.close()
    check("it is still alive", server.end() == 0, server.text)


def interrupts(where):
    loop = where / "loop-rom"
    loop.write_bytes(rom(b"\xb4\x01\xeb\xfc"))
    run = where / "loop-run"
    done = vitrine("run", "--firmware", loop, "-o", run, "--console", "none", "--max-steps", "600000000")
    if not check_run("a long loop", done, 124):
        return
    server = rsp.Server(VITRINE, "gdb", run, "--serve", 0)
    c = rsp.Client(server.port)
    c.send("vCont;c")
    time.sleep(0.5)
    c.raw(b"\x03")
    reply = c.read()
    check("an interrupt stops it", reply.startswith("T02"), reply)
    here = c.step_number()
    check("somewhere in between", 0 < here < 600_000_000, here)
    server.process.send_signal(signal.SIGINT)
    check("Ctrl-C ends the server: status 130", server.process.wait(30) == 130)
    server.end()


def files_of(run):
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["stats"]["blocks_decoded"]   # how code is decoded, not what it does
    return [(run / f).read_bytes() for f in ("console.txt", "events.vit", "platform.json")], {k: manifest[k] for k in ("state_hash", "steps", "retired", "stats", "end")}


def fresh(where, run):
    """vitrine run --gdb: what it leaves behind is what it leaves without."""
    for name, leave in (("detached", "D"), ("disconnected", None)):
        out = where / f"fresh-{name}"
        server = rsp.Server(VITRINE, "run", "--firmware", where / "rom", "-o", out, "--console", "none", "--gdb", 0)
        c = rsp.Client(server.port)
        choice = random.Random(11)
        c("vCont;s:1")
        c.monitor("goto 9000")
        for _ in range(60):
            c(choice.choice(["vCont;s:1", "bs", "Z0,6,1", "z0,6,1", "vCont;c", "bc", "g", "vCont;r0,8:1"]))
        c.monitor("goto 5000")
        if leave:
            c(leave)
        c.close()
        status = server.process.wait(60)
        got, want = files_of(out), files_of(run)
        check(f"run --gdb, {name}: the same run, console and events once", status == 0 and got == want, f"{status} {got[1]} {want[1]}")
    out = where / "fresh-killed"
    server = rsp.Server(VITRINE, "run", "--firmware", where / "rom", "-o", out, "--console", "none", "--gdb", 0)
    c = rsp.Client(server.port)
    c("vCont;s:1")
    c.send("k")
    check("run --gdb, killed: status 130", server.process.wait(60) == 130)
    check("and the run is there as far as it went", json.loads((out / "manifest.json").read_text())["steps"] == 1)
    # With a ledger and conditions, whatever way the debugger takes: what is gone through again is heard once.
    for name, more, status in (("--ledger", ["--ledger"], 0), ("--bad-if", ["--bad-if", "console:'.....'", "--good-if", "rule:aliased-ram"], 1), ("--until", ["--until", "console:'...'"], 0)):
        plain, out = where / f"plain{name}", where / f"fresh{name}"
        done = vitrine("run", "--firmware", where / "rom", "-o", plain, "--console", "none", *more)
        server = rsp.Server(VITRINE, "run", "--firmware", where / "rom", "-o", out, "--console", "none", "--gdb", 0, *more)
        c = rsp.Client(server.port)
        choice = random.Random(5)
        for _ in range(80):
            c(choice.choice(["vCont;s:1", "vCont;s:1", "bs", "Z0,6,1", "z0,6,1", "Z2,500,2", "z2,500,2", "vCont;c", "bc"]))
            if choice.random() < 0.2:
                c.monitor(choice.choice(["goto 5000", "goto -50", "goto +700", "goto 3"]))
        c("D")
        c.close()
        got = server.process.wait(60)
        check(f"run --gdb {name}: the same run, status {status}", got == done.returncode == status and files_of(out) == files_of(plain), f"{got} {done.returncode} {files_of(out)[1]} {files_of(plain)[1]}")


def check_run(name, done, status):
    check(f"{name} runs", done.returncode == status, f"{done.returncode} {done.stderr}")
    return done.returncode == status


def started_by_vitrine(run):
    """Without --serve gdb is started; its commands come from stdin here."""
    done = subprocess.run([VITRINE, "gdb", str(run)], input="printf \"step %ld\\n\", $step\nstepi\nprintf \"step %ld\\n\", $step\nmonitor goto 50%\nprintf \"step %ld\\n\", $step\nquit\n",
                          capture_output=True, text=True, timeout=60)
    found = re.findall(r"step (\d+)$", done.stdout, re.M)
    check("gdb is started and connected", done.returncode == 0 and found[:2] == ["0", "1"], done.stdout + done.stderr)
    check("after monitor goto it knows the registers of then", len(found) == 3 and int(found[2]) > 100, found)


def main():
    with tempfile.TemporaryDirectory() as path:
        where = pathlib.Path(path)
        (where / "rom").write_bytes(rom(CODE))
        run = where / "run"
        if check_run("the guest", vitrine("run", "--firmware", where / "rom", "-o", run, "--console", "none"), 0):
            manifest = json.loads((run / "manifest.json").read_text())
            messages(where, run)
            read_watchpoints(run)
            real_gdb(run, manifest["steps"])
            unchanged(run, manifest["state_hash"])
            hostile(run, manifest["state_hash"])
            started_by_vitrine(run)
            fresh(where, run)
            interrupts(where)
    end()


if __name__ == "__main__":
    main()
