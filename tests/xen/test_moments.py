# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen
"""Moments of a boot of Xen: VM exits and entries, symbols and console texts are what a fresh run to there is; a run made again takes the
same way, with what was typed; Xen's own dumps (debug keys) from forks before and after dom0 starts, and its EPT dump against map."""
import concurrent.futures
import hashlib
import json
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

c = xen.Checks()
MOMENTS = ["entry#1", "exit#40", "exit:cpuid", "sym:ept_set_entry#300", "console:'Building a PVH Dom0'"]
KEYS = ["--type", "console:'Linux version'=^A^A^Ah", "--type", "console:'show this message'=^A^A^A"]


def ept(run):
    done = xen.vitrine("map", run, "--of", "ept", "--json", seconds=300)
    return json.loads(done.stdout) if done.returncode == 0 else {"tables": [], "step": None, "why": done.stderr}


def pages(table):
    """frame: (machine frame, access, memory type, whether it ignores PAT) of every 4 KiB page"""
    out = {}
    for r in table["ranges"]:
        first, last, target = int(r["first"], 16), int(r["last"], 16), int(r["target"], 16)
        for k in range((last - first + 1) >> 12):
            out[(first >> 12) + k] = ((target >> 12) + k, r["access"], r["memory_type"], r["ipat"])
    return out


def dumped(text):
    """The same from Xen's EPT dump; it leaves out nothing that is present, and ends where its table does."""
    out = {}
    for m in re.finditer(r"gfn: +([0-9a-f]+) +order: +(\d+) +mfn: +([0-9a-f]+) ([r ][w ][x ]) (\w+|\?+)(!?)", text):
        for k in range(1 << int(m[2])):
            out[int(m[1], 16) + k] = (int(m[3], 16) + k, m[4].replace(" ", "-"), "pending" if m[5][0] == "?" else m[5], m[6] == "!")
    return out


def memory(run, where):
    xen.vitrine("memory", run, "-o", where, "0-0xfffffff", seconds=300)
    return hashlib.sha256(where.read_bytes()).hexdigest()


def steps_later(err):
    m = re.search(r"began ([\d,]+) steps after the key", err)
    return int(m[1].replace(",", "")) if m else None


with tempfile.TemporaryDirectory(prefix="vitrine-moments-") as where:
    where = pathlib.Path(where)
    plain = xen.plain_kernel()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(xen.boot, where / name, *more, kernel=plain, until=until) for name, more, until in
                [("run", [], "console:'Memory: '"), ("typed", KEYS, "console:'Memory: '"), ("typed2", KEYS, "console:'Memory: '")] +
                [(f"fresh{n}", [], t) for n, t in enumerate(MOMENTS)]]
        run, typed, typed2, *fresh = [j.result() for j in jobs]
    if not c.check("the boot", run.status == 0, run.why()):
        c.end()

    for t, f in zip(MOMENTS, fresh):
        at = f"{run.directory}@{t}"
        if not c.check(f"--until {t}", f.status == 0, f.why()):
            continue
        a, b = ept(at), ept(f.directory)
        c.check(f"@{t}: step {f.manifest['steps']}", a["step"] == f.manifest["steps"], (a["step"], f.manifest["steps"], a.get("why")))
        c.check(f"@{t}: the same EPT", a["tables"] == b["tables"])
    last = f"{run.directory}@{MOMENTS[-1]}"
    c.check(f"@{MOMENTS[-1]}: the same memory", memory(last, where / "a") == memory(fresh[-1].directory, where / "b"))
    done = xen.vitrine("map", f"{run.directory}@sym:no_such_function")
    c.check("no such symbol", done.returncode == 2 and "no such symbol" in done.stderr, done.stderr)
    n = sum(run.manifest["stats"]["vm_exits"].values())
    done = xen.vitrine("map", f"{run.directory}@exit#{n + 1}", seconds=300)
    c.check("a VM exit too many", done.returncode == 2 and f"it had {n} VM exits" in done.stderr, done.stderr)

    # typed input
    c.check("Xen's key handler ran", typed.status == 0 and typed.has(r"'h' pressed -> showing installed handlers"), typed.why())
    c.check("typed twice: the same hash", typed.manifest["state_hash"] == typed2.manifest["state_hash"] != run.manifest["state_hash"])
    c.check("typed twice: the same input", typed.inputs == typed2.inputs and len(typed.inputs) == 2, typed.inputs)
    before = memory(typed.directory, where / "a")
    (typed.directory / "cache/end.ckpt").unlink()
    c.check("typed again where the run is made again", memory(typed.directory, where / "b") == before)

    # debug keys
    console = run.console
    # dom0 goes on until a dump begins, and a key that comes while dom0 is built is answered when that is done: a page is what it is then, or at the end.
    compared = ("sym:ept_set_entry#300", "console:'Linux version'", "end")
    for t in ("1000", "console:'Building a PVH Dom0'", "sym:ept_set_entry#300", "console:'Linux version'", "end"):
        at = f"{run.directory}@{t}"
        done = xen.vitrine("debug-key", at, "h", "D", seconds=300)
        handlers, _, dump = done.stdout.partition("domain0 EPT p2m table")
        c.check(f"debug-key {t} h", done.returncode == 0 and "'h' pressed -> showing installed handlers" in handlers and "dump VT-x EPT tables" in handlers, done.stderr)
        later = steps_later(done.stderr)
        c.check(f"debug-key {t}: says when", later is not None and (later < 10_000_000) == (t in ("end", "console:'Linux version'")), done.stderr)
        d = dumped(dump)
        if c.check(f"debug-key {t} D: entries", len(d) > 100_000, (len(d), dump[:600], done.stderr)) and t in compared:
            m = pages(ept(f"{run.directory}@console:'Linux version'" if t != "end" else at)["tables"][0])
            end = pages(ept(run.directory)["tables"][0])
            # What is pending may have been recalculated until the dump came to it.
            same = lambda a, b: a == b or (a and b and b[2] == "pending" and a[:2] == b[:2])
            wrong = sorted(k for k in d.keys() | m.keys() if not same(d.get(k), m.get(k)) and not same(d.get(k), end.get(k)))
            c.check(f"debug-key {t} D: Xen's EPT dump is what map shows, page for page", not wrong, [(hex(k), d.get(k), m.get(k)) for k in wrong[:8]])
    done = xen.vitrine("debug-key", run.directory, "o", seconds=300)
    c.check("a key that prints nothing", done.returncode == 1 and "Xen printed nothing for 'o'" in done.stderr, (done.returncode, done.stderr))
    c.check("the run is as it was", run.console == console and not run.inputs)
c.end()
