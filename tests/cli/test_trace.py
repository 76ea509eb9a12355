#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vitrine trace on guests/bare/trace.asm: instruction by instruction against what the manual says each does; REP iterations; exceptions; events only;
the state after a trace; messages."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import VITRINE, check, end, vitrine   # noqa: E402

BUILD = pathlib.Path(os.environ["BUILD"])
GO = "console:'go'"


def symbols(image):
    out = subprocess.run(["nm", image], capture_output=True, text=True, check=True).stdout
    return {w[2]: int(w[0], 16) for w in (line.split() for line in out.splitlines()) if len(w) == 3}


def trace(run, *args):
    done = vitrine("trace", run, "--json", *args)
    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else done.stderr


def at(records, address, kind="instruction"):
    return [r for r in records if r["kind"] == kind and int(r["rip"], 16) == address]


def data(r):
    return [(a["kind"], a["size"], a.get("gva"), a["hpa"], a["value"], a.get("was"), a.get("page_size")) for a in r["accesses"] if not a["kind"].startswith("walk")]


def frames(r):
    """What was pushed, as 64-bit words from the highest address down."""
    return [[int(a["value"][2 + n:18 + n], 16) for n in range(0, 2 * a["size"], 16)] for a in r["accesses"] if a["kind"] == "write"]


def instructions(run, s):
    records = trace(run, "--from", GO, "--to", "end")
    if not isinstance(records, list):
        check("a trace", False, records)
        return
    head, end, body = records[0], records[-1], records[1:-1]
    manifest = json.loads((run / "manifest.json").read_text())
    check("the first line names schema and stretch", head["schema"] == "vitrine.trace/1" and head["to"] == manifest["steps"], head)
    check("the state after the trace is that of the run", end["kind"] == "end" and end["state_hash"] == manifest["state_hash"], end)
    steps = [r["step"] for r in body if r["kind"] in ("instruction", "delivery")]
    check("every step is there, once, in order", steps == list(range(head["from"], head["to"])), steps[:5])
    first = next(n for n, r in enumerate(body) if int(r.get("rip", "0"), 16) == s["begin"])
    page, stack, v = s["data"], s["stack_top"], 0x112233445566770a
    hexa = lambda n, size=8: f"0x{n:0{2 * size}x}"   # noqa: E731

    # SDM 3A "4-Level Paging", "Accessed and Dirty Flags": the first store walks to the 4 KiB page; A in all, D in the last
    store = body[first]
    walk = [(a["kind"], a["level"], a["hpa"], a["value"]) for a in store["accesses"][:-1]]
    check("the first access walks: PML4E, PDPTE, PDE, PTE, then accessed and dirty flags", walk == [
        ("walk", 4, hex(s["pml4"]), hexa(s["pdpt"] + 0x23)), ("walk", 3, hex(s["pdpt"]), hexa(s["pd"] + 0x23)), ("walk", 2, hex(s["pd"] + 16), hexa(s["pt"] + 3)),
        ("walk", 1, hex(s["pt"]), hexa(page + 3)), ("walk-write", 2, hex(s["pd"] + 16), hexa(s["pt"] + 0x23)), ("walk-write", 1, hex(s["pt"]), hexa(page + 0x63))], walk)
    expected = [   # text, what it accesses, what it changes
        ("mov qword ptr [rbx + 8], rax", [("write", 8, "0x400008", hex(page + 8), hexa(v), hexa(0), "4K")], {}),
        ("add dword ptr [rbx + 8], 1", [("read", 4, "0x400008", hex(page + 8), "0x5566770a", None, "4K"), ("write", 4, "0x400008", hex(page + 8), "0x5566770b", "0x5566770a", "4K")],
         {"rflags": ["0x46", "0x2"]}),
        ("mov rcx, qword ptr [rbx + 8]", [("read", 8, "0x400008", hex(page + 8), hexa(v + 1), None, "4K")], {"rcx": ["0xc0000080", hex(v + 1)]}),
        ("push rax", None, {"rsp": [hex(stack), hex(stack - 8)]}),
        ("pop rdi", [("read", 8, hex(stack - 8), hex(stack - 8), hexa(v), None, "2M")], None),
        ("lea rdi, [rbx + 0x20]", [], {"rdi": [hex(v), "0x400020"]}),
        (f"mov esi, {hex(s['source'])}", [], {"rsi": ["0x0", hex(s["source"])]}),
        ("mov ecx, 3", [], {"rcx": [hex(v + 1), "0x3"]}),
    ]
    # SDM 2B "REP": an iteration each, RIP stays until the last; RCX, RSI and RDI by one
    # and RFLAGS.RF is set while it goes on, as events between iterations push it (SDM 3B "Instruction-Breakpoint Exception Condition")
    resume = [{"rflags": ["0x2", "0x10002"]}, {}, {"rflags": ["0x10002", "0x2"]}]
    for n, byte in enumerate(b"abc"):
        expected.append(("rep movsb byte ptr [rdi], byte ptr [rsi]", [
            ("read", 1, hex(s["source"] + n), hex(s["source"] + n), hexa(byte, 1), None, "2M"), ("write", 1, hex(0x400020 + n), hex(page + 0x20 + n), hexa(byte, 1), "0x00", "4K")],
            {"rcx": [hex(3 - n), hex(2 - n)], "rsi": [hex(s["source"] + n), hex(s["source"] + n + 1)], "rdi": [hex(0x400020 + n), hex(0x400021 + n)], **resume[n]}))
    expected += [
        ("xor ecx, ecx", [], {"rflags": ["0x2", "0x46"]}),
        ("rep stosb byte ptr [rdi], al", [], {}),   # a count of zero is one step without effect
        ("mov ecx, 0xc0000080", [], {"rcx": ["0x0", "0xc0000080"]}),
        ("rdmsr", [], {"rax": [hex(v), "0x500"], "rdx": ["0x3f8", "0x0"]}),   # IA32_EFER: LME, LMA
        ("in al, 0x61", [], None),
        ("ud2", [], None),
    ]
    told = [r for r in body[first:] if r["kind"] == "instruction"]
    for n, (text, accesses, changes) in enumerate(expected):
        r = told[n]
        ok = r["text"] == text and (accesses is None or data(r) == accesses) and (changes is None or r.get("registers") == changes)
        check(f"{text} ({n})", ok, r)
    after = body[body.index(told[len(expected) - 3]) + 1]
    check("RDMSR is an event of its step", after["kind"] == "msr-read" and after["a"] == "0xc0000080" and after["step"] == told[len(expected) - 3]["step"], after)

    # SDM 3A "Exception- or Interrupt-Handler Procedures" in 64-bit mode: SS, RSP, RFLAGS, CS, RIP; the gate is read before
    ud = at(body, s["begin"] + 0x2b, "exception")
    check("#UD is told of in its step, with the frame it pushes", len(ud) == 1 and ud[0]["step"] == told[len(expected) - 1]["step"] and ud[0]["vector"] == 6
          and frames(ud[0]) == [[0x10, stack, 0x10046, 8, s["begin"] + 0x2b]]
          and ("read", 16, hex(s["idt"] + 6 * 16)) == tuple(data(ud[0])[0][:3]) and int(ud[0]["next"], 16) == s["handler_ud"], ud)
    pf = [r for r in body if r["kind"] == "exception" and r["vector"] == 14]
    check("#PF: nothing is mapped, CR2 is set, the error code is pushed", len(pf) == 1 and pf[0]["registers"]["cr2"] == ["0x0", "0x401000"]
          and frames(pf[0]) == [[0x10, stack, 0x10046, 8, s["begin"] + 0x2d, 0]], pf)
    check("the XMM register", any(r.get("registers", {}).get("xmm1") == ["0x" + "0" * 32, f"0x{0x400000:032x}"] for r in told), "")


