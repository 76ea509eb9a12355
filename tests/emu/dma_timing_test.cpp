// SPDX-License-Identifier: GPL-2.0-or-later
/// What remapping and DMA cost: entries and data through the LLC, counted by function, part of the machine's state.   docs/timing.md
#include <cstring>

#include "emu/dma_timing.hpp"
#include "guest.hpp"

namespace vt::emu {
namespace {

constexpr Bdf kDisk{0, 4, 0}, kCard{0, 5, 0};
constexpr unsigned kLookup = 20, kStart = 10, kLlc = 60, kDram = 200;   // and 8 bytes a cycle

struct Priced {
  Priced() : profile(make()), last(profile), dma(profile, last) {}
  static timing::Profile make() {
    timing::Profile p{};
    p.llc = {1 << 20, 16, kLlc}, p.dram = kDram;
    p.iotlb_hit = kLookup, p.vtd_walk_start = kStart, p.dma_bytes_per_cycle = 8;
    return p;
  }
  u64 ask(const vtd::Touched& t) {
    const auto cycles = [&] { const auto& c = counts(t.source); return c.translation_cycles + c.interrupt_cycles; };
    const u64 before = cycles();
    dma.request(t);
    return cycles() - before;
  }
  u64 move(u64 at, u64 bytes, bool write) {
    const u64 before = counts(kDisk).data_cycles;
    dma.data(kDisk, Hpa{at}, bytes, write);
    return counts(kDisk).data_cycles - before;
  }
  DmaTiming::Counts counts(Bdf b) const { const auto i = dma.functions().find(b); return i == dma.functions().end() ? DmaTiming::Counts{} : i->second; }
  timing::Profile profile;
  cpu::LastLevel last;
  DmaTiming dma;
};

vtd::Touched walk(std::initializer_list<u64> entries, Bdf who = kDisk) {
  vtd::Touched t;
  t.source = who, t.context = t.iotlb = vtd::Lookup::miss;
  unsigned n = 0;
  for (u64 at : entries) t.read(Hpa{at}, n++ < 2 ? t.context_reads : t.table_reads);
  return t;
}

TEST(DmaTiming, EntriesComeFromTheLlcOrMemoryOneAfterTheOther) {
  Priced p;
  EXPECT_EQ(p.ask(walk({0x1000, 0x2000, 0x3000, 0x4000, 0x5000})), kLookup + kStart + 5 * kDram) << "a cold context and a 2 MiB entry";
  EXPECT_EQ(p.ask(walk({0x1000, 0x2000, 0x3000, 0x4000, 0x5000})), kLookup + kStart + 5 * kLlc);
  EXPECT_EQ(p.ask(walk({0x1000, 0x2000, 0x3000, 0x4000, 0x5008})), kLookup + kStart + 5 * kLlc) << "the neighbour's entry is in the same line";
  EXPECT_EQ(p.ask(walk({0x1000, 0x2000, 0x3000, 0x4000, 0x5040})), kLookup + kStart + 4 * kLlc + kDram);
  cpu::MemLevel from;
  p.last.access(0x9000 >> 6, false, from);
  EXPECT_EQ(p.ask(walk({0x1000, 0x9000})), kLookup + kStart + 2 * kLlc) << "what a processor has brought in";
  p.last.access(0x5040 >> 6, false, from);
  EXPECT_EQ(from, cpu::MemLevel::llc) << "and the other way round";
  const auto c = p.counts(kDisk);
  EXPECT_EQ(c.requests, 5u);
  EXPECT_EQ(c.iotlb_misses, 5u);
  EXPECT_EQ(c.context_misses, 5u);
  EXPECT_EQ(c.context_reads, 10u);
  EXPECT_EQ(c.table_reads, 12u);
}

TEST(DmaTiming, HitsAndWhatIsNotLookedUp) {
  Priced p;
  vtd::Touched t;
  t.source = kDisk;
  EXPECT_EQ(p.ask(t), 0u) << "translation is off";
  t.context = t.iotlb = vtd::Lookup::hit;
  EXPECT_EQ(p.ask(t), kLookup);
  t.iotlb = vtd::Lookup::none;
  EXPECT_EQ(p.ask(t), kLookup) << "passed through";
  vtd::Touched i;
  i.source = kCard, i.interrupt = true;
  EXPECT_EQ(p.ask(i), 0u) << "remapping is off";
  i.interrupt_entry = vtd::Lookup::hit;
  EXPECT_EQ(p.ask(i), kLookup);
  i.interrupt_entry = vtd::Lookup::miss;
  i.read(Hpa{0x7000}, i.interrupt_reads);
  EXPECT_EQ(p.ask(i), kLookup + kStart + kDram);
  EXPECT_EQ(p.counts(kDisk).requests, 3u);
  EXPECT_EQ(p.counts(kDisk).context_hits, 2u);
  EXPECT_EQ(p.counts(kDisk).iotlb_hits, 1u);
  EXPECT_EQ(p.counts(kDisk).interrupts, 0u);
  EXPECT_EQ(p.counts(kCard).requests, 0u);
  EXPECT_EQ(p.counts(kCard).interrupts, 3u);
  EXPECT_EQ(p.counts(kCard).interrupt_entry_hits, 1u);
  EXPECT_EQ(p.counts(kCard).interrupt_entry_misses, 1u);
  EXPECT_EQ(p.counts(kCard).interrupt_reads, 1u);
  EXPECT_EQ(p.counts(kCard).translation_cycles, 0u);
}

TEST(DmaTiming, DataGoThroughTheLlc) {
  struct Row { const char* what; u64 at, bytes; bool write; u64 cycles, lines, from_dram; };
  const Row kRows[] = {   // in this order, over one LLC
    {"a page, cold", 0x10000, 4096, false, kDram + 4096 / 8, 64, 64},
    {"and again", 0x10000, 4096, false, kLlc + 4096 / 8, 64, 0},
    {"one line of it", 0x10040, 64, false, kLlc + 8, 1, 0},
    {"a byte of memory", 0x20000, 1, false, kDram + 1, 1, 1},
    {"whole lines written: nothing is fetched", 0x30000, 128, true, kLlc + 16, 2, 0},
    {"they are in the LLC now", 0x30000, 128, false, kLlc + 16, 2, 0},
    {"a part of a line written", 0x40010, 16, true, kDram + 2, 1, 1},
    {"and the next part", 0x40020, 16, true, kLlc + 2, 1, 0},
    {"64 bytes in two lines, both in part", 0x50020, 64, true, kDram + 8, 2, 2},
    {"the end of one line, a whole one", 0x6003c, 68, true, kDram + 9, 2, 1},
    {"nothing", 0x70000, 0, false, 0, 0, 0},
  };
  Priced p;
  for (const Row& r : kRows) {
    SCOPED_TRACE(r.what);
    const auto before = p.counts(kDisk);
    EXPECT_EQ(p.move(r.at, r.bytes, r.write), r.cycles);
    const auto now = p.counts(kDisk);
    EXPECT_EQ(now.lines_read - before.lines_read, r.write ? 0 : r.lines);
    EXPECT_EQ(now.lines_written - before.lines_written, r.write ? r.lines : 0);
    EXPECT_EQ(now.lines_from_dram - before.lines_from_dram, r.from_dram);
  }
  cpu::MemLevel from;
  p.last.access(0x30040 >> 6, false, from);
  EXPECT_EQ(from, cpu::MemLevel::llc) << "a processor finds what a device has written";
}

// --- in the machine ------------------------------------------------------------------------------------------------

bool operator==(const DmaTiming::Counts& a, const DmaTiming::Counts& b) {
  HashAr x, y;
  DmaTiming::Counts i = a, j = b;
  x(i), y(j);
  return x.hex() == y.hex();
}

constexpr u64 kRoot = 0x200000, kContext = 0x201000, kTable = 0x210000, kTo = 0x130000;
constexpr Bdf kScripted{0, 0x1d, 0};

/// The processor loops; 00:1d.0 writes 16 bytes at kTo from 20 microseconds on, every 10.
struct Looping {
  explicit Looping(timing::Model model) : machine(platform(model), console) {
    fw::Image image;
    image.blobs.push_back({Hpa{0x100000}, {0xeb, 0xfe}});   // jmp $
    image.entry.mode = fw::Entry::Mode::protected_flat32;
    image.entry.eip = 0x100000, image.entry.esp = 0x90000;
    machine.load({}, image);
    poke(kRoot, kContext | 1), poke(kContext + 16 * kScripted.devfn(), kTable | 1), poke(kContext + 16 * kScripted.devfn() + 8, u64{1} << 8 | 2);
    poke(kTable, (kTable + 0x1000) | 3), poke(kTable + 0x1000, (kTable + 0x2000) | 3), poke(kTable + 0x2000, 0xb7);   // 2 MiB, as EPT has it
    vtd::Unit& unit = *machine.vtd_units()[0];
    unit.write(0x020, 8, kRoot), unit.write(0x018, 4, u32{1} << 30), unit.write(0x018, 4, u32{1} << 31);
  }
  static fw::Platform platform(timing::Model model) {
    fw::Platform p = fw::parse_platform(R"({"vitrine": "platform/1", "memory": "64M", "pci": [
      {"bdf": "00:00.0", "device": "0x29c0", "class_code": "0x060000", "model": "host-bridge"},
      {"bdf": "00:1f.0", "device": "0x2918", "class_code": "0x060100", "model": "isa-bridge"},
      {"bdf": "00:1d.0", "device": "0x2934", "class_code": "0x0c0300", "model": "scripted-dma",
       "dma": [{"at": 20000, "every": 10000, "times": 1000, "address": "0x130000", "size": 16, "write": true, "value": "0x5a"}]}]})");
    Guest g;
    g.timing = model;
    if (model != timing::Model::flat) p.timing = platform_of(g).timing, fw::complete(p);
    return p;
  }
  void poke(u64 at, u64 v) { machine.memory().write(Hpa{at}, &v, sizeof v, WriteCause::loader); }
  void until(u64 ns) { machine.run(~u64{0}, ns); }
  DmaTiming::Counts counts() const { return machine.dma_timing()->functions().at(kScripted); }
  Console console;
  Machine machine;
};

