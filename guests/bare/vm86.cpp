// SPDX-License-Identifier: GPL-2.0-or-later
// BUILD 32
// EXPECT exit 0
// SKIP qemu has no virtual-8086 mode extensions
// IOPL-sensitive instructions in virtual-8086 mode and at CPL 3, with and without CR4.VME and PVI, over all flags that matter, against the
// manual's rules.   SDM 3B "Virtual-8086 Mode", "Interrupt and Exception Handling in Virtual-8086 Mode", "Protected-Mode Virtual Interrupts";
// SDM 2 "CLI", "STI", "PUSHF", "POPF", "INT n", "IRET"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u32 TF = 0x100, IF = 0x200, DF = 0x400, IOPL = 0x3000, NT = 0x4000, RF = 0x10000, VM = 0x20000, AC = 0x40000, VIF = 0x80000, VIP = 0x100000, ID = 0x200000, CF = 1;
constexpr u32 kCode = 0x8000, kStack = 0x7000, kHandler = 0x9000;  // the program, its stack, what its vector table names

struct State { u32 vector, error, ip, cs, flags, sp, top; };
struct In { bool vme; u32 flags; bool redirect; u32 image; };
enum Kind { kCli, kSti, kPushf, kPushfd, kPopf, kPopfd, kInt, kInt3, kIret, kIretd, kIn };
struct Insn { const char* name; Kind kind; u8 bytes[2]; u32 n; };
const Insn kInsns[] = {{"CLI", kCli, {0xfa}, 1},         {"STI", kSti, {0xfb}, 1},         {"PUSHF", kPushf, {0x9c}, 1},  {"PUSHFD", kPushfd, {0x66, 0x9c}, 2},
                       {"POPF", kPopf, {0x9d}, 1},       {"POPFD", kPopfd, {0x66, 0x9d}, 2}, {"INT 21", kInt, {0xcd, 0x21}, 2}, {"INT3", kInt3, {0xcc}, 1},
                       {"IRET", kIret, {0xcf}, 1},       {"IRETD", kIretd, {0x66, 0xcf}, 2}, {"IN", kIn, {0xe4, 0x80}, 2}};

volatile u32 bottom;  // of memory; the compiler knows no object there
u32 read_top(u32 sp) { return read32(bottom + (sp & 0xffff)); }
/// Runs one instruction at 0800:0000 and the HLT behind it, whose #GP comes back.
State run(const Insn& i, const In& in) {
  for (u32 n = 0; n < i.n; ++n) write8(bottom + kCode + n, i.bytes[n]);
  write8(bottom + kCode + i.n, 0xf4);
  write8(bottom + kHandler, 0xf4);
  write32(bottom + 4 * 0x21, kHandler >> 4 << 16);
  rt_tss[104 + 0x21 / 8] = in.redirect ? 0xff & ~(1 << 0x21 % 8) : 0xff;
  for (u32 n = 0; n < 32; n += 4) write32(bottom + kStack - 16 + n, 0x5a5a5a5a);
  if (i.kind == kPopf || i.kind == kPopfd) write32(bottom + kStack, in.image);
  if (i.kind == kIret) write32(bottom + kStack, 0x09000000), write32(bottom + kStack + 4, in.image);
  if (i.kind == kIretd) write32(bottom + kStack, 0), write32(bottom + kStack + 4, 0x900), write32(bottom + kStack + 8, in.image);
  set_cr4(in.vme ? cr4() | 1 : cr4() & ~word{1});
  TRY("pushl $0; pushl $0; pushl $0; pushl $0; pushl $0; pushl %0; pushl %1; pushl $0x800; pushl $0; iret", : : "r"(kStack), "r"(in.flags | VM | 2) : "memory", "cc");
  return {u32(rt_fault.vector), u32(rt_fault.error), u32(rt_fault.ip), u32(rt_fault.cs) & 0xffff, u32(rt_fault.flags) & ~RF, u32(rt_fault.sp) & 0xffff, read_top(rt_fault.sp)};
}

