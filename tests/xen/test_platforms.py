# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen on every platform
"""Each platform with what Xen does on it: it boots to dom0's first line, or says exactly this. Where it boots, dom0's map is what
Xen's own "Dom0 memory map" asks for, the devices' tables are the ones they should be, and the console has no complaint that is
not expected. dom0's kernel is given as a plain ELF, which saves Xen the decompression. DEEP=1 (./check --deep) runs more rows."""
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import dom0_map  # noqa: E402
import xen  # noqa: E402

BOOTS = "Linux version"
COMPLAINTS = (r"WARN|BUG|ERROR|[Aa]ssert|DMAR:|IOMMU.*fail|not permitted|Cannot setup|domain_crash|Panic|Buggy|[Ff]ailed|\(-\d+\)|error|"
              r"Not responding|Stuck|taking too long|malfunction|not in reserved|doesn't work|Skipping|spurious|Unhandled|disabl(?:ed|ing)")
EXPECTED = [  # on every platform
    r"WARNING: PVH is an experimental mode with limited functionality",
    r"xenoprof: Initialization failed\. Intel processor family 6 model 85 is not supported",
    r"No MCE banks present\. Machine check support disabled",
    r"Speculative|mitigations|PV L1TF shadowing: Dom0 disabled|XPTI|Dom0 DMA Passthrough",
]


@dataclasses.dataclass
class Row:
    name: str
    platform: str | None = None
    options: tuple = ()
    line: str = ""                 # more for Xen's command line
    until: str = BOOTS
    has: tuple = ()                # on the console before that
    but: tuple = ()                # complaints that belong to this platform
    shared: int | None = 0         # levels below the EPT root at which the devices' tables begin; None: tables of their own
    devices: bool = True           # there are context entries
    more: object = None            # another check: (result, tables) -> texts
    deep: bool = False

    @property
    def boots(self):
        return self.until == BOOTS


def rmrr(first, last, device):
    def check(_, tables):
        found = []
        for t in tables:
            if t["format"] == "ept" or device in t.get("devices", []):
                if not any(a <= first and last <= b and target == a and r and w for a, b, target, r, w in dom0_map.plain(t)):
                    found.append(f"{t['format']}: {first:#x}-{last:#x} is not identity rw")
        if not any(device in t.get("devices", []) for t in tables):
            found.append(f"{device} has no context entry")
        return found
    return check


def xsdt_is_garbage(r, tables):
    """dom0's RSDP leads to an XSDT whose header Xen has copied from physical 0, as the firmware has none."""
    host = [(int(x["first"], 0), int(x["first"], 0) + int(x["size"], 0) - 1) for x in r.platform["e820"] if x["type"] == "ACPI"]
    own = [x for x in dom0_map.e820(r.console) if x[2] == "ACPI" and not any(a <= x[0] <= b for a, b in host)]
    if len(own) != 1:
        return [f"ACPI ranges that Xen has added: {own}"]
    ept = next(t for t in tables if t["format"] == "ept")

    def read(gpa, n):
        for x in ept["ranges"]:
            if int(x["first"], 16) <= gpa <= int(x["last"], 16):
                at = int(x["target"], 16) + gpa - int(x["first"], 16)
                return physical(at, n)
        return b""

    def physical(at, n):
        out = r.directory / "piece"
        xen.vitrine("memory", r.directory, f"{at:#x}+{n}", "-o", out)
        return out.read_bytes()
    rsdp = read(own[0][0], 36)
    if rsdp[:8] != b"RSD PTR ":
        return [f"no RSDP at {own[0][0]:#x}: {rsdp[:8]}"]
    signature, at0 = read(int.from_bytes(rsdp[24:32], "little"), 4), physical(0, 4)
    return [] if signature == at0 and signature != b"XSDT" else [f"signature {signature}, bytes at 0: {at0}"]