TEST(DmaTiming, ADeviceBehindASharedTwoMegabyteEntry) {
  for (timing::Model model : {timing::Model::events, timing::Model::core}) {
    Looping m(model);
    m.until(19000);
    EXPECT_TRUE(m.machine.dma_timing()->functions().empty());
    m.until(25000);
    const timing::Profile& p = m.machine.platform().timing.profile;
    auto c = m.counts();
    EXPECT_EQ(c.requests, 1u);
    EXPECT_EQ(c.context_reads, 2u);
    EXPECT_EQ(c.table_reads, 3u);
    EXPECT_EQ(c.translation_cycles, p.iotlb_hit + p.vtd_walk_start + 5 * p.dram);
    EXPECT_EQ(c.lines_written, 1u);
    EXPECT_EQ(c.lines_from_dram, 1u);
    EXPECT_EQ(c.data_cycles, p.dram + (16 + p.dma_bytes_per_cycle - 1) / p.dma_bytes_per_cycle);
    m.until(65000);
    c = m.counts();
    EXPECT_EQ(c.requests, 5u);
    EXPECT_EQ(c.iotlb_hits, 4u);
    EXPECT_EQ(c.context_hits, 4u);
    EXPECT_EQ(c.table_reads, 3u) << "no more";
    EXPECT_EQ(c.translation_cycles, 5 * p.iotlb_hit + p.vtd_walk_start + 5 * p.dram);
    EXPECT_EQ(c.lines_from_dram, 1u);
    m.machine.vtd_units()[0]->write(0x108, 8, u64{1} << 63 | u64{1} << 60);   // IOTLB, global
    m.until(75000);
    EXPECT_EQ(m.counts().iotlb_misses, 2u);
    EXPECT_EQ(m.counts().table_reads, 6u);
    EXPECT_EQ(m.counts().translation_cycles, 6 * p.iotlb_hit + 2 * p.vtd_walk_start + 5 * p.dram + 3 * p.llc.latency) << "its entries are in the LLC";
  }
}

