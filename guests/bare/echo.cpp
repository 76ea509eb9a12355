// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// EXPECT console "ready"
// SKIP qemu waits twenty seconds for somebody to type
// SKIP bochs waits twenty seconds for somebody to type
// Waits in HLT and echoes what is typed, by interrupts: characters as they come, '.' for a count of ticks, 'q' ends. Nobody types: it ends after
// twenty seconds.
#include "rt.hpp"
using namespace rt;

namespace {
volatile u32 ticks, quit;
}

extern "C" void rt_main() {
  outb(0x20, 0x11); outb(0x21, 0x20); outb(0x21, 4); outb(0x21, 1);
  outb(0xa0, 0x11); outb(0xa1, 0x28); outb(0xa1, 2); outb(0xa1, 1);
  outb(0x21, 0xee); outb(0xa1, 0xff);                    // the 8254 and COM1
  on_trap(0x20, [](Frame&) { ticks = ticks + 1; outb(0x20, 0x20); });
  on_trap(0x24, [](Frame&) {
    while (inb(0x3fd) & 1) {
      const u8 c = inb(0x3f8);
      if (c == 'q') quit = 1;
      else if (c == '.') printf("<%u>", u32(ticks));
      else if (c == '\r') printf("\r\n");
      else if (c < 32) printf("^%c", c + 64);
      else putc(char(c));
    }
    outb(0x20, 0x20);
  });
  outb(0x3f9, 1); outb(0x3fc, 0x0b);                     // received data, OUT2
  outb(0x43, 0x34); outb(0x40, 0x9c); outb(0x40, 0x2e);  // mode 2, 11932: 100 Hz
  printf("ready\n");
  while (!quit && ticks < 2000) asm volatile("sti; hlt; cli");
  printf("\nbye\n");
}
