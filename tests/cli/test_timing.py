#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--timing and a platform's "timing": what a run keeps of them, and what is said of wrong ones (file, field, status 4)."""
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import check, end, vitrine   # noqa: E402
from test_command import EXIT, Where   # noqa: E402


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
    check("core, and a profile by name", (m["clock"]["model"], m["clock"]["profile"], p["timing"]["profile"]["branches"]["mispredict"]) == ("core", "measured-server", 26), m["clock"])

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


def main():
    with tempfile.TemporaryDirectory(prefix="vitrine-timing-") as where:
        w = Where(where)
        for part in (kept, refusals):
            part(w)
    end()


if __name__ == "__main__":
    main()
