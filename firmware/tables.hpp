// SPDX-License-Identifier: GPL-2.0-or-later
/// The pieces of `build_firmware`.
#pragma once
#include "firmware/image.hpp"
#include "firmware/layout.hpp"

namespace vt::fw {

std::vector<Blob> acpi_tables(const Platform& p, const FirmwareLayout& l);
std::vector<Blob> smbios_tables(const Platform& p, const FirmwareLayout& l);
/// Interrupt vectors, BIOS data area, EBDA and the BIOS itself, up to the top of the first MiB (bios.cpp).
std::vector<Blob> bios_data(const Platform& p, const FirmwareLayout& l);

}  // namespace vt::fw
