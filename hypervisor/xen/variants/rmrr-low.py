# SPDX-License-Identifier: GPL-2.0-or-later
"""Xen before its commit 2d5fc9120d (2022): the assertion of pvh_populate_p2m() knows RAM only. At that time nothing but an RMRR could have
been mapped below 1 MiB, so the first pass has to start at 1 MiB as well."""
import late

DESCRIPTION = "debug=y; the assertion below 1 MiB does not know of RMRRs"
DEBUG = True


def edit(source):
    late.start_at_one_mib(source)
    source.function("arch/x86/hvm/dom0_build.c", "pvh_populate_p2m").replace("ASSERT(p2mt == p2m_ram_rw || mfn_eq(mfn, _mfn(i)));", "ASSERT(p2mt == p2m_ram_rw);")
