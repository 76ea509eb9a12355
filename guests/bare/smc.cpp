// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP bochs keeps an instruction across two pages when the second page is mapped anew
// Code that changes code: in the block that runs, on another page, through an alias, by a string instruction, after it has run often.
// SDM 3A "Self-Modifying Code"
#include "rt.hpp"
using namespace rt;

namespace {
alignas(4096) u8 code[8192];
extern "C" u64 rt_pd[];
alignas(4096) u64 alias_table[512];
constexpr u64 kAlias = 0x40000000;
using Fn = u32 (*)();

void put_return(u8* at, u32 v) {  // mov eax, v; ret
  at[0] = 0xb8;
  copy(at + 1, &v, 4);
  at[5] = 0xc3;
}
u32 run(const u8* at) { return reinterpret_cast<Fn>(at)(); }
void serialize() { cpuid(0); }
}  // namespace

extern "C" void rt_main() {
  put_return(code, 1);
  serialize();
  check_eq("first", run(code), 1);
  for (u32 i = 0; i < 1000; ++i) run(code);
  put_return(code, 2);
  serialize();
  check_eq("changed after it ran often", run(code), 2);

  // an instruction that overwrites the next one but one of its own straight-line run
  u32 got;
  asm volatile(R"(
        movb    $0x33, 1f + 1(%%rip)
        jmp     1f
1:      mov     $0x11, %%al
        movzbl  %%al, %0)" : "=r"(got) : : "rax", "memory");
  check_eq("the block that runs, after a jump", got, 0x33);
  asm volatile(R"(
        movb    $0x44, 1f + 1(%%rip)
1:      mov     $0x11, %%al
        movzbl  %%al, %0)" : "=r"(got) : : "rax", "memory");
  check_eq("the very next instruction", got, 0x44);  // processors since the P6 see it

  // a loop that increments its own immediate
  asm volatile(R"(
        movl    $0, 2f + 1(%%rip)
        mov     $100, %%ecx
        xor     %%edx, %%edx
1:      incl    2f + 1(%%rip)
2:      mov     $0, %%eax
        add     %%eax, %%edx
        dec     %%ecx
        jnz     1b
        mov     %%edx, %0)" : "=r"(got) : : "rax", "rcx", "rdx", "memory");
  check_eq("a loop that changes itself", got, 5050);

  // through another linear address of the same page
  for (u32 i = 0; i < 512; ++i) alias_table[i] = (reinterpret_cast<u64>(code) + (i & 1) * 4096) | 3;
  rt_pd[kAlias >> 21] = reinterpret_cast<u64>(alias_table) | 3;
  set_cr3(cr3());
  put_return(code, 5);
  serialize();
  check_eq("before the alias", run(code), 5);
  put_return(reinterpret_cast<u8*>(kAlias), 6);
  serialize();
  check_eq("written through an alias", run(code), 6);
  put_return(code, 7);
  serialize();
  check_eq("run through an alias", run(reinterpret_cast<u8*>(kAlias)), 7);

  // an instruction across two pages, of which the second changes
  put_return(code + 4096 - 2, 0x01010101);
  serialize();
  check_eq("across pages", run(code + 4096 - 2), 0x01010101);
  code[4096] = 2;  // the second byte of the immediate
  serialize();
  check_eq("second page changed", run(code + 4096 - 2), 0x01010201);
  // and the mapping of the second page changes: alias pages 0, 1 are code, code+4096
  put_return(code + 4094, 0x0a0b0c0d);
  check_eq("across pages of an alias", run(reinterpret_cast<u8*>(kAlias + 4094)), 0x0a0b0c0d);
  alignas(4096) static u8 other[4096];
  other[0] = 0x55; other[1] = 0x66; other[2] = 0x77; other[3] = 0xc3;
  alias_table[1] = reinterpret_cast<u64>(other) | 3;
  invlpg(reinterpret_cast<void*>(kAlias + 4096));
  check_eq("second page mapped anew", run(reinterpret_cast<u8*>(kAlias + 4094)), 0x7766550d);

  // by a repeated string instruction, over many functions
  for (u32 i = 0; i < 64; ++i) put_return(code + 16 * i, i);
  serialize();
  u32 sum = 0;
  for (u32 i = 0; i < 64; ++i) sum += run(code + 16 * i);
  check_eq("64 functions", sum, 64 * 63 / 2);
  alignas(16) static u8 source[1024];
  for (u32 i = 0; i < 64; ++i) put_return(source + 16 * i, 1000 + i);
  const void* s = source;
  void* d = code;
  u64 n = sizeof source;
  asm volatile("rep movsb" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
  serialize();
  sum = 0;
  for (u32 i = 0; i < 64; ++i) sum += run(code + 16 * i);
  check_eq("64 functions replaced by REP MOVSB", sum, 64 * 1000 + 64 * 63 / 2);

  // REP STOSB that overwrites what follows it
  static const u8 stos[] = {0xf3, 0xaa, 0x0f, 0x0b, 0x0f, 0x0b, 0xc3};  // rep stosb; ud2; ud2; ret
  copy(code, stos, sizeof stos);
  serialize();
  d = code + 2;
  u64 left = 4;
  TRY("call *%2", : "+D"(d), "+c"(left) : "r"(code), "a"(0x90) : "memory");
  check_none("REP STOSB over what follows it");
  check("all of it", left == 0 && d == code + 6);

  // data beside code on one page: stores there must not cost correctness
  put_return(code, 0);
  sum = 0;
  for (u32 i = 0; i < 2000; ++i) {
    write32(reinterpret_cast<u64>(code) + 512 + (i & 63) * 4, i);
    if ((i & 255) == 0) { put_return(code, i); serialize(); }
    sum += run(code);
  }
  check_eq("stores beside code", sum, (0 + 256 + 512 + 768 + 1024 + 1280 + 1536) * 256 + 1792 * 208);
}
