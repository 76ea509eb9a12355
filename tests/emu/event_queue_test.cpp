// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/event_queue.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace vt::emu {
namespace {

struct Log final : Timed {
  void expire(u32 kind, u64 now) override { seen.push_back({kind, now}); if (then) then(); }
  std::vector<std::pair<u32, u64>> seen;
  std::function<void()> then;
};

std::string hash(EventQueue& q) { HashAr h; q.state(h); return h.hex(); }

TEST(EventQueue, EventsComeInTheOrderOfTheirCyclesThenOfTheirRequests) {
  EventQueue q;
  Log a, b;
  EXPECT_EQ(q.next(), EventQueue::kNone);
  q.at(20, a, 1);
  q.at(10, b, 2);
  q.at(20, b, 3);
  q.at(10, a, 4);
  EXPECT_EQ(q.next(), 10u);
  for (int n = 0; n < 4; ++n) q.expire_one(50);
  using Seen = std::vector<std::pair<u32, u64>>;
  EXPECT_EQ(b.seen, (Seen{{2, 50}, {3, 50}}));
  EXPECT_EQ(a.seen, (Seen{{4, 50}, {1, 50}}));
  EXPECT_EQ(q.next(), EventQueue::kNone);
}

TEST(EventQueue, OneEventPerOwnerAndKindWhichMoves) {
  EventQueue q;
  Log a;
  q.at(10, a, 1);
  q.at(30, a, 1);
  q.at(20, a, 2);
  EXPECT_EQ(q.next(), 20u);
  q.expire_one(20);
  EXPECT_EQ(q.next(), 30u);
  q.cancel(a, 1);
  EXPECT_EQ(q.next(), EventQueue::kNone);
  q.cancel(a, 1);  // nothing there: nothing happens
}

TEST(EventQueue, AnOwnerMayQueueItselfAgainWhileItExpires) {
  EventQueue q;
  Log a;
  a.then = [&] { if (a.seen.size() < 3) q.at(a.seen.size() * 10 + 10, a, 1); };
  q.at(10, a, 1);
  for (u64 now = 10; q.next() != EventQueue::kNone; now += 10) {
    EXPECT_EQ(q.next(), now);
    q.expire_one(now);
  }
  EXPECT_EQ(a.seen.size(), 3u);
}

TEST(EventQueue, StateComesBackWithOwnersOrderAndSequence) {
  Log a, b;
  EventQueue q;
  q.add_owner(a), q.add_owner(b);
  q.seal();
  q.at(10, b, 7);
  q.at(10, a, 5);
  SaveAr save;
  q.state(save);
  EventQueue r;
  r.add_owner(a), r.add_owner(b);
  r.seal();
  r.at(1, a, 9);  // gone after loading
  LoadAr load(save.out);
  r.state(load);
  EXPECT_TRUE(load.at_end());
  EXPECT_EQ(hash(q), hash(r));
  r.expire_one(10);
  EXPECT_EQ(b.seen.size(), 1u) << "the first that was queued comes first";
  r.at(10, a, 5);
  q.expire_one(10);
  q.at(10, a, 5);
  EXPECT_EQ(hash(q), hash(r)) << "the sequence goes on where it was";
}

TEST(EventQueue, AnEventOfNobodyIsADamagedState) {
  Log a;
  EventQueue q, r;
  q.at(10, a, 1);
  SaveAr save;
  q.state(save);
  LoadAr load(save.out);
  try {
    r.state(load);
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "damaged state: an event of nobody");
  }
}

TEST(EventQueueDeathTest, AnOwnerThatTheMachineDoesNotKnowIsOurBug) {
  Log a;
  EventQueue q;
  q.seal();
  EXPECT_DEATH(q.at(10, a, 1), "not given to add_owner");
}

}  // namespace
}  // namespace vt::emu
