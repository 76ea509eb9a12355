// SPDX-License-Identifier: GPL-2.0-or-later
/// Multiboot Specification 0.6.96 "Boot information format", and Multiboot2 Specification 2.0.
#include <fmt/format.h>

#include "base/bits.hpp"
#include "loader.hpp"

namespace vt::fw {
namespace {

constexpr u32 kMagic1 = 0x1badb002, kBoot1 = 0x2badb002;
constexpr u32 kMagic2 = 0xe85250d6, kBoot2 = 0x36d76289;
constexpr u32 kPageAligned = 1 << 0, kMemoryInfo = 1 << 1, kVideo = 1 << 2, kAddresses = 1 << 16;
// Not "GRUB": some kernels treat the first word of the command line by the loader's name.
constexpr const char* kLoaderName = "Vitrine";
constexpr u64 kText = 0xb8000;
// Clear of page 0 and, below it, of where trampolines are put (64 KiB under the EBDA).
constexpr u64 kInfoMin = 0x1000, kInfoEnd = 0x9000;

u32 mem_lower(const Platform& p) { return static_cast<u32>(contiguous_ram(p, 0, 0xa0000) >> 10); }
u32 mem_upper(const Platform& p) { return static_cast<u32>(std::min<u64>(contiguous_ram(p, 1 << 20, ~u64{0}) >> 10, 0xffffffff)); }

/// Address fields of a header: how files that are not ELF say where they go.
void place_by_addresses(Loading& l, std::size_t header, u32 header_addr, u32 load_addr, u32 load_end, u32 bss_end) {
  if (load_addr > header_addr || header_addr - load_addr > header)
    l.fail(fmt::format("its Multiboot header gives load address {:#x} and header address {:#x}, which do not match its place {:#x} in the file",
                       load_addr, header_addr, header));
  std::size_t from = header - (header_addr - load_addr);
  u64 size = load_end ? load_end - u64{load_addr} : l.kernel.size() - from;
  if (load_end && load_end < load_addr) l.fail("its Multiboot header ends the image before its beginning");
  if (size > l.kernel.size() - from) l.fail(fmt::format("is cut short: its Multiboot header needs {} bytes from offset {:#x}; copy or build it again", size, from));
  u64 memsz = bss_end > load_addr + size ? bss_end - u64{load_addr} : size;
  l.place_fixed(load_addr, l.kernel.subspan(from, size), memsz, "kernel");
}

}  // namespace

std::optional<std::size_t> find_multiboot1(std::span<const u8> f) {
  std::size_t end = std::min<std::size_t>(f.size(), 8192);
  for (std::size_t i = 0; i + 12 <= end; i += 4) {
    if (get_le(f, i, 4) != kMagic1) continue;
    if (static_cast<u32>(kMagic1 + get_le(f, i + 4, 4) + get_le(f, i + 8, 4)) == 0) return i;
  }
  return {};
}

std::optional<std::size_t> find_multiboot2(std::span<const u8> f) {
  std::size_t end = std::min<std::size_t>(f.size(), 32768);
  for (std::size_t i = 0; i + 16 <= end; i += 8) {
    if (get_le(f, i, 4) != kMagic2) continue;
    u64 sum = 0;
    for (unsigned w = 0; w < 4; ++w) sum += get_le(f, i + 4 * w, 4);
    if (static_cast<u32>(sum) == 0) return i;
  }
  return {};
}

void load_multiboot1(Loading& l, std::size_t header) {
  const u32 flags = static_cast<u32>(get_le(l.kernel, header + 4, 4));
  if (u32 unknown = flags & 0xffff & ~(kPageAligned | kMemoryInfo | kVideo))
    l.fail(fmt::format("its Multiboot header requires features {:#x}, which the specification does not define", unknown));
  const bool display = flags & kVideo && l.p.vga;
  if (flags & kVideo && !display) l.image.warnings.push_back(l.r.kernel + ": wants a video mode; there is no display, so none is reported");
  else if (display && (header + 36 > l.kernel.size() || get_le(l.kernel, header + 32, 4) == 0))
    l.image.warnings.push_back(l.r.kernel + ": wants a graphics mode; there is text of 80 x 25");
  u64 entry;
  if (flags & kAddresses) {
    if (header + 32 > l.kernel.size()) l.fail("is cut short inside its Multiboot header; copy or build it again");
    auto field = [&](unsigned at) { return static_cast<u32>(get_le(l.kernel, header + at, 4)); };
    place_by_addresses(l, header, field(12), field(16), field(20), field(24));
    entry = field(28);
  } else {
    if (!is_elf(l.kernel)) l.fail("has a Multiboot header without address fields and is not an ELF file; nothing says where it goes");
    Elf e = parse_elf(l.kernel, l.r.kernel);
    l.place_elf(e);
    entry = e.physical_entry();
  }
  auto modules = l.place_modules(l.r.modules, true);

  // One piece: information, memory map, modules, strings. Addresses in it are known once its size is.
  constexpr std::size_t kInfo = 120;
  std::string line = command_line(l.r.kernel, l.r.append);
  std::size_t mmap = kInfo, mmap_size = 24 * l.p.e820.size(), mods = mmap + mmap_size, strings = mods + 16 * modules.size();
  std::size_t size = strings + line.size() + 1 + std::strlen(kLoaderName) + 1;
  for (auto& m : modules) size += m.command_line.size() + 1;
  u64 at = l.place_low(size, kInfoMin, kInfoEnd);

  Bytes text;
  auto string = [&](std::string_view s) {
    u64 here = at + strings + text.size();
    text.cstr(s);
    return here;
  };
  Bytes b(kInfo);
  b.put(0, 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9, 4);   // memory, command line, modules, memory map, loader's name
  b.put(4, mem_lower(l.p), 4);
  b.put(8, mem_upper(l.p), 4);
  b.put(16, string(line), 4);
  b.put(20, modules.size(), 4);
  b.put(24, at + mods, 4);
  b.put(44, mmap_size, 4);
  b.put(48, at + mmap, 4);
  b.put(64, string(kLoaderName), 4);
  if (display) {                                             // frame buffer: EGA text
    b.put(0, get_le(b.b, 0, 4) | 1 << 12, 4);
    b.put(88, kText, 8), b.put(96, 160, 4), b.put(100, 80, 4), b.put(104, 25, 4), b.put(108, 16, 1), b.put(109, 2, 1);
  }
  for (const E820Range& e : l.p.e820) {
    b.b32(20);
    b.b64(e.first);
    b.b64(e.size);
    b.b32(static_cast<u32>(e.type));
  }
  for (auto& m : modules) {
    b.b32(m.first);
    b.b32(m.first + m.size);
    b.b32(string(m.command_line));
    b.b32(0);
  }
  b.append(text.b);
  l.image.blobs.push_back({Hpa(at), std::move(b.b), "Multiboot information"});
  l.image.kernel_kind = "multiboot1";
  l.enter(entry, kBoot1, static_cast<u32>(at), 0);
}

void load_multiboot2(Loading& l, std::size_t header) {
  const std::span<const u8> f = l.kernel;
  if (get_le(f, header + 4, 4) != 0) l.fail(fmt::format("its Multiboot2 header is for architecture {}, not i386", get_le(f, header + 4, 4)));
  u64 length = get_le(f, header + 8, 4);
  if (length < 16 || length > f.size() - header) l.fail("is cut short inside its Multiboot2 header; copy or build it again");
  std::optional<u64> entry;
  bool placed = false, text = false;
  for (u64 at = header + 16; at + 8 <= header + length;) {
    u64 type = get_le(f, at, 2), optional = get_le(f, at + 2, 2) & 1, size = get_le(f, at + 4, 4);
    if (size < 8 || size > header + length - at) l.fail(fmt::format("its Multiboot2 header has a damaged tag of type {}", type));
    auto field = [&](unsigned i) {
      if (8 + 4 * i + 4 > size) l.fail(fmt::format("its Multiboot2 header has a short tag of type {}", type));
      return static_cast<u32>(get_le(f, at + 8 + 4 * i, 4));
    };
    switch (type) {
      case 0: break;                                      // end
      case 1:                                             // information request
        for (unsigned i = 0; 8 + 4 * i + 4 <= size; ++i) {
          u32 want = field(i);
          // Not given: the BIOS boot device, a display, section headers (the image need not be ELF), APM, EFI, the network.
          bool given = (want <= 6 && want != 5) || want == 14 || (want == 15 && l.p.rsdp_revision) || want == 21;
          if (!given && !optional) l.fail(fmt::format("its Multiboot2 header requires information of type {}, which is not given here", want));
        }
        break;
      case 2: place_by_addresses(l, header, field(0), field(1), field(2), field(3)), placed = true; break;
      case 3: entry = field(0); break;
      case 4: case 5:                                     // console flags, frame buffer
        text = l.p.vga;
        if (!text && !optional) l.image.warnings.push_back(l.r.kernel + ": wants a console or frame buffer; there is no display");
        break;
      case 6: case 7: case 8: case 9: case 10: break;     // alignment, EFI entries, relocation: loaded where it is linked
      default: if (!optional) l.fail(fmt::format("its Multiboot2 header requires tag {}, which is unknown", type));
    }
    if (type == 0) break;
    at += align_up(size, 8);
  }
  u64 base = 0;
  if (!placed) {
    if (!is_elf(f)) l.fail("has a Multiboot2 header without addresses and is not an ELF file; nothing says where it goes");
    Elf e = parse_elf(f, l.r.kernel);
    l.place_elf(e);
    base = e.load.front().paddr;
    for (auto& s : e.load) base = std::min(base, s.paddr);
    if (!entry) entry = e.physical_entry();
  }
  if (!entry) l.fail("has a Multiboot2 header with addresses but without an entry address");
  auto modules = l.place_modules(l.r.modules, true);

  Bytes b;
  b.b64(0);
  auto tag = [&](u32 type, auto body) {
    std::size_t at = b.size();
    b.b32(type);
    b.b32(0);
    body();
    b.put(at + 4, b.size() - at, 4);
    b.align(8);
  };
  tag(1, [&] { b.cstr(command_line(l.r.kernel, l.r.append)); });
  tag(2, [&] { b.cstr(kLoaderName); });
  for (auto& m : modules) tag(3, [&] { b.b32(m.first), b.b32(m.first + m.size), b.cstr(m.command_line); });
  tag(4, [&] { b.b32(mem_lower(l.p)), b.b32(mem_upper(l.p)); });
  tag(6, [&] {
    b.b32(24), b.b32(0);
    for (const E820Range& e : l.p.e820) b.b64(e.first), b.b64(e.size), b.b32(static_cast<u32>(e.type)), b.b32(0);
  });
  for (const Blob& t : build_firmware(l.p))
    if (t.name == "RSDP") {   // the old tag has the 20 bytes of revision 0, which begin the later ones, too
      tag(14, [&] { b.append(std::span<const u8>(t.bytes).first(20)); });
      if (l.p.rsdp_revision) tag(15, [&] { b.append(std::span<const u8>(t.bytes).first(36)); });
    }
  if (text) tag(8, [&] { b.b64(kText), b.b32(160), b.b32(80), b.b32(25), b.b8(16), b.b8(2), b.b16(0); });
  if (base) tag(21, [&] { b.b32(base); });
  tag(0, [] {});
  b.put(0, b.size(), 4);
  u64 at = l.place_low(b.size(), kInfoMin, kInfoEnd);
  l.image.blobs.push_back({Hpa(at), std::move(b.b), "Multiboot2 information"});
  l.image.kernel_kind = "multiboot2";
  l.enter(*entry, kBoot2, static_cast<u32>(at), 0);
}

}  // namespace vt::fw
