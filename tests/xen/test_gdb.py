#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW
"""The debugger on Debian's Xen building a PVH dom0: real gdb, forwards and backwards to the write of one EPT entry, and how long it takes. With
DEEP=1 (./check --deep) 200 random steps of the whole boot, and a Xen with debug information is built if there is none."""
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import xen      # noqa: E402
import rsp      # noqa: E402

sys.path.insert(0, str(xen.ROOT / "scripts"))
import cases    # noqa: E402

DEEP = bool(os.environ.get("DEEP"))

t = xen.Checks()
GFN_A0 = 0xa0000


def timed(f, *arguments):
    begin = time.monotonic()
    r = f(*arguments)
    return r, (time.monotonic() - begin) * 1000


def registers(c):
    return c("g")


def with_gdb(run, server):
    status, out = rsp.gdb([
        f"file {xen.GUESTS / 'xen-syms'}", f"target remote 127.0.0.1:{server.port}",
        "hbreak arch_iommu_hwdom_init", "continue", "monitor bt", "stepi 100", "printf \"at %ld\\n\", $step", "info threads", "print $vmx",
        "hbreak arch_iommu_hwdom_init", "reverse-continue", "reverse-stepi", "stepi", "finish", "printf \"finished %#lx\\n\", $pc",
        "delete", "monitor goto end", "maintenance flush register-cache",
        "monitor walk gpa:a0000", "detach"])
    t.check("gdb breaks at arch_iommu_hwdom_init", status == 0 and re.search(r"Breakpoint 1, .*in arch_iommu_hwdom_init", out), out)
    chain = re.findall(r"^#\d+ +[0-9a-f]{16} (\w+)", out, re.M)
    t.check("the chain of open calls names who is building the domain", "dom0_construct_pvh" in chain and "iommu_hwdom_init" in chain and chain[-1].startswith("__high_start"), out)
    t.check("100 instructions further", re.search(r"^at \d+$", out, re.M), out)
    t.check("finish goes to whoever has called it", re.search(r"^finished (0x[0-9a-f]+)", out, re.M) and
            int(re.search(r"^finished (0x[0-9a-f]+)", out, re.M).group(1), 16) == int(re.search(r"^#1 +([0-9a-f]{16})", out, re.M).group(1), 16), out)
    t.check("VMX operation can be seen", "VMX root" in out and re.search(r"= root$", out, re.M), out)
    entry = re.findall(r"EPT level 1 at hpa (0x[0-9a-f]+): ([0-9a-f]{16})", out)
    t.check("the EPT entry of gfn 0xa0 at the end", entry, out)
    if not entry:
        return
    hpa, value = int(entry[0][0], 16), entry[0][1]
    status, out = rsp.gdb([
        f"file {xen.GUESTS / 'xen-syms'}", f"target remote 127.0.0.1:{server.port}",
        "monitor goto end", "maintenance flush register-cache", f"monitor watch-phys {hpa:x} 8",
        "reverse-continue", "monitor when", "monitor bt", "x/i $pc", f"monitor phys {hpa:x} 8",
        "stepi", f"monitor phys {hpa:x} 8", "detach"])
    bytes_ = re.findall(rf"^{hpa:016x} +((?:[0-9a-f]{{2}} ?){{8}})", out, re.M)
    stored = [bytes.fromhex(b.replace(" ", ""))[::-1].hex() for b in bytes_]
    t.check("backwards from the end to the instruction that wrote it", len(stored) == 2 and stored[0] != value and stored[1] == value, out)
    chain = re.findall(r"^#\d+ +[0-9a-f]{16} (\w+)", out, re.M)
    t.check("the chain names the origin", any(c.startswith(("pvh_", "dom0_construct_pvh", "iommu_", "arch_iommu")) for c in chain) and any("ept" in c or "p2m" in c for c in chain), out)
    print("  the last write of the entry of gfn 0xa0: " + " < ".join(chain[:12]))


