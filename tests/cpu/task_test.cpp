// SPDX-License-Identifier: GPL-2.0-or-later
/// Hardware task switches.   SDM 3A "Task Management"
#include <functional>

#include "harness.hpp"
#include "insn/system.hpp"
#include "segments.hpp"
#include "vmx_machine.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
using Source = TaskSwitch::Source;

constexpr u16 kOld = 0x40, kNew = 0x48, kNew16 = 0x50, kGate = 0x58, kLdt = 0x60, kCode0 = 0x68, kData0 = 0x70, kSpare = 0x78, kUserCode = 0x80, kUserData = 0x88, kConforming = 0x90;
constexpr u64 kOldTss = 0xa000, kNewTss = 0xb000, kNew16Tss = 0xc000, kLdtAt = 0xd000, kNewStack = 0x60000, kNewCode = 0x18000, kNewPml = 0x200000;

u64 system_descriptor(u64 base, u32 limit, u8 access) { return (limit & 0xffff) | (base & 0xffffff) << 16 | u64{access} << 40 | (base >> 24) << 56; }

struct Tasks : TestMachine {
  Tasks() : TestMachine(Mode::protected32) {
    cpu->gdtr.limit = 0xff;
    gdt(kOld, system_descriptor(kOldTss, 0x67, 0x8b));
    gdt(kNew, system_descriptor(kNewTss, 0x67, 0x89));
    gdt(kNew16, system_descriptor(kNew16Tss, 0x2b, 0x81));
    gdt(kGate, u64{kNew} << 16 | u64{0x85} << 40);
    gdt(kLdt, system_descriptor(kLdtAt, 0x1f, 0x82));
    gdt(kCode0, 0x00cf9a000000ffff);
    gdt(kData0, 0x00cf92000000ffff);
    gdt(kUserCode, 0x00cffa000000ffff);
    gdt(kUserData, 0x00cff2000000ffff);
    gdt(kConforming, 0x00cf9e000000ffff);
    cpu->tr = {kOldTss, 0x67, 0x8b, kOld};
    cpu->ldtr = null_segment(0, 0);
    const u32 regs[] = {0xa0a0a0a0, 0xc1c1c1c1, 0xd2d2d2d2, 0xb3b3b3b3, kNewStack, 0xb5b5b5b5, 0x51515151, 0xd1d1d1d1};
    const u16 sels[] = {kData0, kCode0, kData0, kData0, 0, 0x10};
    poke<u32>(kNewTss + 0x20, kNewCode);
    poke<u32>(kNewTss + 0x24, 0x202 | rflags::CF);
    for (unsigned n = 0; n < 8; ++n) poke<u32>(kNewTss + 0x28 + 4 * n, regs[n]), poke<u16>(kNew16Tss + 0x12 + 2 * n, static_cast<u16>(regs[n]));
    for (unsigned n = 0; n < 6; ++n) poke<u16>(kNewTss + 0x48 + 4 * n, sels[n]);
    poke<u16>(kNew16Tss + 0x0e, 0x8000);
    poke<u16>(kNew16Tss + 0x10, 0x203);
    for (unsigned n = 0; n < 4; ++n) poke<u16>(kNew16Tss + 0x22 + 2 * n, sels[n]);
    poke<u8>(kNewCode, 0xf4);
    poke<u8>(0x8000, 0xf4);
    cpu->careful = true;
    cpu->update();
  }
  void gdt(u16 sel, u64 d) { poke<u64>(kGdt + sel, d); }
  u8 access(u16 sel) { return peek<u8>(kGdt + sel + 5); }
  void user() {
    cpu->seg[CS].ar |= 0x60, cpu->seg[CS].sel = 0x33;
    cpu->seg[SS].ar |= 0x60, cpu->seg[SS].sel = 0x2b;
    cpu->update();
  }
  /// The gate of vector `v`: a task gate to `tss`.
  void task_gate(u8 v, u16 tss, u8 access = 0x85) { poke<u64>(kIdt + 8 * v, u64{tss} << 16 | u64{access} << 40); }
  bool committed = false;
  bool go(Source source, u16 sel, u32 ext = 0) { return switch_task(*cpu, {.selector = sel, .source = source, .ext = ext, .return_ip = 0x1234}, committed); }
};

