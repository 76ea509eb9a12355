// SPDX-License-Identifier: GPL-2.0-or-later
/// What the modes and privilege levels make of one instruction: flags, ports, selectors, descriptor tables, far transfers of 8086 programs.
/// SDM 2 by the instructions' names; SDM 3B "8086 Emulation"; SDM 1 "I/O Permission Bit Map"
#include "harness.hpp"
#include "segments.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
using Bytes = std::vector<u8>;
constexpr u64 kTss = 0xa000, kStack0 = 0x60000, kData = TestMachine::kData, kGdt = TestMachine::kGdt;

enum class Kind { real, vm86, level0, level1, level3, long0, long3 };
constexpr Kind kKinds[] = {Kind::real, Kind::vm86, Kind::level0, Kind::level1, Kind::level3, Kind::long0, Kind::long3};
bool is_long(Kind k) { return k == Kind::long0 || k == Kind::long3; }
unsigned level(Kind k) { return k == Kind::level1 ? 1 : k == Kind::level3 || k == Kind::long3 || k == Kind::vm86 ? 3 : 0; }

struct Machine : TestMachine {
  explicit Machine(Kind k, std::vector<std::string> features = {}) : TestMachine(k == Kind::real ? Mode::real : is_long(k) ? Mode::long64 : Mode::protected32, std::move(features)), kind(k) {
    Cpu& c = *cpu;
    start_ = c;
    if (k == Kind::real) return;
    if (mode == Mode::long64) poke<u64>(kTss + 4, kStack0);
    else poke<u32>(kTss + 4, kStack0), poke<u16>(kTss + 8, 0x10);
    poke<u16>(kTss + 102, 0xffff);
    c.tr = {kTss, 0x67, 0x8b, 0x38};
    c.gdtr.limit = 0xff;
    const unsigned cpl = level(k);
    if (k == Kind::vm86) {
      for (auto& s : c.seg) s = {0, 0xffff, 0xf3, 0};
      c.seg[CS] = {kCode, 0xffff, 0xf3, kCode >> 4};
      c.flags |= rflags::VM;
      c.r[4] = 0xf000;
      mode = Mode::real;   // so that code is placed and begun as there
    } else if (cpl) {
      c.seg[CS].ar |= cpl << 5, c.seg[SS].ar |= cpl << 5;
      c.seg[CS].sel = static_cast<u16>(c.seg[CS].sel | cpl), c.seg[SS].sel = static_cast<u16>(c.seg[SS].sel | cpl);
    }
    c.update();
    start_ = c;
  }
  /// As it was when it was made, but for memory.
  void again() {
    static_cast<CpuState&>(*cpu) = start_;
    if (kind != Kind::real) poke<u16>(kTss + 102, 0xffff);
    cpu->update();
  }
  /// -1: the instruction has completed; else the vector whose handler is next.
  int step(const Bytes& code) {
    run(code, 1);
    const u64 at = (cpu->protected_mode() && cpu->long_mode() ? 0 : cpu->seg[CS].base) + cpu->rip;
    return at >= kHandlers && at < kHandlers + 4096 && at % 16 == 0 ? static_cast<int>((at - kHandlers) / 16) : -1;
  }
  Kind kind;

 private:
  CpuState start_;
};
/// One machine of each kind, to begin with again and again.
struct Machines {
  Machine& operator()(Kind k) {
    auto& m = made[static_cast<unsigned>(k)];
    if (m) m->again();
    else m = std::make_unique<Machine>(k);
    return *m;
  }
  std::unique_ptr<Machine> made[7];
};

// --- IF and its virtual forms ------------------------------------------------------------------------------------------

enum class Who { real_flag, virtual_flag, refused };
Who who(Kind k, unsigned iopl, bool vme, bool pvi) {
  if (k == Kind::real) return Who::real_flag;
  if (k == Kind::vm86) return iopl == 3 ? Who::real_flag : vme ? Who::virtual_flag : Who::refused;
  if (level(k) <= iopl) return Who::real_flag;
  return level(k) == 3 && pvi ? Who::virtual_flag : Who::refused;
}