def by_packets(run, server, end_hash):
    c = rsp.Client(server.port)
    c("qSupported:swbreak+;hwbreak+")
    c("QStartNoAckMode")
    end = run.manifest["steps"]
    text, ms = timed(c.monitor, "goto end")
    t.check("goto end", c.step_number() == end, text)
    _, half = timed(c.monitor, "goto 50%")
    t.check("goto 50% in a second", half < 1000, f"{half:.0f} ms")
    firsts, following = [], []
    for percent in (95, 81.7, 66.6, 57.9, 41.3):
        # From further on, so that what is near to the place is not what the machine has just been through.
        c.monitor("goto end")
        c.monitor(f"goto {percent}%")
        c.monitor("goto +3000000")
        _, first = timed(c, "bs")
        firsts.append(first)
        following += [timed(c, "bs")[1] for _ in range(40)]
    print(f"  goto end {ms:.0f} ms, goto 50% {half:.0f} ms, first reverse-stepi {max(firsts):.1f} ms at most, following {statistics.median(following):.2f} ms"
          f" (95%: {sorted(following)[len(following) * 95 // 100]:.2f} ms)")
    t.check("the first reverse-stepi within 100 ms", statistics.median(firsts) < 100, firsts)
    t.check("the following within 5 ms", statistics.median(following) < 5, statistics.median(following))

    c.monitor("goto 60%")
    seen = []
    for _ in range(1000):
        seen.append(registers(c))
        c("vCont;s:1")
    wrong = 0
    for want in reversed(seen):
        c("bs")
        wrong += registers(c) != want
    t.check("1000 steps back, the same registers each time", wrong == 0, wrong)
    wrong = 0
    for want in seen:
        wrong += registers(c) != want
        c("vCont;s:1")
    t.check("and forward again", wrong == 0, wrong)

    c.monitor("goto 99%")
    t.check("catch points: VM entry and exit", "vm-entry" in c.monitor("stop-on vm-entry") and "vm-exit" in c.monitor("stop-on vm-exit:cpuid"))
    c.monitor("goto 55%")
    c.console = ""
    reply, line = c("vCont;c"), c.console
    t.check("VM entry is caught", reply.startswith("T05") and "VM entry" in line, reply + line)
    inside = registers(c)
    t.check("now in VMX non-root operation", "VMX non-root" in c.monitor("when"), c.monitor("when"))
    c("bs")
    t.check("back across the VM entry", "VMX root" in c.monitor("when"), c.monitor("when"))
    c("vCont;s:1")
    t.check("and across it again", registers(c) == inside)
    c.monitor("stop-on off 1")
    c.console = ""
    c("vCont;c")
    t.check("VM exit is caught, by its reason", "VM exit cpuid" in c.console, c.console)
    t.check("with all fields of the VMCS", "GUEST_RIP" in c.monitor("vmcs") and "EPT" in c.monitor("vmcs SECONDARY"), c.monitor("vmcs"))
    c("bc")
    c.monitor("stop-on off 2")
    reply = c("vCont;c")
    t.check("to the end", "replaylog:end" in reply, reply)
    t.check("the machine is what it was without a debugger", c.monitor("hash").strip() == end_hash, c.monitor("hash") + end_hash)
    c.close()


def early_names(run, server):
    """Code that runs before paging at its physical address, and Xen's trampoline in low memory, by the gdbinit of vitrine gdb."""
    init = (run.directory / "cache/gdbinit").read_text()
    status, out = rsp.gdb([*[line for line in init.splitlines() if line.startswith(("file", "add-symbol-file"))], f"target remote 127.0.0.1:{server.port}",
                           "monitor goto begin", "maintenance flush register-cache", "info symbol $pc",
                           "break trampoline_setup", "break trampoline_protmode_entry", "continue", "info symbol $pc", "monitor when", "print $cr0", "continue", "info symbol $pc", "monitor when",
                           "break arch_iommu_hwdom_init", "detach"])
    symbols = re.findall(r"^(\w+)(?: \+ \d+)? in section \.text", out, re.M)
    t.check("the first instruction has a name", status == 0 and symbols[:1] in (["start"], ["_start"]), out)
    t.check("a break in head.S is hit before paging is on", "trampoline_setup" in symbols[1:2] and re.search(r"rip 0x[23]\w{5} \(trampoline_setup\)", out) and "PG" not in re.search(r"= (\[.*\])", out).group(1), out)
    t.check("and one in the trampoline's copy", symbols[2:3] == ["trampoline_protmode_entry"] and re.search(r"rip 0x[0-9a-f]{5} \(trampoline_protmode_entry\)", out), out)
    t.check("code that runs where it is linked has one place", re.search(r"^Breakpoint 3 at 0xffff82d0\w+$", out, re.M), out)


