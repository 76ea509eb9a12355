#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW
"""The debugger on Debian's Xen building a PVH dom0: real gdb, forwards and backwards to the write of one EPT entry, and how long it takes."""
import pathlib
import random
import re
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import xen      # noqa: E402
import rsp      # noqa: E402

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
        "delete", "monitor goto end", "maintenance flush register-cache",
        "monitor walk gpa:a0000", "detach"])
    t.check("gdb breaks at arch_iommu_hwdom_init", status == 0 and re.search(r"Breakpoint 1, .*in arch_iommu_hwdom_init", out), out)
    chain = re.findall(r"^#\d+ +[0-9a-f]{16} (\w+)", out, re.M)
    t.check("the chain of open calls names who is building the domain", "dom0_construct_pvh" in chain and "iommu_hwdom_init" in chain and chain[-1].startswith("__high_start"), out)
    t.check("100 instructions further", re.search(r"^at \d+$", out, re.M), out)
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
            by_packets(run, server, run.manifest["state_hash"])
        finally:
            status = server.end()
        on_four_processors(pathlib.Path(where), xen.GUESTS / "vmlinux")
        t.check("killed by its client, the server ends well", status == 0, f"status {status}\n{server.text}")
    t.end()


if __name__ == "__main__":
    main()
