#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW
"""A session at dom0's shell, on a pseudo-terminal: typed by a person, switched to Xen and back by three times Ctrl-A, powered off; DEEP: and replayed."""
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import terminal   # noqa: E402
import xen        # noqa: E402

t = xen.Checks()


def main():
    with tempfile.TemporaryDirectory() as where:
        run = pathlib.Path(where) / "run"
        at = terminal.Terminal("--kernel", xen.GUESTS / "xen.gz", "--append", xen.XEN_LINE, "--module", f"{xen.plain_kernel()} {xen.DOM0_LINE}",
                               "--module", xen.GUESTS / "initrd.gz", "--memory", "2G", "-o", run)
        ok = at.wait("/ #", 500)
        t.check("dom0's prompt", ok, at.seen[-2000:])
        for keys, answer in (("echo the-answer-is-$((6 * 7))\r", "the-answer-is-42"), ("\x01\x01\x01", "Serial input to Xen"), ("\x01\x01\x01", "Serial input to DOM0"), ("\r", "/ #"),
                             ("cat /sys/hypervisor/type\r", "xen"), ("sleep 1; echo awake\r", "\nawake")):
            at.seen = b""
            at.type(keys)
            t.check(f"{keys!r} is answered", at.wait(answer, 100), at.seen)
        at.type("/bin/busybox poweroff -f\r")
        status = at.end(100)
        t.check("poweroff -f ends the run", status == 0 and at.restored(), (status, at.seen[-1000:]))
        if os.environ.get("DEEP"):
            done = xen.vitrine("replay", run, "--verify", seconds=900)
            t.check("replay --verify", done.returncode == 0, done.stderr)
            print("  " + done.stdout.strip())
    t.end()


main()
