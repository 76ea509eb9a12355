#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen
"""vitrine report: reports of real boots are opened in a browser and used; what the page says of the mappings is what `vitrine map` says; every command that it
offers works; a run without tables, and one whose console tries to break the page."""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "xen")]
import browser  # noqa: E402
import xen  # noqa: E402

LIMIT = 5_000_000
PICTURES = os.environ.get("PICTURES")     # a directory: keep pictures there, for people to look at
c = xen.Checks()


def rom_that_says(text):
    """64 KiB; prints on COM1, then ends by the exit device."""
    code = b"\xba\xf8\x03" + b"".join(bytes([0xb0, b, 0xee]) for b in text.encode()) + b"\xb0\x00\xe6\xf4"
    image = bytearray(b"\xf4" * 0x10000)
    image[:len(code)] = code
    image[0xfff0:0xfff3] = b"\xe9" + struct.pack("<H", 0x0d)
    return bytes(image)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)[1])


def ranges_of_map(run, at=""):
    """`vitrine map`, joined where only memory type and page size differ: root -> [(first, last, target, access, type)]."""
    done = xen.vitrine("map", f"{run}{at}", "--of", "ept", "--json")
    tables = {}
    for t in json.loads(done.stdout)["tables"]:
        out = []
        for r in t["ranges"]:
            row = [int(r["first"], 16), int(r["last"], 16), int(r["target"], 16), r["access"], r["type"], r["memory_type"], r["page_size"]]
            out.append(tuple(row))
        tables[t["root"]] = out
    return tables


RANGES_IN_PAGE = """
const step = arguments[0], out = {};
const size = s => ({12: '4K', 21: '2M', 30: '1G'})[s];
data.spaces.forEach((s, n) => {
  if (s.format !== 'EPT') return;
  const list = bySpace[n].filter(r => r.begin <= step && step < r.end).sort((a, b) => a.first - b.first)
    .map(r => [r.first * 4096, (r.last + 1) * 4096 - 1, r.target * 4096, accessText(r.state[3]), typeOf(r), memoryOf(r), size(r.state[6])]);
  const joined = [];
  for (const r of list) {
    const l = joined[joined.length - 1];
    if (l && l[1] + 1 === r[0] && l[2] + (r[0] - l[0]) === r[2] && [3, 4, 5, 6].every(k => l[k] === r[k])) l[1] = r[1]; else joined.push(r);
  }
  out[s.root] = joined;
});
return out;
"""


def picture(b, name):
    if PICTURES:
        pathlib.Path(PICTURES, f"{name}.png").write_bytes(b.picture())


def canvas(b):
    return b.js("return document.getElementById('base').toDataURL()")


def text(b, css):
    return b.js("return document.querySelector(arguments[0]).innerText", css)


def load(b, name, page):
    b.complaints(), b.requests()
    b.open(page.as_uri())
    b.settle()
    ready = b.js("return document.documentElement.dataset.ready")
    complaints = b.complaints()
    c.check(f"{name}: loads without a complaint, in {ready} ms", ready is not None and not complaints, complaints)
    asked = b.requests()
    c.check(f"{name}: asks for nothing but itself", asked and all(u == page.as_uri() or u.startswith("data:") for u in asked), asked)


def fits(b, name):
    for width, height in ((700, 900), (1280, 800), (2200, 1200)):
        b.size(width, height)
        over = b.js("return [document.documentElement.scrollWidth, innerWidth]")
        c.check(f"{name}: nothing sticks out at {width} x {height}", over[0] <= over[1], over)
        picture(b, f"{name}-{width}")
    b.size(1280, 800)


