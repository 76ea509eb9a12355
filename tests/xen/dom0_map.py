# SPDX-License-Identifier: GPL-2.0-or-later
"""What a PVH dom0's physical map has to be, by Xen's own "Dom0 memory map", compared with what `vitrine map --json` reads from the
tables. Rules of Xen 4.17 (arch/x86/hvm/dom0_build.c, drivers/passthrough/x86/iommu.c):
RAM is ram_rw, rwx, write-back; ACPI and NVS above 1 MiB identity rwx, but for what Xen has taken from RAM for its own tables;
RESERVED identity rw without the LAPIC's MiB, I/O APIC pages and the ECAM; below 1 MiB every page that is not RAM is identity;
RMRRs identity rw; UNUSABLE and holes nothing, but for enabled BARs. RAM rounds inward to pages, the rest outward. With "APIC MMIO access
virtualisation" the LAPIC's page is the processor's APIC-access page, one of Xen's own (arch/x86/hvm/vmx/vmx.c)."""
import re

PAGE, MIB = 4096, 1 << 20
LAPIC, LAPIC_END = 0xfee00000, 0xfef00000
TYPES = {"usable": "RAM", "reserved": "RESERVED", "ACPI data": "ACPI", "ACPI NVS": "NVS", "unusable": "UNUSABLE"}


def e820(console):
    """[(first, last, type)] of the "Dom0 memory map"."""
    lines = console.split("Dom0 memory map:", 1)
    found = []
    for line in lines[1].splitlines()[1:] if len(lines) == 2 else []:
        m = re.search(r"\(XEN\)\s+\[([0-9a-f]{16}), ([0-9a-f]{16})\] \(([A-Za-z ]+)\)", line)
        if m is None:
            break
        found.append((int(m[1], 16), int(m[2], 16), TYPES[m[3]]))
    return found


def apic_page(console):
    """Does Xen use an APIC-access page?"""
    return "APIC MMIO access virtualisation" in console


def bars(platform):
    for f in platform.get("pci", []):
        for b in f.get("bars", []):
            if b["kind"] != "io":
                first = int(str(b["address"]), 0)
                yield first, first + size(b["size"]) - 1


def size(text):
    m = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)([KMGT]?)", str(text))
    return int(m[1], 0) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[m[2]]


class Expectation:
    def __init__(self, map_, platform, apic_page=False):
        self.map, self.bars, self.apic_page = map_, list(bars(platform)), apic_page
        self.host_acpi = [(int(str(r["first"]), 0), int(str(r["first"]), 0) + size(r["size"]) - 1) for r in platform["e820"] if r["type"] == "ACPI"]
        number = lambda key, default: int(str(platform.get(key, default)), 0)  # noqa: E731
        self.ecam = (number("ecam", "0xb0000000"), number("ecam", "0xb0000000") + (number("ecam_buses", 256) << 20) - 1)
        self.ioapic = number("ioapic", "0xfec00000")
        self.rmrrs = [(int(str(r["first"]), 0), int(str(r["last"]), 0)) for r in platform.get("rmrrs", [])]
        top = max(last for _, last, t in self.map if t in ("RAM", "UNUSABLE", "ACPI", "NVS"))
        self.top = (top + PAGE) & -PAGE       # beyond it Xen knows no frames

    def edges(self):
        yield from (0, MIB, LAPIC, LAPIC + PAGE, LAPIC_END, self.ioapic, self.ioapic + PAGE, self.ecam[0], self.ecam[1] + 1, self.top, 1 << 32)
        for first, last in [*self.bars, *self.rmrrs, *[(f, l) for f, l, _ in self.map]]:
            for x in (first, last + 1):
                yield from (x & -PAGE, (x + PAGE - 1) & -PAGE)

    def of(self, page):
        """Any of these: "absent", "ram", "identity rw", "identity rwx", "APIC-access page"."""
        inside = lambda r: r[0] <= page + PAGE - 1 and page <= r[1]  # noqa: E731
        here = [(f, l, t) for f, l, t in self.map if inside((f, l))]
        kinds = {t for _, _, t in here}
        if page == LAPIC and self.apic_page:
            return {"APIC-access page"}
        if LAPIC <= page < LAPIC_END or page == self.ioapic or inside(self.ecam):
            return {"absent"}
        if any(inside(b) for b in self.bars) and not kinds:
            return {"identity rw", "identity rwx"}
        own = [x for x in here if x[2] == "RAM" or (x[2] == "ACPI" and not any(f <= x[0] and x[1] <= l for f, l in self.host_acpi))]
        if own and len(own) == len(here) and (len(own) > 1 or own[0][2] == "ACPI" or (own[0][0] <= page and page + PAGE - 1 <= own[0][1])):
            return {"ram"}
        rmrr = any(inside(r) for r in self.rmrrs)
        if page < MIB:
            return {"identity rw"} if rmrr or kinds == {"RESERVED"} else {"identity rw", "identity rwx"} if "RESERVED" in kinds else {"identity rwx"}
        if rmrr:
            return {"identity rw"}
        if kinds & {"ACPI", "NVS"}:
            return {"identity rwx"}
        if "RESERVED" in kinds:
            return {"absent"} if page >= 1 << 32 and page >= self.top else {"identity rw"} if len(kinds) == 1 else {"identity rw", "absent"}
        return {"absent"}


