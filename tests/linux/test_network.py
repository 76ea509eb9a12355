# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Linux, and makes the run again
"""Debian's Linux without a hypervisor, with intel_iommu=on and two processors, on --net user: an address by DHCP, a file fetched from the host's loopback with
its known sum, all DMA translated and interrupts remapped; made again without the network, the run is the same one."""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "xen"))
import network_guest as guest  # noqa: E402
import xen  # noqa: E402

c = xen.Checks()
c.fetched("--with-modules", "the drivers of Debian's kernel")
with tempfile.TemporaryDirectory(prefix="vitrine-native-network-") as where, guest.Server() as server:
    where = pathlib.Path(where)
    guest.make_initrd(xen.GUESTS, xen.ROOT, where / "initrd.gz")
    got = xen.vitrine("run", "--memory", "1G", "--cpus", 2, "--kernel", xen.plain_kernel(), "--append", f"console=ttyS0 intel_iommu=on iommu.strict=1 poweroff port={server.port}",
                      "--initrd", where / "initrd.gz", "-o", where / "run", "--console", "file", "--max-steps", "9000000000", "--checkpoint-every", "900000000", "--net", "user", seconds=400)
    run = xen.Result(got.returncode, got.stdout, got.stderr, where / "run")
    c.check("Linux powers off", run.status == 0, run.why())
    c.check("DHCP, echo, the file with its sum", "LEASE 10.0.2.15" in run.console and "PING-GOOD" in run.console and f"SUM {guest.SHA256}" in run.console and server.asked == ["/file"] * 2,
            (server.asked, run.why()))
    c.check("nothing else is reached", "OUTSIDE-REFUSED" in run.console, run.why())
    c.through_the_iommu("", next((f for f in run.manifest["functions"] if f["model"] == "virtio-net"), None), 500)
    done = xen.vitrine("replay", run.directory, "--verify", seconds=400)
    c.check("replay --verify: the same, and the states on the way", done.returncode == 0 and len(run.manifest["checkpoints"]) > 2, done.stdout + done.stderr)
c.end()
