// SPDX-License-Identifier: GPL-2.0-or-later
/// Runs one x87, MMX or SSE instruction on the host and in the machine from the same state, for comparison. Operand
/// registers are free to choose; a memory operand is [rsi], 64 bytes aligned. SIMD exceptions of the host are caught.
#pragma once
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>


#include "harness.hpp"
#include "operands.hpp"

namespace vt::cpu {

struct alignas(64) FpuContext {
  u8 in[512] = {}, out[512] = {};
  u8 mem[64] = {};
  u64 rax = 0, rcx = 0, rdx = 0, flags = 0x202;
  u64 rdi = 0;
};

/// FXSAVE image by name.
struct FxImage {
  u16 fcw, fsw;
  u8 ftw, zero;
  u16 fop;
  u64 fip, fdp;
  u32 mxcsr, mxcsr_mask;
  struct { u64 m; u16 se; u16 pad[3]; } st[8];
  u64 xmm[16][2];
  u8 rest[96];
};
static_assert(sizeof(FxImage) == 512);

class NativeFpu {
 public:
  NativeFpu() {
    code_ = static_cast<u8*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    unsigned a, b, c = 0, d, vb = 0, vc, vd;
    __get_cpuid(1, &a, &b, &c, &d);
    __get_cpuid(0, &a, &vb, &vc, &vd);
    usable_ = code_ != MAP_FAILED && (c & bit_SSE4_2) && vb == signature_INTEL_ebx;
  }
  ~NativeFpu() { if (code_ != MAP_FAILED) munmap(code_, 4096); }
  bool usable() const { return usable_; }

  /// False: a SIMD floating-point exception; `context.out` then holds MXCSR only.
  bool run(const std::vector<u8>& insn, FpuContext& x) {
    std::vector<u8> c = {0x53, 0x48, 0x89, 0xfb,                          // push rbx; mov rbx, rdi
                         0x48, 0x0f, 0xae, 0x0b,                          // fxrstor64 [rbx]
                         0x48, 0x8b, 0x83, 0x40, 4, 0, 0,                 // mov rax, [rbx + 1088]
                         0x48, 0x8b, 0x8b, 0x48, 4, 0, 0,                 // mov rcx
                         0x48, 0x8b, 0x93, 0x50, 4, 0, 0,                 // mov rdx
                         0x48, 0x8b, 0xbb, 0x60, 4, 0, 0,                 // mov rdi
                         0x48, 0x8d, 0xb3, 0, 4, 0, 0,                    // lea rsi, [rbx + 1024]
                         0xff, 0xb3, 0x58, 4, 0, 0, 0x9d};                // push [rbx + 1112]; popfq
    c.insert(c.end(), insn.begin(), insn.end());
    for (u8 b : {0x9c, 0x8f, 0x83, 0x58, 4, 0, 0,                         // pushfq; pop [rbx + 1112]
                 0x48, 0x89, 0x83, 0x40, 4, 0, 0, 0x48, 0x89, 0x8b, 0x48, 4, 0, 0, 0x48, 0x89, 0x93, 0x50, 4, 0, 0,
                 0x48, 0x0f, 0xae, 0x83, 0, 2, 0, 0,                      // fxsave64 [rbx + 512]
                 0xdb, 0xe2, 0xdb, 0xe3, 0x5b, 0xc3})                     // fnclex; fninit; pop rbx; ret
      c.push_back(static_cast<u8>(b));
    std::memcpy(code_, c.data(), c.size());
    struct sigaction act = {}, old;
    act.sa_sigaction = caught;
    act.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGFPE, &act, &old);
    const u32 csr = __builtin_ia32_stmxcsr();
    const bool ok = !sigsetjmp(jump(), 1);
    if (ok) reinterpret_cast<void (*)(FpuContext*)>(code_)(&x);
    else { asm volatile("fnclex; fninit"); reinterpret_cast<FxImage*>(x.out)->mxcsr = trapped(); }
    __builtin_ia32_ldmxcsr(csr);
    sigaction(SIGFPE, &old, nullptr);
    return ok;
  }

 private:
  static sigjmp_buf& jump() { static sigjmp_buf b; return b; }
  static u32& trapped() { static u32 v; return v; }
  static void caught(int, siginfo_t*, void* u) {
    trapped() = static_cast<ucontext_t*>(u)->uc_mcontext.fpregs->mxcsr;
    siglongjmp(jump(), 1);
  }
  u8* code_;
  bool usable_;
};

class EmulatedFpu {
 public:
  TestMachine m;
  /// The exception's vector, or -1.
  int run(const std::vector<u8>& insn, FpuContext& x) {
    Cpu& c = *m.cpu;
    FxImage f;
    std::memcpy(&f, x.in, 512);
    c.fpu.cw = f.fcw, c.fpu.sw = f.fsw, c.fpu.tags = f.ftw, c.fpu.mxcsr = f.mxcsr;
    const unsigned top = f.fsw >> 11 & 7;
    for (unsigned n = 0; n < 8; ++n) c.fpu.st[(top + n) & 7] = {f.st[n].m, f.st[n].se};
    for (unsigned n = 0; n < 16; ++n) std::memcpy(c.fpu.ymm[n], f.xmm[n], 16);
    m.mem.write(Hpa{TestMachine::kData}, x.mem, 64, WriteCause::loader);
    c.r[0] = x.rax, c.r[1] = x.rcx, c.r[2] = x.rdx, c.r[6] = TestMachine::kData, c.r[7] = x.rdi;
    c.r[4] = TestMachine::kStack;
    c.set_rflags(x.flags & 0xcd5);  // without interrupts: there are none
    const int v = m.run(insn);
    f.fcw = c.fpu.cw, f.fsw = c.fpu.sw, f.ftw = c.fpu.tags, f.mxcsr = c.fpu.mxcsr;
    for (unsigned n = 0; n < 8; ++n) {
      const X87Reg& r = c.fpu.st[((c.fpu.sw >> 11 & 7) + n) & 7];
      f.st[n].m = r.m, f.st[n].se = r.se;
    }
    for (unsigned n = 0; n < 16; ++n) std::memcpy(f.xmm[n], c.fpu.ymm[n], 16);
    std::memcpy(x.out, &f, 512);
    m.mem.read(Hpa{TestMachine::kData}, x.mem, 64);
    x.rax = c.r[0], x.rcx = c.r[1], x.rdx = c.r[2], x.flags = c.rflags();
    return v;
  }
};

using judge::Operands;

}  // namespace vt::cpu
