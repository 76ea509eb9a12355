// SPDX-License-Identifier: GPL-2.0-or-later
/// Each bit of each field that VM entry looks at: flipped in a state that is accepted, it is refused or not as the manual's sections say.   SDM 3C "VM Entries"
#include <algorithm>
#include <functional>
#include <initializer_list>
#include <vector>

#include "vmx_entry.hpp"

namespace vt::cpu {
namespace {

constexpr u64 kAll = ~u64{0}, kHigh = mask(63, 46);   // the model's physical addresses have 46 bits
constexpr u64 kNotCanonical = mask(63, 47), kPage = kHigh | 0xfff;
constexpr u64 set_of(std::initializer_list<unsigned> bits) {
  u64 v = 0;
  for (unsigned b : bits) v |= u64{1} << b;
  return v;
}
template <class T> void flip(T& v, unsigned b) { v = static_cast<T>(v ^ T(1) << b); }

/// `refused`: the bits whose flip VM entry does not accept; `how`: 7 and 8 by VMfail, 3 by exit 33.
struct Row {
  const char* what;
  char how;
  unsigned bits;
  u64 refused;
  std::function<void(Entry&, unsigned)> flips;
  void (*before)(Entry&) = nullptr;
};
void all(std::initializer_list<Row> rows) {
  for (const Row& r : rows)
    for (unsigned b = 0; b < r.bits; ++b) {
      Entry e;
      if (r.before) r.before(e);
      ASSERT_EQ(e.entry(), "enters") << r.what;
      r.flips(e, b);
      const std::string got = e.entry();
      EXPECT_EQ(got != "enters", bit(r.refused, b)) << r.what << " bit " << b << ": " << got;
      if (got != "enters") { EXPECT_EQ(got[0], r.how) << r.what << " bit " << b << ": " << got; }
    }
}
void shadow(Entry& e) { e.x.proc |= proc_ctl::tpr_shadow; }
void page(Entry& e) { shadow(e), e.x.proc2 |= proc2_ctl::apic_access; }
void long_guest(Entry& e) { e.long_guest(); }
void restricted(Entry& e) { e.restricted(); }
void v86(Entry& e) { e.v86(); }

#define FLIP(field) [](Entry& e, unsigned b) { flip(e.field, b); }

TEST(vmx_bits, of_the_controls) {   // SDM 3C "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry Control Fields" (checks on)
  all({
      {"pin-based", '7', 32, kAll ^ set_of({0, 5, 6}), FLIP(x.pin)},   // without NMI exiting there are no virtual NMIs
      {"primary", '7', 32, set_of({0, 1, 4, 5, 6, 8, 13, 14, 17, 18, 26}), FLIP(x.proc)},
      {"secondary", '7', 32, kAll ^ set_of({0, 2, 3, 5, 6, 7, 10, 11, 12, 16}), FLIP(x.proc2), [](Entry& e) { e.g.cr0 = e.x.guest_cr0 = 0x8000'0031; }},
      {"exit", '7', 32, kAll ^ set_of({2, 15, 18, 19, 20, 21}), [](Entry& e, unsigned b) { if (b != 9) flip(e.x.exit, b); else e.x.exit ^= 1; }},
      {"entry", '7', 32, kAll ^ set_of({2, 14, 15}), [](Entry& e, unsigned b) { if (b != 9) flip(e.x.entry, b); else e.x.entry ^= 1; }},
      {"I/O bitmap A", '7', 64, kPage, FLIP(x.io_bitmap_a)},
      {"I/O bitmap B", '7', 64, kPage, FLIP(x.io_bitmap_b)},
      {"MSR bitmaps", '7', 64, kPage, FLIP(x.msr_bitmap)},
      {"virtual-APIC page", '7', 64, kPage, FLIP(x.virtual_apic), shadow},
      {"APIC-access page", '7', 64, kPage, FLIP(x.apic_access), page},
      {"TPR threshold, without a page", '7', 32, kAll ^ 0xf, FLIP(x.tpr_threshold), [](Entry& e) { shadow(e), e.x.vtpr = 0xff; }},
      {"TPR threshold, with a page", '7', 32, kAll ^ 0xf, FLIP(x.tpr_threshold), page},
      {"EPTP", '7', 64, kAll ^ mask(45, 12) ^ 0x40, FLIP(x.eptp)},
      {"store area", '7', 64, kHigh | 0xf, FLIP(x.exit_store_addr), [](Entry& e) { e.x.exit_store_count = 1; }},
      {"load area", '7', 64, kHigh | 0xf, FLIP(x.exit_load_addr), [](Entry& e) { e.x.exit_load_count = 1; }},
      {"entry's load area", '7', 64, kHigh | 0xf, FLIP(x.entry_load_addr), [](Entry& e) { e.x.entry_load_count = 1; }},
      {"areas without entries", '7', 64, 0, [](Entry& e, unsigned b) { flip(e.x.entry_load_addr, b), flip(e.x.exit_load_addr, b), flip(e.x.exit_store_addr, b); }},
      {"what no control uses", '7', 64, 0, [](Entry& e, unsigned b) { flip(e.x.io_bitmap_a, b), flip(e.x.io_bitmap_b, b), flip(e.x.msr_bitmap, b), flip(e.x.virtual_apic, b), flip(e.x.apic_access, b), flip(e.x.eptp, b); },
       [](Entry& e) { e.restricted(), e.x.proc &= ~(proc_ctl::io_bitmaps | proc_ctl::msr_bitmaps), e.x.proc2 = 0; }},
      {"error code", '7', 32, mask(31, 16), FLIP(x.intr_error), [](Entry& e) { e.inject(0xb0e); }},
      {"interruption information", '7', 31, mask(30, 12) | 0x800, [](Entry& e, unsigned b) { if (b >= 11) flip(e.x.intr_info, b); }, [](Entry& e) { e.inject(0x306); }},
  });
}

TEST(vmx_bits, numbers_of_the_controls) {
  for (u32 n = 0; n < 9; ++n) {
    Entry e;
    e.x.cr3_target_count = n;
    EXPECT_EQ(e.entry() == "enters", n <= 4) << n;
  }
  for (u32 vpid = 0; vpid < 3; ++vpid) {
    Entry e;
    e.x.vpid = static_cast<u16>(vpid);
    EXPECT_EQ(e.entry() == "enters", vpid != 0);
    e.x.proc2 &= ~proc2_ctl::vpid;
    EXPECT_EQ(e.entry(), "enters");
  }
  for (u32 threshold = 0; threshold < 16; ++threshold)   // "VTPR[7:4]" is what it is compared with
    for (u32 vtpr = 0; vtpr < 0x200; ++vtpr) {
      Entry e;
      shadow(e);
      e.x.tpr_threshold = threshold, e.x.vtpr = vtpr;
      EXPECT_EQ(e.entry() == "enters", threshold <= (vtpr & 0xf0) >> 4) << threshold << " " << vtpr;
      e.x.proc2 |= proc2_ctl::apic_access;
      EXPECT_EQ(e.entry(), "enters");
    }
  struct { u64 at; u32 count; bool good; } const areas[] = {{0, 1, true}, {0, ~0u, true}, {(u64{1} << 46) - 16, 1, true}, {(u64{1} << 46) - 16, 2, false}, {(u64{1} << 46) - 32, 2, true},
      {(u64{1} << 46) - 32, 3, false}, {(u64{1} << 46) - 16, 0, true}, {u64{1} << 46, 1, false}, {~u64{15}, 1, false}};
  for (auto& a : areas) {
    for (unsigned which = 0; which < 3; ++which) {
      Entry e;
      (which == 0 ? e.x.exit_store_addr : which == 1 ? e.x.exit_load_addr : e.x.entry_load_addr) = a.at;
      (which == 0 ? e.x.exit_store_count : which == 1 ? e.x.exit_load_count : e.x.entry_load_count) = a.count;
      EXPECT_EQ(e.entry() == "enters", a.good) << std::hex << a.at << " " << a.count << " " << which;
    }
  }
}

/// Every type, vector and error-code bit; SDM 3C "VM-Entry Control Fields": the event's checks. #DF, #TS, #NP, #SS, #GP, #PF and #AC have error codes, in protected mode.
TEST(vmx_bits, every_event_that_is_injected) {
  enum Guest { protected_mode, real_mode, restricted_guest };
  for (Guest guest : {protected_mode, real_mode, restricted_guest})
    for (u32 type = 0; type < 8; ++type)
      for (u32 vector = 0; vector < 256; ++vector)
        for (u32 code = 0; code < 2; ++code) {
          Entry e;
          if (guest == real_mode) e.g.cr0 = e.x.guest_cr0 = 0x30;
          if (guest == restricted_guest) e.restricted();
          e.g.rflags |= rflags::IF;
          e.x.intr_length = 2;
          e.inject(type << 8 | vector | code << 11);
          const bool with_code = type == 3 && guest != real_mode && (vector == 8 || (vector >= 10 && vector <= 14) || vector == 17);
          const bool good = type != 1 && (type != 7 || vector == 0) && (type != 2 || vector == 2) && (type != 3 || vector < 32) && with_code == (code != 0);
          EXPECT_EQ(e.entry() == "enters", good) << guest << " type " << type << " vector " << vector << " code " << code << ": " << e.entry();
        }
  for (u32 type : {0u, 2u, 3u, 4u, 5u, 6u})
    for (u32 length = 0; length < 18; ++length) {
      Entry e;
      e.g.rflags |= rflags::IF;
      e.x.intr_length = length;
      e.inject(type << 8 | (type == 2 ? 2 : 6));
      EXPECT_EQ(e.entry() == "enters", type < 4 || (length >= 1 && length <= 15)) << type << " " << length;
    }
}

void host32(Entry& e) {
  e.lma = false;
  e.x.exit &= ~(exit_ctl::host_64 | exit_ctl::load_efer);
  e.h.sel[SS] = 0x10, e.h.rip = 0x1000;
}
TEST(vmx_bits, of_the_host) {   // SDM 3C "Checks on Host Control Registers, MSRs, and SSP", "Checks on Host Segment and Descriptor-Table Registers", "Checks Related to Address-Space Size"
  constexpr u64 kCr4 = kAll ^ (mask(11, 0) | mask(18, 16) | mask(22, 20));
  all({
      {"CR0", '8', 64, mask(63, 31) | set_of({0, 5}), FLIP(h.cr0)},
      {"CR4", '8', 64, kCr4 | set_of({5}), FLIP(h.cr4)},
      {"CR4 of a 32-bit host", '8', 64, kCr4 | set_of({17}), FLIP(h.cr4), host32},
      {"CR3", '8', 64, kHigh, FLIP(h.cr3)},
      {"SYSENTER_ESP", '8', 64, kNotCanonical, FLIP(h.sysenter_esp)},
      {"SYSENTER_EIP", '8', 64, kNotCanonical, FLIP(h.sysenter_eip)},
      {"SYSENTER_ESP, upper half", '8', 64, kNotCanonical, FLIP(h.sysenter_esp), [](Entry& e) { e.h.sysenter_esp = kNotCanonical; }},
      {"EFER", '8', 64, kAll ^ set_of({0, 11}), FLIP(h.efer)},
      {"EFER, not loaded", '8', 64, 0, FLIP(h.efer), [](Entry& e) { e.x.exit &= ~exit_ctl::load_efer; }},
      {"CS", '8', 16, 0xf, FLIP(h.sel[CS])},   // flipping bit 3 makes it null
      {"SS", '8', 16, 7, FLIP(h.sel[SS])},
      {"SS of a 32-bit host", '8', 16, 0x17, FLIP(h.sel[SS]), host32},
      {"DS", '8', 16, 7, FLIP(h.sel[DS])},
      {"ES", '8', 16, 7, FLIP(h.sel[ES])},
      {"FS", '8', 16, 7, FLIP(h.sel[FS])},
      {"GS", '8', 16, 7, FLIP(h.sel[GS])},
      {"TR", '8', 16, 0x47, FLIP(h.sel[6])},
      {"FS base", '8', 64, kNotCanonical, FLIP(h.fs_base)},
      {"GS base", '8', 64, kNotCanonical, FLIP(h.gs_base)},
      {"TR base", '8', 64, kNotCanonical, FLIP(h.tr_base)},
      {"GDTR base", '8', 64, kNotCanonical, FLIP(h.gdtr_base)},
      {"IDTR base", '8', 64, kNotCanonical, FLIP(h.idtr_base)},
      {"RIP", '8', 64, kNotCanonical, FLIP(h.rip)},
      {"RIP of a 32-bit host", '8', 64, mask(63, 32), FLIP(h.rip), host32},
      {"RSP", '8', 64, 0, FLIP(h.rsp)},
  });
  Entry e;   // a host outside IA-32e mode has neither of LMA and LME
  host32(e), e.x.exit |= exit_ctl::load_efer;
  for (u64 efer : {u64{0}, efer::LME, efer::LMA, efer::LME | efer::LMA}) {
    e.h.efer = efer;
    EXPECT_EQ(e.entry() == "enters", efer == 0) << efer;
  }
}

TEST(vmx_bits, memory_types_of_both_pats) {   // SDM 3C: each of the eight bytes is 0 (UC), 1 (WC), 4 (WT), 5 (WP), 6 (WB) or 7 (UC-)
  for (bool guest : {false, true})
    for (unsigned n = 0; n < 8; ++n)
      for (u64 type = 0; type < 256; ++type) {
        Entry e;
        u64& pat = guest ? e.g.pat : e.h.pat;
        pat = (pat & ~(u64{0xff} << (8 * n))) | type << (8 * n);
        EXPECT_EQ(e.entry() == "enters", type < 2 || (type > 3 && type < 8)) << n << " " << type;
        (guest ? e.x.entry : e.x.exit) &= ~(guest ? entry_ctl::load_pat : exit_ctl::load_pat);
        EXPECT_EQ(e.entry(), "enters");
      }
}

TEST(vmx_bits, of_the_guests_registers) {   // SDM 3C "Checks on Guest Control Registers, Debug Registers, and MSRs", "... Descriptor-Table Registers", "... RIP, RFLAGS, and SSP"
  constexpr u64 kCr4 = kAll ^ (mask(11, 0) | mask(18, 16) | mask(22, 20)), kFlags = set_of({1, 3, 5, 15}) | mask(63, 22);
  all({
      {"CR0", '3', 64, mask(63, 32) | set_of({5}), FLIP(g.cr0)},
      {"CR0, restricted", '3', 64, mask(63, 31) | set_of({0, 5}), FLIP(g.cr0), restricted},
      {"CR0, IA-32e", '3', 64, mask(63, 31) | set_of({0, 5}), FLIP(g.cr0), long_guest},
      {"CR4", '3', 64, kCr4 | set_of({17}), FLIP(g.cr4)},
      {"CR4, IA-32e", '3', 64, kCr4 | set_of({5}), FLIP(g.cr4), long_guest},
      {"CR3", '3', 64, kHigh, FLIP(g.cr3)},
      {"DEBUGCTL", '3', 64, kAll ^ 3, FLIP(g.debugctl)},
      {"DR7", '3', 64, mask(63, 32), FLIP(g.dr7)},
      {"DEBUGCTL and DR7, not loaded", '3', 64, 0, [](Entry& e, unsigned b) { flip(e.g.debugctl, b), flip(e.g.dr7, b); }, [](Entry& e) { e.x.entry &= ~entry_ctl::load_debug; }},
      {"SYSENTER_ESP", '3', 64, kNotCanonical, FLIP(g.sysenter_esp)},
      {"SYSENTER_EIP", '3', 64, kNotCanonical, FLIP(g.sysenter_eip)},
      {"EFER", '3', 64, kAll ^ set_of({0, 8, 11}), FLIP(g.efer)},
      {"EFER, restricted", '3', 64, kAll ^ set_of({0, 11}), FLIP(g.efer), restricted},   // paging is on
      {"EFER, IA-32e", '3', 64, kAll ^ set_of({0, 11}), FLIP(g.efer), long_guest},
      {"EFER, not loaded", '3', 64, 0, FLIP(g.efer), [](Entry& e) { e.x.entry &= ~entry_ctl::load_efer; }},
      {"GDTR base", '3', 64, kNotCanonical, FLIP(g.gdtr_base)},
      {"IDTR base", '3', 64, kNotCanonical, FLIP(g.idtr_base)},
      {"GDTR limit", '3', 32, mask(31, 16), FLIP(g.gdtr_limit)},
      {"IDTR limit", '3', 32, mask(31, 16), FLIP(g.idtr_limit)},
      {"RIP", '3', 64, mask(63, 32), FLIP(g.rip)},
      {"RIP, 64-bit code", '3', 64, kNotCanonical, FLIP(g.rip), long_guest},
      {"RIP, compatibility mode", '3', 64, mask(63, 32), FLIP(g.rip), [](Entry& e) { e.long_guest(), e.g.seg[CS].ar = 0xc09b; }},
      {"RSP", '3', 64, 0, FLIP(g.rsp)},
      {"RFLAGS", '3', 64, kFlags | rflags::VM, FLIP(g.rflags)},   // the segments are not those of virtual-8086 mode
      {"RFLAGS in virtual-8086 mode", '3', 64, kFlags | rflags::VM, FLIP(g.rflags), [](Entry& e) { e.v86(); for (auto& s : e.g.seg) s.base = 0x23450, s.sel = 0x2345; }},
  });
}

/// Access rights: type 3:0, S 4, DPL 6:5, P 7, reserved 11:8, AVL, L, D/B, G, unusable 16, reserved 31:17.   SDM 3C "Checks on Guest Segment Registers"
TEST(vmx_bits, of_the_guests_segments) {
  constexpr u64 kReserved = mask(11, 8) | mask(31, 17), kS = 0x10, kP = 0x80, kG = 0x8000, kDpl = 0x60;
  static const auto ldt = [](Entry& e) { e.g.ldtr = {0, 0, 0x82, 0x40}; };
  all({
      {"CS rights", '3', 32, kReserved | kS | kP | kG | kDpl | 1, FLIP(g.seg[CS].ar)},
      {"CS rights, restricted", '3', 32, kReserved | kS | kP | kG | kDpl | 1 | 8, FLIP(g.seg[CS].ar), restricted},
      {"CS rights, 64-bit code", '3', 32, kReserved | kS | kP | kG | kDpl | 1 | 0x4000, FLIP(g.seg[CS].ar), long_guest},   // L with D
      {"CS rights, called unusable: it counts all the same", '3', 32, kReserved | kS | kP | kG | kDpl | 1, FLIP(g.seg[CS].ar), [](Entry& e) { e.g.seg[CS].ar = 0x1c09b; }},
      {"CS limit, called unusable", '3', 32, 0xfff, FLIP(g.seg[CS].limit), [](Entry& e) { e.g.seg[CS].ar = 0x1c09b; }},
      {"CS limit in bytes, called unusable", '3', 32, mask(31, 20), FLIP(g.seg[CS].limit), [](Entry& e) { e.g.seg[CS].ar = 0x1409b, e.g.seg[CS].limit = 0xfffff; }},
      {"CS base, called unusable", '3', 64, mask(63, 32), FLIP(g.seg[CS].base), [](Entry& e) { e.g.seg[CS].ar = 0x1c09b; }},
      {"SS rights", '3', 32, kReserved | kS | kP | kG | kDpl | 1 | 2 | 8, FLIP(g.seg[SS].ar)},
      {"DS rights", '3', 32, kReserved | kS | kP | kG | 1, FLIP(g.seg[DS].ar)},
      {"ES rights", '3', 32, kReserved | kS | kP | kG | 1, FLIP(g.seg[ES].ar)},
      {"FS rights", '3', 32, kReserved | kS | kP | kG | 1, FLIP(g.seg[FS].ar)},
      {"GS rights", '3', 32, kReserved | kS | kP | kG | 1, FLIP(g.seg[GS].ar)},
      {"TR rights", '3', 32, kReserved | kS | kP | kG | 0x10000 | 1 | 2 | 4, FLIP(g.tr.ar)},
      {"TR rights, IA-32e", '3', 32, kReserved | kS | kP | kG | 0x10000 | 0xf, FLIP(g.tr.ar), long_guest},
      {"LDTR rights", '3', 32, kReserved | kS | kP | kG | 0xf, FLIP(g.ldtr.ar), ldt},
      {"unusable", '3', 16, 0, [](Entry& e, unsigned b) { for (Seg s : {SS, DS, ES, FS, GS}) flip(e.g.seg[s].ar, b); flip(e.g.ldtr.ar, b); },
       [](Entry& e) { for (Seg s : {SS, DS, ES, FS, GS}) e.g.seg[s] = {0, 0x123456, 0x1000f, 0}; e.g.seg[SS].ar = 0x10000; e.g.seg[CS].ar = 0xc09f; }},
      {"CS limit", '3', 32, 0xfff, FLIP(g.seg[CS].limit)}, {"SS limit", '3', 32, 0xfff, FLIP(g.seg[SS].limit)}, {"DS limit", '3', 32, 0xfff, FLIP(g.seg[DS].limit)},
      {"ES limit", '3', 32, 0xfff, FLIP(g.seg[ES].limit)}, {"FS limit", '3', 32, 0xfff, FLIP(g.seg[FS].limit)}, {"GS limit", '3', 32, 0xfff, FLIP(g.seg[GS].limit)},
      {"TR limit", '3', 32, mask(31, 20), FLIP(g.tr.limit)}, {"LDTR limit", '3', 32, mask(31, 20), FLIP(g.ldtr.limit), ldt},
      {"limits in bytes", '3', 32, mask(31, 20), [](Entry& e, unsigned b) { flip(e.g.seg[b % 6].limit, b); }, [](Entry& e) { for (auto& s : e.g.seg) s.limit = 0xfffff, s.ar &= ~0x8000u; }},
      {"CS base", '3', 64, mask(63, 32), FLIP(g.seg[CS].base)}, {"SS base", '3', 64, mask(63, 32), FLIP(g.seg[SS].base)}, {"DS base", '3', 64, mask(63, 32), FLIP(g.seg[DS].base)},
      {"ES base", '3', 64, mask(63, 32), FLIP(g.seg[ES].base)}, {"FS base", '3', 64, kNotCanonical, FLIP(g.seg[FS].base)}, {"GS base", '3', 64, kNotCanonical, FLIP(g.seg[GS].base)},
      {"TR base", '3', 64, kNotCanonical, FLIP(g.tr.base)}, {"LDTR base", '3', 64, kNotCanonical, FLIP(g.ldtr.base), ldt},
      {"TR selector", '3', 16, 4, FLIP(g.tr.sel)}, {"LDTR selector", '3', 16, 4, FLIP(g.ldtr.sel), ldt}, {"selector of no LDTR", '3', 16, 0, FLIP(g.ldtr.sel)},
      {"CS selector", '3', 16, 0, FLIP(g.seg[CS].sel)}, {"SS selector", '3', 16, 0, FLIP(g.seg[SS].sel)}, {"DS selector", '3', 16, 0, FLIP(g.seg[DS].sel)},
      {"CS selector, restricted", '3', 16, 3, FLIP(g.seg[CS].sel), restricted}, {"SS selector, restricted", '3', 16, 3, FLIP(g.seg[SS].sel), restricted},
      {"DS selector, restricted", '3', 16, 3, FLIP(g.seg[DS].sel), restricted}, {"ES selector, restricted", '3', 16, 3, FLIP(g.seg[ES].sel), restricted},
      {"FS selector, restricted", '3', 16, 3, FLIP(g.seg[FS].sel), restricted}, {"GS selector, restricted", '3', 16, 3, FLIP(g.seg[GS].sel), restricted},
  });
  for (unsigned n : {ES, CS, SS, DS, FS, GS})   // virtual-8086 mode: FFFF, F3 and sixteen times the selector, of each
    all({
        {"limit in virtual-8086 mode", '3', 32, kAll, [n](Entry& e, unsigned b) { flip(e.g.seg[n].limit, b); }, v86},
        {"rights in virtual-8086 mode", '3', 32, kAll, [n](Entry& e, unsigned b) { flip(e.g.seg[n].ar, b); }, v86},
        {"base in virtual-8086 mode", '3', 64, kAll, [n](Entry& e, unsigned b) { flip(e.g.seg[n].base, b); }, v86},
        {"selector in virtual-8086 mode", '3', 16, kAll, [n](Entry& e, unsigned b) { flip(e.g.seg[n].sel, b); }, v86},
    });
}

TEST(vmx_bits, every_type_and_level_of_the_guests_segments) {
  for (bool restrict : {false, true})
    for (u32 type = 0; type < 16; ++type)
      for (u32 dpl = 0; dpl < 4; ++dpl)
        for (u32 other = 0; other < 4; ++other) {   // the other segment's DPL, or the selector's RPL
          Entry e;
          if (restrict) e.restricted();
          // CS by type and DPL, against SS's
          e.g.seg[CS].ar = 0xc090 | type | dpl << 5, e.g.seg[SS].ar = 0xc093 | other << 5;
          e.g.seg[CS].sel = e.g.seg[SS].sel = static_cast<u16>(0x40 | other);
          const bool cs = type == 3 ? !restrict && dpl == 0 && other == 0 : type == 9 || type == 11 ? dpl == other : type == 13 || type == 15 ? dpl <= other : false;
          EXPECT_EQ(e.entry() == "enters", cs) << "CS type " << type << " DPL " << dpl << " SS DPL " << other << ": " << e.entry();
          // SS by type and DPL, against its RPL
          Entry s;
          if (restrict) s.restricted();
          s.g.seg[SS].ar = 0xc090 | type | dpl << 5, s.g.seg[SS].sel = s.g.seg[CS].sel = static_cast<u16>(0x40 | other), s.g.seg[CS].ar = 0xc09b | dpl << 5;
          EXPECT_EQ(s.entry() == "enters", (type == 3 || type == 7) && (!restrict || dpl == other)) << "SS type " << type << " DPL " << dpl << " RPL " << other << ": " << s.entry();
          // data segments by type and DPL, against their RPL
          for (Seg n : {DS, ES, FS, GS}) {
            Entry d;
            if (restrict) d.restricted();
            d.g.seg[n].ar = 0xc090 | type | dpl << 5, d.g.seg[n].sel = static_cast<u16>(0x40 | other);
            const bool good = (type & 1) && (!(type & 8) || (type & 2)) && (!restrict || type >= 12 || dpl >= other);
            EXPECT_EQ(d.entry() == "enters", good) << n << " type " << type << " DPL " << dpl << " RPL " << other << ": " << d.entry();
          }
        }
  for (u32 type = 0; type < 16; ++type)
    for (bool ia32e : {false, true}) {
      Entry t;
      if (ia32e) t.long_guest();
      t.g.tr.ar = 0x80 | type;
      EXPECT_EQ(t.entry() == "enters", type == 11 || (type == 3 && !ia32e)) << type;
      Entry l;
      if (ia32e) l.long_guest();
      l.g.ldtr = {0, 0, 0x80 | type, 0};
      EXPECT_EQ(l.entry() == "enters", type == 2) << type;
    }
  for (u32 dpl = 0; dpl < 4; ++dpl) {   // "SS.DPL": 0 without protected mode, whatever CS is
    Entry e;
    e.g.cr0 = e.x.guest_cr0 = 0x30;
    e.g.seg[CS].ar = 0xc09b | dpl << 5, e.g.seg[SS].ar = 0xc093 | dpl << 5;
    EXPECT_EQ(e.entry() == "enters", dpl == 0) << dpl;
  }
}

TEST(vmx_bits, of_the_guests_other_state) {   // SDM 3C "Checks on Guest Non-Register State", "Checks on Guest Page-Directory-Pointer-Table Entries"
  static const auto pae = [](Entry& e) { e.g.cr0 = e.x.guest_cr0 = 0x8000'0031, e.g.cr4 |= cr4::PAE; for (u64& p : e.g.pdpte) p = 0x7001; };
  constexpr u64 kPdpte = set_of({1, 2, 5, 6, 7, 8}) | kHigh, kPending = kAll ^ (0xf | 0x1000 | 0x4000);
  all({
      {"activity state", '3', 32, kAll ^ 3, FLIP(g.activity)},
      {"interruptibility", '3', 32, kAll ^ (2 | 8), FLIP(g.interruptibility)},
      {"interruptibility with IF", '3', 32, kAll ^ (1 | 2 | 8), FLIP(g.interruptibility), [](Entry& e) { e.g.rflags |= rflags::IF; }},
      {"pending debug exceptions", '3', 64, kPending, FLIP(g.pending_debug)},
      {"pending debug exceptions, in HLT", '3', 64, kPending | 0x4000, FLIP(g.pending_debug), [](Entry& e) { e.g.activity = 1; }},
      {"pending debug exceptions, blocked", '3', 64, kPending | 0x4000, FLIP(g.pending_debug), [](Entry& e) { e.g.interruptibility = 2; }},
      {"pending debug exceptions, blocked by STI", '3', 64, kPending | 0x4000, FLIP(g.pending_debug), [](Entry& e) { e.g.interruptibility = 1, e.g.rflags |= rflags::IF; }},
      {"the link pointer", '3', 64, kAll, FLIP(g.link)},   // any other names no VMCS
      {"PDPTE 0", '3', 64, kPdpte, FLIP(g.pdpte[0]), pae}, {"PDPTE 1", '3', 64, kPdpte, FLIP(g.pdpte[1]), pae},
      {"PDPTE 2", '3', 64, kPdpte, FLIP(g.pdpte[2]), pae}, {"PDPTE 3", '3', 64, kPdpte, FLIP(g.pdpte[3]), pae},
      {"PDPTEs, IA-32e", '3', 64, 0, FLIP(g.pdpte[0]), [](Entry& e) { e.long_guest(), e.g.pdpte[0] = 0x7001; }},
  });
}

/// Which events each activity state takes, and blocking allows.   SDM 3C "Checks on Guest Non-Register State"
TEST(vmx_bits, every_event_in_every_state) {
  for (u32 activity = 0; activity < 4; ++activity)
    for (u32 blocking : {0u, 1u, 2u, 8u})
      for (bool virtual_nmis : {false, true})
        for (u32 type : {0u, 2u, 3u, 4u, 5u, 6u})
          for (u32 vector = 0; vector < 32; ++vector) {
            if (type == 2 && vector != 2) continue;
            Entry e;
            if (!virtual_nmis) e.x.pin &= ~pin_ctl::virtual_nmis;
            e.g.rflags |= rflags::IF, e.g.activity = activity, e.g.interruptibility = blocking, e.x.intr_length = 1;
            const bool code = type == 3 && (vector == 8 || (vector >= 10 && vector <= 14) || vector == 17);
            e.inject(type << 8 | vector | (code ? 0x800 : 0));
            bool good = activity == 0 || (activity == 1 && (type == 0 || type == 2 || (type == 3 && (vector == 1 || vector == 18)))) || (activity == 2 && (type == 2 || (type == 3 && vector == 18)));
            if (activity && (blocking & 3)) good = false;
            if (type == 0 && (blocking & 3)) good = false;
            if (type == 2 && ((blocking & 2) || (virtual_nmis && (blocking & 8)))) good = false;
            EXPECT_EQ(e.entry() == "enters", good) << activity << " blocking " << blocking << " type " << type << " vector " << vector << ": " << e.entry();
          }
  for (bool tf : {false, true})   // BS goes with TF, unless BTF makes it step on branches
    for (u64 btf : {0u, 1u, 2u})
      for (bool bs : {false, true}) {
        Entry e;
        e.g.rflags |= tf ? rflags::TF : 0, e.g.debugctl = btf, e.g.pending_debug = bs ? 0x4000 : 0, e.g.interruptibility = 2;
        EXPECT_EQ(e.entry() == "enters", bs == (tf && btf != 2)) << tf << btf << bs;
        e.g.interruptibility = 0;
        EXPECT_EQ(e.entry(), "enters");
      }
}

}  // namespace
}  // namespace vt::cpu