TEST(DmaTiming, FlatHasNone) {
  Looping m(timing::Model::flat);
  m.until(65000);
  EXPECT_EQ(m.machine.dma_timing(), nullptr);
  EXPECT_EQ(m.machine.traffic().at(kScripted).dma_translated, 5u);
}

TEST(DmaTiming, CountsAreSavedAndRestored) {
  Looping a(timing::Model::events), b(timing::Model::events);
  a.until(45000);
  SaveAr save;
  a.machine.state(save);
  LoadAr load(save.out);
  b.machine.state(load);
  EXPECT_TRUE(load.at_end());
  EXPECT_TRUE(a.counts() == b.counts());
  EXPECT_EQ(a.machine.state_hash(), b.machine.state_hash());
  a.until(95000), b.until(95000);
  EXPECT_EQ(b.counts().requests, 8u);
  EXPECT_TRUE(a.counts() == b.counts());
  EXPECT_EQ(a.machine.state_hash(), b.machine.state_hash());
}

/// Every count of every function.
std::string all(const Machine& m) {
  std::string s;
  for (auto& [at, counts] : m.dma_timing()->functions()) {
    HashAr h;
    DmaTiming::Counts c = counts;
    h(c);
    s += std::to_string(at.v) + ":" + h.hex() + " ";
  }
  return s;
}

