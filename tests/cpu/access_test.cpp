// SPDX-License-Identifier: GPL-2.0-or-later
/// Observing accesses to memory: each is told of once, at its step, with what the manual says the instruction accesses; nothing of it changes
/// the processor's state.
#include "harness.hpp"

namespace vt::cpu {
namespace {

using Kind = MemoryAccess::Kind;

struct Told { Kind kind; u64 step, linear, at; std::string value; bool device; unsigned level; };

struct Ears : Observer {
  explicit Ears(bool all = false) : all_(all) {}
  void call(const Cpu&, u64, u64) override {}
  void ret(const Cpu&, u64) override {}
  bool probe(const Cpu&, u64) override { return false; }
  bool probed(u64) const override { return false; }
  bool everything() const override { return all_; }
  void boundary(const Cpu& c) override { if (boundaries.empty() || boundaries.back() != c.step()) boundaries.push_back(c.step()); }
  void executes(const Cpu& c, const Insn&) override { executed.push_back(c.step()); }
  void access(const Cpu& c, const MemoryAccess& a) override {
    told.push_back({a.kind, c.step(), a.linear, a.at.v, std::string(static_cast<const char*>(a.value), a.size), a.device, a.level});
  }
  std::vector<Told> told;
  std::vector<u64> boundaries, executed;
  const bool all_;
};

struct Watched : TestMachine {
  explicit Watched(bool all = false, Mode m = Mode::long64) : TestMachine(m), ears(all) { cpu->observe(&ears); }
  ~Watched() override { cpu->observe(nullptr); }
  void watch(u64 page) {
    mem.set_flag(Hpa{page}, page_flag::reads_watched);
    cpu->host.drop_data_at(mem.host() + page, kPageSize);
  }
  std::vector<Told> data() const {
    std::vector<Told> all;
    for (auto& t : ears.told) if (t.kind == Kind::read || t.kind == Kind::write) all.push_back(t);
    return all;
  }
  Ears ears;
};

std::string image(TestMachine& m) {
  SaveAr ar;
  m.cpu->state(ar);
  m.mem.state(ar);
  return {ar.out.begin(), ar.out.end()};
}
std::string le(u64 v, unsigned n) { return {reinterpret_cast<const char*>(&v), n}; }

TEST(access, a_watched_page_tells_of_loads_and_stores_and_another_does_not) {
  Watched m;
  m.watch(TestMachine::kData);
  m.poke<u64>(TestMachine::kData + 8, 0x1122334455667788);
  m.cpu->r[6] = TestMachine::kData, m.cpu->r[7] = TestMachine::kData + 0x1000;
  // mov rax,[rdi]  mov eax,[rsi+8]  mov [rsi],al  mov [rdi],rax  add word [rsi+8],1   each twice: the second time nothing is cached either
  const std::vector<u8> once{0x48, 0x8b, 0x07, 0x8b, 0x46, 0x08, 0x88, 0x06, 0x48, 0x89, 0x07, 0x66, 0x83, 0x46, 0x08, 0x01};
  std::vector<u8> code = once;
  code.insert(code.end(), once.begin(), once.end());
  EXPECT_EQ(m.run(code), -1);
  const auto told = m.data();
  ASSERT_EQ(told.size(), 8u);
  for (unsigned pass = 0; pass < 2; ++pass) {
    const Told* t = &told[4 * pass];
    EXPECT_EQ(t[0].kind, Kind::read); EXPECT_EQ(t[0].step, 5 * pass + 1); EXPECT_EQ(t[0].value, le(0x55667788 + pass, 4));
    EXPECT_EQ(t[0].linear, TestMachine::kData + 8); EXPECT_EQ(t[0].at, TestMachine::kData + 8);
    EXPECT_EQ(t[1].kind, Kind::write); EXPECT_EQ(t[1].step, 5 * pass + 2); EXPECT_EQ(t[1].value, le(0x88 + pass, 1));
    EXPECT_EQ(t[2].kind, Kind::read); EXPECT_EQ(t[2].step, 5 * pass + 4); EXPECT_EQ(t[2].value, le(0x7788 + pass, 2));
    EXPECT_EQ(t[3].kind, Kind::write); EXPECT_EQ(t[3].step, 5 * pass + 4); EXPECT_EQ(t[3].value, le(0x7789 + pass, 2));
  }
}

/// An instruction that reaches a device is done twice, the first time without effect: told of is only the second.
TEST(access, an_instruction_that_is_repeated_alone_is_told_of_once) {
  for (bool all : {false, true}) {
    Watched m(all);
    if (!all) m.watch(TestMachine::kData);
    constexpr u64 kDevice = 0x2000000;   // no memory
    m.poke<u32>(TestMachine::kData, 0xabcd);
    m.cpu->r[6] = TestMachine::kData, m.cpu->r[7] = kDevice;
    EXPECT_EQ(m.run({0xa5}), -1);   // MOVSD
    EXPECT_EQ(m.mmio_writes, 1u);
    const auto told = m.data();
    ASSERT_EQ(told.size(), all ? 2u : 1u);
    EXPECT_EQ(told[0].kind, Kind::read); EXPECT_EQ(told[0].value, le(0xabcd, 4)); EXPECT_FALSE(told[0].device);
    if (!all) continue;
    EXPECT_EQ(told[1].kind, Kind::write);
    EXPECT_EQ(told[1].linear, kDevice);
    EXPECT_TRUE(told[1].device);
  }
}

/// SDM 2B "REP/REPE/REPZ/REPNE/REPNZ": each iteration is a step, and is told of there.
TEST(access, iterations_of_repeated_instructions_have_their_own_steps) {
  Watched m;
  const u64 page = TestMachine::kData + 0x1000;
  m.watch(page);
  m.cpu->r[7] = page - 5, m.cpu->r[1] = 8, m.cpu->r[0] = 0x5a;
  EXPECT_EQ(m.run({0xf3, 0xaa}), -1);   // REP STOSB: five bytes before the page, three in it
  auto told = m.data();
  ASSERT_EQ(told.size(), 3u);
  for (u64 n = 0; n < 3; ++n) { EXPECT_EQ(told[n].step, 5 + n); EXPECT_EQ(told[n].at, page + n); EXPECT_EQ(told[n].value, "Z"); }
  m.ears.told.clear();
  const u64 begin = m.time + m.last;   // the next run's first step
  m.cpu->r[6] = page, m.cpu->r[1] = 3;
  EXPECT_EQ(m.run({0xf3, 0xac}), -1);   // REP LODSB
  told = m.data();
  ASSERT_EQ(told.size(), 3u);
  for (u64 n = 0; n < 3; ++n) { EXPECT_EQ(told[n].kind, Kind::read); EXPECT_EQ(told[n].step, begin + n); }
}

TEST(access, a_page_crossing_access_is_told_of_in_two_parts) {
  Watched m(true);
  m.cpu->r[6] = TestMachine::kData + 0xffd;
  EXPECT_EQ(m.run({0x48, 0x89, 0x06}), -1);   // mov [rsi],rax
  const auto told = m.data();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].value.size(), 3u); EXPECT_EQ(told[1].value.size(), 5u); EXPECT_EQ(told[1].linear, TestMachine::kData + 0x1000);
}

