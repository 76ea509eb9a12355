// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT exit 0
// EXPECT console "no network card"
// NEEDS vitrine
// A driver for a virtio network card, by polling and by MSI-X: asks who 10.0.2.2 is, and then does what the words of the command line say, in this order:
// dhcp; ping=N; port=N: a datagram "hello" to that port of the host, and the answers until one is "bye"; garbage=N: frames that make no sense, then the first
// question again. While it waits nothing wakes it but the card, or, with the word "ticks", a timer. VIRTIO 1.1 "Network Device"
#include "rt.hpp"
using namespace rt;

namespace {
constexpr u32 kSize = 16, kHeader = 12, kApic = 0xfee00000, kHost = 0x0a000202, kGuest = 0x0a00020f;
constexpr u8 kVector = 0x41;
struct Descriptor { u64 at; u32 size; u16 flags, next; };
struct Available { u16 flags, index, ring[kSize]; };
struct Used { u16 flags, index; struct { u32 id, size; } ring[kSize]; };
struct Queue {
  alignas(4096) Descriptor table[kSize];
  alignas(4096) volatile Available available;
  alignas(4096) volatile Used used;
  u16 seen;
} queue[2];   // 0 receives, 1 sends
u8 in[kSize][1600], out[4096];
u8 mac[6], host[6];
u64 bar;
u32 pongs, offers, known, byes;

u32 config(u16 f, u32 r) { outl(0xcf8, 0x80000000 | u32{f} << 8 | (r & 0xfc)); return inl(0xcfc); }
void config(u16 f, u32 r, u32 v) { outl(0xcf8, 0x80000000 | u32{f} << 8 | (r & 0xfc)); outl(0xcfc, v); }
void write16(u64 a, u16 v) { *reinterpret_cast<volatile u16*>(a) = v; }
u64 a_of(const volatile void* p) { return reinterpret_cast<u64>(p); }
void put(u8* p, u64 v, u32 n) { while (n) *p++ = u8(v >> 8 * --n); }
u64 get(const u8* p, u32 n) { u64 v = 0; while (n--) v = v << 8 | *p++; return v; }
u16 checksum(const u8* p, u32 n) {
  u32 sum = 0;
  for (u32 i = 0; i < n; ++i) sum += u32{p[i]} << (i & 1 ? 0 : 8);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return u16(~sum);
}
u32 number(const char* word) {   // the value of word=N; 0: it is not there
  for (const char* s = cmdline(); *s; ++s) {
    const char *a = s, *b = word;
    while (*b && *a == *b) ++a, ++b;
    if (*b || *a != '=' || (s != cmdline() && s[-1] != ' ')) continue;
    u32 n = 0;
    while (*++a >= '0' && *a <= '9') n = n * 10 + u32(*a - '0');
    return n;
  }
  return 0;
}

bool start() {
  u16 f = 0;
  for (u32 n = 0; n < 256 && !f; ++n) if (config(u16(n), 0) == 0x10411af4) f = u16(n);
  if (!f) return false;
  config(f, 4, (config(f, 4) & 0xffff) | 6);
  bar = config(f, 0x10) & ~u32{15};
  const u64 msix = config(f, 0x14) & ~u32{15};
  for (u32 at = config(f, 0x34) & 0xfc; at; at = config(f, at) >> 8 & 0xfc)
    if ((config(f, at) & 0xff) == 0x11) config(f, at, config(f, at) | 0x80000000);
  for (u32 n = 0; n < 2; ++n) write32(msix + 16 * n, kApic), write32(msix + 16 * n + 4, 0), write32(msix + 16 * n + 8, kVector), write32(msix + 16 * n + 12, 0);
  write8(bar + 0x14, 0), write8(bar + 0x14, 3);
  write32(bar + 8, 0), write32(bar + 12, 0), write32(bar + 8, 1), write32(bar + 12, 3);   // VERSION_1, ACCESS_PLATFORM
  write8(bar + 0x14, 11);
  for (u16 n = 0; n < 2; ++n) {
    write16(bar + 0x16, n), write16(bar + 0x18, kSize), write16(bar + 0x1a, n);
    write64(bar + 0x20, a_of(queue[n].table)), write64(bar + 0x28, a_of(&queue[n].available)), write64(bar + 0x30, a_of(&queue[n].used));
    write16(bar + 0x1c, 1);
  }
  queue[1].available.flags = 1;   // no interrupts for what is sent
  write8(bar + 0x14, 15);
  for (u32 n = 0; n < 6; ++n) mac[n] = read8(bar + 0x2000 + n);
  for (u16 n = 0; n < kSize; ++n) {
    queue[0].table[n] = {a_of(in[n]), sizeof in[n], 2, 0};
    queue[0].available.ring[n] = n;
  }
  barrier();
  queue[0].available.index = kSize;
  write16(bar + 0x3000, 0);
  return (read8(bar + 0x14) & 0xc0) == 0;
}

void send_raw(u32 size) {   // header and all
  Queue& q = queue[1];
  q.table[0] = {a_of(out), size, 0, 0};
  q.available.ring[q.available.index % kSize] = 0;
  barrier();
  q.available.index = u16(q.available.index + 1);
  write16(bar + 0x3000, 1);
  while (q.used.index == q.seen) asm volatile("pause");
  q.seen = q.used.index;
}
u8* frame(u16 type) {
  set(out, 0, sizeof out);
  u8* f = out + kHeader;
  copy(f, host, 6), copy(f + 6, mac, 6), put(f + 12, type, 2);
  return f;
}
void send_ip(u32 from, u32 to, u8 protocol, u32 size) {   // what it carries is there
  u8* h = out + kHeader + 14;
  put(h, 0x4500, 2), put(h + 2, 20 + size, 2), h[8] = 64, h[9] = protocol, put(h + 12, from, 4), put(h + 16, to, 4);
  put(h + 10, checksum(h, 20), 2);
  send_raw(kHeader + 34 + size);
}
void send_udp(u32 from, u32 to, u16 from_port, u16 to_port, u32 size) {
  u8* d = out + kHeader + 34;
  put(d, from_port, 2), put(d + 2, to_port, 2), put(d + 4, 8 + size, 2);
  send_ip(from, to, 17, 8 + size);
}
void ask() {
  for (auto& b : host) b = 0xff;
  u8* f = frame(0x0806);
  put(f + 14, 0x0001080006040001, 8), copy(f + 22, mac, 6), put(f + 28, kGuest, 4), put(f + 38, kHost, 4);
  send_raw(kHeader + 42);
}

void received(const u8* f, u32 size) {
  const u8* d = f + 34;
  if (get(f + 12, 2) == 0x0806 && get(f + 20, 2) == 2) {
    copy(host, f + 22, 6);
    ++known;
    printf("10.0.2.2 is %02x:%02x:%02x:%02x:%02x:%02x\n", host[0], host[1], host[2], host[3], host[4], host[5]);
  } else if (f[23] == 1 && d[0] == 0) {
    printf("pong %u\n", u32(get(d + 6, 2)));
    ++pongs;
  } else if (f[23] == 17 && get(d + 2, 2) == 68) {
    printf("offer %u.%u.%u.%u\n", d[24], d[25], d[26], d[27]);
    ++offers;
  } else if (f[23] == 17) {
    printf("datagram: ");
    const u32 n = u32(get(d + 4, 2)) - 8;
    for (u32 i = 0; i < n && 42 + i < size; ++i) putc(char(d[8 + i]));
    printf("\n");
    if (n == 3 && d[8] == 'b') ++byes;
  }
}
void collect() {
  Queue& q = queue[0];
  while (q.seen != q.used.index) {
    const auto& u = q.used.ring[q.seen++ % kSize];
    const u16 id = u16(u.id);
    received(in[id] + kHeader, u.size - kHeader);
    q.available.ring[q.available.index % kSize] = id;
    barrier();
    q.available.index = u16(q.available.index + 1);
  }
}
void wait(const u32& count, u32 until) {
  for (;;) {
    collect();
    barrier();
    if (count >= until) return;
    if (queue[0].seen == queue[0].used.index) asm volatile("sti; hlt; cli" : : : "memory");
  }
}
}  // namespace