/// What the manual says of it.
State expected(const Insn& i, const In& in) {
  const u32 flags = in.flags | VM | 2;
  const bool free = (flags & IOPL) == IOPL;
  State s{13, 0, i.n, 0x800, flags, kStack, read_top(kStack)};  // the HLT behind it
  State refused = s;
  refused.ip = 0;
  const u32 from16 = CF | 4 | 0x10 | 0x40 | 0x80 | 0x800 | TF | DF | NT, from32 = from16 | AC | ID;
  const auto load = [&](u32 image, u32 which) { s.flags = (s.flags & ~which) | (image & which); };
  const auto refuse_image = [&] { return !free && ((in.image & TF) || ((in.image & IF) && (flags & VIP))); };
  switch (i.kind) {
    case kCli: case kSti: {
      if (!free && !in.vme) return refused;
      if (i.kind == kSti && !free && (flags & VIP)) return refused;
      const u32 bit = free ? IF : VIF;
      s.flags = i.kind == kSti ? s.flags | bit : s.flags & ~bit;
      return s;
    }
    case kPushf:
      if (!free && !in.vme) return refused;
      s.sp -= 2;
      s.top = (free ? flags & 0xffff : (flags & 0xffff & ~IF) | IOPL | (flags & VIF ? IF : 0)) | 0x5a5a0000;
      return s;
    case kPushfd:
      if (!free) return refused;
      s.sp -= 4;
      s.top = flags & ~(VM | RF);
      return s;
    case kPopf:
      if (!free && (!in.vme || refuse_image())) return refused;
      load(in.image, from16 | (free ? IF : 0));
      if (!free) s.flags = in.image & IF ? s.flags | VIF : s.flags & ~VIF;
      s.sp += 2;
      s.top = read_top(s.sp);
      return s;
    case kPopfd:
      if (!free) return refused;
      load(in.image, from32 | IF);
      s.sp += 4;
      s.top = read_top(s.sp);
      return s;
    case kInt:
      if (in.vme && in.redirect) {
        s.cs = kHandler >> 4, s.ip = 0, s.sp -= 6;
        s.flags &= ~(TF | (free ? IF : VIF));
        s.top = 2 | 0x0800 << 16;
        return s;
      }
      if (!free) return refused;
      s.vector = 0x21;
      return s;
    case kInt3:
      s.vector = 3;  // not sensitive to IOPL
      return s;
    case kIret: case kIretd:
      if (!free && (!in.vme || i.kind == kIretd || refuse_image())) return refused;
      load(in.image, (i.kind == kIret ? from16 : from32) | (free ? IF : 0));
      if (!free) s.flags = in.image & IF ? s.flags | VIF : s.flags & ~VIF;
      s.cs = kHandler >> 4, s.ip = 0;
      s.sp += i.kind == kIret ? 6 : 12;
      s.top = read_top(s.sp);
      return s;
    case kIn: return refused;  // no port is allowed, whatever IOPL says
  }
  return s;
}

void tell(const char* what, const State& s) {
  printf("     %s: vector %u error %x %x:%x flags %x sp %x top %x\n", what, s.vector, s.error, s.cs, s.ip, s.flags, s.sp, s.top);
}
bool same(const State& a, const State& b) {
  return a.vector == b.vector && a.error == b.error && a.ip == b.ip && a.cs == b.cs && a.flags == b.flags && a.sp == b.sp && a.top == b.top;
}

