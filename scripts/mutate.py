#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Mutation testing behind ./check --mutate N: changes one row or condition of the instruction, VMX, EPT and VT-d code at a time, and looks whether a test
sees it. What is changed is drawn by the seed: the same seed, the same mutants. docs/mutation.md tells how it went.

A mutant that does not compile is drawn again and not counted; so is one that scripts/mutate_equivalent.json says means the same. Everything happens in a
copy of the tree below BUILD/mutate; results are appended to BUILD/mutate/results-SEED.jsonl. With --resume, those that were caught are not run again."""
import argparse
import fcntl
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "scripts/mutate_equivalent.json"

# Where rules stand, by room, and how large a share of the mutants falls to each.
ROOMS = {
    "insn": (0.36, ["cpu/insn/*.cpp", "cpu/insn/*.hpp"]),
    "cpu": (0.24, ["cpu/*.cpp", "cpu/segments.hpp"]),
    "vmx": (0.22, ["cpu/vmx/*.cpp", "cpu/vmx/*.hpp", "cpu/vmx/fields.inc"]),
    "ept": (0.05, ["ept/*.cpp", "ept/include/ept/*.hpp"]),
    "vtd": (0.13, ["vtd/*.cpp", "vtd/include/vtd/*.hpp"]),
}
# Caches, dispatch and what people look at: a change there costs speed or shows in texts, and is no rule of the manual.
LEFT_OUT = {"cpu/blocks.cpp", "cpu/engine.cpp", "cpu/fuse.cpp", "cpu/observe.cpp", "cpu/inspect.cpp", "cpu/context.cpp", "cpu/tlb.cpp", "cpu/cpu.cpp", "cpu/insn/forms.hpp",
            "cpu/insn/vector.hpp", "vtd/include/vtd/caches.hpp", "vtd/include/vtd/outside.hpp", "cpu/vmx/exit_rows.cpp"}
# Lines that are about our own errors, counting, watching, caches and texts.
SKIP = re.compile(r"CHECK\(|static_assert|^\s*#|^\s*using |stats|statistics|observ|\btold\b|\btell|tells_alone|\bemit\(|sink|disturbs_code|again_alone|careful|blocks\(\)|code_dropped|"
                  r"state\(Ar|nsupported|_text\(|_name\(|->name|\.name|std::string|fmt::|hash|journal|used_large_|host_cache|namespace|^\s*template|^\s*friend|want_attention|ends_block \||prefetch|VT_INLINE [a-z]+ [a-z_]+\($")
DEFINITION = re.compile(r"^\s*(inline )?(static )?constexpr (unsigned|u8|u16|u32|u64|int|std::size_t) k?[A-Za-z]+ ?=")


# --- what there is to change ---------------------------------------------------------------------------------------------------

def blank(text):
    """Comments and strings as spaces of the same length, line by line kept."""
    out, i = [], 0
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
    for m in pattern.finditer(text):
        if m.group().startswith("'") and m.start() and text[m.start() - 1].isalnum():
            continue   # a separator within a number
        out.append(text[i:m.start()])
        out.append(re.sub(r"[^\n]", " ", m.group()))
        i = m.end()
    return "".join(out) + text[i:]


def matching(code, at):
    """Index behind the parenthesis that closes the one at `at`, or None."""
    depth = 0
    for i in range(at, len(code)):
        depth += code[i] == "("
        depth -= code[i] == ")"
        if not depth:
            return i + 1
    return None


def columns(row):
    """-> [(begin, end)] of a row's top-level columns, or None. `row` is the text between its outer brackets."""
    depth, begin, out, i, string = 0, 0, [], 0, False
    while i < len(row):
        c = row[i]
        if string:
            i += 1 if c == "\\" else 0
            string = c != '"'
        elif c == '"':
            string = True
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth < 0:
                return None
        elif c == "," and depth == 0:
            out.append((begin, i))
            begin = i + 1
        i += 1
    if depth or string:
        return None
    out.append((begin, len(row)))
    return [(b + len(row[b:e]) - len(row[b:e].lstrip()), e - len(row[b:e]) + len(row[b:e].rstrip())) for b, e in out]


