// SPDX-License-Identifier: GPL-2.0-or-later
/// What VM entry loads and VM exit saves, field by field; which accesses exit, bit by bit; what an exit tells of its instruction.   SDM 3C
#include <map>

#include "vmx_machine.hpp"

namespace vt::cpu {
namespace {

using M = VmxMachine;
using F = Field;
using Bytes = std::vector<u8>;
enum : int { kException = 0, kCpuid = 10, kHlt = 12, kCr = 28, kIo = 30, kRdmsr = 31, kWrmsr = 32, kGdtr = 46, kLdtr = 47, kEptViolation = 48 };

void proc(M& m, u32 v) { m.add(F::CPU_BASED_VM_EXEC_CONTROL, v); }
void proc2(M& m, u32 v) { m.add(F::SECONDARY_VM_EXEC_CONTROL, v); }

// SDM 3C "Loading Guest State", "Saving Guest State": each field comes back from a guest that does nothing but exit
TEST(vmx_state, every_guest_field_makes_the_round) {
  const std::map<F, u64> values = {
      {F::GUEST_CR0, 0x8001'0033}, {F::GUEST_CR4, cr4::VMXE | cr4::PAE | cr4::PGE | cr4::OSFXSR | cr4::DE}, {F::GUEST_DR7, 0x1234'0400}, {F::GUEST_IA32_SYSENTER_CS, 0x1234'5678},
      {F::GUEST_IA32_SYSENTER_ESP, 0xffff'8000'1111'2222}, {F::GUEST_IA32_SYSENTER_EIP, 0x7fff'3333'4444}, {F::GUEST_IA32_PAT, 0x0007'0406'0007'0401}, {F::GUEST_RSP, 0x1234'5678'9abc'def0},
      {F::GUEST_RFLAGS, 0x0004'0ad7 | 0x200}, {F::GUEST_GDTR_BASE, 0xffff'8000'0000'1000}, {F::GUEST_GDTR_LIMIT, 0xabcd}, {F::GUEST_IDTR_BASE, 0x7fff'0000'2000}, {F::GUEST_IDTR_LIMIT, 0x1234},
      {F::GUEST_ES_SELECTOR, 0x1111}, {F::GUEST_CS_SELECTOR, 0x2220}, {F::GUEST_SS_SELECTOR, 0x3330}, {F::GUEST_DS_SELECTOR, 0x4443}, {F::GUEST_FS_SELECTOR, 0x5552}, {F::GUEST_GS_SELECTOR, 0x6661},
      {F::GUEST_LDTR_SELECTOR, 0x7770}, {F::GUEST_TR_SELECTOR, 0x8880}, {F::GUEST_ES_BASE, 0x1000}, {F::GUEST_SS_BASE, 0x3000}, {F::GUEST_DS_BASE, 0x4000}, {F::GUEST_FS_BASE, 0xffff'8000'5555'0000},
      {F::GUEST_GS_BASE, 0x7fff'6666'0000}, {F::GUEST_LDTR_BASE, 0xffff'8000'7777'0000}, {F::GUEST_TR_BASE, 0x7fff'8888'0000}, {F::GUEST_ES_LIMIT, 0x1fff}, {F::GUEST_CS_LIMIT, 0x2f'ffff}, {F::GUEST_SS_LIMIT, 0x3fff},
      {F::GUEST_DS_LIMIT, 0x4fff}, {F::GUEST_FS_LIMIT, 0x5fff}, {F::GUEST_GS_LIMIT, 0x6fff}, {F::GUEST_LDTR_LIMIT, 0x7fff}, {F::GUEST_TR_LIMIT, 0x8fff}, {F::GUEST_ES_AR_BYTES, 0x50f3},
      {F::GUEST_CS_AR_BYTES, 0xb09b}, {F::GUEST_SS_AR_BYTES, 0x4093}, {F::GUEST_DS_AR_BYTES, 0x40f3}, {F::GUEST_FS_AR_BYTES, 0x50d3}, {F::GUEST_GS_AR_BYTES, 0x10b3}, {F::GUEST_LDTR_AR_BYTES, 0x0082},
      {F::GUEST_TR_AR_BYTES, 0x108b}, {F::GUEST_ACTIVITY_STATE, 0}, {F::GUEST_INTERRUPTIBILITY_STATE, 1}, {F::GUEST_SMBASE, 0xabcd'0000}, {F::VMCS_LINK_POINTER, ~u64{0}},
      {F::GUEST_IA32_DEBUGCTL, 0}, {F::GUEST_CR3, TestMachine::kPml4 | 0x18}, {F::GUEST_IA32_EFER, efer::LME | efer::LMA | efer::SCE},
  };
  M m;
  m.fill();
  for (auto& [f, v] : values) m.set(f, v);
  ASSERT_EQ(m.launch({0xf4}), kHlt);
  for (auto& [f, v] : values) EXPECT_EQ(m.get(f), v) << row_of(f).name;
  EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest);
  // Unusable segments keep their selector, base and limit here; of the rights only the unusable bit counts
  M u;
  u.fill();
  for (unsigned n : {0u, 3u, 4u, 5u, 6u}) u.segment(n, {0x5000, 0xabcde, 0x1'0000, 0x1230});
  ASSERT_EQ(u.launch({0xf4}), kHlt);
  for (unsigned n : {0u, 3u, 4u, 5u, 6u}) EXPECT_EQ(u.get(nth(F::GUEST_ES_AR_BYTES, n)) >> 16, 1u) << n;
}
TEST(vmx_state, what_is_saved_by_a_control_only) {   // SDM 3C "VM-Exit Controls": debug controls, IA32_PAT, IA32_EFER
  struct { const char* what; u32 control; Bytes change; F field; u64 before, after; } const rows[] = {
      {"DR7", exit_ctl::save_debug, {0x31, 0xc0, 0x0f, 0x23, 0xf8}, F::GUEST_DR7, 0x1'0400, 0x400},
      {"PAT", exit_ctl::save_pat, {0xb9, 0x77, 2, 0, 0, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30}, F::GUEST_IA32_PAT, 0x0007'0406'0007'0406, 0},
      {"EFER", exit_ctl::save_efer, {0xb9, 0x80, 0, 0, 0xc0, 0xb8, 0, 5, 0, 0, 0x31, 0xd2, 0x0f, 0x30}, F::GUEST_IA32_EFER, efer::LME | efer::LMA | efer::SCE, efer::LME | efer::LMA}};
  for (auto& r : rows)
    for (bool save : {true, false}) {
      M m;
      m.fill();
      m.set(r.field, r.before);
      if (save) m.add(F::VM_EXIT_CONTROLS, r.control);
      else m.drop(F::VM_EXIT_CONTROLS, r.control);
      ASSERT_EQ(m.launch(r.change), kHlt) << r.what;
      EXPECT_EQ(m.get(r.field), save ? r.after : r.before) << r.what << save;
    }
}
TEST(vmx_state, what_is_loaded_by_a_control_only) {   // SDM 3C "VM-Entry Controls", "VM-Exit Controls"
  for (bool load : {true, false}) {
    M m;
    m.fill();
    m.cpu->dr[7] = 0x400 | 0x55'0000, m.cpu->msr.pat = 0x0606'0606'0606'0606;
    m.set(F::GUEST_DR7, 0x400 | 0x11'0000), m.set(F::GUEST_IA32_PAT, 0x0101'0101'0101'0101), m.set(F::HOST_IA32_PAT, 0x0404'0404'0404'0404);
    m.set(F::GUEST_IA32_EFER, efer::LME | efer::LMA);
    m.set(F::HOST_IA32_EFER, efer::LME | efer::LMA | efer::NXE);
    const u32 entry = entry_ctl::load_debug | entry_ctl::load_pat | entry_ctl::load_efer, exit = exit_ctl::load_pat | exit_ctl::load_efer;
    if (!load) m.drop(F::VM_ENTRY_CONTROLS, entry), m.drop(F::VM_EXIT_CONTROLS, exit);
    m.add(F::VM_EXIT_CONTROLS, exit_ctl::save_debug | exit_ctl::save_pat | exit_ctl::save_efer);
    const u64 efer_before = m.cpu->efer;
    ASSERT_EQ(m.launch({0xf4}), kHlt);
    EXPECT_EQ(m.get(F::GUEST_DR7), load ? 0x11'0400u : 0x55'0400u);
    EXPECT_EQ(m.get(F::GUEST_IA32_PAT), load ? 0x0101'0101'0101'0101u : 0x0606'0606'0606'0606u);
    EXPECT_EQ(m.get(F::GUEST_IA32_EFER), load ? efer::LME | efer::LMA : efer_before);
    EXPECT_EQ(m.cpu->msr.pat, load ? 0x0404'0404'0404'0404u : 0x0606'0606'0606'0606u);
    EXPECT_EQ(m.cpu->efer, load ? efer::LME | efer::LMA | efer::NXE : efer_before);
  }
  for (bool ia32e : {true, false}) {   // without "load IA32_EFER" LMA and LME follow "IA-32e mode guest", LME if paging is on; and the host's size
    M m;
    m.fill();
    if (!ia32e) m.real_guest();
    m.set(F::VM_ENTRY_CONTROLS, 0x11ff | (ia32e ? entry_ctl::ia32e_guest : 0));
    m.drop(F::VM_EXIT_CONTROLS, exit_ctl::load_efer), m.add(F::VM_EXIT_CONTROLS, exit_ctl::save_efer);
    const u64 before = m.cpu->efer;
    ASSERT_EQ(m.launch({0xf4}), kHlt);
    EXPECT_EQ(m.get(F::GUEST_IA32_EFER), ia32e ? before : before & ~efer::LMA) << "LME stays where paging is off";
    EXPECT_EQ(m.cpu->efer, before);
    EXPECT_EQ((m.get(F::VM_ENTRY_CONTROLS) & entry_ctl::ia32e_guest) != 0, ia32e);
  }
}
TEST(vmx_state, the_bits_of_cr0_that_transitions_leave) {   // SDM 3C "Loading Guest Control Registers ...", "Loading Host Control Registers ...": ET, reserved, NW, CD
  constexpr u64 kKept = 0x10 | mask(15, 6) | u64{1} << 17 | mask(28, 19) | u64{3} << 29;
  for (unsigned b = 0; b < 32; ++b) {
    if (b == 0 || b == 5 || b == 31 || b == 2 || b == 3) continue;   // fixed; EM and TS only fault what the guest does
    M m;
    m.fill();
    m.set(F::GUEST_CR0, m.get(F::GUEST_CR0) ^ u64{1} << b), m.set(F::HOST_CR0, m.get(F::HOST_CR0) ^ u64{1} << b);
    const u64 before = m.cpu->cr0, guest = m.get(F::GUEST_CR0), host = m.get(F::HOST_CR0);
    ASSERT_EQ(m.launch({0xf4}), kHlt) << b;
    EXPECT_EQ(m.get(F::GUEST_CR0), (before & kKept) | (guest & ~kKept)) << b;
    EXPECT_EQ(m.cpu->cr0, (before & kKept) | (host & ~kKept)) << b;
  }
}
TEST(vmx_state, every_host_field_is_loaded) {   // SDM 3C "Loading Host State"
  M m;
  m.fill();
  const std::map<F, u64> values = {
      {F::HOST_CR4, cr4::VMXE | cr4::PAE | cr4::PGE | cr4::DE}, {F::HOST_CR3, TestMachine::kPml4 | 8}, {F::HOST_IA32_SYSENTER_CS, 0x1234'5678}, {F::HOST_IA32_SYSENTER_ESP, 0xffff'8000'1111'0000},
      {F::HOST_IA32_SYSENTER_EIP, 0x7fff'2222'0000}, {F::HOST_RSP, 0x1234'5678'9abc'def0}, {F::HOST_ES_SELECTOR, 0x1110}, {F::HOST_CS_SELECTOR, 0x2220}, {F::HOST_SS_SELECTOR, 0x3330},
      {F::HOST_DS_SELECTOR, 0x4440}, {F::HOST_FS_SELECTOR, 0x5550}, {F::HOST_GS_SELECTOR, 0x6660}, {F::HOST_TR_SELECTOR, 0x7770}, {F::HOST_FS_BASE, 0xffff'8000'5555'0000},
      {F::HOST_GS_BASE, 0x7fff'6666'0000}, {F::HOST_TR_BASE, 0xffff'8000'7777'0000}, {F::HOST_GDTR_BASE, 0x7fff'8888'0000}, {F::HOST_IDTR_BASE, 0xffff'8000'9999'0000}};
  for (auto& [f, v] : values) m.set(f, v);
  m.cpu->dr[7] = 0x1'0400, m.cpu->msr.sysenter_cs = 7;
  m.set(F::GUEST_RFLAGS, 2 | rflags::kArith | rflags::DF | rflags::ID);
  m.set(F::GUEST_INTERRUPTIBILITY_STATE, 0);
  ASSERT_EQ(m.launch({0xf4}), kHlt);
  Cpu& c = *m.cpu;
  EXPECT_EQ(c.cr4, values.at(F::HOST_CR4));
  EXPECT_EQ(c.cr3, values.at(F::HOST_CR3));
  EXPECT_EQ(c.msr.sysenter_cs, 0x1234'5678u);
  EXPECT_EQ(c.msr.sysenter_esp, 0xffff'8000'1111'0000u);
  EXPECT_EQ(c.msr.sysenter_eip, 0x7fff'2222'0000u);
  EXPECT_EQ(c.r[4], 0x1234'5678'9abc'def0u);
  EXPECT_EQ(c.rip, M::kHost + 1);
  EXPECT_EQ(c.rflags(), 2u);
  EXPECT_EQ(c.dr[7], 0x400u);
  EXPECT_EQ(c.msr.debugctl, 0u);
  const struct { unsigned s; u16 sel; u64 base; u32 ar; } segments[] = {{ES, 0x1110, 0, 0xc093}, {CS, 0x2220, 0, 0xa09b}, {SS, 0x3330, 0, 0xc093}, {DS, 0x4440, 0, 0xc093},
      {FS, 0x5550, 0xffff'8000'5555'0000, 0xc093}, {GS, 0x6660, 0x7fff'6666'0000, 0xc093}};
  for (auto& s : segments) {
    EXPECT_EQ(c.seg[s.s].sel, s.sel) << s.s;
    EXPECT_EQ(c.seg[s.s].base, s.base) << s.s;
    EXPECT_EQ(c.seg[s.s].limit, 0xffff'ffffu) << s.s;
    EXPECT_EQ(c.seg[s.s].ar, s.ar) << s.s;
  }
  EXPECT_EQ(c.tr.sel, 0x7770u);
  EXPECT_EQ(c.tr.base, 0xffff'8000'7777'0000u);
  EXPECT_EQ(c.tr.limit, 0x67u);
  EXPECT_EQ(c.tr.ar, 0x8bu);
  EXPECT_EQ(c.ldtr.sel, 0u);
  EXPECT_TRUE(c.ldtr.unusable());
  EXPECT_EQ(c.gdtr.base, 0x7fff'8888'0000u);
  EXPECT_EQ(c.gdtr.limit, 0xffffu);
  EXPECT_EQ(c.idtr.base, 0xffff'8000'9999'0000u);
  EXPECT_EQ(c.idtr.limit, 0xffffu);
  M n;   // selectors of 0: unusable, but for the bases of FS and GS
  n.fill();
  for (F f : {F::HOST_ES_SELECTOR, F::HOST_SS_SELECTOR, F::HOST_DS_SELECTOR, F::HOST_FS_SELECTOR, F::HOST_GS_SELECTOR}) n.set(f, 0);
  n.set(F::HOST_FS_BASE, 0x1000), n.set(F::HOST_GS_BASE, 0x2000);
  ASSERT_EQ(n.launch({0xf4}), kHlt);
  for (unsigned s : {ES, SS, DS, FS, GS}) EXPECT_TRUE(n.cpu->seg[s].unusable()) << s;
  EXPECT_EQ(n.cpu->seg[FS].base, 0x1000u);
  EXPECT_EQ(n.cpu->seg[GS].base, 0x2000u);
}

// --- which accesses exit ------------------------------------------------------------------------------------------------

TEST(vmx_bitmaps, each_msr_has_its_bits) {   // SDM 3C "MSR-Bitmap Address": reads of 0 to 1FFFH, of C0000000H on; writes of both
  for (u32 msr : {0x0u, 0x7u, 0x8u, 0x10u, 0x277u, 0x1fffu, 0x2000u, 0xbfff'ffffu, 0xc000'0000u, 0xc000'0080u, 0xc000'0102u, 0xc000'1fffu, 0xc000'2000u, 0xffff'ffffu})
    for (bool write : {false, true}) {
      const bool low = msr < 0x2000, high = msr >= 0xc000'0000 && msr < 0xc000'2000;
      const u64 at = (write ? 0x800u : 0u) + (high ? 0x400u : 0u) + (msr & 0x1fff) / 8;
      for (unsigned set = 0; set < 3; ++set) {   // no bit, its own, all but its own
        M m;
        m.fill();
        m.set(F::EXCEPTION_BITMAP, 1u << GP);
        for (u64 n = 0; n < 0x1000; ++n) m.poke<u8>(M::kMsrBitmap + n, set == 2 ? 0xff : 0);
        if (low || high) m.poke<u8>(M::kMsrBitmap + at, static_cast<u8>(set == 2 ? ~(1u << (msr & 7)) : set ? 1u << (msr & 7) : 0));
        m.cpu->r[1] = msr, m.cpu->r[0] = m.cpu->r[2] = 0;
        const bool exits = !(low || high) || set == 1;
        const int got = m.launch(write ? Bytes{0x0f, 0x30} : Bytes{0x0f, 0x32});
        EXPECT_EQ(got == (write ? kWrmsr : kRdmsr), exits) << std::hex << msr << write << set;
      }
    }
}
TEST(vmx_bitmaps, each_port_has_its_bit) {   // SDM 3C "I/O-Bitmap Addresses": A for 0 to 7FFFH, B for the rest; every byte of an access counts
  for (u32 port : {0x0u, 0x7u, 0x8u, 0x60u, 0x7ffeu, 0x7fffu, 0x8000u, 0x8001u, 0xfff8u, 0xffffu})
    for (unsigned size : {1u, 2u, 4u})
      for (u32 forbidden = port - 1; forbidden != port + size + 1; ++forbidden) {
        if (forbidden > 0xffff) continue;
        M m;
        m.fill();
        m.poke<u8>((forbidden < 0x8000 ? M::kIoA : M::kIoB) + (forbidden & 0x7fff) / 8, static_cast<u8>(1u << (forbidden & 7)));
        m.cpu->r[2] = port;
        const bool exits = (forbidden >= port && forbidden < port + size) || port + size > 0x10000;
        const int got = m.launch(size == 1 ? Bytes{0xec} : size == 2 ? Bytes{0x66, 0xef} : Bytes{0xed});
        EXPECT_EQ(got, exits ? kIo : kHlt) << std::hex << port << " " << size << " " << forbidden;
        if (exits) { EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), (size - 1) | (size == 2 ? 0u : 8u) | u64{port} << 16); }
      }
  for (bool unconditional : {false, true})
    for (bool bitmaps : {false, true}) {
      M m;
      m.fill();
      m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::io_bitmaps);
      if (bitmaps) proc(m, proc_ctl::io_bitmaps);
      if (unconditional) proc(m, proc_ctl::unconditional_io);
      EXPECT_EQ(m.launch({0xe4, 0x80}), unconditional && !bitmaps ? kIo : kHlt);
    }
}

TEST(vmx_masks, every_bit_of_cr0_and_cr4) {   // SDM 3C "Guest/Host Masks and Read Shadows for CR0 and CR4", "Changes to Instruction Behavior in VMX Non-Root Operation"
  for (unsigned cr : {0u, 4u})
    for (unsigned b = 0; b < 32; ++b) {
      if (cr == 0 && (b == 0 || b == 4 || b == 5 || b >= 29 || (b >= 6 && b <= 15) || b == 17 || (b >= 19 && b <= 28))) continue;   // fixed, or not there
      if (cr == 4 && (b == 5 || b == 13 || b == 12 || b == 14 || b == 15 || b == 11 || b == 17 || b == 19 || b >= 20 || b == 4 || b == 7)) continue;
      for (unsigned what = 0; what < 8; ++what) {   // owned by the host, shadow, what is written
        const bool owned = what & 1, shadow = what & 2, written = what & 4;
        M m;
        m.fill();
        const u64 v = u64{1} << b, base = m.get(cr ? F::GUEST_CR4 : F::GUEST_CR0) & ~v;
        m.set(cr ? F::GUEST_CR4 : F::GUEST_CR0, base | (shadow ? 0 : v));   // the register has the opposite
        m.set(cr ? F::CR4_GUEST_HOST_MASK : F::CR0_GUEST_HOST_MASK, owned ? v : 0);
        m.set(cr ? F::CR4_READ_SHADOW : F::CR0_READ_SHADOW, shadow ? ~u64{0} : 0);
        m.cpu->r[1] = base | (written ? v : 0);
        const u8 digit = static_cast<u8>(cr << 3);
        // mov rax, crN; mov crN, rcx
        const int got = m.launch({0x0f, 0x20, static_cast<u8>(0xc0 | digit), 0x0f, 0x22, static_cast<u8>(0xc1 | digit)});
        EXPECT_EQ(got, owned && shadow != written ? kCr : kHlt) << cr << " bit " << b << " " << what;
        EXPECT_EQ((m.cpu->r[0] & v) != 0, owned ? shadow : !shadow) << cr << " bit " << b << " " << what;
        if (got == kHlt) { EXPECT_EQ((m.get(cr ? F::GUEST_CR4 : F::GUEST_CR0) & v) != 0, owned ? !shadow : written) << cr << " bit " << b << " " << what; }
        else { EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), cr | 1 << 8); }
      }
    }
}
TEST(vmx_masks, lmsw_and_clts) {   // SDM 3C "Instructions That Cause VM Exits Conditionally"
  for (u32 written = 0; written < 16; ++written)
    for (u32 owned = 0; owned < 16; ++owned)
      for (u32 shadow : {0u, 1u, 6u, 9u, 15u})
        for (bool memory : {false, true}) {
          if (memory && (owned != 15 || shadow)) continue;
          M m;
          m.fill();
          m.set(F::CR0_GUEST_HOST_MASK, owned), m.set(F::CR0_READ_SHADOW, shadow);
          m.cpu->r[3] = memory ? M::kData : 0x5550 | written;
          m.poke<u16>(M::kData, static_cast<u16>(0x5550 | written));
          const u32 differs = (written ^ shadow) & owned;
          const bool exits = (differs & 0xe) || (differs & written & 1);   // PE: only where it would set it
          EXPECT_EQ(m.launch(memory ? Bytes{0x0f, 0x01, 0x33} : Bytes{0x0f, 0x01, 0xf3}), exits ? kCr : kHlt) << written << " " << owned << " " << shadow;
          if (exits) {
            EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), u64{3} << 4 | (memory ? 0x40u : 0) | u64{0x5550u | written} << 16);
            EXPECT_EQ(m.get(F::GUEST_LINEAR_ADDRESS), memory ? u64{M::kData} : 0u);
          } else {
            EXPECT_EQ(m.get(F::GUEST_CR0) & 0xe & ~owned, written & 0xe & ~owned);
          }
        }
  for (unsigned what = 0; what < 4; ++what) {
    const bool owned = what & 1, shadow = what & 2;
    M m;
    m.fill();
    m.add(F::GUEST_CR0, cr0::TS);
    m.set(F::CR0_GUEST_HOST_MASK, owned ? cr0::TS : 0), m.set(F::CR0_READ_SHADOW, shadow ? cr0::TS : 0);
    EXPECT_EQ(m.launch({0x0f, 0x06}), owned && shadow ? kCr : kHlt) << what;
    if (!(owned && shadow)) { EXPECT_EQ((m.get(F::GUEST_CR0) & cr0::TS) != 0, owned) << "the host's stays"; }
  }
}
TEST(vmx_masks, cr3_targets) {   // SDM 3C "CR3-Target Controls"
  for (u32 count = 0; count <= 4; ++count)
    for (unsigned which = 0; which < 5; ++which) {
      M m;
      m.fill();
      proc(m, proc_ctl::cr3_load);
      m.set(F::CR3_TARGET_COUNT, count);
      for (unsigned n = 0; n < 4; ++n) m.set(nth(F::CR3_TARGET_VALUE0, n), n == which ? TestMachine::kPml4 : 0x7000 * (n + 1));
      m.cpu->r[3] = TestMachine::kPml4;
      EXPECT_EQ(m.launch({0x0f, 0x22, 0xdb}), which < count ? kHlt : kCr) << count << which;
    }
}

TEST(vmx_exceptions, each_vector_by_its_bit) {   // SDM 3C "Exception Bitmap"
  struct { const char* what; u8 vector; Bytes code; u32 info; u64 qualification; u32 error, length; } const rows[] = {
      {"#DE", DE, {0x31, 0xc9, 0xf7, 0xf1}, 0x8000'0300, 0, 0, 0}, {"#DB by INT1", DB, {0xf1}, 0x8000'0501, 0, 0, 1}, {"#BP", BP, {0xcc}, 0x8000'0603, 0, 0, 1}, {"#UD", UD, {0x0f, 0x0b}, 0x8000'0306, 0, 0, 0},
      {"#GP", GP, {0x0f, 0x22, 0xe0}, 0x8000'0b0d, 0, 0, 0}, {"#PF", PF, {0x8b, 0x04, 0x25, 0, 0, 0, 0x7f}, 0x8000'0b0e, 0x7f00'0000, 0, 0}, {"#SS", SS_, {0x48, 0xb8, 0, 0, 0, 0, 0, 0x80, 0, 0, 0x36, 0x8b, 0x00, 0x90}, 0, 0, 0, 0}};
  for (auto& r : rows)
    for (unsigned set = 0; set < 3; ++set) {
      if (r.vector == SS_) continue;
      M m;
      m.fill();
      m.set(F::EXCEPTION_BITMAP, set == 0 ? 0 : set == 1 ? u32{1} << r.vector : ~(u32{1} << r.vector));
      m.cpu->r[0] = 0;
      const int got = m.launch(r.code);
      EXPECT_EQ(got, set == 1 ? kException : kHlt) << r.what << set;   // else the guest's handler, which is a HLT
      if (set != 1) continue;
      EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), r.info) << r.what;
      EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), r.qualification) << r.what;
      EXPECT_EQ(m.get(F::VM_EXIT_INTR_ERROR_CODE), r.error) << r.what;
      if (r.length) { EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), r.length) << r.what; }
    }
  for (u8 vector : {0x20, 0x0e, 0x06}) {   // INT n does not look at it
    M m;
    m.fill();
    m.set(F::EXCEPTION_BITMAP, ~0u);
    EXPECT_EQ(m.launch({0xcd, vector}), kHlt) << int{vector};
    EXPECT_EQ(m.get(F::GUEST_RIP), TestMachine::kHandlers + 16 * vector);
  }
}
TEST(vmx_exceptions, page_faults_by_mask_and_match) {   // SDM 3C "Exception Bitmap": bit 14 says what an equality means
  for (bool bit14 : {false, true})
    for (u32 mask : {0u, 1u, 2u, 3u, 0xffff'ffffu})
      for (u32 match : {0u, 1u, 2u, 3u})
        for (bool write : {false, true})
          for (bool present : {false, true}) {
            if (present && !write) continue;
            M m;
            m.fill();
            m.add(F::GUEST_CR0, cr0::WP);
            if (present) m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8 * 3, 3 << 21 | 0x85);   // read-only
            m.set(F::EXCEPTION_BITMAP, bit14 ? 1u << PF : 0), m.set(F::PAGE_FAULT_ERROR_CODE_MASK, mask), m.set(F::PAGE_FAULT_ERROR_CODE_MATCH, match);
            m.cpu->r[3] = present ? 0x60'0000 : 0x7f00'0000;
            const u32 code = (present ? 1u : 0) | (write ? 2u : 0);
            const bool equal = (code & mask) == match;
            EXPECT_EQ(m.launch(write ? Bytes{0x89, 0x03} : Bytes{0x8b, 0x03}), bit14 == equal ? kException : kHlt) << bit14 << mask << match << code;
            if (bit14 == equal) { EXPECT_EQ(m.get(F::VM_EXIT_INTR_ERROR_CODE), code); }
          }
}

// SDM 3C "Information About NMI Unblocking Due to IRET"
TEST(vmx_nmi, unblocking_by_an_iret_that_faults_is_told) {
  for (bool virtual_nmis : {false, true})
    for (bool blocked : {false, true})
      for (unsigned how = 0; how < 3; ++how) {   // #GP of the return; an EPT violation of the stack; no fault
        M m;
        m.fill();
        m.identity_ept();
        m.add(F::PIN_BASED_VM_EXEC_CONTROL, virtual_nmis ? pin_ctl::nmi | pin_ctl::virtual_nmis : 0);
        m.set(F::GUEST_INTERRUPTIBILITY_STATE, blocked ? interruptibility::nmi : 0);
        m.set(F::EXCEPTION_BITMAP, 1u << GP);
        m.set(F::GUEST_RSP, 0x50000);
        m.poke<u64>(0x50000, M::kGuest + 2), m.poke<u64>(0x50008, how == 0 ? 0 : 8), m.poke<u64>(0x50010, 2), m.poke<u64>(0x50018, 0x50000), m.poke<u64>(0x50020, 0x10);
        if (how == 1) m.poke<u64>(m.ept_entry(0x50000), 0);
        const int got = m.launch({0x48, 0xcf});
        EXPECT_EQ(got, how == 0 ? kException : how == 1 ? kEptViolation : kHlt);
        if (how == 0) { EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), 0x8000'0b0du | (blocked ? 0x1000u : 0)) << virtual_nmis << blocked; }
        if (how == 1) { EXPECT_EQ((m.get(F::EXIT_QUALIFICATION) & 0x1000) != 0, blocked) << virtual_nmis << blocked; }
        EXPECT_EQ(m.get(F::GUEST_INTERRUPTIBILITY_STATE), 0u) << "it is unblocked all the same";
      }
  for (bool blocked : {false, true}) {   // with "NMI exiting" alone IRET does not change the blocking
    M m;
    m.fill();
    m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::nmi);
    m.set(F::GUEST_INTERRUPTIBILITY_STATE, blocked ? interruptibility::nmi : 0);
    m.set(F::GUEST_RSP, 0x50000);
    m.poke<u64>(0x50000, M::kGuest + 2), m.poke<u64>(0x50008, 8), m.poke<u64>(0x50010, 2), m.poke<u64>(0x50018, 0x50000), m.poke<u64>(0x50020, 0x10);
    EXPECT_EQ(m.launch({0x48, 0xcf}), kHlt);
    EXPECT_EQ(m.get(F::GUEST_INTERRUPTIBILITY_STATE), blocked ? interruptibility::nmi : 0u);
  }
}

// --- what an exit tells of its instruction -------------------------------------------------------------------------------------

/// SDM 3C "Information for VM Exits Due to Instruction Execution": the tables of the instruction-information field
TEST(vmx_information, every_memory_operand) {
  struct { const char* what; Bytes prefix, opcode; u8 digit; int reason; u32 more; } const rows[] = {
      {"VMCLEAR", {0x66}, {0x0f, 0xc7}, 6, 19, 0}, {"VMPTRLD", {}, {0x0f, 0xc7}, 6, 21, 0}, {"VMXON", {0xf3}, {0x0f, 0xc7}, 6, 27, 0}, {"INVEPT", {0x66}, {0x0f, 0x38, 0x80}, 5, 50, 5u << 28},
      {"INVVPID", {0x66}, {0x0f, 0x38, 0x81}, 6, 53, 6u << 28}, {"VMREAD", {}, {0x0f, 0x78}, 7, 23, 7u << 28}, {"VMWRITE", {}, {0x0f, 0x79}, 2, 25, 2u << 28},
      {"SGDT", {}, {0x0f, 0x01}, 0, kGdtr, 1u << 11 | 0u << 28}, {"SIDT", {}, {0x0f, 0x01}, 1, kGdtr, 1u << 11 | 1u << 28}, {"LGDT", {}, {0x0f, 0x01}, 2, kGdtr, 1u << 11 | 2u << 28},
      {"LIDT", {}, {0x0f, 0x01}, 3, kGdtr, 1u << 11 | 3u << 28}, {"SLDT", {}, {0x0f, 0x00}, 0, kLdtr, 0u << 28}, {"STR", {}, {0x0f, 0x00}, 1, kLdtr, 1u << 28}, {"LLDT", {}, {0x0f, 0x00}, 2, kLdtr, 2u << 28},
      {"LTR", {}, {0x0f, 0x00}, 3, kLdtr, 3u << 28}};
  struct { const char* what; Bytes legacy; u8 rex, mod, rm; int sib; std::vector<u8> disp; u32 scale, asz, seg, index, base; u64 displacement; } const forms[] = {   // index or base 16: none
      {"[rax]", {}, 0, 0, 0, -1, {}, 0, 2, DS, 16, 0, 0}, {"[rdi+5]", {}, 0, 1, 7, -1, {5}, 0, 2, DS, 16, 7, 5}, {"[rbp-8]", {}, 0, 1, 5, -1, {0xf8}, 0, 2, SS, 16, 5, ~u64{7}}, {"[r9]", {}, 1, 0, 1, -1, {}, 0, 2, DS, 16, 9, 0},
      {"[rsp]", {}, 0, 0, 4, 0x24, {}, 0, 2, SS, 16, 4, 0}, {"[rax+rcx*4]", {}, 0, 0, 4, 0x88, {}, 2, 2, DS, 1, 0, 0}, {"[r10+r11*8+100h]", {}, 3, 2, 4, 0xda, {0, 1, 0, 0}, 3, 2, DS, 11, 10, 0x100},
      {"[rcx*2+20h]", {}, 0, 0, 4, 0x4d, {0x20, 0, 0, 0}, 1, 2, DS, 1, 16, 0x20}, {"[40h]", {}, 0, 0, 4, 0x25, {0x40, 0, 0, 0}, 0, 2, DS, 16, 16, 0x40}, {"fs:[rbx]", {0x64}, 0, 0, 3, -1, {}, 0, 2, FS, 16, 3, 0},
      {"gs:[rbx]", {0x65}, 0, 0, 3, -1, {}, 0, 2, GS, 16, 3, 0}, {"[ebx]", {0x67}, 0, 0, 3, -1, {}, 0, 1, DS, 16, 3, 0}, {"[ebx+esi*2-4]", {0x67}, 0, 1, 4, 0x73, {0xfc}, 1, 1, DS, 6, 3, ~u64{3}},
      {"[r15+r12]", {}, 3, 0, 4, 0x27, {}, 0, 2, DS, 12, 15, 0}};
  for (auto& r : rows)
    for (auto& f : forms) {
      M m;
      m.fill();
      proc2(m, proc2_ctl::descriptor_table);
      Bytes code = f.legacy;
      code.insert(code.end(), r.prefix.begin(), r.prefix.end());
      if (f.rex) code.push_back(static_cast<u8>(0x40 | (f.rex & 1) | (f.rex & 2)));
      code.insert(code.end(), r.opcode.begin(), r.opcode.end());
      code.push_back(static_cast<u8>(f.mod << 6 | r.digit << 3 | f.rm));
      if (f.sib >= 0) code.push_back(static_cast<u8>(f.sib));
      code.insert(code.end(), f.disp.begin(), f.disp.end());
      ASSERT_EQ(m.launch(code), r.reason) << r.what << " " << f.what;
      u32 want = r.more | f.asz << 7 | f.seg << 15 | (f.index < 16 ? f.scale | f.index << 18 : 1u << 22) | (f.base < 16 ? f.base << 23 : 1u << 27);
      EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_INFO), want) << r.what << " " << f.what;
      EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), f.displacement) << r.what << " " << f.what;
      EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), code.size()) << r.what << " " << f.what;
    }
  M m;   // RIP-relative: the address itself
  m.fill();
  EXPECT_EQ(m.launch({0x66, 0x0f, 0xc7, 0x35, 0, 1, 0, 0}), 19);
  EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), M::kGuest + 8 + 0x100);
}
TEST(vmx_information, every_register_operand) {
  struct { const char* what; Bytes prefix, opcode; int digit; int reason; unsigned at; u32 more; } const rows[] = {
      {"SLDT", {}, {0x0f, 0x00}, 0, kLdtr, 3, 1u << 10}, {"STR", {}, {0x0f, 0x00}, 1, kLdtr, 3, 1u << 10 | 1u << 28}, {"LLDT", {}, {0x0f, 0x00}, 2, kLdtr, 3, 1u << 10 | 2u << 28}, {"LTR", {}, {0x0f, 0x00}, 3, kLdtr, 3, 1u << 10 | 3u << 28},
      {"RDRAND", {}, {0x0f, 0xc7}, 6, 57, 3, 1u << 11}, {"RDSEED", {}, {0x0f, 0xc7}, 7, 61, 3, 1u << 11}, {"VMREAD", {}, {0x0f, 0x78}, 5, 23, 3, 1u << 10 | 5u << 28}, {"VMWRITE", {}, {0x0f, 0x79}, 1, 25, 3, 1u << 10 | 1u << 28}};
  for (auto& r : rows)
    for (unsigned reg = 0; reg < 16; ++reg) {
      M m({"+rdrand", "+rdseed"});
      m.fill();
      proc2(m, proc2_ctl::descriptor_table | proc2_ctl::rdrand | proc2_ctl::rdseed);
      Bytes code = r.prefix;
      if (reg >= 8) code.push_back(0x41);
      code.insert(code.end(), r.opcode.begin(), r.opcode.end());
      code.push_back(static_cast<u8>(0xc0 | r.digit << 3 | (reg & 7)));
      ASSERT_EQ(m.launch(code), r.reason) << r.what << reg;
      EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_INFO), r.more | reg << r.at) << r.what << reg;
      EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 0u);
    }
  for (u32 form = 0; form < 3; ++form) {   // operand sizes of RDRAND: 0 is 16 bits, 1 32, 2 64
    M m({"+rdrand"});
    m.fill();
    proc2(m, proc2_ctl::rdrand);
    EXPECT_EQ(m.launch(form == 0 ? Bytes{0x66, 0x0f, 0xc7, 0xf1} : form == 1 ? Bytes{0x0f, 0xc7, 0xf1} : Bytes{0x48, 0x0f, 0xc7, 0xf1}), 57);
    EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_INFO), 1u << 3 | form << 11);
  }
  for (unsigned cr : {3u, 8u})   // "Exit Qualification for Control-Register Accesses", "... for MOV DR": the register in 11:8
    for (unsigned reg = 0; reg < 16; ++reg)
      for (bool to : {false, true}) {
        M m;
        m.fill();
        proc(m, proc_ctl::cr3_load | proc_ctl::cr3_store | proc_ctl::cr8_load | proc_ctl::cr8_store);
        EXPECT_EQ(m.launch({static_cast<u8>(0x40 | (cr == 8 ? 4 : 0) | reg >> 3), 0x0f, static_cast<u8>(to ? 0x22 : 0x20), static_cast<u8>(0xc0 | (cr & 7) << 3 | (reg & 7))}), kCr);
        EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), cr | (to ? 0u : 0x10u) | reg << 8);
      }
  for (unsigned dr = 0; dr < 8; ++dr)
    for (unsigned reg : {0u, 3u, 8u, 15u})
      for (bool to : {false, true}) {
        M m;
        m.fill();
        proc(m, proc_ctl::mov_dr);
        EXPECT_EQ(m.launch({static_cast<u8>(0x40 | reg >> 3), 0x0f, static_cast<u8>(to ? 0x23 : 0x21), static_cast<u8>(0xc0 | dr << 3 | (reg & 7))}), 29);
        EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), dr | (to ? 0u : 0x10u) | reg << 8);
      }
}
TEST(vmx_information, of_string_io) {   // SDM 3C "Exit Qualification for I/O Instructions", and the information for INS and OUTS: address size 9:7, segment 17:15
  struct { const char* what; Bytes code; u64 qualification; u32 info; u64 linear; } const rows[] = {
      {"INSB", {0x6c}, 0x18, 2 << 7 | DS << 15, 0x30000}, {"INSW", {0x66, 0x6d}, 0x19, 2 << 7 | DS << 15, 0x30000}, {"INSD", {0x6d}, 0x1b, 2 << 7 | DS << 15, 0x30000}, {"REP INSB", {0xf3, 0x6c}, 0x38, 2 << 7 | DS << 15, 0x30000},
      {"OUTSB", {0x6e}, 0x10, 2 << 7 | DS << 15, 0x31000}, {"REP OUTSD", {0xf3, 0x6f}, 0x33, 2 << 7 | DS << 15, 0x31000}, {"REPNE OUTSD", {0xf2, 0x6f}, 0x33, 2 << 7 | DS << 15, 0x31000},
      {"FS OUTSB", {0x64, 0x6e}, 0x10, 2 << 7 | FS << 15, 0x31000 + 0x1000}, {"A32 OUTSB", {0x67, 0x6e}, 0x10, 1 << 7 | DS << 15, 0x31000}};
  for (auto& r : rows) {
    M m;
    m.fill();
    m.segment(FS, {0x1000, 0xffff'ffff, 0xc093, 0x10});
    m.poke<u8>(M::kIoA + 0x100, 0xff);   // ports 800H to 807H
    m.cpu->r[1] = 3, m.cpu->r[2] = 0x800, m.cpu->r[7] = 0x30000, m.cpu->r[6] = 0x31000;
    ASSERT_EQ(m.launch(r.code), kIo) << r.what;
    EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), r.qualification | u64{0x800} << 16) << r.what;
    const u32 info = static_cast<u32>(m.get(F::VM_EXIT_INSTRUCTION_INFO));
    EXPECT_EQ(info & 0x380, r.info & 0x380) << r.what;
    if (r.what[0] != 'I' && std::string(r.what).find("INS") == std::string::npos) { EXPECT_EQ(info, r.info) << r.what; }
    EXPECT_EQ(m.get(F::GUEST_LINEAR_ADDRESS), r.linear) << r.what;
    EXPECT_EQ(m.cpu->r[1], 3u);
  }
}

