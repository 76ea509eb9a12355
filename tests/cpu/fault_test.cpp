// SPDX-License-Identifier: GPL-2.0-or-later
/// Page-fault error codes, and exceptions and interrupts through the IDT.
#include "harness.hpp"
#include "segments.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
constexpr u64 kTable = 0x200000, kLa = 0x40000000, kTss = 0xa000, kStack0 = 0x60000, kIst = 0x68000;

void set_user(Cpu& c, Mode m) {
  c.seg[CS].sel = m == Mode::long64 ? 0x23 : 0x33;
  c.seg[CS].ar |= 0x60;
  c.seg[SS].sel = 0x2b;
  c.seg[SS].ar |= 0x60;
  c.update();
}

// SDM 3A "Determination of Access Rights", "Page-Fault Exceptions"
struct Case {
  u64 entry;        ///< of the page table
  u64 cr0, cr4, efer, flags;
  bool user;
  u8 want;
  int error;        ///< -1: allowed
};
constexpr u64 kWp = cr0::WP, kSmep = cr4::SMEP, kSmap = cr4::SMAP, kNx = efer::NXE, kAc = rflags::AC, kXd = u64{1} << 63;
constexpr u8 kR = 1, kW = 2, kX = 4;
class PageFaultError : public testing::TestWithParam<Case> {};
TEST_P(PageFaultError, code) {
  const Case& t = GetParam();
  TestMachine m;
  Cpu& c = *m.cpu;
  m.mem.poke64(Hpa{TestMachine::kPml4 + 0x1000 + 8}, kTable | 7, WriteCause::loader);
  m.mem.poke64(Hpa{kTable}, (kTable + 0x1000) | 7, WriteCause::loader);
  m.mem.poke64(Hpa{kTable + 0x1000}, t.entry, WriteCause::loader);
  c.cr0 = (c.cr0 & ~cr0::WP) | t.cr0;
  c.cr4 |= t.cr4;
  c.efer = (c.efer & ~efer::NXE) | t.efer;
  c.flags |= t.flags;
  if (t.user) set_user(c, Mode::long64);
  c.update();
  u32 v = 0;
  Hpa page;
  const bool ok = t.want == kX ? c.fetch_page(kLa, page) : t.want == kW ? c.store_at(kLa, v) : c.load_at(kLa, v);
  EXPECT_EQ(ok, t.error < 0);
  if (!ok) {
    EXPECT_EQ(c.fault.vector, PF);
    EXPECT_EQ(static_cast<int>(c.fault.error), t.error);
    EXPECT_EQ(c.fault.address, kLa);
  }
}
INSTANTIATE_TEST_SUITE_P(mmu, PageFaultError, testing::Values(
    Case{0x300000, 0, 0, 0, 0, false, kR, 0}, Case{0x300000, 0, 0, 0, 0, false, kW, 2}, Case{0x300000, 0, 0, 0, 0, true, kR, 4}, Case{0x300000, 0, 0, 0, 0, true, kW, 6},
    Case{0x300000, 0, 0, 0, 0, false, kX, 0}, Case{0x300000, 0, 0, kNx, 0, false, kX, 0x10}, Case{0x300000, 0, kSmep, 0, 0, true, kX, 0x14},
    // user pages and supervisor pages
    Case{0x300003, 0, 0, 0, 0, true, kR, 5}, Case{0x300003, 0, 0, 0, 0, true, kW, 7}, Case{0x300003, 0, 0, kNx, 0, true, kX, 0x15}, Case{0x300003, 0, 0, 0, 0, false, kW, -1},
    Case{0x300007, 0, 0, 0, 0, true, kW, -1}, Case{0x300005, 0, 0, 0, 0, true, kW, 7}, Case{0x300005, 0, 0, 0, 0, true, kR, -1},
    // CR0.WP
    Case{0x300001, 0, 0, 0, 0, false, kW, -1}, Case{0x300001, kWp, 0, 0, 0, false, kW, 3}, Case{0x300005, kWp, 0, 0, 0, false, kW, 3}, Case{0x300005, kWp, 0, 0, 0, true, kW, 7},
    // execute-disable
    Case{0x300003 | kXd, 0, 0, kNx, 0, false, kX, 0x11}, Case{0x300007 | kXd, 0, 0, kNx, 0, true, kX, 0x15}, Case{0x300003 | kXd, 0, 0, kNx, 0, false, kR, -1},
    // reserved bits: XD without NXE, address bits beyond the processor's
    Case{0x300003 | kXd, 0, 0, 0, 0, false, kR, 9}, Case{0x300003 | u64{1} << 46, 0, 0, kNx, 0, false, kW, 0xb}, Case{0x300003 | u64{1} << 51, 0, 0, kNx, 0, true, kR, 0xd},
    // SMEP, SMAP
    Case{0x300007, 0, kSmep, 0, 0, false, kX, 0x11}, Case{0x300003, 0, kSmep, 0, 0, false, kX, -1}, Case{0x300007, 0, kSmap, 0, 0, false, kR, 1}, Case{0x300007, 0, kSmap, 0, 0, false, kW, 3},
    Case{0x300007, 0, kSmap, 0, kAc, false, kR, -1}, Case{0x300003, 0, kSmap, 0, 0, false, kR, -1}, Case{0x300007, 0, kSmap, 0, 0, true, kR, -1}, Case{0x300007, 0, kSmap, 0, 0, false, kX, -1}));

