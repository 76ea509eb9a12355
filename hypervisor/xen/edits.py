# SPDX-License-Identifier: GPL-2.0-or-later
"""What a variant does to Xen's source: it names a file, a function and a place in it by a few words that stand there exactly once, and
says what shall stand there instead. White space counts as one blank, so that a moved line is found again."""
import re


class AnchorError(Exception):
    pass


def pattern(anchor):
    return r"\s+".join(re.escape(word) for word in anchor.split())


class Source:
    def __init__(self, root):
        self.root = root

    def function(self, file, name):
        return Function(self.root / file, file, name)


class Function:
    """From the line that defines it to the next line that begins with a brace."""

    def __init__(self, path, file, name):
        self.path, self.place = path, f"{file}: {name}()"
        try:
            self.text = path.read_text()
        except OSError as e:
            raise AnchorError(f"{file} cannot be read: {e.strerror}") from None
        found = [m for m in re.finditer(rf"^(?:[A-Za-z][^;{{}}\n]*\b)?{re.escape(name)}\([^;{{}}]*\)\s*\n\{{\n", self.text, re.M)]
        if len(found) != 1:
            raise AnchorError(f"{file} has {len(found)} definitions of {name}(), not one")
        self.first = found[0].end()
        self.last = self.text.index("\n}\n", self.first) + 1

    def body(self):
        return self.text[self.first:self.last]

    def put(self, begin, end, new):
        self.text = self.text[:self.first + begin] + new + self.text[self.first + end:]
        self.last += len(new) - (end - begin)
        self.path.write_text(self.text)

    def find(self, anchor):
        found = list(re.finditer(pattern(anchor), self.body()))
        if len(found) != 1:
            raise AnchorError(f"{self.place} has {len(found)} places with '{anchor}', not one")
        return found[0]

    def replace(self, anchor, new):
        at = self.find(anchor)
        self.put(at.start(), at.end(), new)
        return self

    def before(self, anchor, new):
        at = self.find(anchor)
        self.put(at.start(), at.start(), new)
        return self

    def drop(self, first, last):
        """From one anchor to the end of the next place that the other stands at."""
        begin = self.find(first)
        end = re.search(pattern(last), self.body()[begin.end():])
        if end is None:
            raise AnchorError(f"{self.place} has no '{last}' after '{first}'")
        self.put(begin.start(), begin.end() + end.end(), "")
        return self
