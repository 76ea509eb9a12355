#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How a guest is started: what Multiboot 1 and 2 hand over, byte by byte, on platforms of all sorts; the 16-bit BIOS on them; --protocol.
Multiboot "Boot information format"; Multiboot2 "Boot information format"; ACPI "INT 15H, E820H - Query System Address Map" """
import json
import os
import pathlib
import re
import struct
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import check, end, vitrine   # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "guests/bare"))
BARE = pathlib.Path(os.environ["BUILD"]) / "bare"
TYPES = {"RAM": 1, "RESERVED": 2, "ACPI": 3, "NVS": 4, "UNUSABLE": 5, "PMEM": 7}
PLATFORMS = ["default", "odd-edges", "reserved-rich", "acpi-nvs", "kernel-hole", "rsdt-only"]


def cstr(b):
    return b[:b.index(0)].decode()


def run(where, name, platform, *more):
    done = vitrine("run", "--platform", ROOT / f"platforms/{platform}.json", "--kernel", BARE / name, "--append", "one two", "--console", "raw",
                   "--max-steps", "2000000000", "-o", where, *more)
    return done, done.stdout.replace("\r", "").splitlines()


def told(where):
    """The platform's map, as it has to be told: (first, size, type)."""
    e820 = json.loads((where / "platform.json").read_text())["e820"]
    return [(int(e["first"], 16), int(e["size"], 16), TYPES[e["type"]]) for e in e820]


def upper(ranges):
    """KiB of RAM from 1 MiB to the first hole."""
    to = 1 << 20
    while more := [f + s for f, s, t in ranges if t == 1 and f <= to < f + s]:
        to = max(more)
    return min((to - (1 << 20)) >> 10, 0xffffffff)


def multiboot1(where, platform, modules):
    done, lines = run(where, "multiboot1", platform, *modules)
    ok = check(f"multiboot1 on {platform}: runs", done.returncode == 0 and lines[:1] == ["multiboot1 one two"], done.stdout + done.stderr)
    if done.returncode:
        return
    info, mmap = bytes.fromhex(lines[1]), bytes.fromhex(lines[2])
    word = lambda at: struct.unpack_from("<I", info, at)[0]
    want = told(where)
    got, at = [], 0
    while at < len(mmap):
        size, first, length, kind = struct.unpack_from("<IQQI", mmap, at)
        got.append((first, length, kind))
        at += size + 4
    check(f"multiboot1 on {platform}: the map is the platform's", got == want, got)
    check(f"multiboot1 on {platform}: lower and upper memory", word(0) & 0x3ff == 0x24d and word(8) == upper(want), (hex(word(0)), word(4), word(8)))
    check(f"multiboot1 on {platform}: modules with their strings and bytes", word(20) == 2 and lines[4:8] ==
          ["m1 a b", b"first".hex().upper(), "m2", (b"second" * 1000).hex().upper()], lines[3:5])
    return ok


def tags(info):
    all, at = [], 8
    while at < len(info):
        kind, size = struct.unpack_from("<II", info, at)
        all.append((kind, info[at + 8:at + size]))
        at += (size + 7) & ~7
    return all


