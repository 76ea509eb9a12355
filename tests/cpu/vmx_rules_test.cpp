// SPDX-License-Identifier: GPL-2.0-or-later
/// VMX rules as tables: what comes before what, nested walks, injection, what invalidations leave.   SDM 3C
#include "insn/system.hpp"
#include "segments.hpp"
#include "vmx_machine.hpp"

namespace vt::cpu {
namespace {

using M = VmxMachine;
using F = Field;
using Bytes = std::vector<u8>;
enum : int { kException = 0, kTriple = 2, kHlt = 12, kInvlpg = 14, kCr = 28, kDr = 29, kIo = 30, kRdmsr = 31, kWrmsr = 32, kGdtr = 46, kLdtr = 47, kEptViolation = 48, kXsetbv = 55 };

void proc(M& m, u32 v) { m.add(F::CPU_BASED_VM_EXEC_CONTROL, v); }
void proc2(M& m, u32 v) { m.add(F::SECONDARY_VM_EXEC_CONTROL, v); }
/// The guest at CPL 3.
void user(M& m) {
  Segment cs = m.cpu->seg[CS], ss = m.cpu->seg[SS];
  cs.sel = 0x23, cs.ar |= 0x60, ss.sel = 0x2b, ss.ar |= 0x60;
  m.segment(CS, cs), m.segment(SS, ss);
  m.segment(7, {0x72000, 0x67, 0x8b, 0x40});
  m.poke<u64>(0x72004, 0x58000);
  m.poke<u16>(0x72066, 0xffff);  // no ports
}

// SDM 3C "Relative Priority of Faults and VM Exits"
TEST(vmx_priority, of_faults_and_exits) {
  struct { const char* rule; Bytes code; int reason; u32 fault; void (*change)(M&); } rows[] = {
      {"#UD before an exit: CR1", {0x0f, 0x20, 0xc8}, kException, 0x80000306, [](M& m) { proc(m, proc_ctl::cr3_store); }},
      {"CPL before an exit: MOV from CR3", {0x0f, 0x20, 0xd8}, kException, 0x80000b0d, [](M& m) { proc(m, proc_ctl::cr3_store); user(m); }},
      {"the exit otherwise", {0x0f, 0x20, 0xd8}, kCr, 0, [](M& m) { proc(m, proc_ctl::cr3_store); }},
      {"MOV DR: DR4 with CR4.DE", {0x0f, 0x21, 0xe0}, kException, 0x80000306, [](M& m) { proc(m, proc_ctl::mov_dr); m.add(F::GUEST_CR4, cr4::DE); m.add(F::HOST_CR4, cr4::DE); }},
      {"MOV DR: CPL", {0x0f, 0x21, 0xc0}, kException, 0x80000b0d, [](M& m) { proc(m, proc_ctl::mov_dr); user(m); }},
      {"MOV DR: the exit before general detect", {0x0f, 0x21, 0xc0}, kDr, 0, [](M& m) { proc(m, proc_ctl::mov_dr); m.set(F::GUEST_DR7, 0x2400); }},
      {"MOV DR: general detect without the control", {0x0f, 0x21, 0xc0}, kException, 0x80000301, [](M& m) { m.set(F::GUEST_DR7, 0x2400); }},
      {"MOV to DR7: the exit before reserved bits", {0x48, 0x83, 0xc8, 0xff, 0x0f, 0x23, 0xf8}, kDr, 0, [](M& m) { proc(m, proc_ctl::mov_dr); }},
      {"HLT: CPL", {0xf4}, kException, 0x80000b0d, user},
      {"INVLPG: CPL", {0x0f, 0x01, 0x3b}, kException, 0x80000b0d, [](M& m) { proc(m, proc_ctl::invlpg); user(m); }},
      {"RDMSR: CPL", {0x0f, 0x32}, kException, 0x80000b0d, [](M& m) { m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::msr_bitmaps); user(m); }},
      {"RDMSR: the exit before what is no MSR", {0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x32}, kRdmsr, 0, nullptr},
      {"WRMSR: the exit before reserved bits", {0xb9, 0x80, 0, 0, 0xc0, 0x83, 0xca, 0xff, 0x0f, 0x30}, kWrmsr, 0, [](M& m) { m.poke<u8>(M::kMsrBitmap + 0xc10, 1); }},
      {"WRMSR: #GP of reserved bits without it", {0xb9, 0x80, 0, 0, 0xc0, 0x83, 0xca, 0xff, 0x0f, 0x30}, kException, 0x80000b0d, nullptr},
      {"I/O: permission before the exit", {0xe4, 0x80}, kException, 0x80000b0d, [](M& m) { m.poke<u8>(M::kIoA + 0x10, 1); user(m); }},
      {"I/O: the exit", {0xe4, 0x80}, kIo, 0, [](M& m) { m.poke<u8>(M::kIoA + 0x10, 1); }},
      {"SGDT: UMIP before the exit", {0x0f, 0x01, 0x03}, kException, 0x80000b0d,
       [](M& m) { proc2(m, proc2_ctl::descriptor_table); m.add(F::GUEST_CR4, cr4::UMIP); user(m); }},
      {"LGDT: the exit before its operand is read", {0x0f, 0x01, 0x14, 0x25, 0, 0, 0, 0x7f}, kGdtr, 0, [](M& m) { proc2(m, proc2_ctl::descriptor_table); }},
      {"LTR: the exit before its selector is looked at", {0x0f, 0x00, 0xd8}, kLdtr, 0, [](M& m) { proc2(m, proc2_ctl::descriptor_table); }},
      {"XSETBV: CPL", {0x0f, 0x01, 0xd1}, kException, 0x80000b0d, user},
      {"XSETBV: the exit before the value", {0x0f, 0x01, 0xd1}, kXsetbv, 0, nullptr},
      {"MOV to CR0: the exit before #GP", {0x0f, 0x22, 0xc0}, kCr, 0, [](M& m) { m.set(F::CR0_GUEST_HOST_MASK, cr0::PE); m.set(F::CR0_READ_SHADOW, cr0::PE); m.cpu->r[0] = cr0::PG; }},
      {"MOV to CR4: #GP of what is not masked", {0x0f, 0x22, 0xe0}, kException, 0x80000b0d, [](M& m) { m.cpu->r[0] = u64{1} << 40; }},
      {"RDTSC: CR4.TSD before the exit", {0x0f, 0x31}, kException, 0x80000b0d, [](M& m) { proc(m, proc_ctl::rdtsc); m.add(F::GUEST_CR4, cr4::TSD); user(m); }},
      {"RDPMC: CR4.PCE before the exit", {0x0f, 0x33}, kException, 0x80000b0d, [](M& m) { proc(m, proc_ctl::rdpmc); user(m); }},
      {"VMREAD: the exit before CPL", {0x0f, 0x78, 0xc0}, 23, 0, user},
      {"VMCALL: the exit before CPL", {0x0f, 0x01, 0xc1}, 18, 0, user},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.rule);
    M m({"+umip"});
    m.fill();
    m.set(F::EXCEPTION_BITMAP, ~0u);
    m.cpu->r[3] = M::kData;
    if (r.change) r.change(m);
    EXPECT_EQ(m.launch(r.code), r.reason);
    if (r.fault) {
      EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), r.fault);
    }
  }
}

