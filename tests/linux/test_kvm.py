# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Linux
"""Debian's KVM, a second hypervisor on our VMX, runs a guest of ours twice (guests/kvm): a processor alone, and with KVM's interrupt
controllers. What it prints, its VM exits, and its EPT."""
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "xen"))
import xen  # noqa: E402

c = xen.Checks()
c.fetched("--with-kvm", "the initramfs with KVM")
with tempfile.TemporaryDirectory(prefix="vitrine-kvm-") as where:
    run = pathlib.Path(where) / "run"
    got = xen.vitrine("run", "--memory", "1G", "--kernel", xen.plain_kernel(), "--append", "console=ttyS0", "--initrd", xen.GUESTS / "initrd-kvm.gz", "-o", run,
                      "--console", "file", "--max-steps", "5000000000", "--until", "console:'kvm-monitor: done'", seconds=400)
    r = xen.Result(got.returncode, got.stdout, got.stderr, run)
    if not c.check("KVM's guests come to their end", r.status == 0 and r.has("kvm-monitor: done"), r.why()):
        c.end()
    for text in ("kvm guest: real mode under KVMKVMKVM", "kvm guest: protected mode, paging", "kvm-monitor: write to 0xd0000010", "kvm guest: halting",
                 "kvm-monitor: KVM_EXIT_HLT", "kvm guest: httt", "kvm guest: three timer interrupts", "kvm-monitor: the guest ends with 0x0"):
        c.check(f"the console has: {text}", text in r.console, r.why())
    c.check("the kernel complains of nothing", not r.has(r"WARNING: CPU|BUG:|Call Trace|vmwrite failed|vmread failed|unchecked MSR"), r.why())

    stat = json.loads(xen.vitrine("stat", "--json", run).stdout)["stats"]
    exits = stat["vm_exits"]
    for reason in ("io", "hlt", "cpuid", "cr-access", "ept-violation", "ept-misconfiguration"):
        c.check(f"VM exits by {reason}", exits.get(reason, 0) > 0, json.dumps(exits))
    c.check("each entry has its exit", stat["vm_entries"] == stat["vm_exits_total"] == sum(exits.values()), json.dumps(exits))

    roots = [t for t in json.loads(xen.vitrine("map", run, "--of", "ept", "--json").stdout)["tables"] if t["format"] == "ept"]
    c.check("two guests, two EPT roots", len(roots) == 2 and roots[0]["root"] != roots[1]["root"], json.dumps(roots)[:600])
    for name, table in zip(("the first guest", "the second guest"), roots):
        ranges = {int(x["first"], 16): x for x in table["ranges"]}
        c.check(f"{name}: its code is mapped", ranges.get(0x1000, {}).get("access") == "rwx", json.dumps(table))
        # KVM leaves what it emulates deliberately misconfigured
        c.check(f"{name}: the monitor's device is misconfigured", ranges.get(0xd0000000, {}).get("memory_type") == "misconfigured", json.dumps(table))
c.end()
