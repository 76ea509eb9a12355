# SPDX-License-Identifier: GPL-2.0-or-later
"""The first pass leaves out the first MiB, as it did from Xen's 6b4f6a31ac to 4bb882fe6e."""


def start_at_one_mib(source):
    source.function("drivers/passthrough/x86/iommu.c", "arch_iommu_hwdom_init").replace(
        "for ( i = 0, start = 0, count = 0; i < top; )",
        "for ( i = paging_mode_translate(d) ? PFN_DOWN(MB(1)) : 0, start = 0, count = 0; i < top; )")
