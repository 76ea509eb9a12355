// SPDX-License-Identifier: GPL-2.0-or-later
// Microbenchmarks: what one is, the memory that they work on, and how one is measured. The same code stands in native.cpp, a program of Linux, and in
// micro.cpp, a guest without an operating system; nothing here needs a library. The rows themselves are in rows.hpp.
//
// Cycles of an operation are the difference between a longer and a shorter run by how many operations there are more, so what a measurement itself costs
// falls out.
#pragma once
#ifdef MICRO_GUEST
#include "rt.hpp"
#else
using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using i64 = long long;
#endif

namespace micro {

constexpr u64 kKiB = 1024, kMiB = 1024 * kKiB, kLine = 64, kPage = 4096;
constexpr u64 kArena = 256 * kMiB, kScratch = 2 * kMiB;
#ifdef MICRO_GUEST
constexpr u64 kFullChain = 262144;      // longer chains: only some of their lines, each visited once
constexpr u64 kRandomBytes = 32 * kKiB; // what random branches are taken from, before it comes again
constexpr bool kGuest = true;
#else
constexpr u64 kFullChain = ~u64{0};
constexpr u64 kRandomBytes = kMiB;
constexpr bool kGuest = false;
#endif
constexpr u64 kSample = 8192;

/// Where a row runs: `ept...`: inside a virtual machine whose EPT maps by 4 KiB or 2 MiB; `root`: needs VMX operation. A program of Linux has none of these.
enum class Place : u8 { anywhere, ept4k, ept2m, root };

struct Row {
  const char* name;                      // GROUP.WHAT
  void (*setup)(const Row&);             // may be null
  void (*run)(u64 n, const Row&);        // null in a program of Linux where `place` is not `anywhere`
  u32 ops;                               // operations of an iteration
  u32 n;                                 // iterations of the shorter measurement
  u32 warm;                              // iterations before any is measured
  u64 a = 1, b = 1;                      // what setup and run need: sizes, strides, periods
  bool large = false;                    // chains: in the window of 2 MiB pages, not in that of 4 KiB
  Place place = Place::anywhere;
};

/// Set by the program: two windows of kArena bytes, by 4 KiB and by 2 MiB pages (perhaps the same memory), and kScratch bytes that can be executed too.
struct Memory { u8 *small, *large, *scratch; };
inline Memory memory;
inline u64 cursor;                       // where the last run of a chain or a pattern has stopped

inline u64 tsc() {
  u32 lo, hi;
  asm volatile("lfence\n rdtsc\n lfence" : "=a"(lo), "=d"(hi) : : "memory");
  return lo | u64{hi} << 32;
}
inline u64 once(const Row& r, u64 n) {
  const u64 begin = tsc();
  r.run(n, r);
  return tsc() - begin;
}

// With -mgeneral-regs-only the compiler knows no vector registers, and has nothing in them.
#ifdef __SSE__
#define MICRO_XMM , "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8"
#else
#define MICRO_XMM
#endif

/// `body` stands `count` times in a loop of n. RDI and RSI: the scratch memory; RAX and RBX: the row's a and b; free: RCX, RDX, R8 to R11, XMM0 to XMM8.
#define MICRO_LOOP(prepare, count, body)                                                                             \
  [](u64 n, const Row& r) {                                                                                          \
    u64 di = u64(memory.scratch), si = di, a = r.a, b = r.b;                                                         \
    asm volatile(prepare "\n .p2align 6\n771:\n .rept " #count "\n" body "\n .endr\n dec %0\n jnz 771b"               \
                 : "+r"(n), "+D"(di), "+S"(si), "+a"(a), "+b"(b) : : "rcx", "rdx", "r8", "r9", "r10", "r11", "cc", "memory" MICRO_XMM); \
  }

// ---- chains of pointers ----
/// The next element of a full cycle through `count` of them, 2^i * 3^j (a linear congruence: Knuth, "The Linear Congruential Method").
inline u64 next_of(u64 i, u64 count) {
  const u64 x = i * (12 * 0x6f4a1d3ull + 1) + 0x3c6ef35full;
  return (count & (count - 1)) == 0 ? x & (count - 1) : x % count;
}
/// One line of each element; in elements of a page or more another line of each, so that they spread over the sets of L1 and L2 where memory is contiguous.
inline u64 place_of(u64 i, u64 stride) {
  const u64 within = stride > kPage ? i * (kPage + kLine) : stride == kPage ? (i + i / 32) * kLine : 0;
  return i * stride + (within & (stride - 1));
}
inline u64 elements(const Row& r) { return r.a / r.b; }
inline bool sampled(const Row& r) { return elements(r) > kFullChain; }

/// a: bytes, b: from one element to the next. In a guest a long chain is made of a sample of its elements, in the order in which they are visited, and
/// their lines leave the caches again: what a visit finds is what it would find in the whole chain, but building that would take too many instructions.
inline void setup_chain(const Row& r) {
  u8* const base = r.large ? memory.large : memory.small;
  const u64 count = elements(r), length = sampled(r) ? kSample : count;
  u64 i = 0;
  u8* at = base;
  for (u64 k = 1; k < length; ++k) {
    i = next_of(i, count);
    u8* const to = base + place_of(i, r.b);
    *reinterpret_cast<u8**>(at) = to;
    at = to;
  }
  *reinterpret_cast<u8**>(at) = base;
  i = 0;
  if (sampled(r))
    for (u64 k = 0; k < length; ++k, i = next_of(i, count)) asm volatile("clflush (%0)" : : "r"(base + place_of(i, r.b)) : "memory");
  cursor = u64(base);
}
inline void run_chain(u64 n, const Row&) {
  asm volatile(".p2align 6\n771:\n .rept 16\n mov (%1), %1\n .endr\n dec %0\n jnz 771b" : "+r"(n), "+r"(cursor) : : "cc", "memory");
}
/// Iterations that see every element once; a sampled chain is not walked before it is measured: 0. (Run none with n = 0: the loops count down from it.)
inline u64 warm_up(const Row& r) { return r.run == run_chain ? (sampled(r) ? 0 : elements(r) / 16 + 1) : r.warm; }

// ---- patterns: one byte for each turn ----
inline u64 draw(u64& s) { s ^= s << 13; s ^= s >> 7; s ^= s << 17; return s; }
inline u64 pattern_bytes(const Row& r) { return r.a == 0 ? kRandomBytes : r.a < 8 ? 8 : r.a; }
/// a: the period (0: none), b: how many values there are; in turn where the period is short or they are targets, else by chance.
inline void setup_pattern(const Row& r) {
  u64 s = 0x9e3779b97f4a7c15;
  const u64 size = pattern_bytes(r), period = r.a == 0 ? size : r.a;
  const bool in_turn = r.a != 0 && (period <= 4 || r.b > 2);
  for (u64 i = 0; i < period; ++i) memory.scratch[i] = u8(in_turn ? i % r.b : draw(s) >> 40 & (r.b - 1));
  for (u64 i = period; i < size; ++i) memory.scratch[i] = memory.scratch[i - period];
  cursor = 0;
}
inline void setup_same(const Row& r) {
  for (u64 i = 0; i < 8; ++i) memory.scratch[i] = u8(r.b);
  cursor = 0;
}
inline void run_branches(u64 n, const Row& r) {
  asm volatile(R"( .p2align 6
771: movzbl (%2,%1), %%eax
     add $1, %1
     and %3, %1
     test %%al, %%al
     jz 772f
     add %%rcx, %%rdx
772: dec %0
     jnz 771b)" : "+r"(n), "+r"(cursor) : "r"(memory.scratch), "r"(pattern_bytes(r) - 1) : "rax", "rcx", "rdx", "cc", "memory");
}
inline void run_indirect(u64 n, const Row& r) {
  asm volatile(R"( lea 774f(%%rip), %%rdx
     jmp 771f
     .p2align 6
774: .rept 16
     add %%rcx, %%r8
     jmp 773f
     .p2align 4
     .endr
     .p2align 6
771: movzbl (%2,%1), %%eax
     add $1, %1
     and %3, %1
     shl $4, %%eax
     add %%rdx, %%rax
     jmp *%%rax
773: dec %0
     jnz 771b)" : "+r"(n), "+r"(cursor) : "r"(memory.scratch), "r"(pattern_bytes(r) - 1) : "rax", "rcx", "rdx", "r8", "cc", "memory");
}

// ---- calls: a of them nested, 16 bytes from one to the next ----
inline void run_calls(u64 n, const Row& r) {
  asm volatile(R"( lea 774f(%%rip), %%rdx
     sub %1, %%rdx
     jmp 771f
     .p2align 6
     .rept 64
     .byte 0xe8, 11, 0, 0, 0
     ret
     .skip 10, 0x90
     .endr
774: ret
     .p2align 6
771: call *%%rdx
     dec %0
     jnz 771b)" : "+r"(n) : "r"((r.a - 1) * 16) : "rdx", "cc", "memory");
}

// ---- code: one jump in each of a/64 lines, to another one; the last returns ----
inline void setup_code(const Row& r) {
  const u64 count = r.a / kLine;
  u64 i = 0;
  for (u64 k = 0; k < count; ++k) {
    u8* const at = memory.scratch + i * kLine;
    const u64 to = next_of(i, count);
    at[0] = k + 1 == count ? 0xc3 : 0xe9;
    *reinterpret_cast<u32*>(at + 1) = u32((to - i) * kLine - 5);
    i = to;
  }
}
inline void run_code(u64 n, const Row&) {
  asm volatile("771: call *%1\n dec %0\n jnz 771b" : "+r"(n) : "r"(memory.scratch) : "cc", "memory");
}

#ifdef MICRO_GUEST
void run_round_trips(u64 n, const Row&);
void setup_exit_by_vmcall(const Row&);
void setup_exit_by_cpuid(const Row&);
void run_vmread(u64 n, const Row&);
void run_vmwrite(u64 n, const Row&);
void run_vmptrld(u64 n, const Row&);
void run_invept(u64 n, const Row&);
void run_invvpid(u64 n, const Row&);
void run_invlpg(u64 n, const Row&);
void run_cr3(u64 n, const Row&);
void run_rdmsr(u64 n, const Row&);
#define MICRO_PRIVILEGED(f) f
#else
#define MICRO_PRIVILEGED(f) nullptr
#endif

}  // namespace micro