ROW = re.compile(r"^(\s*(?:\{|[A-Z]\w+\())(.*)((?:\}|\)),?\s*)$")


def row_of(line):
    m = ROW.match(line.split("  //")[0].rstrip() if '"' not in line.split("//")[-1] else line)
    if not m or not (line.split("  //")[0].rstrip().endswith((",", "}", ")"))) or len(m[2]) < 3:
        return None
    cut = columns(m[2])
    if not cut or len(cut) < 2 or m[1].strip() in ("CHECK(",):
        return None
    return m[1], m[2], m[3], cut


def tables(lines):
    """-> [list of line numbers]: rows that follow each other with the same number of columns and the same opening."""
    out, now, shape = [], [], None
    for n, line in enumerate(lines):
        row = row_of(line)
        here = (row[0].strip(), len(row[3])) if row else None
        if here and here == shape:
            now.append(n)
        elif here:
            if len(now) > 1:
                out.append(now)
            now, shape = [n], here
        elif line.strip() and not line.strip().startswith("//"):
            if len(now) > 1:
                out.append(now)
            now, shape = [], None
    if len(now) > 1:
        out.append(now)
    return out


def meaning(value):
    """What of an instruction's operands the decoder reads (cpu/pattern.cpp), and of its attributes what is a rule; everything else is for the reader and for speed."""
    if not value.startswith('"'):
        return sorted(set(re.sub(r"\battr::", "", value).split(" | ")) - {"0", "ends_block", "vmx_op"}) if re.fullmatch(r"(0|(attr::)?[a-z_0-9]+)( \| (attr::)?[a-z_0-9]+)*", value) else value
    tokens = re.split("[, ]+", value.strip('"').strip(","))
    if any(t and not re.fullmatch("[A-Za-z][A-Za-z0-9]*|1", t) for t in tokens) or re.fullmatch("[0-9A-F]{2}", tokens[0]):
        return value   # an opcode
    out = set()
    for t in filter(None, tokens):
        byte = len(t) == 2 and t[1] == "b"
        out |= {"memory"} if t[0] == "M" else {"vvvv"} if t[0] in "HB" else {"register"} if t[0] in "RUN" and t[1:2].islower() else set()
        out |= {"vsib"} if t == "Mvsib" else {"byte " + t[0]} if byte and t[0] in "EMRGZ" else set()
    return sorted(out)


SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+": "-", "-": "+", "&": "|", "|": "&", "<<": ">>", ">>": "<<", "^": "|",
         "|=": "&=", "&=": "|=", "+=": "-=", "-=": "+="}


