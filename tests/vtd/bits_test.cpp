// SPDX-License-Identifier: GPL-2.0-or-later
/// Every bit of every structure, as the specification's figures have it: what is reserved, what is a field and which, what is ignored.
#include <set>

#include "machine.hpp"

namespace vt::vtd {
namespace {

constexpr u64 one(unsigned b) { return u64{1} << b; }
struct Span { unsigned first, last; };
bool in(unsigned b, std::initializer_list<Span> spans) {
  for (auto& s : spans) if (b >= s.first && b <= s.last) return true;
  return false;
}

TEST(vtd_bits, of_a_root_entry) {   // VT-d "Root Entry": P 0, CTP 63:12 up to the host's 46 bits, all else reserved
  for (unsigned b = 0; b < 128; ++b) {
    Machine m;
    m.tables();
    m.root_entry((kContext | 1) ^ (b < 64 ? one(b) : 0), b < 64 ? 0 : one(b - 64));
    const u8 reason = lookup(m.out.mem, m.caps, Hpa(kRoot), m.dev).fault_reason;
    EXPECT_EQ(reason == fault::root_reserved, b && !in(b, {{12, 45}})) << b;
    EXPECT_EQ(reason == fault::root_not_present, b == 0) << b;
  }
}

TEST(vtd_bits, of_a_context_entry) {   // VT-d "Context Entry": P, FPD, TT 3:2, SLPTPTR 63:12; AW 66:64, ignored 70:67, DID 87:72
  for (unsigned id_bits : {4u, 8u, 16u})
    for (unsigned b = 0; b < 128; ++b) {
      Caps c;
      c.domain_id_bits = id_bits;
      const ContextEntry e{(kTop | 1) ^ (b < 64 ? one(b) : 0), 2 ^ (b < 64 ? 0 : one(b - 64))};
      EXPECT_EQ(context_fault(c, e) == fault::context_reserved, !in(b, {{0, 3}, {12, 45}, {64, 70}, {72, 71 + id_bits}})) << b << " with domains of " << id_bits;
      EXPECT_EQ(e.fault_processing_disable(), b == 1);
    }
  for (unsigned type = 0; type < 4; ++type) EXPECT_EQ(static_cast<unsigned>(ContextEntry{u64{type} << 2, 0}.type()), type);
  for (unsigned width = 0; width < 8; ++width)
    for (unsigned offered = 0; offered < 4; ++offered) {
      Caps c;
      c.agaw_39 = offered & 1, c.agaw_48 = offered & 2;
      EXPECT_EQ(context_fault(c, {kTop | 1, width}), (width == 1 && (offered & 1)) || (width == 2 && (offered & 2)) ? 0 : fault::context_invalid) << width << offered;
    }
  for (unsigned b = 0; b < 16; ++b) EXPECT_EQ((ContextEntry{0, one(8 + b)}.domain()), one(b));
  EXPECT_EQ((ContextEntry{~u64{0}, 0}.second_level_root().v), 0x000f'ffff'ffff'f000u);
  EXPECT_EQ((RootEntry{~u64{0}, 0}.context_table().v), 0x000f'ffff'ffff'f000u);
}

TEST(vtd_bits, of_requester_and_place) {   // VT-d "Root Table", "Context Table": 16 bytes each, by bus and by device and function
  Machine m;
  for (unsigned b = 0; b < 16; ++b) {
    const Bdf who(static_cast<u16>(1u << b));
    m.root_entry(kContext | 1, 0, who.bus());
    const ContextLookup l = lookup(m.out.mem, m.caps, Hpa(kRoot), who);
    EXPECT_EQ(l.root_at.v, kRoot + 16 * (who.v >> 8)) << b;
    EXPECT_EQ(l.context_at.v, kContext + 16 * (who.v & 0xff)) << b;
  }
}

/// VT-d "Second-Level Paging Entries". Ignored: 2, 6:3, 10:8, 61:52, 63; SNP 11 where snoop control is offered, and in leaves only; TM 62 with device-TLBs.
TEST(vtd_bits, of_second_level_entries) {
  for (unsigned level = 1; level <= 4; ++level)
    for (bool large : {false, true})
      for (unsigned offered = 0; offered < 8; ++offered)
        for (unsigned b = 3; b < 64; ++b) {
          Caps c;
          c.superpage_2m = offered & 1, c.superpage_1g = offered & 2, c.snoop_control = offered & 4;
          const Entry e{one(b) | 3 | (large ? 0x80 : 0)};
          const bool ps = e.v & 0x80, page_offered = level == 2 ? offered & 1 : level == 3 ? (offered & 2) != 0 : false;
          const bool leaf = level == 1 || ps;
          bool want = b == 62 || in(b, {{46, 51}}) || (level > 1 && ps && !page_offered) || (b == 11 && !(leaf && (offered & 4)));
          if (leaf && page_offered && level == 2) want |= in(b, {{12, 20}});
          if (leaf && page_offered && level == 3) want |= in(b, {{12, 29}});
          EXPECT_EQ((e.v & reserved_bits(c, level, e)) != 0, want) << level << " bit " << b << " large " << large << " offered " << offered;
          EXPECT_EQ(e.leaf(level), leaf);
          EXPECT_EQ(e.snp(), b == 11);
        }
  EXPECT_EQ(Entry{~u64{0}}.address(), 0x000f'ffff'ffff'f000u);
  for (unsigned low = 0; low < 8; ++low) {
    EXPECT_EQ(Entry{low}.present(), (low & 3) != 0);
    EXPECT_EQ(Entry{low}.access().v, low & 3);
  }
}

/// VT-d "Interrupt Remapping Table Entry (IRTE) for Remapped Interrupts"
TEST(vtd_bits, of_an_interrupt_entry) {
  for (bool eime : {false, true})
    for (unsigned b = 0; b < 128; ++b) {
      const Irte e{b < 64 ? one(b) : 0, b < 64 ? 0 : one(b - 64)};
      bool reserved = in(b, {{12, 15}, {24, 31}, {84, 127}});
      if (!eime) reserved |= in(b, {{32, 39}, {48, 63}});
      EXPECT_EQ(e.reserved(eime), reserved) << b << eime;
      EXPECT_EQ(e.present(), b == 0);
      EXPECT_EQ(e.fault_processing_disable(), b == 1);
      EXPECT_EQ(e.logical(), b == 2);
      EXPECT_EQ(e.redirection_hint(), b == 3);
      EXPECT_EQ(e.level(), b == 4);
      EXPECT_EQ(e.delivery_mode(), in(b, {{5, 7}}) ? 1u << (b - 5) : 0u);
      EXPECT_EQ(e.vector(), in(b, {{16, 23}}) ? 1u << (b - 16) : 0u);
      EXPECT_EQ(e.destination(true), in(b, {{32, 63}}) ? 1u << (b - 32) : 0u);
      EXPECT_EQ(e.destination(false), in(b, {{40, 47}}) ? 1u << (b - 40) : 0u);
      EXPECT_EQ(e.source_id(), in(b, {{64, 79}}) ? 1u << (b - 64) : 0u);
      EXPECT_EQ(e.source_qualifier(), in(b, {{80, 81}}) ? 1u << (b - 80) : 0u);
      EXPECT_EQ(e.validation_type(), in(b, {{82, 83}}) ? 1u << (b - 82) : 0u);
    }
  for (unsigned mode = 0; mode < 8; ++mode) EXPECT_EQ((Irte{u64{mode} << 5, 0}.reserved(false)), mode == 3 || mode == 6) << mode;
  for (unsigned svt = 0; svt < 4; ++svt) EXPECT_EQ((Irte{0, u64{svt} << 18}.reserved(false)), svt == 3) << svt;
}

TEST(vtd_bits, of_source_validation) {   // VT-d "Source Validation": SQ 0 compares all, 1 ignores bit 2, 2 bits 2:1, 3 bits 2:0 of the function
  const u16 ignored[] = {0, 4, 6, 7};
  for (unsigned sq = 0; sq < 4; ++sq)
    for (unsigned b = 0; b < 16; ++b) {
      const Irte e{1, 0x2345 | u64{sq} << 16 | u64{1} << 18};
      EXPECT_TRUE(e.source_allowed(Bdf(u16{0x2345})));
      EXPECT_EQ(e.source_allowed(Bdf(static_cast<u16>(0x2345 ^ 1u << b))), bit(ignored[sq], b)) << sq << " " << b;
    }
  for (unsigned bus = 0; bus < 256; ++bus) {   // SVT 2: StartBus 15:8, EndBus 7:0
    const Irte e{1, 0x4060 | u64{2} << 18};
    EXPECT_EQ(e.source_allowed(Bdf(static_cast<u16>(bus << 8 | 0x55))), bus >= 0x40 && bus <= 0x60) << bus;
    EXPECT_TRUE((Irte{1, 0}.source_allowed(Bdf(static_cast<u16>(bus << 8)))));
    EXPECT_FALSE((Irte{1, u64{3} << 18}.source_allowed(Bdf(static_cast<u16>(bus << 8)))));
  }
}

TEST(vtd_bits, of_a_remappable_request) {   // VT-d "Interrupt Requests in Remappable Format": handle 19:5 and 2, SHV 3, format 4; subhandle in data
  for (unsigned b = 0; b < 64; ++b) {
    const u64 address = 0xfee0'0010 | one(b);
    if (b >= 20 && b < 32) continue;   // makes it no interrupt request
    const auto r = RemappableRequest::of(address, 0xffff'0000);
    EXPECT_EQ(r.index, in(b, {{5, 19}}) ? 1u << (b - 5) : b == 2 ? 0x8000u : 0u) << b;
    EXPECT_EQ(r.reserved, b >= 32 || b == 3) << b;
  }
  for (unsigned b = 0; b < 32; ++b) {
    EXPECT_EQ(RemappableRequest::of(0xfee0'0018, 1u << b).index, b < 16 ? 1u << b : 0u) << b;
    EXPECT_EQ(RemappableRequest::of(0xfee0'0018, 1u << b).reserved, b >= 16) << b;
    EXPECT_EQ(RemappableRequest::of(0xfee0'0010, 1u << b).index, 0u) << b;
    EXPECT_FALSE(RemappableRequest::of(0xfee0'0010, 1u << b).reserved) << b;
  }
  EXPECT_TRUE(RemappableRequest::is(0xfee0'0010));
  EXPECT_FALSE(RemappableRequest::is(0xfeef'ffef));
  EXPECT_EQ(RemappableRequest::of(0xfee0'0018 | 0xffff << 5 | 4, 0xffff).index, 0x1fffeu);
}

TEST(vtd_bits, of_a_plain_message) {   // SDM 3A "Message Signalled Interrupts": destination 19:12, RH 3, DM 2; vector 7:0, mode 10:8, level 14, trigger 15
  Machine m;
  for (unsigned b = 0; b < 20; ++b) {
    if (b == 4) continue;
    const auto i = m.unit.remap(m.dev, 0xfee0'0000 | one(b), 0);
    EXPECT_TRUE(i.ok && i.bypass);
    EXPECT_EQ(i.destination, b >= 12 ? 1u << (b - 12) : 0u) << b;
    EXPECT_EQ(i.redirection_hint, b == 3);
    EXPECT_EQ(i.logical, b == 2);
  }
  for (unsigned b = 0; b < 32; ++b) {
    const auto i = m.unit.remap(m.dev, 0xfee0'0000, 1u << b);
    EXPECT_EQ(i.vector, b < 8 ? 1u << b : 0u) << b;
    EXPECT_EQ(i.delivery_mode, in(b, {{8, 10}}) ? 1u << (b - 8) : 0u) << b;
    EXPECT_EQ(i.trigger_assert, b == 14);
    EXPECT_EQ(i.level, b == 15);
  }
}

TEST(vtd_bits, sizes_of_interrupt_tables) {   // VT-d "Interrupt Remapping Table Address Register": 2^(S+1) entries
  for (unsigned s = 0; s < 16; ++s) {
    const IrTable t{0x1234'5000 | s};
    EXPECT_EQ(t.entries(), 1u << (s + 1));
    EXPECT_EQ(t.base().v, 0x1234'5000u);
    EXPECT_FALSE(t.eime());
    Machine m;
    for (u32 index : {t.entries() - 1, t.entries()})
      EXPECT_EQ(lookup_irte(m.out.mem, m.caps, {kIrt | s}, index).fault_reason, index < t.entries() ? fault::irte_not_present : fault::ir_index_beyond_table) << s;
  }
  EXPECT_TRUE(IrTable{0x800}.eime());
}

/// VT-d "Context-cache Invalidate Descriptor", "IOTLB Invalidate Descriptor", "Interrupt Entry Cache Invalidate Descriptor", "Invalidation Wait Descriptor"
TEST(vtd_bits, of_descriptors) {
  struct { const char* name; Descriptor good; std::initializer_list<Span> fields; } rows[] = {
      {"context cache", descriptor::context_cache(Granularity::specific), {{16, 49}}},
      {"IOTLB", descriptor::iotlb(Granularity::domain), {{6, 7}, {16, 31}, {64, 70}, {76, 127}}},
      {"interrupt entries", descriptor::interrupt_entries(), {{4, 4}, {27, 47}}},
      {"wait", descriptor::wait_interrupt(), {{4, 6}, {32, 63}, {66, 127}}},
  };
  for (auto& r : rows)
    for (unsigned b = 0; b < 128; ++b) {
      if (b < 4 || (r.good.type() < 4 && (b == 4 || b == 5))) continue;   // type, granularity
      Descriptor d = r.good;
      (b < 64 ? d.lo : d.hi) ^= one(b % 64);
      EXPECT_EQ(acceptable({}, d), in(b, r.fields)) << r.name << " bit " << b;
    }
  for (unsigned type = 0; type < 16; ++type)
    for (unsigned g = 0; g < 4; ++g) {
      const bool want = type == 1 || type == 2 ? g != 0 : type == 4 ? g < 2 : type == 5;
      EXPECT_EQ(acceptable({}, {type | u64{g} << 4, 0}), want) << type << " " << g;
    }
  for (unsigned am = 0; am < 64; ++am) {
    EXPECT_EQ(acceptable({}, descriptor::iotlb(Granularity::specific, 1, 0, am)), am <= 18) << am;
    EXPECT_TRUE(acceptable({}, descriptor::iotlb(Granularity::domain, 1, 0, am)));
  }
  for (unsigned im = 0; im < 32; ++im) {
    EXPECT_EQ(acceptable({}, descriptor::interrupt_entries(0, im)), im < 16) << im;
    EXPECT_TRUE(acceptable({}, {u64{4} | u64{im} << 27, 0})) << "of a global one the mask is not looked at";
  }
  Caps c;
  c.page_selective = false;
  EXPECT_FALSE(acceptable(c, descriptor::iotlb(Granularity::specific)));
  EXPECT_TRUE(acceptable(c, descriptor::iotlb(Granularity::domain)));
  c.interrupt_remapping = false;
  EXPECT_FALSE(acceptable(c, descriptor::interrupt_entries()));
}

TEST(vtd_bits, of_a_fault_record) {   // VT-d "Fault Recording Registers": FI 63:12, SID 79:64, FR 103:96, T 126, F 127
  for (unsigned b = 0; b < 128; ++b) {
    const FaultRecord f{b < 64 ? one(b) : 0, b < 64 ? 0 : one(b - 64)};
    EXPECT_EQ(f.source().v, in(b, {{64, 79}}) ? 1u << (b - 64) : 0u) << b;
    EXPECT_EQ(f.reason(), in(b, {{96, 103}}) ? 1u << (b - 96) : 0u) << b;
    EXPECT_EQ(f.read(), b == 126);
    EXPECT_EQ(f.pending(), b == 127);
    EXPECT_EQ(f.page(), in(b, {{12, 63}}) ? one(b) : 0u) << b;
    EXPECT_EQ(f.interrupt_index(), in(b, {{48, 63}}) ? 1u << (b - 48) : 0u) << b;
  }
  const FaultRecord f = FaultRecord::make(Bdf(u16{0x1234}), 0xabc'd000, 0x56, true);
  EXPECT_EQ(f.lo, 0xabc'd000u);
  EXPECT_EQ(f.hi, 0xc000'0056'0000'1234u);
  EXPECT_EQ(FaultRecord::make(Bdf(u16{0}), 0, 0, false).hi, one(63));
}

// --- what an invalidation reaches -----------------------------------------------------------------------------------

TEST(vtd_reach, interrupt_entries_by_index_and_mask) {   // VT-d "Interrupt Entry Cache Invalidate Descriptor": IM low bits of IIDX are not compared
  for (unsigned im = 0; im < 9; ++im)
    for (u32 index : {0u, 5u, 0x80u, 0xffu}) {
      Machine m;
      m.enable_queue();
      m.w64(0xb8, kIrt | 7), m.command(gcmd::SIRTP), m.command(gcmd::IRE);
      std::set<u32> known = {0, 1, 2, 4, 5, 7, 8, 16, 32, 63, 64, 127, 128, 0xfe, 0xff};
      for (u32 n : known) m.put(kIrt + 16 * n, 0x0041'0001), m.put(kIrt + 16 * n + 8, 0);
      const auto ask = [&](u32 n) { return m.unit.remap(m.dev, 0xfee0'0010 | u64{n} << 5, 0).vector; };
      for (u32 n : known) EXPECT_EQ(ask(n), 0x41);
      for (u32 n : known) m.put(kIrt + 16 * n, 0x0051'0001);
      m.submit(descriptor::interrupt_entries(static_cast<u16>(index), im));
      for (u32 n : known) EXPECT_EQ(ask(n), n >> im == index >> im ? 0x51 : 0x41) << n << " by " << index << " and " << im;
    }
}

TEST(vtd_reach, pages_by_address_and_mask) {   // VT-d "IOTLB Invalidate Descriptor": 2^AM pages
  for (unsigned am : {0u, 1u, 2u, 3u, 9u, 18u})
    for (u64 address : {u64{0}, u64{0x5000}, u64{0x20'0000}, u64{0x4000'3000}}) {
      Machine m;
      m.tables();
      const std::set<u64> known = {0, 0x1000, 0x3000, 0x4000, 0x5000, 0x7000, 0x8000, 0x1f'f000, 0x20'0000, 0x3fff'f000, 0x4000'0000, 0x4000'3000};
      std::vector<u64> at;
      for (u64 n : known) at.push_back(m.map(n, 0x9003));
      m.enable(), m.enable_queue();
      for (u64 n : known) m.dma(n);
      m.submit(descriptor::iotlb(Granularity::specific, m.domain, address, am));
      for (u64 n : known) EXPECT_EQ(m.dma(n).from_iotlb, n >> (12 + am) != address >> (12 + am)) << std::hex << n << " by " << address << " and " << am;
    }
}

TEST(vtd_reach, contexts_by_source_and_function_mask) {   // VT-d "Context-cache Invalidate Descriptor": FM 1 ignores bit 2, 2 bits 2:1, 3 bits 2:0
  const u16 ignored[] = {0, 4, 6, 7};
  for (unsigned fm = 0; fm < 4; ++fm)
    for (unsigned other = 0; other < 9; ++other) {
      Machine m;
      m.tables(), m.map(0x5000, 0x9003);
      const u16 who = static_cast<u16>(m.dev.v ^ (other < 8 ? 1u << other : 0));
      m.context_entry(kTop | 1, m.domain << 8 | 2, Bdf(who));
      m.enable(), m.enable_queue();
      EXPECT_TRUE(m.dma(0x5000, access::read, Bdf(who)).ok);
      m.context_entry(0, 0, Bdf(who));
      m.submit(descriptor::context_cache(Granularity::specific, m.domain, m.dev.v, fm));
      EXPECT_EQ(m.dma(0x5000, access::read, Bdf(who)).ok, ((who ^ m.dev.v) & ~ignored[fm]) != 0) << fm << " " << other;
    }
}

// --- capabilities -----------------------------------------------------------------------------------------------------

TEST(vtd_caps, each_field_of_the_registers) {   // VT-d "Capability Register", "Extended Capability Register"
  Caps c;
  c.agaw_39 = c.agaw_48 = c.superpage_2m = c.superpage_1g = c.caching_mode = c.coherent = c.queued_invalidation = c.interrupt_remapping = c.extended_interrupt_mode = false;
  c.snoop_control = c.pass_through = c.write_buffer_flush = c.zero_length_read = c.plmr = c.phmr = c.drain_reads = c.drain_writes = c.page_selective = false;
  c.mgaw = 1, c.max_address_mask = 0, c.domain_id_bits = 4, c.fault_records = 1, c.fault_offset = c.iotlb_offset = 0;
  const auto none = capability_registers(c);
  EXPECT_EQ(none.cap, 0u);
  EXPECT_EQ(none.ecap, 0u);
  const struct { void (*set)(Caps&); u64 cap, ecap; } rows[] = {
      {[](Caps& x) { x.domain_id_bits = 16; }, 6, 0},
      {[](Caps& x) { x.domain_id_bits = 6; }, 1, 0},
      {[](Caps& x) { x.write_buffer_flush = true; }, one(4), 0},
      {[](Caps& x) { x.plmr = true; }, one(5), 0},
      {[](Caps& x) { x.phmr = true; }, one(6), 0},
      {[](Caps& x) { x.caching_mode = true; }, one(7), 0},
      {[](Caps& x) { x.agaw_39 = true; }, one(9), 0},
      {[](Caps& x) { x.agaw_48 = true; }, one(10), 0},
      {[](Caps& x) { x.mgaw = 64; }, u64{63} << 16, 0},
      {[](Caps& x) { x.zero_length_read = true; }, one(22), 0},
      {[](Caps& x) { x.fault_offset = 0x3ff0; }, u64{0x3ff} << 24, 0},
      {[](Caps& x) { x.superpage_2m = true; }, one(34), 0},
      {[](Caps& x) { x.superpage_1g = true; }, one(35), 0},
      {[](Caps& x) { x.page_selective = true; }, one(39), 0},
      {[](Caps& x) { x.page_selective = true, x.max_address_mask = 63; }, one(39) | u64{63} << 48, 0},
      {[](Caps& x) { x.max_address_mask = 63; }, 0, 0},
      {[](Caps& x) { x.fault_records = 256; }, u64{255} << 40, 0},
      {[](Caps& x) { x.drain_writes = true; }, one(54), 0},
      {[](Caps& x) { x.drain_reads = true; }, one(55), 0},
      {[](Caps& x) { x.coherent = true; }, 0, 1},
      {[](Caps& x) { x.queued_invalidation = true; }, 0, 2},
      {[](Caps& x) { x.interrupt_remapping = true; }, 0, 8 | 15 << 20},
      {[](Caps& x) { x.extended_interrupt_mode = true; }, 0, 16},
      {[](Caps& x) { x.pass_through = true; }, 0, 64},
      {[](Caps& x) { x.snoop_control = true; }, 0, 128},
      {[](Caps& x) { x.iotlb_offset = 0x3ff0; }, 0, u64{0x3ff} << 8},
  };
  for (auto& r : rows) {
    Caps x = c;
    r.set(x);
    EXPECT_EQ(capability_registers(x).cap, r.cap) << "row " << (&r - rows);
    EXPECT_EQ(capability_registers(x).ecap, r.ecap) << "row " << (&r - rows);
  }
}

TEST(vtd_caps, on_both_sides_of_each_limit) {
  const struct { void (*set)(Caps&); bool good; } rows[] = {
      {[](Caps& c) { c.mgaw = 29; }, false}, {[](Caps& c) { c.mgaw = 30; }, true}, {[](Caps& c) { c.mgaw = 48; }, true}, {[](Caps& c) { c.mgaw = 49; }, false},
      {[](Caps& c) { c.agaw_48 = false, c.agaw_39 = true, c.mgaw = 39; }, true}, {[](Caps& c) { c.agaw_48 = false, c.agaw_39 = true, c.mgaw = 40; }, false},
      {[](Caps& c) { c.agaw_39 = true, c.mgaw = 48; }, true},
      {[](Caps& c) { c.host_address_width = 31; }, false}, {[](Caps& c) { c.host_address_width = 32; }, true}, {[](Caps& c) { c.host_address_width = 52; }, true},
      {[](Caps& c) { c.host_address_width = 53; }, false},
      {[](Caps& c) { c.domain_id_bits = 2; }, false}, {[](Caps& c) { c.domain_id_bits = 3; }, false}, {[](Caps& c) { c.domain_id_bits = 4; }, true}, {[](Caps& c) { c.domain_id_bits = 5; }, false},
      {[](Caps& c) { c.domain_id_bits = 16; }, true}, {[](Caps& c) { c.domain_id_bits = 17; }, false}, {[](Caps& c) { c.domain_id_bits = 18; }, false},
      {[](Caps& c) { c.max_address_mask = 36; }, true}, {[](Caps& c) { c.max_address_mask = 37; }, false},
      {[](Caps& c) { c.interrupt_remapping = c.queued_invalidation = false; }, true},
      {[](Caps& c) { c.fault_records = 0; }, false}, {[](Caps& c) { c.fault_records = 257, c.fault_offset = 0; }, false},
      {[](Caps& c) { c.fault_records = 221, c.fault_offset = 0x230; }, true}, {[](Caps& c) { c.fault_records = 222, c.fault_offset = 0x230; }, false},
      {[](Caps& c) { c.fault_offset = 0x228; }, false}, {[](Caps& c) { c.iotlb_offset = 0x108; }, false},
      {[](Caps& c) { c.iotlb_offset = 0xff0; }, true}, {[](Caps& c) { c.iotlb_offset = 0x1000; }, false},
      {[](Caps& c) { c.iotlb_offset = 0xb0; }, false}, {[](Caps& c) { c.iotlb_offset = 0xc0; }, true},
      {[](Caps& c) { c.fault_offset = 0xb0; }, false}, {[](Caps& c) { c.fault_offset = 0xc0; }, true},
      {[](Caps& c) { c.fault_offset = 0x50; }, false}, {[](Caps& c) { c.fault_offset = 0xc0, c.fault_records = 4; }, true}, {[](Caps& c) { c.fault_offset = 0xc0, c.fault_records = 5; }, false},
      {[](Caps& c) { c.fault_offset = 0x110; }, true}, {[](Caps& c) { c.fault_offset = 0x100; }, false}, {[](Caps& c) { c.fault_offset = 0xf0; }, true},
      {[](Caps& c) { c.iotlb_entries = 0; }, false}, {[](Caps& c) { c.context_entries = 0; }, false}, {[](Caps& c) { c.interrupt_entries = 0; }, false},
      {[](Caps& c) { c.iotlb_entries = c.context_entries = c.interrupt_entries = 1; }, true}, {[](Caps& c) { c.iotlb_entries = c.context_entries = c.interrupt_entries = 65536; }, true},
      {[](Caps& c) { c.iotlb_entries = 65537; }, false}, {[](Caps& c) { c.context_entries = 65537; }, false}, {[](Caps& c) { c.interrupt_entries = 65537; }, false},
  };
  for (auto& r : rows) {
    Caps c;
    r.set(c);
    EXPECT_EQ(defect(c).empty(), r.good) << "row " << (&r - rows) << ": " << defect(c);
  }
}

TEST(vtd_caps, what_follows_from_them) {
  Caps c;
  for (unsigned width : {32u, 46u, 51u, 52u}) {
    c.host_address_width = width;
    EXPECT_EQ(c.host_limit(), one(width));
    for (unsigned b = 0; b < 64; ++b) EXPECT_EQ(bit(c.beyond_host_width(), b), b >= width && b < 52) << width << " " << b;
  }
  for (unsigned n : {4u, 10u, 16u}) {
    c.domain_id_bits = n;
    EXPECT_EQ(c.domain_mask(), one(n) - 1);
  }
  for (unsigned offered = 0; offered < 4; ++offered) {
    c.superpage_2m = offered & 1, c.superpage_1g = offered & 2;
    const u64 want[] = {0, 0x1000, offered & 1 ? 0x20'0000u : 0u, offered & 2 ? 0x4000'0000u : 0u, 0};
    for (unsigned level = 1; level < 5; ++level) EXPECT_EQ(c.leaf_size(level), want[level]) << level;
  }
}

// VT-d "Register Descriptions": what a bit of each status and command register is, as a number; what the code means by a name, tests mean as well
TEST(vtd_registers, names_of_bits) {
  const struct { u32 is; unsigned b; } rows[] = {{gcmd::TE, 31}, {gcmd::SRTP, 30}, {gcmd::SFL, 29}, {gcmd::EAFL, 28}, {gcmd::WBF, 27}, {gcmd::QIE, 26}, {gcmd::IRE, 25}, {gcmd::SIRTP, 24},
      {gcmd::CFI, 23}, {fsts::PFO, 0}, {fsts::PPF, 1}, {fsts::AFO, 2}, {fsts::APF, 3}, {fsts::IQE, 4}, {fsts::ICE, 5}, {fsts::ITE, 6}, {ectl::IM, 31}, {ectl::IP, 30}};
  for (auto& r : rows) EXPECT_EQ(r.is, u32{1} << r.b) << "row " << (&r - rows);
}

// VT-d "Register Descriptions": the map of the page, and what each register needs of the capabilities
TEST(vtd_registers, each_register_goes_with_its_capability) {
  const struct { u64 at; unsigned size; const char* name; bool (*there)(const Caps&); } rows[] = {
      {0x00, 4, "VER_REG", nullptr}, {0x08, 8, "CAP_REG", nullptr}, {0x10, 8, "ECAP_REG", nullptr}, {0x18, 4, "GCMD_REG", nullptr}, {0x1c, 4, "GSTS_REG", nullptr}, {0x20, 8, "RTADDR_REG", nullptr},
      {0x28, 8, "CCMD_REG", nullptr}, {0x34, 4, "FSTS_REG", nullptr}, {0x38, 4, "FECTL_REG", nullptr}, {0x3c, 4, "FEDATA_REG", nullptr}, {0x40, 4, "FEADDR_REG", nullptr},
      {0x44, 4, "FEUADDR_REG", [](const Caps& c) { return c.extended_interrupt_mode; }},
      {0x58, 8, "AFLOG_REG", [](const Caps&) { return false; }},
      {0x64, 4, "PMEN_REG", [](const Caps& c) { return c.plmr || c.phmr; }},
      {0x68, 4, "PLMBASE_REG", [](const Caps& c) { return c.plmr; }}, {0x6c, 4, "PLMLIMIT_REG", [](const Caps& c) { return c.plmr; }},
      {0x70, 8, "PHMBASE_REG", [](const Caps& c) { return c.phmr; }}, {0x78, 8, "PHMLIMIT_REG", [](const Caps& c) { return c.phmr; }},
      {0x80, 8, "IQH_REG", [](const Caps& c) { return c.queued_invalidation; }}, {0x88, 8, "IQT_REG", [](const Caps& c) { return c.queued_invalidation; }},
      {0x90, 8, "IQA_REG", [](const Caps& c) { return c.queued_invalidation; }}, {0x9c, 4, "ICS_REG", [](const Caps& c) { return c.queued_invalidation; }},
      {0xa0, 4, "IECTL_REG", [](const Caps& c) { return c.queued_invalidation; }}, {0xa4, 4, "IEDATA_REG", [](const Caps& c) { return c.queued_invalidation; }},
      {0xa8, 4, "IEADDR_REG", [](const Caps& c) { return c.queued_invalidation; }}, {0xac, 4, "IEUADDR_REG", [](const Caps& c) { return c.queued_invalidation && c.extended_interrupt_mode; }},
      {0xb8, 8, "IRTA_REG", [](const Caps& c) { return c.interrupt_remapping; }}, {0x100, 8, "IVA_REG", nullptr}, {0x108, 8, "IOTLB_REG", nullptr},
      {0x220, 8, "FRCD_REG", nullptr}, {0x228, 8, "FRCD_REG", nullptr},
  };
  for (unsigned what = 0; what < 32; ++what) {
    Caps c;
    c.plmr = what & 1, c.phmr = what & 2, c.queued_invalidation = what & 4, c.interrupt_remapping = (what & 8) && (what & 4), c.extended_interrupt_mode = (what & 16) && c.interrupt_remapping;
    Machine m(c);
    for (u64 at = 0; at < 0x1000; at += 4) {
      const char* name = nullptr;
      for (auto& r : rows) if (at >= r.at && at < r.at + r.size && (!r.there || r.there(c))) name = r.name;
      EXPECT_STREQ(m.unit.register_name(at), name) << std::hex << at << " with " << what;
    }
  }
}

TEST(vtd_registers, parts_are_read_at_every_place) {   // narrower reads give their bytes; other widths and what crosses the end are all ones
  Machine m;
  const auto cap = m.r64(8);
  for (unsigned n = 0; n < 8; ++n) EXPECT_EQ(m.unit.read(8 + n, 1), cap >> (8 * n) & 0xff) << n;
  for (unsigned n = 0; n < 8; n += 2) EXPECT_EQ(m.unit.read(8 + n, 2), cap >> (8 * n) & 0xffff) << n;
  for (unsigned n = 1; n < 8; n += 2) EXPECT_EQ(m.unit.read(8 + n, 2), 0xffffu) << n;
  EXPECT_EQ(m.unit.read(8, 4), cap & 0xffff'ffff);
  EXPECT_EQ(m.unit.read(12, 4), cap >> 32);
  for (unsigned n : {1u, 2u, 3u}) EXPECT_EQ(m.unit.read(8 + n, 4), 0xffff'ffffu) << n;
  for (unsigned n : {1u, 2u, 3u}) EXPECT_EQ(m.unit.read(8 + n, 8), ~u64{0}) << n;
  EXPECT_EQ(m.unit.read(0xffc, 4), 0u);
  EXPECT_EQ(m.unit.read(0xff8, 8), 0u);
  EXPECT_EQ(m.unit.read(0xfff, 1), 0u);
  EXPECT_EQ(m.unit.read(0xffe, 2), 0u);
  EXPECT_EQ(m.unit.read(0x1000, 1), 0xffu);
  for (unsigned size : {1u, 2u, 3u, 5u, 16u}) m.unit.write(0x20, size, 0x1234'5000);
  EXPECT_EQ(m.r64(0x20), 0u);
  for (u64 at : {0x1f, 0x21, 0x22, 0x23}) m.unit.write(at, 4, ~0u), m.unit.write(at, 8, ~u64{0});
  EXPECT_EQ(m.r64(0x20), 0u);
}

TEST(vtd_registers, a_write_has_as_many_bits_as_its_size) {   // whatever else the access's value holds: nothing beyond is written or told
  Machine m;
  for (u64 at : {0x20, 0x24, 0x38}) {
    m.unit.write(at, 4, 0xffff'ffff'8000'0000);
    EXPECT_EQ(m.out.log.back().kind, EventKind::vtd_register);
    EXPECT_EQ(m.out.log.back().c, 0x8000'0000u) << at;
  }
  EXPECT_EQ(m.r32(0x3c), 0u);
}

TEST(vtd_dma, the_interrupt_range_is_one_mib) {   // VT-d "Handling Requests to Interrupt Address Range": 0xFEEx_xxxx
  Machine m;
  m.tables();
  for (u64 at : {0xfedf'f000, 0xfef0'0000}) m.map(at, 0x9003);
  for (bool on : {false, true}) {
    if (on) m.enable();
    for (u64 at : {0xfee0'0000, 0xfeef'ffff}) {
      const auto t = m.dma(at);
      EXPECT_FALSE(t.ok);
      EXPECT_EQ(t.fault_reason, 0);
    }
    for (u64 at : {0xfedf'ffff, 0xfef0'0000}) EXPECT_TRUE(m.dma(at).ok) << on;
  }
  EXPECT_EQ(m.unit.statistics().refused, 4u);
}

}  // namespace
}  // namespace vt::vtd