TEST(mmu, smap_refuses_implicit_accesses_whatever_ac_says) {  // SDM 3A "Access Rights"
  TestMachine m;
  m.cpu->cr4 |= cr4::SMAP;
  m.cpu->flags |= rflags::AC;
  m.cpu->update();
  u64 v;
  EXPECT_TRUE(m.cpu->load_at(0x30000, v));
  EXPECT_FALSE(m.cpu->load_system(0x30000, &v, 8));
  EXPECT_EQ(m.cpu->fault.error, 1u);
}

TEST(mmu, alignment_check_is_for_cpl_3_only) {  // SDM 3A "Interrupt 17-Alignment Check Exception (#AC)"
  TestMachine m;
  Cpu& c = *m.cpu;
  c.cr0 |= cr0::AM;
  c.flags |= rflags::AC;
  c.update();
  u32 v;
  EXPECT_TRUE(c.load_at(0x30001, v));
  set_user(c, Mode::long64);
  EXPECT_TRUE(c.load_at(0x30004, v));
  EXPECT_FALSE(c.load_at(0x30001, v));
  EXPECT_EQ(c.fault.vector, AC);
  EXPECT_TRUE(c.fault.has_error);
  EXPECT_EQ(c.fault.error, 0u);
}

// --- IDT ---------------------------------------------------------------------------------------------------

struct Idt {
  TestMachine m;
  Cpu& c;
  explicit Idt(Mode mode = Mode::long64) : m(mode), c(*m.cpu) {
    if (mode == Mode::long64) {
      m.poke<u64>(kTss + 4, kStack0);
      for (unsigned n = 0; n < 7; ++n) m.poke<u64>(kTss + 36 + 8 * n, kIst + 0x100 * n);
    } else {
      m.poke<u32>(kTss + 4, kStack0);
      m.poke<u16>(kTss + 8, 0x10);
    }
    c.tr = {kTss, 0x67, 0x8b, 0x38};
  }
  void gate(unsigned v, u32 type_dpl_p, u16 sel, unsigned ist = 0) {
    const u64 h = TestMachine::kHandlers + 16 * v;
    const u64 lo = (h & 0xffff) | u64{sel} << 16 | u64{ist} << 32 | u64{type_dpl_p} << 40 | (h >> 16 & 0xffff) << 48;
    if (m.mode == Mode::long64) { m.poke<u64>(TestMachine::kIdt + 16 * v, lo); m.poke<u64>(TestMachine::kIdt + 16 * v + 8, h >> 32); }
    else m.poke<u64>(TestMachine::kIdt + 8 * v, lo);
  }
  /// Runs INT `v` at CPL 3 or 0.
  int soft(u8 v, bool user) {
    if (user) set_user(c, m.mode);
    return m.run({0xcd, v});
  }
};

TEST(idt, long_mode_to_an_inner_level_pushes_five_and_nulls_ss) {  // SDM 3A "64-Bit Mode Stack Frame"
  Idt t;
  t.gate(0x80, 0xee, 0x08);
  t.c.set_rflags(0x202 | rflags::CF);
  EXPECT_EQ(t.soft(0x80, true), 0x80);
  EXPECT_EQ(t.c.r[4], kStack0 - 40);
  EXPECT_EQ(t.m.peek<u64>(kStack0 - 8), 0x2bu);
  EXPECT_EQ(t.m.peek<u64>(kStack0 - 16), TestMachine::kStack);
  EXPECT_EQ(t.m.peek<u64>(kStack0 - 24), 0x203u);
  EXPECT_EQ(t.m.peek<u64>(kStack0 - 32), 0x23u);
  EXPECT_EQ(t.m.peek<u64>(kStack0 - 40), TestMachine::kCode + 2);
  EXPECT_EQ(t.c.seg[SS].sel, 0u);
  EXPECT_TRUE(t.c.seg[SS].unusable());
  EXPECT_EQ(t.c.cpl(), 0u);
  EXPECT_FALSE(t.c.flags & rflags::IF);
}

