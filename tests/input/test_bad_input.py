# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input: a message that names the file and what is wrong with it, status 4 (2 for the command line), no run directory."""
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get("ROOT", pathlib.Path(__file__).resolve().parent.parent.parent))
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
VITRINE = os.environ.get("VITRINE", str(BUILD / "vitrine"))
GUESTS = pathlib.Path(os.environ.get("GUESTS", BUILD / "guests"))
BARE = BUILD / "bare"
failed = 0


def expect(name, args, status, *mentions, out=None):
    global failed
    done = subprocess.run([VITRINE, "run", *map(str, args)], capture_output=True, text=True, errors="replace", timeout=120, stdin=subprocess.DEVNULL)
    why = []
    if done.returncode != status:
        why.append(f"status {done.returncode}, expected {status}")
    why += [f"the message does not mention {m!r}" for m in mentions if m not in done.stderr]
    if out is not None and pathlib.Path(out).exists():
        why.append("it left a run directory")
    if why:
        failed += 1
        print(f"FAIL {name}\n{'; '.join(why)}\n{done.stderr.strip()[-400:]}")
    else:
        print(f"ok {name}")


with tempfile.TemporaryDirectory(prefix="vitrine-input-") as where:
    w = pathlib.Path(where)
    out = w / "run"
    xen = gzip.decompress((GUESTS / "xen.gz").read_bytes())

    def file(name, data):
        (w / name).write_bytes(data)
        return w / name

    def kernel(name, path, *mentions):
        expect(name, ["--kernel", path, "-o", out], 4, str(path), *mentions, out=out)

    kernel("missing kernel", w / "none")
    kernel("a directory as kernel", w)
    kernel("empty kernel", file("empty", b""))
    kernel("gzip cut short", file("cut.gz", (GUESTS / "xen.gz").read_bytes()[:100000]))
    kernel("ELF cut short", file("cut", xen[:4096]))
    kernel("ELF header cut short", file("header", xen[:40]))
    arm = bytearray(xen)
    arm[18:20] = (40).to_bytes(2, "little")
    kernel("ELF for another machine", file("arm", arm))
    kernel("neither ELF nor bzImage", file("text", b"just text\n" * 1000))
    kernel("ELF of no known kind", VITRINE)

    good = GUESTS / "xen.gz"
    expect("missing module", ["--kernel", good, "--module", w / "nothing", "-o", out], 4, str(w / "nothing"), out=out)
    expect("empty module", ["--kernel", good, "--module", w / "empty", "-o", out], 4, str(w / "empty"), out=out)
    expect("a module larger than memory", ["--memory", "64M", "--kernel", good, "--module", GUESTS / "vmlinuz", "--module", file("big", bytes(80 << 20)), "-o", out], 4, str(w / "big"), out=out)
    expect("missing initramfs", ["--kernel", GUESTS / "vmlinuz", "--initrd", w / "nothing", "-o", out], 4, str(w / "nothing"), out=out)
    expect("an initramfs larger than memory", ["--memory", "128M", "--kernel", GUESTS / "vmlinuz", "--initrd", w / "big", "-o", out], 4, str(w / "big"), out=out)

    def platform(name, text, *mentions):
        path = file("platform.json", text.encode() if isinstance(text, str) else json.dumps(text).encode())
        expect("platform: " + name, ["--platform", path, "--kernel", BARE / "hello64", "-o", out], 4, str(path), *mentions, out=out)

    base = {"vitrine": "platform/1", "name": "bad"}
    ram = [{"first": "0x0", "size": "0x9f000", "type": "RAM"}, {"first": "0x100000", "size": "0x3ff00000", "type": "RAM"}]
    platform("not JSON", "{ \"vitrine\": ")
    platform("not an object", "[1, 2]")
    platform("of no version", {"name": "x"}, "vitrine")
    platform("an unknown field", {**base, "colour": "red"}, "colour")
    platform("a string for a number", {**base, "cpus": "many"}, "cpus")
    platform("overlapping E820", {**base, "e820": ram + [{"first": "0x80000", "size": "0x100000", "type": "RESERVED"}]}, "e820")
    platform("an E820 type of no meaning", {**base, "e820": ram + [{"first": "0xf0000000", "size": "0x1000", "type": "SOFT"}]}, "e820")
    platform("RAM beyond the address width", {**base, "e820": ram + [{"first": "0x10000000000000", "size": "0x1000", "type": "RAM"}]}, "e820")
    expect("missing platform", ["--platform", w / "no.json", "--kernel", BARE / "hello64", "-o", out], 4, str(w / "no.json"), out=out)

    hello = BARE / "hello64"
    expect("no kernel", ["-o", out], 2, out=out)
    expect("an unknown option", ["--kernel", hello, "--colour"], 2)
    expect("a size that is none", ["--kernel", hello, "--memory", "much", "-o", out], 2, "much", out=out)
    expect("a time that is none", ["--kernel", hello, "--until", "tomorrow", "-o", out], 2, "tomorrow", out=out)
    expect("an unknown CPU", ["--kernel", hello, "--cpu", "z80", "-o", out], 2, "z80", out=out)
    (w / "taken").mkdir()
    (w / "taken/thing").write_text("mine")
    expect("an output directory of somebody else's", ["--kernel", hello, "-o", w / "taken"], 2, str(w / "taken"))
    if (w / "taken/thing").read_text() != "mine":
        failed += 1
        print("FAIL an output directory of somebody else's is left alone")

    # how a run can end, without a line of Xen
    limit = subprocess.run([VITRINE, "run", "--memory", "256M", "--kernel", str(BARE / "bench64"), "--append", "sieve", "--max-steps", "1000000", "--console", "file", "-o", str(out)],
                           capture_output=True, text=True, timeout=120)
    ok = limit.returncode == 124 and json.loads((out / "manifest.json").read_text())["exit_status"] == 124
    failed += not ok
    print("ok a step limit: status 124" if ok else f"FAIL a step limit: status {limit.returncode}")
sys.exit(1 if failed else 0)