def ledger_commands(run, server):
    c = rsp.Client(server.port)
    c("QStartNoAckMode")
    c.monitor("goto end")
    text = c.monitor("blame gfn:a0")
    t.check("without a ledger blame says how to get one", "vitrine log" in text and "--ledger" in text, text)
    xen.vitrine("log", run.directory, seconds=600)
    text = c.monitor("blame gfn:a0")
    want = xen.vitrine("blame", run.directory, "gfn:a0").stdout
    t.check("monitor blame is vitrine blame", text == want and "mmio_direct" in text, text + want)
    text = c.monitor("check")
    t.check("monitor check is vitrine check", text == xen.vitrine("check", run.directory).stdout, text)
    last = max(int(n.replace(",", "")) for n in re.findall(r"^ +([\d,]+)  ", want, re.M))
    c.monitor(f"goto {last}")
    before = c.monitor("blame gfn:a0")
    c.monitor(f"goto {last + 1}")
    t.check("up to the present moment", len(before) < len(c.monitor("blame gfn:a0")) and f"{last:,}" not in before and f"{last:,}" in c.monitor("blame gfn:a0"), before)
    # The same code on the command line.
    for words in ("vmcs GUEST_RIP", "msr EFER", "lapic", "ioapic", "pci", "iommu", "irq", "regs", "tlb", "disasm", "events 3"):
        text, shown = c.monitor(words), xen.vitrine("show", f"{run.directory}@{last + 1}", *words.split())
        same = [re.sub(r"^  [\d,]+ requests.*", "", x, flags=re.M) for x in (text, shown.stdout)]   # counters begin with the process
        t.check(f"show {words}", shown.returncode == 0 and same[0] == same[1] and text, text + shown.stdout + shown.stderr)
    irq = c.monitor("irq")
    t.check("who gets which interrupt", re.search(r"pin +\d+ .*unit 0 IRTE \d+ -> vector \w\w to (?:id|logical) \w+: cpu 0", irq) and re.search(r"IRTE +0 at 0x\w+ .* from f0:1f|IRTE +\d+ at 0x", irq), irq)
    c.close()


def random_steps(run, server, count, first, literal):
    """From each of these steps, restored, on to the next: the hash that the run had there when it went straight on. So each leads to the end's, as the
    state is all that the future is made of. Then the same with breakpoints and watchpoints that are hit on the way, and some literally to the end."""
    c = rsp.Client(server.port)
    c("QStartNoAckMode")
    end = run.manifest["steps"]
    choice = random.Random(count)
    at = sorted({choice.randrange(int(end * first), end) for _ in range(count)}) + [end]
    c.monitor("goto begin")
    straight = {}
    for k in at:
        c.monitor(f"goto {k}")
        straight[k] = c.monitor("hash").strip()
    t.check("straight on", straight[end] == run.manifest["state_hash"], straight[end])
    entry = c.monitor("walk gpa:100000")
    table = re.search(r"EPT level 1 at hpa 0x([0-9a-f]+)", entry)
    for armed in (False, True):
        wrong, hits = [], 0
        for here, there in reversed(list(zip(at, at[1:]))):
            c.monitor(f"goto {here}")
            if c.monitor("hash").strip() != straight[here]:
                wrong.append(here)
            points = []
            if armed:
                rip = int.from_bytes(bytes.fromhex(c("p10")), "little")
                points = [f"0,{rip:x},1", f"1,{rip + 1:x},1"]
                for p in points:
                    c("Z" + p)
                if table:
                    c.monitor(f"watch-phys {table.group(1)} 8")
                hits += not c("vCont;c").endswith("replaylog:end;") if choice.random() < 0.3 else 0
                c("bs")
                if c.step_number() > there:
                    c.monitor(f"goto {here}")
            c.monitor(f"goto {there}")
            for p in points:
                c("z" + p)
            if c.monitor("hash").strip() != straight[there]:
                wrong.append(there)
            if armed and table:
                c.monitor(f"watch-phys off {table.group(1)} 8")
        t.check(f"{len(at) - 1} random steps, restored and run on{', with breakpoints' if armed else ''}: the same hashes up to the end's", not wrong, wrong)
    for k in choice.sample(at[:-1], literal):
        c.monitor("goto end")
        c.monitor(f"goto {k}")
        c.monitor("goto end")
        t.check(f"from step {k:,} literally to the end", c.monitor("hash").strip() == run.manifest["state_hash"])
    c.close()


