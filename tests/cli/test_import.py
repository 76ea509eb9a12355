#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vitrine platform import from outside: where it writes, statuses, messages; what it decodes of acpidump's tables agrees with iasl."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get("ROOT", pathlib.Path(__file__).resolve().parent.parent.parent))
VITRINE = os.environ["VITRINE"]
DATA = ROOT / "tests/firmware/import"
failed = False


def check(name, ok, why=""):
    global failed
    failed |= not ok
    print(f"{'ok' if ok else 'FAIL'} {name}" + ("" if ok else f": {str(why)[-1500:]}"))


def vitrine(*args, **more):
    return subprocess.run([VITRINE, *map(str, args)], capture_output=True, timeout=120, **{"stdin": subprocess.DEVNULL, **more})


def text(b):
    return b.decode(errors="replace")


def streams(where):
    log = DATA / "xen-4.17-laptop.txt"
    to_stdout = vitrine("platform", "import", log)
    out = where / "xen-4.17-laptop.json"
    to_file = vitrine("platform", "import", log, "-o", out)
    check("without -o the description is the standard output", to_stdout.returncode == 0 and json.loads(to_stdout.stdout)["vitrine"] == "platform/1", to_stdout.stderr)
    check("with -o it is the file, and nothing else is printed", to_file.returncode == 0 and to_file.stdout == b"" and out.read_bytes() == to_stdout.stdout, to_file.stderr)
    check("warnings name file and line", b"warning: xen-4.17-laptop.txt:52: not carried: unit 0xfed90000: ECAP_REG says" in to_file.stderr, to_file.stderr)
    piped = vitrine("platform", "import", "-", stdin=open(log, "rb"))
    check("standard input", piped.returncode == 0 and json.loads(piped.stdout)["e820"] == json.loads(to_stdout.stdout)["e820"], piped.stderr)
    report = json.loads(vitrine("platform", "import", log, "--json").stdout)
    check("--json: one object", report["schema"] == "vitrine.import/1" and report["platform"] == json.loads(to_stdout.stdout) and report["notes"] and report["guesses"], report.keys())
    lint = vitrine("platform", "lint", out)
    check("lint accepts it and lists the guesses", lint.returncode == 0 and b"guessed: drhds[0].iotlb_entries: " in lint.stdout and b"guesses in 1 description" in lint.stderr,
          lint.stdout + lint.stderr)
    shown = json.loads(vitrine("platform", "show", out, "--json").stdout)
    check("the canonical description has no origins", "import" not in shown and len(shown["e820"]) == 20, shown.keys())
    twice = where / "other"
    twice.mkdir()
    (twice / "truncated.txt").write_bytes((DATA / "truncated.txt").read_bytes())
    both = vitrine("platform", "import", DATA / "truncated.txt", twice / "truncated.txt")
    check("files of one name are told apart", f"{twice}/truncated.txt:17: unreadable" in text(both.stderr), both.stderr)


def refusals(where):
    nothing = where / "nothing.txt"
    nothing.write_text("Dear list,\nit does not boot.\n")
    empty = where / "empty.txt"
    empty.write_text("")
    for name, args, status, words in [
            ("AMD", [DATA / "amd.txt"], 4, "amd.txt:3: CPU Vendor: AMD"),
            ("one AMD log among others", [DATA / "linux-6.1.txt", DATA / "amd.txt"], 4, "out of scope"),
            ("nothing recognisable", [nothing], 4, "nothing recognisable; looked for: E820"),
            ("an empty file", [empty], 4, "empty.txt: is empty"),
            ("a missing file", [where / "missing"], 4, "cannot be opened"),
            ("a directory", [where], 4, "is a directory"),
            ("no file", [], 2, "FILE"),
            ("no place to write", [DATA / "linux-6.1.txt", "-o", where / "no/such/place.json"], 4, "cannot be written")]:
        done = vitrine("platform", "import", *args)
        check(f"refused: {name}", done.returncode == status and words in text(done.stderr + done.stdout) and not done.stdout.startswith(b"{"), (done.returncode, done.stderr))