/// SDM 3A "4-Level Paging": PML4E, PDPTE, PDE of a 2 MiB page; then A in each, and D in the last.
TEST(access, walks_tell_of_entries_and_flags) {
  Watched m(true);
  m.cpu->r[6] = 0x600000;
  EXPECT_EQ(m.run({0x88, 0x06}), -1);   // mov [rsi],al
  std::vector<Told> walk;
  for (auto& t : m.ears.told) if (t.linear == 0x600000 && t.kind != Kind::write) walk.push_back(t);
  const u64 pml4 = TestMachine::kPml4, pde = pml4 + 0x2000 + 8 * 3;
  ASSERT_EQ(walk.size(), 4u);   // upper levels are accessed already, by the fetch
  EXPECT_EQ(walk[0].at, pml4); EXPECT_EQ(walk[0].level, 4u);
  EXPECT_EQ(walk[1].at, pml4 + 0x1000); EXPECT_EQ(walk[1].level, 3u);
  EXPECT_EQ(walk[2].at, pde); EXPECT_EQ(walk[2].level, 2u); EXPECT_EQ(walk[2].value, le(0x600087, 8));
  EXPECT_EQ(walk[3].kind, Kind::table_write); EXPECT_EQ(walk[3].at, pde); EXPECT_EQ(walk[3].value, le(0x6000e7, 8));
}