TEST(idt, a_trap_gate_leaves_if_alone) {
  Idt t;
  t.gate(0x80, 0xef, 0x08);
  t.c.set_rflags(0x202);
  EXPECT_EQ(t.soft(0x80, true), 0x80);
  EXPECT_TRUE(t.c.flags & rflags::IF);
}

TEST(idt, long_mode_same_level_aligns_the_stack) {
  Idt t;
  t.c.r[4] = TestMachine::kStack - 3;
  EXPECT_EQ(t.soft(0x80, false), 0x80);
  EXPECT_EQ(t.c.r[4], ((TestMachine::kStack - 3) & ~u64{15}) - 40);
  EXPECT_EQ(t.c.seg[SS].sel, 0x10u);
}

TEST(idt, ist_switches_stacks_at_every_level) {  // SDM 3A "Interrupt Stack Table"
  Idt t;
  t.gate(0x80, 0xee, 0x08, 3);
  EXPECT_EQ(t.soft(0x80, false), 0x80);
  EXPECT_EQ(t.c.r[4], kIst + 0x200 - 40);
}

// SDM 2 "INT n/INTO/INT3/INT1": error codes
TEST(idt, a_gate_below_cpl_is_gp_for_software_only) {
  Idt t;
  t.gate(GP, 0x8e, 0x08);
  EXPECT_EQ(t.soft(0x80, true), GP);
  EXPECT_EQ(t.m.error_code(), 0x80u * 8 + 2);
  Idt u;
  set_user(u.c, Mode::long64);
  EXPECT_EQ(u.m.run({0x0f, 0x0b}), UD);  // an exception does not look at the DPL
}

TEST(idt, beyond_the_limit_not_present_and_wrong_type) {
  Idt t;
  t.c.idtr.limit = 16 * 0x40 - 1;
  EXPECT_EQ(t.soft(0x40, false), GP);
  EXPECT_EQ(t.m.error_code(), 0x40u * 8 + 2);
  Idt p;
  p.gate(0x40, 0x0e, 0x08);
  EXPECT_EQ(p.soft(0x40, false), NP);
  EXPECT_EQ(p.m.error_code(), 0x40u * 8 + 2);
  Idt w;
  w.gate(0x40, 0x85, 0x08);  // task gate in IA-32e mode
  EXPECT_EQ(w.soft(0x40, false), GP);
  EXPECT_EQ(w.m.error_code(), 0x40u * 8 + 2);
}

TEST(idt, the_gates_code_segment_is_checked) {
  struct { u16 sel; u8 vector; u64 error; } cases[] = {{0, GP, 0}, {0x10, GP, 0x10}, {0x18, GP, 0x18}, {0x1f8, GP, 0x1f8}};  // null, data, 32-bit code, beyond the table
  for (auto& x : cases) {
    Idt t;
    t.gate(0x40, 0x8e, x.sel);
    EXPECT_EQ(t.soft(0x40, false), x.vector) << x.sel;
    EXPECT_EQ(t.m.error_code(), x.error) << x.sel;
  }
}

TEST(idt, faults_in_delivering_an_event_that_is_not_software_have_ext) {  // SDM 3A "Error Code"
  Idt t;
  t.gate(UD, 0x8e, 0x1f8);
  EXPECT_EQ(t.m.run({0x0f, 0x0b}), GP);
  EXPECT_EQ(t.m.error_code(), 0x1f9u);
  Idt n;
  n.gate(UD, 0x0e, 0x08);
  EXPECT_EQ(n.m.run({0x0f, 0x0b}), NP);
  EXPECT_EQ(n.m.error_code(), UD * 8u + 3);
}

