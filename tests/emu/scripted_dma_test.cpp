// SPDX-License-Identifier: GPL-2.0-or-later
/// A device that goes on doing DMA while translation is enabled under it.   VT-d "Hardware Handling of DMA Requests", docs/platforms.md
#include "guest.hpp"
#include "vtd/unit.hpp"

namespace vt::emu {
namespace {

constexpr u64 kRoot = 0x200000, kContext = 0x201000, kTable = 0x210000, kFrom = 0x120000, kTo = 0x130000;

/// The processor loops; 00:1d.0 copies nothing but writes 0x5a to kTo every 10 microseconds, from 20 on.
fw::Platform platform() {
  return fw::parse_platform(R"({"vitrine": "platform/1", "memory": "64M", "pci": [
    {"bdf": "00:00.0", "device": "0x29c0", "class_code": "0x060000", "model": "host-bridge"},
    {"bdf": "00:1f.0", "device": "0x2918", "class_code": "0x060100", "model": "isa-bridge"},
    {"bdf": "00:1d.0", "device": "0x2934", "class_code": "0x0c0300", "model": "scripted-dma",
     "dma": [{"at": 20000, "every": 10000, "times": 1000, "address": "0x130000", "size": 16, "write": true, "value": "0x5a"}]}]})");
}

struct Looping {
  Looping() : machine(platform(), console) {
    fw::Image image;
    image.blobs.push_back({Hpa{0x100000}, {0xeb, 0xfe}});   // jmp $
    image.entry.mode = fw::Entry::Mode::protected_flat32;
    image.entry.eip = 0x100000, image.entry.esp = 0x90000;
    machine.load({}, image);
  }
  vtd::Unit& unit() { return *machine.vtd_units()[0]; }
  void poke(u64 at, u64 v) { machine.memory().write(Hpa{at}, &v, sizeof v, WriteCause::loader); }
  u64 take() {   // what the device has written since the last time
    u64 v = 0;
    machine.memory().read(Hpa{kTo}, &v, sizeof v);
    poke(kTo, 0);
    return v;
  }
  void enable() {
    unit().write(0x020, 8, kRoot);
    unit().write(0x018, 4, u32{1} << 30);   // SRTP
    unit().write(0x018, 4, u32{1} << 31);   // TE
    ASSERT_TRUE(unit().translation_enabled());
  }
  Console console;
  Machine machine;
};
constexpr u64 kWritten = 0x5a5a5a5a5a5a5a5a;

TEST(ScriptedDma, PassesUntranslatedUntilTranslationIsEnabledAndFaultsFromThenOn) {
  Looping m;
  m.machine.run(19999);
  EXPECT_EQ(m.take(), 0u);
  m.machine.run(20001);
  EXPECT_EQ(m.take(), kWritten);
  m.machine.run(35000);
  EXPECT_EQ(m.take(), kWritten);           // the one at 30000
  EXPECT_EQ(m.unit().statistics().faults, 0u);
  m.enable();                              // an empty root table
  m.machine.run(45000);
  EXPECT_EQ(m.take(), 0u);
  const vtd::FaultRecord f = m.unit().fault_record(0);
  EXPECT_TRUE(f.pending());
  EXPECT_EQ(f.reason(), vtd::fault::root_not_present);
  EXPECT_EQ(f.source(), Bdf(0, 0x1d, 0));
  EXPECT_EQ(f.page(), kTo);
  EXPECT_FALSE(f.read());
}

TEST(ScriptedDma, GoesWhereTheTablesSay) {
  Looping m;
  m.poke(kRoot, kContext | 1);
  m.poke(kContext + 16 * (0x1d << 3), kTable | 1);             // untranslated requests through second-level tables
  m.poke(kContext + 16 * (0x1d << 3) + 8, u64{1} << 8 | 2);    // domain 1, 48 bits
  m.poke(kTable, (kTable + 0x1000) | 3), m.poke(kTable + 0x1000, (kTable + 0x2000) | 3), m.poke(kTable + 0x2000, (kTable + 0x3000) | 3);
  m.poke(kTable + 0x3000 + 8 * (kTo >> 12), kFrom | 3);        // elsewhere
  m.enable();
  m.machine.run(25000);
  EXPECT_EQ(m.take(), 0u);
  u64 v = 0;
  m.machine.memory().read(Hpa{kFrom}, &v, sizeof v);
  EXPECT_EQ(v, kWritten);
  m.poke(kTable + 0x3000 + 8 * (kTo >> 12), kFrom | 1);        // read only; the IOTLB is told
  m.unit().write(0x108, 8, u64{1} << 63 | u64{1} << 60);
  m.machine.run(35000);
  EXPECT_EQ(m.unit().fault_record(0).reason(), vtd::fault::write_denied);
}