TEST(access, a_watched_table_tells_of_walks_once) {
  Watched m;
  m.watch(TestMachine::kPml4 + 0x2000);
  m.cpu->r[6] = 0x600000, m.cpu->r[7] = 0x800000;
  EXPECT_EQ(m.run({0xa4, 0x8a, 0x06}), -1);   // movsb; mov al,[rsi]: in the TLB by then
  std::vector<Told> walk;
  for (auto& t : m.ears.told) if (t.kind == Kind::table_read && t.linear >= 0x600000) walk.push_back(t);
  ASSERT_EQ(walk.size(), 2u);
  EXPECT_EQ(walk[0].linear, 0x600000u); EXPECT_EQ(walk[1].linear, 0x800000u);
  EXPECT_EQ(walk[0].step, 0u);
}

/// Everything on: the same state, and each step has its boundary.
TEST(access, watching_changes_nothing) {
  // push/pop, call/ret, rep movs over pages, a store into code ahead, #DE, #PF on a page that is not there, INT 3's frame
  const std::vector<std::vector<u8>> programs{
      {0x50, 0x5b, 0xe8, 0, 0, 0, 0, 0x58, 0xb9, 0x10, 0, 0, 0, 0xf3, 0x48, 0xa5, 0xf3, 0xa6, 0xf2, 0xae},
      {0xc6, 0x05, 0x01, 0, 0, 0, 0x40, 0x90, 0x90, 0x48, 0xff, 0xc0},
      {0x50, 0x31, 0xc9, 0xf7, 0xf1},
      {0x50, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0x7f},
      {0xcc},
      {0x0f, 0xae, 0x06, 0x0f, 0xae, 0x0e, 0xd9, 0xe8, 0xdb, 0x3f},
  };
  for (auto& code : programs) {
    TestMachine plain;
    Watched seen(true), paged;
    paged.watch(TestMachine::kData), paged.watch(TestMachine::kStack - 0x1000), paged.watch(TestMachine::kIdt), paged.watch(TestMachine::kCode);
    for (TestMachine* m : {&plain, static_cast<TestMachine*>(&seen), static_cast<TestMachine*>(&paged)}) {
      m->cpu->r[6] = TestMachine::kData + 0xfc0, m->cpu->r[7] = TestMachine::kData + 0x1fd0;
      (void)m->run(code, 200);
    }
    EXPECT_EQ(plain.steps, seen.steps);
    EXPECT_EQ(image(plain), image(seen));
    EXPECT_EQ(image(plain), image(paged));
    ASSERT_GE(seen.ears.boundaries.size(), seen.steps);
    for (u64 n = 0; n < seen.steps; ++n) EXPECT_EQ(seen.ears.boundaries[n], n);
    EXPECT_LE(seen.ears.executed.size(), seen.steps);
  }
}

struct Sink final : EventSink {
  void on(const Event& e) override { got.push_back(e); }
  bool wants_io() const override { return wants; }
  std::vector<Event> got;
  bool wants = true;
};
struct WithIo : TestMachine {
  EventSink* io_events() override { return sink && sink->wants_io() ? sink : nullptr; }
};

/// SDM 2 "RDMSR", "WRMSR": those that are executed; a refused one is an exception.
TEST(access, msr_accesses_are_events_for_those_who_ask) {
  for (bool wants : {true, false}) {
    WithIo m;
    Sink sink;
    sink.wants = wants;
    m.sink = &sink;
    // mov ecx,0xc0000082; mov eax,0x1234; xor edx,edx; wrmsr; rdmsr; mov ecx,0x12345; rdmsr -> #GP
    EXPECT_EQ(m.run({0xb9, 0x82, 0, 0, 0xc0, 0xb8, 0x34, 0x12, 0, 0, 0x31, 0xd2, 0x0f, 0x30, 0x0f, 0x32, 0xb9, 0x45, 0x23, 1, 0, 0x0f, 0x32}), 13);
    std::vector<Event> msr;
    for (auto& e : sink.got) if (is_io(e.kind)) msr.push_back(e);
    ASSERT_EQ(msr.size(), wants ? 2u : 0u);
    if (!wants) continue;
    EXPECT_EQ(msr[0].kind, EventKind::msr_write); EXPECT_EQ(msr[0].a, 0xc0000082u); EXPECT_EQ(msr[0].b, 0x1234u); EXPECT_EQ(msr[0].step, 3u);
    EXPECT_EQ(msr[1].kind, EventKind::msr_read); EXPECT_EQ(msr[1].b, 0x1234u); EXPECT_EQ(msr[1].rip, TestMachine::kCode + 14);
  }
}

}  // namespace
}  // namespace vt::cpu
