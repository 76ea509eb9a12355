#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands over a ledger on a small hypervisor of our own (guests/bare/check_rules.cpp): --ledger, log, blame, diff, and every wrong way to ask."""
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import check, end, vitrine   # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(where, word, *options):
    return vitrine("run", "--kernel", kernel, "--append", word, "--console", "none", "-o", where, *options)


with tempfile.TemporaryDirectory() as where:
    where = pathlib.Path(where)
    kernel = where / "bare/check_rules"
    built = subprocess.run([ROOT / "guests/bare/build.py", "-o", where / "bare", "check_rules"], capture_output=True, text=True)
    check("the guest is built", built.returncode == 0 and kernel.exists(), built.stderr)
    run(where / "a", "established-twice bad", "--ledger")
    run(where / "plain", "established-twice bad")
    manifest = json.loads((where / "a/manifest.json").read_text())
    check("the manifest says that there is a ledger", manifest["ledger"]["events"] > 0, manifest.get("ledger"))
    check("the run is the same without one", manifest["state_hash"] == json.loads((where / "plain/manifest.json").read_text())["state_hash"])

    log = vitrine("log", where / "a")
    check("log names the change of a target", "changed" in log.stdout and "->" in log.stdout and log.returncode == 0, log.stdout)
    every = vitrine("log", where / "a", "--all")
    check("log --all has every store with old and new", "becomes a table" in every.stdout and every.stdout.count("\n") > log.stdout.count("\n"), every.stdout)
    events = json.loads(vitrine("log", where / "a", "--json").stdout)
    check("log --json: schema and steps in order", events["schema"] == "vitrine.log/1" and [e["step"] for e in events["events"]] == sorted(e["step"] for e in events["events"]))
    changed = next(e for e in events["events"] if e["kind"] == "changed")
    gpa = int(changed["first"], 16)
    blame = json.loads(vitrine("blame", where / "a", f"gpa:{gpa:x}", "--json").stdout)
    kinds = [h["kind"] for h in blame["history"] if h["kind"] not in ("attempt", "refused", "no-return")]
    check("blame: established, then changed", kinds == ["established", "changed"], kinds)
    check("blame: what it is now is what was put there last", blame["now"][0]["mapping"]["target"] == blame["history"][-1]["after"]["target"], blame["now"])
    check("blame gfn: is the same in frames", json.loads(vitrine("blame", where / "a", f"gfn:{gpa >> 12:x}", "--json").stdout)["history"] == blame["history"])
    step = blame["history"][-1]["step"]
    before = json.loads(vitrine("blame", f"{where / 'a'}@{step}", f"gpa:{gpa:x}", "--json").stdout)
    check("RUN@T: the state before that step", [h for h in before["history"] if h["step"] >= step] == [] and before["now"][0]["mapping"]["target"] != blame["now"][0]["mapping"]["target"], before["now"])
    verify = vitrine("log", where / "a", "--verify", "--every", "1")
    check("log --verify after every event", verify.returncode == 0 and "are the same" in verify.stdout, verify.stdout + verify.stderr)
    again = vitrine("log", where / "plain")
    check("without --ledger it is made afterwards, and is the same", again.stdout == log.stdout and "running it again once" in again.stderr, again.stderr)

    run(where / "c", "denied-iomem-mapped bad", "--ledger")
    run(where / "d", "denied-iomem-mapped fixed", "--ledger")
    diff = vitrine("diff", where / "c", where / "d")
    check("diff: status 1 and both sides named", diff.returncode == 1 and diff.stdout.startswith(f"- {where}/c at step") and f"+ {where}/d at step" in diff.stdout, diff.stdout)
    check("diff: the page that is mapped in one only", "EPT 1\n  40000000 (4K)\n  - elsewhere rw- mmio_direct/rw UC 4K by " in diff.stdout and "  + not mapped\n" in diff.stdout, diff.stdout)
    check("diff: devices' tables have neither p2m types nor memory types", "VT-d tables of 00:04.0\n  40000000 (4K)\n  - elsewhere rw- 4K by " in diff.stdout, diff.stdout)
    check("diff of a run with itself", vitrine("diff", where / "a", where / "a").stdout == "no difference\n")

    for what, args, status, words in [
        ("blame without a form", ["blame", where / "a", "a0"], 2, "gfn:A0"),
        ("blame with a bad frame", ["blame", where / "a", "gfn:xyz"], 2, "'xyz' is not a hexadecimal frame number"),
        ("blame iova without a device", ["blame", where / "a", "iova:1000"], 2, "iova:8c000@00:1d.0"),
        ("blame of what nobody mapped", ["blame", where / "a", "gpa:7ffff000"], 0, "nobody has mapped gpa:7ffff000 or tried to"),
        ("blame of a device without tables", ["blame", where / "a", "iova:0@00:1e.0"], 0, "00:1e.0 had no tables of its own"),
        ("log with a bad range", ["log", where / "a", "5-4"], 2, "RANGE 5-4"),
        ("log --of something", ["log", where / "a", "--of", "npt"], 2, "there is ept, vtd and all"),
        ("log --every 0", ["log", where / "a", "--verify", "--every", "0"], 2, "--every 0"),
        ("log of no run", ["log", where / "nothing"], 4, "is not a run directory"),
        ("diff with a bad range", ["diff", where / "a", where / "c", "x"], 2, "RANGE x"),
        ("--ledger without a directory", ["run", "--kernel", kernel, "--ledger"], 2, "--ledger: needs a run directory, -o DIR"),
    ]:
        got = vitrine(*args)
        check(f"{what}: status {status} and the reason", got.returncode == status and words in got.stderr, f"{got.returncode}: {got.stderr}")
    (where / "a/events.vit").write_bytes(b"{}\n")
    got = vitrine("log", where / "a")
    check("a damaged event file is named", got.returncode == 4 and "events.vit: is not an event file" in got.stderr, f"{got.returncode}: {got.stderr}")
end()