def looks(b, name):
    fits(b, name)
    light, paper = canvas(b), b.js("return getComputedStyle(document.documentElement).backgroundColor")
    b.scheme("dark")
    dark, night = canvas(b), b.js("return getComputedStyle(document.documentElement).backgroundColor")
    ink = b.js("return getComputedStyle(document.body).color")
    brightness = lambda rgb: sum(int(n) for n in re.findall(r"\d+", rgb)[:3])  # noqa: E731
    c.check(f"{name}: follows the dark scheme, picture and text", dark != light and brightness(night) < 150 < 600 < brightness(ink) and brightness(paper) > 700, (paper, night, ink))
    picture(b, f"{name}-dark")
    b.scheme("light")
    c.check(f"{name}: and back", canvas(b) == light)
    pages = len(re.findall(rb"/Type\s*/Page\b", b.pdf()))
    c.check(f"{name}: prints on {pages} pages, and the screen is as before", 1 < pages < 30 and canvas(b) == light, pages)
    unnamed = b.js("return [...document.querySelectorAll('button, select, input')].filter(e => e.offsetParent && !e.innerText && !e.getAttribute('aria-label') && !e.labels?.length).length")
    c.check(f"{name}: every control has a name", unnamed == 0, unnamed)


def middle(b):
    return b.js("const r = document.getElementById('stage').getBoundingClientRect(); return [r.left + 1 + (box.left + box.right) / 2, r.top + 1 + (box.top + box.bottom) / 2]")


def use(b, name):
    whole = canvas(b)
    first = text(b, "#origins tbody button")
    b.click("#origins tbody button")
    c.check(f"{name}: an origin that is clicked filters", canvas(b) != whole and first in text(b, "#filter-chip") and
            b.js("return document.querySelector('#origins tbody button').getAttribute('aria-pressed')") == "true", text(b, "#filter-chip"))
    picture(b, f"{name}-filter")
    b.click("#filter-chip")
    c.check(f"{name}: and the filter can be taken off", canvas(b) == whole and b.js("return document.getElementById('filter-chip').hidden"))
    for group, value in (("colour", "origin"), ("colour", "size"), ("colour", "type"), ("scale", "linear")):
        b.click(f"#{group} label:has([value={value}])")
        c.check(f"{name}: {group} {value} is another picture", canvas(b) != whole)
        picture(b, f"{name}-{value}")
        b.click(f"#{group} label:first-of-type")
    c.check(f"{name}: the first choices are the first picture", canvas(b) == whole)

    b.js("view.held = false; document.getElementById('stage').scrollIntoView({block: 'center'})")
    x, y = middle(b)
    b.pointer((x - 40, y), (x, y))
    lanes = text(b, "#panel .lanes")
    c.check(f"{name}: the cursor shows what each says", all(re.search(p, lanes, re.M) for p in (r"^E820\s", r"^RMRR\s", r"^BAR", r"^EPT\s+0x", r"^VT-d 0")), lanes)
    step = b.js("return view.cursor.step")
    b.pointer((x + 30, y))
    c.check(f"{name}: it follows the pointer", b.js("return view.cursor.step") > step)
    b.pointer("down", "up", (x - 60, y))
    c.check(f"{name}: a click holds it", b.js("return view.held && view.cursor.step") > step and b.js("return !document.getElementById('held').hidden"))

    b.js("document.getElementById('stage').focus()")
    b.press("end")
    c.check(f"{name}: End is the end", b.js("return view.cursor.step === END"))
    page = b.js("return view.cursor.page")
    b.press("down")
    below = b.js("return view.cursor.page")
    b.press("up", "up")
    above = b.js("return view.cursor.page")
    c.check(f"{name}: arrows go from range to range", above < below and page < below, (above, page, below))
    b.press("left")
    at = b.js("return [view.cursor.step, historyOf(view.space, view.cursor.page).map(h => h.step)]")
    c.check(f"{name}: and to the moments of a page", at[0] in [0, *at[1]], at)
    b.press("escape")
    c.check(f"{name}: Escape lets go", not b.js("return view.held"))

    b.js("document.getElementById('stage').scrollIntoView({block: 'center'})")
    x, y = middle(b)
    b.pointer((x - 100, y - 60), "down", (x - 50, y), (x + 60, y + 70), "up")
    zoomed = b.js("return [view.x1 - view.x0, view.y1 - view.y0]")
    c.check(f"{name}: a drag zooms in", canvas(b) != whole and zoomed[0] < .6 and zoomed[1] < .6, zoomed)
    picture(b, f"{name}-zoom")
    b.click("#zoom-reset")
    c.check(f"{name}: and All shows everything again", canvas(b) == whole)