TEST(interrupt_flag, cli_and_sti_everywhere) {   // SDM 2 "CLI", "STI": their decision tables
  Machines machines;
  for (Kind k : kKinds)
    for (unsigned iopl = 0; iopl < 4; ++iopl)
      for (unsigned bits = 0; bits < 32; ++bits)   // VME, PVI, VIP, set before, STI
        for (bool sti : {false, true}) {
          const bool vme = bits & 1, pvi = bits & 2, vip = bits & 4, was = bits & 8;
          if (bits & 16) continue;
          Machine& m = machines(k);
          Cpu& c = *m.cpu;
          c.cr4 |= (vme ? cr4::VME : 0) | (pvi ? cr4::PVI : 0);
          c.flags |= u64{iopl} << 12 | (vip ? rflags::VIP : 0) | (was ? rflags::IF | rflags::VIF : 0);
          c.update();
          const u64 before = c.rflags();
          const Who w = who(k, iopl, vme, pvi);
          const bool refused = w == Who::refused || (w == Who::virtual_flag && sti && vip);
          const int got = m.step({static_cast<u8>(sti ? 0xfb : 0xfa)});
          ASSERT_EQ(got, refused ? GP : -1) << static_cast<int>(k) << " IOPL " << iopl << " " << bits << sti;
          if (refused) continue;
          const u64 f = w == Who::real_flag ? rflags::IF : rflags::VIF;
          EXPECT_EQ(c.rflags(), sti ? before | f : before & ~f) << static_cast<int>(k) << " IOPL " << iopl << " " << bits << sti;
          EXPECT_EQ(c.sti_shadow, sti && w == Who::real_flag && !was) << static_cast<int>(k) << " IOPL " << iopl << " " << bits;
        }
}

TEST(interrupt_flag, popf_everywhere) {   // SDM 2 "POPF/POPFD/POPFQ": the table of what it changes
  Machines machines;
  constexpr u64 kAlways = rflags::kArith | rflags::TF | rflags::DF | rflags::NT;
  for (Kind k : kKinds)
    for (unsigned iopl = 0; iopl < 4; ++iopl)
      for (bool vme : {false, true})
        for (bool vip : {false, true})
          for (bool narrow : {false, true})
            for (bool from_ones : {false, true})
              for (unsigned b = 0; b < 24; ++b) {   // 23: no bit
                if (from_ones && b == 8) continue;
                const u64 image = b == 23 ? 0 : u64{1} << b;
                Machine& m = machines(k);
                Cpu& c = *m.cpu;
                c.cr4 |= vme ? cr4::VME : 0;
                u64 old = 2 | u64{iopl} << 12 | (vip ? rflags::VIP : 0) | (k == Kind::vm86 ? rflags::VM : 0);
                if (from_ones) old |= rflags::CF | rflags::ZF | rflags::OF | rflags::IF | rflags::DF | rflags::NT | rflags::AC | rflags::ID | rflags::VIF | rflags::RF;
                c.set_rflags(old);
                c.update();
                const u64 sp = c.r[4] - 8;
                c.r[4] = sp;
                m.poke<u64>((k == Kind::real || k == Kind::vm86 ? 0 : c.seg[SS].base) + sp, image);
                const bool small = k == Kind::real || k == Kind::vm86;   // their default is 16 bits
                const bool w16 = narrow != small;
                const bool refused = k == Kind::vm86 && iopl < 3 && (!w16 || !vme || (image & rflags::TF) || ((image & rflags::IF) && vip));
                // in a 16-bit image the upper flags are not there
                u64 change = kAlways | (w16 ? 0 : rflags::AC | rflags::ID);
                u64 v = image & (w16 ? 0xffff : ~u64{0});
                if (k == Kind::vm86) {
                  if (iopl == 3) change |= rflags::IF;
                  else change |= rflags::VIF, v = (v & ~rflags::VIF) | (v & rflags::IF ? rflags::VIF : 0);
                } else if (k == Kind::real || level(k) == 0) {
                  change |= rflags::IF | rflags::IOPL;
                } else if (level(k) <= iopl) {
                  change |= rflags::IF;
                }
                const int got = m.step(narrow ? Bytes{0x66, 0x9d} : Bytes{0x9d});
                ASSERT_EQ(got, refused ? GP : -1) << static_cast<int>(k) << " IOPL " << iopl << vme << vip << narrow << " bit " << b;
                if (refused) continue;
                EXPECT_EQ(c.rflags(), ((old & ~change) | (v & change) | 2) & ~rflags::RF) << static_cast<int>(k) << " IOPL " << iopl << vme << vip << narrow << from_ones << " bit " << b;
                EXPECT_EQ(c.r[4], sp + (w16 ? 2 : is_long(k) ? 8 : 4));
              }
}