def text_lines(run, s):
    done = vitrine("trace", run, "--from", GO, "--to", "+9")
    lines = done.stdout.splitlines()
    step = next((int(line.split()[0]) for line in lines if "mov qword ptr [rbx + 8], rax" in line), 0)
    for line in (f"{step:>15} cpu0 -0 {s['begin']:016x}  48894308         mov qword ptr [rbx + 8], rax",
                 f"{'':28}write       8  gva 0x400008 -> hpa {hex(s['data'] + 8)} (4K) = 0x112233445566770a (was 0x0000000000000000)",
                 f"{'':28}rflags 0x46 -> 0x2 []",
                 f"{'':28}walk        8  hpa {hex(s['pt'])}, paging level 1 = {s['data'] + 3:#018x}"):
        check(f"as text: {line.strip()}", line in lines, done.stdout + done.stderr)
    again = vitrine("trace", run, "--from", GO, "--to", "+9")
    check("the same trace every time", again.stdout == done.stdout)
    port = lines.index(next(line for line in lines if "* port 0x3f8 write 1 = 0xa" in line))
    check("what is printed comes after the instruction that prints it", "out dx, al" in lines[port - 1] and "console" in lines[port + 1], lines[:port + 2])


def events(run):
    done = vitrine("trace", run, "--event", "exception,msr", "--to", "end")
    lines = done.stdout.splitlines()
    check("--event: those and no others", len(lines) == 4 and "WRMSR 0xc0000080 (IA32_EFER) = 0x100" in lines[0] and "RDMSR" in lines[1] and "#UD" in lines[2]
          and "#PF, error code 0x0, address 0x401000" in lines[3], done.stdout + done.stderr)
    records = trace(run, "--event", "port")
    ports = [r["a"] for r in records if r.get("kind") == "port-write"]
    check("--event without --to: to the end", isinstance(records, list) and ports[-1] == "0xf4" and ports.count("0x3f8") == 3, ports)
    none = trace(run, "--event", "vtd-fault")
    check("--event: what did not happen", isinstance(none, list) and len(none) == 2, none)


