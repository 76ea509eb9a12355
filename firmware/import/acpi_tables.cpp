// SPDX-License-Identifier: GPL-2.0-or-later
/// ACPI tables: raw files, and hexadecimal as acpidump, xxd and hexdump print it. DMAR, MADT, MCFG, HPET and FADT are decoded.
/// ACPI "ACPI System Description Tables", VT-d "BIOS Considerations", PCI Firmware "MCFG Table Description".
#include <algorithm>
#include <numeric>
#include <span>

#include "../bytes.hpp"
#include "facts.hpp"

namespace vt::fw::import {
namespace {

constexpr std::size_t kHeader = 36;

bool signature(std::span<const u8> b) {
  if (b.size() < 4) return false;
  return std::all_of(b.begin(), b.begin() + 4, [](u8 c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '!'; });
}
bool is_rsdp(std::span<const u8> b) { return b.size() >= 20 && std::string_view(reinterpret_cast<const char*>(b.data()), 8) == "RSD PTR "; }

struct Decoder {
  Facts& f;
  const std::string& from;
  std::span<const u8> b;

  u64 le(std::size_t at, unsigned n) const { return get_le(b, at, n); }
  void unreadable(const char* what) { f.note(Kind::unreadable, from, "{}: {}", std::string_view(reinterpret_cast<const char*>(b.data()), 4), what); }

  /// VT-d "Device Scope Structure"
  std::vector<Scope> scopes(std::size_t at, std::size_t end) {
    std::vector<Scope> out;
    while (at < end) {
      const unsigned length = end - at >= 2 ? b[at + 1] : 0;
      if (length < 6 || length > end - at || length % 2) { unreadable("a device scope does not fit in its structure"); break; }
      Scope s;
      s.source.from = from;
      s.scope.enumeration_id = b[at + 4], s.scope.bus = b[at + 5];
      bool ok = length > 6;
      for (std::size_t i = at + 6; i < at + length; i += 2) {
        s.scope.path.emplace_back(b[i], b[i + 1]);
        ok = ok && b[i] < 32 && b[i + 1] < 8;
      }
      if (b[at] >= 1 && b[at] <= 4 && ok) s.scope.kind = static_cast<DeviceScope::Kind>(b[at]), out.push_back(std::move(s));
      else f.note(Kind::not_carried, from, "DMAR: a device scope of type {}", b[at]);
      at += length;
    }
    return out;
  }

  void dmar() {
    Dmar& d = f.acpi;
    if (b.size() < 48) return unreadable("is cut off");
    if (!d.units.empty()) return;      // a second copy
    tell(d.width, b[36] + 1u, from);
    tell(d.interrupt_remapping, b[37] & 1, from), tell(d.x2apic_opt_out, b[37] >> 1 & 1, from);
    if (b[37] & ~3) f.note(Kind::not_carried, from, "DMAR flags {:#x}", b[37]);
    for (std::size_t at = 48; at < b.size();) {
      const std::size_t length = b.size() - at >= 4 ? le(at + 2, 2) : 0;
      if (length < 4 || length > b.size() - at) return unreadable("a remapping structure is cut off");
      const u64 type = le(at, 2);
      if (type == 0 && length >= 16) {
        if (le(at + 6, 2)) f.note(Kind::not_carried, from, "a DMAR unit of PCI segment {}", le(at + 6, 2));
        else {
          Unit& u = d.units.emplace_back();
          tell(u.address, le(at + 8, 8), from), tell(u.include_all, b[at + 4] & 1, from);
          if (b[at + 5] & 15) f.note(Kind::not_carried, from, "unit {:#x}: a register set of more than one page", le(at + 8, 8));
          u.scopes = scopes(at + 16, at + length);
          u.scopes_told = true;
        }
      } else if (type == 1 && length >= 24) {
        if (le(at + 6, 2)) f.note(Kind::not_carried, from, "an RMRR of PCI segment {}", le(at + 6, 2));
        else if (le(at + 16, 8) < le(at + 8, 8)) unreadable("an RMRR ends before it begins");
        else {
          Region& r = d.regions.emplace_back();
          r.from = from;
          tell(r.first, le(at + 8, 8), from), tell(r.last, le(at + 16, 8), from);
          r.scopes = scopes(at + 24, at + length);
        }
      } else {
        static constexpr const char* kNames[] = {"DRHD", "RMRR", "ATSR", "RHSA", "ANDD", "SATC", "SIDP"};
        f.note(Kind::not_carried, from, "DMAR structure {}", type < 7 ? kNames[type] : fmt::format("of type {}", type));
      }
      at += length;
    }
  }

