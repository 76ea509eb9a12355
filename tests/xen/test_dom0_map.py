# SPDX-License-Identifier: GPL-2.0-or-later
"""The judge of dom0's map has to see what is wrong: a map that is right, and the same with one thing changed at a time."""
import copy
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import dom0_map  # noqa: E402
import xen  # noqa: E402

CONSOLE = """[ 1] (XEN) Dom0 memory map:
[ 2] (XEN)  [0000000000000000, 000000000009efff] (usable)
[ 3] (XEN)  [000000000009fc00, 000000000009ffff] (reserved)
[ 4] (XEN)  [0000000000100000, 0000000020060f43] (usable)
[ 5] (XEN)  [0000000020060f44, 0000000020060f9f] (ACPI data)
[ 6] (XEN)  [0000000020061000, 000000007ffdffff] (unusable)
[ 7] (XEN)  [000000007ffe0000, 000000007fffefff] (ACPI data)
[ 8] (XEN)  [00000000b0000000, 00000000bfffffff] (reserved)
[ 9] (XEN)  [00000000fec00000, 00000000fec00fff] (reserved)
[10] (XEN)  [00000000fed00000, 00000000fed00fff] (reserved)
[11] (XEN)  [00000000fee00000, 00000000fee00fff] (reserved)
[12] (XEN) WARNING: PVH is an experimental mode with limited functionality
"""
PLATFORM = {"e820": [{"first": "0x7ffe0000", "size": "0x1f000", "type": "ACPI"}], "rmrrs": [{"first": "0xed000", "last": "0xeffff"}],
            "pci": [{"bars": [{"kind": "mem32", "address": "0xfebf0000", "size": "4K"}]}]}


def entry(first, last, target, access, kind):
    return {"first": hex(first), "last": hex(last), "target": hex(target), "access": access, "type": kind, "memory_type": "WB" if kind == "ram_rw" else "UC"}


RIGHT = [
    entry(0, 0x9efff, 0x40000000, "rwx", "ram_rw"), entry(0x9f000, 0x9ffff, 0x9f000, "rw-", "mmio_direct"),
    entry(0xa0000, 0xecfff, 0xa0000, "rwx", "mmio_direct"), entry(0xed000, 0xeffff, 0xed000, "rw-", "mmio_direct"),
    entry(0xf0000, 0xfffff, 0xf0000, "rwx", "mmio_direct"), entry(0x100000, 0x20060fff, 0x50000000, "rwx", "ram_rw"),
    entry(0x7ffe0000, 0x7fffefff, 0x7ffe0000, "rwx", "mmio_direct"), entry(0xfebf0000, 0xfebf0fff, 0xfebf0000, "rwx", "mmio_direct"),
    entry(0xfed00000, 0xfed00fff, 0xfed00000, "rw-", "mmio_direct"),
]
c = xen.Checks()
expected = dom0_map.Expectation(dom0_map.e820(CONSOLE), PLATFORM)


def wrong(change):
    ranges = copy.deepcopy(RIGHT)
    change(ranges)
    return dom0_map.wrong({"ranges": ranges}, expected)


c.check("a map that is right", wrong(lambda r: None) == [], str(wrong(lambda r: None)))
for name, change in {
    "RAM that is not mapped": lambda r: r.pop(5),
    "RAM without X": lambda r: r[5].update(access="rw-"),
    "RAM that is UC": lambda r: r[0].update(memory_type="UC"),
    "a page of UNUSABLE": lambda r: r.append(entry(0x30000000, 0x30000fff, 0x30000000, "rw-", "mmio_direct")),
    "RESERVED with X": lambda r: r[8].update(access="rwx"),
    "RESERVED elsewhere": lambda r: r[8].update(target="0xfed01000"),
    "RESERVED that is not mapped": lambda r: r.pop(8),
    "ACPI that is not mapped": lambda r: r.pop(6),
    "a hole below 1 MiB": lambda r: r.pop(2),
    "an RMRR with X": lambda r: r[3].update(access="rwx"),
    "the LAPIC": lambda r: r.append(entry(0xfee00000, 0xfee00fff, 0xfee00000, "rw-", "mmio_direct")),
    "the I/O APIC": lambda r: r.append(entry(0xfec00000, 0xfec00fff, 0xfec00000, "rw-", "mmio_direct")),
    "a page of the ECAM": lambda r: r.append(entry(0xb0001000, 0xb0001fff, 0xb0001000, "rw-", "mmio_direct")),
    "a page that nobody asked for": lambda r: r.append(entry(0xfe000000, 0xfe000fff, 0xfe000000, "rw-", "mmio_direct")),
    "the last page of RAM": lambda r: r[5].update(last="0x2005ffff"),
}.items():
    c.check(f"seen: {name}", len(wrong(change)) >= 1, str(wrong(change)))

# A processor with an APIC-access page: Xen's own page stands where the LAPIC is, and nothing else may.
expected = dom0_map.Expectation(dom0_map.e820(CONSOLE), PLATFORM, apic_page=True)
page = lambda r: r.append(entry(0xfee00000, 0xfee00fff, 0x70000000, "rwx", "mmio_direct"))  # noqa: E731
c.check("the APIC-access page", wrong(page) == [], str(wrong(page)))
for name, change in {
    "no APIC-access page": lambda r: None,
    "the LAPIC itself in its place": lambda r: r.append(entry(0xfee00000, 0xfee00fff, 0xfee00000, "rwx", "mmio_direct")),
    "a second page of it": lambda r: r.append(entry(0xfee00000, 0xfee01fff, 0x70000000, "rwx", "mmio_direct")),
    "an APIC-access page that cannot be written": lambda r: r.append(entry(0xfee00000, 0xfee00fff, 0x70000000, "r-x", "mmio_direct")),
}.items():
    c.check(f"seen: {name}", len(wrong(change)) >= 1, str(wrong(change)))
c.end()
