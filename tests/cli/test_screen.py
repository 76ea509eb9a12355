#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`vitrine show screen` of a guest that wrote on the VGA, in all its forms, and the second serial port's own file; platforms without the one or the other."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import check, end, vitrine   # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BARE = pathlib.Path(os.environ["BUILD"]) / "bare"
subprocess.run([sys.executable, str(ROOT / "guests/bare/build.py"), "-o", str(BARE), "screen", "bios"], check=True)

with tempfile.TemporaryDirectory(prefix="vitrine-screen-") as where:
    where = pathlib.Path(where)

    def platform(name, **fields):
        file = where / f"{name}.json"
        file.write_text(json.dumps({"vitrine": "platform/1", "memory": "64M", **fields}))
        return file

    def run(name, guest="screen", **fields):
        return vitrine("run", "--platform", platform(name, **fields), "--kernel", BARE / guest, "--console", "raw", "--max-steps", "100000000", "-o", where / name)

    both = run("both", com2=True)
    check("a guest with a screen and two serial ports", both.returncode == 0 and "written" in both.stdout, both.stderr)
    text = vitrine("show", where / "both", "screen")
    lines = text.stdout.split("\n")
    high = bytes(range(0x80, 0xd0)).decode("cp437")
    check("as text: 25 lines, code page 437", len(lines) == 26 and lines[0] == "Hello, screen" and lines[1] == "" and lines[2] == high and lines[24] == " " * 79 + "<", text.stdout)
    data = json.loads(vitrine("show", where / "both", "screen", "--json").stdout)
    d = data["data"]
    check("as JSON", data["schema"] == "vitrine.show/1" and (d["mode"], d["columns"], d["rows"]) == ("text", 80, 25) and
          d["cursor"] == {"shown": True, "column": 7, "row": 4} and d["lines"] == lines[:25], d)
    check("attributes and palette", d["attributes"][0] == "1e" * 13 + "07" * 67 and d["attributes"][24].endswith("078c") and d["palette"][1] == "#0000aa" and
          d["palette"][14] == "#ffff55" and d["blink"] is True, d)
    colours = vitrine("show", where / "both", "screen", "ansi").stdout
    check("for a terminal", colours.startswith("\x1b[0;93;44mHello, screen\x1b[0;37;40m ") and "\x1b[0;91;40;5m<\x1b[0m" in colours and colours.count("\n") == 25, repr(colours[:80]))
    page = vitrine("show", where / "both", "screen", "html").stdout
    check("as a page", '<span style="color:#ffff55;background:#0000aa">Hello, screen</span>' in page and "&lt;</span>" in page and
          '<span style="color:#000000;background:#aaaaaa"> </span>' in page, page[:300])
    early = vitrine("show", f"{where / 'both'}@0", "screen")
    check("at the beginning it is empty", early.returncode == 0 and early.stdout == "\n" * 25, early.stdout)
    wrong = vitrine("show", where / "both", "screen", "png")
    check("a form that there is not", wrong.returncode == 2 and "text, ansi (colours for a terminal) or html" in wrong.stderr, wrong.stderr)

    second = (where / "both/console2.txt").read_text()
    check("console2.txt has what the second port sent, stamped", [x.split("] ")[1] for x in second.splitlines()] == ["from the second port", "and again"] and
          second.startswith("[ "), second)
    check("and console.txt has not", "second" not in (where / "both/console.txt").read_text())
    again = vitrine("replay", where / "both", "--verify")
    check("the run can be made again", again.returncode == 0, again.stderr)

    bare = run("bare", vga=False, i8042=False)
    check("a platform without VGA, keyboard and second port: the guest writes into nothing", bare.returncode == 0, bare.stderr)
    check("no console2.txt there", not (where / "bare/console2.txt").exists())
    absent = json.loads((where / "bare/manifest.json").read_text())["stats"]
    check("its accesses are counted as absent", "0xb8000" in absent["absent_memory"] and "0x3d4" in absent["absent_ports"], absent)
    wrong = vitrine("show", where / "bare", "screen")
    check("no screen to show", wrong.returncode == 2 and 'this platform has no VGA ("vga": false)' in wrong.stderr, wrong.stderr)
    for name, fields in {"all": {"com2": True}, "novga": {"vga": False}, "nokeys": {"i8042": False}, "none": {"vga": False, "i8042": False}}.items():
        done = run(f"bios-{name}", "bios", **fields)
        check(f"the BIOS's services with {name}", done.returncode == 0 and "all services" in done.stdout and
              ("10h: a VGA" in done.stdout) == fields.get("vga", True) and ("101 keys" in done.stdout) == fields.get("i8042", True), done.stdout + done.stderr)
    wrong = vitrine("run", "--platform", platform("clash", com2=True, pci=[{"bdf": "00:03.0", "device": "0x1234", "class_code": "0xff0000", "bars": [
        {"index": 0, "kind": "io", "address": "0x2f8", "size": 8}]}]), "--kernel", BARE / "screen")
    check("ports of the second serial port belong to it", wrong.returncode == 4 and "COM2" in wrong.stderr and "0x2f8" in wrong.stderr, wrong.stderr)
end()