/// Every pair of sources and TSS formats: what is saved, loaded and marked.   SDM 3A "Task Switching", steps 1 to 14
TEST(task, what_each_kind_of_switch_does_to_links_and_busy_flags) {  // SDM 3A "Effect of a Task Switch on Busy Flag, NT Flag, Previous Task Link Field, and TS Flag"
  struct { Source source; bool old_busy, new_busy, saved_nt, link, nt; } rows[] = {
      {Source::jump, false, true, true, false, false}, {Source::call, true, true, true, true, true},
      {Source::gate, true, true, true, true, true},    {Source::iret, false, true, false, false, false},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.source);
    Tasks m;
    Cpu& c = *m.cpu;
    if (r.source == Source::iret) m.gdt(kNew, system_descriptor(kNewTss, 0x67, 0x8b));
    m.poke<u16>(kNewTss, 0x7777);
    c.set_rflags(0x46 | rflags::NT | rflags::RF);
    c.dr[7] = 0x4ff;
    for (unsigned n = 0; n < 8; ++n) c.r[n] = 0x11111111 * (n + 1);
    ASSERT_TRUE(m.go(r.source, kNew));
    EXPECT_EQ(m.access(kOld), r.old_busy ? 0x8b : 0x89);
    EXPECT_EQ(m.access(kNew), r.new_busy ? 0x8b : 0x89);
    EXPECT_EQ(m.peek<u16>(kNewTss), r.link ? kOld : 0x7777);
    EXPECT_EQ(m.peek<u32>(kOldTss + 0x20), 0x1234u);
    EXPECT_EQ(m.peek<u32>(kOldTss + 0x24), 0x46u | (r.saved_nt ? rflags::NT : 0) | (r.source == Source::gate ? rflags::RF : 0));
    for (unsigned n = 0; n < 8; ++n) EXPECT_EQ(m.peek<u32>(kOldTss + 0x28 + 4 * n), 0x11111111u * (n + 1)) << n;
    EXPECT_EQ(m.peek<u16>(kOldTss + 0x4c), 0x18u);
    EXPECT_EQ(m.peek<u16>(kOldTss + 0x50), 0x10u);
    EXPECT_EQ(m.peek<u16>(kOldTss + 0x60), 0u) << "LDTR is not saved";
    EXPECT_EQ(c.tr.sel, kNew);
    EXPECT_EQ(c.tr.base, kNewTss);
    EXPECT_EQ(c.tr.type(), system_type::tss_busy);
    EXPECT_TRUE(c.cr0 & cr0::TS);
    EXPECT_EQ(c.dr[7], 0x4aau);
    EXPECT_EQ(c.rip, kNewCode);
    EXPECT_EQ(c.rflags(), (0x202u | rflags::CF) | (r.nt ? rflags::NT : 0));
    EXPECT_EQ(c.r[0], 0xa0a0a0a0u);
    EXPECT_EQ(c.r[4], kNewStack);
    EXPECT_EQ(c.r[7], 0xd1d1d1d1u);
    EXPECT_EQ(c.seg[CS].sel, kCode0);
    EXPECT_EQ(c.seg[SS].sel, kData0);
    EXPECT_TRUE(c.seg[FS].unusable());
    EXPECT_EQ(c.seg[GS].sel, 0x10u);
    EXPECT_EQ(m.access(kCode0) & 1, 1) << "accessed";
  }
}

TEST(task, sixteen_bit_segments) {  // SDM 3A "16-Bit Task-State Segment (TSS)"
  Tasks m;
  Cpu& c = *m.cpu;
  c.r[0] = 0x12345678;
  ASSERT_TRUE(m.go(Source::call, kNew16));
  EXPECT_EQ(c.rip, 0x8000u);
  EXPECT_EQ(c.rflags(), 0x203u | rflags::NT);
  EXPECT_EQ(static_cast<u16>(c.r[0]), 0xa0a0u);
  EXPECT_EQ(c.seg[DS].sel, kData0);
  EXPECT_TRUE(c.seg[FS].unusable() && c.seg[GS].unusable());
  EXPECT_EQ(c.tr.type(), system_type::tss16_busy);
  EXPECT_EQ(m.peek<u16>(kNew16Tss), kOld);
  // and back: the old one is 16 bits wide now
  c.r[0] = 0xaaaabbbb;
  c.r[7] = 0x1111d7d7;
  ASSERT_TRUE(m.go(Source::iret, kOld));
  EXPECT_EQ(m.peek<u16>(kNew16Tss + 0x0e), 0x1234u);
  EXPECT_EQ(m.peek<u16>(kNew16Tss + 0x10), 0x203u) << "NT is clear in what IRET saves";
  EXPECT_EQ(m.peek<u16>(kNew16Tss + 0x12), 0xbbbbu);
  EXPECT_EQ(m.peek<u16>(kNew16Tss + 0x20), 0xd7d7u);
  EXPECT_EQ(m.peek<u16>(kNew16Tss + 0x24), kCode0);
  EXPECT_EQ(m.peek<u16>(kNew16Tss + 0x2a), 0u);
  EXPECT_EQ(c.r[0], 0x12345678u);
  EXPECT_EQ(m.access(kNew16), 0x81);
}

