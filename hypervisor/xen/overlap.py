# SPDX-License-Identifier: GPL-2.0-or-later
"""The three passes over the first MiB of a PVH dom0 as they were before Xen's 6b4f6a31ac ("x86/PVH: de-duplicate mappings for first
Mb of Dom0 memory", after 4.15): each maps what another one has mapped. The first, arch_iommu_hwdom_init(), covers the first MiB in 4.17
as it is."""

DOM0 = "arch/x86/hvm/dom0_build.c"


def restore(source):
    # Second pass: everything below 1 MiB as MMIO first, RAM over it afterwards, and no look at what is there already.
    populate = source.function(DOM0, "pvh_populate_p2m")
    populate.before("/* Populate memory map. */", """rc = modify_identity_mmio(d, 0, MB1_PAGES, true);
    if ( rc )
        return rc;

    """)
    populate.drop("/* Identity map everything below 1MB", "Failed to identity map PFN %x: %d\\n\", i, rc); return rc; } }")
    # Third pass: ACPI and NVS ranges wherever they are.
    source.function(DOM0, "pvh_setup_acpi").drop("/* Memory below 1MB has been dealt with", "pfn = PFN_DOWN(MB(1)); }")