extern "C" void rt_main() {
  if (!start()) { printf("no network card\n"); return; }
  outb(0x20, 0x11); outb(0x21, 0x20); outb(0x21, 4); outb(0x21, 1);
  outb(0xa0, 0x11); outb(0xa1, 0x28); outb(0xa1, 2); outb(0xa1, 1);
  outb(0x21, has_word("ticks") ? 0xfe : 0xff); outb(0xa1, 0xff);
  on_trap(0x20, [](Frame&) { outb(0x20, 0x20); });
  on_trap(kVector, [](Frame&) { write32(kApic + 0xb0, 0); });
  if (has_word("ticks")) outb(0x43, 0x34), outb(0x40, 0x9c), outb(0x40, 0x2e);   // mode 2, 11932: 100 Hz
  ask();
  wait(known, 1);
  if (has_word("dhcp")) {
    u8* d = frame(0x0800) + 42;
    put(out + kHeader, 0xffffffffffff, 6);
    put(d, 0x01010600, 4), put(d + 4, 0x12345678, 4), copy(d + 28, mac, 6), put(d + 236, 0x63825363, 4), put(d + 240, 0x350101ff, 4);
    send_udp(0, 0xffffffff, 68, 67, 300);
    wait(offers, 1);
  }
  for (u32 n = 1; n <= number("ping"); ++n) {
    u8* d = frame(0x0800) + 34;
    d[0] = 8, put(d + 6, n, 2), put(d + 2, checksum(d, 24), 2);
    send_ip(kGuest, kHost, 1, 24);
    wait(pongs, n);
  }
  if (const u32 port = number("port")) {
    copy(frame(0x0800) + 42, "hello", 5);
    send_udp(kGuest, kHost, 1234, u16(port), 5);
    wait(byes, 1);
  }
  u64 random = 88172645463325252;
  const u32 garbage = number("garbage");
  for (u32 n = 0; n < garbage; ++n) {
    for (u32 i = 0; i < sizeof out / 8; ++i) random ^= random << 13, random ^= random >> 7, random ^= random << 17, reinterpret_cast<u64*>(out)[i] = random;
    u8* f = out + kHeader;
    if (n & 1) put(f + 12, 0x0800, 2), put(f + 14, 0x4500, 2), put(f + 16, n * 7 % 1600, 2), put(f + 20, 0, 2), put(f + 30, kHost, 4), put(f + 24, 0, 2), put(f + 24, checksum(f + 14, 20), 2);
    if (n & 2) f[23] = u8(n & 4 ? 17 : n & 8 ? 6 : 1);
    send_raw(n & 16 ? u32(random % sizeof out) : u32(random % 1600));
    collect();
  }
  if (garbage) ask(), wait(known, known + 1);
  printf("done\n");
}
