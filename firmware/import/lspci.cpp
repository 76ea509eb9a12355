// SPDX-License-Identifier: GPL-2.0-or-later
/// lspci with -nn, -v and -x in any number: ids, BARs, bridges.   PCI Local Bus 3.0 "Configuration Space Organization"
#include <algorithm>
#include <array>

#include "../bytes.hpp"
#include "facts.hpp"

namespace vt::fw::import {
namespace {

struct Seen {
  FunctionFact* f = nullptr;
  std::string name;                         ///< as at the top of its lines
  std::vector<u8> config;                   ///< as far as rows follow each other
  unsigned first = 0, last = 0;             ///< lines of the dump
  std::array<u64, 6> size{};                ///< told by "[size=64K]"
  std::array<unsigned, 6> size_line{};
  bool broken = false, useless = false;
};

struct Lspci {
  Facts& facts;
  const std::string& file;
  Seen now;

  std::string capability(u8 id) const {
    static constexpr const char* kNames[] = {"", "power management", "AGP", "VPD", "slot id", "MSI", "CompactPCI hot swap", "PCI-X", "HyperTransport", "vendor-specific",
                                             "debug port", "CompactPCI control", "hot-plug", "bridge subsystem", "AGP 8x", "secure device", "PCI Express", "MSI-X",
                                             "SATA", "advanced features", "enhanced allocation"};
    return id < std::size(kNames) ? kNames[id] : fmt::format("{:#x}", id);
  }

  void capabilities(FunctionFact& f, const std::string& from) {
    const auto& c = now.config;
    if (c.size() < 0x40 || !(c[6] & 0x10)) return;
    std::string all;
    u8 at = c[0x34] & 0xfc;
    for (unsigned n = 0; at >= 0x40 && n < 48; ++n) {
      if (at + 2u > c.size()) {
        facts.note(Kind::unreadable, from, "{}: the list of capabilities goes on beyond the dump; -xxx shows it", now.name);
        break;
      }
      if (c[at] == 5) f.msi = true;
      else all += (all.empty() ? "" : ", ") + capability(c[at]);
      at = c[at + 1] & 0xfc;
    }
    if (!all.empty()) facts.note(Kind::not_carried, from, "{}: capabilities {}", now.name, all);
    if (c.size() > 256) facts.note(Kind::not_carried, from, "{}: extended configuration space", now.name);
  }

  void bars(FunctionFact& f, const std::string& from) {
    const auto& c = now.config;
    const unsigned slots = f.bridge ? 2 : 6;
    if (c.size() < 0x10 + 4 * slots) {
      facts.note(Kind::unreadable, from, "{}: the dump ends before its BARs do", now.name);
      return;
    }
    for (unsigned i = 0; i < slots; ++i) {
      const u32 raw = static_cast<u32>(get_le(c, 0x10 + 4 * i, 4));
      if (!raw) continue;
      Bar b;
      b.index = i;
      b.source.from = from;
      if (raw & 1) {
        b.kind = PciBar::Kind::io, b.address = raw & ~3u;
      } else {
        b.prefetchable = raw & 8, b.address = raw & ~15u;
        if ((raw >> 1 & 3) == 2 && i + 1 < slots) b.kind = PciBar::Kind::mem64, b.address |= get_le(c, 0x14 + 4 * i, 4) << 32;
      }
      if (now.size[i]) b.size = now.size[i], b.source.from = at(file, now.size_line[i]);
      const bool wide = b.kind == PciBar::Kind::mem64;
      if (b.address) {
        std::erase_if(f.bars, [&](const Bar& o) { return o.index == i && (b.size || !o.size || o.address != b.address); });
        if (std::none_of(f.bars.begin(), f.bars.end(), [&](const Bar& o) { return o.index == i; })) f.bars.push_back(b);
      } else {
        facts.note(Kind::not_carried, from, "{}: BAR {} has no address", now.name, i);
      }
      if (wide) ++i;
    }
  }

