# SPDX-License-Identifier: GPL-2.0-or-later
"""What the passes did before XSA-378: RAM silently replaces MMIO."""
import overlap

DESCRIPTION = "the same without the guard: RAM silently replaces MMIO"
DEBUG = False


def edit(source):
    overlap.restore(source)
    source.function("arch/x86/mm/p2m.c", "p2m_add_page").replace("if ( p2m_is_special(ot) )", "if ( p2m_is_special(ot) && ot != p2m_mmio_direct )")