// --- the instructions in root operation -----------------------------------------------------------------------------------

int operand(M& m, Bytes code, u64 v, u64 high = 0) {
  m.poke<u64>(M::kData, v), m.poke<u64>(M::kData + 8, high);
  m.cpu->r[3] = M::kData;
  m.cpu->r[4] = TestMachine::kStack;
  return m.run(std::move(code));
}
TEST(vmx_instructions, vmxon_wants) {   // SDM 3C "VMXON"
  for (u64 control = 0; control < 8; ++control)   // IA32_FEATURE_CONTROL: locked, and outside SMX
    for (unsigned bits = 0; bits < 8; ++bits) {    // CR0.PE stays; NE, CR4.VMXE, CPL
      M m;
      m.cpu->msr.feature_control = control;
      if (bits & 1) m.cpu->cr0 &= ~cr0::NE;
      if (bits & 2) m.cpu->cr4 &= ~cr4::VMXE;
      if (bits & 4) {
        m.cpu->seg[CS].ar |= 0x60, m.cpu->seg[SS].ar |= 0x60, m.cpu->seg[CS].sel = 0x23, m.cpu->seg[SS].sel = 0x2b;
        m.poke<u64>(0x7004, TestMachine::kStack), m.cpu->tr = {0x7000, 0x67, 0x8b, 0x40};
      }
      m.cpu->update();
      const bool ud = bits & 2, gp = (control & 5) != 5 || (bits & 5);
      EXPECT_EQ(operand(m, {0xf3, 0x0f, 0xc7, 0x33}, M::kVmxon), ud ? UD : gp ? GP : -1) << control << " " << bits;
      EXPECT_EQ(m.cpu->vmx.on, !ud && !gp);
    }
  for (unsigned b = 0; b < 64; ++b) {   // the pointer: 4 KiB, and within the address width
    M m;
    EXPECT_EQ(operand(m, {0xf3, 0x0f, 0xc7, 0x33}, M::kVmxon | u64{1} << b), -1);
    EXPECT_EQ(m.cpu->vmx.on, (M::kVmxon | u64{1} << b) == M::kVmxon || b == 12) << b;   // the next page has a revision identifier, too
    EXPECT_EQ(m.cpu->lf.cf(), !m.cpu->vmx.on);
  }
}
TEST(vmx_instructions, pointers_and_descriptors_bit_by_bit) {
  for (unsigned b = 0; b < 64; ++b) {
    const bool bad = b < 12 || b >= 46;
    M m;
    m.on();
    operand(m, {0x66, 0x0f, 0xc7, 0x33}, u64{1} << b);   // VMCLEAR of a page where there may be nothing
    EXPECT_EQ(m.cpu->lf.zf(), bad) << b;
    if (bad) { EXPECT_EQ(m.error(), 2u); }
    m.on();
    operand(m, {0x0f, 0xc7, 0x33}, u64{1} << b);   // VMPTRLD: an address, or no revision there
    EXPECT_TRUE(m.cpu->lf.zf()) << b;
    EXPECT_EQ(m.error(), bad ? 9u : 11u) << b;
    m.cpu->r[0] = 1;
    operand(m, {0x66, 0x0f, 0x38, 0x80, 0x03}, 0x501e ^ u64{1} << b);   // INVEPT, single context
    EXPECT_EQ(!m.cpu->lf.zf(), (b >= 12 && b < 46) || b == 6) << b;
    for (u64 type = 1; type < 3; ++type) {
      m.cpu->r[0] = type;
      operand(m, {0x66, 0x0f, 0x38, 0x80, 0x03}, 0x501e, u64{1} << b);
      EXPECT_TRUE(m.cpu->lf.zf()) << "the upper half is reserved: " << b;
    }
    for (u64 type = 0; type < 4; ++type) {
      m.cpu->r[0] = type;
      operand(m, {0x66, 0x0f, 0x38, 0x81, 0x03}, u64{1} << b, 0x1000);   // INVVPID: the VPID in 15:0
      EXPECT_EQ(!m.cpu->lf.zf(), b < 16) << type << " bit " << b;
      m.cpu->r[0] = type;
      operand(m, {0x66, 0x0f, 0x38, 0x81, 0x03}, 5, u64{1} << b);
      EXPECT_EQ(!m.cpu->lf.zf(), type != 0 || b < 47) << type << " address bit " << b;
    }
    for (bool ept : {false, true}) {   // the type
      m.cpu->r[0] = u64{1} << b;
      operand(m, {0x66, 0x0f, 0x38, static_cast<u8>(ept ? 0x80 : 0x81), 0x03}, ept ? 0x501e : 5);
      EXPECT_EQ(!m.cpu->lf.zf(), b < 2) << ept << b;
    }
  }
  for (u64 type = 0; type < 4; ++type) {
    M m;
    m.on();
    m.cpu->r[0] = type;
    operand(m, {0x66, 0x0f, 0x38, 0x81, 0x03}, 0);
    EXPECT_EQ(!m.cpu->lf.zf(), type == 2) << "VPID 0 is the host's";
  }
}
TEST(vmx_instructions, where_they_are_undefined_or_privileged) {   // SDM 3C "VMX Instruction Reference": exceptions of each
  const Bytes codes[] = {{0x66, 0x0f, 0xc7, 0x33}, {0x0f, 0xc7, 0x33}, {0x0f, 0xc7, 0x3b}, {0x0f, 0x01, 0xc4}, {0x0f, 0x01, 0xc1}, {0x0f, 0x01, 0xc2}, {0x0f, 0x01, 0xc3}, {0x0f, 0x78, 0xc8}, {0x0f, 0x79, 0xc8},
                         {0x66, 0x0f, 0x38, 0x80, 0x03}, {0x66, 0x0f, 0x38, 0x81, 0x03}, {0xf3, 0x0f, 0xc7, 0x33}};
  for (auto& code : codes)
    for (unsigned what = 0; what < 3; ++what) {   // compatibility mode, level 3, both
      M m;
      m.on();
      if (what != 1) m.cpu->seg[CS].ar = (m.cpu->seg[CS].ar & ~0x2000u) | 0x4000, m.cpu->seg[CS].sel = 0x18;
      if (what) {
        m.cpu->seg[CS].ar |= 0x60, m.cpu->seg[SS].ar |= 0x60, m.cpu->seg[CS].sel = static_cast<u16>(m.cpu->seg[CS].sel | 3), m.cpu->seg[SS].sel = 0x2b;
        m.poke<u64>(0x7004, TestMachine::kStack), m.cpu->tr = {0x7000, 0x67, 0x8b, 0x40};
      }
      m.cpu->update();
      m.poke<u64>(M::kData, M::kVmcs);
      m.cpu->r[3] = M::kData, m.cpu->r[0] = 1, m.cpu->r[1] = 0x6800;
      m.run(code, 1);
      EXPECT_EQ(m.cpu->rip, TestMachine::kHandlers + 16 * (what != 1 ? UD : GP)) << int{code[1]} << " " << int{code.back()} << " " << what;
    }
}
TEST(vmx_instructions, msr_lists) {   // SDM 3C "Loading MSRs", "Saving MSRs"; IA32_VMX_MISC recommends at most 512
  for (u32 msr : {0x79u, 0x8bu, 0x277u, 0xc000'0100u, 0xc000'0101u, 0xc000'0102u, 0x800u, 0x808u, 0x8ffu, 0x7ffu, 0x900u})
    for (unsigned upper = 0; upper < 2; ++upper)
      for (bool x2apic : {false, true}) {
        M m({"+x2apic"});
        m.fill();
        if (x2apic) m.cpu->apic.write_base(0xfee00d00);
        m.set(F::VM_ENTRY_MSR_LOAD_COUNT, 1), m.set(F::VM_ENTRY_MSR_LOAD_ADDR, M::kList);
        m.poke<u64>(M::kList, msr | u64{upper} << 32), m.poke<u64>(M::kList + 8, 0);
        const bool good = !upper && (msr == 0x277 || msr == 0xc000'0102);
        EXPECT_EQ(static_cast<u32>(m.launch({})), good ? static_cast<u32>(kHlt) : 0x8000'0000u | 34) << std::hex << msr << upper;
        if (!good) { EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 1u); }
      }
  for (u32 msr : {0x8bu, 0x277u, 0xc000'0100u, 0x803u, 0x808u, 0x79u}) {
    M m({"+x2apic"});
    m.fill();
    m.cpu->apic.write_base(0xfee00d00);
    m.set(F::VM_EXIT_MSR_STORE_COUNT, 1), m.set(F::VM_EXIT_MSR_STORE_ADDR, M::kList);
    m.poke<u64>(M::kList, msr);
    m.launch({});
    EXPECT_EQ(m.peek<u32>(M::kVmcs + vmcs_page::abort_indicator), msr >> 8 == 8 || msr == 0x79 ? 1u : 0u) << std::hex << msr;
  }
  M two;   // 16 bytes each, one behind the other
  two.fill();
  two.set(F::VM_EXIT_MSR_STORE_COUNT, 2), two.set(F::VM_EXIT_MSR_STORE_ADDR, M::kList + 16);
  two.poke<u64>(M::kList, 0x277), two.poke<u64>(M::kList + 16, 0x277), two.poke<u64>(M::kList + 32, 0xc000'0102);
  two.cpu->msr.kernel_gs_base = 0x1234'5678;
  two.launch({});
  EXPECT_EQ(two.peek<u64>(M::kList + 8), 0u);
  EXPECT_EQ(two.peek<u64>(M::kList + 24), two.cpu->msr.pat);
  EXPECT_EQ(two.peek<u64>(M::kList + 40), 0x1234'5678u);
  for (u32 count : {512u, 513u})
    for (bool store : {false, true}) {
      M m;
      m.fill();
      constexpr u64 kLong = 0x80000;
      for (u32 n = 0; n < count; ++n) m.poke<u64>(kLong + 16 * n, 0x277), m.poke<u64>(kLong + 16 * n + 8, 0x0606'0606'0606'0606);
      m.set(store ? F::VM_EXIT_MSR_STORE_COUNT : F::VM_ENTRY_MSR_LOAD_COUNT, count), m.set(store ? F::VM_EXIT_MSR_STORE_ADDR : F::VM_ENTRY_MSR_LOAD_ADDR, kLong);
      const int got = m.launch({});
      if (store) { EXPECT_EQ(m.peek<u32>(M::kVmcs + vmcs_page::abort_indicator), count > 512 ? 1u : 0u); }
      else if (count > 512) { EXPECT_EQ(static_cast<u32>(got), 0x8000'0022u); EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 513u); }
      else { EXPECT_EQ(got, kHlt); }
    }
}

}  // namespace
}  // namespace vt::cpu