TEST(interrupt_flag, pushf_everywhere) {   // SDM 2 "PUSHF/PUSHFD/PUSHFQ"
  Machines machines;
  for (Kind k : kKinds)
    for (unsigned iopl = 0; iopl < 4; ++iopl)
      for (bool vme : {false, true})
        for (bool narrow : {false, true})
          for (unsigned flags = 0; flags < 4; ++flags) {   // IF, VIF
            Machine& m = machines(k);
            Cpu& c = *m.cpu;
            c.cr4 |= vme ? cr4::VME : 0;
            const u64 old = u64{0x8d7} | u64{iopl} << 12 | (flags & 1 ? rflags::IF : 0) | (flags & 2 ? rflags::VIF : 0) | rflags::AC | rflags::ID | (k == Kind::vm86 ? rflags::VM : 0);
            c.set_rflags(old | rflags::RF);
            c.update();
            const u64 sp = c.r[4];
            const bool small = k == Kind::real || k == Kind::vm86, w16 = narrow != small;
            const bool refused = k == Kind::vm86 && iopl < 3 && (!w16 || !vme);
            ASSERT_EQ(m.step(narrow ? Bytes{0x66, 0x9c} : Bytes{0x9c}), refused ? GP : -1) << static_cast<int>(k) << iopl << vme << narrow;
            if (refused) continue;
            u64 want = old & ~rflags::VM;
            if (k == Kind::vm86 && iopl < 3) want = (want & ~rflags::IF) | rflags::IOPL | (flags & 2 ? rflags::IF : 0);
            const unsigned n = w16 ? 2 : is_long(k) ? 8 : 4;
            EXPECT_EQ(c.r[4], sp - n);
            EXPECT_EQ(m.peek<u64>(sp - n) & (n == 8 ? ~u64{0} : mask(8 * n - 1, 0)), want & mask(8 * n - 1, 0)) << static_cast<int>(k) << iopl << vme << narrow << flags;
          }
}

// --- ports ---------------------------------------------------------------------------------------------------------------

TEST(ports, who_may) {   // SDM 1 "I/O Privilege Level", "I/O Permission Bit Map"
  for (Kind k : kKinds)
    for (unsigned iopl = 0; iopl < 4; ++iopl)
      for (unsigned type = 0; type < 16; ++type)
        for (bool forbidden : {false, true}) {
          Machine m(k);
          Cpu& c = *m.cpu;
          c.flags |= u64{iopl} << 12;
          if (k != Kind::real) {
            c.tr = {kTss, 0x67 + 0x20, 0x80 | type, 0x38};
            m.poke<u16>(kTss + 102, 0x68);
            for (unsigned n = 0; n < 0x21; ++n) m.poke<u8>(kTss + 0x68 + n, forbidden && n == 0x10 ? 1 : 0);   // port 80H
          }
          c.update();
          const bool free = k == Kind::real || (k != Kind::vm86 && level(k) <= iopl);
          const bool good = free || ((type == 9 || type == 11) && !forbidden);
          c.r[2] = 0x80;
          m.last_port = 0;
          const bool gp_needs_stack = !free && k != Kind::long3 && type != 9 && type != 11 && k != Kind::vm86;
          const int got = m.step({0xec});
          EXPECT_EQ(m.last_port == 0x80, good) << static_cast<int>(k) << " IOPL " << iopl << " TSS type " << type << forbidden;
          if (!gp_needs_stack && (type & 8)) { EXPECT_EQ(got, good ? -1 : GP) << static_cast<int>(k) << " IOPL " << iopl << " TSS type " << type; }
        }
}

