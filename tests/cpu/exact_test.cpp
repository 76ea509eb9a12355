// SPDX-License-Identifier: GPL-2.0-or-later
/// However execution is cut into blocks and runs, and whatever derived state is there: the same state at the same step. Random programs
/// that are as unkind as they can be: pages that share a set of the TLB, tables changed under it, code that changes itself under
/// several addresses, shadows, traps, breakpoints, interrupts, repeated strings, devices; on the bare processor and under a hypervisor.
#include "vmx_machine.hpp"

namespace vt::cpu {
namespace {

using M = VmxMachine;

struct Choice {
  u64 x;
  u64 next() {
    u64 z = (x += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  u64 below(u64 n) { return next() % n; }
  template <class T> T of(std::initializer_list<T> l) { return l.begin()[below(l.size())]; }
};

constexpr u64 kWindow = 0x40000000, kTables = 0x110000, kFrames = 0x400000, kTss = 0xa000, kCodeFrame = 0x500000;
constexpr unsigned kMiBs = 16, kPages = 32, kSlots = 256, kSlot = 16;

/// EPT maps the first 2 MiB and those of the frames by 4 KiB pages.
u64 ept_entry(u64 gpa) { return M::kEptPml4 + (gpa < u64{2} << 20 ? 0x3000 : 0x4000) + 8 * (gpa >> 12 & 511); }
u64 page_at(u64 n, u64 s) { return kWindow + (n << 20) + (s << 12); }
u64 pte_at(u64 n, u64 s) { return kTables + (n / 2) * 0x1000 + ((n % 2) * 256 + s) * 8; }

struct Program {
  explicit Program(u64 seed) : c{seed * 77 + 5} {
    user = c.below(4) == 0;
    calm = c.below(2);
    narrow = c.below(3) == 0, limited = narrow && c.below(2);
    guest = c.below(3) == 0;
    vpid = c.below(2), ept_ad = c.below(2), exits = c.below(2), invept = c.below(2);
    code_page = c.of<u64>({0, 8, 9, 10, 0x14, 0x1f});
    for (unsigned k = 0; k < 3; ++k) alias[k] = page_at(1 + 4 * k, code_page);
    hot = c.of<u64>({code_page, 8, 9, 10, 0x14});
    bytes.assign(kPageSize, 0x90);
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      if (slot == 80 || slot == kSlots - 1) put(slot, {0xe9}, -static_cast<i32>(slot * kSlot + 5));
      else if (slot < 80) write_slot(slot);
    }
    for (unsigned k = 0; k < 5; ++k) interrupts.push_back(20 + c.below(700));
    std::sort(interrupts.begin(), interrupts.end());
  }

  void put(unsigned slot, std::vector<u8> b, std::optional<i32> last = {}) {
    if (last) for (unsigned k = 0; k < 4; ++k) b.push_back(static_cast<u8>(*last >> 8 * k));
    if (b.size() <= kSlot) std::copy(b.begin(), b.end(), bytes.begin() + slot * kSlot);
  }
  /// A data address; half of them, or nearly all, in one set of the TLB.
  u64 data() {
    const u64 page = page_at(c.below(kMiBs), c.below(calm ? 12 : 2) ? hot : c.below(kPages));
    return page + (c.below(5) == 0 ? 0xff9 + c.below(7) : c.below(512) * 8);
  }
  u64 some_address() { return c.below(6) == 0 ? alias[c.below(3)] + c.below(80) * kSlot + 14 + c.below(2) : data(); }
  static void imm32(std::vector<u8>& b, u64 v) { for (unsigned k = 0; k < 4; ++k) b.push_back(static_cast<u8>(v >> 8 * k)); }

  void write_slot(unsigned slot) {
    std::vector<u8> b{0x48, 0xc7, 0xc2};  // mov rdx, address
    auto with = [&](u64 address, std::vector<u8> op) {
      imm32(b, address);
      for (u8 x : op) b.push_back(x);
      put(slot, b);
    };
    const u8 small = static_cast<u8>(c.below(40));
    u64 kind = c.below(34);
    if (calm && (kind == 8 || (kind >= 18 && kind <= 20) || kind == 30)) kind = c.of<u64>({7, 10, 13});  // the TLB fills up
    switch (kind) {
      case 0: case 1: case 2: return with(data(), {0x8b, 0x02});                         // mov eax, [rdx]
      case 3: case 4: return with(some_address(), {0x88, 0x02});                         // mov [rdx], al
      case 5: return with(data(), {0x48, 0x01, 0x02});                                   // add [rdx], rax
      case 6: return with(data(), {0xf0, 0x0f, 0xc1, 0x02});                             // lock xadd
      case 7: return with(data(), {0x0f, 0xae, 0x3a});                                   // clflush
      case 8: return with(c.below(2) ? data() : alias[c.below(3)], {0x0f, 0x01, 0x3a});  // invlpg
      case 9: return with(data(), {0x48, 0x89, 0xd4, 0x50, 0x58});                       // mov rsp, rdx; push rax; pop rax
      case 10: return with(data(), {0xff, 0x32, 0x8f, 0x02});                            // push [rdx]; pop [rdx]
      case 11: return with(data(), {0x48, 0x89, 0xd7});                                  // mov rdi, rdx
      case 12: return with(data(), {0x48, 0x89, 0xd6});                                  // mov rsi, rdx
      case 13: case 14: return put(slot, {0xb9, small, 0, 0, 0, 0xf3, static_cast<u8>(c.of({0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xae, 0xac}))});
      case 15: return put(slot, {static_cast<u8>(c.of({0xa4, 0xa6, 0xa5, 0xaa}))});
      case 16: case 17: return with(alias[c.below(3)] + c.below(80) * kSlot + 14 + c.below(2), {0xc6, 0x02, static_cast<u8>(c.of({0x90, 0xf8, 0xf5, 0x99}))});
      case 18: case 19: case 20: {  // a table entry changes
        if (guest && c.below(2)) {
          const u64 gpa = c.below(8) == 0 ? kTables + (c.below(8) << 12) : kFrames + (c.below(64) << 12);
          return with(ept_entry(gpa), {0x48, 0x0f, 0xba, 0x3a, static_cast<u8>(c.of({0, 1, 1, 2, 2, 3, 8, 9, 12}))});
        }
        const u64 n = c.below(kMiBs), s = c.below(2) ? hot : c.below(kPages);
        return with(pte_at(n, s), {0x48, 0x0f, 0xba, 0x3a, static_cast<u8>(c.of({0, 1, 2, 5, 6, 8, 12, 13, 63}))});
      }
      case 21: return put(slot, {0xfb});                                                  // sti
      case 22: return put(slot, {0xfa});
      case 23: return put(slot, {0x9c, 0x48, 0x0f, 0xba, 0x3c, 0x24, c.of<u8>({8, 8, 18, 9}), 0x9d});  // TF, AC or IF toggled
      case 24: {
        b = {0xb8};                                                                       // mov eax; mov dr7, rax
        imm32(b, c.of<u64>({0x400, 0x400, 0x30002, 0x10002, 0x2, 0xd0002}));
        b.insert(b.end(), {0x0f, 0x23, 0xf8});
        return put(slot, b);
      }
      case 25: return with(c.below(2) ? data() : alias[0] + c.below(80) * kSlot, {0x0f, 0x23, 0xc2});  // mov dr0, rdx
      case 26: return put(slot, {0x39, 0xc3, 0x75, 0x0c});                               // cmp ebx, eax; jne over the next
      case 27: return put(slot, {0xe9}, static_cast<i32>(c.below(80) * kSlot) - static_cast<i32>(slot * kSlot + 5));
      case 28: return with(alias[c.below(3)] + c.below(80) * kSlot, {0xff, 0xe2});       // jmp rdx
      case 29: return put(slot, {0x0f, 0x01, c.of<u8>({0xca, 0xcb})});                   // clac, stac
      case 30: return put(slot, {0x0f, 0x20, 0xda, 0x0f, 0x22, 0xda});                   // cr3 anew
      case 31: return with(data() & ~u64{15}, {0x0f, 0xae, 0x02});                       // fxsave
      case 32: return with(data() & ~u64{15}, {0x48, 0x0f, 0xc7, 0x0a});                 // cmpxchg16b
      default: return put(slot, {0x48, 0xff, 0xc0, 0xff, 0xcb, 0x75, 0x01, 0x90});       // inc rax; dec ebx; jnz
    }
  }

  Choice c;
  bool user = false, calm = false;
  bool guest = false, vpid = false, ept_ad = false, exits = false, invept = false;  ///< in VMX non-root operation
  bool narrow = false, limited = false;  ///< compatibility mode (REX.W is DEC EAX there); DS with a limit, so that blocks do not link
  u64 code_page = 0, hot = 0, alias[3] = {};
  std::vector<u8> bytes;
  std::vector<u64> interrupts;
};

/// The machine that runs it.
struct Bench {
  explicit Bench(const Program& p) : program(p) {
    auto& mem = m.mem;
    auto poke = [&](u64 at, u64 v) { mem.poke64(Hpa{at}, v, WriteCause::loader); };
    poke(M::kPml4 + 0x1000 + 8, 0x104000 | 7);
    // The first 2 MiB in small pages, too: descriptor tables, handlers and stacks share sets with the data.
    poke(M::kPml4 + 0x2000, 0x103000 | 7);
    for (u64 n = 0; n < 512; ++n) poke(0x103000 + 8 * n, n << 12 | 7);
    for (u64 k = 0; k < kMiBs / 2; ++k) poke(0x104000 + 8 * k, (kTables + k * 0x1000) | 7);
    for (u64 n = 0; n < kMiBs; ++n)
      for (u64 s = 0; s < kPages; ++s) {
        u64 frame = kFrames + ((n * 7 + s * 3) % 64 << 12);
        if (n == 15 && s % 8 == 3) frame = 0x2000000;  // nobody's: a device
        poke(pte_at(n, s), frame | 7);
      }
    for (u64 a : p.alias) poke(pte_at(a >> 20 & 0xff, p.code_page), kCodeFrame | 7);
    mem.write(Hpa{kCodeFrame}, p.bytes.data(), p.bytes.size(), WriteCause::loader);
    // Handlers: go on with the next slot; traps and interrupts just return. All on a stack of their own.
    for (unsigned v = 0; v < 256; ++v) {
      std::vector<u8> h = {0x48, 0x83, 0x24, 0x24, 0xf0, 0x48, 0x83, 0x04, 0x24, 0x10, 0x48, 0xcf};
      if (v == 8 || (v >= 10 && v <= 14) || v == 17) h.insert(h.begin(), {0x48, 0x83, 0xc4, 0x08});
      if (v == 1 || v == 3 || v >= 32) h = {0x48, 0xcf};
      mem.write(Hpa{M::kHandlers + 16 * v}, h.data(), h.size(), WriteCause::loader);
      poke(M::kIdt + 16 * v, mem.peek64(Hpa{M::kIdt + 16 * v}) | u64{1} << 32);
    }
    poke(kTss + 0x24, M::kStack);
    Cpu& c = *m.cpu;
    c.tr.base = kTss;
    c.cr4 |= cr4::PGE;
    c.apic.write(0x0f0, 0x1ff);
    c.apic.write(0x350, 0x700);  // LINT0: ExtINT
    if (p.user) {
      c.seg[CS].ar = 0xa0fb, c.seg[CS].sel = 0x23;
      c.seg[SS].ar = 0xc0f3, c.seg[SS].sel = 0x2b;
      c.cr0 |= cr0::AM;
      c.flags |= rflags::AC;
    }
    if (p.narrow) c.seg[CS].ar = p.user ? 0xc0fb : 0xc09b, c.seg[CS].sel = p.user ? 0x33 : 0x18;
    if (p.limited) c.seg[DS].limit = 0x40ffffff;
    c.set_rflags(c.rflags() | rflags::IF);
    c.cr0 |= cr0::WP;
    c.r[4] = page_at(2, 5) + 0x800;
    c.r[6] = page_at(3, p.hot), c.r[7] = page_at(4, p.hot);
    c.rip = p.alias[0];
    if (p.guest) become_hypervisor();
    c.tlb.flush_all();
    c.update();
  }
  /// What there is becomes the guest; the hypervisor goes on with the next slot after each exit.
  void become_hypervisor() {
    Cpu& c = *m.cpu;
    using F = Field;
    const Program& p = program;
    m.fill();
    m.identity_ept();
    for (u64 n = 0; n < 512; ++n) {
      // Some frames are read-only, absent, not executable or misconfigured to begin with.
      const u64 bits = n >= 64 ? 0x37 : n % 16 == 3 ? 0x35 : n % 16 == 7 ? 0 : n % 16 == 11 ? 0x33 : n % 32 == 13 ? 0x36 : 0x37;
      m.mem.poke64(Hpa{M::kEptPml4 + 0x4000 + 8 * n}, bits ? (kFrames + (n << 12)) | bits : 0, WriteCause::loader);
    }
    m.mem.poke64(Hpa{M::kEptPml4 + 0x2000 + 16}, (M::kEptPml4 + 0x4000) | 7, WriteCause::loader);
    if (p.vpid) m.add(F::SECONDARY_VM_EXEC_CONTROL, proc2_ctl::vpid), m.set(F::VIRTUAL_PROCESSOR_ID, 1);
    if (p.ept_ad) m.add(F::EPT_POINTER, 0x40);
    if (p.exits) m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::external_interrupt), m.add(F::VM_EXIT_CONTROLS, exit_ctl::ack_interrupt);
    m.set(F::GUEST_RIP, c.rip), m.set(F::GUEST_RSP, c.r[4]), m.set(F::GUEST_RFLAGS, c.rflags());
    if (p.narrow) m.set(F::GUEST_RIP, static_cast<u32>(c.rip));
    std::vector<u8> host = {0x41, 0xb8, 0x1e, 0x68, 0, 0, 0x45, 0x0f, 0x78, 0xc1,                  // mov r8d, GUEST_RIP; vmread r9, r8
                            0x49, 0x83, 0xe1, 0xf0, 0x49, 0x83, 0xc1, 0x10, 0x45, 0x0f, 0x79, 0xc1,  // and r9, -16; add r9, 16; vmwrite r8, r9
                            0x48, 0xc7, 0x04, 0x25};                                               // mov qword [entry of the code's frame], ...
    Program::imm32(host, ept_entry(kCodeFrame)), Program::imm32(host, kCodeFrame | 0x37);
    if (p.invept) {  // mov r8d, 2; invept r8, [a page of zeros]
      for (u8 b : {0x41, 0xb8, 2, 0, 0, 0, 0x66, 0x44, 0x0f, 0x38, 0x80, 0x04, 0x25}) host.push_back(b);
      Program::imm32(host, 0x70000);
    }
    for (u8 b : {0x0f, 0x01, 0xc3, 0xf4}) host.push_back(b);  // vmresume; hlt
    m.mem.write(Hpa{M::kHost}, host.data(), host.size(), WriteCause::loader);
    m.mem.write(Hpa{M::kCode}, "\x0f\x01\xc2\xf4", 4, WriteCause::loader);  // vmlaunch; hlt
    c.seg[CS].ar = 0xa09b, c.seg[CS].sel = 8;
    c.seg[SS].ar = 0xc093, c.seg[SS].sel = 0x10;
    c.seg[DS].limit = ~0u;
    c.set_rflags(2);
    c.rip = M::kCode, c.r[4] = M::kStack;
  }
  /// To this step; interrupt requests come where the program says.
  void to(u64 last, auto piece) {
    while (steps < last) {
      u64 next = last;
      for (u64 at : program.interrupts) {
        if (at == steps && at != asked) asked = at, m.pic_level = true, m.cpu->pic_line(true);
        if (at > steps) next = std::min(next, at);
      }
      const u64 made = m.cpu->run(std::min(next - steps, piece()));
      m.time += made;
      steps += made;
      if (made == 0) break;
    }
  }
  std::string hash() {
    HashAr h;
    m.cpu->state(h);
    m.mem.state(h);
    h(m.mmio_value, m.pic_level, steps);
    return h.hex();
  }
  const Program& program;
  M m;
  u64 steps = 0, asked = ~u64{0};
};

constexpr u64 kLast = 900;

std::string where_they_part(const Program& p, auto make_piece, bool drop) {
  // Step by step: the first one at which the two differ.
  Bench b(p);
  auto piece = make_piece();
  for (u64 at = 1; at <= kLast; ++at) {
    Bench a(p);
    a.to(at, [] { return kLast; });
    while (b.steps < at) {
      if (drop) b.m.cpu->drop_derived();
      const u64 before = b.steps;
      b.to(at, piece);
      if (b.steps == before) break;
    }
    if (a.hash() != b.hash()) {
      char text[200];
      std::snprintf(text, sizeof text, "after step %llu: rip %llx and %llx", static_cast<unsigned long long>(at), static_cast<unsigned long long>(a.m.cpu->rip),
                    static_cast<unsigned long long>(b.m.cpu->rip));
      return text;
    }
  }
  return "only as a whole";
}

class Exact : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Seeds, Exact, testing::Range(0, 8));

TEST_P(Exact, HoweverItIsCut) {
  const u64 per_case = std::getenv("EXACT_SEEDS") ? std::strtoull(std::getenv("EXACT_SEEDS"), nullptr, 10) : 25;
  u64 interrupts = 0, exits = 0;
  for (u64 seed = static_cast<u64>(GetParam()) * per_case; seed < (static_cast<u64>(GetParam()) + 1) * per_case; ++seed) {
    const Program p(seed);
    Bench whole(p);
    whole.to(kLast, [] { return kLast; });
    const std::string want = whole.hash();
    interrupts += whole.m.cpu->stats.interrupts;
    for (u64 n : whole.m.cpu->stats.exits) exits += n;
    {
      Bench b(p);
      b.to(kLast, [] { return u64{1}; });
      ASSERT_EQ(b.hash(), want) << "seed " << seed << " in single steps, " << where_they_part(p, [] { return [] { return u64{1}; }; }, false);
    }
    {
      auto make = [&] { return [c = Choice{seed}]() mutable { return 1 + c.below(12); }; };
      Bench b(p);
      b.to(kLast, make());
      ASSERT_EQ(b.hash(), want) << "seed " << seed << " in pieces, " << where_they_part(p, make, false);
    }
    {
      Choice c{seed + 1};
      Bench b(p);
      while (b.steps < kLast) {
        const u64 before = b.steps;
        b.to(std::min(kLast, b.steps + 1 + c.below(40)), [] { return kLast; });
        b.m.cpu->drop_derived();
        if (b.steps == before) break;
      }
      ASSERT_EQ(b.hash(), want) << "seed " << seed << " with derived state dropped, " << where_they_part(p, [] { return [] { return u64{7}; }; }, true);
    }
    {
      // Restored in the middle, with no page known to hold code and nothing else derived.
      Bench a(p), b(p);
      a.to(kLast / 2, [] { return kLast; });
      SaveAr save;
      a.m.cpu->state(save);
      a.m.mem.state(save);
      LoadAr load(save.out);
      b.m.cpu->state(load);
      b.m.mem.state(load);
      b.m.time = a.m.time, b.steps = a.steps, b.asked = a.asked, b.m.pic_level = a.m.pic_level, b.m.mmio_value = a.m.mmio_value;
      b.to(kLast, [] { return kLast; });
      ASSERT_EQ(b.hash(), want) << "seed " << seed << " restored";
    }
  }
  EXPECT_GT(interrupts, per_case);
  EXPECT_GT(exits, 0u);
}

// host_cache.hpp: with breakpoints every access takes the slow path, at the end of the address space too.
TEST(HostCache, ABypassedContextMatchesNoEntry) {
  M m;
  m.cpu->dr[7] = 0x402;
  m.cpu->update();
  EXPECT_EQ(m.run({0x8b, 0x04, 0x25, 0xf8, 0xff, 0xff, 0xff}), PF);  // mov eax, [-8]
  EXPECT_EQ(m.cpu->cr2, ~u64{7});
}

// SDM 2B "REP": interrupts come between iterations; the shadow of STI lasts for the first one only.
TEST(Exactness, ARepeatedStringBehindStiIsInterruptedAfterItsFirstIteration) {
  M m;
  m.cpu->apic.write(0x0f0, 0x1ff);
  m.cpu->apic.write(0x350, 0x700);
  m.pic_level = true;
  m.cpu->pic_line(true);
  m.cpu->r[1] = 100, m.cpu->r[7] = M::kData;
  EXPECT_EQ(m.run({0xfb, 0xf3, 0xaa}), 0x20);  // sti; rep stosb
  EXPECT_EQ(m.cpu->r[1], 99u);
}

// SDM 3C "Guest Non-Register State": what cannot end HLT or shutdown leaves the processor waiting; the machine must not spin.
TEST(Exactness, AnNmiThatIsBlockedWakesNobody) {
  M m;
  Cpu& c = *m.cpu;
  c.vmx.on = c.vmx.non_root = true;
  c.vmx.pin = pin_ctl::nmi;
  c.nmi_pending = c.nmi_blocked = true;
  for (Activity a : {Activity::hlt, Activity::shutdown}) {
    c.activity = a;
    EXPECT_TRUE(c.idle());
    EXPECT_EQ(c.run(10), 0u);
    c.nmi_blocked = false;
    EXPECT_FALSE(c.idle());
    c.nmi_blocked = true;
  }
}

// SDM 3C "Other Causes of VM Exits": whatever IF is, an external interrupt that MOV SS holds back exits behind it.
TEST(Exactness, AnInterruptForTheHypervisorIsLookedForBehindAShadow) {
  M m;
  Cpu& c = *m.cpu;
  c.apic.write(0x0f0, 0x1ff);
  c.apic.write(0x350, 0x700);
  c.vmx.on = c.vmx.non_root = true;
  c.vmx.pin = pin_ctl::external_interrupt;
  c.movss_shadow = true;
  m.mem.write(Hpa{M::kCode}, "\x90\x90\x90", 3, WriteCause::loader);
  c.rip = M::kCode;
  c.pic_line(true);
  EXPECT_EQ(c.run(1), 1u);
  EXPECT_FALSE(c.movss_shadow);
  EXPECT_TRUE(c.attention);
}

}  // namespace
}  // namespace vt::cpu
