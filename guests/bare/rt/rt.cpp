// SPDX-License-Identifier: GPL-2.0-or-later
#include "rt.hpp"

extern "C" {
extern u32 rt_boot_magic, rt_boot_info;
extern u8 rt_trap_entries[];
void rt_call_user_at(word ip, word cs, word sp, word ss, word flags);
void rt_user_back();
[[noreturn]] void rt_resume32(rt::Frame* f);
word rt_user_return_sp;
[[noreturn]] void rt_start();
void rt_trap(rt::Frame* f);
void* memcpy(void* d, const void* s, __SIZE_TYPE__ n) { rt::copy(d, s, n); return d; }
void* memset(void* d, int v, __SIZE_TYPE__ n) { rt::set(d, u8(v), n); return d; }
}

namespace rt {
extern "C" {
volatile Fault rt_fault;
volatile word rt_resume_ip, rt_resume_sp, rt_try_ip;
alignas(16) u8 rt_tss[256];
alignas(16) u64 rt_gdt[64] = {
    0,
    0x00cf9b000000ffff,  // 0x08 code, 32 bits
    0x00cf93000000ffff,  // 0x10 data
    0x00af9b000000ffff,  // 0x18 code, 64 bits   (SYSCALL: this and the next)
    0x00cf93000000ffff,  // 0x20 data
    0x00cffb000000ffff,  // 0x28 code, 32 bits, DPL 3   (SYSRET: this, +8 and +16; SYSEXIT: 0x18 and +16, +24, +32, +40)
    0x00cff3000000ffff,  // 0x30 data, DPL 3
    0x00affb000000ffff,  // 0x38 code, 64 bits, DPL 3
    0x00cff3000000ffff,  // 0x40 data, DPL 3
};
}

namespace {
struct [[gnu::packed]] DescriptorPointer { u16 limit; word base; };
alignas(16) u64 idt[RT_64 ? 512 : 256];
Handler handlers[256];
u32 n_ok, n_failed;
alignas(16) u8 ring0_stack[16384];
alignas(16) u8 user_stack[16384];
bool user_running;

void put_number(u64 v, u32 base, int width, bool zero) {
  char b[24];
  int n = 0;
  do {
    u32 d;
    if (base == 16) { d = v & 15; v >>= 4; }
    else {  // without a 64-bit division, which 32-bit code would take from libgcc
      u64 q = 0, r = 0;
      for (int i = 63; i >= 0; --i) { r = r << 1 | (v >> i & 1); if (r >= 10) { r -= 10; q |= u64{1} << i; } }
      d = u32(r); v = q;
    }
    b[n++] = "0123456789abcdef"[d];
  } while (v != 0);
  for (int i = n; i < width; ++i) putc(zero ? '0' : ' ');
  while (n > 0) putc(b[--n]);
}
}  // namespace

void putc(char c) {
  if (c == '\n') putc('\r');
  while ((inb(0x3f8 + 5) & 0x20) == 0) {}
  outb(0x3f8, u8(c));
}
void puts(const char* s) { while (*s) putc(*s++); }

void printf(const char* f, ...) {
  __builtin_va_list ap;
  __builtin_va_start(ap, f);
  for (; *f; ++f) {
    if (*f != '%') { putc(*f); continue; }
    ++f;
    bool zero = *f == '0';
    int width = 0, longs = 0;
    while (*f >= '0' && *f <= '9') width = width * 10 + (*f++ - '0');
    while (*f == 'l') { ++longs; ++f; }
    auto arg = [&]() -> u64 { return longs == 0 ? __builtin_va_arg(ap, u32) : longs == 1 ? __builtin_va_arg(ap, unsigned long) : __builtin_va_arg(ap, u64); };
    switch (*f) {
      case 's': puts(__builtin_va_arg(ap, const char*)); break;
      case 'c': putc(char(__builtin_va_arg(ap, int))); break;
      case 'd': { i32 v = i32(arg()); if (v < 0) { putc('-'); put_number(u64(-i64{v}), 10, width, zero); } else put_number(u64(v), 10, width, zero); break; }
      case 'u': put_number(arg(), 10, width, zero); break;
      case 'x': put_number(arg(), 16, width, zero); break;
      default: putc(*f);
    }
  }
  __builtin_va_end(ap);
}

void exit(u8 status) {
  outb(0xf4, status);
  // Where there is no exit device: the status on the console, then Bochs' way out.
  printf("exit status %u\n", status);
  for (const char* s = "Shutdown"; *s; ++s) outb(0x8900, u8(*s));
  for (;;) asm volatile("cli; hlt");
}

const char* cmdline() {
  if (rt_boot_magic != 0x2BADB002) return "";
  return (read32(rt_boot_info) & 4) != 0 ? reinterpret_cast<const char*>(word{read32(rt_boot_info + 16)}) : "";
}
u32 mem_upper_kib() { return read32(rt_boot_info + 8); }

bool has_word(const char* w) {
  const char* s = cmdline();
  while (*s) {
    const char* a = w;
    while (*s == ' ') ++s;
    while (*s && *s != ' ' && *a == *s) { ++a; ++s; }
    if (*a == 0 && (*s == 0 || *s == ' ')) return true;
    while (*s && *s != ' ') ++s;
  }
  return false;
}

void set(volatile void* p, u8 v, word n) { auto* d = static_cast<volatile u8*>(p); while (n--) *d++ = v; }
void copy(volatile void* d, const volatile void* s, word n) {
  auto* a = static_cast<volatile u8*>(d);
  auto* b = static_cast<const volatile u8*>(s);
  while (n--) *a++ = *b++;
}

void check(const char* name, bool ok) {
  if (ok) { ++n_ok; printf("ok %s\n", name); }
  else { ++n_failed; printf("FAIL %s\n", name); }
}
void check_eq(const char* name, u64 got, u64 want) {
  if (got == want) { ++n_ok; printf("ok %s\n", name); }
  else { ++n_failed; printf("FAIL %s: got %llx want %llx\n", name, got, want); }
}
u32 failures() { return n_failed; }

static void fail_fault(const char* name, word vector, word error) {
  ++n_failed;
  printf("FAIL %s: got vector %d error %llx rip+%d, want vector %d error %llx\n", name, i32(rt_fault.vector), u64{rt_fault.error},
         i32(rt_fault.ip - rt_try_ip), i32(vector), u64{error});
}
void check_fault(const char* name, word vector, word error) {
  if (faulted(vector, error) && rt_fault.ip == rt_try_ip) { ++n_ok; printf("ok %s\n", name); }
  else fail_fault(name, vector, error);
}
void check_trap(const char* name, word vector, word length) {
  if (faulted(vector) && rt_fault.ip == rt_try_ip + length) { ++n_ok; printf("ok %s\n", name); }
  else fail_fault(name, vector, 0);
}
void check_none(const char* name) {
  if (rt_fault.vector == kNone) { ++n_ok; printf("ok %s\n", name); }
  else fail_fault(name, kNone, 0);
}

void on_trap(u8 vector, Handler h) { handlers[vector] = h; }

void set_gate(u8 vector, word handler, u8 type, u16 cs, u8 ist) {
  u64 lo = (handler & 0xffff) | u64{cs} << 16 | u64{ist} << 32 | u64{type} << 40 | (u64{handler} >> 16 & 0xffff) << 48;
#if RT_64
  idt[2 * vector] = lo;
  idt[2 * vector + 1] = handler >> 32;
#else
  idt[vector] = lo;
#endif
}
void gate_dpl(u8 v, u8 dpl) { u64& e = idt[RT_64 ? 2 * v : v]; e = (e & ~(u64{3} << 45)) | u64{dpl} << 45; }
void gate_ist(u8 v, u8 ist) { u64& e = idt[RT_64 ? 2 * v : v]; e = (e & ~(u64{7} << 32)) | u64{ist} << 32; }
void reload_idt() {
  DescriptorPointer p{sizeof idt - 1, reinterpret_cast<word>(idt)};
  asm volatile("lidt %0" : : "m"(p) : "memory");
}

void set_rsp0(word sp) {
#if RT_64
  write64(reinterpret_cast<word>(rt_tss) + 4, sp);
#else
  write32(reinterpret_cast<word>(rt_tss) + 4, sp);
  write32(reinterpret_cast<word>(rt_tss) + 8, kData);
#endif
}
void set_ist(u8 n, word sp) { write64(reinterpret_cast<word>(rt_tss) + 36 + 8 * (n - 1), sp); }

void call_user_at(word ip, u16 cs, word sp, u16 ss, word flags) {
  user_running = true;
  rt_call_user_at(ip, cs, sp, ss, flags);
  user_running = false;
}
void call_user(void (*f)()) {
  rt_fault.vector = kNone;
  call_user_at(reinterpret_cast<word>(f), RT_64 ? kUser64 : kUser32, reinterpret_cast<word>(user_stack) + sizeof user_stack - 64, kUserData);
}

static void resume_at(Frame& f, word ip, word sp) {
#if RT_64
  f.ip = ip; f.sp = sp; f.cs = kCode64; f.ss = kData2;
  f.flags &= ~word{0x10300};  // neither RF nor TF nor IF
#else
  rt_resume_ip = ip; rt_resume_sp = sp;
  rt_resume32(&f);
#endif
}
}  // namespace rt