// SDM 3C "Priority of VM Exits" over what waits after VM entry
TEST(vmx_priority, among_events_after_entry) {
  struct { const char* rule; void (*change)(M&); int reason; } rows[] = {
      {"TPR below threshold before INIT", [](M& m) {
         proc(m, proc_ctl::tpr_shadow), proc2(m, proc2_ctl::apic_access), m.set(F::APIC_ACCESS_ADDR, 0x67000), m.set(F::VIRTUAL_APIC_ADDR, 0x65000), m.set(F::TPR_THRESHOLD, 4);
         m.poke<u8>(0x65080, 0x10), m.cpu->init_pending = true;
       }, 43},
      {"INIT before debug traps", [](M& m) { m.cpu->init_pending = true; m.set(F::GUEST_PENDING_DBG_EXCEPTIONS, 0x4000); m.add(F::GUEST_RFLAGS, rflags::TF); }, 3},
      {"debug traps before the preemption timer", [](M& m) {
         m.set(F::GUEST_PENDING_DBG_EXCEPTIONS, 0x4000), m.add(F::GUEST_RFLAGS, rflags::TF), m.set(F::EXCEPTION_BITMAP, 2);
         m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::preemption_timer), m.set(F::VMX_PREEMPTION_TIMER_VALUE, 0);
       }, kException},
      {"the preemption timer before NMI windows", [](M& m) {
         m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::preemption_timer | pin_ctl::nmi | pin_ctl::virtual_nmis), m.set(F::VMX_PREEMPTION_TIMER_VALUE, 0), proc(m, proc_ctl::nmi_window);
       }, 52},
      {"NMI windows before NMIs", [](M& m) { m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::nmi | pin_ctl::virtual_nmis); proc(m, proc_ctl::nmi_window); m.cpu->nmi_pending = m.cpu->nmi_blocked = true; }, 8},
      {"NMIs before interrupt windows", [](M& m) { m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::nmi); proc(m, proc_ctl::interrupt_window); m.add(F::GUEST_RFLAGS, rflags::IF); m.cpu->nmi_pending = m.cpu->nmi_blocked = true; }, kException},
      {"interrupt windows before interrupts", [](M& m) {
         m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::external_interrupt), proc(m, proc_ctl::interrupt_window), m.add(F::GUEST_RFLAGS, rflags::IF);
         m.cpu->apic.write_base(0xfee00100), m.pic_level = true, m.cpu->pic_line(true);
       }, 7},
      {"MOV SS holds back a trap", [](M& m) { m.set(F::GUEST_INTERRUPTIBILITY_STATE, 2); m.set(F::GUEST_PENDING_DBG_EXCEPTIONS, 0x4000); m.add(F::GUEST_RFLAGS, rflags::TF); m.set(F::EXCEPTION_BITMAP, 2); }, kHlt},
      {"MOV SS holds back an NMI window", [](M& m) { m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::nmi | pin_ctl::virtual_nmis); proc(m, proc_ctl::nmi_window); m.set(F::GUEST_INTERRUPTIBILITY_STATE, 2); }, kHlt},
      {"STI does not hold back an NMI window", [](M& m) {
         m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::nmi | pin_ctl::virtual_nmis), proc(m, proc_ctl::nmi_window), m.set(F::GUEST_INTERRUPTIBILITY_STATE, 1), m.add(F::GUEST_RFLAGS, rflags::IF);
       }, 8},
      {"STI holds back an interrupt window", [](M& m) { proc(m, proc_ctl::interrupt_window); m.set(F::GUEST_INTERRUPTIBILITY_STATE, 1); m.add(F::GUEST_RFLAGS, rflags::IF); }, kHlt},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.rule);
    M m;
    m.fill();
    r.change(m);
    m.cpu->want_attention();
    m.launch({});  // an NMI that is left over is the host's then
    EXPECT_EQ(m.get(F::VM_EXIT_REASON), static_cast<u64>(r.reason));
  }
}