def commands_work(b, name, where):
    """Those of the panel at a few places."""
    spots = b.js("const l = bySpace[view.space]; return [0, .37, .99].map(f => l[Math.floor(f * l.length)]).map(r => [r.first, Math.min(END, r.begin + 1)])")
    wrong = []
    tried = 0
    for page, step in spots:
        b.js("goTo(arguments[0], arguments[1])", step, page)
        for line in b.js("return [...document.querySelectorAll('#panel .command code')].map(e => e.innerText)"):
            words = shlex.split(line)
            done = subprocess.run([xen.VITRINE, *words[1:]], capture_output=True, text=True, cwd=where, timeout=300, stdin=subprocess.DEVNULL)
            tried += 1
            if words[0] != "vitrine" or done.returncode != 0 or not done.stdout.strip():
                wrong.append(f"{line}: status {done.returncode}: {done.stderr[-300:]}")
    c.check(f"{name}: the {tried} commands that it offers at the cursor work", tried >= 9 and not wrong, "\n".join(wrong))
    b.click("#panel .command button")
    c.check(f"{name}: Copy says that it has copied", text(b, "#panel .command button") == "Copied", text(b, "#panel .command button"))


def agrees(b, name, run):
    for at in ("", "@60%", "@90%") if b.js("return data.rounding") == 0 else ("",):     # between, a joined one is exact to so many steps
        step = b.js("return END") if not at else json.loads(xen.vitrine("map", f"{run}{at}", "--of", "e820", "--json").stdout)["step"]
        # The state before that step: what a store of the step itself did is not in it.
        here = {k: [tuple(r) for r in v] for k, v in b.js(RANGES_IN_PAGE, step if not at else step - 1).items()}
        said = ranges_of_map(run, at)
        here = {k: v for k, v in here.items() if v or k in said}
        c.check(f"{name}: at step {step} the page maps what vitrine map says", here and here == {k: said.get(k, []) for k in here} and set(said) <= set(here),
                [next(((a, z) for a, z in zip(here[k], said.get(k, [])) if a != z), (len(here[k]), len(said.get(k, [])))) for k in here])


def finding(b, name):
    b.js("document.getElementById('stage').focus()")
    b.press("0", "f")
    f = b.js("return findings[0]")
    got = b.js("const e = document.getElementById('finding-1'); return [e.open, e.innerText, view.cursor.step, view.cursor.page]")
    c.check(f"{name}: f goes to the finding and opens it", got[0] and got[2:] == [f["step"], f["first"]] and f["rule"] in got[1], got)
    c.check(f"{name}: it has evidence, and the walk from the root to the leaf", f["evidence"] and len(f["walk"]) == 4 and f["walk"][0][0] == 4 and "level 1" in got[1], f)
    red = b.js("""const g = document.getElementById('base').getContext('2d'), r = devicePixelRatio, x = xOf(findings[0].step), y = yOf(findings[0].first);
      const d = g.getImageData((x - 2) * r, (y - 3) * r, 6 * r, 10 * r).data; let n = 0;
      for (let i = 0; i < d.length; i += 4) if (d[i] > 170 && d[i + 1] < 70 && d[i + 2] < 70) n++; return n;""")
    c.check(f"{name}: and a red edge on the map", red > 5, red)
    picture(b, f"{name}-finding")


