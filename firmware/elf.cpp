// SPDX-License-Identifier: GPL-2.0-or-later
/// ELF32 and ELF64 program headers and notes.   System V ABI "Program Header", "Note Section"
#include <fmt/format.h>

#include "base/bits.hpp"
#include "loader.hpp"

namespace vt::fw {
namespace {

constexpr u16 kEm386 = 3, kEmX86_64 = 62;
constexpr u32 kPtLoad = 1, kPtNote = 4;

const char* machine_name(u64 m) {
  switch (m) {
    case 8: return "MIPS";
    case 20: case 21: return "PowerPC";
    case 22: return "s390";
    case 40: return "ARM";
    case 43: return "SPARC";
    case 50: return "Itanium";
    case 183: return "AArch64";
    case 243: return "RISC-V";
    case 258: return "LoongArch";
  }
  return nullptr;
}

void parse_notes(std::span<const u8> s, std::vector<Elf::Note>& out) {
  std::size_t at = 0;
  while (at + 12 <= s.size()) {
    u64 name = get_le(s, at, 4), desc = get_le(s, at + 4, 4), type = get_le(s, at + 8, 4);
    at += 12;
    u64 name_at = at, desc_at = at + align_up(name, 4);
    if (desc_at > s.size() || desc > s.size() - desc_at || name > s.size()) return;   // not ours to judge
    Elf::Note n;
    n.name.assign(s.begin() + name_at, s.begin() + name_at + name);
    while (!n.name.empty() && n.name.back() == 0) n.name.pop_back();
    n.type = static_cast<u32>(type);
    n.desc.assign(s.begin() + desc_at, s.begin() + desc_at + desc);
    out.push_back(std::move(n));
    at = desc_at + align_up(desc, 4);
  }
}

}  // namespace

bool is_elf(std::span<const u8> f) { return f.size() >= 4 && f[0] == 0x7f && f[1] == 'E' && f[2] == 'L' && f[3] == 'F'; }

Elf parse_elf(std::span<const u8> f, const std::string& file) {
  if (f.size() < 52) throw LoadError(file, "is cut short inside its ELF header; copy or build it again");
  Elf e;
  if (f[4] != 1 && f[4] != 2) throw LoadError(file, fmt::format("is an ELF file of unknown class {}", f[4]));
  if (f[5] != 1) throw LoadError(file, "is a big-endian ELF file; an x86 kernel is needed");
  e.is64 = f[4] == 2;
  u64 machine = get_le(f, 18, 2);
  if (machine != kEm386 && machine != kEmX86_64) {
    const char* name = machine_name(machine);
    throw LoadError(file, fmt::format("is an ELF file for {}; this is an x86 platform, so give an x86 build",
                                      name ? name : fmt::format("machine {}", machine)));
  }
  unsigned w = e.is64 ? 8 : 4;
  if (f.size() < (e.is64 ? 64u : 52u)) throw LoadError(file, "is cut short inside its ELF header; copy or build it again");
  e.entry = get_le(f, 24, w);
  u64 phoff = get_le(f, 24 + w, w), phentsize = get_le(f, e.is64 ? 54 : 42, 2), phnum = get_le(f, e.is64 ? 56 : 44, 2);
  if (phnum && phentsize < (e.is64 ? 56u : 32u)) throw LoadError(file, fmt::format("has program headers of {} bytes: a damaged ELF file", phentsize));
  for (u64 i = 0; i < phnum; ++i) {
    u64 at = phoff + i * phentsize;
    if (phoff > f.size() || at + phentsize > f.size())
      throw LoadError(file, fmt::format("is cut short: program header {} lies beyond its {} bytes; copy or build it again", i, f.size()));
    u64 type = get_le(f, at, 4);
    if (type != kPtLoad && type != kPtNote) continue;
    Elf::Segment s;
    if (e.is64) s = {get_le(f, at + 8, 8), get_le(f, at + 16, 8), get_le(f, at + 24, 8), get_le(f, at + 32, 8), get_le(f, at + 40, 8)};
    else s = {get_le(f, at + 4, 4), get_le(f, at + 8, 4), get_le(f, at + 12, 4), get_le(f, at + 16, 4), get_le(f, at + 20, 4)};
    if (s.offset > f.size() || s.filesz > f.size() - s.offset)
      throw LoadError(file, fmt::format("is cut short: segment {} needs {} bytes from offset {:#x}, the file has {}; copy or build it again",
                                        i, s.filesz, s.offset, f.size()));
    if (type == kPtNote) { parse_notes(f.subspan(s.offset, s.filesz), e.notes); continue; }
    if (s.memsz < s.filesz) throw LoadError(file, fmt::format("segment {} is larger in the file than in memory: a damaged ELF file", i));
    if (s.paddr + s.memsz < s.paddr) throw LoadError(file, fmt::format("segment {} goes beyond 64 bits: a damaged ELF file", i));
    if (s.memsz) e.load.push_back(s);
  }
  return e;
}

u64 Elf::physical_entry() const {
  for (const Segment& s : load)
    if (entry >= s.paddr && entry - s.paddr < s.memsz) return entry;
  for (const Segment& s : load)
    if (entry >= s.vaddr && entry - s.vaddr < s.memsz) return entry - s.vaddr + s.paddr;
  return entry;
}

}  // namespace vt::fw
