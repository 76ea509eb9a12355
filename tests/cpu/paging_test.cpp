// SPDX-License-Identifier: GPL-2.0-or-later
/// The x86 paging walker as a pure function, and the MMU's use of it: A and D, PAE, EPT below it.
#include "cpu/paging.hpp"

#include <map>

#include "harness.hpp"
#include "mmu.hpp"

namespace vt::cpu {
namespace {

using paging::Mode;
using paging::Why;

struct Image {
  std::map<u64, u64> q;
  u64 refused = ~u64{0};
  bool operator()(Gpa at, u64& v) {
    EXPECT_EQ(at.v % 8, 0u);
    if (at.v == refused) return false;
    v = q.count(at.v) ? q[at.v] : 0;
    return true;
  }
  void entry32(u64 at, u32 e) { q[at & ~u64{7}] = set_bits(q[at & ~u64{7}], at & 4 ? 63 : 31, at & 4 ? 32 : 0, e); }
};

paging::Params params(Mode m) {
  paging::Params p;
  p.mode = m;
  p.cr3 = 0x1000;
  return p;
}

// SDM 3A "4-Level Paging and 5-Level Paging"
TEST(paging, four_levels_to_a_4k_page) {
  Image m;
  const u64 la = u64{1} << 39 | u64{2} << 30 | u64{3} << 21 | u64{4} << 12 | 0x567;
  m.q[0x1000 + 8] = 0x2000 | 0x27;
  m.q[0x2000 + 16] = 0x3000 | 0x27;
  m.q[0x3000 + 24] = 0x4000 | 0x27;
  m.q[0x4000 + 32] = 0xabcd000 | 0x67 | 0x100;
  auto w = paging::walk(params(Mode::level4), la, m);
  EXPECT_EQ(w.why, Why::ok);
  EXPECT_EQ(w.n, 4);
  EXPECT_EQ(w.target.v, 0xabcd567u);
  EXPECT_EQ(w.shift, 12);
  EXPECT_TRUE(w.w && w.u && !w.nx && w.global && w.accessed && w.dirty);
  EXPECT_EQ(w.step[3].at.v, 0x4020u);
  EXPECT_EQ(w.step[0].level, 4);
}

// SDM 3A "Determination of Access Rights": a right must be given at every level.
TEST(paging, rights_are_the_intersection_of_all_levels) {
  for (unsigned level = 1; level <= 4; ++level) {
    for (u64 clear : {paging::RW, paging::US}) {
      Image m;
      for (u64 l = 4; l >= 1; --l) m.q[0x1000 * (5 - l)] = (0x1000 * (6 - l)) | 7;
      m.q[0x1000 * (5 - level)] &= ~clear;
      auto w = paging::walk(params(Mode::level4), 0, m);
      EXPECT_EQ(w.why, Why::ok);
      EXPECT_EQ(w.w, clear != paging::RW);
      EXPECT_EQ(w.u, clear != paging::US);
    }
    Image m;
    for (u64 l = 4; l >= 1; --l) m.q[0x1000 * (5 - l)] = (0x1000 * (6 - l)) | 7;
    m.q[0x1000 * (5 - level)] |= paging::XD;
    EXPECT_TRUE(paging::walk(params(Mode::level4), 0, m).nx);
    auto p = params(Mode::level4);
    p.nxe = false;
    EXPECT_EQ(paging::walk(p, 0, m).why, Why::reserved);
  }
}

TEST(paging, it_stops_where_an_entry_is_not_present_and_says_which) {
  for (unsigned level = 1; level <= 4; ++level) {
    Image m;
    for (u64 l = 4; l >= 1; --l) m.q[0x1000 * (5 - l)] = (0x1000 * (6 - l)) | 7;
    m.q[0x1000 * (5 - level)] = ~u64{1};  // reserved bits of an absent entry do not count
    auto w = paging::walk(params(Mode::level4), 0, m);
    EXPECT_EQ(w.why, Why::not_present);
    EXPECT_EQ(w.n, 5 - level);
    EXPECT_EQ(w.step[w.n - 1].level, level);
  }
}

TEST(paging, a_refused_read_stops_the_walk) {
  Image m;
  for (u64 l = 4; l >= 1; --l) m.q[0x1000 * (5 - l)] = (0x1000 * (6 - l)) | 7;
  m.refused = 0x3000;
  auto w = paging::walk(params(Mode::level4), 0, m);
  EXPECT_EQ(w.why, Why::read_failed);
  EXPECT_EQ(w.n, 2);
}

struct Reserved { Mode mode; unsigned level; u64 entry; bool pse, nxe, g1; unsigned pa; u64 expected; };
class ReservedBits : public testing::TestWithParam<Reserved> {};
TEST_P(ReservedBits, follow_the_entry_formats) {  // SDM 3A, formats of paging-structure entries in each mode
  const Reserved& r = GetParam();
  auto p = params(r.mode);
  p.pse = r.pse, p.nxe = r.nxe, p.page_1g = r.g1, p.physical_address_bits = r.pa;
  EXPECT_EQ(paging::reserved(p, r.level, r.entry), r.expected);
}
INSTANTIATE_TEST_SUITE_P(paging, ReservedBits, testing::Values(
    Reserved{Mode::level4, 4, 1, false, true, true, 46, 0x000fc00000000080}, Reserved{Mode::level4, 3, 1, false, true, true, 46, 0x000fc00000000000},
    Reserved{Mode::level4, 3, 0x81, false, true, true, 46, 0x000fc0003fffe000}, Reserved{Mode::level4, 3, 0x81, false, true, false, 46, 0x000fc00000000080},
    Reserved{Mode::level4, 2, 0x81, false, true, true, 46, 0x000fc000001fe000}, Reserved{Mode::level4, 1, 0x81, false, false, true, 52, u64{1} << 63},
    Reserved{Mode::pae, 1, 1, false, true, true, 40, 0x7fffff0000000000}, Reserved{Mode::pae, 2, 0x81, false, true, true, 40, 0x7fffff00001fe000},
    Reserved{Mode::bits32, 2, 0x81, true, true, true, 46, 0x00200000}, Reserved{Mode::bits32, 2, 0x81, true, true, true, 36, 0x003e0000},
    Reserved{Mode::bits32, 2, 0x81, false, true, true, 36, 0}, Reserved{Mode::bits32, 1, 0xfff, true, true, true, 36, 0}));

// SDM 3A "32-Bit Paging"
TEST(paging, thirty_two_bit_tables_and_4_mib_pages) {
  Image m;
  m.entry32(0x1000 + 4, 0x5000 | 7);
  m.entry32(0x5000 + 4 * 3, 0x00777000 | 7);
  auto p = params(Mode::bits32);
  auto w = paging::walk(p, 0x00403123, m);
  EXPECT_EQ(w.why, Why::ok);
  EXPECT_EQ(w.target.v, 0x00777123u);
  EXPECT_EQ(w.step[0].at.v, 0x1004u);
  EXPECT_EQ(w.step[0].size, 4);
  // PSE-36: bits 20:13 are address bits 39:32
  m.entry32(0x1000 + 4 * 2, 0x00c00000 | 3u << 13 | 0x80 | 7);
  p.pse = true;
  w = paging::walk(p, 0x00812345, m);
  EXPECT_EQ(w.why, Why::ok);
  EXPECT_EQ(w.shift, 22);
  EXPECT_EQ(w.target.v, 0x300c12345u);
  p.pse = false;  // PS ignored: it names a page table
  EXPECT_EQ(paging::walk(p, 0x00812345, m).n, 2);
}

// SDM 3A "PAE Paging"
TEST(paging, pae_starts_at_the_pdpte_registers) {
  Image m;
  auto p = params(Mode::pae);
  p.pdpte[2] = 0x6000 | 1;
  m.q[0x6000 + 8] = 0x200000 | 0x87;
  auto w = paging::walk(p, 0x80234567, m);
  EXPECT_EQ(w.why, Why::ok);
  EXPECT_EQ(w.n, 1);
  EXPECT_EQ(w.target.v, 0x234567u);
  EXPECT_EQ(paging::walk(p, 0x00234567, m).n, 0);
}

TEST(paging, memory_type_index_is_pat_pcd_pwt_of_the_leaf) {  // SDM 3A "Paging and Memory Typing"
  Image m;
  for (u64 l = 4; l >= 1; --l) m.q[0x1000 * (5 - l)] = (0x1000 * (6 - l)) | 7;
  for (u64 bits : {0u, 1u, 2u, 4u, 7u}) {
    m.q[0x4000] = 0x9000 | 7 | (bits & 3) << 3 | (bits >> 2) << 7;
    EXPECT_EQ(paging::walk(params(Mode::level4), 0, m).pat_index, bits);
    m.q[0x3000] = 0x200000 | 0x87 | (bits & 3) << 3 | (bits >> 2) << 12;
    EXPECT_EQ(paging::walk(params(Mode::level4), 0, m).pat_index, bits);
    m.q[0x3000] = 0x4000 | 7;
  }
}

// --- the MMU --------------------------------------------------------------------------------------------

constexpr u64 kTable = 0x200000, kLa = 0x40000000;  // a page table for the second GiB

/// Maps kLa with `entry` at 4 KiB.
void map(TestMachine& m, u64 entry) {
  m.mem.poke64(Hpa{TestMachine::kPml4 + 0x1000 + 8}, kTable | 7, WriteCause::loader);
  m.mem.poke64(Hpa{kTable}, (kTable + 0x1000) | 7, WriteCause::loader);
  m.mem.poke64(Hpa{kTable + 0x1000}, entry, WriteCause::loader);
}

// SDM 3A "Accessed and Dirty Flags"
TEST(mmu, a_read_sets_accessed_and_a_write_sets_dirty) {
  TestMachine m;
  map(m, 0x300000 | 7);
  u32 v = 5;
  ASSERT_TRUE(m.cpu->load_slow(kLa, &v, 4, DS));
  EXPECT_EQ(m.mem.peek64(Hpa{kTable + 0x1000}), 0x300027u);
  EXPECT_EQ(m.mem.peek64(Hpa{kTable}) & 0x60, 0x20u);
  ASSERT_TRUE(m.cpu->store_at(kLa + 4, v));
  EXPECT_EQ(m.mem.peek64(Hpa{kTable + 0x1000}), 0x300067u);
  EXPECT_EQ(m.mem.peek64(Hpa{kTable}) & 0x60, 0x20u);
}

TEST(mmu, a_fault_sets_no_dirty_flag) {
  TestMachine m;
  m.cpu->cr0 |= cr0::WP;
  m.cpu->update();
  map(m, 0x300000 | 5);
  u32 v = 5;
  ASSERT_FALSE(m.cpu->store_slow(kLa, &v, 4, DS));
  EXPECT_EQ(m.mem.peek64(Hpa{kTable + 0x1000}), 0x300005u);
}

// SDM 3A "Caching Translation Information": a changed entry is not seen before an invalidation, an absent one at once.
TEST(mmu, stale_translations_live_until_invlpg) {
  TestMachine m;
  map(m, 0);
  u32 v;
  EXPECT_FALSE(m.cpu->load_slow(kLa, &v, 4, DS));
  EXPECT_EQ(m.cpu->fault.vector, PF);
  EXPECT_EQ(m.cpu->fault.error, 0u);
  EXPECT_EQ(m.cpu->fault.address, kLa);
  map(m, 0x300000 | 7);
  m.poke<u32>(0x300000, 1);
  m.poke<u32>(0x301000, 2);
  ASSERT_TRUE(m.cpu->load_at(kLa, v));
  EXPECT_EQ(v, 1u);
  map(m, 0x301000 | 7);
  ASSERT_TRUE(m.cpu->load_at(kLa, v));
  EXPECT_EQ(v, 1u);
  m.cpu->tlb.flush_page(m.cpu->contexts.tlb(), kLa);
  ASSERT_TRUE(m.cpu->load_at(kLa, v));
  EXPECT_EQ(v, 2u);
}

TEST(mmu, a_gained_right_needs_no_invalidation) {
  TestMachine m;
  m.cpu->cr0 |= cr0::WP;
  m.cpu->update();
  map(m, 0x300000 | 5);
  u32 v = 7;
  ASSERT_TRUE(m.cpu->load_at(kLa, v));
  map(m, 0x300000 | 7);
  EXPECT_TRUE(m.cpu->store_at(kLa, v));
}

TEST(mmu, an_access_over_two_pages_writes_nothing_unless_both_allow_it) {
  TestMachine m;
  map(m, 0x300000 | 7);
  m.mem.poke64(Hpa{kTable + 0x1008}, 0, WriteCause::loader);
  m.poke<u32>(0x300ffc, 0x11111111);
  u64 v = ~u64{0};
  EXPECT_FALSE(m.cpu->store_at(kLa + 0xffc, v));
  EXPECT_EQ(m.cpu->fault.address, kLa + 0x1000);
  EXPECT_EQ(m.cpu->fault.error, 2u);
  EXPECT_EQ(m.peek<u32>(0x300ffc), 0x11111111u);
  m.mem.poke64(Hpa{kTable + 0x1008}, 0x500000 | 7, WriteCause::loader);
  EXPECT_TRUE(m.cpu->store_at(kLa + 0xffc, v));
  EXPECT_EQ(m.peek<u32>(0x500000), ~0u);
}

// SDM 1 "Canonical Addressing"
TEST(mmu, non_canonical_addresses_are_gp_and_ss_for_the_stack) {
  TestMachine m;
  u32 v;
  EXPECT_FALSE(m.cpu->load_at(u64{1} << 47, v, DS));
  EXPECT_EQ(m.cpu->fault.vector, GP);
  EXPECT_TRUE(m.cpu->fault.has_error);
  EXPECT_FALSE(m.cpu->load_at(u64{1} << 47, v, SS));
  EXPECT_EQ(m.cpu->fault.vector, SS_);
  EXPECT_FALSE(m.cpu->load_at((u64{1} << 47) - 2, v, DS));
  EXPECT_EQ(m.cpu->fault.vector, GP);
}

TEST(mmu, device_access_asks_to_be_done_alone) {
  TestMachine m;
  u32 v = 0;
  EXPECT_FALSE(m.cpu->load_at(0x2000000, v));
  EXPECT_EQ(m.cpu->fault.kind, Fault::Kind::careful);
  EXPECT_EQ(m.mmio_reads, 0u);
  m.cpu->careful = true;
  m.mmio_value = 0x1234;
  EXPECT_TRUE(m.cpu->load_at(0x2000000, v));
  EXPECT_EQ(v, 0x1234u);
  EXPECT_EQ(m.mmio_reads, 1u);
  m.cpu->careful = false;
}

TEST(mmu, device_accesses_are_split_into_aligned_pieces) {
  TestMachine m;
  m.cpu->careful = true;
  u64 v = 0;
  EXPECT_TRUE(m.cpu->load_at(0x2000006, v));  // 2, 4, 2
  EXPECT_EQ(m.mmio_reads, 3u);
  u8 wide[32] = {};
  EXPECT_TRUE(m.cpu->store_slow(0x2000000, wide, 32, DS));
  EXPECT_EQ(m.mmio_writes, 4u);
  m.cpu->careful = false;
}

// SDM 3A "PDPTE Registers"
TEST(mmu, reserved_bits_in_a_pdpte_are_gp_and_load_nothing) {
  TestMachine m;
  u64 to[4] = {9, 9, 9, 9};
  const u64 bad[] = {0x3001, 0x4001, 0x5007, 0};
  m.mem.write(Hpa{0x7000}, bad, sizeof bad, WriteCause::loader);
  EXPECT_FALSE(load_pdptes(*m.cpu, 0x7000, to));
  EXPECT_EQ(m.cpu->fault.vector, GP);
  EXPECT_EQ(to[0], 9u);
  const u64 good[] = {0x3001, ~u64{1}, 0x5019, 0};  // of an absent one nothing is checked
  m.mem.write(Hpa{0x7000}, good, sizeof good, WriteCause::loader);
  EXPECT_TRUE(load_pdptes(*m.cpu, 0x7000, to));
  EXPECT_EQ(to[2], 0x5019u);
}

// --- below EPT --------------------------------------------------------------------------------------------

/// Guest-physical = physical for the first 16 MiB by 2 MiB pages, but 4 KiB entries for the first 2 MiB at kEptPt.
struct Nested {
  static constexpr u64 kRoot = 0x700000, kPdpt = 0x701000, kPd = 0x702000, kPt = 0x703000;
  TestMachine m;
  explicit Nested(u64 eptp_bits = 0x1e) {
    m.mem.poke64(Hpa{kRoot}, kPdpt | 7, WriteCause::loader);
    m.mem.poke64(Hpa{kPdpt}, kPd | 7, WriteCause::loader);
    m.mem.poke64(Hpa{kPd}, kPt | 7, WriteCause::loader);
    for (u64 n = 1; n < 8; ++n) m.mem.poke64(Hpa{kPd + 8 * n}, n << 21 | 0xb7, WriteCause::loader);
    for (u64 n = 0; n < 512; ++n) m.mem.poke64(Hpa{kPt + 8 * n}, n << 12 | 0x37, WriteCause::loader);
    m.cpu->vmx.on = m.cpu->vmx.non_root = true;
    m.cpu->vmx.eptp = kRoot | eptp_bits;
    m.cpu->update();
  }
  void entry(u64 gpa, u64 e) { m.mem.poke64(Hpa{kPt + 8 * (gpa >> 12)}, e, WriteCause::loader); m.cpu->tlb.flush_all(); }
  Fault& fault() { return m.cpu->fault; }
};

// SDM 3C "Exit Qualification for EPT Violations"
TEST(ept_mmu, violation_qualification_of_the_final_access) {
  Nested n;
  u32 v = 0;
  n.entry(0x30000, 0);
  EXPECT_FALSE(n.m.cpu->load_slow(0x30010, &v, 4, DS));
  EXPECT_EQ(n.fault().kind, Fault::Kind::ept_violation);
  EXPECT_EQ(n.fault().qualification, 0x181u);
  EXPECT_EQ(n.fault().gpa, 0x30010u);
  EXPECT_EQ(n.fault().address, 0x30010u);
  n.entry(0x30000, 0x30000 | 0x31);
  EXPECT_TRUE(n.m.cpu->load_slow(0x30010, &v, 4, DS));
  EXPECT_FALSE(n.m.cpu->store_slow(0x30010, &v, 4, DS));
  EXPECT_EQ(n.fault().qualification, 0x18au);
  Hpa page;
  EXPECT_FALSE(n.m.cpu->fetch_page(0x30000, page));
  EXPECT_EQ(n.fault().qualification, 0x18cu);
}

TEST(ept_mmu, violation_by_a_paging_structure_entry) {
  Nested n;
  u32 v = 0;
  // Guest tables at kPml4 = 0x100000: the PML4 page itself is not there
  n.entry(TestMachine::kPml4, 0);
  EXPECT_FALSE(n.m.cpu->load_slow(0x30010, &v, 4, DS));
  EXPECT_EQ(n.fault().qualification, 0x81u);
  EXPECT_EQ(n.fault().gpa, TestMachine::kPml4);
  EXPECT_EQ(n.fault().address, 0x30010u);
  // Readable only: setting A there is a write
  n.entry(TestMachine::kPml4, TestMachine::kPml4 | 0x31);
  EXPECT_FALSE(n.m.cpu->load_slow(0x30010, &v, 4, DS));
  EXPECT_EQ(n.fault().qualification, 0x8au);
}

TEST(ept_mmu, with_accessed_and_dirty_flags_table_reads_count_as_writes) {  // SDM 3C "Accessed and Dirty Flags for EPT"
  Nested n(0x5e);
  u32 v = 0;
  n.entry(TestMachine::kPml4, TestMachine::kPml4 | 0x31);
  EXPECT_FALSE(n.m.cpu->load_slow(0x30010, &v, 4, DS));
  EXPECT_EQ(n.fault().qualification, 0x8bu);
  n.entry(TestMachine::kPml4, TestMachine::kPml4 | 0x37);
  n.entry(0x30000, 0x30000 | 0x37);
  EXPECT_TRUE(n.m.cpu->load_slow(0x30010, &v, 4, DS));
  EXPECT_EQ(n.m.mem.peek64(Hpa{Nested::kPt + 8 * 0x30}) & 0x300, 0x100u);
  EXPECT_EQ(n.m.mem.peek64(Hpa{Nested::kPt + 8 * (TestMachine::kPml4 >> 12)}) & 0x300, 0x300u);
  EXPECT_TRUE(n.m.cpu->store_at(0x30010, v));
  EXPECT_EQ(n.m.mem.peek64(Hpa{Nested::kPt + 8 * 0x30}) & 0x300, 0x300u);
}

TEST(ept_mmu, misconfiguration_tells_the_guest_physical_address) {
  Nested n;
  u32 v = 0;
  n.entry(0x30000, 0x30000 | 0x3f);  // memory type 7
  EXPECT_FALSE(n.m.cpu->load_slow(0x30010, &v, 4, DS));
  EXPECT_EQ(n.fault().kind, Fault::Kind::ept_misconfig);
  EXPECT_EQ(n.fault().gpa, 0x30010u);
}

TEST(ept_mmu, a_guest_page_fault_comes_before_the_violation_of_the_final_access) {
  Nested n;
  n.m.cpu->cr0 |= cr0::WP;
  n.m.mem.poke64(Hpa{TestMachine::kPml4 + 0x2000}, 0x85, WriteCause::loader);
  n.entry(0x30000, 0);
  u32 v = 0;
  n.m.cpu->update();
  EXPECT_FALSE(n.m.cpu->store_slow(0x30010, &v, 4, DS));
  EXPECT_EQ(n.fault().kind, Fault::Kind::exception);
  EXPECT_EQ(n.fault().vector, PF);
}

TEST(ept_mmu, the_cached_page_is_the_smaller_of_the_two) {
  Nested n;
  u32 v;
  ASSERT_TRUE(n.m.cpu->load_at(0x30000, v));
  ASSERT_TRUE(n.m.cpu->load_at(0x400000, v));
  unsigned small = 0, large = 0;
  n.m.cpu->tlb.for_each([&](const TlbEntry& e) { (e.shift == 12 ? small : large)++; });
  EXPECT_EQ(small, 1u);
  EXPECT_EQ(large, 1u);
}

TEST(ept_mmu, without_guest_paging_addresses_are_guest_physical) {  // unrestricted guest
  Nested n;
  n.m.cpu->cr0 &= ~cr0::PG;
  n.m.cpu->efer = 0;
  n.m.cpu->seg[CS].ar = 0xc09b;
  n.entry(0x30000, 0x55000 | 0x37);
  n.m.cpu->update();
  n.m.poke<u32>(0x55008, 77);
  u32 v = 0;
  ASSERT_TRUE(n.m.cpu->load_at(0x30008, v));
  EXPECT_EQ(v, 77u);
}

// SDM 3A "Effective Page-Level Memory Types for Pentium III and More Recent Processor Families"
TEST(memory_type, combinations) {
  using enum MemType;
  EXPECT_EQ(combine_types(WB, WB), WB);
  EXPECT_EQ(combine_types(UC, WB), UC);
  EXPECT_EQ(combine_types(WB, UCminus), UC);
  EXPECT_EQ(combine_types(WC, UCminus), WC);
  EXPECT_EQ(combine_types(UC, WC), WC);
  EXPECT_EQ(combine_types(WB, WT), WT);
  EXPECT_EQ(combine_types(WT, WB), WT);
  EXPECT_EQ(combine_types(WB, WP), WP);
}

TEST(memory_type, mtrr_ranges) {  // SDM 3A "Memory Type Range Registers (MTRRs)"
  TestMachine m;
  Msrs& s = m.cpu->msr;
  EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0}), MemType::UC);  // not enabled
  s.mtrr_def_type = 0xc06;
  s.mtrr_fixed[2] = 0x0101010101010101;               // a0000-bffff
  for (unsigned i : {0, 1, 3, 4, 5, 6, 7, 8, 9, 10}) s.mtrr_fixed[i] = 0x0606060606060606;
  s.mtrr_base[0] = 0x80000000, s.mtrr_mask[0] = (mask(45, 31)) | 0x800;
  s.mtrr_base[1] = 0x80000000 | 6, s.mtrr_mask[1] = (mask(45, 20)) | 0x800;
  EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0xa0000}), MemType::WC);
  EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x9ffff}), MemType::WB);
  EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0xc0000}), MemType::WB);
  EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x90000000}), MemType::UC);
  EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x80000000}), MemType::UC);  // UC wins
  EXPECT_EQ(mtrr_type(*m.cpu, Hpa{0x100000000}), MemType::WB);
}

}  // namespace
}  // namespace vt::cpu