def iasl(where):
    """acpixtract makes tables of the dump, iasl says what is in them; both are the reference implementation's."""
    subprocess.run(["acpixtract", "-a", str(DATA / "acpidump.txt")], cwd=where, check=True, capture_output=True)
    r = json.loads(vitrine("platform", "import", DATA / "acpidump.txt").stdout)
    raw = vitrine("platform", "import", *[where / f"{t}.dat" for t in ("dmar", "apic", "mcfg", "hpet")])
    check("raw tables give what the text gives", raw.returncode == 0 and all(json.loads(raw.stdout)[k] == r[k] for k in ("drhds", "rmrrs", "cpu", "ecam", "hpet_address", "ioapic_id")),
          raw.stderr)
    for table in r["import"]["tables"]:
        check(f"{table['signature']}: the bytes are kept", bytes.fromhex(table["bytes"]) == (where / f"{table['signature'].lower()}.dat").read_bytes())
    said = {}
    for t in ("dmar", "apic", "mcfg", "hpet"):
        subprocess.run(["iasl", "-d", f"{t}.dat"], cwd=where, check=True, capture_output=True)
        said[t] = [(k.strip(), v.strip()) for k, v in re.findall(r"^\[\w+ \d+\s+\w+\]\s*([^:\n]+) : ([^\n]*)$", (where / f"{t}.dsl").read_text(), re.M)]

    def all_of(t, field):
        return [int(v.split()[0], 16) for k, v in said[t] if k == field]

    units, regions, scopes, current = [], [], None, None
    kinds = {"01": "endpoint", "02": "bridge", "03": "ioapic", "04": "hpet"}
    for k, v in said["dmar"]:
        if k == "Subtable Type":
            current = {"type": v[:4], "scopes": []}
            {"0000": units, "0001": regions}.get(v[:4], []).append(current)
        elif current is not None:
            if k == "Device Scope Type":
                current["scopes"].append({"kind": kinds[v[:2]], "path": []})
            elif k == "Enumeration ID":
                current["scopes"][-1]["enumeration_id"] = int(v, 16)
            elif k == "PCI Bus Number":
                current["scopes"][-1]["bus"] = int(v, 16)
            elif k == "PCI Path":
                dev, fn = v.split(",")
                current["scopes"][-1]["path"].append(f"{int(dev, 16):02x}.{int(fn, 16)}")
            else:
                current[k] = v
    check("iasl: host address width", [r["host_address_width"] - 1] == all_of("dmar", "Host Address Width"))
    check("iasl: units", len(units) == 2 and [int(u["address"], 16) for u in r["drhds"]] == [int(u["Register Base Address"], 16) for u in units] and
          [u["include_all"] for u in r["drhds"]] == [u["Flags"].startswith("01") for u in units], (units, r["drhds"]))
    check("iasl: units' devices", [u["scopes"] for u in r["drhds"]] == [u["scopes"] for u in units], (units, [u["scopes"] for u in r["drhds"]]))
    check("iasl: regions", len(regions) == 2 and [(int(x["first"], 16), int(x["last"], 16), x["scopes"]) for x in r["rmrrs"]] ==
          [(int(x["Base Address"], 16), int(x["End Address (limit)"], 16), x["scopes"]) for x in regions], (regions, r["rmrrs"]))
    check("iasl: processors", r["cpu"]["count"] == len(re.findall(r"Processor Enabled : 1", (where / "apic.dsl").read_text())), said["apic"])
    check("iasl: I/O APIC", [int(r["ioapic"], 16)] == [a for k, a in zip([k for k, _ in said["apic"] if k == "Address"], all_of("apic", "Address"))][:1] and
          [r["ioapic_id"]] == all_of("apic", "I/O Apic ID"), said["apic"])
    check("iasl: ECAM", [int(r["ecam"], 16)] == all_of("mcfg", "Base Address") and [r["ecam_buses"] - 1] == all_of("mcfg", "End Bus Number"), said["mcfg"])
    check("iasl: HPET", [int(r["hpet_address"], 16)] == all_of("hpet", "Address"), said["hpet"])


with tempfile.TemporaryDirectory(prefix="vitrine-import-") as where:
    for part in (streams, refusals, iasl):
        part(pathlib.Path(where))
sys.exit(1 if failed else 0)