using namespace rt;

extern "C" void rt_trap(Frame* f) {
  if (handlers[f->vector & 255] != nullptr) return handlers[f->vector & 255](*f);
  bool user = (f->cs & 3) == 3;
  if (f->vector == 0x80 && user) {
    resume_at(*f, reinterpret_cast<word>(rt_user_back), rt_user_return_sp);
    return;
  }
  if (rt_resume_ip == 0 && !user_running) {
    printf("unexpected trap: vector %u error %llx cs:ip %llx:%llx sp %llx cr2 %llx\n", u32(f->vector), u64{f->error}, u64{f->cs},
           u64{f->ip}, RT_64 ? u64{f->sp} : 0, u64{cr2()});
    rt::exit(0xee);
  }
  volatile Fault& t = rt_fault;
  t.vector = f->vector; t.error = f->error; t.ip = f->ip; t.cs = f->cs; t.flags = f->flags;
  t.sp = f->sp; t.ss = f->ss; t.cr2 = cr2();
  t.ax = f->ax; t.bx = f->bx; t.cx = f->cx; t.dx = f->dx; t.si = f->si; t.di = f->di;
  if (user && user_running) { user_running = false; resume_at(*f, reinterpret_cast<word>(rt_user_back), rt_user_return_sp); }
  else resume_at(*f, rt_resume_ip, rt_resume_sp);
}

