# SPDX-License-Identifier: GPL-2.0-or-later
"""A web server on the host's loopback, and an initramfs with Linux's drivers for the network card that fetches from it."""
import hashlib
import http.server
import pathlib
import subprocess
import sys
import threading

CONTENT = b"".join(hashlib.sha256(b"file %d" % n).digest() for n in range(8192))   # 256 KiB that any loss, shift or other order changes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves /file at a free port of 127.0.0.1 for as long as the block lasts."""

    def __enter__(self):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200 if self.path == "/file" else 404)
                self.send_header("Content-Length", str(len(CONTENT)) if self.path == "/file" else "0")
                self.end_headers()
                if self.path == "/file":
                    self.wfile.write(CONTENT)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


LEASE = """#!/bin/busybox sh
if [ "$1" = bound ]; then ifconfig $interface $ip netmask $subnet; route add default gw $router; echo LEASE $ip $router; fi
"""
# The port comes by the kernel's command line, so that the initramfs is the same every time.
SCRIPT = """/bin/busybox --install -s /bin; export PATH=/bin
for word in $(cat /proc/cmdline); do case $word in port=*) url=http://10.0.2.2:${word#port=}/file ;; esac; done
echo CARD $(readlink /sys/class/net/eth0/device/driver) $(cat /sys/class/net/eth0/address)
ifconfig lo up; ifconfig eth0 up
udhcpc -i eth0 -s /etc/lease -q -n -t 5 -T 2 2>&1 && echo DHCP-DONE
ping -c 2 -W 3 10.0.2.2 >/dev/null && echo PING-GOOD || echo PING-BAD
wget -q -O /tmp/file $url && echo FETCH-GOOD || echo FETCH-BAD
echo SUM $(sha256sum </tmp/file)
timeout 2 wget -q -O /dev/null http://198.51.100.7/ && echo OUTSIDE-REACHED || echo OUTSIDE-REFUSED
echo BREAK-NOW
# The second card, whose cable leads nowhere, does DMA as well.
ifconfig eth1 10.0.3.15 netmask 255.255.255.0 up
ping -c 1 -W 1 10.0.3.2 >/dev/null || echo NOBODY-THERE
timeout 5 wget -q -O /tmp/again $url && echo AGAIN-GOOD || echo AGAIN-BAD
cat /proc/interrupts | grep virtio
"""


def make_initrd(guests, root, where):
    where = pathlib.Path(where)
    script, lease = where.with_suffix(".rc"), where.with_suffix(".lease")
    script.write_text(SCRIPT)
    lease.write_text(LEASE)
    lease.chmod(0o755)
    subprocess.run([sys.executable, str(root / "guests/mkinitrd.py"), "--busybox", str(guests / "busybox"), "--init", str(root / "guests/init"),
                    "--modules", str(guests / "modules"), "net", "--add", f"etc/rc={script}", "--add", f"etc/lease={lease}", "-o", str(where)], check=True)
