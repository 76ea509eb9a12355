// SPDX-License-Identifier: GPL-2.0-or-later
/// Events through the IDT and transfers between levels as whole tables: which exceptions double, every gate, every stack, every flag that IRET loads.
/// SDM 3A "Interrupt and Exception Handling", "Privilege Levels"; SDM 2 "INT n/INTO/INT3/INT1", "IRET/IRETD/IRETQ", "RET"
#include "harness.hpp"
#include "segments.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
using Bytes = std::vector<u8>;
constexpr u64 kTss = 0xa000, kStack0 = 0x60000, kGdt = TestMachine::kGdt, kIdt = TestMachine::kIdt, kHandlers = TestMachine::kHandlers;

void user(TestMachine& m, unsigned cpl = 3) {
  Cpu& c = *m.cpu;
  c.seg[CS].ar = (c.seg[CS].ar & ~0x60u) | cpl << 5, c.seg[SS].ar = (c.seg[SS].ar & ~0x60u) | cpl << 5;
  c.seg[CS].sel = static_cast<u16>((m.mode == Mode::long64 ? 0x20 : 0x30) | cpl), c.seg[SS].sel = static_cast<u16>(0x28 | cpl);
  c.update();
}
void tss(TestMachine& m, u32 type = 0xb) {
  for (unsigned n = 0; n < 0x80; n += 8) m.poke<u64>(kTss + n, 0);
  m.cpu->tr = {kTss, 0x67, 0x80 | type, 0x38};
  if (m.mode == Mode::long64) {
    for (unsigned n = 0; n < 3; ++n) m.poke<u64>(kTss + 4 + 8 * n, kStack0 + 0x1000 * n);
    for (unsigned n = 0; n < 7; ++n) m.poke<u64>(kTss + 36 + 8 * n, kStack0 + 0x8000 + 0x1000 * n);
  } else if (type & 8) {
    for (unsigned n = 0; n < 3; ++n) m.poke<u32>(kTss + 4 + 8 * n, static_cast<u32>(kStack0 + 0x1000 * n)), m.poke<u16>(kTss + 8 + 8 * n, static_cast<u16>(0x40 + 8 * n + n));
  } else {
    for (unsigned n = 0; n < 3; ++n) m.poke<u16>(kTss + 2 + 4 * n, static_cast<u16>(0xe000 + 0x100 * n)), m.poke<u16>(kTss + 4 + 4 * n, static_cast<u16>(0x40 + 8 * n + n));
  }
  m.cpu->gdtr.limit = 0xff;
  for (unsigned n = 0; n < 3; ++n) {   // stacks at 40H + 8n and code at 60H + 8n, of level n
    m.poke<u64>(kGdt + 0x40 + 8 * n, 0x00cf93000000ffff | u64{n} << 45);
    m.poke<u64>(kGdt + 0x60 + 8 * n, (m.mode == Mode::long64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff) | u64{n} << 45);
  }
}
void gate(TestMachine& m, unsigned v, u8 access, u16 sel, u64 to, unsigned ist = 0, u32 upper = 0) {
  const u64 lo = (to & 0xffff) | u64{sel} << 16 | u64{ist} << 32 | u64{access} << 40 | (to >> 16 & 0xffff) << 48;
  m.poke<u64>(kIdt + (m.mode == Mode::long64 ? 16 : 8) * v, lo);
  if (m.mode == Mode::long64) m.poke<u64>(kIdt + 16 * v + 8, (to >> 32) | u64{upper} << 32);
}
int vector_at(const TestMachine& m) { return m.cpu->rip >= kHandlers && m.cpu->rip < kHandlers + 4096 && m.cpu->rip % 16 == 0 ? static_cast<int>((m.cpu->rip - kHandlers) / 16) : -1; }

