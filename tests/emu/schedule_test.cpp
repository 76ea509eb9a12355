// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest.hpp"

namespace vt::emu {
namespace {

constexpr u64 kLog = 0x110000;

void append(std::vector<u8>& to, std::initializer_list<u8> bytes) { for (u8 b : bytes) to.push_back(b); }
/// mov dword [address], value
void store(std::vector<u8>& to, u32 address, u32 value) {
  append(to, {0xc7, 0x05});
  for (u32 v : {address, value}) for (int k = 0; k < 4; ++k) to.push_back(static_cast<u8>(v >> (8 * k)));
}

TEST(Schedule, ARunEndsAtItsLastStep) {
  Raw r({0xeb, 0xfe});  // jmp to itself
  for (u64 last : {1, 2, 1000, 123456}) {
    r.machine->run(last);
    EXPECT_EQ(r.machine->steps(), last);
    EXPECT_EQ(r.machine->cycles(), last);
    EXPECT_FALSE(r.machine->stop().requested());
  }
}

TEST(Schedule, HaltedWithNothingToWakeItIsTheEnd) {
  Raw r({0xfa, 0xf4});  // cli; hlt
  r.machine->run();
  EXPECT_EQ(r.machine->stop().reason(), StopReason::halted);
  EXPECT_EQ(r.machine->stop().what(), "every processor waits and nothing can wake one");
  EXPECT_EQ(r.machine->steps(), 2u);
}

TEST(Schedule, AnInterruptionEndsARunWhoseGuestNeverEnds) {
  struct Interrupter final : EventSink {
    void on(const Event&) override { machine->interrupt(); }
    Machine* machine = nullptr;
  } sink;
  Raw r({0x0f, 0x0b});  // ud2, and no IDT: a triple fault; the sink sees its exceptions before
  sink.machine = r.machine.get();
  r.machine->watch(&sink);
  r.machine->run();
  EXPECT_EQ(r.machine->stop().reason(), StopReason::triple_fault) << "what came first stays";
}

/// Waits in HLT for the local APIC timer; the handler counts; then halts for good.
std::vector<u8> waits_for_timer(u32 count) {
  std::vector<u8> code;
  append(code, {0x0f, 0x01, 0x15, 0x00, 0x20, 0x10, 0x00});  // lgdt [0x102000]
  append(code, {0x0f, 0x01, 0x1d, 0x08, 0x20, 0x10, 0x00});  // lidt [0x102008]
  store(code, 0xfee003e0, 0xb);                              // divide by 1
  store(code, 0xfee00320, 0x30);                             // one-shot, vector 0x30
  store(code, 0xfee00380, count);
  append(code, {0xfb, 0xf4, 0xfa, 0xf4});                    // sti; hlt; cli; hlt
  return code;
}
void put_tables(Raw& r) {
  r.poke<u16>(0x102000, 0x1f);
  r.poke<u32>(0x102002, 0x102040);
  r.poke<u16>(0x102008, 0x7ff);
  r.poke<u32>(0x10200a, 0x104000);
  const u64 gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
  for (unsigned n = 0; n < 4; ++n) r.poke<u64>(0x102040 + 8 * n, gdt[n]);
  r.poke<u64>(0x104000 + 8 * 0x30, 0x3000 | u64{0x10} << 16 | u64{0x8e00} << 32 | u64{0x10} << 48);
  std::vector<u8> handler = {0xff, 0x05, 0x00, 0x00, 0x11, 0x00};  // inc dword [0x110000]
  store(handler, 0xfee000b0, 0);
  handler.push_back(0xcf);
  for (std::size_t n = 0; n < handler.size(); ++n) r.poke<u8>(0x103000 + n, handler[n]);
}

TEST(Schedule, TimeSkipsToTheNextEventWhenAllWait) {
  Raw r(waits_for_timer(50'000'000));
  put_tables(r);
  r.machine->run();
  EXPECT_EQ(r.peek<u32>(kLog), 1u);
  EXPECT_EQ(r.machine->stop().reason(), StopReason::halted);
  EXPECT_GE(r.machine->cycles(), 50'000'000u);
  EXPECT_LT(r.machine->steps(), 20u) << "waiting makes no steps";
  EXPECT_LT(r.machine->cycles(), 50'000'020u) << "the event comes at its cycle";
}

/// Somebody may type: time does not run ahead of the host's clock then.
TEST(Schedule, TimeSkipsOnlyAsFarAsItMay) {
  Raw r(waits_for_timer(50'000'000)), other(waits_for_timer(50'000'000));
  put_tables(r), put_tables(other);
  constexpr u64 kAll = ~u64{0};
  r.machine->run(kAll, kAll, 1000);
  const u64 steps = r.machine->steps(), cycles = r.machine->cycles(), next = r.machine->next_event();
  EXPECT_LT(cycles, 1000u);
  EXPECT_GE(next, 50'000'000u);
  r.machine->run(kAll, kAll, next - 1);
  EXPECT_EQ(r.machine->steps(), steps);
  EXPECT_EQ(r.machine->cycles(), cycles);
  EXPECT_EQ(r.peek<u32>(kLog), 0u);
  r.machine->run(kAll, kAll, next);
  EXPECT_EQ(r.peek<u32>(kLog), 1u);
  EXPECT_FALSE(r.machine->stop().requested()) << "nothing is due: it waits on";
  r.machine->run();
  EXPECT_EQ(r.machine->stop().reason(), StopReason::halted);
  other.machine->run();
  EXPECT_EQ(r.machine->state_hash(), other.machine->state_hash());
}

TEST(Schedule, AnEventWithinARunComesAtItsExactCycle) {
  // Spins instead of halting: sti; jmp to itself. The handler is entered after exactly the timer's count of steps.
  std::vector<u8> code = waits_for_timer(5000);
  code.resize(code.size() - 3);
  append(code, {0xeb, 0xfe});
  Raw r(code);
  put_tables(r);
  struct Seen final : EventSink {
    void on(const Event& e) override { if (e.kind == EventKind::interrupt) step = e.step; }
    u64 step = 0;
  } seen;
  r.machine->watch(&seen);
  r.machine->run(6000);
  EXPECT_EQ(r.peek<u32>(kLog), 1u);
  // The count is written by the fifth instruction, step 4: its count has passed when 5000 cycles more have.
  EXPECT_GE(seen.step, 5004u);
  EXPECT_LE(seen.step, 5006u);
  const u64 first = seen.step;
  Raw again(code);
  put_tables(again);
  again.machine->watch(&seen);
  for (u64 n = 1; n <= 6000; ++n) again.machine->run(n);
  EXPECT_EQ(seen.step, first);
  EXPECT_EQ(again.machine->state_hash(), r.machine->state_hash());
}

/// Each processor takes numbers of a common counter and writes its own id to that place of a log.
std::vector<u8> takes_turns() {
  std::vector<u8> code;
  append(code, {0xb9, 0x01, 0x00, 0x00, 0x00});                          // mov ecx, 1
  append(code, {0xf0, 0x0f, 0xc1, 0x0d, 0x00, 0x00, 0x11, 0x00});        // lock xadd [0x110000], ecx
  append(code, {0x81, 0xe1, 0xff, 0xff, 0x00, 0x00});                    // and ecx, 0xffff
  append(code, {0x88, 0x91, 0x00, 0x00, 0x12, 0x00});                    // mov [ecx + 0x120000], dl
  append(code, {0xeb, 0xe5});                                            // jmp
  return code;
}

TEST(Schedule, ProcessorsTakeTurnsInTheSameWayEachTime) {
  std::string hashes[3];
  for (int run = 0; run < 3; ++run) {
    Raw r(takes_turns(), 2);
    r.machine->processor(0).r[2] = 1;
    r.machine->processor(1).r[2] = 2;
    r.start(1, 0x100000);
    if (run < 2) r.machine->run(50'000);
    else for (Choice c(7); r.machine->steps() < 50'000;) r.machine->run(std::min<u64>(50'000, r.machine->steps() + 1 + c.below(300)));
    hashes[run] = r.machine->state_hash();
    // Slices of 2000 steps are 400 turns of the loop of five.
    unsigned changes = 0, of[3] = {};
    for (u64 n = 1; n < r.peek<u32>(kLog); ++n) changes += r.peek<u8>(0x120000 + n) != r.peek<u8>(0x120000 + n - 1), ++of[r.peek<u8>(0x120000 + n)];
    EXPECT_EQ(of[0], 0u);
    EXPECT_EQ(changes, 24u);
    EXPECT_EQ(of[1] + of[2], 9999u);
    EXPECT_NEAR(of[1], 5000, 500);
  }
  EXPECT_EQ(hashes[0], hashes[1]);
  EXPECT_EQ(hashes[0], hashes[2]) << "however the run is cut";
}

TEST(Schedule, AHaltedProcessorGivesItsSliceAway) {
  std::vector<u8> code = takes_turns();
  append(code, {0xfa, 0xf4});  // cli; hlt
  Raw r(code, 2);
  r.start(1, static_cast<u32>(0x100000 + code.size() - 2));
  r.machine->run(10'000);
  EXPECT_EQ(r.machine->cycles(), 10'000u);
  EXPECT_EQ(r.peek<u32>(kLog), (10'000u - 2 + 3) / 5) << "all other steps are the first processor's";
}

TEST(Schedule, TypedBytesReachTheSerialPort) {
  Raw r({0xeb, 0xfe});
  const std::string before = r.machine->state_hash();
  r.machine->type('x');
  EXPECT_NE(r.machine->state_hash(), before);
}

}  // namespace
}  // namespace vt::emu
