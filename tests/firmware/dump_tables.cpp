// SPDX-License-Identifier: GPL-2.0-or-later
/// dump_tables PLATFORM.json|- DIRECTORY: writes each ACPI table as SIGNATURE.dat, for iasl to judge.
#include <cstdio>
#include <fstream>

#include "firmware/image.hpp"

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: dump_tables PLATFORM.json|- DIRECTORY\n"), 2;
  try {
    std::string file = argv[1];
    vt::fw::Platform p = file == "-" ? vt::fw::default_platform(vt::u64{2} << 30) : vt::fw::load_platform(file);
    for (const auto& b : vt::fw::build_firmware(p)) {
      if (b.name.size() != 4 || b.name == "EBDA" || b.name == "BIOS") continue;
      std::ofstream out(std::string(argv[2]) + "/" + b.name + ".dat", std::ios::binary);
      out.write(reinterpret_cast<const char*>(b.bytes.data()), static_cast<std::streamsize>(b.bytes.size()));
      if (!out) return std::fprintf(stderr, "%s: cannot be written\n", b.name.c_str()), 1;
    }
  } catch (const std::exception& e) {
    return std::fprintf(stderr, "%s\n", e.what()), 4;
  }
}
