// SPDX-License-Identifier: GPL-2.0-or-later
/// Access rights, error codes, alignment checks and data breakpoints in every combination.
/// SDM 3A "Determination of Access Rights", "Page-Fault Exceptions", "Alignment Checking"; SDM 3B "Data Memory and I/O Breakpoint Exception Conditions"
#include "harness.hpp"
#include "mmu.hpp"

namespace vt::cpu {
namespace {

using Mode = TestMachine::Mode;
constexpr u64 kTable = 0x200000, kLa = 0x40000000;

void level(TestMachine& m, unsigned cpl) {
  Cpu& c = *m.cpu;
  c.seg[CS].ar = (c.seg[CS].ar & ~0x60u) | cpl << 5, c.seg[SS].ar = (c.seg[SS].ar & ~0x60u) | cpl << 5;
  c.update();
}

TEST(access_rights, every_combination) {
  TestMachine m;
  Cpu& c = *m.cpu;
  m.poke<u64>(TestMachine::kPml4 + 0x1000 + 8, kTable | 7);
  m.poke<u64>(kTable, (kTable + 0x1000) | 7);
  const u64 cr0_0 = c.cr0 & ~cr0::WP, cr4_0 = c.cr4, efer_0 = c.efer & ~efer::NXE;
  for (unsigned entry = 0; entry < 32; ++entry)          // P, W, U, XD, a reserved bit
    for (unsigned control = 0; control < 32; ++control)  // WP, SMEP, SMAP, NXE, EFLAGS.AC
      for (unsigned cpl : {0u, 2u, 3u})
        for (unsigned how = 0; how < 5; ++how) {         // read, write, fetch, and what the processor itself does: read, write
          const bool p = entry & 1, w = entry & 2, u = entry & 4, xd = entry & 8, reserved = entry & 16;
          const bool wp = control & 1, smep = control & 2, smap = control & 4, nxe = control & 8, ac = control & 16;
          m.poke<u64>(kTable + 0x1000, 0x300000 | (p ? 1 : 0) | (w ? 2 : 0) | (u ? 4 : 0) | (xd ? u64{1} << 63 : 0) | (reserved ? u64{1} << 50 : 0));
          c.cr0 = cr0_0 | (wp ? cr0::WP : 0), c.cr4 = cr4_0 | (smep ? cr4::SMEP : 0) | (smap ? cr4::SMAP : 0), c.efer = efer_0 | (nxe ? efer::NXE : 0);
          c.flags = 2 | (ac ? rflags::AC : 0);
          level(m, cpl);
          c.tlb.flush_all();
          c.contexts.forget_all();
          u32 v = 0;
          Hpa page;
          c.fault = {};
          const bool ok = how == 0 ? c.load_slow(kLa, &v, 4, DS) : how == 1 ? c.store_slow(kLa, &v, 4, DS) : how == 2 ? c.fetch_page(kLa, page) : how == 3 ? c.load_system(kLa, &v, 4) : c.store_system(kLa, &v, 4);
          const bool user = cpl == 3 && how < 3, write = how == 1 || how == 4, fetch = how == 2, implicit = how > 2;
          bool allowed;
          if (user) allowed = u && (!write || w) && !(fetch && xd);
          else if (fetch) allowed = !xd && !(u && smep);
          else allowed = !(u && smap && (implicit || !ac)) && (!write || w || !wp);
          const bool rsvd = p && (reserved || (xd && !nxe));
          const bool good = p && !rsvd && allowed;
          ASSERT_EQ(ok, good) << "entry " << entry << " control " << control << " CPL " << cpl << " way " << how;
          if (good) {
            const u64 want = 0x20 | (write ? 0x40 : 0);   // accessed; dirty
            ASSERT_EQ(m.peek<u64>(kTable + 0x1000) & 0x60, want);
            continue;
          }
          const u32 error = (p ? 1 : 0) | (write ? 2 : 0) | (user ? 4 : 0) | (rsvd ? 8 : 0) | (fetch && (nxe || smep) ? 16 : 0);
          ASSERT_EQ(c.fault.vector, PF);
          ASSERT_EQ(c.fault.error, error) << "entry " << entry << " control " << control << " CPL " << cpl << " way " << how;
          ASSERT_EQ(c.fault.address, kLa);
          ASSERT_EQ(m.peek<u64>(kTable + 0x1000) & 0x60, 0u) << "no flag of a refused access";
        }
}

TEST(alignment, every_size_and_address) {   // SDM 3A "Alignment Requirements by Data Type": CR0.AM, EFLAGS.AC, level 3
  TestMachine m;
  Cpu& c = *m.cpu;
  for (unsigned what = 0; what < 8; ++what)
    for (unsigned cpl : {0u, 1u, 3u})
      for (unsigned size : {1u, 2u, 4u, 8u, 10u, 16u})
        for (u64 at = 0x30000; at < 0x30010; ++at) {
          c.cr0 = (c.cr0 & ~cr0::AM) | (what & 1 ? cr0::AM : 0);
          c.flags = 2 | (what & 2 ? rflags::AC : 0);
          level(m, cpl);
          u8 v[16] = {};
          c.fault = {};
          const unsigned a = size == 10 ? 8 : size;
          const bool checked = (what & 3) == 3 && cpl == 3 && size <= 10;
          const bool ok = what & 4 ? c.store_slow(at, v, size, DS) : c.load_slow(at, v, size, DS);
          EXPECT_EQ(ok, !(checked && at % a)) << what << " " << cpl << " " << size << " " << at;
          if (!ok) { EXPECT_EQ(c.fault.vector, AC); EXPECT_TRUE(c.fault.has_error); EXPECT_EQ(c.fault.error, 0u); }
          EXPECT_TRUE(c.load_system(at, v, size)) << "the processor's own accesses are not checked";
        }
}

TEST(data_breakpoints, every_length_kind_and_place) {   // DR7: enables, R/W and LEN of each; LEN 1, 2, 8 and 4 bytes, aligned by themselves
  TestMachine m;
  Cpu& c = *m.cpu;
  const unsigned lengths[] = {1, 2, 8, 4};
  for (unsigned n = 0; n < 4; ++n)
    for (unsigned enable = 0; enable < 4; ++enable)
      for (unsigned rw = 0; rw < 4; ++rw)
        for (unsigned len = 0; len < 4; ++len)
          for (u64 where : {0x30008u, 0x3000bu})
            for (unsigned size : {1u, 4u})
              for (bool write : {false, true})
                for (u64 at = 0x30004; at < 0x30014; ++at) {
                  if (rw == 2) continue;   // I/O
                  c.dr[n] = where;
                  c.dr[7] = 0x400 | u64{enable} << (2 * n) | u64{rw} << (16 + 4 * n) | u64{len} << (18 + 4 * n);
                  c.pending_debug = 0;
                  c.update();
                  u32 v = 0;
                  ASSERT_TRUE(write ? c.store_slow(at, &v, size, DS) : c.load_slow(at, &v, size, DS));
                  const u64 first = where & ~u64{lengths[len] - 1u};
                  const bool hit = enable && (rw == 3 || (rw == 1 && write)) && at < first + lengths[len] && first < at + size;
                  ASSERT_EQ(c.pending_debug, hit ? u64{1} << n : 0) << n << enable << rw << len << " " << size << write << " " << at;
                }
}

TEST(canonical_addresses, on_both_sides) {   // SDM 1 "Canonical Addressing": #GP, of the stack #SS; nothing in 32-bit code
  for (u64 at : {u64{0x7fff'ffff'fffc}, u64{0x7fff'ffff'fffd}, u64{1} << 47, u64{0xffff'7fff'ffff'ffff}, u64{0xffff'8000'0000'0000}, ~u64{3}})
    for (unsigned s : {DS, SS}) {
      TestMachine m;
      u32 v = 0;
      EXPECT_FALSE(m.cpu->load_at(at, v, static_cast<u8>(s)));
      const bool canonical = at == 0x7fff'ffff'fffc || at == 0xffff'8000'0000'0000 || at == ~u64{3};
      EXPECT_EQ(m.cpu->fault.vector, canonical ? PF : s == SS ? SS_ : GP) << std::hex << at;
    }
  TestMachine m(Mode::protected32);
  u32 v = 0;
  m.poke<u16>(0, 0x1234);
  EXPECT_TRUE(m.cpu->load_at(u64{1} << 32 | 0x30000, v, DS)) << "32 bits count";
}

}  // namespace
}  // namespace vt::cpu