def cycles(b, name, run):
    """The picture of cycles by cause over the run, and the numbers beside it."""
    timing = json.loads((run / "manifest.json").read_text())["timing"]["cpus"][0]
    drawn = lambda: b.js("return [...document.querySelectorAll('#cycle-picture path[data-cause]')].map(p => [p.dataset.cause, p.getAttribute('d')])")  # noqa: E731
    shown = lambda: {r[0].strip(): r[1:] for r in b.js("return [...document.querySelectorAll('#cycle-table tbody tr')].map(r => [...r.cells].map(d => d.innerText))")}  # noqa: E731
    whole, table = drawn(), shown()
    c.check(f"{name}: the causes of the manifest, in the picture", {d[0] for d in whole} <= set(timing["root"]["causes"]) | set(timing["guest"]["causes"]) and {"base", "vm-exit"} <= {d[0] for d in whole}, [d[0] for d in whole])
    b.js("document.getElementById('cycles-section').scrollIntoView({block: 'start'})")
    picture(b, f"{name}-cycles")
    for context, key in (("hypervisor", "root"), ("guest", "guest")):
        b.click(f"#cycle-context label:has([value={context}])")
        n = shown()
        c.check(f"{name}: of the {context}, another picture, and the manifest's numbers", drawn() != whole and n["all"][0] == f"{timing[key]['cycles']:,}" and n["instructions"][0] == f"{timing[key]['instructions']:,}" and
                all(n[cause][0] == f"{v:,}" for cause, v in timing[key]["causes"].items()), (n, timing[key]))
    b.click("#cycle-context label:has([value=all])")
    c.check(f"{name}: both again", drawn() == whole and shown() == table)
    heights = b.js("return cycleColumns().columns.map(c => c.sum)")
    c.check(f"{name}: across time each stretch has all of its cycles", heights and all(abs(h - 1) < .02 for h in heights), heights)
    b.click("#cycle-across label:has([value=steps])")
    c.check(f"{name}: across steps is another picture", drawn() != whole)
    picture(b, f"{name}-cycles-steps")
    b.click("#cycle-across label:has([value=time])")
    b.js("document.getElementById('cycle-picture').focus()")
    b.press("end")
    here = shown()["all"][2], text(b, "#cycle-here")
    c.check(f"{name}: End shows the last stretch", here[0] == "100.0%" and f"to {b.js('return lastOf().step'):,}," in here[1], here)
    b.press("left", "enter")
    c.check(f"{name}: Enter puts the cursor there, and it is drawn", b.js("return view.cursor.step === cycleSlices[cycleSlices.length - 2].begin && /^M[0-9.]+ /.test(document.querySelector('#cycle-picture .cursor').getAttribute('d'))"))
    b.js("document.getElementById('cycle-picture').scrollIntoView({block: 'center'})")
    x, y = b.js("const r = document.getElementById('cycle-picture').getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]")
    b.pointer((x, y))
    c.check(f"{name}: the pointer shows a stretch", 0 < b.js("return cycleView.at") < b.js("return cycleSlices.length - 1"))


def in_browser(where, pages, runs):
    if lacking := browser.missing():
        print(f"ok the browser's part is left out: {' and '.join(lacking)} not installed", flush=True)
        return
    b = browser.Browser(where / "profile")
    try:
        b.size(1280, 800)
        b.scheme("light")
        for name in ("default", "reserved-rich"):
            load(b, name, pages[name])
            looks(b, name)
            use(b, name)
            agrees(b, name, runs[name])
        finding(b, "reserved-rich")
        commands_work(b, "reserved-rich", where)
        load(b, "timed", pages["timed"])
        fits(b, "timed")
        cycles(b, "timed", runs["timed"])
        load(b, "no tables", pages["rom"])
        c.check("no timing model: no section of cycles", b.js("return document.getElementById('cycles-section')") is None)
        looks(b, "no tables")
        told = text(b, "main")
        c.check("no tables: says so everywhere", all(t in told for t in ("There are no tables to inspect", "every rule was checked", "No store to a table", "No calls were recorded", "Nothing was invalidated")), told)
        c.check("the console's text stays text", text(b, "#console") and "</script><img src=x onerror=alert(1)>" in text(b, "#console") and b.js("return document.images.length") == 0, text(b, "#console"))
        c.check("no complaint in all of this", not (left := b.complaints()), left)
    finally:
        b.close()