def word(r):
    """A range of `vitrine map --json`, in the words of Expectation.of."""
    if r is None:
        return "absent"
    if str(r.get("type", "")).startswith("ram_rw"):
        return "ram" if r["access"] == "rwx" else f"RAM with {r['access']}"
    if int(r["first"], 16) == LAPIC and r.get("type") == "mmio_direct" and r.get("target") != r["first"] and "rw" in r["access"]:
        return "APIC-access page"
    if "target" in r and r["target"] == r["first"]:
        return f"identity {r['access'].replace('-', '')}" if r.get("type") == "mmio_direct" else f"identity {r.get('type')}"
    return f"{r.get('type', 'mapped')} at {r.get('target')}"


def wrong(table, expected):
    """Texts, one for each run of pages that is mapped otherwise than it should be."""
    ranges = sorted(((int(r["first"], 16), int(r["last"], 16), r) for r in table["ranges"]), key=lambda x: x[0])
    edges = sorted({*expected.edges(), *(x for f, l, _ in ranges for x in (f, l + 1))})
    found = []
    at = 0
    for first, end in zip(edges, [*edges[1:], edges[-1] + PAGE]):
        while at < len(ranges) and ranges[at][1] < first:
            at += 1
        r = ranges[at][2] if at < len(ranges) and ranges[at][0] <= first else None
        if r is not None and "target" in r:   # the target of this part
            r = {**r, "target": hex(int(r["target"], 16) + first - int(r["first"], 16)), "first": hex(first)}
        want, got = expected.of(first), word(r)
        if got not in want:
            found.append(f"{first:#x}-{end - 1:#x}: {got}, not {' or '.join(sorted(want))}")
        elif r is not None and got == "ram" and r["memory_type"] not in ("WB", "pending"):
            found.append(f"{first:#x}-{end - 1:#x}: RAM is {r['memory_type']}")
    return found


def plain(table):
    """{page run} of a table for comparisons: sorted [(first, last, target, may read, may write)], neighbours joined."""
    out = []
    for r in sorted(table["ranges"], key=lambda x: int(x["first"], 16)):
        if "target" not in r:
            continue
        first, last, target = int(r["first"], 16), int(r["last"], 16), int(r["target"], 16)
        may = ("r" in r["access"], "w" in r["access"])
        if out and out[-1][1] + 1 == first and out[-1][2] + (first - out[-1][0]) == target and out[-1][3:] == may:
            out[-1] = (out[-1][0], last, out[-1][2], *may)
        else:
            out.append((first, last, target, *may))
    return out
