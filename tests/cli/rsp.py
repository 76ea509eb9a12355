# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the remote serial protocol, and a server to talk to."""
import pathlib
import re
import socket
import subprocess
import time


def frame(payload):
    raw = payload if isinstance(payload, bytes) else payload.encode()
    out = b"".join(b"}" + bytes([c ^ 0x20]) if c in b"$#}*" else bytes([c]) for c in raw)
    return b"$" + out + b"#%02x" % (sum(out) & 0xff)


class Client:
    def __init__(self, port, seconds=120):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.console = ""

    def read(self):
        """The next packet's payload; what is printed meanwhile is kept."""
        while True:
            m = re.search(rb"\$((?:[^#])*)#[0-9a-f]{2}", self.data, re.S)
            if not m:
                got = self.socket.recv(65536)
                if not got:
                    raise EOFError
                self.data += got
                continue
            self.data = self.data[m.end():]
            raw, out, i = m.group(1), bytearray(), 0
            while i < len(raw):
                if raw[i] == 0x7d:
                    i += 1
                    out.append(raw[i] ^ 0x20)
                else:
                    out.append(raw[i])
                i += 1
            text = bytes(out).decode(errors="replace")
            if re.fullmatch("O(?:[0-9a-f]{2})+", text):
                self.console += bytes.fromhex(text[1:]).decode(errors="replace")
                continue
            return text

    def send(self, payload):
        self.socket.sendall(frame(payload))

    def __call__(self, payload):
        self.send(payload)
        return self.read()

    def monitor(self, line):
        self.console = ""
        reply = self("qRcmd," + line.encode().hex())
        return self.console if reply == "OK" else reply

    def raw(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()

    def step_number(self):
        return int(re.match(r"step ([\d,]+)", self.monitor("when")).group(1).replace(",", ""))


class Server:
    """vitrine gdb RUN --serve 0"""

    def __init__(self, vitrine, *arguments, seconds=120):
        self.process = subprocess.Popen([vitrine, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.text, self.port = "", None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            line = self.process.stderr.readline()
            self.text += line
            m = re.search(r"on 127\.0\.0\.1:(\d+)", line)
            if m:
                self.port = int(m.group(1))
                return
            if not line:
                break
        raise RuntimeError("no server: " + self.text)

    def end(self):
        if self.process.poll() is None:
            try:
                c = Client(self.port, 10)
                c.send("k")
                c.close()
                self.process.wait(20)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
        self.text += self.process.stderr.read()
        self.process.wait()
        return self.process.returncode


def gdb(commands, seconds=300, cwd=None):
    """-> (status, output) of real gdb in batch mode."""
    arguments = ["gdb", "-q", "-nx", "-batch"]
    for c in ["set confirm off", "set pagination off", "set height 0", "set width 0", "set remotetimeout 60", *commands]:
        arguments += ["-ex", c]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds, stdin=subprocess.DEVNULL, cwd=cwd)
    return done.returncode, done.stdout


def listeners(process):
    """Local addresses (hexadecimal, as in /proc/net) that a process listens on."""
    inodes = set()
    for f in pathlib.Path(f"/proc/{process}/fd").iterdir():
        m = re.match(r"socket:\[(\d+)\]", str(f.readlink())) if f.is_symlink() else None
        if m:
            inodes.add(m.group(1))
    out = []
    for table in ("tcp", "tcp6"):
        path = pathlib.Path(f"/proc/{process}/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                out.append(words[1])
    return out
