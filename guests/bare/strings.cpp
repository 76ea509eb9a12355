// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// String instructions: overlap, direction, address size, counts, comparison, and where a fault leaves the registers.
// SDM 2B "REP/REPE/REPZ/REPNE/REPNZ"
#include "rt.hpp"
using namespace rt;

namespace {
extern "C" u64 rt_pd[];
alignas(4096) u64 table[512];
alignas(4096) u8 pages[2][4096];
alignas(16) u8 a[256], b[256];
constexpr u64 kWin = 0x40000000;  // two pages, then a hole
u64 addr(const void* p) { return reinterpret_cast<u64>(p); }
struct Regs { u64 si, di, cx, ax, flags; };

#define STRING(name, insn, pre)                                                                                      \
  Regs name(Regs r) {                                                                                                \
    asm volatile(pre insn "; cld; pushfq; pop %4" : "+S"(r.si), "+D"(r.di), "+c"(r.cx), "+a"(r.ax), "=r"(r.flags) : : "memory", "cc"); \
    return r;                                                                                                        \
  }
STRING(movsb, "rep movsb", "")
STRING(movsb_down, "rep movsb", "std; ")
STRING(movsq, "rep movsq", "")
STRING(movsq_down, "rep movsq", "std; ")
STRING(movsw_once, "movsw", "")
STRING(stosl, "rep stosl", "")
STRING(stosb_down, "rep stosb", "std; ")
STRING(lodsw, "rep lodsw", "")
STRING(movsb_a32, "addr32 rep movsb", "")
Regs cmpsb(Regs r) { asm volatile("repe cmpsb; pushfq; pop %4" : "+S"(r.si), "+D"(r.di), "+c"(r.cx), "+a"(r.ax), "=r"(r.flags) : : "memory", "cc"); return r; }
Regs scasb(Regs r) { asm volatile("repne scasb; pushfq; pop %4" : "+S"(r.si), "+D"(r.di), "+c"(r.cx), "+a"(r.ax), "=r"(r.flags) : : "memory", "cc"); return r; }

void fill() { for (u32 i = 0; i < 256; ++i) { a[i] = u8(i); b[i] = 0; } }

void basics() {
  fill();
  Regs r = movsb({addr(a), addr(b), 256, 0, 0});
  bool same = true;
  for (u32 i = 0; i < 256; ++i) same = same && b[i] == u8(i);
  check("REP MOVSB", same && r.cx == 0 && r.si == addr(a) + 256 && r.di == addr(b) + 256);
  fill();
  movsb({addr(a), addr(a) + 1, 100, 0, 0});  // each byte is read after the one before has been written
  same = true;
  for (u32 i = 0; i <= 100; ++i) same = same && a[i] == 0;
  check("overlap by one repeats the byte", same && a[101] == 101);
  fill();
  movsb({addr(a), addr(a) + 3, 60, 0, 0});
  same = true;
  for (u32 i = 0; i < 63; ++i) same = same && a[i] == i % 3;
  check("overlap by three repeats the three", same && a[63] == 63);
  fill();
  movsq({addr(a), addr(a) + 4, 8, 0, 0});
  for (u32 i = 0; i < 256; ++i) b[i] = u8(i);
  for (u32 i = 0; i < 8; ++i) write64(addr(b) + 4 + 8 * i, read64(addr(b) + 8 * i));
  same = true;
  for (u32 i = 0; i < 256; ++i) same = same && a[i] == b[i];
  check("MOVSQ overlap by four", same);
  fill();
  r = movsb_down({addr(a) + 99, addr(a) + 109, 100, 0, 0});
  same = true;
  for (u32 i = 0; i < 100; ++i) same = same && a[10 + i] == i;
  check("downwards", same && r.si == addr(a) - 1 && r.di == addr(a) + 9);
  fill();
  r = movsq_down({addr(a) + 64, addr(b) + 64, 4, 0, 0});
  check("MOVSQ downwards", r.si == addr(a) + 32 && read64(addr(b) + 40) == read64(addr(a) + 40) && b[39] == 0 && b[71] == 71);
  r = movsb({addr(a), addr(b), 0, 0, 0});
  check("count 0", r.si == addr(a) && r.di == addr(b));
  r = movsw_once({addr(a), addr(b), 7, 0, 0});
  check("without a prefix", r.si == addr(a) + 2 && r.cx == 7);
  fill();
  r = stosl({0, addr(b), 10, 0x11223344, 0});
  check("REP STOSL", r.di == addr(b) + 40 && read32(addr(b) + 36) == 0x11223344 && b[40] == 0);
  r = stosb_down({0, addr(b) + 200, 5, 0xee, 0});
  check("STOSB downwards", b[200] == 0xee && b[196] == 0xee && b[195] == 0 && r.di == addr(b) + 195);
  r = lodsw({addr(a), 0, 3, 0, 0});
  check("REP LODSW", (r.ax & 0xffff) == 0x0504 && r.si == addr(a) + 6);
  fill();
  r = movsb_a32({addr(a) | u64{0x7777} << 32, addr(b) | u64{0x5555} << 32, 16 | u64{1} << 32, 0, 0});
  check("32-bit addresses: the high halves go", b[15] == 15 && b[16] == 0 && r.si == addr(a) + 16 && r.di == addr(b) + 16 && r.cx == 0);
  r = movsb_a32({addr(a) | u64{0x7777} << 32, addr(b) | u64{0x5555} << 32, u64{1} << 32, 0, 0});
  check("32-bit count 0", r.cx == 0 || r.cx == u64{1} << 32);
}

void compare() {
  fill();
  movsb({addr(a), addr(b), 256, 0, 0});
  b[77] = 200;
  Regs r = cmpsb({addr(a), addr(b), 256, 0, 0});
  check("REPE CMPSB stops", r.cx == 256 - 78 && r.si == addr(a) + 78 && (r.flags & 0x40) == 0);
  check_eq("flags of the last comparison (77 - 200)", r.flags & 0x8d5, 0x881);
  r = cmpsb({addr(a), addr(b), 77, 0, 0});
  check("REPE CMPSB to the end", r.cx == 0 && (r.flags & 0x40) != 0);
  r = scasb({0, addr(a), 256, 0x42, 0});
  check("REPNE SCASB finds", r.cx == 256 - 0x43 && r.di == addr(a) + 0x43 && (r.flags & 0x40) != 0);
  a[0x42] = 0;
  r = scasb({0, addr(a), 256, 0x42, 0});
  check("REPNE SCASB does not", r.cx == 0 && (r.flags & 0x40) == 0);
  u64 flags;
  asm volatile("xor %%eax, %%eax; stc; mov $0, %%ecx; repe cmpsb; pushfq; pop %0" : "=r"(flags) : "S"(a), "D"(b) : "rax", "rcx", "memory", "cc");
  check("count 0 leaves the flags", (flags & 1) == 1);
}

void faults() {
  table[0] = addr(pages[0]) | 3;
  table[1] = addr(pages[1]) | 3;
  table[2] = 0;
  rt_pd[kWin >> 21] = addr(table) | 3;
  set_cr3(cr3());
  set(pages, 0, sizeof pages);
  // stores that run into the hole: registers stand at the iteration that faulted, and the ones before it are done
  TRY("rep stosb", : : "D"(kWin + 8192 - 10), "c"(64), "a"(0x5a) : "memory");
  check("#PF in REP STOSB", faulted(14, 2) && rt_fault.cr2 == kWin + 8192 && rt_fault.ip == rt_try_ip);
  check("RDI and RCX of that iteration", rt_fault.di == kWin + 8192 && rt_fault.cx == 54);
  check("what came before is written", pages[1][4095] == 0x5a && pages[1][4086] == 0x5a && pages[1][4085] == 0);
  TRY("rep movsq", : : "S"(kWin + 8192 - 20), "D"(addr(a)), "c"(10) : "memory");
  check("#PF reading across the end", faulted(14, 0) && rt_fault.cr2 == kWin + 8192);
  check("two of ten moved", rt_fault.cx == 8 && rt_fault.si == kWin + 8192 - 4 && rt_fault.di == addr(a) + 16);
  TRY("rep movsl", : : "S"(addr(a)), "D"(kWin + 8192 - 8), "c"(10) : "memory");
  check("#PF writing", faulted(14, 2) && rt_fault.cx == 8 && rt_fault.si == addr(a) + 8 && rt_fault.di == kWin + 8192);
  set(pages, 0, sizeof pages);
  pages[1][4094] = 9;
  TRY("repe cmpsb", : : "S"(kWin + 8192 - 3), "D"(kWin + 4096 - 3), "c"(10) : "memory", "cc");
  check_none("REPE CMPSB that differs before the hole");
  set(pages, 0, sizeof pages);
  TRY("repe cmpsb", : : "S"(kWin + 8192 - 3), "D"(kWin + 4096 - 3), "c"(10) : "memory", "cc");
  check("#PF in REPE CMPSB", faulted(14, 0) && rt_fault.cx == 7 && rt_fault.si == kWin + 8192 && rt_fault.di == kWin + 4096);
  // the fault is mended and the instruction goes on where it stood
  on_trap(14, [](Frame& f) { static u32 n; ++n; table[2] = addr(pages[0]) | 3; if (n > 3) rt::exit(99); (void)f; });
  set(pages[0], 0, 4096);
  u64 d = kWin + 8192 - 10, n = 64;
  asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(0x33) : "memory");
  on_trap(14, nullptr);
  check("restarted", n == 0 && d == kWin + 8192 + 54 && pages[0][53] == 0x33 && pages[0][54] == 0);
  // a copy that crosses pages which are aliases of one page
  table[1] = addr(pages[0]) | 3;
  set_cr3(cr3());
  for (u32 i = 0; i < 4096; ++i) pages[0][i] = u8(i * 7);
  movsb({kWin, kWin + 4096 + 1, 4095, 0, 0});  // really an overlap by one
  bool same = true;
  for (u32 i = 0; i < 4096; ++i) same = same && pages[0][i] == 0;
  check("overlap through an alias", same);
}

void segments() {
  wrmsr(0xc0000100, addr(a));  // FS base
  fill();
  u64 s = 0, d = addr(b), n = 16;
  asm volatile("rep movsb %%fs:(%%rsi), (%%rdi)" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
  check("source with FS", b[15] == 15 && s == 16);
  static u16 port_data[4] = {0x1111, 0x2222, 0x3333, 0x4444};
  u64 src = addr(port_data), count = 4;
  asm volatile("rep outsw" : "+S"(src), "+c"(count) : "d"(0x80) : "memory");
  check("REP OUTSW", count == 0 && src == addr(port_data) + 8);
}
}  // namespace

extern "C" void rt_main() {
  basics();
  compare();
  faults();
  segments();
}