def made_under_a_debugger(where, kernel):
    """vitrine run --gdb with a ledger, a rule and a symbol to end at: what it leaves is what it leaves without."""
    options = ["--ledger", "--stop-on", "refused-mapping"]
    until = "sym:ept_set_entry#300"
    plain = xen.boot(where / "plain", *options, kernel=kernel, until=until)
    command = ["run", "--kernel", xen.GUESTS / "xen.gz", "--append", xen.XEN_LINE, "--module", f"{kernel} {xen.DOM0_LINE}", "--module", xen.GUESTS / "initrd.gz", "--symbols",
               xen.GUESTS / "xen-syms", "-o", where / "made", "--console", "file", "--max-steps", 20_000_000_000, "--until", until, "--memory", "2G", *options, "--gdb", 0]
    server = rsp.Server(xen.VITRINE, *command)
    c = rsp.Client(server.port)
    c("qSupported:swbreak+;hwbreak+")
    c("QStartNoAckMode")
    c.monitor("stop-on eptp")
    c("vCont;c")
    for line in ("goto -1000000", "goto +5000000"):
        c.monitor(line)
    c("bc")
    c.monitor("stop-on off 1")
    c.monitor("goto +40000000")
    blame = c.monitor("blame gfn:a0")
    t.check("blame while the run is made", "nobody has mapped" in blame or "VT-d" in blame or "EPT" in blame, blame)
    here = c.monitor("when")
    for _ in range(50):
        c("bs")
    c("vCont;c")
    c.monitor("goto -30000000")
    c("D")
    c.close()
    status = server.process.wait(600)
    got, want = where / "made", plain.directory
    same = [(got / f).read_bytes() == (want / f).read_bytes() for f in ("events.vit", "console.txt")]
    a, b = xen.Result(status, "", "", got).manifest, plain.manifest
    t.check("run --gdb with --ledger, --stop-on and --until sym: the same ledger, console and state", status == plain.status and all(same) and a["state_hash"] == b["state_hash"]
            and a["ledger"] == b["ledger"] and a["end"] == b["end"], f"{status} {plain.status} {same} {a['end']} {b['end']} {here} {plain.why()}")


def with_source(where, kernel):
    """A Xen with debug information: source lines, finish, and Xen's structures by the script."""
    if DEEP:
        cases.build("release")
    files = cases.xen_of("release")
    if not files:
        print("ok a Xen with debug information: not built here, left out (./check --deep builds it)", flush=True)
        return
    run = where / "source"
    done = xen.vitrine("run", "--memory", "2G", "--kernel", files / "xen.gz", "--append", xen.XEN_LINE, "--module", f"{kernel} {xen.DOM0_LINE}", "--module", xen.GUESTS / "initrd.gz",
                       "-o", run, "--console", "none", "--until", "console:'Dom0 memory map'", "--max-steps", 3_000_000_000, seconds=600)
    if not t.check("a Xen with debug information builds dom0", done.returncode == 0, done.stderr[-800:]):
        return
    server = rsp.Server(xen.VITRINE, "gdb", run, "--serve", 0)
    init = (run / "cache/gdbinit").read_text()
    status, out = rsp.gdb([*[line for line in init.splitlines() if line.startswith(("file", "add-symbol-file", "source"))], f"target remote 127.0.0.1:{server.port}",
                           "xen domains", "break pvh_populate_p2m", "continue", "bt", "next", "info line", "step", "finish", "reverse-next", "xen domains", "xen vcpus", "xen current", "print domain_list->vcpu[0]",
                           "print (p2m_type_t)5", "xen p2m-type 5", "xen entry 0x9c500000000a0b07", "print *(ept_entry_t *)$rsp", "tbreak ept_set_entry", "continue", "finish", "detach"])
    t.check("bt has source lines", re.search(r"^#0 +(?:0x\w+ in )?pvh_populate_p2m .*dom0_build\.c:\d+$", out, re.M) and re.search(r"^#\d+ .*__start_xen .*setup\.c:\d+$", out, re.M), out)
    t.check("finish says what was returned", "Value returned is" in out, out)
    t.check("xen domains", "Xen has no domain yet" in out or "not mapped here" in out or "not that far" in out, out)
    t.check("xen domains knows dom0", re.search(r"^d0 +struct domain 0xffff83\w+  1 vCPUs  \d+ of \d+ pages  privileged", out, re.M), out)
    t.check("xen vcpus, xen current", re.search(r"^d0v0 +struct vcpu 0xffff83\w+  processor 0  \w+", out, re.M) and re.search(r"^cpu 0: idlev0", out, re.M), out)
    t.check("vCPUs have names", re.search(r"= 0xffff83\w+ d0v0$", out, re.M), out)
    t.check("p2m types have names", "= mmio_direct (5)" in out and "p2mt=mmio_direct (5)" in out and re.search(r"^mmio_direct$", out, re.M), out)
    t.check("EPT entries in Xen's words", "mfn 0xa0 rwx mmio_direct, access rwx, UC" in out and re.search(r"^\$\d+ = 0x\w{16}: (mfn 0x|not present)", out, re.M), out)
    server.end()
    none = subprocess.run(["gdb", "-q", "-nx", "-batch", "-ex", f"file {xen.GUESTS / 'xen-syms'}", "-ex", f"source {run / 'cache/xen-gdb.py'}", "-ex", "xen domains"],
                          capture_output=True, text=True, errors="replace", timeout=60)
    t.check("symbols without debug information: it says so", "have no debug information" in none.stdout + none.stderr, none.stdout + none.stderr)


