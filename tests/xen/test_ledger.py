# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen with and without a ledger
"""The ledger of Xen's PVH dom0 build: it changes nothing, costs little, is the whole story (played onto empty tables it gives the machine's
at every 100th event, shared tables and separate ones), and says who mapped what. Build variants of Xen with DWARF are looked at where build/xen has them."""
import json
import os
import pathlib
import re
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

c = xen.Checks()
RECORD = 56


def ask(*args):
    begin = time.monotonic()
    got = xen.vitrine(*args)
    return got, time.monotonic() - begin


def events(run):
    data = (run.directory / "events.vit").read_bytes()
    return (len(data) - data.index(b"\n") - 1) // RECORD, len(data)


with tempfile.TemporaryDirectory(prefix="vitrine-ledger-") as where:
    where = pathlib.Path(where)
    kernel = xen.plain_kernel()

    plain = xen.boot(where / "plain", kernel=kernel)
    with_ledger = xen.boot(where / "ledger", "--ledger", kernel=kernel)
    ok = c.check("both runs reach dom0", plain.status == 0 and with_ledger.status == 0, plain.why() + with_ledger.why())
    if not ok:
        c.end()
    c.check("a ledger changes nothing: the same state hash", plain.manifest["state_hash"] == with_ledger.manifest["state_hash"])
    c.check("the same console", plain.console == with_ledger.console)
    n, size = events(with_ledger)
    c.check("at most 64 bytes per event", n > 5000 and size <= 64 * n, f"{n} events, {size} bytes")
    a, b = plain.manifest["host"]["user_seconds"], with_ledger.manifest["host"]["user_seconds"]
    print(f"ledger: {n} events, {size / n:.1f} bytes each; user seconds {b:.2f} against {a:.2f} without: {b / a:.2f} x", flush=True)

    got, seconds = ask("log", with_ledger.directory)
    print(f"log: {seconds:.2f} s", flush=True)
    text = got.stdout
    c.check("log: the identity map of RESERVED, by arch_iommu_hwdom_init", re.search(r"established f0000-fffff: identity rw- mmio_direct/rw +arch_iommu_hwdom_init", text), text[-3000:])
    c.check("log: RAM, by the builder of dom0", re.search(r"established 0-7ffff: to \w+ rwx ram_rw/rwx +(dom0_construct_pvh|pvh_populate)", text), text[-3000:])
    c.check("log: translation is enabled between the two", text.find("f0000-fffff") < text.find("translation enabled") < text.find("established 0-7ffff"))
    c.check("log: what flushes before dom0 runs", "INVEPT type 1" in text and text.find("INVEPT type 1") < text.find("VM entry with EPTP"))
    ranged = xen.vitrine("log", with_ledger.directory, "0x9f000-0xa0fff", "--json")
    listed = json.loads(ranged.stdout)["events"]
    c.check("log RANGE --json: only what touches it", listed and all(int(e["first"], 16) <= 0xa0fff and int(e["last"], 16) >= 0x9f000 for e in listed if "first" in e), ranged.stdout[:2000])

    got, seconds = ask("blame", with_ledger.directory, "gfn:a0", "--json")
    print(f"blame: {seconds:.2f} s", flush=True)
    j = json.loads(got.stdout)
    kinds = [h["kind"] for h in j["history"]]
    c.check("blame gfn:a0: an attempt, then the store", kinds == ["attempt", "established"], got.stdout[:3000])
    c.check("blame gfn:a0: the origin is outside the p2m layer", all(h["origin"]["function"] == "dom0_construct_pvh" for h in j["history"]), got.stdout[:3000])
    names = [f["function"] for f in j["history"][-1]["chain"]]
    c.check("blame gfn:a0: the whole chain", names[0] == "atomic_write_ept_entry" and names[-1] in ("__high_start", "__start_xen") and "p2m_set_entry" in names, names)
    c.check("blame gfn:a0: the attempt's arguments and result", j["history"][0]["call"].startswith("set_mmio_p2m_entry(") and j["history"][0]["result"] == 0, j["history"][0])
    mfn = xen.vitrine("blame", with_ledger.directory, "mfn:a0", "--json")
    c.check("blame mfn:a0 finds the guest frame", [hex(int(n["address"], 16)) for n in json.loads(mfn.stdout)["now"]] == ["0xa0000"], mfn.stdout[:1500])
    device = json.loads(xen.vitrine("map", with_ledger.directory, "--json").stdout)["tables"]
    bdf = next(t["devices"][0] for t in device if t["format"] == "vtd" and t["devices"])
    iova = xen.vitrine("blame", with_ledger.directory, f"iova:f0000@{bdf}", "--json")
    c.check("blame iova: the device's tables", [h["kind"] for h in json.loads(iova.stdout)["history"] if h["kind"] != "attempt"] == ["established"], iova.stdout[:2000])
    early = json.loads(xen.vitrine("blame", f"{with_ledger.directory}@sym:dom0_construct_pvh", "gfn:a0", "--json").stdout)
    c.check("blame RUN@T: before the build nobody had mapped it", early["history"] == [] and early["now"][0]["mapping"] is None, early)

    got = xen.vitrine("log", with_ledger.directory, "--verify", seconds=600)
    c.check("played onto empty tables it is the machine's map at every 100th event", got.returncode == 0 and re.search(r"at \d+ moments \d+ maps .* are the same", got.stdout), got.stdout + got.stderr)

    again = xen.vitrine("log", plain.directory, seconds=600)
    c.check("a run made without one has the same ledger afterwards", again.returncode == 0 and again.stdout == text and "running it again" in again.stderr, again.stderr)
    c.check("which is kept", (plain.directory / "cache/ledger.vit").exists() and xen.vitrine("log", plain.directory).stderr == "")

    same = xen.vitrine("diff", plain.directory, with_ledger.directory)
    c.check("diff of two equal runs", same.returncode == 0 and same.stdout == "no difference\n", same.stdout)
    moments = xen.vitrine("diff", f"{with_ledger.directory}@sym:iommu_hwdom_init", with_ledger.directory, "0xf0000-0xfffff")
    c.check("diff of two moments: the identity map is new", moments.returncode == 1 and "- not mapped\n" in moments.stdout and "+ identity rw- mmio_direct/rw" in moments.stdout, moments.stdout)

    separate = xen.boot(where / "separate", "--ledger", kernel=kernel, xen=xen.XEN_LINE + " iommu=no-sharept")
    got = xen.vitrine("log", separate.directory, "--verify", seconds=900)
    c.check("separate tables, at every 100th event", separate.status == 0 and got.returncode == 0, got.stdout + got.stderr + separate.why())
    shared = xen.vitrine("diff", with_ledger.directory, separate.directory)
    c.check("diff: with separate tables the devices' own appear", shared.returncode == 1 and "VT-d tables of" in shared.stdout, shared.stdout[:1500])

    for variant, other in [("release", None), ("first-mib-unguarded", "release")]:
        files = [xen.BUILD / "xen" / v for v in (variant, other) if v]
        if not all((f / "xen-syms").exists() for f in files):
            print(f"ok {variant}: not built here, left out", flush=True)
            continue
        runs = {}
        for f in files:
            r = where / f"{variant}-{f.name}"
            done = xen.vitrine("run", "--ledger", "--memory", "2G", "--kernel", f / "xen.gz", "--append", xen.XEN_LINE, "--module", f"{kernel} {xen.DOM0_LINE}", "--module",
                               xen.GUESTS / "initrd.gz", "-o", r, "--console", "none", "--until", "console:'Dom0 memory map'", "--max-steps", 3_000_000_000, seconds=600)
            c.check(f"{variant}: {f.name} builds dom0", done.returncode == 0, done.stderr[-800:])
            runs[f.name] = r
        if not other:
            j = json.loads(xen.vitrine("blame", runs[variant], "gfn:a0", "--json").stdout)
            o = j["history"][-1]["origin"]
            c.check("with DWARF the origin has its line, and inlined functions count", o["function"] == "pvh_populate_p2m" and o["file"].endswith("dom0_build.c") and o["line"] > 0, o)
        else:
            got = xen.vitrine("diff", runs[other], runs[variant], "--json")
            d = [(int(x["first"], 16), int(x["last"], 16), x["two"]) for t in json.loads(got.stdout)["tables"] for x in t["differences"]]
            low = [x for x in d if x[0] < 0x100000]
            c.check("diff against the fixed build shows the first MiB: RESERVED is rwx", any("identity rwx mmio_direct" in x[2] and "pvh_populate_p2m" in x[2] for x in low), d)
            c.check("and nothing above it", not [x for x in d if x[0] >= 0x100000], [hex(x[0]) for x in d])
c.end()
