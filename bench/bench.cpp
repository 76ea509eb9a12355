// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT console "bench done"
// ARGS quick
// The benchmark: small kernels of integer code, built from this one source for 32 and for 64 bits. Each checks its result.
// Words of the command line: names of kernels (none: all of them), xN (each N times over), quick (a small part of the work), none (no kernel).
// Output, one line per kernel:   bench NAME ok|WRONG tsc=N
#include "rt.hpp"

namespace {
constexpr u32 kFlags = 1 << 19;
alignas(4096) u8 flags[kFlags];
alignas(4096) u32 crc_table[256];
alignas(4096) u8 buffer_a[256 * 1024], buffer_b[256 * 1024];
alignas(4096) u8 real_pages[16 * 4096];                // what the aliases are aliases of
struct Node { Node* next; u32 value; u32 pad[14 - RT_64]; };
constexpr u32 kNodes = 1 << 16;
alignas(4096) Node nodes[kNodes];
u32 numbers[1 << 16];

u32 seed;
u32 random() { seed = seed * 1664525u + 1013904223u; return seed >> 8; }

[[gnu::noinline]] u32 sieve(u32 n) {
  u32 sum = 0;
  for (u32 pass = 0; pass < n; ++pass) {
    for (u32 i = 0; i < kFlags; ++i) flags[i] = 1;
    u32 count = 0, last = 0;
    for (u32 i = 2; i < kFlags; ++i) {
      if (flags[i] == 0) continue;
      ++count;
      last = i;
      for (u32 k = i + i; k < kFlags; k += i) flags[k] = 0;
    }
    sum = sum * 31 + count + last;
  }
  return sum;
}

[[gnu::noinline]] u32 crc(u32 n) {
  for (u32 i = 0; i < 256; ++i) {
    u32 c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    crc_table[i] = c;
  }
  seed = 1;
  for (auto& b : buffer_a) b = u8(random());
  u32 c = ~0u;
  for (u32 pass = 0; pass < n; ++pass)
    for (u8 b : buffer_a) c = crc_table[(c ^ b) & 0xff] ^ (c >> 8);
  return ~c;
}

void copy_words(volatile word* d, const volatile word* s, u32 words) {
  for (u32 i = 0; i < words; i += 4) { d[i] = s[i]; d[i + 1] = s[i + 1]; d[i + 2] = s[i + 2]; d[i + 3] = s[i + 3]; }
}
u32 sum_words(const u8* p, u32 bytes) {
  u32 sum = 0;
  for (u32 i = 0; i < bytes; i += 4) sum = (sum << 1 | sum >> 31) + *reinterpret_cast<const u32*>(p + i);
  return sum;
}

[[gnu::noinline]] u32 copy(u32 n) {
  seed = 2;
  for (auto& b : buffer_a) b = u8(random());
  for (u32 pass = 0; pass < n; ++pass) {
    copy_words(reinterpret_cast<word*>(buffer_b), reinterpret_cast<word*>(buffer_a), sizeof buffer_a / sizeof(word));
    copy_words(reinterpret_cast<word*>(buffer_a), reinterpret_cast<word*>(buffer_b + 4096), (sizeof buffer_a - 4096) / sizeof(word));
    buffer_a[random() % sizeof buffer_a] = u8(pass);
  }
  return sum_words(buffer_a, sizeof buffer_a) * 3 + sum_words(buffer_b, sizeof buffer_b);
}

// 64 pages of virtual addresses over 16 of memory: what is written through one is read through another.
constexpr word kWindow = 0x40000000;
constexpr u32 kAliases = 64;
#if RT_64
extern "C" u64 rt_pd[];
alignas(4096) u64 alias_table[512];
void map_window() {
  for (u32 i = 0; i < kAliases; ++i) alias_table[i] = (reinterpret_cast<word>(real_pages) + (i * 5 & 15) * 4096) | 3;
  rt_pd[kWindow >> 21] = reinterpret_cast<word>(alias_table) | 3;
  rt::set_cr3(rt::cr3());
}
#else
alignas(4096) u32 page_directory[1024];
alignas(4096) u32 alias_table[1024];
void map_window() {
  for (u32 i = 0; i < 1024; ++i) page_directory[i] = i << 22 | 0x83;
  for (u32 i = 0; i < kAliases; ++i) alias_table[i] = (reinterpret_cast<word>(real_pages) + (i * 5 & 15) * 4096) | 3;
  page_directory[kWindow >> 22] = reinterpret_cast<word>(alias_table) | 3;
  rt::set_cr4(rt::cr4() | 0x10);  // PSE
  rt::set_cr3(reinterpret_cast<word>(page_directory));
  rt::set_cr0(rt::cr0() | 0x80000000u);
}
#endif
[[gnu::noinline]] u32 alias(u32 n) {
  seed = 3;
  for (auto& b : real_pages) b = u8(random());
  u32 sum = 0;
  for (u32 pass = 0; pass < n; ++pass) {
    for (u32 p = 0; p < kAliases; ++p) {
      u32 q = (p * 11 + 7 + pass) & (kAliases - 1);
      copy_words(reinterpret_cast<volatile word*>(kWindow + p * 4096), reinterpret_cast<volatile word*>(kWindow + q * 4096 + 64), 4000 / sizeof(word));
      auto* at = reinterpret_cast<volatile u32*>(kWindow + p * 4096 + 4);
      *at = *at + p + pass;
      sum = sum * 3 + *reinterpret_cast<volatile u32*>(kWindow + ((p + 16) & (kAliases - 1)) * 4096 + 4);
    }
  }
  return sum ^ sum_words(real_pages, sizeof real_pages);
}

[[gnu::noinline]] u32 collatz(u32 n) {
  u32 sum = 0, longest = 0;
  for (u32 i = 1; i <= n; ++i) {
    u32 x = i, steps = 0;
    while (x != 1) { x = (x & 1) != 0 ? 3 * x + 1 : x >> 1; ++steps; }
    sum += steps;
    if (steps > longest) longest = steps;
  }
  return sum * 1000 + longest;
}

[[gnu::noinline, gnu::optimize("no-optimize-sibling-calls", "no-inline", "no-ipa-cp", "no-tree-tail-merge")]] u32 fib_of(u32 n) {
  return n < 2 ? n : fib_of(n - 1) + fib_of(n - 2);
}
[[gnu::noinline]] u32 fib(u32 n) {
  u32 sum = 0;
  for (u32 i = 0; i < n; ++i) sum = sum * 7 + fib_of(25);
  return sum;
}

[[gnu::noinline]] void quicksort(u32* a, i32 lo, i32 hi) {
  while (lo < hi) {
    u32 pivot = a[lo + (hi - lo) / 2];
    i32 i = lo, j = hi;
    while (i <= j) {
      while (a[i] < pivot) ++i;
      while (a[j] > pivot) --j;
      if (i <= j) { u32 t = a[i]; a[i] = a[j]; a[j] = t; ++i; --j; }
    }
    if (j - lo < hi - i) { quicksort(a, lo, j); lo = i; }
    else { quicksort(a, i, hi); hi = j; }
  }
}
[[gnu::noinline]] u32 sort(u32 n) {
  seed = 4;
  u32 sum = 0;
  constexpr u32 kCount = sizeof numbers / sizeof numbers[0];
  for (u32 pass = 0; pass < n; ++pass) {
    for (auto& v : numbers) v = random();
    quicksort(numbers, 0, kCount - 1);
    for (u32 i = 1; i < kCount; ++i) if (numbers[i - 1] > numbers[i]) return 0;
    sum = sum * 5 + numbers[kCount / 3];
  }
  return sum;
}

[[gnu::noinline]] u32 chase(u32 n) {
  seed = 5;
  for (u32 i = 0; i < kNodes; ++i) nodes[i].value = i;
  for (u32 i = kNodes - 1; i > 0; --i) {  // Sattolo: one cycle through all of them
    u32 j = u32(u64{random()} * i >> 24), t = nodes[i].value;
    nodes[i].value = nodes[j].value;
    nodes[j].value = t;
  }
  for (auto& node : nodes) node.next = &nodes[node.value];
  u32 sum = 0;
  const Node* at = &nodes[0];
  for (u32 i = 0; i < n * kNodes * 4; ++i) { sum = sum * 3 + at->value; at = at->next; }
  return sum;
}

// A loop over bytecode with one indirect jump per operation.
enum Op : u8 { kPush, kAdd, kXor, kRotate, kDup, kSwap, kLoad, kStore, kDecJump, kDrop, kMul, kHalt };
constexpr u8 kProgram[] = {
    kPush, 1, kStore, 0,                       // v0 = 1
    kLoad, 0, kPush, 37, kMul, kPush, 11, kAdd, kStore, 0,
    kLoad, 1, kLoad, 0, kXor, kRotate, 5, kDup, kPush, 99, kAdd, kSwap, kDrop, kStore, 1,
    kDecJump, 4, kLoad, 1, kHalt};
[[gnu::noinline]] u32 interpret(const u8* code, u32 count) {
  u32 stack[16] = {}, vars[4] = {}, sp = 0, pc = 0;
  for (;;) {
    switch (code[pc++]) {
      case kPush: stack[sp++ & 15] = code[pc++]; break;
      case kAdd: --sp; stack[(sp - 1) & 15] += stack[sp & 15]; break;
      case kXor: --sp; stack[(sp - 1) & 15] ^= stack[sp & 15]; break;
      case kMul: --sp; stack[(sp - 1) & 15] *= stack[sp & 15]; break;
      case kRotate: { u32& t = stack[(sp - 1) & 15]; u32 k = code[pc++]; t = t << k | t >> (32 - k); break; }
      case kDup: stack[sp & 15] = stack[(sp - 1) & 15]; ++sp; break;
      case kSwap: { u32 t = stack[(sp - 1) & 15]; stack[(sp - 1) & 15] = stack[(sp - 2) & 15]; stack[(sp - 2) & 15] = t; break; }
      case kDrop: --sp; break;
      case kLoad: stack[sp++ & 15] = vars[code[pc++] & 3]; break;
      case kStore: vars[code[pc++] & 3] = stack[--sp & 15]; break;
      case kDecJump: { u32 to = code[pc++]; if (--count != 0) pc = to; break; }
      case kHalt: return stack[(sp - 1) & 15];
    }
  }
}
[[gnu::noinline]] u32 bytecode(u32 n) { return interpret(kProgram, n * 1000); }

// Repeated string instructions: one instruction, many iterations, so they are counted apart.
[[gnu::noinline]] u32 strings(u32 n) {
  seed = 6;
  for (auto& b : buffer_a) b = u8(random());
  for (u32 pass = 0; pass < n; ++pass) {
    void *s = buffer_a, *d = buffer_b;
    word c = sizeof buffer_a / 4;
    asm volatile("rep movsl" : "+S"(s), "+D"(d), "+c"(c) : : "memory");
    s = buffer_b + 3; d = buffer_a; c = sizeof buffer_a - 3;
    asm volatile("rep movsb" : "+S"(s), "+D"(d), "+c"(c) : : "memory");
    d = buffer_b + 1024 * (pass & 63); c = 1024;
    asm volatile("rep stosb" : "+D"(d), "+c"(c) : "a"(pass) : "memory");
  }
  return sum_words(buffer_a, sizeof buffer_a) * 3 + sum_words(buffer_b, sizeof buffer_b);
}

struct Kernel { const char* name; u32 (*run)(u32); u32 n, want, quick_n, quick_want; };
constexpr Kernel kKernels[] = {
#include "expected.inc"
};
u32 times() {
  for (u32 i = 2; i <= 64; ++i) {
    char w[4] = {'x', char('0' + i), 0, 0};
    if (i >= 10) { w[1] = char('0' + i / 10); w[2] = char('0' + i % 10); }
    if (rt::has_word(w)) return i;
  }
  return 1;
}
}  // namespace

extern "C" void rt_main() {
  bool chosen = rt::has_word("none"), quick = rt::has_word("quick"), learn = rt::has_word("learn");
  u32 failed = 0, repeat = times();
  for (const auto& k : kKernels) chosen = chosen || rt::has_word(k.name);
  map_window();
  for (const auto& k : kKernels) {
    if (chosen && !rt::has_word(k.name)) continue;
    u64 begin = rt::rdtsc();
    bool ok = true;
    u32 got = 0;
    for (u32 i = 0; i < repeat; ++i) {
      got = k.run(quick ? k.quick_n : k.n);
      ok = ok && got == (quick ? k.quick_want : k.want);
    }
    u64 took = rt::rdtsc() - begin;
    failed += !ok;
    rt::printf("bench %s %s tsc=%llu\n", k.name, ok ? "ok" : "WRONG", took);
    if (learn) rt::printf("learn %s %s 0x%08x\n", k.name, quick ? "quick" : "full", got);
  }
  rt::printf("bench done, %u failed\n", failed);
  rt::exit(u8(failed));
}
