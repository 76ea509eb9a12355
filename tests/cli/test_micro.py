# SPDX-License-Identifier: GPL-2.0-or-later
"""The microbenchmarks: program and guest have the same rows, the guest gives a figure for each, and the script's arithmetic and messages."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from command import VITRINE, check, end

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ["BUILD"])
SCRIPT = ROOT / "bench/micro.py"
sys.path.insert(0, str(ROOT / "bench"))
import micro  # noqa: E402


def script(*args):
    return subprocess.run([sys.executable, str(SCRIPT), "--build", str(BUILD), "--vitrine", VITRINE, *args], capture_output=True, text=True, timeout=120)


listed, _ = micro.rows_of(subprocess.run([str(micro.build_native(BUILD)), "--list"], capture_output=True, text=True, check=True).stdout)
native = list(listed)

# a chain of 100 additions, twice 20 times: one step each, and two of the loop
short = script("--no-native", "--json", "--only", r"^(chain\.add|lines4k\.4K|ept2m\.guest4k\.64|vmx\.vmcall)$")
rows = {r["name"]: r["flat"] for r in json.loads(short.stdout)["rows"]} if short.returncode == 0 else {}
check("guest: a cycle for each step under flat", rows.get("chain.add") == 1.02, (short.stderr, rows))
check("guest: a chain of 16 loads in each turn", rows.get("lines4k.4K") == 1.125, rows)
check("guest: the same inside a virtual machine", rows.get("ept2m.guest4k.64") == 1.125, rows)
check("guest: VM exits and entries", 2 <= (rows.get("vmx.vmcall") or 0) <= 8, rows)

with tempfile.TemporaryDirectory(prefix="vitrine-micro-") as where:
    whole = subprocess.run([VITRINE, "run", "--memory", "512M", "--kernel", str(BUILD / "bare/micro"), "--console", "raw", "--max-steps", "60000000", "-o", where + "/run"],
                           capture_output=True, text=True, timeout=120)
    guest, _ = micro.rows_of(whole.stdout)
    check("guest: ends, below 60 million steps", whole.returncode == 0 and "micro done" in whole.stdout, (whole.returncode, whole.stdout[-500:], whole.stderr[-500:]))
    check("guest and program have the same rows in the same order", list(guest) == native, set(guest) ^ set(native))
    check("each name is there once", whole.stdout.count('"name"') == len(guest))
    check("guest: a figure for every row", all(v is not None and v > 0 for v in guest.values()), {n: v for n, v in guest.items() if not v})

    program = subprocess.run([str(BUILD / "micro-native"), "--seconds", "0", "chain.add", "chain.imul", "vmx.vmcall"], capture_output=True, text=True, timeout=60)
    some, about = micro.rows_of(program.stdout)
    check("program: only the rows that are asked for", list(some) == ["chain.add", "chain.imul", "vmx.vmcall"], program.stdout)
    check("program: names the processor", "family" in about.get("processor", ""), about)
    check("program: core cycles are told by additions", 0.5 < (some.get("chain.add") or 0) < 2, some)
    check("program: nothing where the machine's rights are needed", "vmx.vmcall" in some and some["vmx.vmcall"] is None, some)
    wrong = subprocess.run([str(BUILD / "micro-native"), "--fast"], capture_output=True, text=True)
    check("program: an option that it does not know", wrong.returncode == 2 and "unknown option '--fast'" in wrong.stderr, wrong.stderr)

    # the script, on figures that are given
    kept = pathlib.Path(where) / "kept.json"
    kept.write_text(json.dumps({"schema": "vitrine.micro-native/1", "processor": "none", "rows": {"chain.add": [1.0, 1.5, 9.0], "chain.imul": [3.5, 4.0, 2.5, 3.0, 3.1], "vmx.vmcall": []}}))
    out = script("--native-from", str(kept), "--only", r"^chain\.(add|imul)$", "--gate")
    check("script: error against the lower quartile of the figures that were kept", re.search(r"^chain\.imul +3\.00 +1\.02 +-66\.0% +3\.00$", out.stdout, re.M), out.stdout + out.stderr)
    check("script: a gate that is missed is named", out.returncode == 1 and "flat: chain.imul: 1.02, native 3.00: -66.0%" in out.stdout, out.stdout)
    out = script("--native-from", str(kept), "--only", r"^chain\.(add|imul)$", "--markdown")
    check("script: as Markdown", out.returncode == 0 and "| `chain.imul` | 3.00 | 1.02 | -66.0% | 3.00 |" in out.stdout, out.stdout)
    check("script: mean of a group", "| `chain` | 2 | 34.0% |" in out.stdout, out.stdout)
    out = script("--only", "no-such-row")
    check("script: no row of that name", out.returncode == 2 and "no row has such a name" in out.stderr, out.stderr)
    out = script("--native-from", where + "/absent.json")
    check("script: no such file", out.returncode == 2 and "absent.json" in out.stderr, out.stderr)

anchors = json.loads((ROOT / "bench/micro/anchors.json").read_text())
check("anchors are of rows that there are", not set(anchors["rows"]) - set(native) - set(micro.DERIVED), set(anchors["rows"]) - set(native))
for file in sorted((ROOT / "bench/micro").glob("xeon-*.json")):
    kept = json.loads(file.read_text())
    check(f"{file.name}: kept figures are of the rows that there are", list(kept["rows"]) == native, set(kept["rows"]) ^ set(native))
    figures = micro.with_derived(micro.typical(kept["rows"]))
    check(f"{file.name}: an addition is a cycle", abs(figures["chain.add"] - 1) < 0.005, figures["chain.add"])
    check(f"{file.name}: figures for all that needs no rights", [n for n in native if figures[n] is None and not re.match(r"ept|vmx|kernel", n)] == [], figures)
for file in sorted((ROOT / "bench/micro").glob("xeon-6-207.json")):   # the kind of core that the profile is of
    out = script("--native-from", str(file), "--timing", "core", "--profile", "measured-server", "--gate")
    check("core with the measured profile passes every gate", out.returncode == 0 and "mean error against the 24 anchors" in out.stdout, out.stdout[-2000:] + out.stderr)
check("what no gate judges has a reason", anchors["left_out"] and all(n in native and len(why) > 40 for n, why in anchors["left_out"].items()), anchors["left_out"])
check("every gate has a row", all(any(re.fullmatch(g["rows"], n) for n in [*native, *micro.DERIVED]) for g in anchors["gates"]))
end()
