// SPDX-License-Identifier: GPL-2.0-or-later
// A guest that programs disk controllers with garbage: random register writes, descriptors that point anywhere. Nothing breaks or hangs, and a
// controller that was saved in the middle goes on as the one that was not. The long form, a million writes for each device, is DEEP=1; it is meant for a
// build with -Db_sanitize=address,undefined.
#include <cstdlib>

#include "disk_rig.hpp"
#include "pci/ahci.hpp"
#include "pci/nvme.hpp"

using namespace vt;
using namespace vt::emu;
using namespace vt::emu::pci;

namespace {

struct Random {
  u64 s = 0x9e3779b97f4a7c15;
  u64 operator()(u64 n) { s ^= s << 13, s ^= s >> 7, s ^= s << 17; return (s >> 11) % n; }
};

unsigned rounds() { return std::getenv("DEEP") ? 1'000'000 : 20'000; }

/// One controller, its memory and its disk.
template <class C>
struct World {
  static constexpr u64 kSize = u64{1} << 20;
  Ram ram;
  FakeClock clock;
  FakeLine pin;
  Stop stop;
  std::shared_ptr<MemoryImage> image = std::make_shared<MemoryImage>(kSize);
  Disk disk{"disk0", kSize, image, stop};
  ConfigSpace space;
  C& c;
  Device& bar;
  static FunctionSpec spec() {
    FunctionSpec s;
    s.bdf = Bdf(0, 5, 0), s.vendor = 0x1af4, s.device = 1, s.class_code = 0x010802, s.interrupt_pin = 1, s.msi = true;
    s.bars[std::is_same_v<C, Nvme> ? 0 : 5] = {BarKind::mem32, false, std::is_same_v<C, Nvme> ? u64{0x4000} : u64{0x1000}, 0xfe000000};
    return s;
  }
  std::unique_ptr<C> make() {
    if constexpr (std::is_same_v<C, Nvme>) return std::make_unique<Nvme>(spec(), nullptr, ram, clock, &pin, &disk);
    else return std::make_unique<Ahci>(spec(), nullptr, ram, clock, &pin, std::array<Disk*, 6>{&disk, nullptr, &disk});
  }
  World() : c(static_cast<C&>(space.add(make()))), bar(*c.spec().bars[std::is_same_v<C, Nvme> ? 0 : 5].device) {
    space.settle();
    space.write(Bdf(0, 5, 0), 4, 2, 6);
  }
  void state(Ar& ar) { ar(space, disk, ram.memory); }
};

/// Something that a descriptor could hold: mostly what leads somewhere.
u64 value(Random& r) {
  switch (r(8)) {
    case 0: return r(~u64{0});
    case 1: return r(16);
    case 2: return r(1 << 20) & ~u64{0xfff};
    case 3: return r(1 << 20) & ~u64{7};
    case 4: return u64{1} << r(64);
    case 5: return ~u64{0} << r(64);
    case 6: return r(0x10000) << 16 | r(32);
    default: return 0;
  }
}

void litter(Ram& ram, Random& r) {
  for (unsigned n = 0; n < 8; ++n) ram.put<u64>(r((1 << 20) / 8) * 8, value(r));
}

/// Now and then from the beginning, as a driver does it: both kinds of queues stand, and take their commands from the first page.
void begin(World<Nvme>& w) {
  w.space.write(Bdf(0, 5, 0), 4, 2, 6);
  w.bar.write(0x14, 4, 0), w.bar.write(0x24, 4, 0x003f003f), w.bar.write(0x28, 8, 0), w.bar.write(0x30, 8, 0x1000), w.bar.write(0x14, 4, 0x00460001);
  w.clock.pass(Nvme::kEnableDelay);
  w.ram.put<u32>(0, 0x05), w.ram.put<u64>(24, 0x2000), w.ram.put<u32>(40, 63u << 16 | 1), w.ram.put<u32>(44, 3);
  w.ram.put<u32>(64, 0x01), w.ram.put<u64>(64 + 24, 0), w.ram.put<u32>(64 + 40, 63u << 16 | 1), w.ram.put<u32>(64 + 44, 1u << 16 | 1);
  w.bar.write(0x1000, 4, 2);
  w.clock.pass(Nvme::kDelay);
}

u64 poke(World<Nvme>& w, Random& r) {
  litter(w.ram, r);
  if (!r(100)) begin(w);
  // Commands that are nearly right, where queues are likely to be.
  if (r(2)) {
    const u64 at = r(64) * 64;
    const u32 opcode = static_cast<u32>(r(16) ? r(13) : r(256)), id = static_cast<u32>(r(4));
    w.ram.put<u32>(at, opcode | (r(50) ? 0 : 0x100) | id << 16), w.ram.put<u32>(at + 4, r(4) ? 1 : static_cast<u32>(value(r)));
    w.ram.put<u64>(at + 24, value(r)), w.ram.put<u64>(at + 32, value(r));
    w.ram.put<u32>(at + 40, static_cast<u32>(r(2) ? r(8) | r(64) << 16 : value(r)));
    w.ram.put<u32>(at + 44, static_cast<u32>(r(2) ? 3 | r(4) << 16 : value(r))), w.ram.put<u32>(at + 48, static_cast<u32>(r(2) ? r(300) : value(r)));
  }
  switch (r(12)) {
    case 0: w.bar.write(0x24, 4, r(4) ? 0x003f003f : value(r)); break;
    case 1: w.bar.write(r(2) ? 0x28 : 0x30, 8, r(2) ? r(2) << 12 : value(r)); break;
    case 2: w.bar.write(0x14, 4, r(20) ? 0x00460001 : value(r)); break;
    case 3: w.bar.write(r(0x1000), 1u << r(4), value(r)); break;
    case 4: w.bar.write(0x2000 + r(0x2000), 1u << r(4), value(r)); break;
    case 5: w.clock.pass(Nvme::kEnableDelay); break;
    case 6: if (!r(20)) w.space.write(Bdf(0, 5, 0), static_cast<u16>(r(256)), 1, static_cast<u32>(r(256))); break;
    case 7: if (!r(20)) w.space.write(Bdf(0, 5, 0), 4, 2, static_cast<u32>(r(8))); break;
    default: w.bar.write(0x1000 + 4 * r(r(4) ? 6 : 0x400), 4, r(8) ? r(64) : value(r)); break;
  }
  if (r(2)) w.clock.pass(r(3) * Nvme::kDelay);
  return w.bar.read(r(0x4000 - 8), 1u << r(4));
}

u64 poke(World<Ahci>& w, Random& r) {
  litter(w.ram, r);
  if (r(2)) {   // a command in a list at 0, with its table where it says
    const u64 slot = r(32), table = (1 + r(255)) << 12;
    static constexpr u8 kKnown[] = {0x25, 0x35, 0x60, 0x61, 0xec, 0xef, 0x2f, 0x20, 0x34, 0xc6, 0xc4, 0x39, 0x42, 0xe5, 0xe7, 0xca};
    w.ram.put<u32>(32 * slot, static_cast<u32>(r(32) | r(2) << 6 | (r(4) ? r(40) : r(0x10000)) << 16)), w.ram.put<u64>(32 * slot + 8, r(16) ? table : value(r));
    w.ram.put<u32>(table, 0x8027u | (r(8) ? kKnown[r(16)] : static_cast<u32>(r(256))) << 16 | static_cast<u32>(r(4) ? r(16) : r(256)) << 24);
    w.ram.put<u64>(table + 4, r(4) ? r(0x800) | u64{0x40} << 24 : value(r)), w.ram.put<u32>(table + 12, static_cast<u32>(r(4) ? r(64) : value(r)));
    for (unsigned n = 0; n < 4; ++n) w.ram.put<u64>(table + 0x80 + 16 * n, value(r)), w.ram.put<u32>(table + 0x8c + 16 * n, static_cast<u32>(r(2) ? r(0x2000) : value(r)));
  }
  const u64 port = 0x100 + 0x80 * r(r(8) ? 3 : 6);
  switch (r(12)) {
    case 0: w.bar.write(port, 8, r(2) ? 0 : value(r)); break;
    case 1: w.bar.write(port + 8, 8, r(4) ? 0x8000 : value(r)); break;
    case 2: case 3: w.bar.write(port + 0x18, 4, r(8) ? 0x10 | r(2) : value(r)); break;
    case 4: w.bar.write(port + 0x2c, 4, r(2) ? r(2) : value(r)); break;
    case 5: w.bar.write(r(0x1000), 1u << r(4), value(r)); break;
    case 6: if (!r(20)) w.bar.write(4, 4, value(r)); break;
    case 7: w.space.write(Bdf(0, 5, 0), 4, 2, r(8) ? 6 : static_cast<u32>(r(8))); break;
    case 8: w.bar.write(port + 0x34, 4, value(r)); break;
    case 9: w.bar.write(port + 0x14, 4, value(r)), w.bar.write(4, 4, 2); break;
    default: w.bar.write(port + 0x38, 4, r(2) ? 1u << r(32) : value(r)); break;
  }
  if (r(2)) w.clock.pass(r(3) * Ahci::kDelay);
  return w.bar.read(r(0x1000 - 8), 1u << r(4));
}

template <class C>
void play(const char* name) {
  Random r;
  auto w = std::make_unique<World<C>>();
  const unsigned all = rounds();
  for (unsigned n = 0; n < all; ++n) {
    poke(*w, r);
    ASSERT_FALSE(w->stop.requested()) << name << ": " << w->stop.what();
    if (n % (all / 4) != all / 8) continue;
    SaveAr s;
    w->state(s);
    auto other = std::make_unique<World<C>>();
    LoadAr l(s.out);
    other->state(l);
    ASSERT_TRUE(l.at_end());
    other->clock.to(w->clock.now());
    other->clock.events.clear();
    for (auto& [who, when] : w->clock.events) other->clock.events[{&other->c, who.second}] = when;
    Random ra = r, rb = r;
    for (int k = 0; k < 500; ++k) ASSERT_EQ(poke(*w, ra), poke(*other, rb)) << name << " step " << n << " + " << k;
    ASSERT_EQ(hash_of(*w), hash_of(*other)) << name;
    r = ra;
  }
  EXPECT_GT(w->disk.written_blocks(), 0u);   // it was not all refused
  EXPECT_GT(w->ram.sent.size() + static_cast<std::size_t>(w->pin.rises), 0u);
}

}  // namespace

TEST(garbage, cannot_break_an_nvme_controller) { play<Nvme>("nvme"); }
TEST(garbage, cannot_break_an_ahci_adapter) { play<Ahci>("ahci"); }
