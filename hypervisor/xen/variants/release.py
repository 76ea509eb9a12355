# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is changed: what a variant is compared with."""
DESCRIPTION = "as Debian configures it, with debug information"
DEBUG = False


def edit(source):
    pass
