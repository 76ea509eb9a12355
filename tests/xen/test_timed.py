#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW
"""Xen under the timing models: cycles and their causes do not depend on a ledger, on checkpoints and going on from one in another process, on a debugger with
breakpoints, single steps and going back, and on making the run again. With DEEP=1 (./check --deep) up to dom0's kernel under `core`, too, and on several processors."""
import json
import os
import pathlib
import random
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import xen      # noqa: E402
import rsp      # noqa: E402

DEEP = bool(os.environ.get("DEEP"))
BUILDING = "console:'Building a PVH'"
# model, processors, until
RUNS = [("events", 1, xen.LINUX), ("core", 1, "console:'Domain heap initialised'")]
if DEEP:
    RUNS += [("core", 1, xen.LINUX), ("events", 4, xen.LINUX), ("core", 2, BUILDING)]

t = xen.Checks()


def what_counts(manifest):
    """All that must not differ: the timing has every processor's clock and cycles by cause."""
    return {k: manifest[k] for k in ("steps", "cycles", "retired", "state_hash", "timing")} | {"exits": manifest["stats"]["vm_exits"]}


def differences(a, b, at=""):
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in {**a, **b} for d in differences(a.get(k), b.get(k), f"{at}.{k}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for n, (x, y) in enumerate(zip(a, b)) for d in differences(x, y, f"{at}[{n}]")]
    return [] if a == b else [f"{at}: {a}, and {b}"]


class Moves:
    """A client of the debugger that goes about in a run: breakpoints that are hit, catch points, single steps, back and forth."""

    def __init__(self, port, seed):
        self.c = rsp.Client(port, 600)
        self.c("qSupported:swbreak+;hwbreak+")
        self.c("QStartNoAckMode")
        self.choice, self.hits, self.steps = random.Random(seed), 0, 0

    def address(self, symbol):
        return int(re.search(r"^\W*(?:\w+:)?\s*([0-9a-f]{16})", self.c.monitor(f"disasm {symbol} 1"), re.M).group(1), 16)

    def single_steps(self, n):
        for _ in range(n):
            self.c("vCont;s")
        self.steps += n

    def go(self, n):
        """On, n times, to whatever comes first."""
        for _ in range(n):
            self.hits += "replaylog" not in self.c("vCont;c")
            self.single_steps(self.choice.randrange(3))

    def about(self, last):
        """Something of all, here; not beyond step `last`."""
        c = self.c
        self.single_steps(150)
        rip = int.from_bytes(bytes.fromhex(c("p10")), "little")
        points = [f"0,{rip:x},1", f"1,{rip + 1:x},1"] + [f"0,{a:x},1" for a in self.addresses]
        for p in points:
            c("Z" + p)
        for rule in ("exception", "msr", "vm-exit", "vm-entry"):
            c.monitor(f"stop-on {rule}")
        self.go(12)
        for number in re.findall(r"^ *(\d+)", c.monitor("stop-on"), re.M):
            c.monitor(f"stop-on off {number}")
        for p in points:
            c("z" + p)
        here = c.step_number()
        for _ in range(20):
            c("bs")
        c.monitor("goto -700000")
        self.single_steps(20)
        c.monitor(f"goto {min(last, here + 300000)}")

    def through(self, moments):
        self.addresses = [self.address(s) for s in ("printk", "ept_set_entry", "map_pages_to_xen")]
        for k in moments:
            self.c.monitor(f"goto {k}")
            self.about(k + 3_000_000)


def one(where, model, processors, until):
    name = f"{model}{f', {processors} processors' if processors > 1 else ''}"
    begin = time.monotonic()
    options = ["--timing", f"{model},profile=measured-server", *(["--cpus", str(processors)] if processors > 1 else [])]

    def made(directory, *more):
        r = xen.boot(where / directory, *options, *more, kernel=KERNEL, until=until)
        t.check(f"{name}, {directory}: ends where it should", r.status == 0, r.why())
        return r

    plain = made("plain")
    if plain.status:
        return
    want = what_counts(plain.manifest)
    steps = want["steps"]

    def same(how, manifest):
        found = differences(want, what_counts(manifest))
        t.check(f"{name}, {how}: the same hash, steps, cycles and causes", not found, "\n".join(found[:20]))

    t.check(f"{name}: every processor has cycles, and the hypervisor most of them", len(want["timing"]["cpus"]) == processors and
            all(p["root"]["instructions"] > 1_000_000 and p["root"]["cycles"] > p["guest"]["cycles"] for p in want["timing"]["cpus"]), want["timing"])
    # Under a debugger from the first step on, with a ledger and checkpoints; in the long form each alone, too.
    watched = ["--ledger", "--checkpoint-every", str(steps // 7 * 2)]
    if DEEP:
        same("with a ledger", made("ledger", *watched[:1]).manifest)
        same("with checkpoints", made("checkpoints", *watched[1:]).manifest)
    command = ["run", "--kernel", xen.GUESTS / "xen.gz", "--append", xen.XEN_LINE, "--module", f"{KERNEL} {xen.DOM0_LINE}", "--module", xen.GUESTS / "initrd.gz", "--symbols",
               xen.GUESTS / "xen-syms", "-o", where / "debugger", "--console", "file", "--max-steps", 20_000_000_000, "--until", until, "--memory", "2G", *options, *watched, "--gdb", 0]
    server = rsp.Server(xen.VITRINE, *command)
    m = Moves(server.port, 1)
    m.through([steps * k // 100 for k in ((3, 55, 97) if not DEEP else range(3, 99, 8))])
    m.c("D")
    m.c.close()
    kept = xen.Result(server.process.wait(600), "", "", where / "debugger")
    t.check(f"{name}: made under a debugger, stopped {m.hits} times on the way and {m.steps} single steps", kept.status == 0 and m.hits > 20, (kept.status, m.hits))
    same("made under a debugger, with a ledger and checkpoints", kept.manifest)

    # Going on from a checkpoint, in another process.
    for at in ("60%",) if not DEEP else ("30%", "60%", "90%"):
        done = xen.vitrine("replay", kept.directory, "--from", at, "--verify", seconds=600)
        t.check(f"{name}: from a checkpoint, in another process, to the same states (--from {at})", done.returncode == 0 and "from the checkpoint at step" in done.stderr
                and f"state at step {steps:,}" in done.stdout, done.stdout + done.stderr)

    if model == "events" and not DEEP:
        return print(f"  {name}: {time.monotonic() - begin:.1f} s", flush=True)

    # The finished run, from one of its checkpoints on, back and forth.
    server = rsp.Server(xen.VITRINE, "gdb", f"{kept.directory}@62%", "--serve", 0)
    m = Moves(server.port, 2)
    hashes = {}
    for k in (66, 94):
        m.c.monitor(f"goto {steps * k // 100}")
        hashes[k] = m.c.monitor("hash")
    m.through([steps * k // 100 for k in (96, 63)])
    for k, h in hashes.items():
        m.c.monitor(f"goto {steps * k // 100}")
        t.check(f"{name}: at {k}% the same state on the second way", m.c.monitor("hash") == h, (h, m.c.monitor("hash")))
    m.c.monitor("goto end")
    t.check(f"{name}: gone through by a debugger, {m.hits} stops: the same state at the end", m.c.monitor("hash").strip() == want["state_hash"] and m.hits > 10, (m.c.monitor("hash"), m.hits))
    m.c.close()
    server.end()

    # Made again in stretches: each cycle is in one of them.
    done = xen.vitrine("stat", plain.directory, "--by", "phase", *(a for k in (11, 40, 93) for a in ("--phase", f"{k}%")), "--json", seconds=600)
    phases = json.loads(done.stdout)["phases"] if done.returncode == 0 else []
    for context, key in (("hypervisor", "root"), ("guest", "guest")):
        whole = sum(p[key]["cycles"] for p in want["timing"]["cpus"])
        got = sum(p[context]["cycles"] for p in phases)
        t.check(f"{name}, {context}: made again in four stretches, the same cycles but for fractions", len(phases) == 4 and abs(got - whole) <= 4 + processors, (got, whole, done.stderr))
    if processors == 1:
        stacks_of_calls(name, plain)
    print(f"  {name}: {time.monotonic() - begin:.1f} s", flush=True)


def stacks_of_calls(name, run):
    done = xen.vitrine("stat", run.directory, "--by", "function", "--folded", seconds=600)
    stacks = [(line.rsplit(" ", 1)[0], int(line.rsplit(" ", 1)[1])) for line in done.stdout.splitlines()]
    below = sum(n for s, n in stacks if s.startswith("hypervisor;__high_start;__start_xen;"))
    t.check(f"{name}: nearly all of the hypervisor's cycles are below __start_xen", below > .9 * sum(n for s, n in stacks if s.startswith("hypervisor;")) > 0, stacks[:5])
    t.check(f"{name}: modules are moved by memmove, which move_memory calls", any(re.match(r"hypervisor;.*;move_memory[^;]*;memmove$", s) for s, _ in stacks), stacks[:5])
    t.check(f"{name}: Xen's symbols name nothing of its guest", all(s in ("guest;[unknown]", "guest;[user]") for s, _ in stacks if s.startswith("guest")), stacks)


KERNEL = xen.plain_kernel()
for run in RUNS:
    with tempfile.TemporaryDirectory(prefix="vitrine-timed-") as directory:
        one(pathlib.Path(directory), *run)
t.end()