// SDM 3C "Details of Vectored-Event Injection": RF is pushed, and saved by an exit, as it was loaded
TEST(vmx_injection, rf_is_not_changed_by_the_kind_of_event) {
  for (u32 info : {0x80000306u, 0x80000b0eu, 0x80000202u, 0x80000040u})
    for (bool rf : {false, true})
      for (bool violation : {false, true}) {
        M m;
        m.fill();
        m.identity_ept();
        if (violation) m.poke<u64>(m.ept_entry(M::kGuestStack - 8), 0);
        m.add(F::GUEST_RFLAGS, rflags::IF | (rf ? rflags::RF : 0));
        m.set(F::VM_ENTRY_INTR_INFO, info);
        EXPECT_EQ(m.launch({}), violation ? kEptViolation : kHlt);
        const bool got = violation ? m.get(F::GUEST_RFLAGS) & rflags::RF : m.peek<u64>(m.get(F::GUEST_RSP) + (info & 0x800 ? 24 : 16)) & rflags::RF;
        EXPECT_EQ(got, rf) << std::hex << info;
        EXPECT_EQ(m.get(F::IDT_VECTORING_INFO), violation ? info : 0u);
      }
}

// SDM 3C "VM Exits": which exits an injected event's delivery can end in, and what they say of it
TEST(vmx_injection, what_goes_wrong_in_its_delivery) {
  struct { const char* rule; u32 info, length; void (*change)(M&); int reason; u32 intr, vectoring; } rows[] = {
      {"gate not present", 0x80000040, 0, [](M& m) { m.poke<u8>(M::kIdt + 16 * 0x40 + 5, 0x0e); }, kException, 0x80000b0b, 0x80000040},
      {"gate beyond the limit", 0x80000306, 0, [](M& m) { m.set(F::GUEST_IDTR_LIMIT, 0x60); }, kException, 0x80000b0d, 0x80000306},
      {"software: DPL", 0x80000480, 2, user, kException, 0x80000b0d, 0x80000480},
      {"privileged software: no DPL", 0x80000501, 1, user, kHlt, 0, 0},
      {"contributory twice: #DF, which exits directly", 0x80000b0d, 0, [](M& m) { m.poke<u8>(M::kIdt + 16 * GP + 5, 0x0e); }, kException, 0x80000b08, 0},
      {"#DF that fails: a triple fault", 0x80000b08, 0, [](M& m) { m.poke<u8>(M::kIdt + 16 * 8 + 5, 0x0e); }, kTriple, 0, 0},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.rule);
    M m;
    m.fill();
    m.set(F::EXCEPTION_BITMAP, 1u << NP | 1u << GP | 1u << DF);
    m.add(F::GUEST_RFLAGS, rflags::IF);
    m.set(F::VM_ENTRY_INTR_INFO, r.info), m.set(F::VM_ENTRY_INSTRUCTION_LENGTH, r.length);
    r.change(m);
    if (r.info == 0x80000b0d) m.set(F::EXCEPTION_BITMAP, 1u << DF);
    EXPECT_EQ(m.launch({}), r.reason);
    if (r.reason != kHlt) {
      EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest);
      EXPECT_EQ(m.get(F::IDT_VECTORING_INFO), r.vectoring);
    }
    if (r.reason == kException) {
      EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), r.intr);
    }
  }
}

/// Each level of the guest's walk refused by EPT: as a read, and as the write that EPT's A/D flags or the guest's own A/D flags make of it.
/// SDM 3C "Exit Qualification for EPT Violations", "Accessed and Dirty Flags for EPT"
TEST(vmx_nested_walk, faults_in_the_middle) {
  constexpr u64 kTables = 0x80000, kLa = 0x7ff0'0000'5123;
  for (unsigned level = 3; level >= 1; --level)
    for (bool ad : {false, true})
      for (unsigned rights : {0u, 1u, 3u}) {
        M m;
        m.fill();
        m.identity_ept();
        if (ad) m.add(F::EPT_POINTER, 0x40);
        // The guest maps kLa to kData by tables of its own at kTables, one page for each level; accessed flags are clear.
        u64 at[5], table = TestMachine::kPml4;
        for (unsigned l = 4; l >= 1; --l) {
          at[l] = table + 8 * (kLa >> (12 + 9 * (l - 1)) & 511);
          const u64 next = l == 1 ? M::kData : kTables + 0x1000 * l;
          m.poke<u64>(at[l], next | 3);
          table = next;
        }
        m.poke<u64>(m.ept_entry(at[level]), (at[level] & ~u64{0xfff}) | 0x30 | rights);
        m.cpu->r[3] = kLa;
        const int reason = m.launch({0x8b, 0x03});
        if (rights == 3) {
          EXPECT_EQ(reason, kHlt);
          continue;
        }
        EXPECT_EQ(reason, kEptViolation) << level << ad << rights;
        // With A/D flags for EPT the read counts as a write too; without, the guest's accessed flag is what is written.
        const u64 wanted = ad ? 3 : rights == 0 ? 1 : 2;
        EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 0x80 | wanted | (rights & 7) << 3) << level << ad << rights;
        EXPECT_EQ(m.get(F::GUEST_PHYSICAL_ADDRESS), at[level]);
        EXPECT_EQ(m.get(F::GUEST_LINEAR_ADDRESS), kLa);
        EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest);
        // Repaired, it goes on.
        m.poke<u64>(m.ept_entry(at[level]), (at[level] & ~u64{0xfff}) | 0x37);
        EXPECT_EQ(m.again(), kHlt);
        EXPECT_TRUE(m.peek<u64>(at[level]) & 0x20);
      }
}

