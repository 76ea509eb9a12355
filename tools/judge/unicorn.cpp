// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/unicorn.hpp"

#if VT_HAVE_UNICORN
#include <cstring>
#include <sys/mman.h>
#include <unicorn/unicorn.h>

#include <fmt/format.h>

namespace vt::judge {
namespace {

constexpr int kRegs[] = {UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8, UC_X86_REG_R9,
                         UC_X86_REG_R10, UC_X86_REG_R11, UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15, UC_X86_REG_RIP, UC_X86_REG_RFLAGS};
constexpr int kCount = 18;
constexpr u64 kRunsOfOne = 5000;  // after some hundred thousand, with code removed after each, Unicorn 2.0.1 follows links to code that is no more

bool canonical(u64 a) { return static_cast<u64>(static_cast<i64>(a << 16) >> 16) == a; }

}  // namespace

struct UnicornHooks {
  static void interrupt(uc_engine* uc, u32 number, void* who) {
    auto& u = *static_cast<Unicorn*>(who);
    u.seen_.vector = number, u.seen_.any = true;
    uc_emu_stop(uc);
  }
  static void code(uc_engine*, u64 address, u32, void* who) { static_cast<Unicorn*>(who)->seen_.at = address; }
  static bool memory(uc_engine*, uc_mem_type, u64 address, int size, i64, void* who) {
    auto& u = *static_cast<Unicorn*>(who);
    u.seen_.vector = canonical(address) && canonical(address + static_cast<u64>(size) - 1) ? 14 : 13, u.seen_.address = address, u.seen_.any = true;
    return false;
  }
};

std::string Unicorn::version() {
  unsigned major = 0, minor = 0;
  const unsigned all = uc_version(&major, &minor);
  return fmt::format("{}.{}.{}", major, minor, all >> 8 & 0xff);
}

Unicorn::Unicorn() {
  void* p = mmap(nullptr, kRegionSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) { missing_ = "no memory for Unicorn's region"; return; }
  memory_ = static_cast<u8*>(p);
  std::memset(memory_, 0xcc, kRegionSize);
  open();
}
Unicorn::~Unicorn() {
  close();
  if (memory_) munmap(memory_, kRegionSize);
}
void Unicorn::open() {
  auto need = [&](uc_err e, const char* what) {
    if (e != UC_ERR_OK && missing_.empty()) missing_ = fmt::format("Unicorn: {}: {}", what, uc_strerror(e));
    return missing_.empty();
  };
  if (!need(uc_open(UC_ARCH_X86, UC_MODE_64, &uc_), "open")) return;
  const auto area = [&](u64 address, u64 size, unsigned rights) { return need(uc_mem_map_ptr(uc_, address, size, rights, at(address)), "memory"); };
  if (!area(kCode, kCodeSize, UC_PROT_ALL) || !area(kData, kDataSize, UC_PROT_READ | UC_PROT_WRITE) || !area(kReadOnly, kReadOnlySize, UC_PROT_READ) ||
      !area(kStack, kStackSize, UC_PROT_READ | UC_PROT_WRITE)) return;
  uc_hook interrupts, accesses, instructions;
  // Without it, neither RIP nor the flags are brought up to date where an access faults.
  need(uc_hook_add(uc_, &instructions, UC_HOOK_CODE, reinterpret_cast<void*>(&UnicornHooks::code), this, 1, 0), "hook");
  need(uc_hook_add(uc_, &interrupts, UC_HOOK_INTR, reinterpret_cast<void*>(&UnicornHooks::interrupt), this, 1, 0), "hook");
  need(uc_hook_add(uc_, &accesses, UC_HOOK_MEM_INVALID, reinterpret_cast<void*>(&UnicornHooks::memory), this, 1, 0), "hook");
  need(uc_context_alloc(uc_, &fresh_), "context") && need(uc_context_save(uc_, fresh_), "context");
}
void Unicorn::close() {
  if (fresh_) uc_context_free(fresh_);
  if (uc_) uc_close(uc_);
  fresh_ = nullptr, uc_ = nullptr;
}

void Unicorn::code_written(u64 first, u64 bytes) { uc_ctl_remove_cache(uc_, first, first + bytes); }

bool Unicorn::run(const State& s, Outcome& o) {
  if (++runs_ % kRunsOfOne == 0) {
    close(), open();
    if (!missing_.empty()) return trouble_ = missing_, false;
  }
  u64 v[kCount];
  void* p[kCount];
  for (int n = 0; n < kCount; ++n) p[n] = &v[n];
  std::memcpy(v, s.r, sizeof s.r);
  v[16] = s.rip, v[17] = s.flags | 0x202;
  int regs[kCount];
  std::memcpy(regs, kRegs, sizeof regs);
  if (seen_.vector != 3) uc_context_restore(uc_, fresh_);  // it keeps that it was delivering an exception, and makes the next one a double fault
  uc_reg_write_batch(uc_, regs, p, kCount);
  seen_ = {}, trouble_.clear();
  const uc_err e = uc_emu_start(uc_, s.rip, 0, 0, 0);
  uc_reg_read_batch(uc_, regs, p, kCount);
  std::memcpy(o.s.r, v, sizeof s.r);
  o.s.rip = v[16], o.s.flags = v[17];
  o.error = 0, o.cr2 = seen_.address;
  if (e == UC_ERR_INSN_INVALID) o.vector = 6;
  else if (seen_.any) o.vector = seen_.vector;
  else {
    trouble_ = fmt::format("Unicorn stopped at {:x}: {}", v[16], uc_strerror(e));
    return false;
  }
  return true;
}

}  // namespace vt::judge
#else
namespace vt::judge {
Unicorn::Unicorn() : missing_("built without Unicorn (Debian's libunicorn-dev)") {}
Unicorn::~Unicorn() = default;
std::string Unicorn::version() { return "none"; }
bool Unicorn::run(const State&, Outcome&) { return false; }
void Unicorn::code_written(u64, u64) {}
}  // namespace vt::judge
#endif
