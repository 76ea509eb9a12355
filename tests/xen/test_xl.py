# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen
"""Guests of Xen's that xl starts from dom0 (guests/xl): under a PVH dom0 a PVH guest, with an EPT root of its own; under a PV dom0 a PV guest
with the DMA function, which changes its domain in the remapping unit's context table, writes into that guest's memory, and comes back."""
import concurrent.futures
import json
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

PV_LINE = xen.XEN_LINE.replace("dom0=pvh,verbose ", "")
CHECKPOINTS = ("--checkpoint-every", "400000000")
c = xen.Checks()


def tables(run, *options):
    got = xen.vitrine("map", run, "--json", *options, seconds=300)
    return json.loads(got.stdout)["tables"] if got.returncode == 0 else got.stderr


def moment(r, text):
    """RUN@STEP just after a line of the console: a step, so that the nearest checkpoint answers."""
    line = next(x for x in r.console.splitlines() if text in x)
    step = re.match(r"\[ *([0-9,]+)\]", line)[1].replace(",", "")
    return f"{r.directory}@{int(step) + 1000}"


def pvh(r):
    for text in ("(d1) domU: a guest of Xen's", "console of tiny: domU: a guest of Xen's", "xl: the guest has ended", "xl: destroyed"):
        c.check(f"PVH guest: the console has: {text}", text in r.console, r.why())
    c.check("PVH guest: xl sees it shut down", r.has(r"tiny +1 +8 +1\s+-*s-* "), r.why())
    c.check("PVH guest: no program fails", not r.has(r"xl: [\w-]+: status|libxl: error|Aborted"), r.why())
    exits = json.loads(xen.vitrine("stat", "--json", r.directory).stdout)["stats"]["vm_exits"]
    for reason in ("io", "vmcall", "cpuid", "wrmsr", "external-interrupt", "ept-violation"):
        c.check(f"PVH guest: VM exits by {reason}", exits.get(reason, 0) > 0, json.dumps(exits))
    at = tables(moment(r, "xl: the guest has ended"), "--of", "ept")
    ept = [t for t in at if t["format"] == "ept"] if isinstance(at, list) else []
    if not c.check("PVH guest: two EPT roots while it is there", len(ept) == 2, str(at)[:600]):
        return
    dom0, guest = sorted(ept, key=lambda t: t["first_step"])
    pages = lambda t: {(int(x["target"], 16), int(x["last"], 16) - int(x["first"], 16) + 1) for x in t["ranges"]  # noqa: E731
                       if str(x.get("type", "")).startswith("ram_rw")}
    c.check("PVH guest: its RAM", 7 << 20 <= sum(n for _, n in pages(guest)) <= 9 << 20, json.dumps(guest)[:600])
    c.check("PVH guest: its kernel is where it was linked to", any(int(x["first"], 16) <= 0x100000 <= int(x["last"], 16) for x in guest["ranges"]))
    both = [(a, b) for a in pages(dom0) for b in pages(guest) if a[0] < b[0] + b[1] and b[0] < a[0] + a[1]]
    c.check("PVH guest: none of its RAM is dom0's", not both, str(both[:4]))


def pv(r):
    for text in ("assignable: 0000:00:04.0", "console of pv: domU: a PV guest with a device", "console of pv: domU: its device has written its memory",
                 "xl: destroyed"):
        c.check(f"PV guest: the console has: {text}", text in r.console, r.why())
    c.check("PV guest: no program fails", not r.has(r"xl: [\w-]+: status|Aborted"), r.why())
    domains = []
    for text in ("USERLAND-OK", "console of pv: domU: its device", "xl: destroyed"):
        at = tables(moment(r, text), "--of", "vtd", "--bdf", "00:04.0")
        of = [t for t in at if t["format"] == "vtd" and "00:04.0" in t.get("devices", [])] if isinstance(at, list) else at
        domains.append([(t["domains"], t["root"]) for t in of] if isinstance(of, list) else of)
    c.check("PV guest: the function is dom0's first, then the guest's", len(domains[0]) == len(domains[1]) == 1 and domains[0][0][0] != domains[1][0][0] and
            domains[0][0][1] != domains[1][0][1], str(domains))
    c.check("PV guest: nobody has it in the end: Xen keeps it in quarantine", domains[2] == [], str(domains))
    units = json.loads(xen.vitrine("stat", "--json", r.directory).stdout)["vtd"]
    c.check("PV guest: DMA went through the unit, and none was refused", sum(u["counters"]["requests"] for u in units) > 0 and
            not any(u["counters"]["faults"] for u in units), json.dumps(units)[:600])


c.fetched("--with-xl", "the initramfs with xl")
plain, initrd = xen.plain_kernel(), xen.GUESTS / "initrd-xen.gz"
DONE = "console:'xl: done'"
with tempfile.TemporaryDirectory(prefix="vitrine-xl-") as where, concurrent.futures.ThreadPoolExecutor(2) as pool:
    where = pathlib.Path(where)
    jobs = [(pool.submit(xen.boot, where / "pvh", *CHECKPOINTS, dom0="console=hvc0", until=DONE, initrd=initrd, kernel=plain), pvh),
            (pool.submit(xen.boot, where / "pv", *CHECKPOINTS, xen=PV_LINE, dom0="console=hvc0 guest=pv", until=DONE, initrd=initrd, kernel=plain), pv)]
    for job, judge in jobs:
        r = job.result()
        if c.check(f"{judge.__name__.upper()} guest: the run comes to its end", r.status == 0, r.why()):
            judge(r)
c.end()
