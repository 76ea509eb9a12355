# SPDX-License-Identifier: GPL-2.0-or-later
"""Xen before its commit 4bb882fe6e (2023): arch_iommu_hwdom_init() leaves the first MiB to pvh_populate_p2m(), which comes after
translation was enabled."""
import late

DESCRIPTION = "RESERVED pages below 1 MiB are mapped only after translation was enabled"
DEBUG = False


def edit(source):
    late.start_at_one_mib(source)
