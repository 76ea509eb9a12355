// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory maps in boot logs. ACPI "System Address Map Interfaces". Wanted is the firmware's own: neither what a kernel made of it nor
/// what a hypervisor gives a domain.
#include <algorithm>

#include "facts.hpp"

namespace vt::fw::import {
namespace {

enum class Read : u8 { no, mangled, yes };

std::optional<E820> type_of(std::string_view t, std::string& remark) {
  if (t == "usable" || t.ends_with("System RAM")) return E820::RAM;
  if (t == "reserved" || t == "device reserved") return E820::RESERVED;
  if (t == "soft reserved") { remark = "\"soft reserved\" (EFI specific-purpose memory) is taken as RESERVED"; return E820::RESERVED; }
  if (t == "ACPI data" || t == "ACPI tables") return E820::ACPI;
  if (t == "ACPI NVS" || t == "ACPI NVS storage" || t == "ACPI Non-volatile Storage") return E820::NVS;
  if (t == "unusable" || t == "Unusable memory") return E820::UNUSABLE;
  if (t == "persistent (type 7)" || t == "type 7") return E820::PMEM;
  if (t.starts_with("persistent")) { remark = fmt::format("\"{}\" is taken as PMEM", t); return E820::PMEM; }
  Scan s(t);
  if (s.lit("type ") && s.decimal() && s.end()) { remark = fmt::format("\"{}\" has no name; taken as RESERVED", t); return E820::RESERVED; }
  return {};
}

/// "[0000000000000000, 000000000009fbff] (usable)", last byte;       Xen from 4.14
/// "0000000000000000 - 000000000009fc00 (usable)", first byte after; Xen to 4.13, Linux to 3.4
/// "[mem 0x0000000000000000-0x000000000009fbff] usable", last byte;  Linux from 3.5
Read read_range(std::string_view text, MapRange& r, std::string& remark) {
  Scan s(text);
  s.blanks();
  unsigned a = 0, b = 0;
  std::optional<u64> first, last;
  std::string_view type;
  if (s.lit("[gap ")) return Read::no;
  if (s.lit("[mem ")) {
    if (!(first = s.hex()) || !s.lit("-") || !(last = s.hex()) || !s.lit("]")) return Read::mangled;
    type = s.blanks().rest();
  } else {
    const bool inclusive = s.lit("[");
    first = s.hex(&a);
    if (!first || a < 12) return Read::no;
    if (inclusive ? !s.lit(", ") : !s.lit(" - ")) return s.rest().starts_with("-") || (s.rest().starts_with("]") && !inclusive) ? Read::no : Read::mangled;
    last = s.hex(&b);
    if (!last || a != b || (inclusive && !s.lit("]")) || !s.blanks().lit("(")) return Read::mangled;
    type = s.rest();
    auto close = type.rfind(')');
    if (close == type.npos) return Read::mangled;
    type = type.substr(0, close);
    if (type.find('(') != type.npos && !type.starts_with("persistent")) return Read::mangled;
    if (!inclusive) {
      if (*last == 0 && *first) last = ~u64{0};   // an end of 2^64
      else if (*last == *first) return Read::no;  // empty
      else last = *last - 1;
    }
  }
  auto t = type_of(type, remark);
  if (!t || *last < *first) return Read::mangled;
  r.first = *first, r.last = *last, r.type = *t;
  return Read::yes;
}

/// "Xen-e820 RAM map:", "Initial Multiboot-e820 RAM map:"
std::optional<MemoryMap::Rank> title(std::string_view text, std::string& what) {
  Scan s(text);
  s.blanks();
  MemoryMap::Rank rank = s.lit("Initial ") ? MemoryMap::raw : MemoryMap::usual;
  auto end = s.rest().find(" RAM map");
  if (end == s.rest().npos || !end) return {};
  std::string_view kind = s.rest().substr(0, end);
  if (kind.find(' ') != kind.npos) return {};   // "BIOS-provided physical RAM map"
  if (kind == "TBOOT") rank = MemoryMap::changed;
  what = fmt::format("{}{} RAM map", rank == MemoryMap::raw ? "Initial " : "", kind);
  return rank;
}

}  // namespace

void read_e820(Facts& f, const std::string& file, const std::vector<Line>& lines, bool xen_host, bool under_xen) {
  enum class In : u8 { nothing, host, domain } in = In::nothing;
  bool titles = false, in_xen = false, said_domain = false, fresh = true;
  unsigned strangers = 0, last_range = 0, last_text = 0;
  std::optional<std::size_t> linux_map, changed_map, xen_map;
  auto start = [&](MemoryMap::Rank rank, std::string what, unsigned line) {
    f.maps.push_back({rank, std::move(what), at(file, line), {}});
    return f.maps.size() - 1;
  };
  auto add = [&](std::size_t map, MapRange r, const std::string& remark, unsigned line) {
    r.source.from = at(file, line);
    if (!remark.empty()) f.note(Kind::not_carried, r.source.from, "E820: {}", remark);
    f.maps[map].ranges.push_back(std::move(r));
    last_range = line;
  };
  auto mangled = [&](const Line& l) { last_range = l.number; f.note(Kind::unreadable, at(file, l.number), "E820 range: {}", l.text); };
  auto domain = [&](const Line& l, const char* whose) {
    if (!said_domain) f.note(Kind::ignored, at(file, l.number), "the memory map of {}: not the host's", whose);
    said_domain = true;
  };
  for (const Line& l : lines) {
    if (l.text.empty()) continue;
    last_text = l.number;
    if (l.domain) continue;
    std::string what, remark;
    MapRange r;
    // Linux names each line.
    Scan s(l.text);
    if (contains(l.text, "BIOS-provided physical RAM map")) fresh = true;
    if (s.find("BIOS-e820:") || s.find("BIOS-e801:") || s.find("BIOS-88:")) {
      if ((xen_host && !l.xen) || under_xen) { domain(l, "a domain's Linux"); continue; }
      Read got = read_range(s.rest(), r, remark);
      if (got == Read::mangled) mangled(l);
      if (got != Read::yes) continue;
      if (fresh || !linux_map) linux_map = start(MemoryMap::usual, "BIOS-e820", l.number);
      fresh = false;
      add(*linux_map, r, remark, l.number);
      continue;
    }
    Scan m(l.text);
    if (m.find(" modified: ") || m.lit("modified: ") || m.find("reserve setup_data: ") || m.find(" user: ") || m.lit("user: ") || m.find("extended: ")) {
      if (xen_host || under_xen) continue;
      if (read_range(m.rest(), r, remark) != Read::yes) continue;
      if (!changed_map) changed_map = start(MemoryMap::changed, "a map that the kernel has changed", l.number);
      if (r.first >= (f.maps[*changed_map].ranges.empty() ? 0 : f.maps[*changed_map].ranges.back().first)) add(*changed_map, r, remark, l.number);
      continue;
    }
    if (contains(l.text, "Xen: [mem ")) { domain(l, "a domain's Linux"); continue; }
    // Xen gives a title.
    if (auto rank = title(l.text, what)) {
      in = In::host, titles = true, in_xen = l.xen, strangers = 0;
      xen_map = start(*rank, what, l.number);
      continue;
    }
    if (l.text.ends_with("emory map:") || l.text.ends_with("RAM map:")) {
      in = contains(l.text, "EFI memory map") ? In::nothing : In::domain;
      titles = true, strangers = 0;
      continue;
    }
    Read got = contains(l.text, "[mem ") ? Read::no : read_range(l.text, r, remark);
    if (got == Read::no || (got == Read::mangled && in == In::nothing)) {
      if (in != In::nothing && l.xen == in_xen && ++strangers > (in_xen ? 2u : 8u)) in = In::nothing;
      continue;
    }
    if (in == In::domain) { domain(l, "dom0"); continue; }
    if (in == In::nothing) {
      if (titles || !l.xen) continue;
      xen_map = start(MemoryMap::headless, "a memory map without its title", l.number);
      in = In::host, in_xen = true;
    }
    strangers = 0;
    if (got == Read::mangled) mangled(l);
    else add(*xen_map, r, remark, l.number);
  }
  if (last_range && last_range == last_text) f.note(Kind::unreadable, at(file, last_range), "the file ends inside the memory map: more ranges may have followed");
}

}  // namespace vt::fw::import