// SDM 3A "Conditions for Generating a Double Fault"
TEST(idt, contributory_twice_is_a_double_fault) {
  Idt t;
  t.gate(GP, 0x0e, 0x08);
  EXPECT_EQ(t.m.run({0x6a, 0x7c, 0x0f, 0xa1}), DF) << "POP FS of a selector in no LDT";
}
TEST(idt, a_page_fault_in_delivering_a_page_fault_is_a_double_fault) {
  Idt t;
  t.gate(PF, 0x8e, 0x1f8);
  EXPECT_EQ(t.m.run({0xb8, 0, 0, 0, 0x80, 0x8b, 0x00}), DF);  // mov eax, 2G; mov eax, [rax]
  EXPECT_EQ(t.m.error_code(), 0u);
  EXPECT_EQ(t.c.cr2, 0x80000000u);
}
TEST(idt, a_page_fault_while_delivering_a_benign_event_is_delivered) {
  Idt t;
  t.c.idtr.base = 0x80000000 - 16 * UD;  // the gate of #UD is not mapped, nor any other
  EXPECT_EQ(t.m.run({0x0f, 0x0b}), -2);
  EXPECT_EQ(t.m.stop_.reason(), StopReason::triple_fault);
}
TEST(idt, a_fault_in_delivering_a_double_fault_is_shutdown) {
  Idt t;
  t.c.idtr.limit = 0;
  EXPECT_EQ(t.m.run({0x0f, 0x0b}), -2);
  EXPECT_EQ(t.m.stop_.reason(), StopReason::triple_fault);
  EXPECT_EQ(t.c.rip, TestMachine::kCode);
}

TEST(idt, faults_push_rf_and_traps_do_not) {  // SDM 3B "Instruction-Breakpoint Exception Condition"
  Idt t;
  EXPECT_EQ(t.m.run({0x0f, 0x0b}), UD);
  EXPECT_TRUE(t.m.peek<u64>(t.c.r[4] + 16) & rflags::RF);
  EXPECT_FALSE(t.c.flags & rflags::RF);
  Idt b;
  EXPECT_EQ(b.m.run({0xcc}), BP);
  EXPECT_FALSE(b.m.peek<u64>(b.c.r[4] + 16) & rflags::RF);
  EXPECT_EQ(b.m.peek<u64>(b.c.r[4]), TestMachine::kCode + 1);
}

TEST(idt, protected_mode_inner_level_takes_the_stack_from_the_tss) {  // SDM 3A "Stack Switching"
  Idt t(Mode::protected32);
  t.gate(0x80, 0xee, 0x18);
  EXPECT_EQ(t.soft(0x80, true), 0x80);
  EXPECT_EQ(t.c.r[4], kStack0 - 20);
  EXPECT_EQ(t.m.peek<u32>(kStack0 - 4), 0x2bu);
  EXPECT_EQ(t.m.peek<u32>(kStack0 - 8), TestMachine::kStack);
  EXPECT_EQ(t.m.peek<u32>(kStack0 - 20), TestMachine::kCode + 2);
  EXPECT_EQ(t.c.seg[SS].sel, 0x10u);
}

TEST(idt, a_bad_stack_in_the_tss_is_ts_or_ss) {
  struct { u16 ss; u8 vector; u64 error; } cases[] = {{0, TS, 0}, {0x2b, TS, 0x28}, {0x18, TS, 0x18}, {0x1f8, TS, 0x1f8}};
  for (auto& x : cases) {
    Idt t(Mode::protected32);
    t.gate(0x80, 0xee, 0x18);
    t.gate(TS, 0x8e, 0x30);  // handlers at CPL 3, so that they need no stack from the TSS
    t.m.poke<u16>(kTss + 8, x.ss);
    t.m.poke<u64>(TestMachine::kGdt + 0x30, 0x00cffb000000ffff);
    set_user(t.c, Mode::protected32);
    t.gate(TS, 0xee, 0x33);
    t.m.run({0xcd, 0x80}, 1);
    EXPECT_EQ(t.c.rip, TestMachine::kHandlers + 16 * x.vector) << x.ss;
    EXPECT_EQ(t.m.error_code(), x.error) << x.ss;
  }
}

TEST(idt, sixteen_bit_gates_push_words) {
  Idt t(Mode::protected32);
  const u64 h = 0x1000;
  t.m.poke<u64>(TestMachine::kIdt + 8 * 0x40, h | u64{0x18} << 16 | u64{0x86} << 40);
  t.m.poke<u8>(h, 0xf4);
  t.m.run({0xcd, 0x40});
  EXPECT_EQ(t.c.rip, h + 1);
  EXPECT_EQ(t.c.r[4], TestMachine::kStack - 6);
  EXPECT_EQ(t.m.peek<u16>(TestMachine::kStack - 6), static_cast<u16>(TestMachine::kCode + 2));
}