extern "C" void rt_start() {
  outb(0x21, 0xff); outb(0xa1, 0xff);  // whatever firmware has left: no interrupts of the 8259
  outb(0x3f9, 0); outb(0x3fb, 0x80); outb(0x3f8, 1); outb(0x3f9, 0); outb(0x3fb, 3); outb(0x3fa, 7); outb(0x3fc, 3);
  for (u32 v = 0; v < 256; ++v) set_gate(u8(v), reinterpret_cast<word>(rt_trap_entries) + 16 * v);
  gate_dpl(0x80, 3);
  reload_idt();
  word tss = reinterpret_cast<word>(rt_tss);
  rt_gdt[kTss / 8] = 0x0000890000000000 | 103 | (u64{tss} & 0xffffff) << 16 | (u64{tss} >> 24 & 0xff) << 56;
  rt_gdt[kTss / 8 + 1] = u64{tss} >> 16 >> 16;
  write8(tss + 102, 104);  // the I/O permission map lies beyond the limit: none
  set_rsp0(reinterpret_cast<word>(ring0_stack) + sizeof ring0_stack);
  asm volatile("ltr %w0; lldt %w1" : : "r"(u32{kTss}), "r"(0));  // a reset leaves LDTR usable: base 0, limit 64 KiB
  rt_main();
  printf("%u ok, %u failed\n", n_ok, n_failed);
  rt::exit(n_failed > 120 ? 120 : u8(n_failed));
}