TABLE = [
    Row("1 GiB", options=("--memory", "1G")),
    Row("2 GiB"),
    Row("4 GiB", options=("--memory", "4G")),
    Row("8 GiB", options=("--memory", "8G")),
    Row("two processors", options=("--cpus", "2"), has=(r"Brought up 2 CPUs",)),
    Row("four processors", options=("--cpus", "4"), has=(r"Brought up 4 CPUs",)),
    Row("RESERVED below 1 MiB", "low-reserved"),
    Row("nearly everything RESERVED", "reserved-rich"),
    Row("ACPI and NVS", "acpi-nvs"),
    Row("odd page edges", "odd-edges", but=(r"Skipping table (?:DSDT|FACS) in non-ACPI non-reserved region",)),
    Row("an RMRR in reserved memory", "rmrr", has=(r"found ACPI_DMAR_RMRR",), more=rmrr(0x7bf00000, 0x7bffffff, "00:1d.0")),
    Row("an RMRR below 1 MiB", "rmrr-low", but=(r"RMRR \[ed000,effff\] not in reserved memory",), more=rmrr(0xed000, 0xeffff, "00:1d.0")),
    Row("an RMRR in RAM", "rmrr-in-ram", until="Hardware Dom0 crashed",
        has=(r"RMRR \[10000000,100fffff\] not in reserved memory", r"d0: GFN 0x10000 \(0x10000,5,3\) -> \(0x[0-9a-f]+,0,7\) not permitted",
             r"domain_crash called from arch/x86/mm/p2m\.c")),
    Row("a hole where the kernel goes", "kernel-hole", until="Could not construct domain 0", has=(r"Failed to load Dom0 kernel",)),
    Row("39-bit tables: no function is set up", "sagaw39", has=(r"setup 0000:00:04\.0 for d0 failed \(-12\)",),
        but=(r"setup 0000:00:(?:04|1f)\.0 for d0 failed \(-12\)",), devices=False),
    Row("39-bit tables, something mapped before", "sagaw39-aperture", shared=1),
    Row("39-bit tables of their own", "sagaw39", line="iommu=no-sharept", shared=None),
    Row("48-bit tables", "sagaw48", deep=True),
    Row("both widths", "sagaw-both"),
    Row("VT-d without superpages", "no-superpages", has=(r"Shared EPT tables not enabled",), shared=None),
    Row("tables not shared by choice", line="iommu=no-sharept", has=(r"Shared EPT tables not enabled",), shared=None),
    Row("32 fault records", "fault-records", deep=True),
    Row("fault records at the end of the page", "fault-records-end", deep=True),
    Row("RSDP of revision 0", "rsdt-only", has=(r"ACPI: RSDT",), more=xsdt_is_garbage),
    Row("no VT-d", "no-vtd", until="Presently, iommu must be enabled for PVH hardware domain", has=(r"I/O virtualisation disabled",)),
    Row("no VMX", "no-vmx", until="Error creating d0: -22"),
    *(Row(f"{m} GiB, {n} processors", options=("--memory", f"{m}G", "--cpus", str(n)), has=(rf"Brought up {n} CPUs",), deep=True)
      for m in (1, 4, 8) for n in (2, 4)),
    Row("everything RESERVED, four processors", "reserved-rich", options=("--cpus", "4"), has=(r"Brought up 4 CPUs",), deep=True),
]


def run(where, row):
    options = [*row.options]
    if row.platform:
        options += ["--platform", str(xen.ROOT / "platforms" / (row.platform + ".json"))]
    elif "--memory" not in options:
        options += ["--memory", "2G"]
    r = xen.boot(where / re.sub(r"\W+", "-", row.name), *options, memory=None, kernel=xen.plain_kernel(), xen=f"{xen.XEN_LINE} {row.line}".strip(),
                 until=f"console:'{row.until}'")
    wrong = judge(row, r)
    shutil.rmtree(r.directory / "cache", ignore_errors=True)   # disk space: nobody asks this run again
    return wrong


def judge(row, r):
    if r.status != 0:
        return [r.why()]
    wrong = [f"not on the console: {p}" for p in row.has if not r.has(p)]
    if not row.boots:
        return wrong
    known = [*EXPECTED, *row.but]
    wrong += [f"unexpected: {line}" for line in r.console.splitlines()
              if "(XEN)" in line and re.search(COMPLAINTS, line) and not any(re.search(k, line) for k in known)]
    wrong += [f"expected, but not there: {p}" for p in row.but if not r.has(p)]
    got = xen.vitrine("map", r.directory, "--json")
    if got.returncode != 0:
        return [*wrong, got.stderr]
    tables = json.loads(got.stdout)["tables"]
    ept, vtd = ([t for t in tables if t["format"] == f] for f in ("ept", "vtd"))
    if len(ept) != 1:
        return [*wrong, f"{len(ept)} EPT roots"]
    platform = r.platform if row.devices else {**r.platform, "pci": []}   # BARs are mapped for functions that were set up
    wrong += dom0_map.wrong(ept[0], dom0_map.Expectation(dom0_map.e820(r.console), platform, dom0_map.apic_page(r.console)))
    ram = sum(int(x["last"], 16) - int(x["first"], 16) + 1 for x in ept[0]["ranges"] if str(x.get("type", "")).startswith("ram_rw"))
    if ram != 512 << 20:
        wrong.append(f"RAM is {ram:#x} bytes, not dom0_mem")
    if bool(vtd) != row.devices:
        wrong.append(f"{len(vtd)} tables of devices")
    for t in vtd:
        below = t.get("shared_with_ept", {}).get("levels_below")
        if below != row.shared:
            wrong.append(f"{t['devices']}: tables {'of their own' if below is None else f'{below} levels below the EPT root'}")
        if dom0_map.plain(t) != dom0_map.plain(ept[0]):
            a, b = set(dom0_map.plain(t)), set(dom0_map.plain(ept[0]))
            wrong.append(f"{t['devices']}: VT-d has {sorted(a - b)[:4]}, EPT has {sorted(b - a)[:4]}")
    return wrong + (row.more(r, tables) if row.more else [])


def main():
    c = xen.Checks()
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    rows = [row for row in TABLE if re.search(only, f"{row.name} {row.platform or ''}") and (os.environ.get("DEEP") or only or not row.deep)]
    with tempfile.TemporaryDirectory(prefix="vitrine-platforms-") as where:
        xen.plain_kernel()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for row, wrong in zip(rows, pool.map(lambda row: run(pathlib.Path(where), row), rows)):
                c.check(f"{row.name}: {row.until}", not wrong, "\n".join(wrong[:12]))
    c.end()


main()
