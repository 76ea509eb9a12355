// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// SKIP qemu models neither the x87 stack's faults nor unmasked exceptions of SSE
// x87, MMX, SSE to SSE4.2: basic arithmetic, FNINIT's state, FXSAVE, XSAVE, MXCSR, exceptions of both.
// SDM 1 "Programming with the x87 FPU", "Programming with SSE", "Managing State Using the XSAVE Feature Set"
#include "rt.hpp"
using namespace rt;

namespace {
alignas(64) u8 area[4096];
u16 at16(u32 o) { return u16(area[o] | area[o + 1] << 8); }
u32 at32(const u8* a, u32 o) { return read32(reinterpret_cast<u64>(a) + o); }
u64 at64(const u8* a, u32 o) { return read64(reinterpret_cast<u64>(a) + o); }

void x87() {
  u16 cw, sw;
  asm volatile("fninit; fnstcw %0; fnstsw %1" : "=m"(cw), "=m"(sw));
  check_eq("FNINIT: control word", cw, 0x37f);
  check_eq("FNINIT: status word", sw, 0);
  i32 r;
  static const i32 a = 355, b = 113, k = 1000;
  asm volatile("fildl %1; fidivl %2; fimull %3; fistpl %0" : "=m"(r) : "m"(a), "m"(b), "m"(k));
  check_eq("355 / 113 * 1000", u32(r), 3142);  // 3141.59 to nearest
  u64 d;
  asm volatile("fld1; fildl %1; fdivrp; fstpl %0" : "=m"(d) : "m"(b));
  check_eq("1 / 113", d, 0x3f821fb78121fb78);
  asm volatile("fldpi; fstpl %0" : "=m"(d));
  check_eq("FLDPI", d, 0x400921fb54442d18);
  static const u64 two = 0x4000000000000000;
  asm volatile("fldl %1; fsqrt; fstpl %0" : "=m"(d) : "m"(two));
  check_eq("FSQRT 2", d, 0x3ff6a09e667f3bcd);
  asm volatile("fld1; fldz; fucomip %%st(1), %%st; setb %0; fstp %%st(0)" : "=qm"(area[0]) : : "cc");
  check_eq("FUCOMIP 0 < 1", area[0], 1);
  asm volatile("fld1; fchs; fabs; fstpt %0" : "=m"(area));
  check("FSTP 80 bits", at64(area, 0) == 0x8000000000000000 && at16(8) == 0x3fff);
  // round to zero
  u16 rz = 0xf7f;
  asm volatile("fldcw %2; fildl %1; fidivl %3; fistpl %0; fninit" : "=m"(r) : "m"(a), "m"(rz), "m"(b));
  check_eq("round to zero", u32(r), 3);
  // stack: overflow and underflow set the flags
  asm volatile("fninit; fstp %%st(0); fnstsw %0; fninit" : "=m"(sw));
  check_eq("stack underflow: IE, SF, C1 = 0", sw & 0x241, 0x41);
  asm volatile("fninit; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fnstsw %0; fninit" : "=m"(sw));
  check_eq("stack overflow: IE, SF, C1 = 1", sw & 0x241, 0x241);
  // an unmasked exception waits for the next waiting instruction
  u16 zero_divide = 0x37b;
  asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp" : : "m"(zero_divide));
  TRY("fwait", : : : "memory");
  check_fault("#MF from FWAIT", 16, 0);
  asm volatile("fnstsw %0; fnclex; fninit" : "=m"(sw));
  check("ES and ZE", (sw & 0x84) == 0x84);
}

void mmx() {
  u64 v = 0;
  asm volatile("movq %1, %%mm0; paddb %1, %%mm0; movq %%mm0, %0; emms" : "=m"(v) : "m"(*(const u64*)"\x01\x02\x03\x04\x80\xff\x7f\x00"));
  check_eq("PADDB", v, 0x00fefe0008060402);
}

void fxsave() {
  asm volatile("fninit; fld1; fldpi");
  alignas(16) static const u64 x[2] = {0x1122334455667788, 0x99aabbccddeeff00};
  asm volatile("movdqa %0, %%xmm7" : : "m"(x));
  set(area, 0xcc, 512);
  asm volatile("fxsave %0" : "=m"(area) : : "memory");
  check_eq("FXSAVE: FCW", at16(0), 0x37f);
  check_eq("FXSAVE: TOP is 6", at16(2) >> 11 & 7, 6);
  check_eq("FXSAVE: abridged tags", area[4], 0xc0);
  check("FXSAVE: ST0 is pi", at64(area, 32) == 0xc90fdaa22168c235 && at16(40) == 0x4000);
  check("FXSAVE: ST1 is 1", at64(area, 48) == 0x8000000000000000 && at16(56) == 0x3fff);
  check("FXSAVE: XMM7", at64(area, 160 + 112) == x[0] && at64(area, 160 + 120) == x[1]);
  check_eq("FXSAVE: MXCSR", at32(area, 24), 0x1f80);
  check("FXSAVE: MXCSR_MASK", (at32(area, 28) & 0xffbf) == 0xffbf || at32(area, 28) == 0xffff);
  check_eq("FXSAVE leaves the end alone", area[511], 0xcc);
  asm volatile("fninit; pxor %xmm7, %xmm7");
  asm volatile("fxrstor %0" : : "m"(area) : "memory");
  u64 lo;
  asm volatile("movq %%xmm7, %0" : "=r"(lo));
  check_eq("FXRSTOR: XMM7", lo, x[0]);
  u64 d;
  asm volatile("fstpl %0; fninit" : "=m"(d));
  check_eq("FXRSTOR: ST0", d, 0x400921fb54442d18);
  TRY("fxsave 8(%0)", : : "r"(area) : "memory");
  check_fault("#GP FXSAVE unaligned", 13, 0);
  write32(reinterpret_cast<u64>(area) + 24, 0xffff0000);
  TRY("fxrstor (%0)", : : "r"(area) : "memory");
  check_fault("#GP FXRSTOR with reserved bits of MXCSR", 13, 0);
  u32 bad = 0xffff0000;
  TRY("ldmxcsr %0", : : "m"(bad) : "memory");
  check_fault("#GP LDMXCSR", 13, 0);
}

void sse() {
  static const u64 one = 0x3ff0000000000000, three = 0x4008000000000000;
  u64 d;
  asm volatile("movsd %1, %%xmm0; divsd %2, %%xmm0; movsd %%xmm0, %0" : "=m"(d) : "m"(one), "m"(three));
  check_eq("DIVSD 1/3", d, 0x3fd5555555555555);
  u32 rc = 0x1f80 | 0x4000;  // round up
  asm volatile("ldmxcsr %3; movsd %1, %%xmm0; divsd %2, %%xmm0; movsd %%xmm0, %0" : "=m"(d) : "m"(one), "m"(three), "m"(rc));
  check_eq("DIVSD rounded up", d, 0x3fd5555555555556);
  u32 m;
  asm volatile("stmxcsr %0" : "=m"(m));
  check_eq("PE in MXCSR", m & 0x3f, 0x20);
  u32 unmasked = 0x1f80 & ~(1u << 9);  // ZM
  asm volatile("ldmxcsr %0" : : "m"(unmasked));
  TRY("xorpd %%xmm1, %%xmm1; movsd %0, %%xmm0\n movq $1f, rt_try_ip\n1: divsd %%xmm1, %%xmm0", : : "m"(one) : "memory");
  check_fault("#UD SSE division by 0 without CR4.OSXMMEXCPT, or #XM", (cr4() & 0x400) != 0 ? 19 : 6, 0);
  u32 normal = 0x1f80;
  asm volatile("ldmxcsr %0" : : "m"(normal));
  i32 i;
  asm volatile("cvttsd2si %1, %0" : "=r"(i) : "m"(three));
  check_eq("CVTTSD2SI", u32(i), 3);
  asm volatile("cvtsi2sd %1, %%xmm0; sqrtsd %%xmm0, %%xmm0; movsd %%xmm0, %0" : "=m"(d) : "r"(2));
  check_eq("SQRTSD 2", d, 0x3ff6a09e667f3bcd);
  alignas(16) static const u32 v[4] = {0x00010002, 0x00030004, 0x00050006, 0x00070008};
  alignas(16) static u32 out[4];
  asm volatile("movdqa %1, %%xmm0; pmaddwd %1, %%xmm0; movdqa %%xmm0, %0" : "=m"(out) : "m"(v));
  check("PMADDWD", out[0] == 5 && out[3] == 49 + 64);
  asm volatile("movdqa %1, %%xmm0; pshufd $0x1b, %%xmm0, %%xmm1; movdqa %%xmm1, %0" : "=m"(out) : "m"(v));
  check("PSHUFD", out[0] == v[3] && out[3] == v[0]);
  if ((cpuid(1).c >> 9 & 1) != 0) {
    asm volatile("movdqa %1, %%xmm0; phaddd %%xmm0, %%xmm0; movdqa %%xmm0, %0" : "=m"(out) : "m"(v));
    check("PHADDD", out[0] == v[0] + v[1] && out[1] == v[2] + v[3]);
  }
  if ((cpuid(1).c >> 20 & 1) != 0) {
    u64 crc = 0xffffffff;
    asm volatile("crc32q %1, %0" : "+r"(crc) : "r"(u64{0x3736353433323130}));
    check_eq("CRC32", crc, 0x53dddcdfu);  // of "01234567", not inverted
    asm volatile("movdqa %1, %%xmm0; pcmpeqd %%xmm1, %%xmm1; ptest %%xmm0, %%xmm1; setc %0" : "=qm"(area[0]) : "m"(v) : "cc");
    check_eq("PTEST: nothing outside of all ones", area[0], 1);
    alignas(16) static const char text[] = "needle in a hay.", set_[] = "aeiou\0..........";
    u32 index;
    asm volatile("movdqa %1, %%xmm0; pcmpistri $0, %2, %%xmm0; mov %%ecx, %0" : "=r"(index) : "m"(set_), "m"(text) : "ecx", "cc");
    check_eq("PCMPISTRI: the first vowel", index, 1);
    u32 n;
    asm volatile("popcnt %1, %0" : "=r"(n) : "r"(0xf0f01234u) : "cc");
    check_eq("POPCNT", n, 13);
  }
}

void xsave() {
  if ((cpuid(1).c >> 26 & 1) == 0) { printf("no XSAVE\n"); return; }
  TRY("xgetbv", : : "c"(0) : "rax", "rdx", "memory");
  check_fault("#UD XGETBV without CR4.OSXSAVE", 6);
  set_cr4(cr4() | 0x40000);
  check("OSXSAVE in CPUID", (cpuid(1).c >> 27 & 1) == 1);
  u32 lo, hi;
  asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  check_eq("XCR0 after reset", lo, 1);
  TRY("xsetbv", : : "c"(0), "a"(2), "d"(0) : "memory");
  check_fault("#GP XCR0 without x87", 13, 0);
  TRY("xsetbv", : : "c"(0), "a"(5), "d"(0) : "memory");
  check_fault("#GP XCR0 with AVX but not SSE", 13, 0);
  TRY("xsetbv", : : "c"(1), "a"(3), "d"(0) : "memory");
  check_fault("#GP XCR1", 13, 0);
  asm volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
  check_eq("CPUID.D.0.EBX follows XCR0", cpuid(0xd, 0).b, 576);
  set(area, 0, sizeof area);
  alignas(16) static const u64 x[2] = {0xabcdef, 0x123456};
  asm volatile("fninit; fldpi; movdqa %0, %%xmm3" : : "m"(x));
  asm volatile("xsave (%0)" : : "r"(area), "a"(3), "d"(0) : "memory");
  check_eq("XSTATE_BV", at64(area, 512) & 3, 3);
  check_eq("XMM3", at64(area, 160 + 48), x[0]);
  asm volatile("fninit; pxor %xmm3, %xmm3");
  asm volatile("xrstor (%0)" : : "r"(area), "a"(2), "d"(0) : "memory");
  u64 v;
  asm volatile("movq %%xmm3, %0" : "=r"(v));
  check_eq("XRSTOR of SSE alone", v, x[0]);
  u16 sw;
  asm volatile("fnstsw %0" : "=m"(sw));
  check_eq("leaves x87 alone", sw >> 11 & 7, 0);
  write64(reinterpret_cast<u64>(area) + 512, 0);  // a component not in XSTATE_BV is initialised
  asm volatile("xrstor (%0)" : : "r"(area), "a"(3), "d"(0) : "memory");
  asm volatile("movq %%xmm3, %0" : "=r"(v));
  check_eq("XRSTOR initialises", v, 0);
  write64(reinterpret_cast<u64>(area) + 512, u64{1} << 40);
  TRY("xrstor (%0)", : : "r"(area), "a"(3), "d"(0) : "memory");
  check_fault("#GP XRSTOR of a component not in XCR0", 13, 0);
  write64(reinterpret_cast<u64>(area) + 512, 0);
  write64(reinterpret_cast<u64>(area) + 528, 1);
  TRY("xrstor (%0)", : : "r"(area), "a"(3), "d"(0) : "memory");
  check_fault("#GP XRSTOR with bytes 23:16 of the header", 13, 0);
  TRY("xsave 16(%0)", : : "r"(area), "a"(3), "d"(0) : "memory");
  check_fault("#GP XSAVE not aligned to 64", 13, 0);
  set_cr0(cr0() | 8);
  TRY("xsave (%0)", : : "r"(area), "a"(3), "d"(0) : "memory");
  check_fault("#NM XSAVE with CR0.TS", 7);
  asm volatile("clts");
}
}  // namespace

extern "C" void rt_main() {
  x87();
  mmx();
  fxsave();
  sse();
  xsave();
}
