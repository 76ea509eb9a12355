// SPDX-License-Identifier: GPL-2.0-or-later
/// libFuzzer: a machine with every device, and accesses of any kind to its ports and registers, VT-d's among them, with anything in memory, while time goes
/// on. Each operation is a byte of what, a place and a value.
#include "emu/bus.hpp"
#include "firmware/image.hpp"
#include "fuzz_input.hpp"
#include "pci/config.hpp"
#include "prepare.hpp"
#include "typing.hpp"

using namespace vt;

namespace {

u64 value(Input& in) {
  const u8 b = in.byte();
  switch (b >> 5) {
    case 0: return b & 31;
    case 1: return u64{1} << (b & 31);
    case 2: return ~u64{0} << (b & 31);
    case 3: return u64{b & 31u} << 12 | in.byte();
    case 4: return u64{b & 31u} << 12 | 3;
    case 5: return in.bytes(2);
    case 6: return in.bytes(4);
    default: return in.bytes(8);
  }
}

/// jmp $ at 1 MiB.
fw::Image loop() {
  fw::Image image;
  image.blobs.push_back({Hpa{0x100000}, {0xeb, 0xfe}});
  image.entry.mode = fw::Entry::Mode::protected_flat32;
  image.entry.eip = 0x100000, image.entry.esp = 0x200000;
  return image;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
  static const fw::Platform platform = [] {
    cli::PlatformOptions o;
    o.memory = "16M";
    o.devices = {"nvme", "ahci", "virtio-net", "edu", "pci-testdev", "pc-testdev", "fw-cfg"};
    return cli::make_platform(o);
  }();
  cli::ConsoleTap tap;
  emu::Machine m(platform, tap);
  m.load({}, loop());
  cpu::Outside& bus = m;
  // Firmware has done its part: bus mastering, and what software would find.
  std::vector<std::pair<u64, u64>> places;
  for (auto& f : m.pci().functions()) f->config_write(4, 2, 7);
  for (auto& f : platform.pci) for (auto& b : f.bars) if (b.kind != fw::PciBar::Kind::io) places.emplace_back(b.address, b.size);
  for (auto& d : platform.drhds) places.emplace_back(d.address, 0x1000);
  places.emplace_back(platform.ioapic, 0x1000), places.emplace_back(platform.hpet_address, 0x400), places.emplace_back(0xa0000, 0x20000), places.emplace_back(platform.ecam, 0x100000);
  static constexpr u16 kPorts[] = {0x20, 0xa0, 0x40, 0x60, 0x64, 0x70, 0x3f8, 0x3c0, 0x3d4, 0x600, 0xcf8, 0xcfc, 0xe0, 0x510, 0x2000, 0x4d0};
  Input in{data, std::min<std::size_t>(size, 2048)};
  while (in.n && !m.stop().requested()) {
    const u8 op = in.byte();
    const unsigned bytes = 1u << (op >> 3 & 3);
    switch (op & 7) {
      case 0: case 1: {
        const auto [first, length] = places[in.byte() % places.size()];
        const u64 at = first + in.bytes(2) % length / bytes * bytes;
        if (op & 0x80) bus.mmio_read(Hpa{at}, bytes);
        else bus.mmio_write(Hpa{at}, bytes, value(in));
        break;
      }
      case 2: case 3: {
        const u16 port = static_cast<u16>(kPorts[in.byte() % std::size(kPorts)] + (op >> 5 & 3) * 2 + (op >> 7));
        if (op & 1) bus.port_read(port, std::min(bytes, 4u));
        else bus.port_write(port, std::min(bytes, 4u), value(in) & (bytes == 1 ? 0xff : bytes == 2 ? 0xffff : 0xffff'ffff));
        break;
      }
      case 4: case 5: {
        const u64 at = in.bytes(2) * 8, v = value(in);
        m.memory().write(Hpa{at}, &v, 8, WriteCause::loader);
        break;
      }
      case 6: m.run(m.steps() + 1 + in.byte() * 64u); break;
      case 7: {
        auto& all = m.pci().functions();
        auto& f = *all[in.byte() % all.size()];
        const u16 reg = static_cast<u16>(in.byte() & ~3u);
        if (op & 0x80) f.config_read(reg, 4);
        else f.config_write(reg, 4, static_cast<u32>(value(in)));
        break;
      }
    }
  }
  return 0;
}
