// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/model.hpp"

#include <cstring>

namespace vt::judge {
namespace {
constexpr u64 kPml4 = 0x1000, kPdpt = 0x2000, kPd = 0x3000, kPt = 0x4000, kHighPdpt = 0x5000, kHighPd = 0x6000, kIdt = 0x8000, kGdt = 0x9000, kTss = 0xa000, kLdt = 0xb000, kStackTop = 0x18000, kHandlers = 0x20000;
constexpr u16 kKernelCs = 0x10;
constexpr u64 kHasError = 1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
}  // namespace

Model::Model() {
  mem_.add_ram(Hpa{0}, 8 << 20);
  listener_.owner = this;
  mem_.add_listener(&listener_);
  cpu_ = std::make_unique<cpu::Cpu>(*this, cpu::make_model("server", {}, 1, 46, 1'000'000'000), 0, true);
  auto poke = [&](u64 where, u64 v) { mem_.poke64(Hpa{where}, v, WriteCause::loader); };
  poke(kPml4, kPdpt | 7), poke(kPdpt, kPd | 7), poke(kPd + 8 * (kRegion >> 21), kPt | 7);
  poke(kPml4 + 8 * 511, kHighPdpt | 3), poke(kHighPdpt + 8 * 510, kHighPd | 3), poke(kHighPd, 0xe3);
  const auto area = [&](u64 first, u64 size, u64 rights) {
    for (u64 a = first; a < first + size; a += kPage) poke(kPt + 8 * ((a - kRegion) / kPage), (kPhysical + a - kRegion) | 0x65 | rights);
    std::memset(at(first), 0xcc, size);
  };
  constexpr u64 kNoExecute = u64{1} << 63, kWritable = 2;
  area(kCode, kCodeSize, kWritable), area(kData, kDataSize, kWritable | kNoExecute), area(kReadOnly, kReadOnlySize, kNoExecute), area(kStack, kStackSize, kWritable | kNoExecute);
  for (u64 n = 0; n < 16; ++n) poke(kGdt + 8 * n, kGlobalTable[n]);
  for (unsigned n = 0; n < kLocalSegments.size(); ++n) poke(kLdt + u64{8} * n, local_descriptor(n));
  for (u64 v = 0; v < 256; ++v) {
    const u64 h = kSupervisor + kHandlers + 16 * v;
    poke(kIdt + 16 * v, (h & 0xffff) | u64{kKernelCs} << 16 | u64{v == 3 || v == 4 ? 0xee00u : 0x8e00u} << 32 | (h & 0xffff0000) << 32), poke(kIdt + 16 * v + 8, h >> 32);
    mem_.host()[kHandlers + 16 * v] = 0xf4;
  }
  mem_.poke32(Hpa{kTss + 4}, static_cast<u32>(kSupervisor + kStackTop), WriteCause::loader), mem_.poke32(Hpa{kTss + 8}, static_cast<u32>((kSupervisor + kStackTop) >> 32), WriteCause::loader);
  cpu::Cpu& c = *cpu_;
  namespace cr0 = cpu::cr0;
  namespace cr4 = cpu::cr4;
  c.cr0 = cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::AM | cr0::PG;
  c.cr4 = cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::OSXSAVE | cr4::PAE | cr4::FSGSBASE;
  c.efer = cpu::efer::LME | cpu::efer::LMA | cpu::efer::SCE | cpu::efer::NXE;
  c.cr3 = kPml4, c.xcr0 = 7;
  c.gdtr = {kSupervisor + kGdt, 0x7f}, c.idtr = {kSupervisor + kIdt, 4095};
  c.ldtr.base = kSupervisor + kLdt, c.ldtr.limit = 8 * kLocalSegments.size() - 1, c.ldtr.ar = 0x82, c.ldtr.sel = 0x50;
  c.tr.base = kSupervisor + kTss, c.tr.limit = 0x67, c.tr.ar = 0x8b;
}
Model::~Model() { mem_.remove_listener(&listener_); }

bool Model::run(const State& s, unsigned code_bytes, Outcome& o) {
  cpu::Cpu& c = *cpu_;
  for (unsigned k = 0; k < 6; ++k) c.seg[k] = segment_of(s.code, k);
  std::memcpy(c.r, s.r, sizeof s.r);
  c.rip = s.rip;
  c.set_rflags(s.flags | 0x202);
  c.fpu.cw = s.cw, c.fpu.sw = s.sw, c.fpu.tags = s.tags, c.fpu.mxcsr = s.mxcsr, c.fpu.fop = 0, c.fpu.fip = c.fpu.fdp = 0;
  const unsigned top = s.sw >> 11 & 7;
  for (unsigned n = 0; n < 8; ++n) c.fpu.st[(top + n) & 7] = {s.st[n].m, s.st[n].se};
  std::memcpy(c.fpu.ymm, s.ymm, sizeof s.ymm);
  c.cr2 = 0;
  c.sti_shadow = c.movss_shadow = false, c.pending_debug = 0;
  c.activity = cpu::Activity::active;
  c.update();
  c.code_written(physical(code_address(s)), code_bytes);

  for (u64 steps = 0; c.activity == cpu::Activity::active && steps < 100'000;) {
    if (stop_.requested()) return false;
    steps += c.run(1000);
  }
  const u64 handler = c.rip - 1 - (kSupervisor + kHandlers);
  if (c.activity != cpu::Activity::hlt || c.cpl() != 0 || handler >= 4096 || handler % 16) return false;
  o.vector = static_cast<unsigned>(handler / 16);
  o.error = 0, o.cr2 = c.cr2, o.s.code = s.code;
  u64 frame[6];
  const bool error = o.vector < 32 && kHasError >> o.vector & 1;
  std::memcpy(frame, mem_.host() + (c.r[4] - kSupervisor) - (error ? 0 : 8), sizeof frame);  // without one, the place below is not used
  if (error) o.error = frame[0];
  std::memcpy(o.s.r, c.r, sizeof o.s.r);
  o.s.rip = frame[1], o.s.flags = frame[3], o.s.r[4] = frame[4];
  for (unsigned k = 0; k < 6; ++k) o.selectors[k] = k == cpu::CS ? static_cast<u16>(frame[2]) : k == cpu::SS ? static_cast<u16>(frame[5]) : c.seg[k].sel;
  o.s.cw = c.fpu.cw, o.s.sw = c.fpu.sw, o.s.tags = c.fpu.tags, o.s.mxcsr = c.fpu.mxcsr;
  const unsigned now = c.fpu.sw >> 11 & 7;
  for (unsigned n = 0; n < 8; ++n) o.s.st[n] = {c.fpu.st[(now + n) & 7].m, c.fpu.st[(now + n) & 7].se};
  std::memcpy(o.s.ymm, c.fpu.ymm, sizeof o.s.ymm);
  return true;
}

}  // namespace vt::judge