/// One change to a switch that works, and the exception it makes.   SDM 3A "Exception Conditions Checked During a Task Switch"
struct Row {
  const char* rule;
  std::function<void(Tasks&)> change;
  int vector;
  u32 error;
  bool committed;  ///< in the new task
  Source source = Source::jump;
  u16 sel = kNew;
};
constexpr u64 kTssDescriptor = 0x00'0089'00'b000'0067;
const Row kRows[] = {
    {"TSS selector beyond the GDT", [](Tasks& m) { m.cpu->gdtr.limit = kNew + 6; }, GP, kNew, false},
    {"TSS selector beyond the GDT, IRET", [](Tasks& m) { m.cpu->gdtr.limit = kNew + 6; }, TS, kNew, false, Source::iret},
    {"TSS selector in the LDT", [](Tasks&) {}, GP, kNew | 4, false, Source::call, kNew | 4},
    {"TSS selector in the LDT, IRET", [](Tasks&) {}, TS, kNew | 4, false, Source::iret, kNew | 4},
    {"TSS selector null", [](Tasks&) {}, GP, 0, false, Source::gate, 3},
    {"TSS selector null, IRET", [](Tasks&) {}, TS, 0, false, Source::iret, 0},
    {"no TSS", [](Tasks&) {}, GP, kData0, false, Source::jump, kData0},
    {"no TSS, IRET", [](Tasks&) {}, TS, kLdt, false, Source::iret, kLdt},
    {"TSS busy", [](Tasks& m) { m.gdt(kNew, kTssDescriptor | u64{2} << 40); }, GP, kNew, false},
    {"TSS busy, CALL", [](Tasks& m) { m.gdt(kNew, kTssDescriptor | u64{2} << 40); }, GP, kNew, false, Source::call},
    {"TSS busy, 16 bits", [](Tasks& m) { m.gdt(kNew16, system_descriptor(kNew16Tss, 0x2b, 0x83)); }, GP, kNew16, false, Source::call, kNew16},
    {"TSS not busy, IRET", [](Tasks&) {}, TS, kNew, false, Source::iret},
    {"TSS not present", [](Tasks& m) { m.gdt(kNew, kTssDescriptor & ~(u64{0x80} << 40)); }, NP, kNew, false},
    {"TSS not present, IRET", [](Tasks& m) { m.gdt(kNew, system_descriptor(kNewTss, 0x67, 0x0b)); }, NP, kNew, false, Source::iret},
    {"TSS limit", [](Tasks& m) { m.gdt(kNew, system_descriptor(kNewTss, 0x66, 0x89)); }, TS, kNew, false},
    {"TSS limit, IRET", [](Tasks& m) { m.gdt(kNew, system_descriptor(kNewTss, 0x66, 0x8b)); }, TS, kNew, false, Source::iret},
    {"TSS limit, 16 bits", [](Tasks& m) { m.gdt(kNew16, system_descriptor(kNew16Tss, 0x2a, 0x81)); }, TS, kNew16, false, Source::jump, kNew16},
    {"old TSS limit", [](Tasks& m) { m.cpu->tr.limit = 0x5c; }, TS, kOld, false},
    {"LDT selector in the LDT", [](Tasks& m) { m.poke<u16>(kNewTss + 0x60, kLdt | 4); }, TS, kLdt | 4, true},
    {"LDT selector beyond the GDT", [](Tasks& m) { m.poke<u16>(kNewTss + 0x60, 0x100); }, TS, 0x100, true},
    {"LDT selector of data", [](Tasks& m) { m.poke<u16>(kNewTss + 0x60, kData0); }, TS, kData0, true},
    {"LDT selector of a TSS", [](Tasks& m) { m.poke<u16>(kNewTss + 0x60, kOld); }, TS, kOld, true},
    {"LDT not present", [](Tasks& m) { m.gdt(kLdt, system_descriptor(kLdtAt, 0x1f, 0x02)); m.poke<u16>(kNewTss + 0x60, kLdt); }, TS, kLdt, true},
    {"CS null", [](Tasks& m) { m.poke<u16>(kNewTss + 0x4c, 0); }, TS, 0, true},
    {"CS beyond the GDT", [](Tasks& m) { m.poke<u16>(kNewTss + 0x4c, 0x100); }, TS, 0x100, true},
    {"CS in no LDT", [](Tasks& m) { m.poke<u16>(kNewTss + 0x4c, 0x0c); }, TS, 0x0c, true},
    {"CS of data", [](Tasks& m) { m.poke<u16>(kNewTss + 0x4c, kData0); }, TS, kData0, true},
    {"CS DPL is not RPL", [](Tasks& m) { m.poke<u16>(kNewTss + 0x4c, kCode0 | 3); }, TS, kCode0, true},
    {"CS DPL is not RPL, the other way", [](Tasks& m) { m.poke<u16>(kNewTss + 0x4c, kUserCode); }, TS, kUserCode, true},
    {"conforming CS with DPL above RPL", [](Tasks& m) { m.gdt(kConforming, 0x00cffe000000ffff); m.poke<u16>(kNewTss + 0x4c, kConforming); }, TS, kConforming, true},
    {"CS not present", [](Tasks& m) { m.gdt(kCode0, 0x00cf1a000000ffff); }, NP, kCode0, true},
    {"SS null", [](Tasks& m) { m.poke<u16>(kNewTss + 0x50, 0); }, TS, 0, true},
    {"SS beyond the GDT", [](Tasks& m) { m.poke<u16>(kNewTss + 0x50, 0x100); }, TS, 0x100, true},
    {"SS read-only", [](Tasks& m) { m.gdt(kSpare, 0x00cf90000000ffff); m.poke<u16>(kNewTss + 0x50, kSpare); }, TS, kSpare, true},
    {"SS of code", [](Tasks& m) { m.poke<u16>(kNewTss + 0x50, kCode0); }, TS, kCode0, true},
    {"SS not present", [](Tasks& m) { m.gdt(kSpare, 0x00cf12000000ffff); m.poke<u16>(kNewTss + 0x50, kSpare); }, SS_, kSpare, true},
    {"SS DPL is not CPL", [](Tasks& m) { m.poke<u16>(kNewTss + 0x50, kUserData); }, TS, kUserData, true},
    {"SS RPL is not CPL", [](Tasks& m) { m.poke<u16>(kNewTss + 0x50, kData0 | 1); }, TS, kData0, true},
    {"DS beyond the GDT", [](Tasks& m) { m.poke<u16>(kNewTss + 0x54, 0x100); }, TS, 0x100, true},
    {"DS execute-only", [](Tasks& m) { m.gdt(kSpare, 0x00cf98000000ffff); m.poke<u16>(kNewTss + 0x54, kSpare); }, TS, kSpare, true},
    {"ES of a system segment", [](Tasks& m) { m.poke<u16>(kNewTss + 0x48, kLdt); }, TS, kLdt, true},
    {"FS not present", [](Tasks& m) { m.gdt(kSpare, 0x00cf12000000ffff); m.poke<u16>(kNewTss + 0x58, kSpare); }, NP, kSpare, true},
    {"GS RPL above DPL", [](Tasks& m) { m.poke<u16>(kNewTss + 0x5c, kData0 | 2); }, TS, kData0, true},
    {"EIP beyond the limit", [](Tasks& m) { m.gdt(kCode0, 0x00409a0000000fff); }, GP, 0, true},
    // and what is allowed
    {"nothing is wrong", [](Tasks&) {}, -1, 0, true},
    {"IRET to a busy one", [](Tasks& m) { m.gdt(kNew, system_descriptor(kNewTss, 0x67, 0x8b)); }, -1, 0, true, Source::iret},
    {"LDT null", [](Tasks& m) { m.poke<u16>(kNewTss + 0x60, 3); }, -1, 0, true},
    {"conforming CS with DPL below RPL", [](Tasks& m) {
       m.poke<u16>(kNewTss + 0x4c, kConforming | 3), m.poke<u16>(kNewTss + 0x50, kUserData | 3);
       for (u32 at : {0x48, 0x54, 0x58, 0x5c}) m.poke<u16>(kNewTss + at, 0);
     }, -1, 0, true},
    {"DS of conforming code whatever its DPL", [](Tasks& m) { m.poke<u16>(kNewTss + 0x54, kConforming | 3); }, -1, 0, true},
    {"segments of the new LDT", [](Tasks& m) { m.poke<u16>(kNewTss + 0x60, kLdt); m.poke<u64>(kLdtAt + 8, 0x00cf92000000ffff); m.poke<u16>(kNewTss + 0x54, 0x0c); }, -1, 0, true},
};