def sites(file, text):
    """-> [(line, operator, before, after)]: every change of one line that can be made, in order."""
    code = blank(text)
    lines, bare = text.split("\n"), code.split("\n")
    out = []

    def put(n, kind, after):
        if after.strip() != lines[n].strip():
            out.append((n, kind, lines[n], after))
    in_rows = set()
    for table in tables(lines):
        for n in table:
            in_rows.add(n)
        if len(table) < 3:
            continue
        for k, n in enumerate(table):
            if SKIP.search(bare[n]):
                continue
            opening, inside, closing, cut = row_of(lines[n])
            if closing.strip().endswith(","):
                put(n, "row dropped", "")
            other = row_of(lines[table[(k + 1) % len(table)]])
            for c, (b, e) in enumerate(cut):
                value = inside[b:e]
                if c == 0 or (" " in value.strip('"') and value.startswith('"') and re.search("[a-z]{3}", value)):
                    continue   # names and texts
                ob, oe = other[3][c]
                if meaning(other[1][ob:oe]) != meaning(value) and not (value.startswith('"') and "insn" not in file and "insns" not in file):
                    put(n, "row's value of the next row", opening + inside[:b] + other[1][ob:oe] + inside[e:] + closing)
                if value.startswith('"') and re.search(r"/[0-7]", value):
                    put(n, "row's opcode", opening + inside[:b] + re.sub(r"/([0-7])", lambda m: f"/{int(m[1]) ^ 1}", value, count=1) + inside[e:] + closing)
                flags = value.split(" | ")
                if not value.startswith('"') and len(flags) > 1 and "(" not in value:
                    for drop in range(len(flags)):
                        if flags[drop] not in ("ends_block", "vmx_op"):
                            put(n, "row's flag dropped", opening + inside[:b] + " | ".join(flags[:drop] + flags[drop + 1:]) + inside[e:] + closing)
    for n, line in enumerate(bare):
        if SKIP.search(line) or DEFINITION.search(line) or not line.strip() or re.match(r"^(constexpr |inline )?[\w:<>&*\[\] ]+\([^;]*\) (const )?\{$", line):
            continue
        original = lines[n]
        loop = re.search(r"\b(for|while) \(", line)
        skip_to = (matching(line, loop.end() - 1) or len(line)) if loop else 0
        signature = re.match(r"^\s*(template <[^>]*> ?)?(VT_INLINE |static |constexpr |inline )*[\w:<>]+ [&*]?\w+\([^()]*\) ?(const )?\{", line)
        skip_to = max(skip_to, signature.end() if signature else 0)
        for m in re.finditer(r" (<=|>=|==|!=|&&|\|\||<<|>>|\|=|&=|\+=|-=|<|>|\+|-|&|\||\^) (?=\S)", line):
            if m.start() < skip_to:
                continue
            op = m[1]
            if op in ("&", "|") and n in in_rows and "(" not in line:
                continue
            put(n, f"{op} to {SWAPS[op]}", original[:m.start(1)] + SWAPS[op] + original[m.end(1):])
        m = re.search(r"\bif (constexpr )?\(", line)
        if m and not m[1]:
            begin, end = m.end() - 1, matching(line, m.end() - 1)
            if end and ";" not in line[begin:end]:
                put(n, "condition negated", original[:begin] + "(!(" + original[begin + 1:end - 1] + "))" + original[end:])
                if re.match(r"\s*if \(.*\) (return [^;]*|\{ [^{}]*return [^;]*; \});\s*$|\s*if \(.*\) return .*;\s*$", line[:].rstrip()) and not line.strip().startswith("else"):
                    put(n, "check dropped", re.match(r"\s*", original)[0] + ";")
        for m in re.finditer(r"(?<![\w.'])0x([0-9a-fA-F']+)\b", line):
            value = int(m[1].replace("'", ""), 16)
            bits = value.bit_length()
            beyond = {bits} if bits % 8 or bits == 24 else set()   # of a whole byte, word, ... it is mostly beyond the operand
            for bit in {0, max(bits - 1, 0)} | beyond:
                if m.start() >= skip_to:
                    put(n, "bit of a mask", original[:m.start()] + hex(value ^ (1 << bit)) + original[m.end():])
        for m in [*re.finditer(r"(?:(?:<<|>>|==|!=|<=|>=|<|>|\+|-|&) |\bmask\(|\bbits?\([^()]*, )(\d+)\b(?![.'])", line), *re.finditer(r"\b(?:mask\(\d+|bits\([^()]*, \d+), (\d+)\)", line)]:
            if m.start() >= skip_to:
                put(n, "number", original[:m.start(1)] + str(int(m[1]) + 1) + original[m.end(1):])
        for m in re.finditer(r"(?<=[ (])(!|~)(?=[\w(])", line):
            if m.start() >= skip_to:
                put(n, f"{m[1]} dropped", original[:m.start()] + original[m.end():])
        for m in re.finditer(r"\b(true|false)\b", line):
            if m.start() >= skip_to and n not in in_rows and not re.search(r"template|<[^<>]*(true|false)", line) and not line.strip().startswith("return " + m[1]):
                put(n, f"{m[1]} to {'false' if m[1] == 'true' else 'true'}", original[:m.start()] + ("false" if m[1] == "true" else "true") + original[m.end():])
        m = re.match(r"^(\s*)([\w.\[\]>()-]+ ([|&^+-]|<<|>>)?= [^;{}]*;|c\.\w+\([^;]*\);|\w+(\.|->)\w+\([^;]*\);)\s*$", line)
        if m:
            put(n, "statement dropped", m[1] + ";")
    return [(n + 1, kind, before, after) for n, kind, before, after in out]