// The guest of which determinism_test.cpp cuts, saves and restores in many ways.
TEST(DmaTiming, ADmaGuestCountsTheSameWhereverItIsCut) {
  for (timing::Model model : {timing::Model::events, timing::Model::core}) {
    Guest g = bare("vtd_dma");   // its DMA is in its last 200,000 steps
    if (!there(g)) GTEST_SKIP() << "no guest " << g.kernel << ": guests/bare/build.py makes it";
    g.timing = model;
    Booted plain(g), again(g);
    auto cut = std::make_unique<Booted>(g);
    plain.machine->run(g.limit), again.machine->run(g.limit);
    const std::string want = all(*plain.machine);
    bool hits = false, misses = false, read = false, written = false, interrupts = false;
    for (auto& [at, c] : plain.machine->dma_timing()->functions())
      hits |= c.iotlb_hits > 0, misses |= c.iotlb_misses > 0, read |= c.lines_read > 0, written |= c.lines_written > 0, interrupts |= c.interrupt_entry_hits > 0;
    EXPECT_TRUE(hits && misses && read && written && interrupts) << "it does all of it within these steps";
    EXPECT_EQ(all(*again.machine), want);
    Choice c(3);
    for (u64 at = plain.machine->steps() - 200'000; at < plain.machine->steps() && !cut->machine->stop().requested();) {
      cut->machine->run(std::min(plain.machine->steps(), at += 1 + c.below(5000)));
      if (c.below(3)) continue;
      SaveAr save;
      cut->machine->state(save);
      auto fresh = std::make_unique<Booted>(g);
      LoadAr load(save.out);
      fresh->machine->state(load);
      cut = std::move(fresh);
    }
    EXPECT_EQ(all(*cut->machine), want);
  }
}

}  // namespace
}  // namespace vt::emu
