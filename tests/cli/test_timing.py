#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--timing and a platform's "timing": what a run keeps of them, and what is said of wrong ones (file, field, status 4)."""
import json
import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import check, end, vitrine   # noqa: E402
from test_command import EXIT, Where   # noqa: E402

BUILD = pathlib.Path(os.environ["BUILD"])


def write(path, j):
    path.write_text(json.dumps(j))
    return path


def kept(w):
    """The manifest has model and name, the platform the whole profile: it alone makes the machine again."""
    def run(name, *args):
        out = w.path / name
        done = vitrine("run", "--firmware", w.rom(EXIT(0)), "-o", out, *args)
        check(f"{name}: status 0", done.returncode == 0, done.stderr)
        return json.loads((out / "manifest.json").read_text()), json.loads((out / "platform.json").read_text())

    m, p = run("flat", "--timing", "flat")
    check("flat: as without the option", m["clock"] == run("none")[0]["clock"] and m["clock"]["model"] == "flat" and "profile" not in m["clock"] and "timing" not in p, m["clock"])
    m, p = run("events", "--timing", "events")
    check("events: the default profile", m["clock"]["model"] == "events" and m["clock"]["profile"] == "skylake-server", m["clock"])
    check("the TSC runs at its clock", m["clock"]["tsc_hz"] == p["cpu"]["tsc_hz"] == 1_000_000 * p["timing"]["profile"]["clock"]["mhz"] == 2_100_000_000, m["clock"])
    check("the platform has all of it, in plain numbers", p["timing"]["profile"]["caches"]["l2"] == {"size": 1 << 20, "ways": 16, "latency": 14}
          and "origin" not in json.dumps(p["timing"]), p["timing"])
    m, p = run("core", "--timing", "core,profile=measured-server")
    check("core, and a profile by name", (m["clock"]["model"], m["clock"]["profile"], p["timing"]["profile"]["branches"]["mispredict"]) == ("core", "measured-server", 23), m["clock"])

    mine = write(w.path / "mine.json", {"vitrine": "timing/1", "base": "measured-server", "caches": {"dram": {"value": 400, "origin": "assumed", "source": "a test"}}})
    m, p = run("file", "--timing", f"core,profile={mine}")
    check("a profile in a file", m["clock"]["profile"] == "mine" and p["timing"]["profile"]["caches"]["dram"] == 400, m["clock"])
    check("which is among the inputs", [i["file"] for i in m["inputs"] if i["role"] == "profile"] == [str(mine)], m["inputs"])

    described = write(w.path / "described.json", {"vitrine": "platform/1", "timing": {"model": "events", "profile": "./mine.json"}})
    m, p = run("platform", "--platform", described)
    check("a platform's timing, its profile in a file beside it", m["clock"]["model"] == "events" and m["clock"]["profile"] == "mine", m["clock"])
    m, p = run("model", "--platform", described, "--timing", "core")
    check("the option changes the model, and the platform's profile stays", m["clock"]["model"] == "core" and m["clock"]["profile"] == "mine", m["clock"])
    m, p = run("back", "--platform", described, "--timing", "flat")
    check("and may make it flat again", "timing" not in p and p["cpu"]["tsc_hz"] == 1_000_000_000, p["cpu"])
    again = json.loads(vitrine("platform", "show", "--json", "--platform", w.path / "core/platform.json").stdout)
    check("the run's platform reads back to itself", again == json.loads((w.path / "core/platform.json").read_text()))
    shown = vitrine("platform", "show", "--platform", described).stdout
    check("platform show says so", "timing: events, profile mine\n" in shown, shown[:300])
    check("stat says the model", "events clock" in vitrine("stat", w.path / "events").stdout)


