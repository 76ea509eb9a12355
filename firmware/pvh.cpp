// SPDX-License-Identifier: GPL-2.0-or-later
/// PVH entry of ELF kernels.   Xen "x86/HVM direct boot ABI", start of day structure
#include <fmt/format.h>

#include "base/bits.hpp"
#include "loader.hpp"

namespace vt::fw {
namespace {

constexpr u32 kPhys32Entry = 18;          // XEN_ELFNOTE_PHYS32_ENTRY
constexpr u32 kStartMagic = 0x336ec578;

}  // namespace

std::optional<u32> pvh_entry(const Elf& e) {
  for (const Elf::Note& n : e.notes)
    if (n.name == "Xen" && n.type == kPhys32Entry && (n.desc.size() == 4 || n.desc.size() == 8))
      return static_cast<u32>(get_le(n.desc, 0, 4));
  return {};
}

void load_pvh(Loading& l, const Elf& e, u32 entry) {
  l.place_elf(e);
  std::vector<Module> files;
  if (!l.r.initrd.empty()) files.push_back({l.r.initrd, ""});
  files.insert(files.end(), l.r.modules.begin(), l.r.modules.end());
  auto modules = l.place_modules(files, false);

  constexpr std::size_t kInfo = 56, kModule = 32, kMap = 24;
  std::size_t mods = kInfo, map = mods + kModule * modules.size(), strings = map + kMap * l.p.e820.size();
  std::size_t size = strings + l.r.append.size() + 1;
  for (auto& m : modules) size += m.command_line.size() + 1;
  u64 at = l.place_low(size, 0x1000, 0x9000);
  Bytes text;
  auto string = [&](std::string_view s) {
    u64 here = at + strings + text.size();
    text.cstr(s);
    return here;
  };
  Bytes b;
  b.b32(kStartMagic);
  b.b32(1);                               // version: has a memory map
  b.b32(0);
  b.b32(modules.size());
  b.b64(modules.empty() ? 0 : at + mods);
  b.b64(string(l.r.append));
  b.b64(firmware_layout(l.p).rsdp);
  b.b64(at + map);
  b.b32(l.p.e820.size());
  b.b32(0);
  for (auto& m : modules) b.b64(m.first), b.b64(m.size), b.b64(m.command_line.empty() ? 0 : string(m.command_line)), b.b64(0);
  for (const E820Range& r : l.p.e820) b.b64(r.first), b.b64(r.size), b.b32(static_cast<u32>(r.type)), b.b32(0);
  b.append(text.b);
  l.image.blobs.push_back({Hpa(at), std::move(b.b), "PVH start information"});
  l.image.kernel_kind = "pvh";
  l.enter(entry, 0, static_cast<u32>(at), 0);
}

}  // namespace vt::fw