TEST(task, each_condition_that_is_checked) {
  for (const Row& r : kRows)
    for (u32 ext : {0u, 1u}) {
      SCOPED_TRACE(r.rule);
      Tasks m;
      r.change(m);
      Cpu& c = *m.cpu;
      const std::vector<u8> before(m.mem.host() + TestMachine::kIdt, m.mem.host() + TestMachine::kIdt + 0x8000);
      const bool ok = m.go(r.source, r.sel, ext);
      EXPECT_EQ(ok, r.vector < 0);
      EXPECT_EQ(m.committed, r.committed);
      if (r.vector >= 0) {
        ASSERT_EQ(c.fault.kind, Fault::Kind::exception);
        EXPECT_EQ(c.fault.vector, r.vector);
        EXPECT_EQ(c.fault.error, r.error | ext);
      }
      if (m.committed) {
        EXPECT_EQ(c.tr.sel, r.sel);
        EXPECT_EQ(c.rip, r.sel == kNew16 ? 0x8000 : kNewCode) << "a fault is that of the first instruction";
      } else {
        EXPECT_EQ(c.tr.sel, kOld);
        EXPECT_TRUE(std::equal(before.begin(), before.end(), m.mem.host() + TestMachine::kIdt)) << "nothing has been written";
      }
    }
}

TEST(task, segments_that_were_not_loaded_are_unusable_in_the_handler) {  // SDM 3A "Interrupt 10-Invalid TSS Exception (#TS)"
  Tasks m;
  m.poke<u16>(kNewTss + 0x54, 0x100);
  EXPECT_FALSE(m.go(Source::jump, kNew));
  Cpu& c = *m.cpu;
  EXPECT_EQ(c.seg[DS].sel, 0x100u);
  EXPECT_TRUE(c.seg[DS].unusable());
  EXPECT_EQ(c.seg[ES].sel, kData0) << "its selector is there all the same";
  EXPECT_TRUE(c.seg[ES].unusable());
  EXPECT_FALSE(c.seg[SS].unusable());
}

// --- instructions ---------------------------------------------------------------------------------------------

std::vector<u8> far(u8 opcode, u16 sel, u32 offset = 0xdeadbeef) {
  std::vector<u8> v{opcode};
  for (unsigned n = 0; n < 4; ++n) v.push_back(static_cast<u8>(offset >> 8 * n));
  v.push_back(static_cast<u8>(sel)), v.push_back(static_cast<u8>(sel >> 8));
  return v;
}
constexpr u8 kJmp = 0xea, kCall = 0x9a;

TEST(task, jmp_and_call_switch_directly_and_through_gates) {  // SDM 2 "JMP", "CALL"
  for (u8 op : {kJmp, kCall})
    for (u16 sel : {kNew, kGate, kNew16}) {
      SCOPED_TRACE(sel);
      Tasks m;
      m.cpu->careful = false;
      EXPECT_EQ(m.run(far(op, sel)), -1);
      EXPECT_EQ(m.cpu->rip, (sel == kNew16 ? 0x8000 : kNewCode) + 1);
      EXPECT_EQ(m.cpu->tr.sel, sel == kGate ? kNew : sel);
      EXPECT_EQ(m.peek<u32>(kOldTss + 0x20), TestMachine::kCode + 7) << "behind the instruction";
      EXPECT_EQ(m.steps, 2u) << "the switch and HLT";
    }
}