with tempfile.TemporaryDirectory(prefix="vitrine-report-") as where:
    where = pathlib.Path(where)
    plain = xen.plain_kernel()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {"default": pool.submit(xen.boot, where / "default", "--ledger", kernel=plain),
                "reserved-rich": pool.submit(xen.boot, where / "reserved-rich", "--ledger", "--platform", str(xen.ROOT / "platforms/reserved-rich.json"), memory=None, kernel=plain)}
        boots = {name: job.result() for name, job in jobs.items()}
    for name, r in boots.items():
        if not c.check(f"{name}: boots", r.status == 0, r.why()):
            c.end()
    rom = where / "rom"
    rom.write_bytes(rom_that_says("</script><img src=x onerror=alert(1)>\n<!-- @DATA@ /*@SCRIPT@*/ \x80\n"))
    xen.vitrine("run", "--firmware", rom, "-o", where / "romrun", "--console", "none")
    xen.vitrine("run", "--kernel", xen.BUILD / "bare/vmx_basic", "--memory", "64M", "--timing", "core", "-o", where / "timed", "--console", "none")
    runs = {"timed": where / "timed", "default": where / "default", "reserved-rich": where / "reserved-rich", "rom": where / "romrun"}
    pages = {name: where / f"{name}.html" for name in runs}
    for name, run in runs.items():
        done = subprocess.run([xen.VITRINE, "report", run.name, "-o", pages[name].name], capture_output=True, text=True, cwd=where, timeout=120, stdin=subprocess.DEVNULL)
        size = pages[name].stat().st_size if pages[name].exists() else 0
        c.check(f"{name}: a report of {size:,} bytes, under {LIMIT:,}", done.returncode == 0 and 50_000 < size < LIMIT and done.stdout == "", done.stderr)
        d = data_of(pages[name])
        c.check(f"{name}: its data say what they are", d["schema"] == "vitrine.report/1" and d["meta"]["run"] == run.name and (d["rounding"] == 0 or name == "reserved-rich"), (d["rounding"], d["meta"]))
    d = data_of(pages["default"])
    c.check("every store is in it", sum(w[4] for w in d["writes"]) == d["counts"]["stores"] > 500, d["counts"])
    c.check("VM exits over time are all of them", sum(n for bins in d["meta"]["vm_exits_over_time"]["exits"].values() for _, n in bins) ==
            boots["default"].manifest["stats"]["vm_exits_total"] > 10, d["meta"]["vm_exits_over_time"])
    again = xen.vitrine("report", where / "default", "-o", "-")
    c.check("-o - is standard output", again.returncode == 0 and again.stdout.startswith("<!DOCTYPE html>"), again.stderr)
    early = xen.vitrine("report", f"{where / 'default'}@60%", "-o", where / "early.html")
    e = data_of(where / "early.html") if early.returncode == 0 else {}
    c.check("RUN@T: up to that moment", early.returncode == 0 and e["meta"]["end_step"] < d["meta"]["end_step"] and 0 < len(e["rectangles"]) < len(d["rectangles"]) and
            all(r[3] <= e["meta"]["end_step"] for r in e["rectangles"]), early.stderr)
    for what, arguments, words in (("no run", (where,), "is not a run directory"), ("nowhere to write", (where / "romrun", "-o", where / "none" / "x.html"), "cannot be written")):
        done = xen.vitrine("report", *arguments)
        c.check(f"{what}: status 4 and why", done.returncode == 4 and words in done.stderr and not done.stdout, done.stderr)
    in_browser(where, pages, runs)
c.end()