  void finish() {
    Seen s = std::move(now);
    now = {};
    if (!s.f) return;
    if (s.config.empty()) {
      if (!s.f->vendor) facts.note(Kind::unreadable, s.f->source.from, "{}: neither ids nor a dump; -nn or -xxx shows them", s.name);
      return;
    }
    now = std::move(s);
    FunctionFact& f = *now.f;
    const std::string from = now.first == now.last ? at(file, now.first) : fmt::format("{}:{}-{}", file, now.first, now.last);
    const auto& c = now.config;
    if (c.size() < 0x10) {
      facts.note(Kind::unreadable, from, "{}: the dump is cut off", now.name);
    } else if (get_le(c, 0, 2) == 0xffff) {
      facts.note(Kind::unreadable, from, "{}: all ones: the function did not answer", now.name);
      facts.pci.erase(f.bdf.v);
    } else {
      f.source.from = from;
      f.vendor = static_cast<u16>(get_le(c, 0, 2)), f.device = static_cast<u16>(get_le(c, 2, 2));
      f.revision = c[8], f.class_code = static_cast<u32>(get_le(c, 9, 3));
      const unsigned type = c[0x0e] & 0x7f;
      f.bridge = type == 1;
      if (type > 1) facts.note(Kind::not_carried, from, "{}: header type {} (CardBus bridge)", now.name, type);
      else bars(f, from);
      if (type == 1 && c.size() >= 0x20) {
        if (c[0x19]) f.secondary = c[0x19];
        else facts.note(Kind::conflict, from, "{}: a bridge without a secondary bus number", now.name);
      }
      if (type == 0 && c.size() >= 0x30) f.subsystem_vendor = static_cast<u16>(get_le(c, 0x2c, 2)), f.subsystem = static_cast<u16>(get_le(c, 0x2e, 2));
      if (c.size() >= 0x40) f.line = c[0x3c], f.pin = c[0x3d];
      if (type == 0 && c.size() >= 0x34 && get_le(c, 0x30, 4) & ~0x7ffull) facts.note(Kind::not_carried, from, "{}: an expansion ROM", now.name);
      capabilities(f, from);
      if (f.bdf == Bdf(0, 0, 0) && *f.vendor == 0x1022 && facts.amd.empty()) facts.amd = from + ": the host bridge is AMD's";
    }
    now = {};
  }

  /// "00:1f.0 ISA bridge [0601]: Intel Corporation ... [8086:2918] (rev 02)"
  bool header(const Line& l) {
    Scan s(l.text);
    u16 segment = 0;
    if (l.text.size() < 9 || l.text[0] == ' ' || l.text[0] == '\t') return false;
    auto b = s.bdf(&segment);
    if (!b || !s.lit(" ") || s.rest().find(": ") == s.rest().npos) return false;
    finish();
    if (segment) {
      facts.note(Kind::not_carried, at(file, l.number), "{}: PCI segment {:#x}", l.text.substr(0, 12), segment);
      now.useless = true;
      return true;
    }
    now.f = &facts.function(*b, at(file, l.number));
    now.name = fmt::format("{:02x}:{:02x}.{}", b->bus(), b->dev(), b->fn());
    // The last [vvvv:dddd], and the first [cccc] before the colon.
    std::string_view t = l.text;
    for (std::size_t i = 0; i + 10 < t.size() + 0; ++i) {
      if (t[i] != '[') continue;
      Scan x(t.substr(i + 1));
      unsigned n = 0, m = 0;
      auto v = x.hex(&n);
      if (!v || n != 4) continue;
      if (x.lit("]")) {
        if (!now.f->class_code) now.f->class_code = static_cast<u32>(*v) << 8;
      } else if (x.lit(":")) {
        auto d = x.hex(&m);
        if (d && m == 4 && x.lit("]")) now.f->vendor = static_cast<u16>(*v), now.f->device = static_cast<u16>(*d);
      }
    }
    Scan rev(t);
    if (rev.find("(rev ")) if (auto v = rev.hex(); v && *v < 256) now.f->revision = static_cast<u8>(*v);
    return true;
  }