TEST(task, call_and_iret_nest_and_return) {  // SDM 3A "Task Linking"
  Tasks m;
  m.poke<u16>(kNewCode, 0xf4cf);  // IRET; HLT
  EXPECT_EQ(m.run(far(kCall, kNew)), -1);
  EXPECT_EQ(m.cpu->rip, TestMachine::kCode + 8);
  EXPECT_EQ(m.cpu->tr.sel, kOld);
  EXPECT_FALSE(m.cpu->flags & rflags::NT);
  EXPECT_EQ(m.access(kNew), 0x89);
  EXPECT_EQ(m.access(kOld), 0x8b);
  EXPECT_EQ(m.peek<u32>(kNewTss + 0x20), kNewCode + 1);
}

/// SDM 2 "CALL", "JMP": task gates and TSS descriptors; "INT n/INTO/INT3/INT1": task gates
TEST(task, privilege_of_gates_and_descriptors) {
  struct { const char* rule; u16 sel; u8 dpl; bool user; bool gate; int vector; u32 error; } rows[] = {
      {"TSS of DPL 0 from CPL 3", kNew, 0, true, false, GP, kNew},        {"TSS of DPL 3 from CPL 3", kNew | 3, 3, true, false, -1, 0},
      {"TSS of DPL 0, RPL 1", kNew | 1, 0, false, false, GP, kNew},       {"gate of DPL 0 from CPL 3", kGate, 0, true, true, GP, kGate},
      {"gate of DPL 3: the TSS's DPL is not looked at", kGate | 3, 3, true, true, -1, 0}, {"gate of DPL 2, RPL 3", kGate | 3, 2, false, true, GP, kGate},
  };
  for (auto& r : rows)
    for (u8 op : {kJmp, kCall}) {
      SCOPED_TRACE(r.rule);
      Tasks m;
      const u16 at = r.sel & 0xfff8;
      m.poke<u8>(TestMachine::kGdt + at + 5, static_cast<u8>(m.access(at) | r.dpl << 5));
      if (r.user) m.user();
      m.poke<u32>(kOldTss + 4, 0x70000), m.poke<u16>(kOldTss + 8, 0x10);
      EXPECT_EQ(m.run(far(op, r.sel)), r.vector);
      if (r.vector >= 0) {
        EXPECT_EQ(m.error_code(), r.error);
      }
    }
  Tasks m;
  m.poke<u8>(TestMachine::kGdt + kGate + 5, 0x05);
  EXPECT_EQ(m.run(far(kJmp, kGate)), NP);
  EXPECT_EQ(m.error_code(), kGate);
}

TEST(task, a_fault_behind_the_commit_point_is_the_new_tasks) {
  Tasks m;
  m.poke<u16>(kNewTss + 0x54, 0x100);
  m.poke<u16>(kNewTss + 0x5c, 0);
  EXPECT_EQ(m.run(far(kCall, kNew)), TS);
  EXPECT_EQ(m.error_code(), 0x100u);
  EXPECT_EQ(m.peek<u32>(kNewStack - 12), kNewCode) << "EIP of the frame";
  EXPECT_EQ(m.cpu->tr.sel, kNew);
  Tasks before;
  before.gdt(kNew, system_descriptor(kNewTss, 0x60, 0x89));
  EXPECT_EQ(before.run(far(kCall, kNew)), TS);
  EXPECT_EQ(before.peek<u32>(TestMachine::kStack - 12), TestMachine::kCode);
}

TEST(task, interrupts_and_exceptions_through_task_gates) {  // SDM 3A "Interrupt Tasks"
  Tasks m;
  m.task_gate(UD, kNew);
  EXPECT_EQ(m.run({0x0f, 0x0b}), -1);
  EXPECT_EQ(m.cpu->rip, kNewCode + 1);
  EXPECT_EQ(m.peek<u32>(kOldTss + 0x20), TestMachine::kCode) << "a fault";
  EXPECT_TRUE(m.peek<u32>(kOldTss + 0x24) & rflags::RF);
  EXPECT_TRUE(m.cpu->flags & rflags::IF) << "as the TSS has it: a task gate clears nothing";
  EXPECT_TRUE(m.cpu->flags & rflags::NT);
  Tasks soft;
  soft.task_gate(0x40, kNew);
  EXPECT_EQ(soft.run({0xcd, 0x40}), -1);
  EXPECT_EQ(soft.peek<u32>(kOldTss + 0x20), TestMachine::kCode + 2);
  EXPECT_FALSE(soft.peek<u32>(kOldTss + 0x24) & rflags::RF);
  EXPECT_EQ(soft.cpu->r[4], kNewStack) << "no error code";
}