class Source:
    """All changes that can be made, and the order in which a seed draws them."""

    def __init__(self, tree):
        self.by_room = {}
        for room, (_, patterns) in ROOMS.items():
            found = []
            for pattern in patterns:
                for path in sorted(tree.glob(pattern)):
                    name = str(path.relative_to(tree))
                    if name not in LEFT_OUT:
                        found += [(name, *site) for site in sites(name, path.read_text())]
            self.by_room[room] = found

    def draw(self, seed):
        r = random.Random(seed)
        rooms, weights = list(ROOMS), [w for w, _ in ROOMS.values()]
        seen = set()
        while True:
            site = r.choice(self.by_room[r.choices(rooms, weights)[0]])
            if site not in seen:
                seen.add(site)
                yield site


# --- whether a test sees it ------------------------------------------------------------------------------------------------------

class Tree:
    """A copy of the tree and a build of it. Links of a test wait until that test is wanted."""

    def __init__(self, build):
        self.build_of = build
        self.where = build / "mutate"
        self.tree = self.where / "tree"
        self.build = self.tree / "build"   # names sources as every other build does, so that ccache knows them

    def fresh(self):
        self.tree.mkdir(parents=True, exist_ok=True)
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
        if listed.returncode == 0:
            names = [n for n in listed.stdout.splitlines() if (ROOT / n).is_file()]
        else:   # not a clone
            names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file() and not p.is_relative_to(self.build_of)]
        for name in names:
            to = self.tree / name
            data = (ROOT / name).read_bytes()
            if not to.exists() or to.read_bytes() != data:
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(data)
                shutil.copymode(ROOT / name, to)
        wanted = set(names)
        for path in list(self.tree.rglob("*")):
            if path.is_file() and not path.is_relative_to(self.build) and str(path.relative_to(self.tree)) not in wanted:
                path.unlink()
        if not (self.build / "build.ninja").exists():
            # What is small and often built again is built quickly, but not so that enumerations of all tables take minutes; the rest as everywhere, so that ccache knows it.
            cxx = self.where / "cxx"
            cxx.write_text("""#!/bin/bash
for word; do
  case $word in ../vtd/*|../ept/*|../views/*|../tests/vtd/*|../tests/ept/*|../tests/views/*) set -- "${@/#-O3/-O1}"; break ;; esac
done
exec %s g++ "$@"
""" % (shutil.which("ccache") or ""))
            cxx.chmod(0o755)
            subprocess.run(["meson", "setup", str(self.build), str(self.tree)], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "CXX": str(cxx)})

    def make(self, target, seconds=1200):
        """-> (whether it stands, output)"""
        status, out = run(["ninja", "-C", str(self.build), "-j", str(self.jobs), target], seconds)
        return status == 0, out

    jobs = 1


def run(command, seconds, env=None, cwd=None):
    """-> (status or None at the time limit, output). Whatever it has started goes with it."""
    p = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env, cwd=cwd, start_new_session=True)
    try:
        out, _ = p.communicate(timeout=seconds)
        return p.returncode, text_of(out)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        out, _ = p.communicate()
        return None, text_of(out)
    except BaseException:
        os.killpg(p.pid, signal.SIGKILL)
        raise


def text_of(out):
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in out.decode(errors="replace"))


SLOW = "second.*:judge.*:decoder.*:Seeds/Exact.*:*Native*"


