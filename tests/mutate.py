#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The changes that ./check --mutate makes: of code and rows, never of comments, texts and counters; the same for the same seed; and a change that a test
sees is told from one that none sees."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import mutate   # noqa: E402

failed = False


def check(name, ok, why=""):
    global failed
    failed |= not ok
    print(f"{'ok' if ok else 'FAIL'} {name}" + ("" if ok else f": {str(why)[-1000:]}"))


def changes(text, file="cpu/x.cpp"):
    return [(kind, after.strip()) for _, kind, _, after in mutate.sites(file, text)]


got = changes("  if (a < b && !c) return 0;   // x == y")
check("a condition: swapped, negated, dropped", {("< to <=", "if (a <= b && !c) return 0;   // x == y"), ("&& to ||", "if (a < b || !c) return 0;   // x == y"),
      ("! dropped", "if (a < b && c) return 0;   // x == y"), ("condition negated", "if (!(a < b && !c)) return 0;   // x == y"), ("check dropped", ";")} == set(got), got)
got = changes('  w("a == b && 0x10", 1);  // a || b')
check("comments and texts stay", all("a == b && 0x10" in after and "a || b" in after or after == ";" for _, after in got), got)
check("counters and our own checks stay", changes("  ++stats_.hits, n = a + b;\n  CHECK(a == b);\n  static_assert(a < b);\n#if a == b") == [])
check("the head of a loop stays", changes("  for (unsigned n = 0; n < 4; ++n) f(n);") == [], changes("  for (unsigned n = 0; n < 4; ++n) f(n);"))
got = changes("  v = a & 0xf0;")
check("a bit of a mask", {("bit of a mask", f"v = a & {m};") for m in ("0xf1", "0x70")} <= set(got), got)
check("no bit behind a whole byte", ("bit of a mask", "v = a & 0x1f0;") not in got, got)
got = changes("  v = mask(51, 12) >> 3;")
check("a number", {("number", "v = mask(52, 12) >> 3;"), ("number", "v = mask(51, 13) >> 3;"), ("number", "v = mask(51, 12) >> 4;")} <= set(got), got)
got = changes("  c.cr3 = v;")
check("a statement dropped", ("statement dropped", ";") in got, got)
table = '    {"A", "0F 01 /2", "Ew", protected_only | ends_block, f(1, 2)},\n    {"B", "0F 02 /r", "Ev", 0, g},\n    {"C", "0F 03 /r", "Ev", 0, h},'
got = changes(table, "cpu/insn/x.cpp")
check("a row: dropped, its opcode, its flag, the value of the next one",
      {("row dropped", ""), ("row's opcode", '{"A", "0F 01 /3", "Ew", protected_only | ends_block, f(1, 2)},'), ("row's flag dropped", '{"A", "0F 01 /2", "Ew", ends_block, f(1, 2)},'),
       ("row's value of the next row", '{"A", "0F 01 /2", "Ew", protected_only | ends_block, g},')} <= set(got), got)
check("a row's name stays", all('"A"' in after or '"B"' in after or '"C"' in after or not after for _, after in got), got)

table = '    {"A", "0F 01 /2", "Ob,AL", ends_block, f},\n    {"B", "0F 02 /r", "Ov,rAX", 0, f},\n    {"C", "0F 03 /r", "Gv, Mb", no64 | ends_block, f},'
got = [after for kind, after in changes(table, "cpu/insn/x.cpp") if kind == "row's value of the next row"]
check("operands and attributes change where that is a rule", '{"A", "0F 01 /2", "Ov,rAX", ends_block, f},' not in got and '{"A", "0F 01 /2", "Ob,AL", 0, f},' not in got and
      {'{"B", "0F 02 /r", "Gv, Mb", 0, f},', '{"B", "0F 02 /r", "Ov,rAX", no64 | ends_block, f},', '{"C", "0F 03 /r", "Gv, Mb", ends_block, f},'} <= set(got), got)

source = mutate.Source(ROOT)
first, again, other = ([s for s, _ in zip(source.draw(seed), range(50))] for seed in (7, 7, 8))
check("the same seed, the same changes", first == again and first != other)
check("each is drawn once", len(set(first)) == 50)
lines = {s[0]: (ROOT / s[0]).read_text().split("\n") for s in first}
check("what is changed stands there", all(lines[f][n - 1] == before != after for f, n, _, before, after in first))
known = mutate.equivalents()
there = {(file, before.strip(), after.strip()) for sites in source.by_room.values() for file, _, _, before, after in sites}
check("what means the same still stands there", known <= there, known - there)


class Fake:
    """A tree of one file, whose only test looks for what it was."""

    def __init__(self, where):
        self.tree = where

    def make(self, target):
        return "bad" not in (self.tree / "f").read_text(), ""


def tried(where, after, sees):
    (where / "f").write_text("one\ntwo")
    real, mutate.stages = mutate.stages, lambda file, deep: [("t", "p", lambda tree: ("one" in (where / "f").read_text() or not sees, "rule", False))]
    try:
        result = mutate.try_one(Fake(where), ("f", 1, "k", "one", after), False)
    finally:
        mutate.stages = real
    return result.get("result"), result.get("by"), (where / "f").read_text()


import tempfile   # noqa: E402
with tempfile.TemporaryDirectory() as where:
    where = pathlib.Path(where)
    check("caught, and by whom", tried(where, "three", True) == ("caught", "t/rule", "one\ntwo"), tried(where, "three", True))
    check("survived", tried(where, "three", False) == ("survived", None, "one\ntwo"))
    check("does not compile", tried(where, "bad", True) == ("does not compile", None, "one\ntwo"))
    status, _ = mutate.run(["sleep", "60"], 0.3)
    check("what hangs is ended", status is None)
sys.exit(1 if failed else 0)