TEST(task, an_error_code_goes_onto_the_new_stack) {  // SDM 3A "Error Code"
  for (u16 tss : {kNew, kNew16}) {
    Tasks m;
    m.task_gate(GP, tss);
    m.poke<u16>(kNew16Tss + 0x1a, 0x7000);
    m.gdt(kSpare, 0x000092000000ffff);
    m.poke<u16>(kNew16Tss + 0x26, kSpare);
    EXPECT_EQ(m.run({0xb8, 0xf8, 0, 0, 0, 0x8e, 0xd8}), -1);  // mov ds, 0f8
    if (tss == kNew) {
      EXPECT_EQ(m.cpu->r[4], kNewStack - 4);
      EXPECT_EQ(m.peek<u32>(kNewStack - 4), 0xf8u);
    } else {
      EXPECT_EQ(static_cast<u16>(m.cpu->r[4]), 0x7000 - 2);
      EXPECT_EQ(m.peek<u16>(0x7000 - 2), 0xf8u);
    }
  }
  Tasks small;
  small.task_gate(GP, kNew);
  small.gdt(kSpare, 0x004f96000000ffff);  // expand-down: only what lies above 1 MiB
  small.poke<u16>(kNewTss + 0x50, kSpare);
  small.task_gate(DF, kNew16);
  EXPECT_EQ(small.run({0xb8, 0xf8, 0, 0, 0, 0x8e, 0xd8}), -1);  // #GP, #SS in its delivery: #DF
  EXPECT_EQ(small.cpu->tr.sel, kNew16);
  EXPECT_EQ(small.peek<u16>(kNew16Tss), kNew) << "the double fault was raised in the new task";
}

TEST(task, a_double_fault_gate_works_without_any_stack) {  // SDM 3A "Interrupt 8-Double Fault Exception (#DF)"
  Tasks m;
  m.task_gate(DF, kNew);
  m.cpu->idtr.limit = 8 * DF + 7;  // #GP has no gate
  EXPECT_EQ(m.run({0x31, 0xe4, 0xb8, 0xf8, 0, 0, 0, 0x8e, 0xd8}), -1);
  EXPECT_EQ(m.cpu->rip, kNewCode + 1);
  EXPECT_EQ(m.cpu->r[4], kNewStack - 4);
  EXPECT_EQ(m.peek<u32>(kNewStack - 4), 0u) << "error code";
  EXPECT_EQ(m.peek<u32>(kOldTss + 0x20), TestMachine::kCode + 7);
  Tasks broken;
  broken.task_gate(DF, kOld);  // busy
  broken.cpu->idtr.limit = 8 * DF + 7;
  EXPECT_EQ(broken.run({0xb8, 0xf8, 0, 0, 0, 0x8e, 0xd8}), -2);
  EXPECT_EQ(broken.stop_.reason(), StopReason::triple_fault);
}

TEST(task, a_task_gate_of_the_idt_is_checked) {  // SDM 2 "INT n/INTO/INT3/INT1"
  struct { const char* rule; u16 tss; u8 access; bool user; int vector; u32 error; } rows[] = {
      {"below CPL", kNew, 0x85, true, GP, 0x40 * 8 + 2}, {"not present", kNew, 0x05, false, NP, 0x40 * 8 + 2}, {"TSS busy", kOld, 0x85, false, GP, kOld},
      {"TSS in the LDT", kNew | 4, 0x85, false, GP, kNew | 4}, {"beyond the GDT", 0x100, 0x85, false, GP, 0x100}, {"DPL 3", kNew, 0xe5, true, -1, 0},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.rule);
    Tasks m;
    m.task_gate(0x40, r.tss, r.access);
    m.poke<u32>(kOldTss + 4, 0x70000), m.poke<u16>(kOldTss + 8, 0x10);
    if (r.user) m.user();
    EXPECT_EQ(m.run({0xcd, 0x40}), r.vector);
    if (r.vector >= 0) {
        EXPECT_EQ(m.error_code(), r.error);
      }
  }
}

TEST(task, the_debug_trap_bit) {  // SDM 3B "Task-Switch Exception Condition"
  Tasks m;
  m.poke<u8>(kNewTss + 0x64, 1);
  EXPECT_EQ(m.run(far(kJmp, kNew)), DB);
  EXPECT_EQ(m.cpu->dr[6] & 0xe00f, 0x8000u);
  EXPECT_EQ(m.peek<u32>(kNewStack - 12), kNewCode) << "before the first instruction";
}

TEST(task, cr3_is_loaded_with_paging_only) {  // SDM 3A "Task Switching"
  Tasks m;
  m.poke<u32>(kNewTss + 0x1c, kNewPml);
  ASSERT_TRUE(m.go(Source::jump, kNew));
  EXPECT_EQ(m.cpu->cr3, 0u);
  Tasks p;
  Cpu& c = *p.cpu;
  c.cr4 |= cr4::PSE;
  c.cr3 = 0x300000;
  for (u64 n = 0; n < 4; ++n) p.poke<u32>(0x300000 + 4 * n, static_cast<u32>(n << 22 | 0x83)), p.poke<u32>(kNewPml + 4 * n, static_cast<u32>(n << 22 | 0x83));
  p.poke<u32>(kNewPml + 4, 0x83);  // 4 MiB: the first ones again
  c.cr0 |= cr0::PG;
  c.update();
  p.poke<u32>(kNewTss + 0x1c, kNewPml);
  u32 v;
  p.poke<u32>(0x30000, 0x77);
  ASSERT_TRUE(c.load_at(0x430000, v));
  ASSERT_TRUE(p.go(Source::jump, kNew));
  EXPECT_EQ(c.cr3, kNewPml);
  ASSERT_TRUE(c.load_at(0x430000, v));
  EXPECT_EQ(v, 0x77u) << "translations of the old task are gone";
}

