// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor/kernel.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "elf_notes.hpp"

namespace vt::hv {
namespace {

constexpr std::size_t kLargest = std::size_t{512} << 20;   // of an unpacked kernel

std::vector<char> read_unpacked(const std::string& file) {
  std::vector<char> out;
  gzFile in = ::gzopen(file.c_str(), "rb");   // reads plain files as they are
  if (!in) return out;
  constexpr unsigned kChunk = 1 << 20;
  for (;;) {
    const std::size_t at = out.size();
    out.resize(at + kChunk);
    const int n = ::gzread(in, out.data() + at, kChunk);
    out.resize(at + static_cast<std::size_t>(std::max(n, 0)));
    if (n <= 0 || out.size() > kLargest) break;
  }
  ::gzclose(in);
  return out;
}

std::string from_notes(Elf_Data* d) {
  if (!d) return {};
  GElf_Nhdr note;
  std::size_t name = 0, desc = 0, at = 0;
  while (at < d->d_size && (at = ::gelf_getnote(d, at, &note, &name, &desc)) > 0) {
    const auto* bytes = static_cast<const unsigned char*>(d->d_buf);
    if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || std::string_view(static_cast<const char*>(d->d_buf) + name, 3) != "GNU") continue;
    std::string id;
    for (std::size_t i = 0; i < note.n_descsz; ++i) id += fmt::format("{:02x}", bytes[desc + i]);
    return id;
  }
  return {};
}

}  // namespace

std::string build_id_of(Elf* elf) {
  std::size_t n = 0;
  if (::elf_getphdrnum(elf, &n) == 0)
    for (std::size_t i = 0; i < n; ++i) {
      GElf_Phdr p;
      if (!::gelf_getphdr(elf, static_cast<int>(i), &p) || p.p_type != PT_NOTE) continue;
      if (auto id = from_notes(::elf_getdata_rawchunk(elf, static_cast<i64>(p.p_offset), p.p_filesz, ELF_T_NHDR)); !id.empty()) return id;
    }
  for (Elf_Scn* s = nullptr; (s = ::elf_nextscn(elf, s));) {
    GElf_Shdr h;
    if (!::gelf_getshdr(s, &h) || h.sh_type != SHT_NOTE) continue;
    if (auto id = from_notes(::elf_getdata(s, nullptr)); !id.empty()) return id;
  }
  return {};
}

Kernel inspect_kernel(const std::string& file) {
  Kernel k;
  std::vector<char> bytes = read_unpacked(file);
  ::elf_version(EV_CURRENT);
  Elf* elf = bytes.empty() ? nullptr : ::elf_memory(bytes.data(), bytes.size());
  if (!elf) return k;
  if (::elf_kind(elf) == ELF_K_ELF) {
    k.build_id = build_id_of(elf);
    // The line that every build prints first.
    static constexpr std::string_view kBanner = "Xen version %d.%d%s (";
    if (std::string_view(bytes.data(), bytes.size()).find(kBanner) != std::string_view::npos) k.kind = Kind::xen;
  }
  ::elf_end(elf);
  return k;
}

const char* kind_name(Kind k) { return k == Kind::xen ? "xen" : "unknown"; }

}  // namespace vt::hv