TEST(vmx_nested_walk, a_32_bit_entry_has_its_own_address) {
  M m;
  m.fill();
  m.real_guest();
  m.set(F::GUEST_CR0, 0x80000031), m.set(F::GUEST_CR3, 0x80000);
  m.segment(CS, {0, ~0u, 0xc09b, 8});
  for (unsigned n : {ES, SS, DS, FS, GS}) m.segment(n, {0, ~0u, 0xc093, 0x10});
  m.set(F::GUEST_RIP, M::kGuest), m.set(F::GUEST_RSP, M::kGuestStack);
  m.poke<u32>(0x80000, 0x81003), m.poke<u32>(0x80004, 0x82003);
  for (u32 n = 0; n < 512; ++n) m.poke<u32>(0x81000 + 4 * n, n << 12 | 3);
  m.poke<u64>(m.ept_entry(0x82000), 0);
  m.cpu->r[3] = 0x403123;  // entry 3 of the second table
  EXPECT_EQ(m.launch({0x8b, 0x03}), kEptViolation);
  EXPECT_EQ(m.get(F::GUEST_PHYSICAL_ADDRESS), 0x8200cu);
}

TEST(vmx_nested_walk, loads_of_pdptes_are_reads) {  // SDM 3C "Accessed and Dirty Flags for EPT"
  for (unsigned rights : {0u, 1u}) {
    M m;
    m.fill();
    m.real_guest();
    m.add(F::EPT_POINTER, 0x40);
    m.set(F::GUEST_CR0, 0x80000031), m.add(F::GUEST_CR4, cr4::PAE);
    m.segment(CS, {0, ~0u, 0xc09b, 8});
    for (unsigned n : {ES, SS, DS, FS, GS}) m.segment(n, {0, ~0u, 0xc093, 0x10});
    m.set(F::GUEST_RIP, M::kGuest), m.set(F::GUEST_RSP, M::kGuestStack), m.set(F::GUEST_CR3, 0x80000);
    m.set(F::GUEST_PDPTE0, (TestMachine::kPml4 + 0x2000) | 1);
    m.poke<u64>(0x80000, (TestMachine::kPml4 + 0x2000) | 1);
    m.poke<u64>(m.ept_entry(0x80000), 0x80000 | 0x30 | rights);
    m.cpu->r[0] = 0x80000;
    const int reason = m.launch({0x0f, 0x22, 0xd8});  // mov cr3, eax
    EXPECT_EQ(reason, rights ? kHlt : kEptViolation);
    if (!rights) {
      EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 1u) << "no linear address";
      EXPECT_EQ(m.get(F::GUEST_PHYSICAL_ADDRESS), 0x80000u);
    } else {
      EXPECT_EQ(m.peek<u64>(m.ept_entry(0x80000)) & 0x300, 0x100u) << "accessed, not dirty";
    }
  }
}

/// A translation that a guest has used, then changed without telling; what the host or the guest does; whether it is seen.
/// SDM 3C "Operations that Invalidate Cached Mappings"
TEST(vmx_tlb, what_survives) {
  enum class Change { guest_table, ept };
  struct { const char* what; Change change; bool vpid; void (*act)(M&); bool old; } rows[] = {
      {"nothing, VPID off", Change::guest_table, false, [](M&) {}, false},
      {"nothing", Change::guest_table, true, [](M&) {}, true},
      {"nothing, EPT", Change::ept, true, [](M&) {}, true},
      {"INVVPID of one address", Change::guest_table, true, [](M& m) { m.cpu->tlb.flush_page_vpid(7, M::kData + 0x400000); }, false},
      {"INVVPID of another address", Change::guest_table, true, [](M& m) { m.cpu->tlb.flush_page_vpid(7, M::kData + 0x800000); }, true},
      {"INVVPID of another VPID", Change::guest_table, true, [](M& m) { m.cpu->tlb.flush_vpid(8, false); }, true},
      {"INVVPID single-context", Change::guest_table, true, [](M& m) { m.cpu->tlb.flush_vpid(7, false); }, false},
      {"INVVPID all-context", Change::guest_table, true, [](M& m) { m.cpu->tlb.flush_nonzero_vpids(); }, false},
      {"INVEPT single-context", Change::ept, true, [](M& m) { m.cpu->tlb.flush_eptp(M::kEptPml4); }, false},
      {"INVEPT of another EPTP", Change::ept, true, [](M& m) { m.cpu->tlb.flush_eptp(M::kEptPml4 + 0x10000); }, true},
      {"INVEPT all-context", Change::ept, true, [](M& m) { m.cpu->tlb.flush_ept_tagged(); }, false},
      {"another VPID at the next entry", Change::guest_table, true, [](M& m) { m.set(F::VIRTUAL_PROCESSOR_ID, 9); }, false},
      {"the host's MOV CR3", Change::guest_table, true, [](M& m) { write_cr3(*m.cpu, m.cpu->cr3); }, true},
      {"the host's toggling of CR4.PGE", Change::guest_table, true, [](M& m) { write_cr4(*m.cpu, m.cpu->cr4 ^ cr4::PGE), write_cr4(*m.cpu, m.cpu->cr4 ^ cr4::PGE); }, true},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.what);
    M m;
    m.fill();
    m.identity_ept();
    if (r.vpid) proc2(m, proc2_ctl::vpid), m.set(F::VIRTUAL_PROCESSOR_ID, 7);
    const u64 la = M::kData + 0x400000;
    m.cpu->r[3] = la;
    m.poke<u32>(la, 0xaaaa), m.poke<u32>(la + 0x200000, 0xbbbb);
    ASSERT_EQ(m.launch({0x8b, 0x03}), kHlt);
    ASSERT_EQ(m.cpu->r[0], 0xaaaau);
    if (r.change == Change::guest_table) m.poke<u64>(TestMachine::kPml4 + 0x2000 + 16, u64{3} << 21 | 0x87);
    else m.poke<u64>(M::kEptPml4 + 0x2000 + 16, u64{3} << 21 | 0xb7);
    r.act(m);
    m.set(F::GUEST_RIP, M::kGuest);
    ASSERT_EQ(m.again(), kHlt);
    EXPECT_EQ(m.cpu->r[0], r.old ? 0xaaaau : 0xbbbbu);
  }
}