TEST(task, page_faults_come_before_anything_is_written) {
  struct { const char* what; u32 page; u16 error; bool writable; } rows[] = {
      {"old TSS not present", kOldTss, 2, false}, {"new TSS not present", kNewTss, 0, false}, {"GDT read-only", TestMachine::kGdt, 3, true}, {"new TSS read-only, CALL", kNewTss, 3, true}};
  for (auto& r : rows) {
    SCOPED_TRACE(r.what);
    Tasks m;
    Cpu& c = *m.cpu;
    c.cr0 |= cr0::WP | cr0::PG;
    c.cr3 = 0x300000;
    m.poke<u32>(0x300000, 0x301003);
    for (u32 n = 0; n < 1024; ++n) m.poke<u32>(0x301000 + 4 * n, n << 12 | 0x63);
    m.poke<u32>(0x301000 + 4 * (r.page >> 12), r.page | (r.writable ? 0x61 : 0x60));
    m.poke<u32>(kNewTss + 0x1c, 0x300000);
    c.update();
    const std::vector<u8> before(m.mem.host() + TestMachine::kIdt, m.mem.host() + TestMachine::kIdt + 0x8000);
    EXPECT_FALSE(m.go(Source::call, kNew));
    EXPECT_EQ(c.fault.vector, PF);
    EXPECT_EQ(c.fault.error, r.error);
    EXPECT_EQ(c.fault.address & ~0xfffull, r.page);
    EXPECT_FALSE(m.committed);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), m.mem.host() + TestMachine::kIdt));
  }
}

TEST(task, into_and_out_of_virtual_8086_mode) {  // SDM 3B "Entering Virtual-8086 Mode": a task switch
  Tasks m;
  Cpu& c = *m.cpu;
  m.poke<u32>(kNewTss + 0x24, 0x23202);
  m.poke<u32>(kNewTss + 0x20, 0x10);
  m.poke<u32>(kNewTss + 0x38, 0xff00);
  const u16 sels[] = {0x1000, 0x1800, 0x2000, 0x3000, 0x4000, 0x5000};
  for (unsigned n = 0; n < 6; ++n) m.poke<u16>(kNewTss + 0x48 + 4 * n, sels[n]);
  m.poke<u16>(0x18010, 0x40cd);  // INT 40
  m.task_gate(0x40, kNew16, 0xe5);  // a third task takes the interrupt
  EXPECT_EQ(m.run(far(kJmp, kNew)), -1);
  EXPECT_EQ(c.tr.sel, kNew16);
  EXPECT_FALSE(c.vm86());
  EXPECT_TRUE(m.peek<u32>(kNewTss + 0x24) & rflags::VM) << "saved with VM";
  EXPECT_EQ(m.peek<u32>(kNewTss + 0x20), 0x12u);
  EXPECT_EQ(m.peek<u16>(kNewTss + 0x5c), 0x5000u);
  Tasks there;
  there.poke<u32>(kNewTss + 0x20, 0x10), there.poke<u32>(kNewTss + 0x24, 0x23202);
  for (unsigned n = 0; n < 6; ++n) there.poke<u16>(kNewTss + 0x48 + 4 * n, sels[n]);
  EXPECT_TRUE(there.go(Source::jump, kNew));
  for (unsigned n = 0; n < 6; ++n) {
    EXPECT_EQ(there.cpu->seg[n].base, u64{sels[n]} << 4);
    EXPECT_EQ(there.cpu->seg[n].limit, 0xffffu);
    EXPECT_EQ(there.cpu->seg[n].ar, 0xf3u);
  }
  Tasks far_ip;
  far_ip.poke<u32>(kNewTss + 0x24, 0x23202);
  far_ip.poke<u32>(kNewTss + 0x20, 0x10000);
  EXPECT_FALSE(far_ip.go(Source::jump, kNew));
  EXPECT_EQ(far_ip.cpu->fault.vector, GP);
}

TEST(task, iret_unblocks_nmis_even_if_the_switch_faults) {  // SDM 3A "Handling Multiple NMIs"
  Tasks m;
  m.cpu->flags |= rflags::NT;
  m.cpu->nmi_blocked = true;
  m.poke<u16>(kOldTss, kNew);  // not busy
  m.cpu->careful = false;
  EXPECT_EQ(m.run({0xcf}), TS);
  EXPECT_EQ(m.error_code(), kNew);
  EXPECT_FALSE(m.cpu->nmi_blocked);
}

TEST(task, ia32e_mode_has_none) {  // SDM 3A "Task Management in 64-bit Mode"
  TestMachine m(Mode::long64);
  m.cpu->gdtr.limit = 0xff;
  m.poke<u64>(TestMachine::kGdt + 0x40, system_descriptor(kNewTss, 0x67, 0x89));
  m.poke<u64>(TestMachine::kGdt + 0x48, u64{0x40} << 16 | u64{0x85} << 40);
  m.poke<u32>(0x30000, 0);
  for (u16 sel : {0x40, 0x48}) {
    m.poke<u16>(0x30004, sel);
    EXPECT_EQ(m.run({0xff, 0x2c, 0x25, 0, 0, 3, 0}), GP);  // jmp far [30000]
    EXPECT_EQ(m.error_code(), sel);
    m.enter(Mode::long64);
    m.cpu->gdtr.limit = 0xff;
    m.poke<u64>(TestMachine::kGdt + 0x40, system_descriptor(kNewTss, 0x67, 0x89));
    m.poke<u64>(TestMachine::kGdt + 0x48, u64{0x40} << 16 | u64{0x85} << 40);
  }
}

