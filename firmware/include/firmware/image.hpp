// SPDX-License-Identifier: GPL-2.0-or-later
/// What is in memory at power-on, and where the first instruction is. Everything is data: the machine
/// copies the blobs (as loader writes) and sets the first processor's registers from `Entry`.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "firmware/platform.hpp"

namespace vt::fw {

struct Blob { Hpa at; std::vector<u8> bytes; std::string name; };

/// State of the bootstrap processor when software gets control.
struct Entry {
  enum class Mode : u8 { reset_vector, protected_flat32 } mode = Mode::reset_vector;
  u32 eip = 0, eax = 0, ebx = 0, esi = 0, esp = 0;
};

struct Image {
  std::vector<Blob> blobs;
  Entry entry;
  std::string kernel_kind;     ///< "multiboot1", "multiboot2", "linux", "pvh", "rom"
  std::vector<std::string> warnings;
};

/// ACPI tables, SMBIOS, the BIOS with its vectors and data area, the tables' places in the platform's E820. Deterministic.
/// Without `bios` only the tables: what is needed beside a ROM of the user's own.
std::vector<Blob> build_firmware(const Platform& p, bool bios = true);

/// A file that cannot be loaded. `what()` reads: FILE: what is wrong, and what to do. (status 4)
struct LoadError : std::runtime_error {
  LoadError(const std::string& file, const std::string& message) : std::runtime_error(file + ": " + message) {}
};

struct Module { std::string file; std::string args; };
struct LoadRequest {
  std::string kernel;          ///< gzip or plain: Multiboot 1 ELF, bzImage, PVH ELF
  std::string append;          ///< command line; the file name is put before it, as QEMU does
  std::vector<Module> modules; ///< Multiboot modules, file name before the arguments
  std::string initrd;          ///< for bzImage and PVH
  std::string protocol;        ///< one of boot_protocols(), which the file has to offer; empty: the first that it does
};
/// As `Image::kernel_kind`, in the order in which a file's are tried.
std::span<const char* const> boot_protocols();
/// Reads the files and lays everything out in RAM of the platform's E820. Throws LoadError.
Image load(const Platform& p, const LoadRequest& r);

/// SHA-256 of a file or of bytes, 64 hex digits.
std::string sha256_file(const std::string& file);
std::string sha256(std::span<const u8> bytes);

}  // namespace vt::fw
