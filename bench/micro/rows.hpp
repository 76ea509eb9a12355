// SPDX-License-Identifier: GPL-2.0-or-later
// The microbenchmarks: a plain table. Names say GROUP.WHAT; bench/micro.py makes means by group, and anchors.json refers to them.
#pragma once
#include "kernels.hpp"

namespace micro {

// Dependent chains: each operation waits for the one before.
#define CHAIN(name, prepare, count, body, n) {"chain." name, nullptr, MICRO_LOOP(prepare, count, body), count, n, n}
// Loops that nothing but the machine's width limits: `per` operations in each body.
#define LOOP(name, prepare, count, per, body, n) {"loop." name, nullptr, MICRO_LOOP(prepare, count, body), (count) * (per), n, n}
#define EIGHT(op, from) op " " from ", %%rax\n" op " " from ", %%rcx\n" op " " from ", %%rdx\n" op " " from ", %%r8\n" \
                        op " " from ", %%r9\n" op " " from ", %%r10\n" op " " from ", %%r11\n" op " " from ", %%rsi\n"
#define EIGHT_XMM(op) op " %%xmm8, %%xmm0\n" op " %%xmm8, %%xmm1\n" op " %%xmm8, %%xmm2\n" op " %%xmm8, %%xmm3\n" \
                      op " %%xmm8, %%xmm4\n" op " %%xmm8, %%xmm5\n" op " %%xmm8, %%xmm6\n" op " %%xmm8, %%xmm7\n"
#define ONES "cvtsi2sd %%rbx, %%xmm0\n movapd %%xmm0, %%xmm1\n movapd %%xmm0, %%xmm2\n movapd %%xmm0, %%xmm3\n movapd %%xmm0, %%xmm4\n" \
             "movapd %%xmm0, %%xmm5\n movapd %%xmm0, %%xmm6\n movapd %%xmm0, %%xmm7\n movapd %%xmm0, %%xmm8\n"
#define OTHER(group, name, prepare, count, body, n) {group "." name, nullptr, MICRO_LOOP(prepare, count, body), count, n, n}
#define STRING(name, op, bytes, n) \
  {"string." name, nullptr, MICRO_LOOP("mov %%rdi, %%r9\n lea 0x18800(%%rdi), %%r8\n", 1, \
                                       "mov %%r8, %%rdi\n mov %%r9, %%rsi\n mov %%rbx, %%rcx\n rep " op), 1, n, n, 1, bytes}
// Chains of pointers through memory.
#define LINES(name, bytes, is_large) {name, setup_chain, run_chain, 16, 128, 0, bytes, kLine, is_large}
#define PAGES(name, bytes, stride, is_large, where) {name, setup_chain, run_chain, 16, 128, 0, bytes, stride, is_large, where}
#define BRANCH(name, period, n, warm) {"branch." name, setup_pattern, run_branches, 1, n, warm, period, 2}
#define JUMP(name, period, targets, n, warm) {"indirect." name, setup_pattern, run_indirect, 1, n, warm, period, targets}
#define CALLS(name, depth) {"calls." name, nullptr, run_calls, depth, 100, 20, depth}
#define CODE(name, bytes, n) {"code." name, setup_code, run_code, (bytes) / 64, n, 2, bytes}
#define ROOT(name, setup, run, ops, n) {name, MICRO_PRIVILEGED(setup), MICRO_PRIVILEGED(run), ops, n, 4, 1, 1, false, Place::root}
#define UNDER(ept, place)                                                          \
  PAGES(ept ".guest4k.64", 64 * kPage, kPage, false, place),                       \
  PAGES(ept ".guest4k.512", 512 * kPage, kPage, false, place),                     \
  PAGES(ept ".guest4k.4096", 4096 * kPage, kPage, false, place),                   \
  PAGES(ept ".guest4k.65536", 65536 * kPage, kPage, false, place),                 \
  PAGES(ept ".guest2m.64", 64 * kPage, kPage, true, place),                        \
  PAGES(ept ".guest2m.512", 512 * kPage, kPage, true, place),                      \
  PAGES(ept ".guest2m.4096", 4096 * kPage, kPage, true, place),                    \
  PAGES(ept ".guest2m.65536", 65536 * kPage, kPage, true, place)

constexpr Row kRows[] = {
  CHAIN("add", "", 100, "add %%rbx, %%rax", 20),       // one cycle: by this one core cycles are told
  CHAIN("add-constant", "", 100, "add $3, %%rax", 20),
  CHAIN("move", "", 100, "mov %%rax, %%rcx\n mov %%rcx, %%rax", 20),
  CHAIN("lea1", "", 100, "lea 8(%%rax), %%rax", 20),
  CHAIN("lea2", "", 100, "lea (%%rax,%%rbx), %%rax", 20),
  CHAIN("lea3", "", 100, "lea 8(%%rax,%%rbx), %%rax", 20),
  CHAIN("lea-scaled", "", 100, "lea (%%rbx,%%rax,4), %%rax", 20),
  CHAIN("lea3-scaled", "", 100, "lea 8(%%rbx,%%rax,4), %%rax", 20),
  CHAIN("shl", "", 100, "shl $3, %%rax", 20),
  CHAIN("shl-cl", "mov $3, %%ecx", 100, "shl %%cl, %%rax", 20),
  CHAIN("rol", "", 100, "rol $3, %%rax", 20),
  CHAIN("shld", "", 100, "shld $3, %%rbx, %%rax", 20),
  CHAIN("adc", "", 100, "adc %%rbx, %%rax", 20),
  CHAIN("cmov", "test %%rbx, %%rbx", 100, "cmovnz %%rax, %%rax", 20),
  CHAIN("bswap", "", 100, "bswap %%rax", 20),
  CHAIN("bswap32", "", 100, "bswap %%eax", 20),
  CHAIN("rcl", "", 100, "rcl $1, %%rax", 20),
  CHAIN("movzx", "", 100, "movzbl %%al, %%eax", 20),
  CHAIN("xchg", "", 100, "xchg %%rax, %%rcx", 20),
  CHAIN("imul", "", 100, "imul %%rbx, %%rax", 20),
  CHAIN("mul64", "", 100, "mul %%rbx", 20),
  CHAIN("popcnt", "", 100, "popcnt %%rax, %%rax", 20),
  CHAIN("bsf", "", 100, "bsf %%rax, %%rax\n or %%rbx, %%rax", 20),
  CHAIN("crc32", "", 100, "crc32q %%rbx, %%rax", 20),
  CHAIN("div32", "mov $0x12345678, %%r8d\n mov $0x6543, %%ebx", 50, "xor %%edx, %%edx\n div %%ebx\n or %%r8d, %%eax", 10),
  CHAIN("div64", "mov $0x123456789abcdef, %%r8\n mov $0x76543210, %%ebx", 50, "xor %%edx, %%edx\n div %%rbx\n or %%r8, %%rax", 10),
  CHAIN("addsd", ONES, 100, "addsd %%xmm8, %%xmm0", 20),
  CHAIN("mulsd", ONES, 100, "mulsd %%xmm8, %%xmm0", 20),
  CHAIN("divsd", ONES "mov $3, %%ecx\n cvtsi2sd %%rcx, %%xmm0\n", 50, "divsd %%xmm8, %%xmm0", 10),
  CHAIN("divsd-inexact", ONES
        "mov $3, %%ecx\n cvtsi2sd %%rcx, %%xmm8\n divsd %%xmm8, %%xmm0\n movapd %%xmm0, %%xmm8", 50, "divsd %%xmm8, %%xmm0\n mulsd %%xmm8, %%xmm0", 10),
  CHAIN("sqrtsd", ONES "mov $3, %%ecx\n cvtsi2sd %%rcx, %%xmm0\n", 50, "sqrtsd %%xmm0, %%xmm0", 10),
  CHAIN("cvt", "", 50, "cvtsi2sd %%rax, %%xmm0\n cvttsd2si %%xmm0, %%rax", 20),
  CHAIN("movq", "", 50, "movq %%rax, %%xmm0\n movq %%xmm0, %%rax", 20),
  CHAIN("paddd", ONES, 100, "paddd %%xmm8, %%xmm0", 20),
  CHAIN("pmulld", ONES, 100, "pmulld %%xmm8, %%xmm0", 20),
  CHAIN("pshufd", ONES, 100, "pshufd $0x1b, %%xmm0, %%xmm0", 20),
  CHAIN("fadd", "fninit\n fld1\n fld1", 100, "fadd %%st(1), %%st", 20),
  CHAIN("load", "mov %%rdi, (%%rdi)", 100, "mov (%%rdi), %%rdi", 20),
  CHAIN("load-indexed", "mov %%rdi, (%%rdi)\n xor %%ecx, %%ecx", 100, "mov (%%rdi,%%rcx), %%rdi", 20),
  CHAIN("add-from-memory", "movq $0, (%%rdi)", 100, "add (%%rdi), %%rax", 20),
  CHAIN("add-to-memory", "", 100, "add %%rbx, (%%rdi)", 20),
  CHAIN("add-to-memory-constant", "", 100, "addq $1, (%%rdi)", 20),
  CHAIN("push-pop", "", 100, "push %%rax\n pop %%rax", 20),

  LOOP("add", "", 12, 8, EIGHT("add", "%%rbx"), 20),
  LOOP("move", "", 12, 8, EIGHT("mov", "%%rbx"), 20),
  LOOP("zero", "", 12, 8, "xor %%eax, %%eax\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n xor %%r8d, %%r8d\n"
       "xor %%r9d, %%r9d\n xor %%r10d, %%r10d\n xor %%r11d, %%r11d\n xor %%esi, %%esi", 20),
  LOOP("nop", "", 100, 1, "nop", 20),
  LOOP("lea2", "", 12, 8, EIGHT("lea", "(%%rdi,%%rbx)"), 20),
  LOOP("shl", "", 12, 8, EIGHT("shl", "$3"), 20),
  LOOP("imul", "", 12, 8, EIGHT("imul", "%%rbx"), 20),
  LOOP("popcnt", "", 12, 8, EIGHT("popcnt", "%%rbx"), 20),
  LOOP("load", "", 12, 8, "mov (%%rdi), %%rax\n mov 8(%%rdi), %%rcx\n mov 16(%%rdi), %%rdx\n mov 24(%%rdi), %%r8\n"
       "mov 32(%%rdi), %%r9\n mov 40(%%rdi), %%r10\n mov 48(%%rdi), %%r11\n mov 56(%%rdi), %%rsi", 20),
  LOOP("store", "", 12, 8, "mov %%rax, (%%rdi)\n mov %%rax, 8(%%rdi)\n mov %%rax, 16(%%rdi)\n mov %%rax, 24(%%rdi)\n"
       "mov %%rax, 32(%%rdi)\n mov %%rax, 40(%%rdi)\n mov %%rax, 48(%%rdi)\n mov %%rax, 56(%%rdi)", 20),
  LOOP("store-lines", "", 12, 8, "mov %%rax, (%%rdi)\n mov %%rax, 64(%%rdi)\n mov %%rax, 128(%%rdi)\n mov %%rax, 192(%%rdi)\n"
       "mov %%rax, 256(%%rdi)\n mov %%rax, 320(%%rdi)\n mov %%rax, 384(%%rdi)\n mov %%rax, 448(%%rdi)", 20),
  LOOP("mixed", "", 12, 8, "mov (%%rdi), %%rax\n add %%rbx, %%rcx\n mov %%rcx, 64(%%rdi)\n add %%rbx, %%rdx\n"
       "mov 8(%%rdi), %%r8\n add %%rbx, %%r9\n mov %%r9, 72(%%rdi)\n add %%rbx, %%r10", 20),
  LOOP("copy", "", 12, 8, "mov (%%rdi), %%rax\n mov %%rax, 1024(%%rdi)\n mov 8(%%rdi), %%rcx\n mov %%rcx, 1032(%%rdi)\n"
       "mov 16(%%rdi), %%rdx\n mov %%rdx, 1040(%%rdi)\n mov 24(%%rdi), %%r8\n mov %%r8, 1048(%%rdi)", 20),
  LOOP("addsd", ONES, 12, 8, EIGHT_XMM("addsd"), 20),
  LOOP("mulsd", ONES, 12, 8, EIGHT_XMM("mulsd"), 20),
  LOOP("divsd", ONES, 6, 8, EIGHT_XMM("divsd"), 10),
  LOOP("paddd", ONES, 12, 8, EIGHT_XMM("paddd"), 20),
  LOOP("pand", ONES, 12, 8, EIGHT_XMM("pand"), 20),
  LOOP("pshufb", ONES, 12, 8, EIGHT_XMM("pshufb"), 20),
  LOOP("movaps-load", "", 12, 8, "movaps (%%rdi), %%xmm0\n movaps 16(%%rdi), %%xmm1\n movaps 32(%%rdi), %%xmm2\n movaps 48(%%rdi), %%xmm3\n"
       "movaps 64(%%rdi), %%xmm4\n movaps 80(%%rdi), %%xmm5\n movaps 96(%%rdi), %%xmm6\n movaps 112(%%rdi), %%xmm7", 20),
  LOOP("push-pop", "", 48, 1, "push %%rax\n pop %%rcx", 20),
  LOOP("not-taken", "test %%rbx, %%rbx", 50, 1, "jz 771b\n .byte 0x66, 0x90", 20),
  LOOP("compare-and-branch", "", 50, 1, "cmp %%rax, %%rdi\n jz 771b", 20),
  LOOP("taken", "", 50, 1, "jmp 774f\n .p2align 4\n774:", 20),

  {"branch.taken", setup_same, run_branches, 1, 1024, 256, 1, 0},
  {"branch.not-taken", setup_same, run_branches, 1, 1024, 256, 1, 1},
  BRANCH("period2", 2, 1024, 1024), BRANCH("period4", 4, 1024, 1024), BRANCH("period8", 8, 1024, 2048), BRANCH("period16", 16, 1024, 2048),
  BRANCH("period32", 32, 1024, 2048), BRANCH("period64", 64, 1024, 4096), BRANCH("period128", 128, 1024, 8192), BRANCH("period256", 256, 1024, 16384),
  BRANCH("period512", 512, 1024, 16384), BRANCH("period1024", 1024, 1024, 32768), BRANCH("period4096", 4096, 4096, 65536), BRANCH("random", 0, 8192, 4096),
  JUMP("one", 4, 1, 1024, 512), JUMP("two", 2, 2, 1024, 1024), JUMP("four", 4, 4, 1024, 2048), JUMP("eight", 8, 8, 1024, 4096), JUMP("sixteen", 16, 16, 1024, 4096),
  JUMP("random2", 0, 2, 4096, 4096), JUMP("random16", 0, 16, 4096, 4096),
  CALLS("depth1", 1), CALLS("depth4", 4), CALLS("depth8", 8), CALLS("depth12", 12), CALLS("depth16", 16), CALLS("depth20", 20), CALLS("depth24", 24),
  CALLS("depth32", 32), CALLS("depth48", 48), CALLS("depth64", 64),
  CODE("16K", 16 * kKiB, 4), CODE("24K", 24 * kKiB, 4), CODE("32K", 32 * kKiB, 2), CODE("48K", 48 * kKiB, 2), CODE("64K", 64 * kKiB, 2), CODE("128K", 128 * kKiB, 1),
  CODE("256K", 256 * kKiB, 1), CODE("512K", 512 * kKiB, 1), CODE("1M", kMiB, 1),

  OTHER("forward", "same", "", 50, "mov %%rax, (%%rdi)\n mov (%%rdi), %%rax", 20),
  OTHER("forward", "other-register", "", 50, "mov %%rax, (%%rdi)\n mov (%%rsi), %%rax", 20),
  OTHER("forward", "narrower", "", 50, "mov %%rax, (%%rdi)\n mov (%%rsi), %%eax", 20),
  OTHER("forward", "inner-byte", "", 50, "mov %%rax, (%%rdi)\n movzbl 3(%%rsi), %%eax", 20),
  OTHER("forward", "wider", "", 20, "mov %%eax, (%%rdi)\n mov (%%rsi), %%rax", 20),
  OTHER("forward", "across-two", "", 20, "mov %%eax, (%%rdi)\n mov %%eax, 4(%%rdi)\n mov (%%rsi), %%rax", 20),
  OTHER("forward", "vector", "", 50, "movaps %%xmm0, (%%rdi)\n movaps (%%rsi), %%xmm0", 20),
  OTHER("forward", "two-lines", "", 50, "mov %%rax, 60(%%rdi)\n mov 60(%%rsi), %%rax", 20),
  OTHER("split", "load-line", "movq $0, 60(%%rdi)", 50, "mov 60(%%rdi), %%rax", 20),
  OTHER("split", "load-page", "movq $0, 4092(%%rdi)", 50, "mov 4092(%%rdi), %%rax", 20),
  OTHER("split", "store-line", "", 50, "mov %%rax, 60(%%rdi)", 20),

  OTHER("lock", "add", "", 20, "lock add %%rbx, (%%rdi)", 20),
  OTHER("lock", "xadd", "", 20, "lock xadd %%rax, (%%rdi)", 20),
  OTHER("lock", "xchg", "", 20, "xchg %%rax, (%%rdi)", 20),
  OTHER("lock", "cmpxchg", "mov (%%rdi), %%rax\n mov %%rax, %%rcx", 20, "lock cmpxchg %%rcx, (%%rdi)", 20),
  OTHER("lock", "cmpxchg-unlocked", "mov (%%rdi), %%rax\n mov %%rax, %%rcx", 20, "cmpxchg %%rcx, (%%rdi)", 20),
  OTHER("serial", "lfence", "", 20, "lfence", 20),
  OTHER("serial", "mfence", "", 20, "mfence", 20),
  OTHER("serial", "sfence", "", 20, "sfence", 20),
  OTHER("serial", "store-mfence", "", 20, "mov %%rax, (%%rdi)\n mfence", 20),
  OTHER("serial", "pause", "", 20, "pause", 10),
  OTHER("serial", "rdtsc", "", 20, "rdtsc", 20),
  OTHER("serial", "cpuid", "", 1, "xor %%eax, %%eax\n xor %%ecx, %%ecx\n mov %%rbx, %%r8\n cpuid\n mov %%r8, %%rbx", 8),

  STRING("movsb.64", "movsb", 64, 16), STRING("movsb.256", "movsb", 256, 16), STRING("movsb.1K", "movsb", kKiB, 8), STRING("movsb.4K", "movsb", 4 * kKiB, 4),
  STRING("movsb.16K", "movsb", 16 * kKiB, 2), STRING("movsb.64K", "movsb", 64 * kKiB, 1),
  STRING("stosb.64", "stosb", 64, 16), STRING("stosb.256", "stosb", 256, 16), STRING("stosb.1K", "stosb", kKiB, 8), STRING("stosb.4K", "stosb", 4 * kKiB, 4),
  STRING("stosb.16K", "stosb", 16 * kKiB, 2), STRING("stosb.64K", "stosb", 64 * kKiB, 1),

  LINES("lines4k.4K", 4 * kKiB, false), LINES("lines4k.16K", 16 * kKiB, false), LINES("lines4k.32K", 32 * kKiB, false), LINES("lines4k.48K", 48 * kKiB, false),
  LINES("lines4k.64K", 64 * kKiB, false), LINES("lines4k.96K", 96 * kKiB, false), LINES("lines4k.128K", 128 * kKiB, false), LINES("lines4k.256K", 256 * kKiB, false),
  LINES("lines4k.384K", 384 * kKiB, false), LINES("lines4k.512K", 512 * kKiB, false), LINES("lines4k.1M", kMiB, false), LINES("lines4k.2M", 2 * kMiB, false),
  LINES("lines4k.4M", 4 * kMiB, false), LINES("lines4k.8M", 8 * kMiB, false), LINES("lines4k.16M", 16 * kMiB, false), LINES("lines4k.32M", 32 * kMiB, false),
  LINES("lines4k.64M", 64 * kMiB, false), LINES("lines4k.128M", 128 * kMiB, false), LINES("lines4k.256M", 256 * kMiB, false),
  LINES("lines2m.48K", 48 * kKiB, true), LINES("lines2m.384K", 384 * kKiB, true), LINES("lines2m.1M", kMiB, true), LINES("lines2m.2M", 2 * kMiB, true),
  LINES("lines2m.4M", 4 * kMiB, true), LINES("lines2m.64M", 64 * kMiB, true),
  LINES("lines2m.256M", 256 * kMiB, true),
  PAGES("pages4k.16", 16 * kPage, kPage, false, Place::anywhere), PAGES("pages4k.32", 32 * kPage, kPage, false, Place::anywhere),
  PAGES("pages4k.64", 64 * kPage, kPage, false, Place::anywhere), PAGES("pages4k.96", 96 * kPage, kPage, false, Place::anywhere),
  PAGES("pages4k.128", 128 * kPage, kPage, false, Place::anywhere), PAGES("pages4k.256", 256 * kPage, kPage, false, Place::anywhere),
  PAGES("pages4k.512", 512 * kPage, kPage, false, Place::anywhere), PAGES("pages4k.1024", 1024 * kPage, kPage, false, Place::anywhere),
  PAGES("pages4k.1536", 1536 * kPage, kPage, false, Place::anywhere), PAGES("pages4k.2048", 2048 * kPage, kPage, false, Place::anywhere),
  PAGES("pages4k.3072", 3072 * kPage, kPage, false, Place::anywhere), PAGES("pages4k.4096", 4096 * kPage, kPage, false, Place::anywhere),
  PAGES("pages4k.16384", 16384 * kPage, kPage, false, Place::anywhere), PAGES("pages4k.65536", 65536 * kPage, kPage, false, Place::anywhere),
  PAGES("pages2m.16", 32 * kMiB, 2 * kMiB, true, Place::anywhere), PAGES("pages2m.32", 64 * kMiB, 2 * kMiB, true, Place::anywhere),
  PAGES("pages2m.64", 128 * kMiB, 2 * kMiB, true, Place::anywhere), PAGES("pages2m.96", 192 * kMiB, 2 * kMiB, true, Place::anywhere),
  PAGES("pages2m.128", 256 * kMiB, 2 * kMiB, true, Place::anywhere),

  UNDER("ept4k", Place::ept4k),
  UNDER("ept2m", Place::ept2m),
  ROOT("vmx.vmcall", setup_exit_by_vmcall, run_round_trips, 1, 32),
  ROOT("vmx.cpuid", setup_exit_by_cpuid, run_round_trips, 1, 32),
  ROOT("vmx.vmread", nullptr, run_vmread, 20, 8),
  ROOT("vmx.vmwrite", nullptr, run_vmwrite, 20, 8),
  ROOT("vmx.vmptrld", nullptr, run_vmptrld, 2, 16),
  ROOT("vmx.invept", nullptr, run_invept, 1, 16),
  ROOT("vmx.invvpid", nullptr, run_invvpid, 1, 16),
  ROOT("kernel.invlpg", nullptr, run_invlpg, 1, 16),
  ROOT("kernel.cr3", nullptr, run_cr3, 1, 16),
  ROOT("kernel.rdmsr", nullptr, run_rdmsr, 4, 16),
};
#undef CHAIN
#undef LOOP
#undef EIGHT
#undef EIGHT_XMM
#undef ONES
#undef OTHER
#undef STRING
#undef LINES
#undef PAGES
#undef BRANCH
#undef JUMP
#undef CALLS
#undef CODE
#undef ROOT
#undef UNDER

}  // namespace micro
