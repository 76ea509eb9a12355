#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every rule of `vitrine check` against a hypervisor that violates it once ("bad"), one that comes near without violating it ("near"), and
one where the cause is gone ("fixed"): guests/bare/check_rules.cpp. Then the command itself: explain, --rule, --severity, --json, statuses."""
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import check, end, vitrine   # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


PLATFORM = json.loads((ROOT / "platforms/rmrr.json").read_text())
PLAIN = {"vitrine": "platform/1", "name": "plain"}


def plain(**drhd):
    return {**PLAIN, "drhds": [drhd]} if drhd else PLAIN


def rmrr():
    """With one more RMRR, for a device that does not exist."""
    p = json.loads(json.dumps(PLATFORM))
    p["rmrrs"].append({"first": "0x7be00000", "last": "0x7be0ffff", "scopes": [{"kind": "endpoint", "bus": 0, "path": ["1a.0"]}]})
    return p


# word, rule that has to be found, severity, platform, what the text has to name
CASES = [
    ("refused-mapping", "refused-mapping", "error", plain(), ["second_pass", "first_pass", "0x40000000", "mmio_direct", "EPERM"]),
    ("established-twice", "established-twice", "error", plain(), ["second_pass", "first_pass", "another target"]),
    ("ept-vtd", "ept-vtd", "error", plain(), ["0x40000000", "0x3000000", "0x3001000", "device_pass"]),
    ("rmrr-missing", "rmrr-missing", "error", rmrr(), ["0x7bf00000", "00:1d.0", "nothing"]),
    ("rmrr-lost", "rmrr-missing", "error", rmrr(), ["0x7bf10000-0x7bf10fff", "00:1d.0", "replaced"]),
    ("reserved-missing", "reserved-missing", "error", {**rmrr(), "rmrrs": [], "e820": [r for r in PLATFORM["e820"] if r["first"] not in ("0x7be00000", "0xfffc0000")]}, ["0xf0000-0xfffff", "RESERVED"]),
    ("denied-iomem-mapped", "denied-iomem-mapped", "error", plain(), ["0xfed90000", "remapping unit", "first_pass"]),
    ("denied-own-table", "denied-iomem-mapped", "error", plain(), ["an EPT table", "0x2000000"]),
    ("cacheable-mmio", "cacheable-mmio", "warning", plain(), ["0xfebf0000", "write-back", "raw_entry"]),
    ("aliased-ram", "aliased-ram", "warning", plain(), ["0x40001000-0x40001fff", "0x3000000", "0x40000000"]),
    ("beyond-width", "beyond-width", "error", plain(), ["46 bits", "raw_entry"]),
    ("flush-missing", "flush-missing", "error", plain(), ["INVEPT", "0x40000000", "first_pass"]),
    ("flush-missing-vtd", "flush-missing", "error", plain(), ["IOTLB", "domain 7", "device_pass"]),
    ("flush-missing-context", "flush-missing", "error", plain(), ["context", "00:04.0"]),
    ("flush-missing-root", "flush-missing", "error", plain(), ["global invalidation"]),
    ("caching-mode", "flush-missing", "error", plain(caching_mode=True), ["IOTLB"]),
    ("write-buffer", "flush-missing", "error", plain(write_buffer_flush=True), ["write buffer"]),
    ("unflushed-line", "unflushed-line", "error", plain(coherent=False), ["ECAP.C=0", "0x40000000"]),
    ("stale-translation", "stale-translation", "error", plain(), ["0x40000000", "device_pass"]),
    ("dma-fault", "dma-fault", "error", plain(), ["00:04.0", "a read", "device_remove", "nothing"]),
]
# Findings of other rules that belong to a violation, or to what a case has to do.
ALSO = {"stale-translation near": {"flush-missing"}, "rmrr-lost near": set()}


def main():
    with tempfile.TemporaryDirectory(prefix="vitrine-check-") as where:
        where = pathlib.Path(where)
        bare = where / "bare"
        done = subprocess.run([ROOT / "guests/bare/build.py", "-o", bare, "check_rules"], capture_output=True, text=True)
        if done.returncode:
            check("the guest builds", False, done.stderr)
            return 1
        guest = bare / "check_rules"

        def run(name, word, platform, *more):
            file = where / (name + ".json")
            file.write_text(json.dumps(platform))
            out = where / name
            r = vitrine("run", "--platform", file, "--kernel", guest, "--append", word, "--symbols", guest, "--ledger", "--console", "file", "--max-steps", 50_000_000, "-o", out, *more)
            if r.returncode:
                check(f"{word}: the guest ran", False, (out / "console.txt").read_text()[-800:] + r.stderr)
            return out

        def findings(out, *more):
            r = vitrine("check", out, "--json", *more)
            try:
                j = json.loads(r.stdout)
            except ValueError:
                return r, None
            return r, j

        r, j = findings(run("healthy", "", plain()))
        check("a healthy toy has no findings", r.returncode == 0 and j and not j["findings"], r.stdout + r.stderr)
        text = vitrine("check", where / "healthy")
        check("and says so", text.returncode == 0 and text.stdout.startswith("no findings in "), text.stdout)

        for word, rule, severity, platform, names in CASES:
            for how in ("bad", "near", "fixed"):
                if word == "flush-missing-root" and how == "near":
                    continue
                here = plain(coherent=True) if word == "unflushed-line" and how == "near" else platform
                out = run(f"{word}-{how}", f"{word} {how}", here)
                r, j = findings(out)
                if not j:
                    check(f"{word} {how}", False, r.stderr)
                    continue
                serious = [f for f in j["findings"] if f["severity"] != "info"]
                told = "\n".join(f"{f['severity']} {f['rule']}: {f['text']}" for f in j["findings"])
                if how == "bad":
                    mine = [f for f in serious if f["rule"] == rule]
                    want = 2 if rule == "denied-iomem-mapped" else 1   # of the guest and of the device
                    check(f"{word}: told {'once' if want == 1 else 'of the guest and of the device'}", len(mine) == want, told or "no finding")
                    if mine:
                        f = mine[0]
                        check(f"{word}: its severity", f["severity"] == severity, told)
                        missing = [n for n in names if n not in f["text"]]
                        check(f"{word}: its text names {', '.join(names)}", not missing, f"without {missing}: {f['text']}")
                        check(f"{word}: a command to go on with", f["see"].startswith("vitrine ") and vitrine(*f["see"].split()[1:]).returncode == 0, f["see"])
                    check(f"{word}: status 1", r.returncode == 1, r.returncode)
                else:
                    others = [f for f in serious if f["rule"] not in ALSO.get(f"{word} {how}", set())]
                    check(f"{word}: silent when {'near' if how == 'near' else 'the cause is gone'}", not others, told)

        r, j = findings(run("halt", "refused-mapping bad halt", plain()))
        mine = j["findings"] if j else []
        check("a guard that ends the run: the call never came back", len(mine) == 1 and mine[0]["rule"] == "refused-mapping" and "never came back" in mine[0]["text"] and "first_pass" in mine[0]["text"], mine)
        commands(where)
        conditions(where, guest)
    end()


def conditions(where, guest):
    """--stop-on, --bad-if, --good-if: the ledger is looked at while the guest runs and at the end."""
    def run(word, *more):
        return vitrine("run", "--kernel", guest, "--append", word, "--symbols", guest, "--console", "none", "--max-steps", 50_000_000, *more)

    bad, good = ("--bad-if", "rule:refused-mapping"), ("--good-if", "console:'what the guard said'")
    r = run("refused-mapping bad", *bad, *good)
    check("a console text that comes first decides: good", r.returncode == 0 and "good: console:'what the guard said'" in r.stderr, r.stderr)
    r = run("refused-mapping bad", *bad)
    check("--bad-if rule: status 1, and says why", r.returncode == 1 and "bad: rule:refused-mapping: p2m_add_page refused" in r.stderr, r.stderr)
    r = run("refused-mapping near", *bad)
    check("neither good nor bad: 125", r.returncode == 125, (r.returncode, r.stderr))
    r = run("refused-mapping near", *bad, *good)
    check("--good-if console: status 0", r.returncode == 0, (r.returncode, r.stderr))
    r = vitrine("run", "--kernel", guest, "--console", "none", "--max-steps", 1000, "--bad-if", "limit")
    check("--bad-if limit", r.returncode == 1 and "bad: limit" in r.stderr, (r.returncode, r.stderr))
    r = run("refused-mapping bad linger", "--stop-on", "refused-mapping")
    r2 = run("refused-mapping bad linger", "--stop-on", "refused-mapping")
    step = [x.stderr.split("at step ")[-1].split()[0] for x in (r, r2)]
    check("--stop-on ends the run, status 1, at the same step each time", r.returncode == 1 and "stopped: rule:refused-mapping" in r.stderr and step == ["4,194,304"] * 2, r.stderr)
    r = run("refused-mapping near", "--stop-on", "refused-mapping")
    check("--stop-on that never comes changes nothing", r.returncode == 0, (r.returncode, r.stderr))
    for option in (("--bad-if", "rule:no-such"), ("--stop-on", "no-such")):
        r = run("", *option)
        check(f"{option[0]} of an unknown rule", r.returncode == 2 and "no-such" in r.stderr and "dma-fault" in r.stderr, r.stderr)
    r = run("", "--good-if", "whenever")
    check("--good-if of something else", r.returncode == 2 and "limit" in r.stderr, r.stderr)


def commands(where):
    bad = where / "refused-mapping-bad"
    text = vitrine("check", bad)
    check("text: a block with rule, step, origin, console and command", text.returncode == 1 and text.stdout.startswith("error refused-mapping  at step ") and "\n  console: ok " in text.stdout
          and f"\n  see: vitrine blame {bad} gfn:40000\n" in text.stdout and "1 finding: 1 error, 0 warnings, 0 infos" in text.stdout, text.stdout)
    r = vitrine("check", bad, "--rule", "aliased-ram")
    check("--rule leaves the others out", r.returncode == 0 and r.stdout.startswith("no findings"), r.stdout)
    r = vitrine("check", bad, "--rule", "aliased-ram", "--rule", "refused-mapping")
    check("--rule can be given twice", r.returncode == 1 and "refused-mapping" in r.stdout, r.stdout)
    r = vitrine("check", where / "cacheable-mmio-bad", "--severity", "error")
    check("--severity error leaves warnings out", r.returncode == 0 and "cacheable" not in r.stdout, r.stdout)
    r = vitrine("check", bad, "--rule", "no-such")
    check("an unknown rule is refused with the list", r.returncode == 2 and "no-such" in r.stderr and "refused-mapping" in r.stderr, r.stderr)
    r = vitrine("check", bad, "--severity", "fatal")
    check("an unknown severity is refused", r.returncode == 2 and "warning" in r.stderr, r.stderr)
    r = vitrine("explain")
    rules = [line.split()[0] for line in r.stdout.splitlines() if line]
    check("explain lists the rules", r.returncode == 0 and {c[1] for c in CASES} <= set(rules), r.stdout)
    check("every rule has an explanation of some sentences", all(vitrine("explain", n).stdout.count(". ") + vitrine("explain", n).stdout.count(".\n") >= 3 for n in rules))
    check("every rule is in docs/checks.md", all(f"`{n}`" in (ROOT / "docs/checks.md").read_text() for n in rules), rules)
    r = vitrine("explain", "no-such")
    check("explain of an unknown rule", r.returncode == 2 and "aliased-ram" in r.stderr, r.stderr)
    j = json.loads(vitrine("check", bad, "--json").stdout)
    check("--json: schema and counts", j["schema"] == "vitrine.check/1" and j["errors"] == 1 and j["warnings"] == 0, j)
    f = j["findings"][0]
    check("--json: tables, origins, events with their chains", f["tables"] and f["origins"][0] == "second_pass" and any("second_pass" in json.dumps(e["chain"]) for e in f["events"]), f)


if __name__ == "__main__":
    main()