/// What the guest itself does to its translations.
TEST(vmx_tlb, what_a_guest_invalidates) {
  struct { const char* what; Bytes act; bool old; } rows[] = {
      {"NOP", {0x90, 0x90, 0x90}, true}, {"INVLPG", {0x0f, 0x01, 0x3b}, false}, {"MOV CR3", {0x0f, 0x22, 0xd9}, false}, {"MOV CR4 as it was", {0x0f, 0x22, 0xe2}, true}};
  for (auto& r : rows) {
    SCOPED_TRACE(r.what);
    M m;
    m.fill();
    m.identity_ept();
    m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::cr3_load);
    proc2(m, proc2_ctl::vpid), m.set(F::VIRTUAL_PROCESSOR_ID, 7);
    const u64 la = M::kData + 0x400000;
    m.cpu->r[3] = la, m.cpu->r[1] = m.cpu->cr3, m.cpu->r[2] = m.cpu->cr4;
    m.cpu->r[6] = TestMachine::kPml4 + 0x2000 + 16, m.cpu->r[7] = u64{3} << 21 | 0x87;
    m.poke<u32>(la, 0xaaaa), m.poke<u32>(la + 0x200000, 0xbbbb);
    Bytes code = {0x8b, 0x03, 0x48, 0x89, 0x3e};  // mov eax, [rbx]; mov [rsi], rdi
    code.insert(code.end(), r.act.begin(), r.act.end());
    code.insert(code.end(), {0x8b, 0x03});
    ASSERT_EQ(m.launch(code), kHlt);
    EXPECT_EQ(m.cpu->r[0], r.old ? 0xaaaau : 0xbbbbu);
  }
}

// SDM 3C "VMX Aborts"
TEST(vmx_abort, each_indicator) {
  struct { const char* what; void (*change)(M&); u32 indicator; } rows[] = {
      {"store area", [](M& m) { m.set(F::VM_EXIT_MSR_STORE_COUNT, 1); m.set(F::VM_EXIT_MSR_STORE_ADDR, M::kList); m.poke<u64>(M::kList, 0x12345678); }, 1},
      {"store area, upper half of an index", [](M& m) { m.set(F::VM_EXIT_MSR_STORE_COUNT, 1); m.set(F::VM_EXIT_MSR_STORE_ADDR, M::kList); m.poke<u64>(M::kList, u64{1} << 32 | 0x10); }, 1},
      {"load area", [](M& m) { m.set(F::VM_EXIT_MSR_LOAD_COUNT, 1); m.set(F::VM_EXIT_MSR_LOAD_ADDR, M::kList); m.poke<u64>(M::kList, 0xc0000100); }, 4},
      {"load area, an x2APIC register", [](M& m) { m.set(F::VM_EXIT_MSR_LOAD_COUNT, 1); m.set(F::VM_EXIT_MSR_LOAD_ADDR, M::kList); m.poke<u64>(M::kList, 0x80b); }, 4},
      {"load area, a value that WRMSR refuses", [](M& m) { m.set(F::VM_EXIT_MSR_LOAD_COUNT, 1); m.set(F::VM_EXIT_MSR_LOAD_ADDR, M::kList); m.poke<u64>(M::kList, 0x277); m.poke<u64>(M::kList + 8, 2); }, 4},
  };
  for (auto& r : rows) {
    SCOPED_TRACE(r.what);
    M m;
    m.fill();
    r.change(m);
    m.launch({});
    EXPECT_EQ(m.peek<u32>(M::kVmcs + vmcs_page::abort_indicator), r.indicator);
    EXPECT_EQ(m.cpu->activity, Activity::shutdown);
    EXPECT_EQ(m.stop_.reason(), StopReason::triple_fault);
  }
}