def gtest(name, program, take="*", leave="", seconds=60):
    def f(tree):
        status, out = run([tree.build / program, f"--gtest_filter={take}{'-' + leave if leave else ''}", "--gtest_fail_fast", "--gtest_color=no"], seconds, cwd=tree.build)
        failed = re.findall(r"^\[  FAILED  \] (\S+?),? ", out, re.M) or re.findall(r"^\[ RUN      \] (\S+)", out, re.M)[-1:]
        return status == 0, failed[0].rstrip(",") if failed else "at start", status is None
    return name, program, f


def bare_guests(tree):
    sys.path.insert(0, str(ROOT / "tests/bare"))
    import run as bare   # pylint: disable=import-outside-toplevel
    bare.SECONDS = 90
    for guest in bare.guests(tree.build_of / "bare"):
        ok, why = bare.run_vitrine(guest, tree.build / "cli/vitrine")
        if not ok:
            return False, guest.name, why.startswith("no end")
    return True, "", False


def coverage(tree):
    status, _ = run([tree.build / "tools/coverage-doc", "--check", tree.tree], 60)
    return status == 0, "the document of what is modelled", status is None


def judge(tree):
    status, _ = run([tree.build / "tools/judge", "--cases", "3000", "--seed", "7"], 300, cwd=tree.build)
    return status == 0, "against the host", status is None


def xen(tree):
    env = {**os.environ, "BUILD": str(tree.build_of), "VITRINE": str(tree.build / "cli/vitrine"), "GUESTS": str(tree.build_of / "guests"), "ROOT": str(ROOT)}
    status, _ = run([sys.executable, ROOT / "tests/xen/test_boot.py"], 300, env)
    return status == 0, "a boot of Xen", status is None


def stages(file, deep):
    """What looks at a change of this file, the quickest and nearest first: (name, what has to be built, function)."""
    cpu = [gtest("cpu", "tests/cpu/test_cpu", leave=SLOW), gtest("cpu", "tests/cpu/test_cpu", take=SLOW, seconds=180)]
    ept = [gtest("ept", "tests/ept/test_ept")]
    vtd = [gtest("vtd", "tests/vtd/test_vtd")]
    views = [gtest("views", "tests/views/test_views", leave="ept_map.tables_in_a_circle_end", seconds=240)]   # half a minute for a limit of the views' own
    emu = [gtest("emu", "tests/emu/test_emu", leave="*Xen*", seconds=240)]
    more = [("bare", "cli/vitrine", bare_guests)]
    if file.startswith("vtd/"):
        first = vtd + views + [("coverage", "tools/coverage-doc", coverage)]
    elif file.startswith("ept/"):
        first = ept + cpu + views
    else:
        first = cpu + [("coverage", "tools/coverage-doc", coverage)]
        if "/insn/" in file:
            more.append(("judge", "tools/judge", judge))
    return first + more + emu + ([("xen", "cli/vitrine", xen)] if deep else [])


def try_one(tree, site, deep):
    """-> dict: result "caught" (by whom), "survived" or "does not compile"."""
    file, line, _, before, after = site
    path = tree.tree / file
    original = path.read_text()
    lines = original.split("\n")
    assert lines[line - 1] == before, (file, line)
    lines[line - 1] = after
    begin = time.monotonic()
    try:
        path.write_text("\n".join(lines))
        built = set()
        for name, target, test in stages(file, deep):
            if target not in built:
                ok, out = tree.make(target)
                if not ok and not built:
                    return {"result": "does not compile"}
                if not ok:   # the first program stood: another user of the header does not compile
                    return {"result": "does not compile", "of": out[-300:]}
                built.add(target)
            ok, who, late = test(tree)
            if not ok:
                return {"result": "caught", "by": f"{name}/{who}", "seconds": round(time.monotonic() - begin, 1), **({"time_limit": True} if late else {})}
        return {"result": "survived", "seconds": round(time.monotonic() - begin, 1)}
    finally:
        path.write_text(original)


def equivalents():
    known = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else []
    return {(e["file"], e["before"].strip(), e["after"].strip()) for e in known}