  /// "	Region 0: Memory at f7800000 (64-bit, non-prefetchable) [size=4M]", "	Bus: primary=00, secondary=01, subordinate=01, ..."
  void detail(const Line& l) {
    if (!now.f) return;
    Scan s(l.text);
    s.blanks();
    const std::string from = at(file, l.number);
    if (s.lit("Region ")) {
      auto i = s.decimal();
      if (!i || *i > 5 || !s.lit(": ")) return;
      const bool io = s.lit("I/O ports at "), memory = !io && s.lit("Memory at ");
      if (!io && !memory) return;
      auto a = s.hex();
      Scan z = s;
      if (!a) return;                    // <unassigned>, <ignored>
      if (!z.find("[size=")) { facts.note(Kind::unreadable, from, "{}: {}", now.name, l.text); return; }
      auto n = z.decimal();
      unsigned shift = z.lit("K") ? 10 : z.lit("M") ? 20 : z.lit("G") ? 30 : 0;
      if (!n || !*n || *n >> 40 || !z.lit("]")) { facts.note(Kind::unreadable, from, "{}: {}", now.name, l.text); return; }
      now.size[*i] = *n << shift, now.size_line[*i] = l.number;
      if (!*a) return;
      Bar b;
      b.index = static_cast<unsigned>(*i), b.address = *a, b.size = *n << shift, b.source.from = from;
      b.kind = io ? PciBar::Kind::io : contains(s.rest(), "64-bit") ? PciBar::Kind::mem64 : PciBar::Kind::mem32;
      b.prefetchable = memory && !contains(s.rest(), "non-prefetchable");
      std::erase_if(now.f->bars, [&](const Bar& o) { return o.index == b.index; });
      now.f->bars.push_back(b);
    } else if (s.lit("Bus: primary=")) {
      if (s.find("secondary=")) if (auto n = s.hex(); n && *n && *n < 256) now.f->secondary = static_cast<u8>(*n), now.f->bridge = true;
    } else if (s.lit("Capabilities: [")) {
      if (s.find("] MSI: ")) now.f->msi = true;
    }
  }

  bool row(const Line& l) {
    Scan s(l.text);
    unsigned digits = 0;
    auto offset = s.hex(&digits);
    if (!offset || digits < 2 || digits > 3 || *offset % 16 || !s.lit(":")) return false;
    std::vector<u8> bytes;
    unsigned n = 0;
    while (bytes.size() < 16 && s.lit(" ")) {
      auto v = s.hex(&n);
      if (!v || n != 2) break;
      bytes.push_back(static_cast<u8>(*v));
    }
    if (bytes.empty()) return false;
    if (!now.f) return true;
    if (now.broken) return true;
    if (*offset != now.config.size() || (bytes.size() < 16)) {
      facts.note(Kind::unreadable, at(file, l.number), "{}: {}", now.name, *offset != now.config.size() ? "a row of the dump is missing" : "a row of the dump is cut off");
      now.broken = true;
      if (*offset != now.config.size()) return true;
    }
    if (now.config.empty()) now.first = l.number;
    now.last = l.number;
    now.config.insert(now.config.end(), bytes.begin(), bytes.end());
    return true;
  }
};

}  // namespace

void read_lspci(Facts& f, const std::string& file, const std::vector<Line>& lines) {
  Lspci p{f, file, {}};
  for (const Line& l : lines) {
    if (l.xen || l.domain || l.text.empty()) continue;
    if (p.row(l) || p.header(l)) continue;
    if (l.text[0] == '\t' || l.text[0] == ' ') p.detail(l);
  }
  p.finish();
}

}  // namespace vt::fw::import
