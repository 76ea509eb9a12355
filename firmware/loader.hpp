// SPDX-License-Identifier: GPL-2.0-or-later
/// What the loaders share: reading files, RAM that is still free, ELF.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "bytes.hpp"
#include "firmware/image.hpp"
#include "firmware/layout.hpp"

namespace vt::fw {

/// Throws LoadError for a file that is missing, unreadable or empty.
std::vector<u8> read_file(const std::string& file);
/// Unpacks gzip; anything else comes back as it is. Throws LoadError where the data is damaged or cut short.
std::vector<u8> gunzip(std::vector<u8> data, const std::string& file);

/// Bytes of RAM from `from` on without a hole, up to `end`.
u64 contiguous_ram(const Platform& p, u64 from, u64 end);

/// RAM of the E820 that nothing was put into yet. Page 0 belongs to the BIOS.
class Ram {
 public:
  explicit Ram(const Platform& p);
  bool is_ram(const Range& r) const;    ///< all of it, used or not
  bool is_free(const Range& r) const;
  void take(const Range& r);
  /// Lowest or highest aligned place in [min, end), and takes it.
  std::optional<u64> lowest(u64 size, u64 align, u64 min, u64 end);
  std::optional<u64> highest(u64 size, u64 align, u64 min, u64 end);

 private:
  std::vector<Range> ram_, free_;       // ascending, disjoint
};

struct Elf {
  struct Segment { u64 offset, vaddr, paddr, filesz, memsz; };
  struct Note { std::string name; u32 type; std::vector<u8> desc; };
  bool is64 = false;
  u64 entry = 0;                        ///< as the header says: usually virtual
  std::vector<Segment> load;
  std::vector<Note> notes;
  /// Where the entry is in physical memory.
  u64 physical_entry() const;
};
bool is_elf(std::span<const u8> f);
/// Throws LoadError for what is damaged, cut short, or for another machine.
Elf parse_elf(std::span<const u8> f, const std::string& file);

struct Loading {
  const Platform& p;
  const LoadRequest& r;
  std::span<const u8> kernel;           ///< unpacked
  Ram ram;
  Image image;

  [[noreturn]] void fail(const std::string& message) const { throw LoadError(r.kernel, message); }
  /// Bytes at a place the file itself asks for; the rest up to `memsz` stays zero.
  void place_fixed(u64 at, std::span<const u8> bytes, u64 memsz, const std::string& name);
  void place_elf(const Elf& e);
  struct Placed { u64 first, size; std::string command_line; };
  /// Page-aligned copies below 4 GiB, from 64 MiB up where they fit.
  std::vector<Placed> place_modules(const std::vector<Module>& modules, bool with_file_name);
  /// Small structures: in [min, end) if it is free there, else anywhere above 1 MiB.
  u64 place_low(std::size_t size, u64 min, u64 end);
  void enter(u64 eip, u32 eax, u32 ebx, u32 esi);
};

/// "name arguments", without directories: a run does not depend on where files lie.
std::string command_line(const std::string& file, const std::string& args);

std::optional<std::size_t> find_multiboot1(std::span<const u8> f);
std::optional<std::size_t> find_multiboot2(std::span<const u8> f);
void load_multiboot1(Loading& l, std::size_t header);
void load_multiboot2(Loading& l, std::size_t header);

bool is_linux(std::span<const u8> f);
void load_linux(Loading& l);

/// XEN_ELFNOTE_PHYS32_ENTRY
std::optional<u32> pvh_entry(const Elf& e);
void load_pvh(Loading& l, const Elf& e, u32 entry);

}  // namespace vt::fw