void virtual_8086() {
  const u32 images[] = {0, IF, TF, IF | TF, 0x4cd5, 0x7000, IF | VIF | VIP | ID | AC, VM | RF | 0x802a};
  for (const Insn& i : kInsns) {
    u32 cases = 0, wrong = 0;
    for (u32 vme = 0; vme < 2; ++vme)
      for (u32 iopl = 0; iopl < 4; ++iopl)
        for (u32 f = 0; f < 32; ++f)
          for (u32 redirect = 0; redirect < (i.kind == kInt ? 2 : 1); ++redirect)
            for (u32 k = 0; k < (i.kind == kPopf || i.kind == kPopfd || i.kind == kIret || i.kind == kIretd ? sizeof images / sizeof *images : 1); ++k) {
              const In in{vme != 0, (f & 1 ? IF : 0) | (f & 2 ? VIF : 0) | (f & 4 ? VIP : 0) | (f & 8 ? AC : 0) | (f & 16 ? CF | NT : 0) | iopl << 12, redirect != 0, images[k]};
              if ((in.flags & VIP) && (in.flags & VIF) && vme) continue;  // the instruction before it would fault already
              const State got = run(i, in), want = expected(i, in);
              ++cases;
              if (!same(got, want) && wrong++ < 3) {
                printf("     %s, VME %u, flags %x, redirected %u, image %x\n", i.name, vme, in.flags, redirect, in.image);
                tell("got ", got), tell("want", want);
              }
            }
    check_eq(i.name, wrong, 0);
    check("  cases", cases > 200 || i.kind < kPopf || i.kind == kInt3 || i.kind == kIn);
  }
}

/// CLI and STI at CPL 3 with PVI.
struct User { u32 vector, ip, flags; };
extern "C" u8 user_code[];
User at_cpl3(u8 opcode, bool pvi, u32 flags) {
  user_code[0] = opcode, user_code[1] = 0xf4;
  set_cr4(pvi ? cr4() | 2 : cr4() & ~word{2});
  rt_fault.vector = kNone;
  call_user_at(reinterpret_cast<word>(user_code), kUser32, 0x6000, kUserData, flags | 2);
  return {u32(rt_fault.vector), u32(rt_fault.ip - reinterpret_cast<word>(user_code)), u32(rt_fault.flags) & ~RF};
}
void protected_virtual() {
  u32 wrong = 0;
  for (u8 opcode = 0xfa; opcode <= 0xfb; ++opcode)
    for (u32 pvi = 0; pvi < 2; ++pvi)
      for (u32 iopl = 0; iopl < 4; ++iopl)
        for (u32 f = 0; f < 8; ++f) {
          const u32 flags = 2 | (f & 1 ? IF : 0) | (f & 2 ? VIF : 0) | (f & 4 ? VIP : 0) | iopl << 12;
          if ((flags & VIP) && (flags & VIF)) continue;
          const bool sti = opcode == 0xfb;
          User want{13, 1, flags};
          if (iopl == 3) want.flags = sti ? flags | IF : flags & ~IF;
          else if (pvi && !(sti && (flags & VIP))) want.flags = sti ? flags | VIF : flags & ~VIF;
          else want.ip = 0;
          const User got = at_cpl3(opcode, pvi, flags);
          if ((got.vector != want.vector || got.ip != want.ip || got.flags != want.flags) && wrong++ < 4)
            printf("     opcode %x pvi %u flags %x: got %u +%u %x, want +%u %x\n", opcode, pvi, flags, got.vector, got.ip, got.flags, want.ip, want.flags);
        }
  check_eq("CLI and STI at CPL 3, PVI", wrong, 0);
}
}  // namespace
asm(".data\n.globl user_code\nuser_code: .skip 16\n.text\n");

extern "C" void rt_main() {
  for (u32 n = 0; n < 32; ++n) rt_tss[104 + n] = 0xff;
  write32(reinterpret_cast<word>(rt_tss) + 100, 136u << 16);
  u64& d = rt_gdt[kTss / 8];
  d = (d & ~u64{0xffff} & ~(u64{2} << 40)) | 140;
  asm volatile("ltr %w0" : : "r"(u32{kTss}));
  gate_dpl(0x21, 3);
  gate_dpl(3, 3);
  virtual_8086();
  protected_virtual();
}
