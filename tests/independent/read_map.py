#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An independent reader of EPT and VT-d second-level tables: its own code, from the manuals, over a memory image.

  vitrine memory RUN -o memory.img
  vitrine map RUN --json > map.json
  tests/independent/read_map.py memory.img --root 0x7fdb9000 [--format ept|vtd] [--levels 4]          prints ranges
  tests/independent/read_map.py memory.img --compare map.json                                          compares every table in it

SDM 3C "EPT Translation Mechanism", "Format of an EPT Page-Table Entry"; VT-d "Second-Level Paging Entries".
Xen's p2m type and access are software's bits 57:52 and 61:58 of a leaf."""
import argparse
import json
import struct
import sys

ADDRESS = 0x000f_ffff_ffff_f000
SIZES = {1: "4K", 2: "2M", 3: "1G"}
MEMORY_TYPES = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB", 7: "pending"}
P2M_TYPES = ["ram_rw", "invalid", "ram_logdirty", "ram_ro", "mmio_dm", "mmio_direct", "populate_on_demand", "grant_map_rw", "grant_map_ro",
             "ram_paging_out", "ram_paged", "ram_paging_in", "ram_shared", "ram_broken", "map_foreign", "ioreq_server"]
P2M_ACCESS = ["n", "r", "w", "rw", "x", "rx", "wx", "rwx", "rx2rw", "n2rwx"]


class Image:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.tables = {}

    def table(self, at):
        if at not in self.tables:
            self.file.seek(at)
            page = self.file.read(4096)
            if len(page) != 4096:
                raise ValueError(f"table at {at:#x} is outside the image")
            self.tables[at] = struct.unpack("<512Q", page)
        return self.tables[at]

    def read(self, at, size):
        self.file.seek(at)
        return self.file.read(size)


def pages(image, root, levels, ept):
    """Every leaf: (address, size, target, R/W/X bits of the whole path, leaf entry, level, pending)."""
    def descend(table, level, base, access, pending):
        span = 1 << (12 + 9 * (level - 1))
        for i, e in enumerate(image.table(table)):
            if not e & (7 if ept else 3):
                continue
            at = base + i * span
            large = level in (2, 3) and e >> 7 & 1
            late = pending or (ept and e >> 3 & 7 == 7)
            if level == 1 or large:
                yield at, span, e & ADDRESS & ~(span - 1), access & e & 7, e, level, late
            else:
                yield from descend(e & ADDRESS, level - 1, at, access & e & 7, late)
    yield from descend(root, levels, 0, 7, False)


def ranges(image, root, levels, ept, xen):
    out = []
    for at, size, target, access, entry, level, pending in pages(image, root, levels, ept):
        letters = "".join(c if access >> b & 1 else "-" for b, c in enumerate("rwx" if ept else "rw"))
        key = {"access": letters, "page_size": SIZES[level]}
        if ept:
            key["memory_type"] = "pending" if pending else MEMORY_TYPES.get(entry >> 3 & 7, "reserved")
            key["ipat"] = bool(entry >> 6 & 1)
            if xen:
                kind, right = entry >> 52 & 0x3f, entry >> 58 & 0xf
                key["type"] = P2M_TYPES[kind] if kind < len(P2M_TYPES) else f"type-{kind}"
                key["p2m_access"] = P2M_ACCESS[right] if right < len(P2M_ACCESS) else f"access-{right}"
        last = out[-1] if out else None
        if last and last[3] == key and last[1] + 1 == at and last[2] + (at - last[0]) == target:
            last[1] = at + size - 1
        else:
            out.append([at, at + size - 1, target, key])
    return [{"first": hex(f), "last": hex(l), "target": hex(t), **k} for f, l, t, k in out]


def compare(image, mapped):
    """Differences between every EPT and VT-d table of `vitrine map --json` and what this reader finds, in words."""
    wrong = []
    for table in mapped["tables"]:
        if table["format"] not in ("ept", "vtd") or table.get("translation") == "pass-through":
            continue
        ept, name = table["format"] == "ept", f'{table["format"]} {table["root"]}'
        theirs = table["ranges"]
        xen = ept and any("type" in r for r in theirs)
        ours = ranges(image, int(table["root"], 16), table["levels"], ept, xen)
        if len(ours) != len(theirs):
            wrong.append(f"{name}: {len(theirs)} ranges, the independent reader has {len(ours)}")
        for a, b in zip(theirs, ours):
            if a != b:
                wrong.append(f"{name}: {a} but the independent reader has {b}")
                break
    return wrong


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("image")
    ap.add_argument("--root", type=lambda s: int(s, 16))
    ap.add_argument("--format", choices=["ept", "vtd"], default="ept")
    ap.add_argument("--levels", type=int, default=4)
    ap.add_argument("--xen", action="store_true", help="name Xen's p2m types")
    ap.add_argument("--compare", metavar="map.json")
    args = ap.parse_args()
    image = Image(args.image)
    if args.compare:
        with open(args.compare) as f:
            mapped = json.load(f)
        wrong = compare(image, mapped)
        for line in wrong:
            print(line)
        print(f"{len(mapped['tables'])} tables, {len(wrong)} differences")
        return 1 if wrong else 0
    if args.root is None:
        ap.error("give --root or --compare")
    for r in ranges(image, args.root, args.levels, args.format == "ept", args.xen):
        print(" ".join(f"{k}={v}" for k, v in r.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
