// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/judge.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include <fmt/format.h>

#include "cpu/cpuid.hpp"
#include "judge/generate.hpp"

namespace vt::judge {
namespace {

namespace fl = cpu::rflags;
constexpr u64 kCompared = fl::kArith | fl::DF | fl::TF | fl::AC | fl::RF;

bool close(u32 a, u32 b) {
  const float x = std::bit_cast<float>(a), y = std::bit_cast<float>(b);
  if (a == b || (x != x && y != y)) return true;
  const double bound = 1.5 / 4096, d = static_cast<double>(x) - static_cast<double>(y), size = static_cast<double>(y < 0 ? -y : y);
  return (d < 0 ? -d : d) <= 2 * bound * size;
}
/// Numbers of one sign in their order, across powers of two as well.
bool within(u64 am, u16 ase, u64 bm, u16 bse, unsigned ulps) {
  if ((ase ^ bse) & 0x8000) return false;
  const auto place = [](u64 m, unsigned e) { return (static_cast<unsigned __int128>(e ? e - 1 : 0) << 63) + m; };
  const auto a = place(am, ase & 0x7fff), b = place(bm, bse & 0x7fff);
  return (a > b ? a - b : b - a) <= ulps;
}

/// F2XM1: -1 to 1. FYL2XP1: a little less than -(1 - sqrt(1/2)) to sqrt(2) - 1.
bool out_of_range(u64 m, u16 se, bool logarithm) {
  const int e = (se & 0x7fff) - 0x3fff;
  return logarithm ? e >= -2 : e > 0 || (e == 0 && m != u64{1} << 63);
}
constexpr u64 kUserEnd = 0x7fff'ffff'f000;

}  // namespace

Judge::Judge() : data_(kDataSize), stack_(kStackSize) {
  if (!missing().empty()) return;
  Operands o(0x76697472696e65);
  for (auto* area : {&data_, &stack_}) for (u8& b : *area) b = static_cast<u8>(o.bits());
}

void Judge::place(const Case& c) {
  for (auto& [to, from] : {std::pair{kData, &data_}, {kStack, &stack_}}) std::memcpy(Host::at(to), from->data(), from->size()), std::memcpy(model_.at(to), from->data(), from->size());
  for (const Patch& p : c.memory)
    for (auto& [area, size] : {std::pair{kData, kDataSize}, {kStack, kStackSize}}) {
      const u64 first = std::max(p.at, area), last = std::min(p.at + p.bytes.size(), area + size);
      if (first >= last || p.at > first) continue;
      std::memcpy(Host::at(first), p.bytes.data() + (first - p.at), last - first), std::memcpy(model_.at(first), p.bytes.data() + (first - p.at), last - first);
    }
  const u64 at = code_address(c.start);
  const std::size_t n = std::min<u64>(c.code.size(), kCode + kCodeSize - at);
  std::memcpy(Host::at(at), c.code.data(), n), std::memcpy(model_.at(at), c.code.data(), n);
}

std::string Judge::compare(const Case& c, const Outcome& h, const Outcome& m, bool exact) const {
  const cpu::Def& d = cpu::all_rows()[c.row];
  const Mask* mask = mask_of(d);
  std::string what;
  auto differs = [&](const std::string& name, u64 a, u64 b) { if (a != b) what += fmt::format(" {} host {:x} model {:x};", name, a, b); };
  differs("exception", h.vector, m.vector);
  const u8 special = mask ? mask->special : 0;
  if (h.vector == m.vector) {
    // Linux shows programs a protection fault for all that is not theirs.
    const u64 shown = h.vector == 14 && h.cr2 >= kUserEnd ? m.error | 1 : m.error;
    differs("error code", h.error, shown);
    if (h.vector == 14) differs("CR2", h.cr2, m.cr2);
  }
  static constexpr const char* kNames[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"};
  // The manual leaves the upper halves of registers undefined outside 64-bit mode.
  const u64 seen = c.start.code == 2 && h.selectors[cpu::CS] == segment_of(2, cpu::CS).sel ? ~u64{0} : 0xffff'ffff;
  for (unsigned n = 0; n < 16; ++n) differs(kNames[n], h.s.r[n] & (n < 8 ? seen : ~u64{0}), m.s.r[n] & (n < 8 ? seen : ~u64{0}));
  differs("RIP", h.s.rip, m.s.rip);
  static constexpr const char* kSegments[] = {"ES", "CS", "SS", "DS", "FS", "GS"};
  for (unsigned n = 0; n < 6; ++n)  // the return to the handler has made all null selectors 0
    if (h.selectors[n] || m.selectors[n] > 3) differs(kSegments[n], h.selectors[n], m.selectors[n]);
  u64 flags = kCompared;
  // An interrupt of the host's that comes beyond the segment's end faults when it returns there, and that is what its kernel tells of.
  if (c.start.code == 0 && h.s.rip > segment_of(0, cpu::CS).limit) flags &= ~fl::RF;
  const bool executed = h.vector == 3 || h.s.rip != c.start.rip;
  if (mask && !exact && executed) flags &= ~(mask->flags | mask->flags_of_count);
  differs("flags", h.s.flags & flags, m.s.flags & flags);
  const u32 csr = h.vector == 19 && (special & kPrecision) ? ~0x20u : ~0u;
  differs("MXCSR", h.s.mxcsr & csr, m.s.mxcsr & csr);
  for (unsigned n = 0; n < 16; ++n)
    for (unsigned q = 0; q < 4; ++q) {
      const u64 a = h.s.ymm[n][q], b = m.s.ymm[n][q];
      if (mask && mask->approximate && close(static_cast<u32>(a), static_cast<u32>(b)) && close(static_cast<u32>(a >> 32), static_cast<u32>(b >> 32))) continue;
      if (a != b) differs(fmt::format("YMM{}[{}]", n, q), a, b);
    }
  u16 fsw = static_cast<u16>(mask ? ~mask->fsw : 0xffff);
  if (mask && mask->ulps && !(h.s.st[0].se & 0x7fff) && !(m.s.st[0].se & 0x7fff)) fsw &= static_cast<u16>(~0x10u);
  const bool undefined = (special & kDomain) && out_of_range(c.start.st[0].m, c.start.st[0].se, d.name[1] == 'Y');
  differs("FCW", h.s.cw, m.s.cw), differs("FSW", undefined ? 0 : h.s.sw & fsw, undefined ? 0 : m.s.sw & fsw), differs("tags", undefined ? 0 : h.s.tags, undefined ? 0 : m.s.tags);
  for (unsigned n = 0; n < 8; ++n) {
    if (undefined) break;
    const auto &a = h.s.st[n], &b = m.s.st[n];
    if ((a.m == b.m && a.se == b.se) || (mask && mask->ulps && within(a.m, a.se, b.m, b.se, mask->ulps))) continue;
    what += fmt::format(" ST{} host {:04x}:{:016x} model {:04x}:{:016x};", n, a.se, a.m, b.se, b.m);
  }
  for (auto& [area, size] : {std::pair{kData, kDataSize}, {kStack, kStackSize}}) {
    const u8 *a = Host::at(area), *b = const_cast<Model&>(model_).at(area);
    if (std::memcmp(a, b, size) == 0) continue;
    const auto at = static_cast<u64>(std::mismatch(a, a + size, b).first - a);
    what += fmt::format(" memory at {:x} host {:02x} model {:02x};", area + at, a[at], b[at]);
  }
  return what;
}

std::string Judge::describe(const Case& c, const Outcome& h, const Outcome& m) const {
  std::string t = "  code";
  for (u8 b : c.code) t += fmt::format(" {:02x}", b);
  auto state = [](const State& s) {
    std::string v = fmt::format("rip {:x} flags {:x} mxcsr {:x} fcw {:x} fsw {:x} tags {:02x}\n   ", s.rip, s.flags, s.mxcsr, s.cw, s.sw, s.tags);
    for (unsigned n = 0; n < 16; ++n) v += fmt::format(" r{} {:x}", n, s.r[n]);
    v += "\n   ";
    for (unsigned n = 0; n < 8; ++n) v += fmt::format(" st{} {:04x}:{:016x}", n, s.st[n].se, s.st[n].m);
    for (unsigned n = 0; n < 16; ++n) v += fmt::format("\n    ymm{} {:016x}:{:016x}:{:016x}:{:016x}", n, s.ymm[n][3], s.ymm[n][2], s.ymm[n][1], s.ymm[n][0]);
    return v;
  };
  (t += "\n  before: ") += state(c.start);
  for (const Patch& p : c.memory) {
    t += fmt::format("\n    memory {:x}:", p.at);
    for (u8 b : p.bytes) t += fmt::format(" {:02x}", b);
  }
  return t + fmt::format("\n  host: exception {} error {:x} cr2 {:x} ", h.vector, h.error, h.cr2) + state(h.s) + fmt::format("\n  model: exception {} error {:x} cr2 {:x} ", m.vector, m.error, m.cr2) + state(m.s);
}

Result Judge::run(const Class& all, const Options& o) {
  Result r;
  Class c{all.name, all.title, {}, all.code};
  std::set<std::string> lacking;
  for (unsigned n : all.rows) {
    const cpu::Feature f = cpu::all_rows()[n].feature;
    const auto known = cpu::feature_rows();
    const auto it = std::find_if(known.begin(), known.end(), [&](auto& row) { return row.feature == f; });
    if (it == known.end() || f == cpu::Feature::prefetchw || host_.has_cpuid_bit(it->leaf, it->subleaf, it->reg, it->bit)) c.rows.push_back(n);
    else lacking.insert(it->name);
  }
  r.skipped.assign(lacking.begin(), lacking.end());
  if (c.rows.empty()) return r;

  Case now;
  Outcome model;
  u64 number = o.first;
  auto wrong = [&](const std::string& what, const Outcome* host) {
    const cpu::Def& d = cpu::all_rows()[now.row];
    ++r.differences, ++r.by_name[d.name];
    if (r.reports.size() >= o.reports) return;
    std::string t = fmt::format("{} ({}) case {}:{}:{}:{}", d.name, d.opcode, all.name, o.seed, number - 1, what);
    if (host) (t += "\n") += describe(now, *host, model);
    r.reports.push_back(std::move(t));
  };
  const auto next = [&](State& s) {
    for (;;) {
      if (!now.code.empty()) {  // INT3 again where the last one was
        const u64 at = code_address(now.start);
        const std::size_t n = std::min<u64>(now.code.size(), kCode + kCodeSize - at);
        std::memset(Host::at(at), 0xcc, n), std::memset(model_.at(at), 0xcc, n);
        model_.cpu().code_written(model_.physical(at), n);
      }
      if (number == o.first + o.cases) return false;
      now = make_case(c, o.seed, number++);
      place(now);
      ++r.cases;
      State start = now.start;
      if (change_) change_(start);
      if (model_.run(start, static_cast<unsigned>(now.code.size()), model)) break;
      wrong(fmt::format(" the model did not come to an end: {}", model_.trouble()), nullptr);
    }
    s = now.start;
    return true;
  };
  const auto done = [&](const Outcome& host) {
    r.faults += host.vector != 3;
    if (const std::string what = compare(now, host, model, o.exact); !what.empty()) wrong(what, &host);
  };
  host_.run(next, done);
  return r;
}

}  // namespace vt::judge