def multiboot2(where, platform, modules):
    done, lines = run(where, "multiboot2", platform, *modules)
    check(f"multiboot2 on {platform}: runs", done.returncode == 0 and lines[:1] == ["multiboot2 one two"], done.stdout + done.stderr)
    if done.returncode:
        return
    all, want, described = tags(bytes.fromhex(lines[1])), told(where), json.loads((where / "platform.json").read_text())
    one = lambda kind: [b for k, b in all if k == kind]
    check(f"multiboot2 on {platform}: command line and loader", [cstr(b) for b in one(1)] == ["multiboot2 one two"] and [cstr(b) for b in one(2)] == ["Vitrine"], all)
    size, version = struct.unpack_from("<II", one(6)[0])
    got = [struct.unpack_from("<QQI", one(6)[0], at)[:3] for at in range(8, len(one(6)[0]), size)]
    check(f"multiboot2 on {platform}: the map is the platform's", (size, version) == (24, 0) and got == want, got)
    check(f"multiboot2 on {platform}: upper memory", struct.unpack("<II", one(4)[0])[1] == upper(want), one(4))
    mods = [(struct.unpack_from("<II", b), cstr(b[8:])) for b in one(3)]
    check(f"multiboot2 on {platform}: modules in their order, on pages", [(e - f, s) for (f, e), s in mods] == [(5, "m1 a b"), (6000, "m2")] and
          all_aligned(f for (f, _), _ in mods), mods)
    old, new = one(14), one(15)
    revision = described["rsdp_revision"]
    check(f"multiboot2 on {platform}: the RSDP, of 20 bytes and with an XSDT of 36", len(old) == 1 and len(old[0]) == 20 and sum(old[0]) & 255 == 0 and
          old[0].startswith(b"RSD PTR ") and (len(new) == 1 and len(new[0]) == 36 and sum(new[0]) & 255 == 0 and new[0][:20] == old[0]) == bool(revision), (old, new))
    check(f"multiboot2 on {platform}: the manifest names it", json.loads((where / "manifest.json").read_text())["guest"]["format"] == "multiboot2")


def all_aligned(addresses):
    return all(a % 4096 == 0 for a in addresses)


import build   # noqa: E402  (guests/bare/build.py)
build.subprocess.run([sys.executable, str(ROOT / "guests/bare/build.py"), "-o", str(BARE), "bios", "multiboot1", "multiboot2", "hello32"], check=True)
with tempfile.TemporaryDirectory(prefix="vitrine-boot-") as where:
    where = pathlib.Path(where)
    (where / "m1").write_bytes(b"first")
    (where / "m2").write_bytes(b"second" * 1000)
    modules = ["--module", f"{where / 'm1'} a b", "--module", str(where / "m2")]
    for platform in PLATFORMS:
        multiboot1(where / f"mb1-{platform}", platform, modules)
        multiboot2(where / f"mb2-{platform}", platform, modules)
        done, lines = run(where / f"bios-{platform}", "bios", platform)
        check(f"BIOS on {platform}: every service", done.returncode == 0 and "all services" in lines, done.stdout + done.stderr)

    asked, _ = run(where / "asked", "multiboot2", "default", "--protocol", "multiboot2")
    check("--protocol names what would have been taken anyway", asked.returncode == 0, asked.stderr)
    options = json.loads((where / "asked/manifest.json").read_text())["options"]
    check("the manifest keeps --protocol", options.get("protocol") == "multiboot2", options)
    again = vitrine("replay", where / "asked", "--verify")
    check("a run with --protocol can be made again", again.returncode == 0, again.stderr)
    wrong, _ = run(where / "wrong", "hello32", "default", "--protocol", "multiboot2")
    check("a protocol that the file does not offer", wrong.returncode == 4 and re.search(r"hello32: cannot be started by multiboot2; it offers multiboot1", wrong.stderr), wrong.stderr)
    wrong = vitrine("run", "--kernel", BARE / "hello32", "--protocol", "efi")
    check("a protocol that there is not", wrong.returncode == 2 and "--protocol efi: there is linux, multiboot1, multiboot2, pvh" in wrong.stderr, wrong.stderr)
    (where / "rom").write_bytes(b"\xb0\x00\xe6\xf4\xf4" + bytes(0xffeb) + b"\xe9\x0d\x00" + b"\xf4" * 13)
    wrong = vitrine("run", "--firmware", where / "rom", "--protocol", "multiboot1")
    check("a ROM is started by none", wrong.returncode == 2 and "--protocol is for a --kernel" in wrong.stderr, wrong.stderr)
    # The user's ROM finds neither our vectors nor our code: only the tables that the memory map speaks of.
    rom = vitrine("run", "--firmware", where / "rom", "-o", where / "rom-run")
    low = vitrine("memory", where / "rom-run", "-o", where / "low", "0x0+1M")
    bytes_low = (where / "low").read_bytes() if (where / "low").exists() else b""
    check("a ROM of one's own is alone below 1 MiB", rom.returncode == 0 and low.returncode == 0 and not any(bytes_low[:0xf0000]) and
          bytes_low[0xf0000:] == (where / "rom").read_bytes(), rom.stderr + low.stderr)
end()