TEST(ports, each_bit_and_the_maps_end) {   // two bytes are read, and both have to lie within the limit
  Machines machines;
  for (unsigned size : {1u, 2u, 4u})
    for (unsigned port = 0x78; port < 0x90; ++port)
      for (unsigned bit = 0x78; bit < 0x98; ++bit) {
        Machine& m = machines(Kind::long3);
        Cpu& c = *m.cpu;
        c.tr.limit = 0x68 + 0x20;
        m.poke<u16>(kTss + 102, 0x68);
        for (unsigned n = 0; n < 0x20; ++n) m.poke<u8>(kTss + 0x68 + n, n == bit / 8 ? static_cast<u8>(1u << bit % 8) : 0);
        c.r[2] = port;
        m.last_port = 0;
        m.step(size == 1 ? Bytes{0xec} : size == 2 ? Bytes{0x66, 0xed} : Bytes{0xed});
        EXPECT_EQ(m.last_port == port, bit < port || bit >= port + size) << size << " bytes at " << port << ", bit " << bit;
      }
  struct { u32 limit; u16 map; u16 port; bool good; } const rows[] = {
      {0x68 + 0x10, 0x68, 0x80, false}, {0x68 + 0x11, 0x68, 0x80, true}, {0x68 + 0x11, 0x68, 0x87, true}, {0x68 + 0x11, 0x68, 0x88, false}, {0x66, 0x10, 0x80, false}, {0x67, 0x10, 0x80, true},
      {0x67, 0x66, 0x00, true}, {0x67, 0x66, 0x01, false}, {0x68, 0x67, 0, true}, {0x67, 0xffff, 0, false}, {0x2067, 0x68, 0xfff8, false}, {0x2069, 0x68, 0xffff, true}};
  for (auto& r : rows) {
    Machine& m = machines(Kind::long3);
    m.cpu->tr.limit = r.limit;
    m.poke<u16>(kTss + 102, r.map);
    for (unsigned n = 0x68; n < 0x206a; ++n) m.poke<u8>(kTss + n, 0);
    m.cpu->r[2] = r.port;
    m.last_port = 0xeeee;
    m.poke<u16>(kTss + 102, r.map);
    m.step({0xec});
    EXPECT_EQ(m.last_port == r.port, r.good) << std::hex << r.limit << " " << r.map << " " << r.port;
  }
  for (u32 ar : {0x8bu, 0x0bu, 0x1008bu}) {   // not present, unusable
    Machine& m = machines(Kind::long3);
    m.cpu->tr.ar = ar, m.cpu->tr.limit = 0x100;
    m.poke<u16>(kTss + 102, 0x68);
    for (unsigned n = 0; n < 0x20; ++n) m.poke<u8>(kTss + 0x68 + n, 0);
    m.cpu->r[2] = 0x80, m.last_port = 0;
    m.step({0xec});
    EXPECT_EQ(m.last_port == 0x80, ar == 0x8b) << std::hex << ar;
  }
}

// --- LLDT, LTR, descriptor-table registers ---------------------------------------------------------------------------------

