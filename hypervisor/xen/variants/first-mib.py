# SPDX-License-Identifier: GPL-2.0-or-later
"""The bug of Xen after XSA-378 and before its commit 6b4f6a31ac: passes that overlap meet the guard that XSA-378 has brought."""
import overlap

DESCRIPTION = "the passes over the first MiB overlap; the guard of XSA-378 refuses RAM over MMIO"
DEBUG = False


def edit(source):
    overlap.restore(source)