/// A host in protected mode, with or without PAE paging, whose guest is without paging.
struct Host32 : VmxMachine {
  explicit Host32(bool pae) {
    enter(Mode::protected32);
    Cpu& c = *cpu;
    c.cr4 |= cr4::VMXE | cr4::PSE | cr4::OSXSAVE | (pae ? cr4::PAE : 0);
    c.tr.sel = 0x40;
    c.efer = 0;
    for (u32 n = 0; n < 4; ++n) poke<u64>(0x90000 + 8 * n, 0x91001 + 0x1000 * n);
    for (u64 n = 0; n < 2048; ++n) poke<u64>(0x91000 + 8 * n, n << 21 | 0x83);
    for (u32 n = 0; n < 1024; ++n) poke<u32>(0x98000 + 4 * n, n << 22 | 0x83);
    c.cr3 = pae ? 0x90000 : 0x98000;
    for (unsigned n = 0; n < 4; ++n) c.pdpte[n] = 0x91001 + 0x1000 * n;
    c.cr0 |= cr0::PG;
    c.update();
    fill();
    identity_ept();
    set(F::VM_EXIT_CONTROLS, 0x3'6dff), set(F::VM_ENTRY_CONTROLS, 0x11ff);
    set(F::HOST_CS_SELECTOR, 0x18);
    add(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::unrestricted_guest);
    set(F::GUEST_CR0, 0x31), set(F::GUEST_CR4, cr4::VMXE);
  }
};
TEST(vmx_abort, a_32_bit_host) {
  for (bool pae : {false, true}) {
    Host32 good(pae);
    EXPECT_EQ(good.launch({}), kHlt);
    EXPECT_EQ(good.cpu->pdpte[3], 0x94001u);
  }
  Host32 bad(true);
  bad.poke<u64>(0x90018, 0x94003);
  bad.launch({});
  EXPECT_EQ(bad.peek<u32>(M::kVmcs + vmcs_page::abort_indicator), 2u) << "a PDPTE with a reserved bit";
  // The guest goes to IA-32e mode on its own: mov cr4, ecx; wrmsr EFER; mov cr0, edi
  Host32 m(false);
  Cpu& c = *m.cpu;
  c.r[7] = 0x80000031, c.r[3] = cr4::VMXE | cr4::PAE;
  m.set(F::GUEST_CR3, TestMachine::kPml4);
  m.poke<u64>(TestMachine::kPml4, (TestMachine::kPml4 + 0x1000) | 7);
  m.poke<u64>(TestMachine::kPml4 + 0x1000, 0x87);
  m.launch({0x0f, 0x22, 0xe3, 0xb9, 0x80, 0, 0, 0xc0, 0xb8, 0, 1, 0, 0, 0x31, 0xd2, 0x0f, 0x30, 0x0f, 0x22, 0xc7, 0x90});
  EXPECT_EQ(m.peek<u32>(M::kVmcs + vmcs_page::abort_indicator), 6u);
  EXPECT_EQ(c.activity, Activity::shutdown);
}

// SDM 3C "Loading Host Control Registers, Debug Registers, MSRs": IA32_EFER.LME and LMA are the VM-exit control "host address-space size"
TEST(vmx_exit, a_32_bit_host_has_neither_LME_nor_LMA) {
  Host32 m(true);
  EXPECT_EQ(m.launch({0xb9, 0x80, 0, 0, 0xc0, 0xb8, 1, 9, 0, 0, 0x31, 0xd2, 0x0f, 0x30}), kHlt);   // IA32_EFER: SCE, LME, NXE
  EXPECT_EQ(m.cpu->efer, u64{0x801}) << "and the guest's other bits";
}

// --- every exit reason ----------------------------------------------------------------------------------------------

struct ExitCase { ExitReason reason; Bytes code; u64 qualification; u32 length; void (*change)(M&); };
/// The guest's RAX is 0, RBX kData, RCX 0x277. Length 0: not looked at.
const std::vector<ExitCase>& exit_cases() {
  using enum ExitReason;
  static const auto pending_interrupt = [](M& m) { m.cpu->apic.write_base(0xfee00100), m.pic_level = true, m.cpu->pic_line(true); };
  static const std::vector<ExitCase> cases = {
      {exception_nmi, {0x0f, 0x0b}, 0, 0, [](M& m) { m.set(F::EXCEPTION_BITMAP, 1u << UD); }},
      {exception_nmi, {0x8b, 0x04, 0x25, 0, 0, 0, 0x7f}, 0x7f000000, 0, [](M& m) { m.set(F::EXCEPTION_BITMAP, 1u << PF); }},
      {exception_nmi, {0x90}, 0x4000, 0, [](M& m) { m.set(F::EXCEPTION_BITMAP, 1u << DB); m.add(F::GUEST_RFLAGS, rflags::TF); }},
      {external_interrupt, {0x90}, 0, 0, [](M& m) { m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::external_interrupt); pending_interrupt(m); }},
      {triple_fault, {0x0f, 0x0b}, 0, 0, [](M& m) { m.set(F::GUEST_IDTR_LIMIT, 0); }},
      {init, {0x90}, 0, 0, [](M& m) { m.cpu->init_pending = true; }},
      {sipi, {0x90}, 0x12, 0, [](M& m) { m.set(F::GUEST_ACTIVITY_STATE, 3); }},
      {interrupt_window, {0x90}, 0, 0, [](M& m) { proc(m, proc_ctl::interrupt_window); m.add(F::GUEST_RFLAGS, rflags::IF); }},
      {nmi_window, {0x90}, 0, 0, [](M& m) { m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::nmi | pin_ctl::virtual_nmis); proc(m, proc_ctl::nmi_window); }},
      {cpuid, {0x0f, 0xa2}, 0, 2, nullptr},
      {hlt, {0x90, 0xf4}, 0, 1, nullptr},
      {invd, {0x0f, 0x08}, 0, 2, nullptr},
      {invlpg, {0x0f, 0x01, 0x3b}, M::kData, 3, [](M& m) { proc(m, proc_ctl::invlpg); }},
      {rdpmc, {0x0f, 0x33}, 0, 2, [](M& m) { proc(m, proc_ctl::rdpmc); }},
      {rdtsc, {0x0f, 0x31}, 0, 2, [](M& m) { proc(m, proc_ctl::rdtsc); }},
      {vmcall, {0x0f, 0x01, 0xc1}, 0, 3, nullptr},
      {vmclear, {0x66, 0x0f, 0xc7, 0x73, 8}, 8, 5, nullptr},
      {vmlaunch, {0x0f, 0x01, 0xc2}, 0, 3, nullptr},
      {vmptrld, {0x0f, 0xc7, 0x33}, 0, 3, nullptr},
      {vmptrst, {0x0f, 0xc7, 0x7b, 0x80}, ~u64{0x7f}, 4, nullptr},
      {vmread, {0x0f, 0x78, 0xc0}, 0, 3, nullptr},
      {vmresume, {0x0f, 0x01, 0xc3}, 0, 3, nullptr},
      {vmwrite, {0x0f, 0x79, 0xc0}, 0, 3, nullptr},
      {vmxoff, {0x0f, 0x01, 0xc4}, 0, 3, nullptr},
      {vmxon, {0xf3, 0x0f, 0xc7, 0x33}, 0, 4, nullptr},
      {cr_access, {0x0f, 0x22, 0xd8}, 3, 3, [](M& m) { proc(m, proc_ctl::cr3_load); }},
      {cr_access, {0x0f, 0x20, 0xdb}, 3 | 1 << 4 | 3 << 8, 3, [](M& m) { proc(m, proc_ctl::cr3_store); }},
      {cr_access, {0x0f, 0x06}, 2 << 4, 2, [](M& m) { m.set(F::CR0_GUEST_HOST_MASK, cr0::TS); m.set(F::CR0_READ_SHADOW, cr0::TS); }},
      {cr_access, {0x0f, 0x01, 0xf3}, 3 << 4, 3, [](M& m) { m.cpu->r[3] = 0; m.set(F::CR0_GUEST_HOST_MASK, cr0::MP); m.set(F::CR0_READ_SHADOW, cr0::MP); }},
      {cr_access, {0x44, 0x0f, 0x22, 0xc0}, 8, 4, [](M& m) { proc(m, proc_ctl::cr8_load); }},
      {cr_access, {0x44, 0x0f, 0x20, 0xc0}, 8 | 1 << 4, 4, [](M& m) { proc(m, proc_ctl::cr8_store); }},
      {dr_access, {0x0f, 0x23, 0xeb}, 5 | 3 << 8, 3, [](M& m) { proc(m, proc_ctl::mov_dr); }},
      {dr_access, {0x0f, 0x21, 0xfb}, 7 | 1 << 4 | 3 << 8, 3, [](M& m) { proc(m, proc_ctl::mov_dr); }},
      {io, {0xe4, 0x80}, 0x80'0048, 2, [](M& m) { m.poke<u8>(M::kIoA + 0x10, 1); }},
      {rdmsr, {0x0f, 0x32}, 0, 2, [](M& m) { m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::msr_bitmaps); }},
      {wrmsr, {0x0f, 0x30}, 0, 2, [](M& m) { m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::msr_bitmaps); }},
      {entry_guest_state, {0x90}, 0, 0, [](M& m) { m.set(F::GUEST_RFLAGS, 0); }},
      {entry_guest_state, {0x90}, 4, 0, [](M& m) { m.set(F::VMCS_LINK_POINTER, M::kVmcs); }},
      {entry_msr_load, {0x90}, 2, 0, [](M& m) {
         m.set(F::VM_ENTRY_MSR_LOAD_COUNT, 2), m.set(F::VM_ENTRY_MSR_LOAD_ADDR, M::kList);
         m.poke<u64>(M::kList, 0x277), m.poke<u64>(M::kList + 8, m.cpu->msr.pat), m.poke<u64>(M::kList + 16, 0x8b);
       }},
      {mwait, {0x0f, 0x01, 0xc9}, 0, 3, [](M& m) { proc(m, proc_ctl::mwait); m.cpu->msr.misc_enable |= 1u << 18; }},
      {mtf, {0x90, 0x90}, 0, 0, [](M& m) { proc(m, proc_ctl::monitor_trap); }},
      {monitor, {0x0f, 0x01, 0xc8}, 0, 3, [](M& m) { proc(m, proc_ctl::monitor); m.cpu->msr.misc_enable |= 1u << 18; }},
      {pause, {0xf3, 0x90}, 0, 2, [](M& m) { proc(m, proc_ctl::pause); }},
      {tpr_below_threshold, {0x44, 0x0f, 0x22, 0xc0}, 0, 0, [](M& m) {
         proc(m, proc_ctl::tpr_shadow), m.set(F::VIRTUAL_APIC_ADDR, 0x65000), m.set(F::TPR_THRESHOLD, 4), m.poke<u8>(0x65080, 0x50);
       }},
      {apic_access, {0x8b, 0x83, 0, 1, 0, 0}, 0x100, 0, [](M& m) { proc(m, proc_ctl::tpr_shadow), m.set(F::VIRTUAL_APIC_ADDR, 0x65000), proc2(m, proc2_ctl::apic_access), m.set(F::APIC_ACCESS_ADDR, M::kData); }},
      {gdtr_idtr, {0x0f, 0x01, 0x1b}, 0, 3, [](M& m) { proc2(m, proc2_ctl::descriptor_table); }},
      {ldtr_tr, {0x0f, 0x00, 0xc8}, 0, 3, [](M& m) { proc2(m, proc2_ctl::descriptor_table); }},
      {ept_violation, {0x89, 0x03}, 0x182, 0, [](M& m) { m.identity_ept(); m.poke<u64>(m.ept_entry(M::kData), 0); }},
      {ept_misconfig, {0x89, 0x03}, 0, 0, [](M& m) { m.identity_ept(); m.poke<u64>(m.ept_entry(M::kData), 2); }},
      {invept, {0x66, 0x0f, 0x38, 0x80, 0x03}, 0, 5, nullptr},
      {rdtscp, {0x0f, 0x01, 0xf9}, 0, 3, [](M& m) { proc(m, proc_ctl::rdtsc); }},
      {preemption_timer, {0xeb, 0xfe}, 0, 0, [](M& m) { m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::preemption_timer); m.set(F::VMX_PREEMPTION_TIMER_VALUE, 3); }},
      {invvpid, {0x66, 0x0f, 0x38, 0x81, 0x03}, 0, 5, nullptr},
      {wbinvd, {0x0f, 0x09}, 0, 2, [](M& m) { proc2(m, proc2_ctl::wbinvd); }},
      {xsetbv, {0x0f, 0x01, 0xd1}, 0, 3, nullptr},
      {rdrand, {0x0f, 0xc7, 0xf0}, 0, 3, [](M& m) { proc2(m, proc2_ctl::rdrand); }},
      {invpcid, {0x66, 0x0f, 0x38, 0x82, 0x03}, 0, 5, [](M& m) { proc2(m, proc2_ctl::invpcid); proc(m, proc_ctl::invlpg); }},
      {rdseed, {0x0f, 0xc7, 0xf8}, 0, 3, [](M& m) { proc2(m, proc2_ctl::rdseed); }},
  };
  return cases;
}