struct Asked { int vector; u64 error; };
Asked load_system(Machine& m, bool task, bool memory, u16 sel) {
  m.cpu->r[1] = sel, m.cpu->r[3] = kData;
  m.poke<u16>(kData, sel);
  const u8 digit = task ? 3 : 2;
  const int v = m.step({0x0f, 0x00, static_cast<u8>((memory ? 0x03 : 0xc1) | digit << 3)});
  return {v, v < 0 ? 0 : m.error_code()};
}
TEST(system_segments, every_type) {   // SDM 2 "LLDT", "LTR"
  Machines machines;
  for (Kind k : {Kind::level0, Kind::long0})
    for (bool task : {false, true})
      for (bool memory : {false, true})
        for (unsigned access = 0; access < 256; ++access)
          for (unsigned rpl : {0u, 3u}) {
            Machine& m = machines(k);
            m.poke<u64>(kGdt + 0x70, 0x0000'0012'3456'789a | u64{access} << 40 | u64{0x80} << 56);
            m.poke<u64>(kGdt + 0x78, is_long(k) ? 0xffff'8000 : 0);
            const Segment old = task ? m.cpu->tr : m.cpu->ldtr;
            const unsigned type = access & 15;
            const bool good = !(access & 0x10) && (task ? type == 9 || (type == 1 && !is_long(k)) : type == 2), there = access & 0x80;
            const Asked a = load_system(m, task, memory, static_cast<u16>(0x70 | rpl));
            EXPECT_EQ(a.vector, !good ? GP : !there ? NP : -1) << "access " << std::hex << access << task << memory;
            const Segment& now = task ? m.cpu->tr : m.cpu->ldtr;
            if (a.vector >= 0) {
              EXPECT_EQ(a.error, 0x70u);
              EXPECT_EQ(now.sel, old.sel);
              continue;
            }
            EXPECT_EQ(now.sel, 0x70 | rpl);
            EXPECT_EQ(now.base, (is_long(k) ? 0xffff'8000'0000'0000 : 0) | 0x8012'3456);
            EXPECT_EQ(now.limit, 0x789au);
            EXPECT_EQ(now.ar, access | (task ? 2u : 0u));
            EXPECT_EQ(m.peek<u8>(kGdt + 0x75), access | (task ? 2u : 0u)) << "busy";
          }
}
TEST(system_segments, selectors_and_halves) {
  Machines machines;
  for (Kind k : {Kind::level0, Kind::long0})
    for (bool task : {false, true})
      for (bool memory : {false, true}) {
        const auto fresh = [&] {
          Machine* m = &machines(k);
          m->poke<u64>(kGdt + 0x70, 0x0000'8200'0000'0067 | (task ? u64{0xb} << 40 : 0));
          if (task) m->poke<u8>(kGdt + 0x75, 0x89);
          m->poke<u64>(kGdt + 0x78, 0);
          return m;
        };
        for (u16 null : {0, 1, 3}) {
          auto m = fresh();
          m->cpu->ldtr = {1, 2, 0x82, 0x70};
          const Asked a = load_system(*m, task, memory, null);
          EXPECT_EQ(a.vector, task ? GP : -1);
          EXPECT_EQ(a.error, 0u);
          if (!task) { EXPECT_TRUE(m->cpu->ldtr.unusable()); EXPECT_EQ(m->cpu->ldtr.sel, null); }
        }
        struct { u16 sel; u16 limit; int long_, legacy; } const rows[] = {
            {0x70, 0xff, -1, -1}, {0x74, 0xff, GP, GP}, {0x70, 0x76, GP, GP}, {0x70, 0x77, GP, -1}, {0x70, 0x7e, GP, -1}, {0x70, 0x7f, -1, -1}, {0xfff8, 0xff, GP, GP}};
        for (auto& r : rows) {
          auto m = fresh();
          m->cpu->gdtr.limit = r.limit;
          m->cpu->ldtr = {kGdt, 0xff, 0x82, 0x70};   // an LDT in which the selector would name one
          const Asked a = load_system(*m, task, memory, r.sel);
          EXPECT_EQ(a.vector, is_long(k) ? r.long_ : r.legacy) << std::hex << r.sel << " " << r.limit << task;
          if (a.vector >= 0) { EXPECT_EQ(a.error, r.sel & 0xfffcu); }
        }
        for (unsigned b = 0; b < 64; ++b) {   // the upper half: base 63:32, a type that must be 0 in 44:40
          auto m = fresh();
          m->poke<u64>(kGdt + 0x78, u64{1} << b);
          const Asked a = load_system(*m, task, memory, 0x70);
          const bool refused = is_long(k) && ((b >= 40 && b <= 44) || (b >= 15 && b < 32));   // or no canonical base
          EXPECT_EQ(a.vector, refused ? GP : -1) << b << task;
        }
      }
}

TEST(descriptor_tables, widths_in_each_mode) {   // SDM 2 "LGDT/LIDT", "SGDT", "SIDT"
  for (Kind k : {Kind::real, Kind::level0, Kind::long0})
    for (bool idt : {false, true})
      for (bool narrow : {false, true}) {
        Machine m(k);
        Cpu& c = *m.cpu;
        const u64 base = 0xffff'8000'89ab'cdef;
        m.poke<u16>(0x500, 0x1234), m.poke<u64>(0x502, base);
        c.r[3] = 0x500;
        Bytes code = narrow ? Bytes{0x66} : Bytes{};
        const u8 mem = static_cast<u8>(k == Kind::real ? 0x07 : 0x03);   // [bx], [ebx], [rbx]
        Bytes load = code, save = code;
        load.insert(load.end(), {0x0f, 0x01, static_cast<u8>(mem | (idt ? 3 : 2) << 3)});
        save.insert(save.end(), {0x0f, 0x01, static_cast<u8>(mem | (idt ? 1 : 0) << 3)});
        ASSERT_EQ(m.step(load), -1);
        const bool w16 = (k == Kind::real) != narrow;   // operand size of 16 bits: 24 of the base
        const u64 want = is_long(k) ? base : w16 ? base & 0xff'ffff : base & 0xffff'ffff;
        const TableReg t = idt ? c.idtr : c.gdtr;
        EXPECT_EQ(t.limit, 0x1234u);
        EXPECT_EQ(t.base, want);
        for (unsigned n = 0; n < 12; ++n) m.poke<u8>(0x520 + n, 0xee);
        c.r[3] = 0x520;
        ASSERT_EQ(m.step(save), -1);
        EXPECT_EQ(m.peek<u16>(0x520), 0x1234u);
        EXPECT_EQ(m.peek<u32>(0x522), static_cast<u32>(want)) << "all 32 bits, whatever the operand size";
        if (is_long(k)) { EXPECT_EQ(m.peek<u64>(0x522), want); EXPECT_EQ(m.peek<u16>(0x52a), 0xeeeeu); }
        else { EXPECT_EQ(m.peek<u16>(0x526), 0xeeeeu); }
      }
}
TEST(descriptor_tables, bases_that_are_not_canonical) {
  for (unsigned b = 44; b < 64; ++b)
    for (u8 modrm : {0x13, 0x1b}) {
      Machine m(Kind::long0);
      const TableReg old = m.cpu->gdtr;
      m.poke<u16>(kData, 0xfff), m.poke<u64>(kData + 2, u64{1} << b);
      m.cpu->r[3] = kData;
      const int got = m.step({0x0f, 0x01, modrm});
      EXPECT_EQ(got, b < 47 ? -1 : GP) << b;
      if (got == GP) { EXPECT_EQ(m.cpu->gdtr.base, old.base); EXPECT_EQ(m.error_code(), 0u); }
    }
}
TEST(selectors, are_stored_as_wide_as_the_register) {   // SDM 2 "SLDT", "STR": memory takes 16 bits
  for (bool tr : {false, true}) {
    Machine m(Kind::long0);
    m.cpu->ldtr.sel = 0x1234, m.cpu->tr.sel = 0x5678;
    const u64 want = tr ? 0x5678 : 0x1234;
    const u8 digit = static_cast<u8>(tr << 3);
    m.cpu->r[0] = ~u64{0};
    ASSERT_EQ(m.step({0x66, 0x0f, 0x00, static_cast<u8>(0xc0 | digit)}), -1);
    EXPECT_EQ(m.cpu->r[0], 0xffff'ffff'ffff'0000 | want);
    ASSERT_EQ(m.step({0x0f, 0x00, static_cast<u8>(0xc0 | digit)}), -1);
    EXPECT_EQ(m.cpu->r[0], want);
    m.cpu->r[0] = ~u64{0};
    ASSERT_EQ(m.step({0x48, 0x0f, 0x00, static_cast<u8>(0xc0 | digit)}), -1);
    EXPECT_EQ(m.cpu->r[0], want);
    m.poke<u64>(kData, ~u64{0}), m.cpu->r[3] = kData;
    ASSERT_EQ(m.step({0x48, 0x0f, 0x00, static_cast<u8>(0x03 | digit)}), -1);
    EXPECT_EQ(m.peek<u64>(kData), 0xffff'ffff'ffff'0000 | want);
  }
  for (u8 digit = 0; digit < 6; ++digit)   // "not recognized in real-address mode"; nor in virtual-8086 mode
    for (Kind k : {Kind::real, Kind::vm86}) EXPECT_EQ(Machine(k).step({0x0f, 0x00, static_cast<u8>(0xc0 | digit << 3)}), UD) << int{digit};
  for (Kind k : {Kind::real, Kind::vm86})
    for (Bytes code : {Bytes{0x0f, 0x02, 0xc0}, Bytes{0x0f, 0x03, 0xc0}, Bytes{0x63, 0xc0}}) EXPECT_EQ(Machine(k).step(code), UD);
}

// --- far transfers of 8086 programs -----------------------------------------------------------------------------------------

TEST(far_8086, jumps_and_calls) {   // SDM 2 "JMP", "CALL", "RET": real-address and virtual-8086 mode; the selector is sixteenth of the base, the limit holds
  Machines machines;
  for (Kind k : {Kind::real, Kind::vm86})
    for (bool call : {false, true})
      for (bool wide : {false, true})
        for (u32 to : {0x1234u, 0xffffu, 0x10000u}) {
          if (!wide && to > 0xffff) continue;
          Machine& m = machines(k);
          Cpu& c = *m.cpu;
          c.flags |= rflags::RF;
          const u64 sp = c.r[4];
          Bytes code = wide ? Bytes{0x66} : Bytes{};
          code.push_back(call ? 0x9a : 0xea);
          for (unsigned n = 0; n < (wide ? 4u : 2u); ++n) code.push_back(static_cast<u8>(to >> (8 * n)));
          code.insert(code.end(), {0x45, 0x23});
          const int got = m.step(code);
          EXPECT_EQ(got, to > 0xffff ? GP : -1) << static_cast<int>(k) << call << wide;
          if (to > 0xffff) continue;
          EXPECT_EQ(c.seg[CS].sel, 0x2345u);
          EXPECT_EQ(c.seg[CS].base, 0x23450u);
          EXPECT_EQ(c.seg[CS].limit, 0xffffu);
          EXPECT_EQ(c.seg[CS].ar, k == Kind::vm86 ? 0xf3u : 0x9bu);
          EXPECT_EQ(c.rip, to);
          EXPECT_FALSE(c.flags & rflags::RF);
          const unsigned n = wide ? 4 : 2;
          EXPECT_EQ(c.r[4], call ? sp - 2 * n : sp);
          if (call) {
            EXPECT_EQ(m.peek<u16>(sp - n), TestMachine::kCode >> 4);
            EXPECT_EQ(wide ? m.peek<u32>(sp - 8) : m.peek<u16>(sp - 4), code.size());
          }
        }
}
/// Segments of 4 GiB from 0, as protected mode may leave them: a jump moves CS alone, and the same IP is another place then.
TEST(far_8086, out_of_a_code_segment_that_begins_at_0) {
  Machine m(Kind::real);
  Cpu& c = *m.cpu;
  for (Segment& s : c.seg) s.limit = 0xffff'ffff, s.base = 0, s.sel = 0;
  c.update();
  constexpr u32 kFrom = 0x8000, kTo = 0x9000;
  const u8 jump[] = {0xea, 0, kFrom >> 8, kTo >> 4 & 0xff, kTo >> 12}, load[] = {0x2e, 0xa0, 0x20, 0};   // jmp 0900:8000; mov al, cs:[20h]
  m.mem.write(Hpa{kFrom}, jump, sizeof jump, WriteCause::loader);
  m.mem.write(Hpa{kTo + kFrom}, load, sizeof load, WriteCause::loader);
  m.poke<u8>(0x20, 0x11), m.poke<u8>(kTo + 0x20, 0x22);
  c.rip = kFrom;
  m.resume(2);
  EXPECT_EQ(c.rip, kFrom + 4u);
  EXPECT_EQ(c.r[0] & 0xff, 0x22u);
}
TEST(far_8086, returns) {
  Machines machines;
  for (Kind k : {Kind::real, Kind::vm86})
    for (bool wide : {false, true})
      for (bool pops : {false, true})
        for (u32 to : {0x1234u, 0xffffu, 0x10000u}) {
          if (!wide && to > 0xffff) continue;
          Machine& m = machines(k);
          Cpu& c = *m.cpu;
          c.flags |= rflags::RF;
          c.r[4] = 0xe000;
          if (wide) m.poke<u32>(0xe000, to), m.poke<u32>(0xe004, 0x7777'2345);
          else m.poke<u16>(0xe000, static_cast<u16>(to)), m.poke<u16>(0xe002, 0x2345);
          Bytes code = wide ? Bytes{0x66} : Bytes{};
          code.push_back(pops ? 0xca : 0xcb);
          if (pops) code.insert(code.end(), {0x10, 0x01});
          EXPECT_EQ(m.step(code), to > 0xffff ? GP : -1) << static_cast<int>(k) << wide << pops;
          if (to > 0xffff) continue;
          EXPECT_EQ(c.seg[CS].sel, 0x2345u);
          EXPECT_EQ(c.seg[CS].base, 0x23450u);
          EXPECT_EQ(c.rip, to);
          EXPECT_EQ(c.r[4], 0xe000u + (wide ? 8 : 4) + (pops ? 0x110 : 0));
          EXPECT_FALSE(c.flags & rflags::RF);
        }
}
TEST(far_8086, iret) {   // SDM 2 "IRET/IRETD/IRETQ": REAL-ADDRESS-MODE, RETURN-FROM-VIRTUAL-8086-MODE; SDM 3B "Virtual-8086 Mode Extensions"
  Machines machines;
  for (Kind k : {Kind::real, Kind::vm86})
    for (unsigned iopl : {0u, 3u})
      for (bool vme : {false, true})
        for (bool vip : {false, true})
          for (bool wide : {false, true})
            for (bool from_ones : {false, true})
              for (unsigned b = 0; b < 24; ++b) {
                Machine& m = machines(k);
                Cpu& c = *m.cpu;
                if (from_ones && b == 8) continue;
                c.cr4 |= vme ? cr4::VME : 0;
                u64 old = 2 | u64{iopl} << 12 | (vip ? rflags::VIP : 0) | (k == Kind::vm86 ? rflags::VM : 0);
                if (from_ones) old |= rflags::CF | rflags::ZF | rflags::IF | rflags::DF | rflags::NT | rflags::AC | rflags::ID | rflags::VIF;
                c.set_rflags(old);
                c.update();
                const u64 image = b == 23 ? 0 : u64{1} << b;
                c.r[4] = 0xe000;
                if (wide) m.poke<u32>(0xe000, 0x1234), m.poke<u32>(0xe004, 0x2345), m.poke<u32>(0xe008, static_cast<u32>(image));
                else m.poke<u16>(0xe000, 0x1234), m.poke<u16>(0xe002, 0x2345), m.poke<u16>(0xe004, static_cast<u16>(image));
                const bool virtual_if = k == Kind::vm86 && iopl < 3;
                const bool refused = virtual_if && (wide || !vme || (image & rflags::TF) || ((image & rflags::IF) && vip));
                u64 change = rflags::kArith | rflags::TF | rflags::DF | rflags::NT, v = wide ? image : image & 0xffff;
                if (wide) change |= rflags::AC | rflags::ID | rflags::RF;
                if (k == Kind::real) change |= rflags::IF | rflags::IOPL;
                else if (!virtual_if) change |= rflags::IF;
                else change |= rflags::VIF, v = (v & ~rflags::VIF) | (v & rflags::IF ? rflags::VIF : 0);
                ASSERT_EQ(m.step(wide ? Bytes{0x66, 0xcf} : Bytes{0xcf}), refused ? GP : -1) << static_cast<int>(k) << iopl << vme << vip << wide << " bit " << b;
                if (refused) continue;
                EXPECT_EQ(c.rflags(), (old & ~change) | (v & change) | 2) << static_cast<int>(k) << iopl << vme << vip << wide << from_ones << " bit " << b;
                EXPECT_EQ(c.rip, 0x1234u);
                EXPECT_EQ(c.seg[CS].base, 0x23450u);
                EXPECT_EQ(c.r[4], 0xe000u + (wide ? 12 : 6));
              }
  for (u32 to : {0xffffu, 0x10000u})
    for (Kind k : {Kind::real, Kind::vm86}) {
      Machine m(k);
      m.cpu->flags |= rflags::IOPL;
      m.cpu->r[4] = 0xe000;
      m.poke<u32>(0xe000, to), m.poke<u32>(0xe004, 0x2345), m.poke<u32>(0xe008, 2);
      EXPECT_EQ(m.step({0x66, 0xcf}), to > 0xffff ? GP : -1);
    }
}

TEST(real_mode, the_vector_tables_limit) {   // SDM 3B "Interrupt and Exception Handling": four bytes a vector; #GP(vector * 8 + 2), here without an error code on the stack
  for (unsigned limit : {0x80u, 0x82u, 0x83u, 0x84u, 0x3ffu}) {
    Machine m(Kind::real);
    m.cpu->idtr.limit = static_cast<u16>(limit);
    EXPECT_EQ(m.step({0xcd, 0x20}), limit >= 0x83 ? 0x20 : GP) << limit;   // vectors 13 and 20H
  }
  Machine m(Kind::real);   // a handler beyond the code segment's limit
  m.cpu->seg[CS].limit = 0x7fff;
  m.poke<u32>(4 * 0x20, 0x2000'8000);
  EXPECT_EQ(m.step({0xcd, 0x20}), GP);
  Machine at(Kind::real);
  at.cpu->seg[CS].limit = 0x7fff;
  at.poke<u32>(4 * 0x20, 0x2345'7fff);
  EXPECT_EQ(at.step({0xcd, 0x20}), -1);
  EXPECT_EQ(at.cpu->rip, 0x7fffu);
  EXPECT_EQ(at.cpu->seg[CS].base, 0x23450u);
  EXPECT_EQ(at.cpu->seg[CS].sel, 0x2345u);
  EXPECT_EQ(at.cpu->r[4], 0xf000u - 6);
}

TEST(real_mode, segment_loads) {   // limit and rights stay; what was unusable becomes a data segment
  for (Kind k : {Kind::real, Kind::vm86})
    for (u32 ar : {0x10000u, 0x93u, 0x9bu}) {
      Machine m(k);
      m.cpu->seg[DS] = {7, 0x12345, ar, 9};
      ASSERT_TRUE(m.cpu->load_segment(DS, 0xfedc));
      EXPECT_EQ(m.cpu->seg[DS].sel, 0xfedcu);
      EXPECT_EQ(m.cpu->seg[DS].base, 0xfedc0u);
      EXPECT_EQ(m.cpu->seg[DS].limit, k == Kind::vm86 ? 0xffffu : 0x12345u);
      EXPECT_EQ(m.cpu->seg[DS].ar, k == Kind::vm86 ? 0xf3u : ar == 0x10000 ? 0x93u : ar);
    }
}

}  // namespace
}  // namespace vt::cpu
