// SPDX-License-Identifier: GPL-2.0-or-later
// The devices that test kernels made for QEMU use, one check for each thing that such kernels ask of them. QEMU runs it as well.
// DEVICE isa-debug-exit,iobase=0xf4,iosize=4
// DEVICE pc-testdev
// DEVICE fw-cfg
// DEVICE edu
// DEVICE pci-testdev
// CPUS 2
// EXPECT vitrine 1
// EXPECT console "ok edu: the second copy"
#include "rt.hpp"

using namespace rt;

namespace {

u32 config(u32 bdf, u32 reg) { outl(0xcf8, 0x80000000 | bdf << 8 | reg); return inl(0xcfc); }
void set_config(u32 bdf, u32 reg, u32 v) { outl(0xcf8, 0x80000000 | bdf << 8 | reg); outl(0xcfc, v); }

/// Of bus 0; 0: none.
u32 find(u32 id) {
  for (u32 bdf = 1; bdf < 0x100; ++bdf) if (config(bdf, 0) == id) return bdf;
  return 0;
}

u8 irr_of_pic() { outb(0x20, 0x0a); return inb(0x20); }

// ---- pc-testdev ----
void pc_testdev() {
  outl(0xe0, 0x12345678);
  check_eq("pc-testdev: the echo, 4 bytes", inl(0xe0), 0x12345678);
  check_eq("pc-testdev: its third byte", inb(0xe2), 0x34);
  outb(0xe1, 0xab);
  check_eq("pc-testdev: after a byte", inl(0xe0), 0x1234ab78);
  outw(0xe2, 0xbeef);
  check_eq("pc-testdev: two bytes", inw(0xe2), 0xbeef);
  check_eq("pc-testdev: the same through the ports for bytes", inl(0xe8), 0xbeefab78);
  outl(0xe8, 0xcafe0102);
  check_eq("pc-testdev: and back", inl(0xe0), 0xcafe0102);
  static volatile u32 page[1024] __attribute__((aligned(4096)));
  page[3] = 77;
  outl(0xe4, u32(word(page)));
  check_eq("pc-testdev: a flushed page is what it was", page[3], 77);
  write32(0xff000000, 0x11223344);
  write64(0xff00fff8, 0x0102030405060708);
  check_eq("pc-testdev: memory at its begin", read32(0xff000000), 0x11223344);
  check_eq("pc-testdev: memory at its end", read64(0xff00fff8), 0x0102030405060708);
  check_eq("pc-testdev: a byte of it", read8(0xff00fffc), 4);
  outb(0x20, 0x11), outb(0x21, 0x20), outb(0x21, 4), outb(0x21, 1), outb(0x21, 0xff);
  outb(0x2005, 1);
  check_eq("pc-testdev: line 5 is up", irr_of_pic() & 0x20, 0x20);
  outb(0x2005, 0);
}

// ---- fw_cfg ----
void select(u16 key) { outw(0x510, key); }
u64 number(u16 key, u32 bytes) {
  u64 v = 0;
  select(key);
  for (u32 i = 0; i < bytes; ++i) v |= u64{inb(0x511)} << 8 * i;
  return v;
}
u32 big() { u32 v = 0; for (int i = 0; i < 4; ++i) v = v << 8 | inb(0x511); return v; }

void fw_cfg() {
  check_eq("fw_cfg: signature", number(0, 4), 0x554d4551);
  check_eq("fw_cfg: the traditional interface", number(1, 4) & 1, 1);
  check_eq("fw_cfg: processors", number(5, 2), 2);
  check_eq("fw_cfg: processors at most", number(0xf, 2), 2);
  check_eq("fw_cfg: memory", number(3, 8), 256 << 20);
  check_eq("fw_cfg: beyond the end of an item", (number(0, 4), inb(0x511)), 0);
  check_eq("fw_cfg: no such item", number(0x1234, 4), 0);
  select(0x19);
  const u32 files = big();
  check("fw_cfg: there are files", files >= 1);
  u32 size = 0, key = 0;
  for (u32 n = 0; n < files; ++n) {
    const u32 s = big(), k = big() >> 16;
    char name[56];
    for (auto& c : name) c = char(inb(0x511));
    const char* want = "etc/e820";
    u32 i = 0;
    while (want[i] && name[i] == want[i]) ++i;
    if (!want[i] && !name[i]) size = s, key = k;
  }
  check("fw_cfg: etc/e820 is one, of 20 bytes a range", size && size % 20 == 0);
  select(u16(key));
  u64 ram = 0;
  for (u32 n = 0; n < size / 20; ++n) {
    u64 v[3] = {};
    for (u32 i = 0; i < 20; ++i) v[i / 8] |= u64{inb(0x511)} << 8 * (i % 8);
    if (u32(v[2]) == 1) ram += v[1];
  }
  check("fw_cfg: most of the memory is in it", ram > 250 << 20 && ram <= 256 << 20);
}

// ---- edu ----
void wait_for(word at, u32 mask) {
  for (u32 n = 0; n < 400'000'000 && read32(at) & mask; ++n) asm volatile("pause");
}

void edu() {
  const u32 f = find(0x11e81234);
  check("edu: found", f != 0);
  if (!f) return;
  check_eq("edu: class and revision", config(f, 8), 0x00ff0010);
  set_config(f, 4, 6);
  const word r = config(f, 0x10) & ~15u;
  check_eq("edu: identification", read32(r), 0x010000ed);
  write32(r + 4, 0x0f0f1234);
  check_eq("edu: complement", read32(r + 4), 0xf0f0edcb);
  write32(r + 8, 10);
  wait_for(r + 0x20, 1);
  check_eq("edu: 10!", read32(r + 8), 3628800);
  write32(r + 8, 40);
  wait_for(r + 0x20, 1);
  check_eq("edu: 40! in 32 bits", read32(r + 8), 0);

  // Its pin.
  write32(r + 0x20, 0x80);
  write32(r + 8, 3);
  wait_for(r + 0x20, 1);
  for (u32 n = 0; n < 100'000'000 && !read32(r + 0x24); ++n) asm volatile("pause");
  check_eq("edu: interrupt status after a factorial", read32(r + 0x24), 1);
  check_eq("edu: the pin is up", config(f, 4) >> 19 & 1, 1);
  write32(r + 0x64, 1);
  check_eq("edu: acknowledged", read32(r + 0x24), 0);
  check_eq("edu: the pin is down", config(f, 4) >> 19 & 1, 0);
  write32(r + 0x20, 0);

  // MSI: the request stands in the local APIC, as interrupts are off.
  u32 at = config(f, 0x34) & 0xfc;
  while (at && (config(f, at) & 0xff) != 5) at = config(f, at) >> 8 & 0xfc;
  check("edu: has MSI with 64 bits", at && config(f, at) >> 23 & 1);
  wrmsr(0x1b, rdmsr(0x1b) | 0x800);
  write32(0xfee000f0, 0x1ff);
  set_config(f, at + 4, 0xfee00000), set_config(f, at + 8, 0), set_config(f, at + 12, 0x61);
  set_config(f, at, 1 << 16);
  write32(r + 0x60, 0x40);
  check_eq("edu: interrupt status as asked for", read32(r + 0x24), 0x40);
  check_eq("edu: its message has arrived", read32(0xfee00230) >> 1 & 1, 1);
  write32(r + 0x64, 0x40);
  set_config(f, at, 0);

  // DMA, into the buffer and out again.
  static volatile u32 from[64], to[64];
  for (u32 n = 0; n < 64; ++n) from[n] = n * 0x01010101;
  write64(r + 0x80, word(from)), write64(r + 0x88, 0x40000), write64(r + 0x90, sizeof from), write64(r + 0x98, 1);
  wait_for(r + 0x98, 1);
  write64(r + 0x80, 0x40000), write64(r + 0x88, word(to)), write64(r + 0x90, sizeof to), write64(r + 0x98, 3 | 4);
  check_eq("edu: no change while it runs", (write64(r + 0x90, 1), read64(r + 0x90)), sizeof to);
  wait_for(r + 0x98, 1);
  u32 wrong = 0;
  for (u32 n = 0; n < 64; ++n) wrong += to[n] != from[n];
  check_eq("edu: the copy", wrong, 0);
  check_eq("edu: interrupt status after DMA", read32(r + 0x24), 0x100);
  write32(r + 0x64, 0x100);
  write32(r + 0x80, 0x40004), write32(r + 0x88, u32(word(to))), write32(r + 0x90, 4), write32(r + 0x98, 3);
  wait_for(r + 0x98, 1);
  check_eq("edu: the second copy", to[0], from[1]);
}

// ---- pci-testdev ----
void pci_testdev() {
  const u32 f = find(0x00051b36);
  check("pci-testdev: found", f != 0);
  if (!f) return;
  set_config(f, 4, 3);
  const word m = config(f, 0x10) & ~15u;
  const u16 io = u16(config(f, 0x14) & ~3u);
  for (u8 kind = 0; kind < 3; ++kind) {
    write8(m, kind);
    check_eq("pci-testdev: test", read8(m), kind);
    check_eq("pci-testdev: width", read8(m + 1), 1);
    const u32 place = read32(m + 4);
    const u8 value = read8(m + 8);
    printf("mmio test %u: at %x, value %x\n", kind, place, value);
    check_eq("pci-testdev: its name", read8(m + 16), 'm');
    write8(m + place, value), write8(m + place, u8(value + 1)), write8(m + place, value);
    printf("mmio test %u: count %u\n", kind, read32(m + 12));
    check_eq("pci-testdev: count", read32(m + 12), kind ? 0 : 2);
    outb(io, kind);
    check_eq("pci-testdev: test by ports", inb(io), kind + 3);
    const u32 there = inl(u16(io + 4));
    const u8 v = inb(u16(io + 8));
    printf("port test %u: at %x, value %x\n", kind, there, v);
    outb(u16(io + there), v), outb(u16(io + there), u8(v + 1));
    printf("port test %u: count %u\n", kind, inl(u16(io + 12)));
    check_eq("pci-testdev: count by ports", inl(u16(io + 12)), kind ? 0 : 1);
  }
  write8(m, 3);
  check_eq("pci-testdev: no such test", read32(m + 4), 0);
}

}  // namespace

void rt_main() {
  pc_testdev();
  fw_cfg();
  edu();
  pci_testdev();
  outl(0xf4, failures());   // 4 bytes wide; rt::exit would write one
}