TEST(vmx_exit, every_reason_with_qualification_and_length) {  // SDM 3C "Exit Qualification", "Information for VM Exits Due to Instruction Execution"
  for (const ExitCase& t : exit_cases()) {
    const unsigned number = static_cast<unsigned>(t.reason);
    SCOPED_TRACE(number);
    M m({"+rdrand", "+rdseed", "+invpcid", "+monitor"});
    m.fill();
    m.cpu->r[0] = 0, m.cpu->r[3] = M::kData, m.cpu->r[1] = 0x277;
    if (t.change) t.change(m);
    m.cpu->want_attention();
    if (t.reason == ExitReason::init || t.reason == ExitReason::external_interrupt) m.cpu->flags &= ~rflags::IF;
    m.launch(t.code);
    if (t.reason == ExitReason::sipi) {
      m.cpu->sipi_pending = true, m.cpu->sipi_vector = 0x12, m.cpu->want_attention();
      m.cpu->run(10);
      tested("VM-exit reason", number);
    }
    EXPECT_EQ(m.get(F::VM_EXIT_REASON) & 0xffff, number);
    EXPECT_EQ(m.get(F::VM_EXIT_REASON) >> 31, t.reason == ExitReason::entry_guest_state || t.reason == ExitReason::entry_msr_load);
    EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), t.qualification);
    if (t.length) {
      EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), t.length);
    }
  }
}