def refusals(w):
    image = w.rom(EXIT(0))

    def wrong(name, option, status, words):
        done = vitrine("run", "--firmware", image, "--timing", option)
        check(f"{name}: status {status}, and what is wrong", done.returncode == status and words in done.stderr, (done.returncode, done.stderr))

    def profile(name, body, words):
        file = write(w.path / f"{name}.json", {"vitrine": "timing/1", "base": "skylake-server", **body})
        wrong(name, f"core,profile={file}", 4, f"{file}: {words}")

    wrong("no model", "fast", 2, "--timing fast: 'fast': there are flat, events and core")
    wrong("no option", "core,speed=2", 2, "--timing core,speed=2: 'speed=2': there is only profile=NAME or profile=FILE")
    wrong("unknown profile", "core,profile=nosuch", 4, "nosuch: profile: there is no profile of that name, nor a file; built in are measured-server, skylake-server")
    wrong("no file", f"core,profile={w.path}/nosuch.json", 4, f"{w.path}/nosuch.json: file: cannot be opened; give the path of a timing profile")
    profile("negative", {"caches": {"l1d": {"size": -32768}}}, "caches.l1d.size: -32768 is negative")
    profile("sets", {"caches": {"l2": {"size": "1500K"}}}, "caches.l2.size: 1536000 in 16 ways are 1500 sets, which is no power of two")
    profile("tlb", {"tlb": {"stlb": {"entries": 1200}}}, "tlb.stlb.entries: 1200 in 12 ways are 100 sets, which is no power of two")
    profile("width", {"core": {"width": 0}}, "core.width: 0; 1 to 64 are possible")
    profile("field", {"caches": {"l5": {}}}, "caches.l5: unknown field; there are dram, ")
    profile("origin", {"branches": {"mispredict": {"value": 3, "origin": "guessed"}}}, "branches.mispredict.origin: \"guessed\" is unknown; there are measured, published, assumed")
    profile("base", {"base": "pentium"}, "base: there is no profile \"pentium\"; built in are measured-server, skylake-server")
    platform = write(w.path / "platform.json", {"vitrine": "platform/1", "timing": {"model": "core", "profile": "nosuch"}})
    done = vitrine("run", "--firmware", image, "--platform", platform)
    check("a platform's unknown profile: status 4", done.returncode == 4 and f"{platform}: timing.profile: there is no profile \"nosuch\"" in done.stderr, done.stderr)
    empty = w.path / "empty.json"
    empty.write_text("")
    wrong("an empty file", f"core,profile={empty}", 4, f"{empty}: file: is empty")