def on_four_processors(where, kernel):
    run = xen.boot(where / "smp", "--cpus", "4", kernel=kernel)
    if not t.check("Xen builds a dom0 on 4 processors", run.status == 0, run.why()):
        return
    server = rsp.Server(xen.VITRINE, "gdb", run.directory, "--serve", 0)
    c = rsp.Client(server.port)
    c("QStartNoAckMode")
    t.check("four threads", c("qfThreadInfo") == "m1,2,3,4")
    choice = random.Random(4)
    wrong = 0
    for percent in (97, 60, 85):
        c.monitor(f"goto {percent}%")
        seen, steps = [], []
        for _ in range(40):
            c("Hg1")
            seen.append(registers(c))
            steps.append(c.step_number())
            c("vCont;s:1;c")
        for want, step in zip(reversed(seen), reversed(steps)):
            c("Hc1")
            c("bs")
            c("Hg1")
            wrong += registers(c)[:-16] != want[:-16] or c.step_number() < step   # the last register is the step: the others' turns may lie between
    t.check("steps of one processor back, the same registers", wrong == 0, wrong)
    end = run.manifest["steps"]
    for _ in range(8):
        c.monitor(f"goto {choice.randrange(end)}")
        c("bs")
    # Processors that wait: a step of theirs is where they go on.
    c.monitor("goto 55%")
    took, slow = 0, 0
    for cpu in (2, 3, 4):
        before = c.step_number()
        c(f"Hc{cpu}")
        (reply, ms), took = timed(c, f"vCont;s:{cpu};c"), took + 1
        slow = max(slow, ms)
        t.check(f"a step of processor {cpu - 1}", (f"thread:{cpu};" in reply and c.step_number() > before) or "replaylog:end" in reply, reply)
    print(f"  steps of processors that wait: {slow:.1f} ms at most")
    c.monitor("goto end")
    t.check("after random moments the end is that of the run", c.monitor("hash").strip() == run.manifest["state_hash"])
    c.close()
    server.end()


def main():
    with tempfile.TemporaryDirectory() as where:
        run = xen.boot(pathlib.Path(where) / "run", kernel=xen.plain_kernel())
        if not t.check("Xen builds a dom0", run.status == 0, run.why()):
            t.end()
        server = rsp.Server(xen.VITRINE, "gdb", run.directory, "--serve", 0)
        try:
            with_gdb(run, server)
            early_names(run, server)
            by_packets(run, server, run.manifest["state_hash"])
            ledger_commands(run, server)
            random_steps(run, server, *((200, 0.0, 5) if DEEP else (24, 0.93, 2)))
        finally:
            status = server.end()
        on_four_processors(pathlib.Path(where), xen.GUESTS / "vmlinux")
        with_source(pathlib.Path(where), xen.GUESTS / "vmlinux")
        made_under_a_debugger(pathlib.Path(where), xen.GUESTS / "vmlinux")
        t.check("killed by its client, the server ends well", status == 0, f"status {status}\n{server.text}")
    t.end()


if __name__ == "__main__":
    main()
