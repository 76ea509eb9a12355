// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/host.hpp"

#if defined(__x86_64__) && defined(__linux__)
#include <asm/ldt.h>
#include <cpuid.h>
#include <csignal>
#include <cstring>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

namespace vt::judge {
extern "C" {
u16 vt_judge_fs = 0;           // the selector at the handler's begin
u64 vt_judge_fs_base = 0;      // the C library's
u8 vt_judge_gives_fs_back = 0;
}
namespace {

constexpr int kRegs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
constexpr int kSignals[] = {SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGPROF};
/// Offsets in the frame's XSAVE area, standard format: SDM 1 "XSAVE Area"; Linux's own fields from 464 on.
constexpr unsigned kMagic = 464, kStateSize = 480, kHeader = 512, kYmmHigh = 576;
constexpr u32 kMagicValue = 0x46505853;

const std::function<bool(State&)>* next_case;
const std::function<void(const Outcome&)>* case_done;
bool inside;
u64 entered, entered_at_tick;  // cases
ucontext_t caller;
std::vector<u8> caller_fpu;

template <class T> T get(const u8* p) { T v; std::memcpy(&v, p, sizeof v); return v; }
template <class T> void put(u8* p, T v) { std::memcpy(p, &v, sizeof v); }

/// DS, ES and GS, which a return from a signal leaves alone and 64-bit mode does not look at. (GS's base goes; FS is the C library's, to which
/// the handler gives it back.)
void load_segments(u16 ds, u16 es, u16 gs) { asm volatile("movw %0, %%ds; movw %1, %%es; movw %2, %%gs" ::"r"(ds), "r"(es), "r"(gs)); }
struct { u16 ds, es, gs; } callers_segments;

void load(ucontext_t& uc, const State& s) {
  auto* g = uc.uc_mcontext.gregs;
  load_segments(segment_of(s.code, cpu::DS).sel, segment_of(s.code, cpu::ES).sel, segment_of(s.code, cpu::GS).sel);
  g[REG_CSGSFS] = static_cast<greg_t>(segment_of(s.code, cpu::CS).sel | u64{segment_of(s.code, cpu::SS).sel} << 48);
  for (unsigned n = 0; n < 16; ++n) g[kRegs[n]] = static_cast<greg_t>(s.r[n]);
  g[REG_RIP] = static_cast<greg_t>(s.rip), g[REG_EFL] = static_cast<greg_t>(s.flags | 0x202);
  u8* f = reinterpret_cast<u8*>(uc.uc_mcontext.fpregs);
  put<u16>(f, s.cw), put<u16>(f + 2, s.sw), put<u16>(f + 4, s.tags), put<u32>(f + 24, s.mxcsr);
  put<u16>(f + 6, 0), put<u64>(f + 8, 0), put<u64>(f + 16, 0);
  for (unsigned n = 0; n < 8; ++n) put<u64>(f + 32 + 16 * n, s.st[n].m), put<u64>(f + 40 + 16 * n, s.st[n].se);
  for (unsigned n = 0; n < 16; ++n) std::memcpy(f + 160 + 16 * n, s.ymm[n], 16), std::memcpy(f + kYmmHigh + 16 * n, s.ymm[n] + 2, 16);
  put<u64>(f + kHeader, get<u64>(f + kHeader) | 7);
}
void harvest(const ucontext_t& uc, Outcome& o) {
  const auto* g = uc.uc_mcontext.gregs;
  asm volatile("movw %%ds, %0; movw %%es, %1; movw %%gs, %2" : "=m"(o.selectors[cpu::DS]), "=m"(o.selectors[cpu::ES]), "=m"(o.selectors[cpu::GS]));
  o.selectors[cpu::FS] = vt_judge_fs;
  o.selectors[cpu::CS] = static_cast<u16>(g[REG_CSGSFS]), o.selectors[cpu::SS] = static_cast<u16>(static_cast<u64>(g[REG_CSGSFS]) >> 48);
  for (unsigned n = 0; n < 16; ++n) o.s.r[n] = static_cast<u64>(g[kRegs[n]]);
  o.s.rip = static_cast<u64>(g[REG_RIP]), o.s.flags = static_cast<u64>(g[REG_EFL]);
  o.vector = static_cast<unsigned>(g[REG_TRAPNO]), o.error = static_cast<u64>(g[REG_ERR]), o.cr2 = static_cast<u64>(g[REG_CR2]);
  const u8* f = reinterpret_cast<const u8*>(uc.uc_mcontext.fpregs);
  o.s.cw = get<u16>(f), o.s.sw = get<u16>(f + 2), o.s.tags = f[4], o.s.mxcsr = get<u32>(f + 24);
  for (unsigned n = 0; n < 8; ++n) o.s.st[n] = {get<u64>(f + 32 + 16 * n), get<u16>(f + 40 + 16 * n)};
  const bool high = get<u64>(f + kHeader) & 4;
  for (unsigned n = 0; n < 16; ++n) {
    std::memcpy(o.s.ymm[n], f + 160 + 16 * n, 16);
    if (high) std::memcpy(o.s.ymm[n] + 2, f + kYmmHigh + 16 * n, 16);
    else o.s.ymm[n][2] = o.s.ymm[n][3] = 0;
  }
}

}  // namespace

extern "C" void vt_judge_handler(int number, siginfo_t*, void* context) {
  if (number == SIGPROF) {  // only while a case runs, as the others' handlers hold it off
    if (!inside) return;
    if (entered != entered_at_tick) {
      entered_at_tick = entered;
      asm volatile("movw %0, %%fs" ::"r"(vt_judge_fs));  // the case goes on
      return;
    }
  }
  auto& uc = *static_cast<ucontext_t*>(context);
  u8* f = reinterpret_cast<u8*>(uc.uc_mcontext.fpregs);
  if (!inside) {
    caller = uc;
    caller_fpu.assign(f, f + get<u32>(f + kStateSize));
    inside = true;
  } else {
    Outcome o;
    harvest(uc, o);
    if (number == SIGPROF) o.vector = kNoEnd;
    (*case_done)(o);
  }
  State s;
  if ((*next_case)(s)) return ++entered, load(uc, s);
  inside = false;
  load_segments(callers_segments.ds, callers_segments.es, callers_segments.gs);
  std::memcpy(uc.uc_mcontext.gregs, caller.uc_mcontext.gregs, sizeof caller.uc_mcontext.gregs);
  std::memcpy(f, caller_fpu.data(), caller_fpu.size());
}
// EFLAGS.AC and ID, and FS, are still the case's when a handler begins.
extern "C" void vt_judge_entry(int, siginfo_t*, void*);
asm(".text\n.globl vt_judge_entry\nvt_judge_entry:\n  pushfq\n  andq $-2359297, (%rsp)\n  popfq\n  movw %fs, vt_judge_fs(%rip)\n"
    "  cmpb $0, vt_judge_gives_fs_back(%rip)\n  je 1f\n  xorl %eax, %eax\n  movw %ax, %fs\n  movq vt_judge_fs_base(%rip), %rax\n  wrfsbase %rax\n1:  jmp vt_judge_handler\n");

Host::Host() : stack_(std::size_t{4} << 20) {
  unsigned a, b = 0, c = 0, d;
  __get_cpuid(1, &a, &b, &c, &d);
  if (!(c & bit_OSXSAVE) || !(c & bit_AVX)) { missing_ = "the host has no AVX"; return; }
  __get_cpuid_count(0xd, 2, &a, &b, &c, &d);
  if (b != kYmmHigh) { missing_ = "the host keeps AVX state elsewhere in its XSAVE area"; return; }
  __get_cpuid(0, &a, &b, &c, &d);
  if (b != signature_INTEL_ebx) { missing_ = "the host's processor is not Intel's, which the model follows where the manual leaves a choice"; return; }
  void* p = mmap(at(kRegion), kRegionSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (p != at(kRegion)) { missing_ = "no room for the judge's region of memory"; return; }
  const auto area = [&](u64 address, u64 size, int rights) {
    if (mprotect(at(address), size, PROT_READ | PROT_WRITE) != 0) missing_ = "memory cannot be made accessible";
    else std::memset(at(address), 0xcc, size);
    if (missing_.empty() && mprotect(at(address), size, rights) != 0) missing_ = "no executable memory here";
  };
  area(kCode, kCodeSize, PROT_READ | PROT_WRITE | PROT_EXEC);
  area(kData, kDataSize, PROT_READ | PROT_WRITE);
  area(kReadOnly, kReadOnlySize, PROT_READ);
  area(kStack, kStackSize, PROT_READ | PROT_WRITE);
  for (unsigned n = 0; n < kLocalSegments.size(); ++n) {
    const LocalSegment& l = kLocalSegments[n];
    user_desc d = {};
    d.entry_number = n, d.base_addr = l.base, d.limit = l.limit, d.seg_32bit = l.big, d.contents = l.code ? 2 : l.down ? 1 : 0, d.read_exec_only = !l.open, d.seg_not_present = !l.present;
    if (syscall(SYS_modify_ldt, 1, &d, sizeof d) != 0) missing_narrow_ = "the host's kernel gives programs no segments (modify_ldt)";
  }
  constexpr unsigned long kHasFsgsbase = 2;
  if (getauxval(AT_HWCAP2) & kHasFsgsbase) vt_judge_gives_fs_back = 1;
  else missing_segments_ = "the host's kernel lets programs not set the base of FS (FSGSBASE)";
}
Host::~Host() { munmap(at(kRegion), kRegionSize); }

bool Host::has_cpuid_bit(u32 leaf, u32 subleaf, unsigned reg, unsigned bit) const {
  unsigned v[4] = {};
  return __get_cpuid_count(leaf, subleaf, &v[0], &v[1], &v[2], &v[3]) && v[reg] >> bit & 1;
}

void Host::run(const std::function<bool(State&)>& next, const std::function<void(const Outcome&)>& done) {
  next_case = &next, case_done = &done;
  asm volatile("movw %%ds, %0; movw %%es, %1; movw %%gs, %2" : "=m"(callers_segments.ds), "=m"(callers_segments.es), "=m"(callers_segments.gs));
  stack_t alternate = {.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()}, old_stack;
  sigaltstack(&alternate, &old_stack);
  if (vt_judge_gives_fs_back) asm volatile("rdfsbase %0" : "=r"(vt_judge_fs_base));
  struct sigaction old[std::size(kSignals)], act = {};
  act.sa_sigaction = vt_judge_entry;
  act.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&act.sa_mask), sigaddset(&act.sa_mask, SIGPROF);
  for (std::size_t k = 0; k < std::size(kSignals); ++k) sigaction(kSignals[k], &act, &old[k]);
  const itimerval second = {{1, 0}, {1, 0}}, none = {};
  itimerval before;
  setitimer(ITIMER_PROF, &second, &before);
  asm volatile("pushfq; andq $-2097153, (%%rsp); popfq; int3" ::: "memory", "cc");  // without EFLAGS.ID, which returning from a signal keeps
  setitimer(ITIMER_PROF, &none, nullptr);
  for (std::size_t k = 0; k < std::size(kSignals); ++k) sigaction(kSignals[k], &old[k], nullptr);
  setitimer(ITIMER_PROF, &before, nullptr);
  sigaltstack(&old_stack, nullptr);
}

}  // namespace vt::judge
#else
namespace vt::judge {
Host::Host() : missing_("the host is not an x86-64 Linux") {}
Host::~Host() = default;
bool Host::has_cpuid_bit(u32, u32, unsigned, unsigned) const { return false; }
void Host::run(const std::function<bool(State&)>&, const std::function<void(const Outcome&)>&) {}
}  // namespace vt::judge
#endif