// SDM 3A "Interrupt 8-Double Fault Exception (#DF)": #DE, #TS, #NP, #SS and #GP are contributory
TEST(double_faults, every_pair) {
  const auto contributory = [](unsigned v) { return v == 0 || (v >= 10 && v <= 13); };
  for (unsigned first = 0; first < 32; ++first)
    for (unsigned second = 0; second < 32; ++second)
      for (u32 type : {3u, 0u, 4u, 6u}) {   // a hardware exception; an external interrupt, INT n, INT3 or INTO of that vector
        if (first == 8 || second == 2 || second == 1 || (type != 3 && second != GP && second != PF)) continue;
        TestMachine m;
        Cpu& c = *m.cpu;
        c.vmx.idt_vectoring_info = 0x8000'0000 | type << 8 | first;
        c.raise(static_cast<u8>(second));
        c.deliver();
        const bool doubles = type == 3 && (contributory(first) ? contributory(second) : first == 14 && (contributory(second) || second == 14));
        EXPECT_EQ(vector_at(m), doubles ? 8 : static_cast<int>(second)) << first << " then " << second << " type " << type;
      }
  for (unsigned second = 0; second < 32; ++second) {
    TestMachine m;
    m.cpu->vmx.idt_vectoring_info = 0x8000'0b08;
    m.cpu->raise(static_cast<u8>(second));
    m.cpu->deliver();
    EXPECT_EQ(m.stop_.reason(), StopReason::triple_fault) << second;
    EXPECT_EQ(m.cpu->activity, Activity::shutdown);
  }
}

TEST(gates, every_access_byte) {   // SDM 3A "IDT Descriptors", "Flag Usage By Exception- or Interrupt-Handler Procedure"
  for (Mode mode : {Mode::protected32, Mode::long64})
    for (unsigned access = 0; access < 256; ++access)
      for (unsigned cpl : {0u, 3u})
        for (bool software : {true, false}) {
          const unsigned type = access & 0x1f, dpl = access >> 5 & 3;
          if (mode == Mode::protected32 && type == 5) continue;   // task gates: task_test.cpp
          TestMachine m(mode);
          tss(m);
          if (cpl) user(m);
          gate(m, software ? 0x40 : UD, static_cast<u8>(access), mode == Mode::long64 ? 8 : 0x18, 0x8000);
          m.poke<u64>(kGdt + 0x18, 0x00cf9b000000ffff);
          m.poke<u8>(0x8000, 0x90);
          m.cpu->flags |= rflags::IF;
          m.run(software ? Bytes{0xcd, 0x40} : Bytes{0x0f, 0x0b}, 1);
          const bool known = type == 14 || type == 15 || (mode == Mode::protected32 && (type == 6 || type == 7));
          const unsigned v = software ? 0x40 : UD;
          const int want = !known || (software && dpl < cpl) ? GP : access & 0x80 ? -1 : NP;
          EXPECT_EQ(vector_at(m), want) << "access " << std::hex << access << " CPL " << cpl << software;
          if (want >= 0) {
            EXPECT_EQ(m.error_code(), v * 8 + 2 + (software ? 0 : 1)) << std::hex << access;
            continue;
          }
          EXPECT_EQ(m.cpu->rip, 0x8000u);
          EXPECT_EQ((m.cpu->flags & rflags::IF) != 0, (type & 1) != 0) << std::hex << access;
          const unsigned width = mode == Mode::long64 ? 8 : type & 8 ? 4 : 2, n = mode == Mode::long64 || cpl ? 5 : 3;
          const u64 top = cpl ? kStack0 : TestMachine::kStack;
          EXPECT_EQ(m.cpu->r[4], top - width * n) << std::hex << access;
        }
}

