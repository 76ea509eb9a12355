# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen for every case
"""Each case of docs/cases shows what it is for, and the same without its cause does not. Those that need another Xen run where
build/xen has it; DEEP=1 (./check --deep) builds it. Both edges of the edit scripts and of the build command: wrong names, missing anchors."""
import concurrent.futures
import copy
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

sys.path.insert(0, str(xen.ROOT / "scripts"))
import cases  # noqa: E402

sys.path.insert(0, str(xen.ROOT / "hypervisor/xen"))
import edits  # noqa: E402

DEEP = bool(os.environ.get("DEEP"))
DMA_FAULT = r"DMAR:\[DMA (?:Read|Write)\] Request device \[0000:00:1d\.0\]"


def platform(name, change=lambda p: None):
    p = json.loads((xen.ROOT / "platforms" / (name + ".json")).read_text())
    change(p)
    return p


def script(p):
    return next(f["dma"] for f in p["pci"] if f.get("model") == "scripted-dma")


def two_early(p):
    script(p)[0]["times"] = 2


def in_pairs(p):
    script(p)[:] = [a for a in script(p) if int(a["address"], 16) & 0xf000 < 0x2000]


def elsewhere(p):
    p["drhds"][0].pop("fault_offset")


# The near miss of a case: (name, case whose Xen it takes, or None for Debian's, platform, what the console has, DMA faults that Xen reports and the unit had)
NEAR = [
    ("first-mib: the passes as they are", "release", platform("low-reserved"), 0, 0),
    ("rmrr-low: the narrow assertion, no RMRR", "rmrr-low", platform("default"), 0, 0),
    ("rmrr-low: the assertion as it is", "debug", platform("rmrr-low"), 0, 0),
    ("low-reserved-late: mapped before translation is enabled", None, platform("low-reserved-dma"), 0, 0),
    ("fault-records-end: eight records elsewhere", None, platform("fault-records-end-dma", elsewhere), 8, 8),
    ("fault-records-wrap: never across the end", None, platform("fault-records-wrap", in_pairs), 6, 6),
    ("fault-records-early: as many as are cleared", None, platform("fault-records-early", two_early), 5, 7),
]


def available(variant):
    if variant and DEEP:
        cases.build(variant)
    return cases.xen_of(variant) is not None


def run_case(where, case):
    run = cases.execute(cases.command(case, where / case.name), where / case.name)
    _, wrong = cases.judge(case, run)
    shutil.rmtree(run.directory / "cache", ignore_errors=True)
    return wrong


def run_near(where, row):
    name, variant, description, reported, had = row
    file = where / (re.sub(r"\W+", "-", name) + ".json")
    file.write_text(json.dumps(description))
    case = cases.Case(name, "", "", cases.LINUX, (cases.LINUX,), hide=("not permitted", "[Aa]ssertion", "crashed", "FATAL"), variant=variant)
    run = cases.execute(cases.command(case, file.with_suffix(""), platform=file), file.with_suffix(""))
    _, wrong = cases.judge(case, run)
    seen = len(re.findall(DMA_FAULT, run.console))
    if not wrong and (seen, run.counters["faults"]) != (reported, had):
        wrong.append(f"{seen} faults reported of {run.counters['faults']}, not {reported} of {had}")
    shutil.rmtree(file.with_suffix(""), ignore_errors=True)
    return wrong


def slot_is_empty_when_translation_is_enabled(where, c):
    """low-reserved-late without any device: the tables at the very step at which GSTS.TES becomes 1."""
    case = cases.NAMES["low-reserved-late"]
    enabled = cases.Run(where / case.name, 0).manifest["vtd"][0]["enabled_at_step"]
    for variant, mapped in ((case.variant, False), (None, True)):
        which = changed(case, variant=variant)
        if variant is None:     # Debian's binary says so just before it enables it
            said = cases.execute(cases.command(changed(which, until="iommu_enable_translation"), where / "said"), where / "said")
            enabled = said.manifest["steps"] + 20_000
        line = cases.command(which, where / "at")
        line[line.index("--until") + 1] = str(enabled + 1)
        run = cases.execute(line, where / "at")
        on = run.manifest["vtd"][0]["translation_enabled"]
        got = run.page(0xeb, "vtd")
        c.check(f"low-reserved-late: gfn 0xeb {'is' if mapped else 'is not'} in the device's table when translation is enabled, {variant or 'Debian'}",
                run.status == 0 and on and (got is not None) == mapped, f"status {run.status}, enabled {on}, {got}; {run.err[-300:]}")


