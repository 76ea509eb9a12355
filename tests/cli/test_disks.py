#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--disk, --disk-commit and --poke from outside: statuses, messages, what a run directory holds, and that a run with disks is made again."""
import hashlib
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import check, end, inputs, vitrine   # noqa: E402


with tempfile.TemporaryDirectory(prefix="vitrine-disk-options-") as where:
    where = pathlib.Path(where)
    # 64 KiB of ROM: waits until the byte at 0x5000 is not 0, then tells it as its status.
    code = b"\x31\xc0\x8e\xd8\xa0\x00\x50\x84\xc0\x74\xf9\xe6\xf4\xf4"   # xor ax,ax; mov ds,ax; mov al,[5000h]; test al,al; jz; out 0xf4,al; hlt
    rom = bytearray(b"\xf4" * 0x10000)
    rom[:len(code)] = code
    rom[0xfff0:0xfff3] = b"\xe9\x0d\x00"
    (where / "rom").write_bytes(rom)
    image = where / "disk.img"
    image.write_bytes(bytes(range(256)) * 64)
    sha = hashlib.sha256(image.read_bytes()).hexdigest()
    run = ["run", "--firmware", where / "rom", "--memory", "64M", "--console", "none"]
    poke = ["--poke", "5000=0x5000:2a"]

    for name, options, status, text in [
        ("no such image", ["--disk", where / "none"], 4, "none: cannot be opened (No such file or directory)"),
        ("a directory", ["--disk", where], 4, "is not a file; give a raw disk image"),
        ("another interface", ["--disk", f"{image},if=scsi"], 2, "there are nvme (the default) and ahci"),
        ("a commit of nothing", ["--disk-commit"], 2, "--disk-commit: there is no --disk"),
        ("one image twice", ["--disk", image, "--disk", f"{image},if=ahci", "--disk-commit"], 2, "is given twice"),
        ("no such device", ["--device", "floppy"], 2, "is no device that can be added; there are dma, "),
        ("a poke where no memory is", ["--poke", "1=0x100000000:00"], 2, "there is no memory at that address"),
        ("a poke without bytes", ["--poke", "1=0x1000"], 2, "is not ADDRESS:BYTES"),
    ]:
        done = vitrine(*run, *options)
        check(name, done.returncode == status and text in done.stderr, (done.returncode, done.stderr))
    cut = where / "cut.img"
    cut.write_bytes(b"x" * 777)
    done = vitrine(*run, "--disk", cut)
    check("an image that is cut off", done.returncode == 4 and "has 777 bytes, which is no multiple of the sector size 512" in done.stderr, done.stderr)

    done = vitrine(*run, *poke, "--disk", image, "--disk", f"{image},if=ahci", "-o", where / "run")
    check("a run with two disks", done.returncode == 0x2a, (done.returncode, done.stderr))
    m = json.loads((where / "run/manifest.json").read_text())
    check("the images are inputs", [(i["size"], i["sha256"]) for i in m["inputs"] if i["role"] == "disk"] == [(16384, sha)] * 2, m["inputs"])
    check("the poke is kept", inputs(where / "run") == [{"step": 5000, "device": "memory", "address": "0x5000", "bytes": "2a"}], inputs(where / "run"))
    check("overlays, empty", [d["written_blocks"] for d in m["disks"]] == [0, 0] and all((where / "run" / d["overlay"]).exists() for d in m["disks"]), m.get("disks"))
    platform = json.loads((where / "run/platform.json").read_text())
    check("the platform names them", [f["disks"][0]["sha256"] for f in platform["pci"] if "disks" in f] == [sha] * 2, platform["pci"])
    first = vitrine("memory", where / "run@5000", "0x5000-0x500f", "-o", where / "m1")
    later = vitrine("memory", where / "run@5001", "0x5000-0x500f", "-o", where / "m2")
    check("the run is made again, with its poke", first.returncode == later.returncode == 0 and (where / "m1").read_bytes()[0] == 0x2a == (where / "m2").read_bytes()[0] or
          (where / "m1").read_bytes()[0] == 0 and (where / "m2").read_bytes()[0] == 0x2a, first.stderr + later.stderr)
    done = vitrine("run", "--firmware", where / "rom", "--platform", where / "run/platform.json")
    check("its platform needs the images", done.returncode != 0 and "give its image with --disk FILE" in done.stderr, done.stderr)
    image.write_bytes(b"y" * 16384)
    done = vitrine("map", where / "run@100")
    check("an image that has changed", done.returncode == 4 and "disk.img: has changed (another SHA-256)" in done.stderr, done.stderr)
    done = vitrine(*run, "--poke", "100=0x5000:00", "--max-steps", "1000", "--disk", image, "--disk-commit", "-o", where / "limit")
    check("no commit without a clean end", done.returncode == 124 and "nothing was committed" in done.stderr, (done.returncode, done.stderr))
end()
