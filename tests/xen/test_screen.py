# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen and Linux
"""The legacy devices as Xen and Linux drive them. Linux without Xen, by its own boot protocol, has its console on the VGA, finds the keyboard controller with its
keyboard, and the second serial port. Xen's real-mode code asks the video BIOS; its VGA console stays empty, as on QEMU (docs/console.md)."""
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

VGA = xen.XEN_LINE.replace("console=com1 ", "console=vga,com1 ")
EARLY = "console:'Domain heap initialised'"


def native(where):
    """Linux, its console on the first port and the screen; a getty-less shell writes to the second port."""
    platform = where.parent / "two-ports.json"
    platform.write_text(json.dumps({"vitrine": "platform/1", "memory": "1G", "com2": True}))
    command = [xen.VITRINE, "run", "--platform", str(platform), "--kernel", str(xen.GUESTS / "vmlinuz"), "--append", "console=tty0 console=ttyS0", "--initrd",
               str(xen.GUESTS / "initrd.gz"), "-o", str(where), "--console", "file", "--max-steps", "30000000000",
               "--type", "console:'/ # '=echo SECOND-PORT >/dev/ttyS1; cat /proc/interrupts; echo SCREEN-OK >/dev/tty0; sleep 1; poweroff -f\\r"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600, stdin=subprocess.DEVNULL)
    return xen.Result(done.returncode, done.stdout, done.stderr, where)


def screen(run):
    done = xen.vitrine("show", run, "screen", seconds=600)
    return done.stdout if done.returncode == 0 else done.stderr


c = xen.Checks()
with tempfile.TemporaryDirectory(prefix="vitrine-screen-") as where:
    where = pathlib.Path(where)
    kernel = xen.plain_kernel()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {"no-real-mode": pool.submit(xen.boot, where / "plain", xen=VGA, until=EARLY, kernel=kernel),
                "real mode": pool.submit(xen.boot, where / "real", xen=VGA.replace("no-real-mode ", ""), until=EARLY, kernel=kernel),
                "Linux": pool.submit(native, where / "linux")}
        r = {name: job.result() for name, job in jobs.items()}
    for name in ("no-real-mode", "real mode"):
        c.check(f"Xen, {name}: gets there", r[name].status == 0, r[name].why())
        # This Xen maps the text memory before there is an area to map it in, and goes on without; its BIOS calls have cleared the screen.
        c.check(f"Xen, {name}: a text screen, with nothing on it", screen(r[name].directory) == "\n" * 25, screen(r[name].directory))
    c.check("Xen, real mode: video information from the BIOS", r["real mode"].has(r"VGA is text mode 80x25, font 8x16"), r["real mode"].why())
    linux = r["Linux"]
    c.check("Linux: powers off", linux.status == 0, linux.why())
    c.check("Linux: a VGA console of 80 x 25", linux.has(r"Console: colour VGA\+ 80x25"), linux.why())
    c.check("Linux: the keyboard port", linux.has(r"serio: i8042 KBD port at 0x60,0x64 irq 1"), linux.why())
    c.check("Linux: the keyboard", linux.has(r"input: AT Translated Set 2 keyboard"), linux.why())
    c.check("Linux: ACPI told it", linux.has(r"i8042: PNP: PS/2 Controller \[PNP0303:"), linux.why())
    c.check("Linux: no complaint about it", not linux.has(r"i8042.*(?i:error|fail|timeout|can't|unable)|atkbd.*(?i:fail|unknown)"), linux.why())
    c.check("Linux: the second serial port", linux.has(r"ttyS1 at I/O 0x2f8 \(irq = 3, base_baud = 115200\) is a 16550A"), linux.why())
    second = linux.directory / "console2.txt"
    c.check("Linux: what went there", second.exists() and "SECOND-PORT" in second.read_text(), second.read_text() if second.exists() else "no file")
    c.check("Linux: what went to the screen", "SCREEN-OK" in screen(linux.directory), screen(linux.directory))
    c.check("Linux: IRQ1 has been used", linux.has(r"(?m)^.*\b1: +[1-9]\d* .*i8042"), linux.why())
c.end()
