#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen up to the first VM entry, twice
"""Dom0's map at the first VM entry, by three witnesses: `vitrine map`, an independent reader of the tables, and Xen's own
"Dom0 memory map"; with tables shared between EPT and VT-d and with separate ones. And the kernel lies where it belongs."""
import json
import lzma
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

import read_map

VITRINE, GUESTS = os.environ["VITRINE"], pathlib.Path(os.environ["GUESTS"])
DOM0_MEM = 512 << 20
LINE = "console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0=pvh,verbose dom0_mem=512M iommu=verbose{} no-real-mode noreboot"
PAGE = 4096
failed = False


def check(name, ok, why=""):
    global failed
    failed |= not ok
    print(f"{'ok' if ok else 'FAIL'} {name}" + ("" if ok else f": {why}"))


def boot(run, more):
    done = subprocess.run([VITRINE, "run", "--memory", "2G", "--kernel", GUESTS / "xen.gz", "--append", LINE.format(more),
                           "--module", f"{GUESTS}/vmlinuz console=hvc0 earlyprintk=xen", "--module", GUESTS / "initrd.gz",
                           "--console", "file", "-o", run, "--until", "entry#1", "--max-steps", "20000000000"], capture_output=True, text=True)
    check(f"boot to the first VM entry (iommu=verbose{more})", done.returncode == 0, done.stderr[-2000:])
    if done.returncode:
        sys.exit(1)
    subprocess.run([VITRINE, "memory", run, "-o", f"{run}/memory.img"], check=True, capture_output=True)
    out = subprocess.run([VITRINE, "map", run, "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out), read_map.Image(f"{run}/memory.img")


def by_page(table, keys):
    pages = {}
    for r in table["ranges"]:
        first, target = int(r["first"], 16), int(r["target"], 16)
        for at in range(first, int(r["last"], 16) + 1, PAGE):
            pages[at] = (target + at - first, *(r[k] for k in keys))
    return pages


def memory_map(run):
    """Xen's "Dom0 memory map": (first, last, kind)."""
    text = pathlib.Path(run, "console.txt").read_text(errors="replace")
    return [(int(a, 16), int(b, 16), kind) for a, b, kind in
            re.findall(r"\(XEN\)  \[([0-9a-f]{16}), ([0-9a-f]{16})\] \((.*?)\)", text[text.index("Dom0 memory map:"):])]


def inward(first, last):
    return range(-(-first // PAGE) * PAGE, (last + 1) // PAGE * PAGE, PAGE)


def outward(first, last):
    return range(first // PAGE * PAGE, last + 1, PAGE)


def against_xens_word(run, pages, platform):
    ecam, ioapic = int(platform["ecam"], 16), int(platform["ioapic"], 16)
    # The page of the local APIC is the processor's APIC-access page, a frame of Xen's own.   xen/arch/x86/hvm/vmx/vmx.c
    target, *found = pages.pop(0xfee00000, (None, None, None, None))
    frames = {p[0] for p in pages.values()}
    check("the local APIC's page is a page of Xen's", found[1:2] == ["mmio_direct"] and target != 0xfee00000 and target not in frames, (target, found))
    absent = set(outward(0xfee00000, 0xfeefffff)) | {ioapic}
    absent |= set(outward(ecam, ecam + (platform["ecam_buses"] << 20) - 1)) if ecam else set()
    expected, stolen = {}, set()
    for first, last, kind in memory_map(run):
        if kind == "usable":
            for at in inward(first, last):
                expected[at] = "ram"
            stolen.add((last + 1) // PAGE * PAGE)      # what pvh_setup_acpi takes from the end of RAM starts within this page
    for first, last, kind in memory_map(run):
        if kind == "reserved":
            for at in outward(first, last):
                if at not in absent:
                    expected.setdefault(at, "reserved")
        elif kind in ("ACPI data", "ACPI NVS"):
            for at in outward(first, last):
                expected[at] = "ram" if at in stolen else "acpi"
    for at in range(0, 1 << 20, PAGE):
        expected.setdefault(at, "low")
    want = {"ram": ("rwx", "ram_rw", "WB"), "reserved": ("rw-", "mmio_direct", "UC"), "acpi": ("rwx", "mmio_direct", "UC"), "low": ("rwx", "mmio_direct", "UC")}
    wrong, other = [], {}
    for at, kind in expected.items():
        target, *found = pages.get(at, (None, None, None, None))
        if tuple(found) != want[kind] or (kind != "ram" and target != at):
            wrong.append(f"{at:#x} ({kind}): {target} {found}")
    for at in pages.keys() - expected.keys():
        other[at] = pages[at]
    # Memory BARs of the host's devices are the only thing else that dom0 may have: identity, and nothing of RAM.
    bars = {at for f in platform["pci"] for b in f["bars"] if b["kind"] != "io"
            for at in outward(int(b["address"], 16), int(b["address"], 16) + int(b["size"], 16) - 1)}
    unexplained = [hex(at) for at, p in other.items() if at not in bars or p[0] != at]
    check("RAM, RESERVED, ACPI and NVS of Xen's memory map are mapped exactly", not wrong, wrong[:5])
    check("nothing else is mapped but BARs", not unexplained, unexplained[:5])
    check("I/O APIC, ECAM and what follows the local APIC are absent", not absent & pages.keys(), sorted(map(hex, absent & pages.keys()))[:5])
    ram = sum(PAGE for p in pages.values() if p[2] == "ram_rw")
    check("mapped RAM adds up to dom0_mem", ram == DOM0_MEM, f"{ram:#x}")
    targets = [p[0] for p in pages.values() if p[2] == "ram_rw"]
    check("no two pages of dom0 share a frame", len(set(targets)) == len(targets))


def kernel_elf():
    """The ELF file inside the bzImage.   Linux "The Linux/x86 Boot Protocol": payload_offset, payload_length"""
    image = (GUESTS / "vmlinuz").read_bytes()
    offset, length = struct.unpack_from("<II", image, 0x248)
    at = ((image[0x1f1] or 4) + 1) * 512 + offset
    payload = image[at:at + length]
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(payload)
    return subprocess.run(["zstd", "-dcq"], input=payload, capture_output=True).stdout


def kernel_in_place(pages, image):
    elf = kernel_elf()
    offset, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    total, wrong = 0, []
    for i in range(count):
        kind, _, at, _, paddr, filesz, _, _ = struct.unpack_from("<IIQQQQQQ", elf, offset + i * size)
        if kind != 1:
            continue
        done = 0
        while done < filesz:
            n = min(PAGE - (paddr + done) % PAGE, filesz - done)
            gpa = paddr + done
            page = pages.get(gpa & -PAGE)
            if page is None or image.read(page[0] + gpa % PAGE, n) != elf[at + done:at + done + n]:
                wrong.append(hex(gpa))
            done += n
        total += filesz
    check(f"the kernel's segments ({total >> 20} MiB) lie at their addresses", total > 0 and not wrong, wrong[:5])


def main():
    with tempfile.TemporaryDirectory(prefix="vitrine-map-") as where:
        mapped, image = boot(where + "/shared", "")
        differences = read_map.compare(image, mapped)
        check("an independent reader finds the same ranges", not differences, differences[:3])
        ept = [t for t in mapped["tables"] if t["format"] == "ept"]
        vtd = [t for t in mapped["tables"] if t["format"] == "vtd"]
        check("one EPT", len(ept) == 1, len(ept))
        check("devices use the EPT's root", len(vtd) == 1 and vtd[0]["root"] == ept[0]["root"], [t["root"] for t in vtd])
        check("translation is enabled", mapped["units"][0]["translation_enabled"] and mapped["units"][0]["enabled_at_step"] > 0)
        pages = by_page(ept[0], ["access", "type", "memory_type"])
        platform = json.loads(pathlib.Path(where, "shared/platform.json").read_text())
        against_xens_word(where + "/shared", pages, platform)
        kernel_in_place(pages, image)

        mapped, image = boot(where + "/separate", ",no-sharept")
        differences = read_map.compare(image, mapped)
        check("separate tables: an independent reader finds the same ranges", not differences, differences[:3])
        ept = [t for t in mapped["tables"] if t["format"] == "ept"]
        vtd = [t for t in mapped["tables"] if t["format"] == "vtd"]
        check("separate tables: devices have a root of their own", len(vtd) == 1 and vtd[0]["root"] != ept[0]["root"], [t["root"] for t in vtd])
        a = {at: (t, access[:2]) for at, (t, access) in by_page(ept[0], ["access"]).items()}
        b = by_page(vtd[0], ["access"])
        wrong = [f"{at:#x}: EPT {a.get(at)}, VT-d {b.get(at)}" for at in sorted(a.keys() | b.keys()) if a.get(at) != b.get(at)]
        check("separate tables: equal addresses, targets, R and W", not wrong, wrong[:5])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