TEST(gates, target_offsets) {   // 16-bit gates have 16 bits of it, 64-bit ones 64
  for (u64 to : {u64{0x1'8000}, u64{0xffff'8000'0000'1000}, u64{1} << 47, u64{1} << 46}) {
    TestMachine m;
    gate(m, 0x40, 0x8e, 8, to);
    m.run({0xcd, 0x40}, 1);
    if (to == u64{1} << 47) { EXPECT_EQ(vector_at(m), GP); EXPECT_EQ(m.error_code(), 0u); }
    else { EXPECT_EQ(m.cpu->rip, to); }
  }
  for (u8 access : {0x86, 0x8e}) {
    TestMachine m(Mode::protected32);
    gate(m, 0x40, access, 0x18, 0x1'8000);
    m.run({0xcd, 0x40}, 1);
    EXPECT_EQ(m.cpu->rip, access == 0x86 ? 0x8000u : 0x1'8000u);
  }
  for (u32 limit : {0x7fffu, 0x8000u}) {
    TestMachine m(Mode::protected32);
    m.cpu->gdtr.limit = 0xff;
    m.poke<u64>(kGdt + 0x40, 0x00409b0000000000 | limit);
    gate(m, 0x40, 0x8e, 0x40, 0x8000);
    m.run({0xcd, 0x40}, 1);
    EXPECT_EQ(vector_at(m), limit < 0x8000 ? GP : -1);
  }
  for (Mode mode : {Mode::protected32, Mode::long64})   // the IDT's limit
    for (int off : {-1, 0}) {
      TestMachine m(mode);
      m.cpu->idtr.limit = static_cast<u16>((mode == Mode::long64 ? 16 : 8) * 0x41 - 1 + off);
      m.run({0xcd, 0x40}, 1);
      EXPECT_EQ(vector_at(m), off ? GP : 0x40);
    }
}

TEST(gates, the_upper_half_in_ia32e_mode) {   // bytes 12 to 15 of a gate are reserved and not looked at; the IST has three bits
  for (unsigned ist = 0; ist < 8; ++ist)
    for (unsigned cpl : {0u, 3u})
      for (int limit_off : {-1, 0}) {
        TestMachine m;
        tss(m);
        if (cpl) user(m);
        gate(m, 0x40, 0xee, 8, 0x8000, ist);
        const u64 at = ist ? 36 + 8 * (ist - 1) : 4;
        gate(m, TS, 0x8e, 8, kHandlers + 16 * TS, cpl ? 1 : 0);   // a stack for the refusal
        if (ist == 0 && cpl == 0 && limit_off) continue;
        m.cpu->tr.limit = static_cast<u32>(at + 7 + limit_off);
        m.poke<u8>(0x8000, 0x90);
        m.cpu->r[4] = TestMachine::kStack + 5;
        m.run({0xcd, 0x40}, 1);
        if (limit_off) {
          if (m.cpu->tr.limit >= 36 + 7 || !cpl) { EXPECT_EQ(vector_at(m), TS) << ist << cpl; EXPECT_EQ(m.error_code(), 0x38u); }
          continue;
        }
        const u64 top = ist ? kStack0 + 0x8000 + 0x1000 * (ist - 1) : cpl ? kStack0 : TestMachine::kStack;
        EXPECT_EQ(m.cpu->rip, 0x8000u) << ist << cpl;
        EXPECT_EQ(m.cpu->r[4], top - 40) << ist << cpl;
        EXPECT_EQ(m.peek<u64>(top - 16), TestMachine::kStack + 5);
      }
}

TEST(stacks, of_each_inner_level) {   // SDM 3A "Stack Switching", "Stack Switching in IA-32e Mode"; 16-bit TSSs have their own layout
  for (Mode mode : {Mode::protected32, Mode::long64})
    for (u32 type : {0xbu, 3u})
      for (unsigned to = 0; to < 3; ++to)
        for (int limit_off : {-1, 0}) {
          if (mode == Mode::long64 && type == 3) continue;
          TestMachine m(mode);
          tss(m, type);
          user(m);
          gate(m, 0x40, 0xee, static_cast<u16>(0x60 + 8 * to), 0x8000);
          m.poke<u8>(0x8000, 0x90);
          const u32 last = mode == Mode::long64 ? 4 + 8 * to + 7 : type & 8 ? 4 + 8 * to + 5 : 2 + 4 * to + 3;
          m.cpu->tr.limit = last + static_cast<u32>(limit_off);
          m.run({0xcd, 0x40}, 1);
          if (limit_off) {
            EXPECT_NE(m.cpu->rip, 0x8000u) << to << type;
            continue;
          }
          const u64 top = mode == Mode::long64 || (type & 8) ? kStack0 + 0x1000 * to : 0xe000 + 0x100 * to;
          EXPECT_EQ(m.cpu->rip, 0x8000u) << to << type;
          EXPECT_EQ(m.cpu->r[4], top - (mode == Mode::long64 ? 40 : 20));
          EXPECT_EQ(m.cpu->cpl(), to);
          EXPECT_EQ(m.cpu->seg[CS].sel, 0x60 + 8 * to + to);
          EXPECT_EQ(m.cpu->seg[SS].sel, mode == Mode::long64 ? to : 0x40 + 8 * to + to);
          EXPECT_EQ(m.cpu->seg[SS].dpl(), to);
        }
  for (u64 at : {u64{0x60003}, u64{0x6000f}, u64{0x60010}}) {   // "aligned to 16 bytes"
    TestMachine m;
    tss(m);
    user(m);
    m.poke<u64>(kTss + 4, at);
    gate(m, 0x40, 0xee, 8, 0x8000);
    m.run({0xcd, 0x40}, 1);
    EXPECT_EQ(m.cpu->r[4], (at & ~u64{15}) - 40);
  }
}

TEST(stacks, segments_that_are_refused) {   // #TS of the selector; not present: #SS
  for (unsigned access = 0; access < 256; ++access)
    for (unsigned rpl : {0u, 1u}) {
      TestMachine m(Mode::protected32);
      tss(m);
      user(m);
      m.poke<u64>(kGdt + 0x50, ((access & 0xc) == 4 ? 0x00c0000000000000 : 0x00cf00000000ffff) | u64{access} << 40);   // expand-down ones have their room above
      m.poke<u16>(kTss + 8, static_cast<u16>(0x50 | rpl));
      gate(m, 0x40, 0xee, 0x60, 0x8000);
      // handlers of #TS and #SS at level 3, so that they need no stack
      m.poke<u64>(kGdt + 0x78, 0x00cffb000000ffff);
      for (unsigned v : {TS, SS_}) gate(m, v, 0x8e, 0x78, kHandlers + 16 * v);
      m.poke<u8>(0x8000, 0x90);
      m.run({0xcd, 0x40}, 1);
      const unsigned type = access & 0x1f, dpl = access >> 5 & 3;
      const bool writable = type >= 0x10 && !(type & 8) && (type & 2);
      const int want = !writable || dpl != 0 || rpl != 0 ? static_cast<int>(TS) : access & 0x80 ? -1 : static_cast<int>(SS_);
      EXPECT_EQ(vector_at(m), want) << std::hex << access << rpl;
      if (want >= 0) { EXPECT_EQ(m.error_code(), 0x50u); }
      else { EXPECT_TRUE(m.peek<u8>(kGdt + 0x55) & 1) << "accessed"; }
    }
}

TEST(iret, every_flag_at_every_level) {   // SDM 2 "IRET/IRETD/IRETQ": RETURN-TO-SAME-PRIVILEGE-LEVEL, IA-32e-MODE
  for (Mode mode : {Mode::protected32, Mode::long64})
    for (unsigned cpl = 0; cpl < 4; ++cpl)
      for (unsigned iopl = 0; iopl < 4; ++iopl)
        for (unsigned width = 0; width < 3; ++width)   // 16, 32, 64 bits
          for (bool from_ones : {false, true})
            for (unsigned b = 0; b < 33; ++b) {
              if (width == 2 && mode != Mode::long64) continue;
              if (b == 14 || (b == 17 && mode == Mode::protected32 && width)) continue;   // NT, and VM where it has a meaning: elsewhere
              static TestMachine* machines[2] = {new TestMachine(Mode::protected32), new TestMachine(Mode::long64)};
              TestMachine& m = *machines[mode == Mode::long64];
              Cpu& c = *m.cpu;
              m.enter(mode);
              if (cpl) {
                c.gdtr.limit = 0xff;
                m.poke<u64>(kGdt + 0x70, (mode == Mode::long64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff) | u64{cpl} << 45);
                m.poke<u64>(kGdt + 0x78, 0x00cf93000000ffff | u64{cpl} << 45);
                c.seg[CS].sel = static_cast<u16>(0x70 | cpl), c.seg[CS].ar = (c.seg[CS].ar & ~0x60u) | cpl << 5;
                c.seg[SS].sel = static_cast<u16>(0x78 | cpl), c.seg[SS].ar = (c.seg[SS].ar & ~0x60u) | cpl << 5;
              }
              u64 old = 2 | u64{iopl} << 12;
              if (from_ones) old |= rflags::CF | rflags::ZF | rflags::OF | rflags::IF | rflags::DF | rflags::AC | rflags::ID | rflags::VIF | rflags::VIP;
              c.set_rflags(old);
              c.update();
              const u64 image = b == 32 ? 0 : u64{1} << b;
              const unsigned n = 2u << width;
              const u64 values[] = {0x8000, c.seg[CS].sel, image, 0x7f00, c.seg[SS].sel};
              c.r[4] = 0x7000;
              for (unsigned k = 0; k < 5; ++k) {
                if (n == 2) m.poke<u16>(0x7000 + n * k, static_cast<u16>(values[k]));
                else if (n == 4) m.poke<u32>(0x7000 + n * k, static_cast<u32>(values[k]));
                else m.poke<u64>(0x7000 + n * k, values[k]);
              }
              m.poke<u8>(0x8000, 0x90);
              m.run(width == 0 ? Bytes{0x66, 0xcf} : width == 1 ? Bytes{0xcf} : Bytes{0x48, 0xcf}, 1);
              u64 change = rflags::kArith | rflags::TF | rflags::DF | rflags::NT, v = width == 0 ? image & 0xffff : image;
              if (width) change |= rflags::RF | rflags::AC | rflags::ID;
              if (cpl <= iopl) change |= rflags::IF;
              if (cpl == 0) change |= rflags::IOPL | (width ? rflags::VIF | rflags::VIP : 0);
              EXPECT_EQ(c.rip, 0x8000u) << cpl << iopl << width << " bit " << b;
              EXPECT_EQ(c.rflags(), (old & ~change) | (v & change) | 2) << "CPL " << cpl << " IOPL " << iopl << " width " << width << from_ones << " bit " << b;
              EXPECT_EQ(c.r[4], mode == Mode::long64 ? 0x7f00u : 0x7000 + 3 * n);
            }
}

TEST(returns, drop_segments_that_the_outer_level_may_not_use) {   // SDM 2 "RET": data and nonconforming code of a DPL below the new CPL
  for (bool interrupt_return : {false, true})
    for (unsigned type = 0; type < 16; ++type)
      for (unsigned dpl = 0; dpl < 4; ++dpl)
        for (unsigned s : {ES, DS, FS, GS}) {
          static TestMachine m(Mode::protected32);
          m.enter(Mode::protected32);
          Cpu& c = *m.cpu;
          c.seg[s] = {0x1000, 0xffff'ffff, 0xc090u | type | dpl << 5, 0x10};
          c.r[4] = 0x7000;
          const u32 frame[] = {0x8000, 0x33, interrupt_return ? 2u : 0x7f00u, interrupt_return ? 0x7f00u : 0x2bu, 0x2b};
          m.mem.write(Hpa{0x7000}, frame, sizeof frame, WriteCause::loader);
          m.run(interrupt_return ? Bytes{0xcf} : Bytes{0xcb}, 1);
          ASSERT_EQ(c.cpl(), 3u);
          const bool kept = type >= 12 || dpl == 3;
          EXPECT_EQ(c.seg[s].unusable(), !kept) << type << " DPL " << dpl;
          EXPECT_EQ(c.seg[s].sel, kept ? 0x10u : 0u);
        }
}

TEST(descriptors, each_bit) {   // SDM 3A "Segment Descriptors", "Call Gates", "IDT Descriptors", "64-Bit IDT Gate Descriptors"
  const auto in = [](unsigned b, unsigned first, unsigned last, unsigned to = 0) { return b >= first && b <= last ? u64{1} << (b - first + to) : 0; };
  for (unsigned b = 0; b < 128; ++b) {
    Descriptor d;
    (b < 64 ? d.lo : d.hi) = u64{1} << b % 64;
    EXPECT_EQ(d.type(), in(b, 40, 43)) << b;
    EXPECT_EQ(d.s(), b == 44);
    EXPECT_EQ(d.dpl(), in(b, 45, 46)) << b;
    EXPECT_EQ(d.present(), b == 47);
    EXPECT_EQ(d.l(), b == 53);
    EXPECT_EQ(d.db(), b == 54);
    EXPECT_EQ(d.conforming(), b == 42);
    EXPECT_EQ(d.readable_code(), b == 41);
    EXPECT_EQ(d.ar(), in(b, 40, 47) | in(b, 52, 55, 12)) << b;
    EXPECT_EQ(d.base(), in(b, 16, 39) | in(b, 56, 63, 24) | in(b, 64, 95, 32)) << b;
    EXPECT_EQ(d.limit(), b == 55 ? 0xfffu : in(b, 0, 15) | in(b, 48, 51, 16)) << b;
    EXPECT_EQ(d.gate_selector(), in(b, 16, 31)) << b;
    EXPECT_EQ(d.gate_offset32(), in(b, 0, 15) | in(b, 48, 63, 16)) << b;
    EXPECT_EQ(d.gate_offset64(), in(b, 0, 15) | in(b, 48, 63, 16) | in(b, 64, 95, 32)) << b;
    EXPECT_EQ(d.gate_ist(), in(b, 32, 34)) << b;
    EXPECT_EQ(d.gate_parameters(), in(b, 32, 36)) << b;
    Descriptor c = d;
    c.lo |= u64{1} << 44;
    EXPECT_EQ(c.code(), b == 43);
    EXPECT_EQ(c.data(), b != 43);
    EXPECT_EQ(c.writable_data(), b == 41);
    EXPECT_EQ(c.base(), in(b, 16, 39) | in(b, 56, 63, 24)) << "of code and data 32 bits: " << b;
    c.lo |= u64{1} << 55;
    EXPECT_EQ(c.limit(), ((in(b, 0, 15) | in(b, 48, 51, 16)) << 12) | 0xfff) << b;
  }
  EXPECT_EQ(selector_error(0xffff), 0xfffcu);
  EXPECT_EQ(selector_error(0x13, 1), 0x11u);
  for (u16 s = 0; s < 16; ++s) EXPECT_EQ(null_selector(s), s < 4);
  EXPECT_FALSE(null_selector(0xfffc));
}

TEST(limits, up_and_down_byte_by_byte) {   // SDM 3A "Limit Checking": expand-down segments allow what lies above the limit
  struct { const char* what; Segment s; u64 first, last; } const rows[] = {
      {"up", {0, 0xfff, 0x4093, 0}, 0, 0xfff}, {"up, 4 GiB", {0, 0xffff'ffff, 0xc093, 0}, 0, 0xffff'ffff}, {"up, one byte", {0, 0, 0x4093, 0}, 0, 0}, {"code", {0, 0xfff, 0x409b, 0}, 0, 0xfff},
      {"conforming code", {0, 0xfff, 0x409f, 0}, 0, 0xfff}, {"down, 32 bits", {0, 0xfff, 0x4097, 0}, 0x1000, 0xffff'ffff}, {"down, 16 bits", {0, 0xfff, 0x97, 0}, 0x1000, 0xffff},
      {"down, read-only", {0, 0xfff, 0x4095, 0}, 0x1000, 0xffff'ffff}, {"an LDT", {0, 0xfff, 0x4086, 0}, 0, 0xfff}};
  for (auto& r : rows)
    for (unsigned size : {1u, 2u, 4u, 8u, 16u})
      for (u64 at : {r.first, r.first + 1, r.first - 1, r.last - size + 1, r.last - size + 2, r.last, r.last + 1}) {
        if (at > 0xffff'ffff || (r.s.limit == 0xffff'ffff && at + size - 1 > 0xffff'ffff)) continue;
        const bool good = at >= r.first && at <= r.last && at + size - 1 <= r.last;
        EXPECT_EQ(within(r.s, at, size), good) << r.what << std::hex << " " << at << " " << size;
        if (!r.s.s()) continue;
        TestMachine m(Mode::protected32);
        m.cpu->seg[DS] = r.s;
        m.cpu->update();
        u64 la = 0;
        EXPECT_EQ(m.cpu->linear_seg(DS, at, size, false, la), good && !((r.s.ar & 8) && !(r.s.ar & 2))) << r.what << std::hex << " " << at << " " << size;
        if (!good) { EXPECT_EQ(m.cpu->fault.vector, GP); }
      }
  for (u32 type = 0; type < 16; ++type)   // SDM 3A "Type Checking"
    for (bool write : {false, true})
      for (unsigned s : {SS, DS, ES, FS, GS, CS}) {
        TestMachine m(Mode::protected32);
        m.cpu->seg[s] = {0x1000, 0xffff'ffff, 0xc090 | type, 8};
        if (type & 4 && !(type & 8)) m.cpu->seg[s].limit = 0;
        m.cpu->update();
        u64 la = 0;
        const bool good = type & 8 ? !write && (type & 2) : !write || (type & 2);
        EXPECT_EQ(m.cpu->linear_seg(s, 0x100, 4, write, la), good) << type << write;
        if (good) { EXPECT_EQ(la, 0x1100u); }
        else { EXPECT_EQ(m.cpu->fault.vector, s == SS ? SS_ : GP); EXPECT_EQ(m.cpu->fault.error, 0u); }
        m.cpu->seg[s].ar = 0x1c093;
        EXPECT_FALSE(m.cpu->linear_seg(s, 0x100, 4, false, la)) << "unusable";
      }
}

TEST(call_gates, every_type_and_level) {   // SDM 3A "Accessing a Code Segment Through a Call Gate"
  for (Mode mode : {Mode::protected32, Mode::long64})
    for (bool call : {true, false})
      for (unsigned gate_access = 0x80; gate_access < 0x100; ++gate_access) {
        const unsigned type = gate_access & 0x1f, dpl = gate_access >> 5 & 3;
        if (type >= 16 || (mode == Mode::protected32 && (type == 1 || type == 5 || type == 9))) continue;   // code, data, and tasks: elsewhere
        for (unsigned rpl : {0u, 2u, 3u})
          for (unsigned cpl : {0u, 2u}) {
            TestMachine m(mode);
            tss(m);
            if (cpl) user(m, cpl);
            m.poke<u64>(kGdt + 0x80, 0x8000 | u64{0x60} << 16 | u64{gate_access} << 40);
            m.poke<u64>(kGdt + 0x88, 0);
            if (cpl && !call) m.poke<u64>(kGdt + 0x60, m.peek<u64>(kGdt + 0x60) | u64{4} << 40);   // JMP: conforming
            m.poke<u32>(0x30000, 0), m.poke<u16>(0x30004, static_cast<u16>(0x80 | rpl));
            m.poke<u8>(0x8000, 0x90);
            const u8 digit = call ? 3 : 5;
            m.run(mode == Mode::long64 ? Bytes{0xff, static_cast<u8>(4 | digit << 3), 0x25, 0, 0, 3, 0} : Bytes{0xff, static_cast<u8>(5 | digit << 3), 0, 0, 3, 0}, 1);
            const bool known = type == 12 || (type == 4 && mode == Mode::protected32);
            const bool good = known && dpl >= cpl && dpl >= rpl;
            EXPECT_EQ(vector_at(m), good ? -1 : GP) << std::hex << gate_access << " RPL " << rpl << " CPL " << cpl << call;
            if (!good) { EXPECT_EQ(m.error_code(), 0x80u); continue; }
            EXPECT_EQ(m.cpu->rip, 0x8000u);
            EXPECT_EQ(m.cpu->cpl(), call ? 0u : cpl);
            const unsigned width = mode == Mode::long64 ? 8 : type == 12 ? 4 : 2;
            if (call) { EXPECT_EQ(m.cpu->r[4], (cpl ? kStack0 - 4 * width : TestMachine::kStack - 2 * width)) << std::hex << gate_access; }
          }
      }
}

TEST(code_segments, every_type_that_far_transfers_meet) {   // SDM 3A "Privilege Level Checking When Transferring Program Control Between Code Segments"
  for (Mode mode : {Mode::protected32, Mode::long64})
    for (unsigned access = 0x10; access < 0x100; ++access) {
      if (!(access & 0x10)) continue;
      for (unsigned rpl = 0; rpl < 4; ++rpl)
        for (unsigned how = 0; how < 4; ++how)   // JMP, CALL, RETF, IRET, from level 1
          for (unsigned ld = 0; ld < 4; ++ld) {
            if (ld != (mode == Mode::long64 ? 2u : 1u) && (access & 0xef) != 0xaa) continue;   // L and D with one kind only
            static TestMachine* machines[2] = {new TestMachine(Mode::protected32), new TestMachine(Mode::long64)};
            TestMachine& m = *machines[mode == Mode::long64];
            m.enter(mode);
            tss(m);
            user(m, 1);
            const u64 entry = 0x008f00000000ffff | u64{access} << 40 | u64{ld} << 53;
            m.poke<u64>(kGdt + 0x80, entry);
            m.poke<u64>(kGdt + 0x90, 0x00cf93000000ffff | u64{rpl} << 45);   // a stack for the outer level
            m.poke<u8>(0x8000, 0x90);
            const u16 sel = static_cast<u16>(0x80 | rpl);
            if (how < 2) m.poke<u32>(0x30000, 0x8000), m.poke<u16>(0x30004, sel);
            m.cpu->r[4] = 0x7000;
            const u64 v[] = {0x8000, sel, how == 2 ? 0x7f00u : 2u, how == 2 ? 0x90u | rpl : 0x7f00u, 0x90u | rpl};
            const bool q = mode == Mode::long64;
            for (unsigned k = 0; k < 5; ++k) {
              if (q) m.poke<u64>(0x7000 + 8 * k, v[k]);
              else m.poke<u32>(0x7000 + 4 * k, static_cast<u32>(v[k]));
            }
            const u8 digit = how == 1 ? 3 : 5;
            Bytes code;
            if (how < 2) code = q ? Bytes{0xff, static_cast<u8>(4 | digit << 3), 0x25, 0, 0, 3, 0} : Bytes{0xff, static_cast<u8>(5 | digit << 3), 0, 0, 3, 0};
            else if (q) code = how == 2 ? Bytes{0x48, 0xcb} : Bytes{0x48, 0xcf};
            else code = how == 2 ? Bytes{0xcb} : Bytes{0xcf};
            m.run(code, 1);
            const unsigned type = access & 15, dpl = access >> 5 & 3;
            const bool conforming = type & 4;
            bool good = (type & 8) && !(q && ld == 3);
            if (how < 2) good = good && (conforming ? dpl <= 1 : rpl <= 1 && dpl == 1);
            else good = good && rpl >= 1 && (conforming ? dpl <= rpl : dpl == rpl);
            const int want = !good ? static_cast<int>(GP) : access & 0x80 ? -1 : static_cast<int>(NP);
            ASSERT_EQ(vector_at(m), want) << "access " << std::hex << access << " RPL " << rpl << " way " << how << " L/D " << ld << (q ? " IA-32e" : "");
            if (want >= 0) {
              EXPECT_EQ(m.error_code(), 0x80u);
              continue;
            }
            EXPECT_EQ(m.cpu->rip, 0x8000u);
            EXPECT_EQ(m.cpu->cpl(), how < 2 ? 1 : rpl);
            EXPECT_EQ(m.cpu->seg[CS].sel, 0x80 | (how < 2 ? 1 : rpl));
            EXPECT_TRUE(m.peek<u8>(kGdt + 0x85) & 1) << "accessed";
          }
    }
}

}  // namespace
}  // namespace vt::cpu
