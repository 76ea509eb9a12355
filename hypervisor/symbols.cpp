// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor/symbols.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "elf_notes.hpp"

namespace vt::hv {
namespace {

struct ElfFile {
  explicit ElfFile(const std::string& file) : fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd < 0) throw SymbolError(fmt::format("{}: cannot be opened ({}); check the path", file, std::strerror(errno)));
    ::elf_version(EV_CURRENT);
    elf = ::elf_begin(fd, ELF_C_READ, nullptr);
    if (!elf || ::elf_kind(elf) != ELF_K_ELF) {
      close();
      throw SymbolError(file + ": is not an ELF file; symbols are in xen-syms, vmlinux or a *.debug file");
    }
  }
  ~ElfFile() { close(); }
  ElfFile(const ElfFile&) = delete;
  void close() {
    if (elf) ::elf_end(elf);
    if (fd >= 0) ::close(fd);
    elf = nullptr, fd = -1;
  }
  int fd;
  Elf* elf = nullptr;
};

}  // namespace

Symbols Symbols::load(const std::string& file) {
  ElfFile f(file);
  Symbols s;
  s.file_ = file;
  s.build_id_ = build_id_of(f.elf);
  for (Elf_Scn* section = nullptr; (section = ::elf_nextscn(f.elf, section));) {
    GElf_Shdr h;
    if (!::gelf_getshdr(section, &h) || h.sh_type != SHT_SYMTAB || !h.sh_entsize) continue;
    Elf_Data* data = ::elf_getdata(section, nullptr);
    if (!data) continue;
    for (std::size_t i = 0; i < h.sh_size / h.sh_entsize; ++i) {
      GElf_Sym sym;
      if (!::gelf_getsym(data, static_cast<int>(i), &sym) || sym.st_shndx == SHN_UNDEF || sym.st_shndx == SHN_ABS) continue;
      const auto type = GELF_ST_TYPE(sym.st_info);
      if (type != STT_FUNC && type != STT_OBJECT && type != STT_NOTYPE) continue;
      const char* name = ::elf_strptr(f.elf, h.sh_link, sym.st_name);
      if (name && *name && *name != '.') s.symbols_.push_back({sym.st_value, sym.st_size, name});
    }
  }
  if (s.symbols_.empty()) throw SymbolError(file + ": has no symbols (stripped?); give xen-syms, vmlinux or a *.debug file");
  // Among symbols of one address the one with a size goes last: it is the one that is found.
  std::stable_sort(s.symbols_.begin(), s.symbols_.end(), [](const Symbol& a, const Symbol& b) {
    return a.at != b.at ? a.at < b.at : a.size < b.size;
  });
  return s;
}

std::optional<Symbols> Symbols::for_kernel(const std::string& kernel, const std::string& build_id, const std::string& given) {
  if (!given.empty()) {
    Symbols s = load(given);
    if (!build_id.empty() && !s.build_id().empty() && s.build_id() != build_id)
      throw SymbolError(fmt::format("{}: is of another build than {}: build id {} there, {} here; give the symbols of the kernel that runs", given,
                                    kernel, s.build_id(), build_id));
    return s;
  }
  if (build_id.empty()) return {};
  namespace fs = std::filesystem;
  const fs::path at = fs::path(kernel).parent_path();
  std::string stem = fs::path(kernel).filename().string();
  if (stem.ends_with(".gz")) stem.resize(stem.size() - 3);
  std::vector<fs::path> candidates{at / "xen-syms", at / (stem + "-syms"), at / (stem + ".debug"), at / "usr/lib/debug/xen-syms"};
  std::error_code none;
  std::vector<fs::path> debug;
  for (auto& e : fs::directory_iterator(at / "usr/lib/debug", none))
    if (e.is_regular_file(none)) debug.push_back(e.path());
  std::sort(debug.begin(), debug.end());
  candidates.insert(candidates.end(), debug.begin(), debug.end());
  for (auto& c : candidates) {
    if (!fs::is_regular_file(c, none)) continue;
    try {
      if (Symbols s = load(c.string()); s.build_id() == build_id) return s;
    } catch (const SymbolError&) {   // nobody asked for this one
    }
  }
  return {};
}

const Symbols::Symbol* Symbols::covering(u64 address) const {
  auto at = std::upper_bound(symbols_.begin(), symbols_.end(), address, [](u64 a, const Symbol& s) { return a < s.at; });
  if (at == symbols_.begin()) return nullptr;
  const Symbol& s = *--at;
  // Assembly labels have no size: they reach to the next symbol, within reason.
  return (s.size ? address - s.at >= s.size : address - s.at >= 0x10000) ? nullptr : &s;
}

std::string Symbols::name(u64 address) const {
  for (auto& m : moved_)
    if (address - m.delta >= m.first && address - m.delta <= m.last) { address -= m.delta; break; }
  const Symbol* s = covering(address);
  if (!s) return {};
  return address != s->at ? fmt::format("{}+{:#x}", s->name, address - s->at) : s->name;
}

std::optional<u64> Symbols::begin_of(u64 address) const {
  const Symbol* s = covering(address);
  return s ? std::optional(s->at) : std::nullopt;
}

std::vector<Symbols::Symbol> Symbols::within(u64 first, u64 last) const {
  std::vector<Symbol> all;
  for (auto& s : symbols_) if (s.at >= first && s.at <= last) all.push_back(s);
  return all;
}

std::optional<u64> Symbols::find(std::string_view name) const {
  for (auto& s : symbols_) if (s.name == name) return s.at;
  return {};
}

std::vector<Segment> segments_of(const std::string& file) {
  std::vector<Segment> all;
  try {
    ElfFile f(file);
    std::size_t size = 0, count = 0;
    const char* raw = ::elf_rawfile(f.elf, &size);
    if (!raw || ::elf_getphdrnum(f.elf, &count) != 0) return {};
    for (std::size_t n = 0; n < count; ++n) {
      GElf_Phdr h;
      if (!::gelf_getphdr(f.elf, static_cast<int>(n), &h) || h.p_type != PT_LOAD || h.p_offset > size || h.p_filesz > size - h.p_offset) continue;
      const auto* from = reinterpret_cast<const u8*>(raw) + h.p_offset;
      all.push_back({h.p_vaddr, h.p_paddr, {from, from + h.p_filesz}});
    }
  } catch (const SymbolError&) {
  }
  return all;
}

}  // namespace vt::hv
