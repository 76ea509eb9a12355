#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW
"""vitrine trace on Xen and its dom0, across VM exits and entries: context, translations of both levels, symbols, and the same state as without."""
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen      # noqa: E402

t = xen.Checks()


def trace(run, *args):
    done = xen.vitrine("trace", run, "--json", *args, seconds=600)
    if done.returncode != 0:
        t.check("a trace", False, done.stderr)
        t.end()
    return [{"kind": "head"} | json.loads(line) for line in done.stdout.splitlines()]


def main():
    with tempfile.TemporaryDirectory() as where:
        run = xen.boot(pathlib.Path(where) / "run", kernel=xen.plain_kernel())
        if not t.check("the boot", run.status == 0, run.why()):
            t.end()
        run = run.directory
        exits = trace(run, "--event", "exit,entry", "--from", "entry#1", "--to", "exit#40")
        kinds = [r["kind"] for r in exits[1:-1]]
        t.check("exits and entries take turns", kinds.count("vm-exit") == 40 and all(a != b for a, b in zip(kinds, kinds[1:])), kinds)
        # The exit that Xen has handled soonest, of those before which the guest ran for a while.
        pairs = [(c["step"] - b["step"], b) for a, b, c in zip(exits, exits[1:], exits[2:]) if a["kind"] == c["kind"] == "vm-entry" and b["step"] - a["step"] > 500]
        took, third = min(pairs, key=lambda p: p[0])
        begin, length = third["step"] - 400, took + 800
        plain = trace(run, "--event", "vtd-fault", "--from", str(begin), "--to", f"+{length}")
        full = trace(run, "--from", str(begin), "--to", f"+{length}")
        t.check("the state after a trace is that without", full[-1] == plain[-1], (full[-1], plain[-1]))
        steps = [r["step"] for r in full[1:] if r["kind"] in ("instruction", "delivery")]
        t.check("every step, once", steps == list(range(begin, begin + length)), len(steps))
        at = next(n for n, r in enumerate(full) if r["kind"] == "vm-exit" and r["step"] == third["step"])
        before = next(r for r in reversed(full[:at]) if r["kind"] in ("instruction", "delivery"))
        after = next(r for r in full[at:] if r["kind"] == "instruction")
        t.check("the exit happens in non-root operation, at its instruction", before["vmx"] == "non-root" and before["step"] == third["step"] and full[at]["reason"] == third["reason"], before)
        t.check("and Xen's handler is next, in root operation", after["vmx"] == "root" and after.get("symbol", "").startswith("vmx_asm_vmexit_handler"), after)
        entry = next(n for n in range(at, len(full)) if full[n]["kind"] == "vm-entry")
        resume = next(r for r in reversed(full[:entry]) if r["kind"] == "instruction")
        guest = next(r for r in full[entry + 1:] if r["kind"] == "instruction")
        t.check("VMRESUME enters", resume["text"] in ("vmresume", "vmlaunch") and resume["step"] == full[entry]["step"], resume)
        t.check("the guest goes on", guest["vmx"] == "non-root" and guest["step"] > resume["step"] and "symbol" not in guest, guest)
        t.check("code is fetched through both levels", {"gva", "gpa", "hpa", "page_size", "ept_page_size"} <= set(guest["fetch"]), guest["fetch"])
        nested = [a for r in full if r.get("vmx") == "non-root" for a in r["accesses"] if a["kind"] in ("read", "write")]
        t.check("and so are data", nested and all({"gpa", "ept_page_size"} <= set(a) or a.get("cached") for a in nested), nested[:3])
        root = [a for r in full if r.get("vmx") == "root" for a in r["accesses"] if a["kind"] in ("read", "write") and not a.get("cached")]
        t.check("Xen's own have no guest-physical address", root and not any("gpa" in a for a in root), root[:3])
        for a in nested[:1]:
            walk = xen.vitrine("walk", f"{run}@{begin}", f"gpa:{a['gpa'][2:]}", "--json") if "gpa" in a else None
            t.check("as vitrine walk has it", walk and int(json.loads(walk.stdout)["result"]["hpa"], 16) == int(a["hpa"], 16), walk and walk.stdout)
        msr = [r for r in full[1:] if r["kind"].startswith("msr")]
        print(f"  {len(full)} lines, {len(msr)} of them MSR accesses, the exit was {third['reason']}")
    t.end()


main()