def show(site, result):
    file, line, kind, before, after = site
    return f"{file}:{line}: {kind}\n  - {before.strip()}\n  + {after.strip()}\n" + (f"  caught by {result['by']}\n" if "by" in result else "")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", required=True)
    ap.add_argument("--count", type=int, default=50, help="mutants that count")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--resume", action="store_true", help="keep what is caught already; survivors are tried again")
    ap.add_argument("--deep", action="store_true", help="what survives everything else also boots Xen")
    ap.add_argument("--list", action="store_true", help="only say which they would be")
    ap.add_argument("--jobs", type=int, default=1, help="compilers at a time")
    ap.add_argument("--least", type=float, default=95, help="percent that have to be caught (else status 1)")
    args = ap.parse_args()
    tree = Tree(pathlib.Path(args.build).resolve())
    tree.jobs = args.jobs
    if args.list:
        source = Source(ROOT)
        for site, _ in zip(source.draw(args.seed), range(args.count)):
            print(show(site, {}), end="")
        print(", ".join(f"{room}: {len(all_)}" for room, all_ in source.by_room.items()), "changes")
        return 0
    tree.where.mkdir(parents=True, exist_ok=True)
    alone = (tree.where / "lock").open("w")   # two would judge each other's changes
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"mutate: another one is at work in {tree.where}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))   # what it has started ends with it
    tree.fresh()
    results = tree.where / f"results-{args.seed}.jsonl"
    old = {}
    if args.resume and results.exists():
        for text in results.read_text().splitlines():
            e = json.loads(text)
            old[(e["file"], e["line"], e["kind"], e["before"], e["after"])] = e
    elif results.exists():
        results.unlink()
    source = Source(tree.tree)
    if not old:
        print("mutate: building the tree as it is, and running its tests", file=sys.stderr, flush=True)
        done = set()
        for file in ("cpu/insn/alu.cpp", "vtd/unit.cpp", "ept/ept.cpp"):
            all_ = [s for s in stages(file, args.deep) if s[0] not in done]
            done.update(s[0] for s in all_)
            for name, target, test in all_:
                ok, out = tree.make(target, 3600)
                if not ok:
                    sys.exit(f"mutate: {target} does not build\n{out[-2000:]}")
                ok, who, _ = test(tree)
                if not ok:
                    sys.exit(f"mutate: {name}/{who} fails without any change; that has to be put right first")
    known = equivalents()
    caught, survivors, limits, redrawn, excepted, n = 0, [], 0, 0, 0, 0
    for site in source.draw(args.seed):
        if caught + len(survivors) >= args.count:
            break
        n += 1
        file, line, kind, before, after = site
        if (file, before.strip(), after.strip()) in known:
            excepted += 1
            continue
        was = old.get(site)
        if was and was["result"] != "survived":
            result = {k: v for k, v in was.items() if k in ("result", "by", "seconds", "time_limit")}
        else:
            result = try_one(tree, site, args.deep)
            with results.open("a") as out:
                out.write(json.dumps({"n": n, "file": file, "line": line, "kind": kind, "before": before, "after": after, **result}) + "\n")
        if result["result"] == "does not compile":
            redrawn += 1
            continue
        caught += result["result"] == "caught"
        limits += "time_limit" in result
        if result["result"] == "survived":
            survivors.append(site)
        print(f"{result['result']:8} {caught + len(survivors):4} {result.get('seconds', 0):6.1f} s  {show(site, result)}", end="", flush=True)
    total = caught + len(survivors)
    if survivors:
        print("\nsurvived:")
        for site in survivors:
            print(show(site, {}), end="")
    print(f"{redrawn} did not compile, {excepted} mean the same and were drawn again; {limits} were caught by a time limit")
    print(f"{total} mutants: {caught} caught ({100 * caught / max(total, 1):.0f} %), {len(survivors)} survived")
    return 0 if total and 100 * caught >= args.least * total else 1


if __name__ == "__main__":
    sys.exit(main())
