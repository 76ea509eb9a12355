# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen
"""Debian's Xen, unmodified, by Multiboot 1 and by Multiboot 2, each with and without its real-mode code, which asks the BIOS: it finds the same machine. The
same binary has all of it; nothing here knows that it is Xen.   Multiboot2 "Boot information format"; ACPI "INT 15H, E820H - Query System Address Map" """
import concurrent.futures
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

REAL = xen.XEN_LINE.replace("no-real-mode ", "")
NAMES = {"RAM": "usable", "RESERVED": "reserved", "ACPI": "ACPI data", "NVS": "ACPI NVS", "UNUSABLE": "unusable"}


def plain(result):
    return re.sub(r"^\[ *[\d,]+\] ", "", result.console, flags=re.M)


def told_map(result):
    """(where from, the ranges) as Xen prints them."""
    found = re.search(r"\(XEN\) (\S+) RAM map:\n((?:\(XEN\)  \[.*\n)+)", plain(result))
    return (found.group(1), re.findall(r"\[([0-9a-f]+), ([0-9a-f]+)\] \((.*)\)", found.group(2))) if found else (None, [])


def described(result):
    return [(f"{int(e['first'], 16):016x}", f"{int(e['first'], 16) + int(e['size'], 16) - 1:016x}", NAMES[e["type"]]) for e in result.platform["e820"]]


c = xen.Checks()
with tempfile.TemporaryDirectory(prefix="vitrine-boot-") as where:
    where = pathlib.Path(where)
    kernel = xen.plain_kernel()
    early = "console:'Domain heap initialised'"
    jobs = {"Multiboot 1, real mode": (REAL, "multiboot1", xen.LINUX, "default"), "Multiboot 2": (xen.XEN_LINE, "multiboot2", xen.LINUX, "default"),
            "Multiboot 2, real mode": (REAL, "multiboot2", early, "default"), "Multiboot 1": (xen.XEN_LINE, "multiboot1", early, "default"),
            "Multiboot 2, RSDT only": (xen.XEN_LINE, "multiboot2", early, "rsdt-only"), "real mode, odd edges": (REAL, "multiboot1", early, "odd-edges"),
            "real mode, reserved ranges": (REAL, "multiboot1", early, "reserved-rich")}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = {name: pool.submit(xen.boot, where / name.replace(" ", "-").replace(",", ""), "--protocol", protocol, "--platform",
                                  str(xen.ROOT / f"platforms/{platform}.json"), xen=line, until=until, kernel=kernel, memory=None)
                for name, (line, protocol, until, platform) in jobs.items()}
    runs = {name: job.result() for name, job in runs.items()}
    for name, r in runs.items():
        line, protocol, until, _ = jobs[name]
        c.check(f"{name}: gets there", r.status == 0, r.why())
        if r.status != 0:
            continue
        c.check(f"{name}: the manifest names the protocol", r.manifest["guest"]["format"] == protocol, r.manifest["guest"])
        c.check(f"{name}: nothing is asked of ports or memory that are not there", not r.manifest["stats"]["absent_ports"] and not r.manifest["stats"]["absent_memory"],
                (r.manifest["stats"]["absent_ports"], r.manifest["stats"]["absent_memory"]))
        c.check(f"{name}: the loader's name, the command line", r.has(r"Bootloader: Vitrine") and f"Command line: {line}" in plain(r), r.why())
        source, ranges = told_map(r)
        c.check(f"{name}: the map comes from {'the BIOS' if line == REAL else 'the loader'}", source == ("Xen-e820" if line == REAL else protocol.capitalize()[:9] + "-e820"), source)
        c.check(f"{name}: and is the platform's", ranges == described(r), ranges)
        c.check(f"{name}: no disks, no MBRs", r.has("Found 0 MBR signatures") and r.has("Found 0 EDD information structures"), r.why())
        c.check(f"{name}: the ACPI tables are found", r.has(r"ACPI: RSDP 000F0000, 00" + ("14" if "RSDT" in name else "24")), r.why())
c.end()
