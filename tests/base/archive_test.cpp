// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "base/archive.hpp"

using namespace vt;

namespace {
enum class Colour : u8 { red, green };
struct Inner { u16 a = 1; std::array<u32, 3> b{1, 2, 3}; void state(Ar& ar) { ar(a, b); } };
struct Outer {
  Inner inner;
  std::vector<Inner> list{2};
  std::deque<u8> queue{1, 2};
  std::map<u32, std::string> names{{1, "one"}};
  std::optional<u64> maybe = 7;
  Colour colour = Colour::green;
  Hpa at{0x1000};
  void state(Ar& ar) { ar.section("inner", inner); ar(list, queue, names, maybe, colour, at); }
};
std::string hash(Outer& o) { HashAr h; o.state(h); return h.hex(); }
}  // namespace

TEST(archive, load_gives_back_what_was_saved) {
  Outer o;
  o.inner.b[1] = 42, o.queue.push_back(9), o.names[5] = "five", o.maybe.reset();
  SaveAr s;
  o.state(s);
  Outer p;
  LoadAr l(s.out);
  p.state(l);
  EXPECT_TRUE(l.at_end());
  EXPECT_EQ(hash(o), hash(p));
  EXPECT_EQ(p.names.at(5), "five");
}

TEST(archive, every_field_counts_in_the_hash) {
  Outer o;
  const auto before = hash(o);
  // Maps and element counts are visited as copies; altering those in place is the load test's business.
  VisitAr v;
  o.inner.state(v);
  ASSERT_EQ(v.fields.size(), 4u);
  for (auto& f : v.fields) {
    static_cast<u8*>(f.p)[0] ^= 1;
    EXPECT_NE(hash(o), before) << f.path;
    static_cast<u8*>(f.p)[0] ^= 1;
  }
  EXPECT_EQ(hash(o), before);
}

TEST(archive, short_input_is_an_input_error) {
  Outer o;
  SaveAr s;
  o.state(s);
  s.out.resize(s.out.size() - 1);
  LoadAr l(s.out);
  EXPECT_THROW(o.state(l), std::runtime_error);
}