  void madt() {
    if (b.size() < 44) return unreadable("is cut off");
    unsigned enabled = 0;
    for (std::size_t at = 44; at < b.size();) {
      const unsigned length = b.size() - at >= 2 ? b[at + 1] : 0;
      if (length < 2 || length > b.size() - at) { unreadable("an interrupt controller structure is cut off"); break; }
      if (b[at] == 0 && length >= 8) enabled += le(at + 4, 4) & 1;
      else if (b[at] == 9 && length >= 16) enabled += le(at + 8, 4) & 1;
      else if (b[at] == 1 && length >= 12) f.ioapics.push_back({b[at + 2], le(at + 4, 4), static_cast<u32>(le(at + 8, 4)), {from, {}}});
      at += length;
    }
    if (enabled) f.cpus = Told<unsigned>{enabled, {from, {}}};
  }

  void mcfg() {
    for (std::size_t at = 44; at + 16 <= b.size(); at += 16)
      f.ecams.push_back({le(at, 8), b[at + 10], b[at + 11], static_cast<unsigned>(le(at + 8, 2)), {from, {}}});
    if (b.size() < 60) unreadable("is cut off");
  }

  void hpet() {
    if (b.size() < 52) return unreadable("is cut off");
    if (b[40] == 0) f.hpet = Told<u64>{le(44, 8), {from, {}}};
    else f.note(Kind::not_carried, from, "HPET: its registers are not in memory");
  }

