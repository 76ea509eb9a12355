// SPDX-License-Identifier: GPL-2.0-or-later
/// A clock, wires and sinks for tests of one device, and the check that its state is complete.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "emu/device.hpp"

namespace vt::emu {

class FakeClock final : public Clock {
 public:
  u64 now() const override { return now_; }
  void at(u64 cycle, Timed& owner, u32 kind) override { events[{&owner, kind}] = cycle; }
  void cancel(Timed& owner, u32 kind) override { events.erase({&owner, kind}); }
  void to(u64 cycle) {
    for (;;) {
      auto first = events.end();
      for (auto i = events.begin(); i != events.end(); ++i)
        if (i->second <= cycle && (first == events.end() || i->second < first->second)) first = i;
      if (first == events.end()) break;
      const auto [who, when] = *first;
      events.erase(first);
      now_ = std::max(now_, when);
      who.first->expire(who.second, now_);
    }
    now_ = cycle;
  }
  void pass(u64 cycles) { to(now_ + cycles); }
  bool idle() const { return events.empty(); }
  u64 next() const {
    u64 best = ~u64{0};
    for (auto& [who, when] : events) best = std::min(best, when);
    return best;
  }
  std::map<std::pair<Timed*, u32>, u64> events;

 private:
  u64 now_ = 0;
};

/// Memory from address 0 for DMA; what lies in [block_first, block_last] is refused, as an IOMMU does. Where messages go is the test's matter.
struct FakeMemory : DmaPort {
  explicit FakeMemory(u64 size) : memory(size) {}
  bool good(u64 at, std::size_t n) const { return at < memory.size() && n <= memory.size() - at && (at > block_last || at + n <= block_first); }
  bool read(Bdf, Iova at, void* to, std::size_t n) override {
    if (!good(at.v, n)) { std::memset(to, 0xff, n); return false; }
    std::memcpy(to, &memory[at.v], n);
    return true;
  }
  bool write(Bdf, Iova at, const void* from, std::size_t n) override {
    if (!good(at.v, n)) return false;
    std::memcpy(&memory[at.v], from, n);
    return true;
  }
  template <class T> T get(u64 at) const { T v; std::memcpy(&v, &memory[at], sizeof v); return v; }
  template <class T> void put(u64 at, const T& v) { std::memcpy(&memory[at], &v, sizeof v); }
  std::vector<u8> memory;
  u64 block_first = ~u64{0}, block_last = 0;
};

struct FakeLine final : IrqLine {
  void set(bool asserted) override {
    if (asserted && !level) ++rises;
    level = asserted;
  }
  bool level = false;
  int rises = 0;
};

struct FakeSink final : SerialSink {
  void put(u8 byte) override { text += static_cast<char>(byte); }
  std::string text;
};

template <class T>
std::string hash_of(T& device) { HashAr h; device.state(h); return h.hex(); }

/// Each field that lies in the object counts in the hash; what was saved loads into `fresh` with the same hash.
template <class T>
void expect_complete_state(T& used, T& fresh, std::size_t at_least) {
  const auto before = hash_of(used);
  VisitAr v;
  used.state(v);
  std::size_t altered = 0;
  for (auto& f : v.fields) {
    auto* p = static_cast<u8*>(f.p);
    auto* object = reinterpret_cast<u8*>(&used);
    if (p < object || p >= object + sizeof(T)) continue;  // counts and elements of containers are copies
    *p ^= 1;
    EXPECT_NE(hash_of(used), before) << "field " << altered;
    *p ^= 1;
    ++altered;
  }
  EXPECT_GE(altered, at_least);
  EXPECT_EQ(hash_of(used), before);
  SaveAr s;
  used.state(s);
  LoadAr l(s.out);
  fresh.state(l);
  EXPECT_TRUE(l.at_end());
  EXPECT_EQ(hash_of(fresh), before);
}

}  // namespace vt::emu