TEST(idt, real_mode_uses_the_vector_table) {  // SDM 3B "Interrupt and Exception Handling" of real-address mode
  Idt t(Mode::real);
  t.c.set_rflags(0x302);
  t.c.flags &= ~rflags::TF;
  EXPECT_EQ(t.m.run({0xcd, 0x21}), 0x21);
  EXPECT_EQ(t.c.r[4] & 0xffff, 0xf000u - 6);
  EXPECT_EQ(t.m.peek<u16>(0xeffa), 2u);
  EXPECT_EQ(t.m.peek<u16>(0xeffc), TestMachine::kCode >> 4);
  EXPECT_EQ(t.m.peek<u16>(0xeffe), 0x202u);
  EXPECT_FALSE(t.c.flags & rflags::IF);
}

// --- at instruction boundaries ---------------------------------------------------------------------------------

TEST(boundary, single_step_traps_after_each_instruction) {  // SDM 3B "Single-Step Exception Condition"
  Idt t;
  t.c.flags |= rflags::TF;
  EXPECT_EQ(t.m.run({0x90, 0x90}), DB);
  EXPECT_EQ(t.m.peek<u64>(t.c.r[4]), TestMachine::kCode + 1);
  EXPECT_TRUE(t.c.dr[6] & 0x4000);
  EXPECT_TRUE(t.m.peek<u64>(t.c.r[4] + 16) & rflags::TF);
}

TEST(boundary, an_instruction_breakpoint_comes_before_it_executes) {
  Idt t;
  t.c.dr[0] = TestMachine::kCode + 1;
  t.c.dr[7] = 0x402;
  t.c.update();
  t.c.want_attention();
  EXPECT_EQ(t.m.run({0x90, 0xff, 0xc0}), DB);
  EXPECT_EQ(t.m.peek<u64>(t.c.r[4]), TestMachine::kCode + 1);
  EXPECT_EQ(t.c.dr[6] & 0xf, 1u);
  EXPECT_EQ(t.c.r[0], 0u);
}

TEST(boundary, a_data_breakpoint_comes_after_the_access) {
  Idt t;
  t.c.dr[1] = 0x30000;
  t.c.dr[7] = 0x404 | 1u << 20 | 3u << 22;  // write, 4 bytes
  t.c.update();
  EXPECT_EQ(t.m.run({0xbb, 0, 0, 3, 0, 0x8b, 0x03, 0x88, 0x43, 0x03, 0x90}), DB);  // mov ebx, 30000; mov eax, [rbx]; mov [rbx+3], al; nop
  EXPECT_EQ(t.m.peek<u64>(t.c.r[4]), TestMachine::kCode + 10);
  EXPECT_EQ(t.c.dr[6] & 0xf, 2u);
}

TEST(boundary, nmi_is_blocked_until_iret) {  // SDM 3A "Handling Multiple NMIs"
  Idt t;
  t.m.mem.poke32(Hpa{TestMachine::kHandlers + 32}, 0xf4cf48, WriteCause::loader);  // IRETQ; HLT
  t.c.nmi_pending = true;
  t.c.want_attention();
  EXPECT_EQ(t.m.run({0x90}), -1);
  EXPECT_FALSE(t.c.nmi_blocked);
  EXPECT_FALSE(t.c.nmi_pending);
  t.c.nmi_blocked = t.c.nmi_pending = true;
  t.c.want_attention();
  EXPECT_EQ(t.m.run({0x90}), -1);
  EXPECT_TRUE(t.c.nmi_pending);
}

TEST(boundary, an_interrupt_waits_for_if_and_one_instruction_more) {  // SDM 2 "STI"
  Idt t;
  t.c.apic.write_base(0xfee00100);  // disabled: the 8259 gets through
  t.m.pic_level = true;
  t.c.pic_line(true);
  EXPECT_EQ(t.m.run({0x90, 0xfb, 0xff, 0xc0, 0xff, 0xc0}), 0x20);  // nop; sti; inc eax; inc eax
  EXPECT_EQ(t.c.r[0], 1u);
  EXPECT_EQ(t.m.peek<u64>(t.c.r[4]), TestMachine::kCode + 4);
}

TEST(boundary, an_interrupt_ends_hlt) {
  Idt t;
  t.c.apic.write_base(0xfee00100);
  t.c.set_rflags(0x202);
  EXPECT_EQ(t.m.run({0x90}), -1);
  EXPECT_TRUE(t.c.idle());
  t.m.pic_level = true;
  t.c.pic_line(true);
  EXPECT_FALSE(t.c.idle());
  t.m.steps = t.c.run(1);
  EXPECT_EQ(t.m.steps, 1u);
  EXPECT_EQ(t.m.peek<u64>(t.c.r[4]), TestMachine::kCode + 2);
}

}  // namespace
}  // namespace vt::cpu