  void fadt() {
    if (b.size() < 80) return unreadable("is cut off");
    auto block = [&](MaybeTold<unsigned>& t, std::size_t at) { if (le(at, 4)) t = Told<unsigned>{static_cast<unsigned>(le(at, 4)), {from, {}}}; };
    block(f.pm_event, 56), block(f.pm_control, 64), block(f.pm_timer, 76);
    if (b.size() >= 113 && le(112, 4) >> 20 & 1) f.note(Kind::not_carried, from, "FADT: a machine of reduced hardware");
  }
};

void table(Facts& f, std::span<const u8> b, const std::string& from) {
  if (is_rsdp(b)) {
    tell(f.rsdp_revision, b[15] >= 2 ? 2u : 0u, from);
    f.raw.push_back({"RSDP", from, {b.begin(), b.begin() + std::min<std::ptrdiff_t>(36, b.size())}});
    return;
  }
  const std::string name(reinterpret_cast<const char*>(b.data()), 4);
  f.tables.emplace(name, from);
  if (name == "FACS") return;    // has no such header
  if (b.size() < kHeader) { f.note(Kind::unreadable, from, "{}: the header is cut off", name); return; }
  const u64 length = get_le(b, 4, 4);
  if (length < kHeader) { f.note(Kind::unreadable, from, "{}: its length is {}", name, length); return; }
  if (length > b.size()) f.note(Kind::unreadable, from, "{}: {} of {} bytes are there", name, b.size(), length);
  else b = b.first(length);
  if (length == b.size() && (std::accumulate(b.begin(), b.end(), 0u) & 0xff)) f.note(Kind::conflict, from, "{}: its checksum is wrong", name);
  if (name == "IVRS" && f.amd.empty()) f.amd = from + ": an IVRS table";
  Decoder d{f, from, b};
  if (name == "DMAR" || name == "XMAR") d.dmar();     // Xen hides it from dom0 under another name
  else if (name == "APIC") d.madt();
  else if (name == "MCFG") d.mcfg();
  else if (name == "HPET") d.hpet();
  else if (name == "FACP") d.fadt();
  else {
    if (name != "XSDT" && name != "RSDT") f.note(Kind::not_carried, from, "ACPI table {} ({} bytes)", name, b.size());
    return;
  }
  f.raw.push_back({name, from, {b.begin(), b.end()}});
}

/// "    0000: 44 4D 41 52 ...  DMAR", "00000000  44 4d 41 52  ...  |DMAR|", "00000000: 444d 4152 ...  DMAR".
struct HexRow { u64 offset; std::vector<u8> bytes; };
std::optional<HexRow> hex_row(std::string_view text) {
  Scan s(text);
  unsigned digits = 0;
  auto offset = s.blanks().hex(&digits);
  if (!offset || digits < 4 || *offset % 16) return {};
  const bool colon = s.lit(":");
  if (!colon && !s.rest().starts_with("  ")) return {};
  HexRow r{*offset, {}};
  while (r.bytes.size() < 16) {
    // A wide gap ends the bytes; hexdump has one of two blanks in the middle.
    unsigned gap = 0;
    Scan t = s;
    while (t.lit(" ") || t.lit("\t")) ++gap;
    if (gap == 0 || (gap > 1 && !r.bytes.empty() && !(gap == 2 && r.bytes.size() == 8 && !colon))) break;
    unsigned n = 0;
    auto v = t.hex(&n);
    if (!v || (n != 2 && n != 4) || t.rest().starts_with("x")) break;
    if (n == 4) r.bytes.push_back(static_cast<u8>(*v >> 8));
    r.bytes.push_back(static_cast<u8>(*v));
    s = t;
  }
  if (r.bytes.empty()) return {};
  return r;
}

}  // namespace

void read_acpi_text(Facts& f, const std::string& file, const std::vector<Line>& lines) {
  std::vector<u8> bytes;
  unsigned begin = 0, last = 0;
  bool broken = false;
  auto finish = [&] {
    if (bytes.size() >= 8 && (signature(bytes) || is_rsdp(bytes))) table(f, bytes, begin == last ? at(file, begin) : fmt::format("{}:{}-{}", file, begin, last));
    bytes.clear();
    broken = false;
  };
  for (const Line& l : lines) {
    Scan title(l.text);
    if (auto sign = l.text.find(" @ "); sign != l.text.npos && sign >= 4 && sign <= 5) {     // "DMAR @ 0x00000000BBECB000"
      finish();
      continue;
    }
    auto row = hex_row(l.text);
    if (!row) continue;
    if (row->offset == 0) {
      finish();
      begin = l.number;
    } else if (bytes.empty() || broken) {
      continue;
    } else if (row->offset != bytes.size()) {
      f.note(Kind::unreadable, at(file, l.number), "hexadecimal dump: offset {:#x} follows {:#x} bytes; lines are missing or mangled", row->offset, bytes.size());
      broken = true;
      continue;
    }
    bytes.insert(bytes.end(), row->bytes.begin(), row->bytes.end());
    last = l.number;
  }
  finish();
}

bool read_acpi_raw(Facts& f, const std::string& file, std::string_view text) {
  std::span<const u8> b(reinterpret_cast<const u8*>(text.data()), text.size());
  auto plausible = [](std::span<const u8> t) {
    if (is_rsdp(t)) return true;
    if (!signature(t) || t.size() < kHeader) return false;
    const u64 n = get_le(t, 4, 4);
    return n >= kHeader && n < (u64{1} << 24) && (t[8] < 32);    // revision: text has letters here
  };
  if (!plausible(b)) return false;
  for (std::size_t at = 0; plausible(b.subspan(at));) {
    auto rest = b.subspan(at);
    const std::size_t length = is_rsdp(rest) ? (rest[15] >= 2 ? 36 : 20) : get_le(rest, 4, 4);
    table(f, rest.first(std::min(length, rest.size())), at ? fmt::format("{}:+{:#x}", file, at) : file);
    if (length >= rest.size()) return true;
    at += length;
    if (!plausible(b.subspan(at))) f.note(Kind::unreadable, fmt::format("{}:+{:#x}", file, at), "what follows the table is none");
  }
  return true;
}

}  // namespace vt::fw::import