// --- VMX non-root operation -----------------------------------------------------------------------------------

/// A guest in protected mode without paging.
struct Guest : VmxMachine {
  static constexpr u64 kTable = 0x70000, kIdt32 = 0x71000, kTss = 0x72000;
  Guest() {
    fill();
    real_guest();
    set(F::GUEST_CR0, 0x31);
    segment(CS, {0, 0xffff'ffff, 0xc09b, 8});
    for (unsigned n : {ES, SS, DS, FS, GS}) segment(n, {0, 0xffff'ffff, 0xc093, 0x10});
    segment(7, {kTss, 0x67, 0x8b, 0x18});
    const u64 gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff, system_descriptor(kTss, 0x67, 0x8b), system_descriptor(kTss + 0x100, 0x67, 0x89), u64{0x20} << 16 | u64{0x85} << 40};
    mem.write(Hpa{kTable}, gdt, sizeof gdt, WriteCause::loader);
    for (unsigned v = 0; v < 256; ++v) poke<u64>(kIdt32 + 8 * v, u64{0x20} << 16 | u64{0x85} << 40);
    set(F::GUEST_GDTR_BASE, kTable), set(F::GUEST_GDTR_LIMIT, sizeof gdt - 1);
    set(F::GUEST_IDTR_BASE, kIdt32), set(F::GUEST_IDTR_LIMIT, 0x7ff);
    set(F::GUEST_RIP, kGuest), set(F::GUEST_RSP, kGuestStack);
  }
};

TEST(task, in_non_root_operation_each_is_an_exit_with_its_qualification) {  // SDM 3C "Exit Qualification for Task Switches", "Treatment of Task Switches"
  struct { const char* what; std::vector<u8> code; u64 qualification; u32 length, vectoring; u64 rflags; bool rf; } rows[] = {
      {"CALL", far(kCall, 0x20), 0x20, 7, 0, 2, false},
      {"JMP through a gate", far(kJmp, 0x28), 2u << 30 | 0x20, 7, 0, 2, false},
      {"IRET", {0xcf}, 1u << 30 | 0x18, 1, 0, 2 | rflags::NT, false},
      {"INT n", {0xcd, 0x40}, 3u << 30 | 0x20, 2, 0x80000440, 2, false},
      {"INT3", {0xcc}, 3u << 30 | 0x20, 1, 0x80000603, 2, false},
      {"#UD", {0x0f, 0x0b}, 3u << 30 | 0x20, 0, 0x80000306, 2, true},
      {"#GP", {0xb8, 0xf8, 0, 0, 0, 0x8e, 0xd8}, 3u << 30 | 0x20, 0, 0x80000b0d, 2, true},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.what);
    Guest m;
    m.poke<u16>(Guest::kTss, 0x18);
    m.set(Field::GUEST_RFLAGS, r.rflags);
    EXPECT_EQ(m.launch(r.code), static_cast<int>(ExitReason::task_switch));
    EXPECT_EQ(m.get(Field::EXIT_QUALIFICATION), r.qualification);
    EXPECT_EQ(m.get(Field::IDT_VECTORING_INFO), r.vectoring);
    if (r.length) {
      EXPECT_EQ(m.get(Field::VM_EXIT_INSTRUCTION_LENGTH), r.length);
    }
    EXPECT_EQ(static_cast<bool>(m.get(Field::GUEST_RFLAGS) & rflags::RF), r.rf);
    EXPECT_EQ(m.peek<u8>(Guest::kTable + 0x25), 0x89) << "nothing is marked";
  }
}

TEST(task, in_non_root_operation_checks_of_the_new_tss_come_before_the_exit) {  // SDM 3C "Treatment of Task Switches"
  struct { const char* what; u8 access; u32 limit; u32 info, error; } rows[] = {
      {"busy", 0x8b, 0x67, 0x80000b0d, 0x20}, {"not present", 0x09, 0x67, 0x80000b0b, 0x20}, {"limit", 0x89, 0x66, 0x80000b0a, 0x20}, {"DPL", 0x89, 0x67, 0x80000b0d, 0x20}};
  for (auto& r : rows) {
    SCOPED_TRACE(r.what);
    Guest m;
    m.set(Field::EXCEPTION_BITMAP, ~0u);
    m.poke<u64>(Guest::kTable + 0x20, system_descriptor(Guest::kTss + 0x100, r.limit, r.access));
    auto code = far(kCall, std::string(r.what) == "DPL" ? 0x21 : 0x20);
    EXPECT_EQ(m.launch(code), static_cast<int>(ExitReason::exception_nmi));
    EXPECT_EQ(m.get(Field::VM_EXIT_INTR_INFO), r.info);
    EXPECT_EQ(m.get(Field::VM_EXIT_INTR_ERROR_CODE), r.error);
  }
}

}  // namespace
}  // namespace vt::cpu