TEST(vmx_exit, every_reason_that_can_come_has_a_case) {
  for (const ExitRow& row : exit_rows()) {
    const auto& cases = exit_cases();
    const bool here = std::any_of(cases.begin(), cases.end(), [&](const ExitCase& t) { return t.reason == row.reason; });
    EXPECT_TRUE(here || row.reason == ExitReason::task_switch) << row.name << " (task switches: task_test.cpp)";
  }
}

// SDM 3C "VMCALL": the one VMX instruction without a check of the mode; the others are #UD in real-address mode ("VMREAD" and its siblings: "Real-Address Mode Exceptions")
TEST(vmx_guest, vmcall_exits_in_real_address_mode) {
  M m;
  m.fill();
  m.real_guest();
  EXPECT_EQ(m.launch({0x0f, 0x01, 0xc1}), 18);
  for (Bytes code : {Bytes{0x0f, 0x01, 0xc2}, Bytes{0x0f, 0x01, 0xc3}, Bytes{0x0f, 0x01, 0xc4}, Bytes{0x0f, 0x78, 0xc0}, Bytes{0x0f, 0x79, 0xc0}}) {
    M g;
    g.fill();
    g.real_guest();
    g.set(F::EXCEPTION_BITMAP, 1u << UD);
    EXPECT_EQ(g.launch(code), kException) << int{code[1]} << " " << int{code[2]};
    EXPECT_EQ(g.get(F::VM_EXIT_INTR_INFO), 0x80000306u);
  }
}

}  // namespace
}  // namespace vt::cpu