def by(w):
    """stat --by: samples of a run made once more add up to its cycles, phases do so exactly, and both are the same every time."""
    run = w.path / "vmx"
    done = vitrine("run", "--kernel", BUILD / "bare/vmx_basic", "--memory", "64M", "--timing", "core", "-o", run, "--console", "none")
    check("a guest with VMX under core", done.returncode == 0, done.stderr)
    m = json.loads((run / "manifest.json").read_text())
    whole = {c: sum(p[k]["cycles"] for p in m["timing"]["cpus"]) for c, k in (("hypervisor", "root"), ("guest", "guest"))}

    def stat(*args):
        done = vitrine("stat", run, *args)
        check(f"stat {' '.join(map(str, args))}: status 0", done.returncode == 0, done.stderr)
        return done.stdout

    f = json.loads(stat("--by", "function", "--every", 1000, "--json"))
    check("samples add up to the cycles", abs(f["cycles"] - sum(whole.values())) <= 3000 and f["cycles"] == sum(r["cycles"] for r in f["functions"]), (f["cycles"], whole))
    check("of hypervisor and guest", {r["context"] for r in f["functions"]} == {"hypervisor", "guest"}, f["functions"])
    check("the same every time", f == json.loads(stat("--by", "function", "--every", 1000, "--json")))
    lines = stat("--by", "function", "--every", 1000, "--folded").splitlines()
    check("folded: CONTEXT;FUNCTION CYCLES", sorted(lines) == sorted(f"{r['context']};{r['function']} {r['cycles']}" for r in f["functions"]), lines)
    named = vitrine("run", "--kernel", BUILD / "bare/vmx_basic", "--memory", "64M", "--timing", "events", "--symbols", BUILD / "bare/vmx_basic.elf64", "-o", w.path / "named", "--console", "none")
    check("a guest with symbols", named.returncode == 0, named.stderr)
    if named.returncode == 0:
        text = vitrine("stat", w.path / "named", "--by", "function", "--every", 500).stdout
        check("functions have names", "[unknown]" not in text.splitlines()[2], text)
        lines = vitrine("stat", w.path / "named", "--by", "function", "--every", 500, "--folded").stdout.splitlines()
        leaves, rows = {}, {}
        for line in lines:
            stack, n = line.rsplit(" ", 1)
            leaf = (stack.split(";")[0], stack.split(";")[-1])
            leaves[leaf] = leaves.get(leaf, 0) + int(n)
        for r in json.loads(vitrine("stat", w.path / "named", "--by", "function", "--every", 500, "--json").stdout)["functions"]:
            rows[r["context"], r["function"]] = rows.get((r["context"], r["function"]), 0) + r["cycles"]
        check("folded with callers: the same cycles of each function", leaves == rows, (leaves, rows))
        check("whoever has called stands before: from the first function on, through main, to the one that prints", any(re.match(r"hypervisor;rt_enter_long;rt_start;rt_main;\w*printf\w* \d", x) for x in lines), lines[:5])
        check("the first function has no callers, and each stack is there once", any(x.startswith("hypervisor;_start ") for x in lines) and len({x.rsplit(" ", 1)[0] for x in lines}) == len(lines), lines)

    f = json.loads(stat("--by", "function", "--every", 500, "--guest-symbols", BUILD / "bare/vmx_basic.elf64", "--json"))["functions"]
    check("symbols for the guest alone name its functions alone", "[unknown]" in {r["function"] for r in f if r["context"] == "hypervisor"} <= {"[unknown]", "[user]"} and
          {"guest_load", "guest_store"} <= {r["function"] for r in f if r["context"] == "guest"}, f)
    done = vitrine("stat", run, "--by", "function", "--guest-symbols", w.path / "nosuch")
    check("no such symbols: status 4, and why", done.returncode == 4 and f"{w.path}/nosuch: " in done.stderr, (done.returncode, done.stderr))

    p = json.loads(stat("--by", "phase", "--phase", 5000, "--phase", m["steps"] // 2, "--json"))
    check("phases in the order of their steps", [x["step"] for x in p["phases"]] == [0, 5000, m["steps"] // 2], p)
    for c, n in whole.items():
        got = sum(x[c]["cycles"] for x in p["phases"])
        check(f"{c}: phases add up to the run's cycles", abs(got - n) <= len(p["phases"]), (got, n))
    check("a table of each", "Cycles of the hypervisor by phase\n" in stat("--by", "phase", "--phase", 5000))
    for args, words in ((("--by", "month"), "--by month: function or phase"), (("--by", "phase"), "--by phase: where do phases begin?"), (("--phase", "5"), "--phase, --folded, --guest-symbols: go with --by"),
                        (("--by", "function", "--every", "3"), "--every 3: at least 100 cycles"), (("--by", "function", "--folded", "--json"), "--folded: goes with --by function"),
                        (("--by", "phase", "--phase", "nonsense"), "--phase nonsense: "),
                        (("--by", "phase", "--phase", "5", "--guest-symbols", "x"), "--guest-symbols: goes with --by function")):
        done = vitrine("stat", run, *args)
        check(f"{' '.join(args)}: status 2, and why", done.returncode == 2 and words in done.stderr, (done.returncode, done.stderr))
    done = vitrine("stat", w.path / "flat", "--by", "function")
    check("no timing model: status 2, and what to do", done.returncode == 2 and "run it with --timing events or core" in done.stderr, done.stderr)


def devices(w):
    """What VT-d and DMA cost, by function: in the manifest and stat of a timing model's run, the same each time; nothing of it with flat."""
    def run(name, *args):
        out = w.path / name
        done = vitrine("run", "--kernel", BUILD / "bare/vtd_dma", "--memory", "64M", "-o", out, "--console", "none", *args)
        check(f"{name}: the DMA guest ends well", done.returncode == 0, done.stderr)
        return out, json.loads((out / "manifest.json").read_text())

    for model in ("events", "core"):
        out, m = run(f"dma-{model}", "--timing", f"{model},profile=measured-server")
        profile = json.loads((out / "platform.json").read_text())["timing"]["profile"]
        lookup, start, llc, dram = profile["vtd"]["iotlb_hit"], profile["vtd"]["walk_start"], profile["caches"]["llc"]["latency"], profile["caches"]["dram"]
        check(f"{model}: one function", [(d["bdf"], d["model"]) for d in m["timing"]["devices"]] == [("00:04.0", "dma")], m["timing"]["devices"])
        d, unit = m["timing"]["devices"][0], m["vtd"][0]["counters"]
        for name in ("requests", "iotlb_hits", "iotlb_misses", "context_hits", "context_misses", "interrupts", "irte_hits", "irte_misses"):
            check(f"{model}: {name} as the unit counts them", d[name] == unit[name] > 0, (d, unit))
        looked_up, references = d["context_hits"] + d["context_misses"], d["context_references"] + d["walk_references"]
        low, high = looked_up * lookup + references * llc, looked_up * lookup + references * dram + references * start
        check(f"{model}: cycles between all entries in the LLC and none", low < d["translation_cycles"] < high, (low, d, high))
        check(f"{model}: data", d["lines_read"] > 64 and d["lines_written"] > 0 and d["data_cycles"] > 0, d)
        check(f"{model}: the same again", run(f"dma-{model}-again", "--timing", f"{model},profile=measured-server")[1]["timing"] == m["timing"])
        text = vitrine("stat", out).stdout
        head = f"VT-d and DMA by function, cycles ({profile['clock']['mhz']} MHz) as the function sees them\n"
        check(f"{model}: stat has a heading", head in text, text)
        tables = text.partition(head)[2].split("\n\nEngine")[0].split("\n\n")
        columns = (("DMA requests", "requests iotlb_hits iotlb_misses context_hits context_misses context_references walk_references translation_cycles"),
                   ("lines read", "lines_read lines_written lines_from_dram data_cycles"), ("interrupts", "interrupts irte_hits irte_misses irte_references interrupt_cycles"))
        check(f"{model}: and three tables", len(tables) == 3, text)
        for table, (title, names) in zip(tables, columns):
            row = table.splitlines()[1].split()
            check(f"{model}: stat's table of {title}", title in table.splitlines()[0] and row == ["00:04.0", "dma"] + [f"{d[n]:,}" for n in names.split()], (table, d))
        check(f"{model}: stat --json", json.loads(vitrine("stat", out, "--json").stdout)["timing"]["devices"] == [d])

    out, m = run("dma-flat")
    text = vitrine("stat", out).stdout
    check("flat: no rows of devices, in the manifest and in stat", "timing" not in m and "VT-d and DMA by function" not in text and "DMA and interrupt requests by function" in text, text)
    check("flat: nor in stat --json", "timing" not in json.loads(vitrine("stat", out, "--json").stdout))
    text = vitrine("stat", w.path / "vmx").stdout
    check("a guest without DMA: no tables", json.loads((w.path / "vmx/manifest.json").read_text())["timing"]["devices"] == [] and "VT-d and DMA by function" not in text, text)


def report(w):
    """vitrine report: cycles by cause over the run add up to the manifest's, exactly; kept for the next report; what is said where they cannot be had."""
    def slices_of(page):
        return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)[1]).get("cycles")

    def made(run, at="", name="page"):
        page = w.path / f"{name}.html"
        done = vitrine("report", f"{run}{at}", "-o", page)
        check(f"report {pathlib.Path(run).name}{at}: status 0", done.returncode == 0, done.stderr)
        return slices_of(page), done.stderr

    def adds_up(name, run, c):
        m = json.loads((run / "manifest.json").read_text())
        wrong = []
        for key, column in (("root", 2), ("guest", 3)):
            cpus = [p[key] for p in m["timing"]["cpus"]]
            for n, what in enumerate(["cycles", "instructions"]):
                wrong += [(key, what)] if sum(s[column][n] for s in c["slices"]) != sum(p[what] for p in cpus) else []
            for n, cause in enumerate(c["causes"]):
                wrong += [(key, cause)] if sum(s[column][n + 2] for s in c["slices"]) != sum(p["causes"].get(cause, 0) for p in cpus) else []
            wrong += [(key, cause) for p in cpus for cause in p["causes"] if cause not in c["causes"]]
        check(f"{name}: the stretches add up to the manifest's cycles, instructions and causes", not wrong, wrong)
        at = [s[0] for s in c["slices"]]
        check(f"{name}: {len(at)} stretches in order, up to the end", len(at) > 50 and at == sorted(set(at)) and at[-1] == m["steps"] and c["slices"][-1][1] == m["cycles"], at[-5:])
        return m

    run = w.path / "vmx"
    first, said = made(run)
    m = adds_up("core, with VMX", run, first)
    check("some have both hypervisor and guest", any(s[2][0] and s[3][0] for s in first["slices"]) and first["mhz"] == 2100)
    cache = run / "cache/cycles.json"
    check("they are kept", json.loads(cache.read_text())["state_hash"] == m["state_hash"])
    for name, text in (("damaged", "{"), ("of another run", json.dumps({"schema": "vitrine.cycles/1", "state_hash": "0" * 32, "cycles": {"slices": []}}))):
        cache.write_text(text)
        check(f"what is kept is {name}: made again, the same", made(run)[0] == first and json.loads(cache.read_text())["cycles"] == first)
    half = m["steps"] // 2
    part, _ = made(run, f"@{half}")
    check("RUN@T: up to that step", part["slices"][-1][0] == half and sum(s[2][1] + s[3][1] for s in part["slices"]) < sum(s[2][1] + s[3][1] for s in first["slices"]), part["slices"][-1])
    smp = w.path / "smp"
    vitrine("run", "--kernel", BUILD / "bare/smp", "--memory", "64M", "--cpus", "4", "--timing", "events", "-o", smp, "--console", "none", "--until", 900000)
    adds_up("events, four processors", smp, made(smp)[0])
    check("no timing model: nothing of it", made(w.path / "flat")[0] is None)

    kernel = w.path / "kernel"
    kernel.write_bytes((BUILD / "bare/vmx_basic").read_bytes())
    gone = w.path / "gone"
    vitrine("run", "--kernel", kernel, "--memory", "64M", "--timing", "events", "--ledger", "-o", gone, "--console", "none")
    kernel.write_bytes(b"another")
    c, said = made(gone)
    check("an input has changed: a report without them, and a warning that says why", c == {"missing": said.split("no cycles over time: ")[-1].splitlines()[0]} and f"{kernel}: has changed" in said, (c, said))


def main():
    with tempfile.TemporaryDirectory(prefix="vitrine-timing-") as where:
        w = Where(where)
        for part in (kept, refusals, by, devices, report):
            part(w)
    end()


if __name__ == "__main__":
    main()
