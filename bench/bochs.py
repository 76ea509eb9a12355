#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a Multiboot image under Debian's Bochs: GRUB on an ISO image starts it, COM1 goes to a file.

usage: bench/bochs.py [--memory MIB] [--cpu MODEL] [--seconds N] KERNEL [WORD...]
Needs the packages bochs bochsbios vgabios bochs-term grub-pc-bin grub-common xorriso mtools."""
import argparse
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time

TOOLS = ("bochs", "grub-mkrescue", "xorriso")


def missing():
    """What is not installed, as a text, or None."""
    gone = [t for t in TOOLS if shutil.which(t) is None]
    if not pathlib.Path("/usr/share/bochs/BIOS-bochs-latest").exists():
        gone.append("bochsbios")
    return ", ".join(gone) if gone else None


def make_iso(where, kernel, words, modules=()):
    root = pathlib.Path(where) / "iso"
    (root / "boot/grub").mkdir(parents=True)
    shutil.copy(kernel, root / "boot/kernel")
    lines = [f"multiboot /boot/kernel {words}"]
    for i, (path, args) in enumerate(modules):
        shutil.copy(path, root / f"boot/module{i}")
        lines.append(f"module /boot/module{i} {args}")
    (root / "boot/grub/grub.cfg").write_text("terminal_output console\nset timeout=0\n" + "\n".join(lines) + "\nboot\n")
    iso = pathlib.Path(where) / "boot.iso"
    subprocess.run(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "--compress=no", "--install-modules=normal multiboot iso9660 biosdisk part_msdos",
                    "--locales=", "--themes=", "--fonts=", "-o", str(iso), str(root)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return iso


def config(where, iso, memory, cpu):
    return f"""plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=1, gameport=0
display_library: term
cpu: model={cpu}, count=1, ips=200000000, reset_on_triple_fault=0, ignore_bad_msrs=0
memory: guest={memory}, host={memory}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={where}/com1.txt
clock: sync=none, time0=946684800
log: {where}/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
keyboard: type=mf
"""


def run(kernel, words="", memory=256, cpu="corei7_skylake_x", seconds=600, modules=(), until=None):
    """-> (console text, user seconds, how it ended). Bochs wants a terminal, so it gets one."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bochs-") as where:
        iso = make_iso(where, kernel, words, modules)
        rc = pathlib.Path(where) / "bochsrc"
        rc.write_text(config(where, iso, memory, cpu))
        com1 = pathlib.Path(where) / "com1.txt"
        log = pathlib.Path(where) / "bochs.log"
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        pid, fd = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm"
            os.execvp("bochs", ["bochs", "-q", "-f", str(rc)])
        how, end, sent = "ended", time.monotonic() + seconds, False
        while True:
            ready, _, _ = select.select([fd], [], [], 0.2)
            if ready:
                try:
                    if not os.read(fd, 65536):
                        break
                except OSError:
                    break
            if not sent:           # a build with the debugger waits for this; others take it as a key
                os.write(fd, b"c\n")
                sent = True
            if until is not None and com1.exists() and re.search(until, com1.read_bytes()):
                how = "until"
                os.kill(pid, signal.SIGKILL)
            if time.monotonic() > end:
                how = "time limit"
                os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)
        user = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        text = com1.read_bytes().decode(errors="replace").replace("\r", "") if com1.exists() else ""
        if not text and log.exists():
            how += "; " + " | ".join(log.read_text(errors="replace").splitlines()[-3:])
        return text, user, how


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--memory", type=int, default=256)
    ap.add_argument("--cpu", default="corei7_skylake_x")
    ap.add_argument("--seconds", type=float, default=120)
    ap.add_argument("kernel")
    ap.add_argument("words", nargs="*")
    args = ap.parse_args()
    text, user, how = run(args.kernel, " ".join(args.words), args.memory, args.cpu, args.seconds)
    print(text, end="")
    print(f"[{how}; {user:.2f} user seconds]")


if __name__ == "__main__":
    main()