// VT-d "Root Table Address Register", "Caching Translation Information", "DMA Draining": what each write under way finds, step by step. What is cached counts until an invalidation
// is done; from then on nothing arrives where the old tables said.
TEST(ScriptedDma, TablesChangeWhileItWrites) {
  constexpr u64 kRoot2 = 0x202000, kContext2 = 0x203000, kTable2 = 0x220000, kElsewhere = 0x140000, kThird = 0x150000;
  constexpr u64 kDone = u64{1} << 63, kDrain = u64{3} << 48;
  Looping m;
  const auto tables = [&](u64 root, u64 context, u64 table, u64 domain, u64 to) {
    m.poke(root, context | 1);
    m.poke(context + 16 * (0x1d << 3), table | 1), m.poke(context + 16 * (0x1d << 3) + 8, domain << 8 | 2);
    for (u64 level = 0; level < 3; ++level) m.poke(table + level * 0x1000, (table + (level + 1) * 0x1000) | 3);
    m.poke(table + 0x3000 + 8 * (kTo >> 12), to | 3);
  };
  tables(kRoot, kContext, kTable, 1, kFrom);
  tables(kRoot2, kContext2, kTable2, 2, kThird);
  const auto invalidate_iotlb = [&](u64 what) {
    m.unit().write(0x108, 8, kDone | kDrain | what);
    EXPECT_FALSE(m.unit().read(0x108, 8) & kDone) << "done, and drained";
  };
  const struct { const char* what; u64 arrives; } kSteps[] = {
      {"translation is enabled", kFrom}, {"a leaf is changed: cached", kFrom}, {"the domain is invalidated", kElsewhere}, {"a new root table: the context entry is cached", kElsewhere},
      {"contexts are invalidated: another domain", kThird}, {"translation is switched off", kTo}, {"and on again", kThird}, {"the old root table comes back", kThird},
      {"contexts are invalidated; the old domain's translations are still good", kElsewhere}, {"the context entry goes: cached", kElsewhere}, {"it is invalidated", 0}};
  u64 until = 20001;
  for (unsigned n = 0; n < std::size(kSteps); ++n) {
    SCOPED_TRACE(kSteps[n].what);
    switch (n) {
      case 0: m.enable(); break;
      case 1: m.poke(kTable + 0x3000 + 8 * (kTo >> 12), kElsewhere | 3); break;
      case 2: invalidate_iotlb(u64{2} << 60 | u64{1} << 32); break;
      case 3: m.unit().write(0x020, 8, kRoot2), m.unit().write(0x018, 4, (m.unit().read(0x01c, 4) & ~u64{1 << 30}) | 1 << 30); break;
      case 4: m.unit().write(0x028, 8, kDone | u64{1} << 61); break;
      case 5: m.unit().write(0x018, 4, 0); break;
      case 6: m.unit().write(0x018, 4, u32{1} << 31); break;
      case 7: m.unit().write(0x020, 8, kRoot), m.unit().write(0x018, 4, (m.unit().read(0x01c, 4) & ~u64{1 << 30}) | 1 << 30); break;
      case 8: m.unit().write(0x028, 8, kDone | u64{1} << 61); break;
      case 9: m.poke(kContext + 16 * (0x1d << 3), kTable); break;
      case 10: m.unit().write(0x028, 8, kDone | u64{3} << 61 | u64{0x1d << 3} << 16 | 1); break;
    }
    for (u64 at : {kTo, kFrom, kElsewhere, kThird}) m.poke(at, 0);
    m.machine.run(until);
    until += 10000;
    for (u64 at : {kTo, kFrom, kElsewhere, kThird}) EXPECT_EQ(m.machine.memory().peek64(Hpa{at}), at == kSteps[n].arrives ? kWritten : 0) << std::hex << at;
    EXPECT_EQ(m.unit().statistics().faults, n == 10 ? 1u : 0u);
  }
  EXPECT_EQ(m.unit().fault_record(0).reason(), vtd::fault::context_not_present);
}

TEST(ScriptedDma, ACheckpointedRunGoesOnAsTheOneThatNeverStopped) {
  const std::string file = testing::TempDir() + "vitrine-scripted-dma.ckpt";
  Looping a, b;
  a.machine.run(27777);
  save_checkpoint(a.machine, file);
  load_checkpoint(b.machine, file);
  std::remove(file.c_str());
  a.machine.run(100000), b.machine.run(100000);
  EXPECT_EQ(a.machine.state_hash(), b.machine.state_hash());
  EXPECT_EQ(b.take(), kWritten);
}

TEST(ScriptedDma, TheScriptIsPartOfTheHash) {
  Looping a;
  fw::Platform other = platform();
  other.pci[2].dma[0].at = 20001;
  Console c;
  Machine b(other, c);
  EXPECT_NE(fw::to_json(platform()), fw::to_json(other));
}

}  // namespace
}  // namespace vt::emu
