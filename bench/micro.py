#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Microbenchmarks: the same code as a program of this machine and as a guest under Vitrine's timing models, in core cycles of an operation.

    bench/micro.py --timing core                     # runs both; a table: native, modelled, error, and the anchor where there is one
    bench/micro.py --timing events,core --only '^(chain|loop)' --markdown
    bench/micro.py --keep-native figures.json        # runs the native program alone and keeps its figures (besides those that FILE has)
    bench/micro.py --native-from figures.json --timing core --profile measured-server --gate

Native figures are those of the processor that this runs on, which is named; on a noisy machine more --passes help: their lower quartile counts.
Rows that need the machine's rights (VMX, EPT) have no native figure. Without --timing the guest runs under `flat`, one cycle a step, which tests the
guest and nothing else. bench/micro/anchors.json has what is known of a measured core, and how near each row shall come (--gate: status 1 if one does not)."""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MICRO = ROOT / "bench/micro"
FLAGS = ["-std=c++20", "-O2", "-fno-strict-aliasing", "-mno-red-zone", "-Wall", "-Wextra", "-Werror"]
# What follows from several rows: name -> (how, from the rows' values)
DERIVED = {
    # half of the random branches go the other way; what a turn costs without that is between the two that are always right
    "derived.mispredict": lambda v: 2 * (v["branch.random"] - (v["branch.taken"] + v["branch.not-taken"]) / 2),
    "derived.indirect-mispredict": lambda v: (v["indirect.random16"] - v["indirect.sixteen"]) * 16 / 15,
    "derived.stlb-hit": lambda v: v["pages2m.128"] - v["pages2m.64"],
    "derived.walk": lambda v: v["pages4k.4096"] - v["pages2m.128"],
    "derived.forward": lambda v: v["forward.inner-byte"],
}


class Failed(Exception):
    pass


def sh(command, what, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, **more)
    if done.returncode != 0:
        raise Failed(f"{what}: status {done.returncode}\n{(done.stdout + done.stderr)[-2000:].rstrip()}")
    return done.stdout


def rows_of(text):
    """-> ({name: cycles or None}, what the other objects say; "disturbed": names of rows that the program says were)."""
    rows, about = {}, {"disturbed": set()}
    for line in text.replace("\r", "").splitlines():
        if line.startswith("{"):
            o = json.loads(line)
            if "name" in o:
                rows[o["name"]] = o.get("cycles")
                if o.get("quiet") is False:
                    about["disturbed"].add(o["name"])
            else:
                about.update(o)
    return rows, about


def build_native(build):
    program = build / "micro-native"
    sources = [MICRO / "native.cpp", MICRO / "kernels.hpp", MICRO / "rows.hpp"]
    if not program.exists() or any(s.stat().st_mtime > program.stat().st_mtime for s in sources):
        build.mkdir(parents=True, exist_ok=True)
        sh(["g++", *FLAGS, sources[0], "-o", program], "the native program does not build")
    return program


def run_native(build, names, args):
    """-> ({name: figures of the passes}, what the program says of the processor). Disturbed figures only where a row has no others."""
    program = build_native(build)
    figures, disturbed, about = {}, {}, {}
    for _ in range(args.passes):
        rows, about = rows_of(sh([program, "--seconds", args.seconds, *(["--cpu", args.cpu] if args.cpu is not None else []), *names], "the native program"))
        for name, v in rows.items():
            figures.setdefault(name, [])
            if v is not None:
                (disturbed if name in about["disturbed"] else figures).setdefault(name, []).append(v)
    return {name: v or disturbed.get(name, []) for name, v in figures.items()}, about


def typical(figures):
    """Others on the machine make most passes too long, chance makes a rare one too short: the lower quartile of the passes. {name: value or None}"""
    return {name: sorted(v)[(len(v) - 1) // 4] if v else None for name, v in figures.items()}


def run_guest(build, model, names, args):
    sh([ROOT / "guests/bare/build.py", "-o", build / "bare", "micro"], "the guest does not build")
    with tempfile.TemporaryDirectory(prefix="vitrine-micro-") as where:
        timing = [] if model == "flat" else ["--timing", model + (f",profile={args.profile}" if args.profile else "")]
        out = sh([args.vitrine or build / "vitrine", "run", "--memory", "512M", "--kernel", build / "bare/micro", "--append", " ".join(names), "--console", "raw",
                  "--max-steps", "400000000", *timing, "-o", where + "/run"], f"the guest under {model}")
    if "micro done" not in out:
        raise Failed(f"the guest under {model} did not end:\n{out[-1000:]}")
    return rows_of(out)[0]


def with_derived(rows):
    out = dict(rows)
    for name, f in DERIVED.items():
        try:
            out[name] = f(rows)
        except (KeyError, TypeError):
            pass        # a row that was not run, or has no figure here
    return out


def error(modelled, reference):
    return None if modelled is None or not reference else (modelled / reference - 1) * 100


def text_of(v, digits=2, unit=""):
    return "" if v is None else f"{v:.{digits}f}{unit}"


def table(lines, markdown):
    if markdown:
        head, rest = lines[0], lines[1:]
        return "\n".join(["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)] + ["| " + " | ".join(r) + " |" for r in rest])
    width = [max(len(r[i]) for r in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, width))).rstrip() for r in lines)


def mean_error(names, rows, reference):
    """Of those that have both figures, without sign."""
    errors = [abs(e) for n in names if (e := error(rows.get(n), reference.get(n))) is not None]
    return sum(errors) / len(errors) if errors else None


def report(native, models, anchors, names, markdown):
    """-> the text: rows, then means by group."""
    title = lambda n: f"`{n}`" if markdown else n
    head = ["row", "native"] + [c for m in models for c in (m, "error")] + ["anchor"]
    lines = [head]
    for n in names:
        line = [title(n), text_of(native.get(n))]
        for rows in models.values():
            line += [text_of(rows.get(n)), text_of(error(rows.get(n), native.get(n)), 1, "%")]
        lines.append(line + [text_of(anchors.get(n, {}).get("cycles"))])
    out = table(lines, markdown)
    if models and any(v is not None for v in native.values()):
        groups = {}
        for n in names:
            groups.setdefault(n.split(".")[0], []).append(n)
        lines = [["group", "rows"] + [f"mean error, {m}" for m in models]]
        for g, members in [*groups.items(), ("all", names)]:
            line = [title(g) if g != "all" else g, str(sum(native.get(n) is not None for n in members))]
            for rows in models.values():
                line.append(text_of(mean_error(members, rows, native), 1, "%"))
            if line[1] != "0":
                lines.append(line)
        out += "\n\n" + table(lines, markdown)
    known = [n for n in names if n in anchors]
    if known and models:
        out += "\n\n" + "; ".join(f"{m}: mean error against the {len(known)} anchors "
                                  f"{text_of(mean_error(known, rows, {n: anchors[n]['cycles'] for n in known}), 1, '%')}" for m, rows in models.items())
    return out


def gates(native, models, anchors, names):
    """-> what does not come near enough to the native figure, or to what is known of the measured core. A row belongs to the first gate whose pattern it matches;
    those of `left_out` to none."""
    bad = []
    for m, rows in models.items():
        for n in names:
            gate = next((g for g in anchors["gates"] if re.fullmatch(g["rows"], n)), None) if n not in anchors["left_out"] else None
            e = min((e for e in (error(rows.get(n), native.get(n)), error(rows.get(n), anchors["rows"].get(n, {}).get("cycles"))) if e is not None), key=abs, default=None)
            if gate and e is not None and abs(e) > gate["percent"]:
                bad.append(f"{m}: {n}: {rows[n]:.2f}, native {native[n]:.2f}: {e:+.1f}%, {gate['what']} may be {gate['percent']}% off")
    return bad


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--timing", default="flat", metavar="MODELS", help="flat, events, core, or several: events,core")
    ap.add_argument("--profile", help="the processor's figures: what stands after profile= in vitrine run --timing")
    ap.add_argument("--only", metavar="REGEX", help="only rows whose names match")
    ap.add_argument("--native-from", metavar="FILE", help="native figures that were kept, instead of running the program")
    ap.add_argument("--keep-native", metavar="FILE", help="run the native program alone and keep its figures")
    ap.add_argument("--no-native", action="store_true", help="only the guest")
    ap.add_argument("--passes", type=int, default=2, help="runs of the native program, of whose figures the lower quartile counts (2)")
    ap.add_argument("--seconds", default="0.05", help="for each row and pass (0.05)")
    ap.add_argument("--cpu", help="which processor the native program stays on")
    ap.add_argument("--build", default=str(ROOT / "build"))
    ap.add_argument("--vitrine", help="the program (BUILD/vitrine)")
    ap.add_argument("--gate", action="store_true", help="status 1 if a row is farther off than anchors.json allows")
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--markdown", action="store_true")
    args = ap.parse_args()
    build = pathlib.Path(args.build)
    try:
        anchors = json.loads((MICRO / "anchors.json").read_text())
        all_names = list(rows_of(sh([build_native(build), "--list"], "the native program"))[0])
        wanted = [n for n in all_names if args.only is None or re.search(args.only, n)]
        names = wanted + [n for n in DERIVED if args.only is None or re.search(args.only, n)]
        if not names:
            raise Failed(f"--only {args.only!r}: no row has such a name: they are in bench/micro/rows.hpp")
        # derived rows need others; those are run, not shown
        run_only = [] if args.only is None or len(names) > len(wanted) else wanted
        if args.keep_native:
            file = pathlib.Path(args.keep_native)
            rows, about = run_native(build, run_only, args)
            if file.exists():
                old = json.loads(file.read_text())
                if old["processor"] != about["processor"]:
                    raise Failed(f"{file} has figures of another processor: {old['processor']}, here: {about['processor']}")
                rows = {n: old["rows"].get(n, []) + rows.get(n, []) for n in {**old["rows"], **rows}}
            text = ",\n".join(f"    {json.dumps(n)}: {json.dumps(rows[n])}" for n in all_names if n in rows)
            file.write_text(f'{{\n  "schema": "vitrine.micro-native/1",\n  "processor": {json.dumps(about["processor"])},\n  "rows": {{\n{text}\n  }}\n}}\n')
            print(f"micro: {len(rows)} rows of {about['processor']} in {file}", file=sys.stderr)
            return 0
        native, processor = {}, None
        if args.native_from:
            kept = json.loads(pathlib.Path(args.native_from).read_text())
            native, processor = typical(kept["rows"]), kept["processor"]
        elif not args.no_native:
            figures, about = run_native(build, run_only, args)
            native, processor = typical(figures), about["processor"]
        models = {m: with_derived(run_guest(build, m, run_only, args)) for m in args.timing.split(",") if m}
    except (Failed, OSError, KeyError, json.JSONDecodeError, re.error) as e:
        print(f"micro: error: {e}", file=sys.stderr)
        return 2
    native = with_derived(native)
    bad = gates(native, models, anchors, names) if args.gate else []
    if args.json:
        rows = [{"name": n, "native": native.get(n), **{m: rows.get(n) for m, rows in models.items()},
                 "anchor": anchors["rows"].get(n, {}).get("cycles")} for n in names]
        print(json.dumps({"schema": "vitrine.micro/1", "processor": processor, "profile": args.profile, "rows": rows, "gates": bad}, indent=2))
    else:
        if processor:
            print(f"native: {processor}\n")
        print(report(native, models, anchors["rows"], names, args.markdown))
        for line in bad:
            print(line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
