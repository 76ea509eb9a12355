// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// EXPECT console "hello from long mode"
// EXPECT console "words: one two"
// ARGS one two
// The smallest 64-bit guest: console, command line, exit.
#include "rt.hpp"
using namespace rt;
extern "C" void rt_main() {
  printf("hello from long mode\n");
  check("cs", [] { u16 v; asm("mov %%cs, %0" : "=r"(v)); return v; }() == kCode64);
  check_eq("efer", rdmsr(0xc0000080) & 0x500, 0x500);  // LME, LMA
  check("words", has_word("one") && has_word("two") && !has_word("three") && !has_word("tw"));
  printf("words: one two\n");
  check("memory", mem_upper_kib() >= 64 * 1024);
}
