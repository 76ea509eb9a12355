# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen
"""Debian's Xen builds a PVH dom0 and enters its kernel; the same twice, with the host idle and busy; other inputs, another hash (those
runs are shorter: dom0's kernel is a plain ELF)."""
import concurrent.futures
import hashlib
import json
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import dom0_map  # noqa: E402
import xen  # noqa: E402

c = xen.Checks()
with tempfile.TemporaryDirectory(prefix="vitrine-xen-") as where:
    where = pathlib.Path(where)
    changed = where / "initrd.gz"
    bytes_ = bytearray((xen.GUESTS / "initrd.gz").read_bytes())
    bytes_[-5] ^= 1
    changed.write_bytes(bytes_)
    platform = where / "platform.json"
    platform.write_text('{"vitrine": "platform/1", "name": "default", "rtc": "2024-01-01T00:00:01"}')
    plain = xen.plain_kernel()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:      # two at a time: each is the other's load
        jobs = {
            "first": pool.submit(xen.boot, where / "first"),
            "second": pool.submit(xen.boot, where / "second"),
            "short": pool.submit(xen.boot, where / "short", kernel=plain),
            "line": pool.submit(xen.boot, where / "line", xen=xen.XEN_LINE + " x", kernel=plain),
            "initrd": pool.submit(xen.boot, where / "initrd", initrd=changed, kernel=plain),
            "platform": pool.submit(xen.boot, where / "platform", "--platform", str(platform), memory=None, kernel=plain),
        }
        r = {name: job.result() for name, job in jobs.items()}
    first, second = r["first"], r["second"]
    if not c.check("dom0's kernel prints its first line", first.status == 0 and first.has("Linux version"), first.why()):
        c.end()
    for name, pattern in (("VMX with EPT", r"VMX: Supported advanced features|Hardware Assisted Paging \(HAP\) detected"),
                          ("I/O virtualisation enabled", r"I/O virtualisation enabled"),
                          ("Building a PVH Dom0", r"Building a PVH Dom0"),
                          ("interrupt remapping", r"Interrupt remapping enabled"),
                          ("dom0's memory map", r"Dom0 memory map:")):
        c.check(f"Xen says: {name}", first.has(pattern), first.why())
    c.check("console lines have their step", all(re.match(r"\[?\s*\d[\d,]*", line) for line in first.console.splitlines()[:20] if line.strip()), first.console[:400])
    m = first.manifest
    for key in ("steps", "cycles", "end", "exit_status", "state_hash"):
        c.check(f"manifest has {key}", key in m, json.dumps(m)[:400])
    digest = hashlib.sha256((xen.GUESTS / "xen.gz").read_bytes()).hexdigest()
    c.check("manifest has the kernel's SHA-256", digest in json.dumps(m), json.dumps(m)[:800])
    c.check("two runs: the same hash", second.status == 0 and second.manifest["state_hash"] == m["state_hash"], second.why())
    c.check("two runs: the same steps", second.manifest["steps"] == m["steps"])
    c.check("two runs: the same console", second.console == first.console)
    for name in ("line", "initrd", "platform"):
        c.check(f"one changed byte of the {name}: another hash", r[name].status == 0 and r[name].manifest["state_hash"] != r["short"].manifest["state_hash"],
                r[name].why())

    # the map
    got = xen.vitrine("map", where / "first", "--json")
    c.check("map --json", got.returncode == 0, got.stderr)
    tables = json.loads(got.stdout).get("tables", [])
    ept = [t for t in tables if t.get("format") == "ept"]
    c.check("an EPT root", len(ept) >= 1, got.stdout[:400])
    if ept:
        bad = dom0_map.wrong(ept[0], dom0_map.Expectation(dom0_map.e820(first.console), first.platform, dom0_map.apic_page(first.console)))
        c.check("dom0's map is as Xen's memory map asks for", not bad, "\n".join(bad))
        ram = [x for x in ept[0]["ranges"] if str(x.get("type", "")).startswith("ram_rw")]
        size = sum(int(x["last"], 16) - int(x["first"], 16) + 1 for x in ram)
        c.check("mapped RAM is dom0_mem", size == 512 << 20, f"{size:#x}")
        c.check("RAM is rwx and write-back", all(x["access"] == "rwx" and x["memory_type"].upper().startswith("WB") for x in ram), json.dumps(ram[:5]))
        c.check("Xen uses the APIC-access page", dom0_map.apic_page(first.console), first.why())
        c.check("0xfec00000 is not mapped", not any(int(x["first"], 16) <= 0xfec00000 <= int(x["last"], 16) for x in ept[0]["ranges"]))
        vtd = [t for t in tables if t.get("format") == "vtd"]
        c.check("devices share the EPT root", bool(vtd) and all(t.get("root") == ept[0].get("root") for t in vtd), json.dumps([t.get("root") for t in tables]))
    stat = xen.vitrine("stat", where / "first")
    c.check("stat", stat.returncode == 0 and stat.stdout.strip() != "", stat.stderr)
c.end()
