# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing is changed but the configuration: assertions are on."""
DESCRIPTION = "with debug=y: assertions"
DEBUG = True


def edit(source):
    pass