def changed(case, **changes):
    case = copy.copy(case)
    for k, v in changes.items():
        setattr(case, k, v)
    return case


def raises(f):
    try:
        f()
    except edits.AnchorError as e:
        return str(e)
    return "nothing"


def edit_scripts(c):
    with tempfile.TemporaryDirectory(prefix="vitrine-edits-") as where:
        root = pathlib.Path(where)
        text = "static int other(void)\n{\n    one();\n}\n\nint\nf(struct domain *d,\n  int n)\n{\n    one( a );\n    two(\n        b);\n    three();\n}\n"
        (root / "a.c").write_text(text)
        source = edits.Source(root)
        source.function("a.c", "f").replace("two( b);", "2;").before("three();", "zero(); ").drop("one(", "a );")
        got = (root / "a.c").read_text()
        c.check("an edit changes its place in its function alone", got == text.replace("two(\n        b)", "2").replace("three", "zero(); three").replace("    one( a );\n", "    \n"), got)
        for name, want, f in (
                ("a missing anchor", "a.c: f() has 0 places with 'four();', not one", lambda: source.function("a.c", "f").replace("four();", "")),
                ("an anchor of another function", "a.c: f() has 0 places with 'one();', not one", lambda: source.function("a.c", "f").replace("one();", "")),
                ("a missing function", "a.c has 0 definitions of g(), not one", lambda: source.function("a.c", "g")),
                ("a missing file", "b.c cannot be read: No such file or directory", lambda: source.function("b.c", "f")),
                ("an end that is not there", "a.c: f() has no 'zero' after 'three();'", lambda: source.function("a.c", "f").drop("three();", "zero"))):
            c.check(f"edits: {name} is named", raises(f) == want, raises(f))
    for args, status, words in ((["--variant", "nosuch"], 2, "there is no 'nosuch'"), (["-j", "0"], 2, "-j: at least 1"), (["--list"], 0, "first-mib")):
        done = subprocess.run([str(xen.ROOT / "hypervisor/xen/build"), *args], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        c.check(f"hypervisor/xen/build {' '.join(args)}", done.returncode == status and words in done.stdout + done.stderr, done.stdout + done.stderr)
    done = subprocess.run([str(xen.ROOT / "scripts/case"), "nosuch"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    c.check("scripts/case: an unknown name", done.returncode == 2 and "there is no case 'nosuch'" in done.stderr, done.stderr)
    documents = {f.stem for f in (xen.ROOT / "docs/cases").glob("*.md")} - {"README"}
    c.check("every case has its page, every page its case", documents == {x.document or x.name for x in cases.CASES}, str(documents))
    table = (xen.ROOT / "docs/cases/README.md").read_text()
    c.check("every case is in the table", all(f"scripts/case {x.name}`" in table for x in cases.CASES))


def main():
    c = xen.Checks()
    edit_scripts(c)
    xen.plain_kernel()
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory(prefix="vitrine-cases-") as where, concurrent.futures.ThreadPoolExecutor(2) as pool:
        where = pathlib.Path(where)
        jobs = [(x.name, pool.submit(run_case, where, x)) for x in cases.CASES if re.search(only, x.name) and available(x.variant)]
        jobs += [(row[0], pool.submit(run_near, where, row)) for row in NEAR if re.search(only, row[0]) and available(row[1])]
        # A source that is not quite Debian's binary: what docs/cases says of both has to hold for both.
        jobs += [(f"{x.name}, variant release", pool.submit(run_case, where, changed(x, name=f"{x.name}-release", variant="release")))
                 for x in cases.CASES if DEEP and not x.variant and re.search(only, x.name) and available("release")]
        for name, job in jobs:
            wrong = job.result()
            c.check(name, not wrong, "\n".join(wrong[:12]))
        if "low-reserved-late" in dict(jobs) and c.failed == 0:
            slot_is_empty_when_translation_is_enabled(where, c)
    c.end()


main()
