// SPDX-License-Identifier: GPL-2.0-or-later
/// A clock, wires and sinks for tests of one device, and the check that its state is complete.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <memory>

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