def processors(where):
    run = where / "smp"
    done = vitrine("run", "--kernel", BUILD / "bare/smp", "--memory", "64M", "--cpus", 4, "-o", run, "--console", "none")
    check("four processors", done.returncode == 0, done.stderr)
    middle = json.loads((run / "manifest.json").read_text())["steps"] * 3 // 4
    every = trace(run, "--from", middle, "--to", "+9000")
    steps = [r["step"] for r in every[1:] if r["kind"] in ("instruction", "delivery")]
    check("steps of all of them, in order", steps == list(range(middle, middle + 9000)) and {r["cpu"] for r in every if "cpu" in r} == {0, 1, 2, 3}, len(steps))
    one = trace(run, "--from", middle, "--to", "+9000", "--processor", 2)
    check("--processor: the same lines of one", one[1:-1] == [r for r in every[1:-1] if r.get("cpu") == 2], len(one))
    check("and the same state", one[-1] == every[-1])
    fresh = where / "until"
    vitrine("run", "--kernel", BUILD / "bare/smp", "--memory", "64M", "--cpus", 4, "-o", fresh, "--console", "none", "--until", middle + 9000)
    check("which is that of a run to there", json.loads((fresh / "manifest.json").read_text())["state_hash"] == every[-1]["state_hash"])
    whole = trace(run, "--from", "0", "--to", "+300")
    check("processors that wait make no steps", [r["step"] for r in whole[1:] if r["kind"] == "instruction"] == list(range(300)))
    start = trace(run, "--processor", 3, "--to", "end", "--event", "all")
    check("--event all of one processor", {r["cpu"] for r in start[1:-1] if "cpu" in r} == {3}, len(start))


def messages(where, run):
    for name, args, status, words in [
            ("no run", [where / "none", "--to", "5"], 4, "not a run directory"),
            ("no end", [run], 2, "--to: where does it end?"),
            ("an end before the beginning", [run, "--from", "50", "--to", "20"], 2, "is before --from 50"),
            ("a beginning behind the end", [run, "--from", "999999", "--to", "+1"], 2, "the run ended before"),
            ("an end behind the end", [run, "--to", "999999"], 2, "--to 999999: the run ended before"),
            ("a moment that is none", [run, "--from", "soon", "--to", "+1"], 2, "--from soon"),
            ("steps that are none", [run, "--to", "+x"], 2, "not a number of steps"),
            ("a text that was not printed", [run, "--from", "console:'nothing'", "--to", "+1"], 2, "it did not print that"),
            ("a processor that is none", [run, "--to", "+1", "--processor", 1], 2, "--processor 1: there are 1"),
            ("events that are none", [run, "--event", "vm-exits"], 2, "--event vm-exits: no such events; there are exit, entry"),
            ("a run with a moment", [f"{run}@50%", "--to", "+1"], 2, "--from and --to say where")]:
        done = vitrine("trace", *args)
        check(f"{name}: status {status}, and says so", done.returncode == status and words in done.stderr and not done.stdout, f"{done.returncode} {done.stderr}")
    with open("/dev/full", "w") as full:
        done = subprocess.run([VITRINE, "trace", str(run), "--to", "end"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    check("a full disk behind the output: status 4, and says so", done.returncode == 4 and "standard output" in done.stderr, done.stderr)


def interrupted(where):
    image = bytearray(b"\xf4") * 0x10000
    image[:4] = b"\x66\x40\xeb\xfc"                       # inc eax; jmp back
    image[0xfff0:0xfff3] = b"\xe9\x0d\x00"
    rom, run = where / "loop", where / "loop-run"
    rom.write_bytes(image)
    vitrine("run", "--firmware", rom, "-o", run, "--console", "none", "--max-steps", "300000000")
    with open(where / "out", "w") as out:
        p = subprocess.Popen([VITRINE, "trace", str(run), "--to", "end"], stdout=out, stderr=subprocess.PIPE, text=True)
        while (where / "out").stat().st_size < 200_000 and p.poll() is None:
            time.sleep(0.02)
        p.send_signal(signal.SIGINT)
        err = p.communicate(timeout=60)[1]
    text = (where / "out").read_text()
    check("Ctrl-C: status 130, and whole lines", p.returncode == 130 and "interrupted" in err and text.endswith("\n") and text.count("inc eax") > 1000, err)


def main():
    image = BUILD / "bare/trace"
    s = symbols(image)
    with tempfile.TemporaryDirectory() as name:
        where = pathlib.Path(name)
        run = where / "run"
        done = vitrine("run", "--kernel", image, "--memory", "64M", "-o", run, "--console", "none")
        check("the guest", done.returncode == 0, done.stderr)
        instructions(run, s)
        text_lines(run, s)
        events(run)
        processors(where)
        messages(where, run)
        interrupted(where)
    end()


main()
