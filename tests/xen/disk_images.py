# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images for tests, and what a guest with Linux's own drivers does with them."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


def make_random(where, size):
    """Bytes that any other order, shift or loss changes; -> SHA-256."""
    data = b"".join(hashlib.sha256(b"disk %d" % n).digest() * 16 for n in range((size + 511) // 512))[:size]
    pathlib.Path(where).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def tool(*command):
    return subprocess.run(command, capture_output=True, env={**os.environ, "PATH": PATH, "E2FSPROGS_FAKE_TIME": "1700000000"})


def make_ext4(where, size):
    """An empty ext4 file system of the default kind, with times and identity that do not change from run to run."""
    with open(where, "wb") as f:
        f.truncate(size)
    uuid = "11111111-2222-3333-4444-555555555555"
    tool("mkfs.ext4", "-q", "-F", "-U", uuid, "-E", f"hash_seed={uuid}", str(where)).check_returncode()


def fsck(image):
    done = tool("e2fsck", "-fn", str(image))
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def content(image, path):
    return tool("debugfs", "-R", f"cat {path}", str(image)).stdout


def missing_tools():
    return [t for t in ("mkfs.ext4", "e2fsck", "debugfs") if not shutil.which(t, path=PATH)]


# The disk to read is nvme0n1 and, at the AHCI adapter, sda; the file system is on nvme1n1.
SCRIPT = """/bin/busybox --install -s /bin; export PATH=/bin
for d in nvme0n1 nvme1n1 sda; do n=0; until [ -b /dev/$d ] || [ $n = 99 ]; do sleep 0.1; n=$((n+1)); done; done
echo NVME-SUM $(sha256sum /dev/nvme0n1)
echo AHCI-SUM $(sha256sum /dev/sda)
mkdir /mnt
mount -t ext4 /dev/nvme1n1 /mnt && echo MOUNTED
dd if=/dev/nvme0n1 of=/mnt/copy bs=64k count=16
echo hello >/mnt/hello
mkdir /mnt/d; for n in 1 2 3 4 5 6 7 8; do echo $n >/mnt/d/$n; done
rm /mnt/d/7
umount /mnt && echo UNMOUNTED
echo 1000 >/sys/block/nvme0n1/queue/io_timeout
echo BREAK-NOW
sleep 0.1
dd if=/dev/sda of=/dev/null bs=4k count=1 skip=99 iflag=direct && echo AHCI-GOOD || echo AHCI-BAD
dd if=/dev/nvme0n1 of=/dev/null bs=4k count=1 skip=99 iflag=direct && echo NVME-GOOD || echo NVME-BAD
"""


def make_initrd(guests, root, where):
    """An initramfs with Linux's drivers for disks and file systems that runs the script."""
    script = where.with_suffix(".rc")
    script.write_text(SCRIPT)
    subprocess.run([sys.executable, str(root / "guests/mkinitrd.py"), "--busybox", str(guests / "busybox"), "--init", str(root / "guests/init"),
                    "--modules", str(guests / "modules"), "disk", "--add", f"etc/rc={script}", "-o", str(where)], check=True)


def sums(console):
    return {m[1]: m[2] for m in re.finditer(r"(NVME|AHCI)-SUM ([0-9a-f]{64})", console)}
