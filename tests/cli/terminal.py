# SPDX-License-Identifier: GPL-2.0-or-later
"""A run on a pseudo-terminal, with somebody who types."""
import os
import pty
import select
import subprocess
import termios
import time

VITRINE = os.environ.get("VITRINE", "build/vitrine")


class Terminal:
    """A run on a pseudo-terminal."""

    def __init__(self, *args):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen([VITRINE, "run", *map(str, args)], stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True)

    def wait(self, text, seconds=60):
        end = time.monotonic() + seconds
        while text.encode() not in self.seen and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    break
            elif self.process.poll() is not None:
                break
        return text.encode() in self.seen

    def type(self, keys):
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def end(self, seconds=60):
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.wait("\0never", 0.2)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.wait("\0never", 0.2)
        return self.process.returncode

    def restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ISIG | termios.ECHO)
