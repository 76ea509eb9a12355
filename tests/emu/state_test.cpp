// SPDX-License-Identifier: GPL-2.0-or-later
/// The hash means it: whatever field of a state is changed, the hash is another one.
#include <functional>
#include <map>

#include "guest.hpp"

namespace vt::emu {
namespace {

/// State as bytes, with where each field lies and what section it is of.
class Fields final : public Ar {
 public:
  void bytes(void* p, std::size_t n) override {
    fields.push_back({all.size(), n, path_});
    auto* b = static_cast<const u8*>(p);
    all.insert(all.end(), b, b + n);
  }
  void enter(std::string_view name) override { marks_.push_back(path_.size()); path_ += '/'; path_ += name; }
  void leave() override { path_.resize(marks_.back()); marks_.pop_back(); }
  struct Field { std::size_t at, n; std::string path; };
  std::vector<Field> fields;
  std::vector<u8> all;

 private:
  std::string path_;
  std::vector<std::size_t> marks_;
};

template <class T>
std::string hash_of(T& what) { HashAr h; what.state(h); return h.hex(); }

/// Changes every field that `take` wants (by index and section), one bit of it, loads it and hashes. A field may refuse (damaged state);
/// else some bit of it has to show. Returns how many were looked at.
template <class T>
unsigned alter_each(T& what, const std::function<bool(std::size_t, const std::string&)>& take) {
  Fields f;
  what.state(f);
  const std::string hash = hash_of(what);
  auto load = [&](const std::vector<u8>& bytes) {
    LoadAr in(bytes);
    what.state(in);
    if (!in.at_end()) throw std::runtime_error("damaged state: it goes on");
  };
  unsigned looked_at = 0;
  std::vector<u8> bytes = f.all;
  for (std::size_t n = 0; n < f.fields.size(); ++n) {
    const auto& field = f.fields[n];
    if (!take(n, field.path)) continue;
    ++looked_at;
    bool seen = false;
    for (std::size_t bit = 0; bit < 8 * field.n && !seen; ++bit) {
      bytes[field.at + bit / 8] ^= static_cast<u8>(1 << bit % 8);
      try {
        load(bytes);
        seen = hash_of(what) != hash;
      } catch (const std::exception&) {
        seen = true;
      }
      bytes[field.at + bit / 8] = f.all[field.at + bit / 8];
    }
    EXPECT_TRUE(seen) << "field " << n << " (" << field.n << " bytes) in " << field.path << " does not show in the hash";
  }
  load(f.all);
  EXPECT_EQ(hash_of(what), hash) << "loading what was saved";
  return looked_at;
}

/// A machine that has seen something: timers, interrupts, the page tables of a guest.
std::unique_ptr<Booted> lively(const std::string& name, u64 steps, u64 memory = u64{32} << 20) {
  Guest g = bare(name);
  if (!there(g)) return nullptr;
  g.memory = memory;
  auto b = std::make_unique<Booted>(g);
  b->machine->run(steps);
  return b;
}

TEST(State, EveryFieldOfAProcessorShows) {
  auto b = lively("vmx_basic", 200'000);
  if (!b) GTEST_SKIP() << "no guest " << bare("vmx_basic").kernel;
  cpu::Cpu& c = b->machine->processor(0);
  // Registers and segments, MSRs, FPU, VMX, APIC.
  EXPECT_GT(alter_each(c, [](std::size_t, const std::string& path) { return path.find("/tlb") == std::string::npos; }), 300u);
}

TEST(State, EveryFieldOfTlbEntriesShows) {
  auto b = lively("paging", 100'000);
  if (!b) GTEST_SKIP() << "no guest " << bare("paging").kernel;
  cpu::Tlb& tlb = b->machine->processor(0).tlb;
  constexpr std::size_t kFieldsOfSet = 8 * cpu::Tlb::kWays + 1;
  const std::size_t last = cpu::Tlb::kSets4k + cpu::Tlb::kSetsLarge - 1;
  unsigned n = alter_each(tlb, [&](std::size_t field, const std::string&) {
    const std::size_t set = field / kFieldsOfSet;
    return set == 0 || set == 1 || set == cpu::Tlb::kSets4k - 1 || set == cpu::Tlb::kSets4k || set == last;
  });
  EXPECT_EQ(n, 5 * kFieldsOfSet);
}

TEST(State, EveryFieldOfDevicesAndOfTheMachineShows) {
  auto b = lively("vtd_dma", 400'000);
  if (!b) GTEST_SKIP() << "no guest " << bare("vtd_dma").kernel;
  // The processors have had their turn; of memory, the number of the first page and its contents; of what is many times the same (cached
  // translations, bytes of configuration space) a part.
  std::map<std::string, unsigned> count;
  unsigned n = alter_each(*b->machine, [&](std::size_t, const std::string& path) {
    if (path.starts_with("/cpu")) return false;
    const unsigned k = count[path]++;
    if (path.find("memory") != std::string::npos) return k < 2;
    return k < 80 || k % 97 == 0;
  });
  EXPECT_GT(n, 300u);
  for (const char* section : {"events", "pic", "ioapic", "com1", "pit", "rtc", "hpet", "vtd0", "pci"}) {
    unsigned found = 0;
    for (auto& [path, k] : count) if (path.find(section) != std::string::npos) found += k;
    EXPECT_GT(found, 0u) << section;
  }
}

TEST(State, AByteOfMemoryShows) {
  Raw r({0xeb, 0xfe});
  Choice choice(1);
  std::string last = r.machine->state_hash();
  for (int n = 0; n < 50; ++n) {
    r.poke<u8>(choice.below(u64{16} << 20), static_cast<u8>(1 + choice.below(255)));
    EXPECT_NE(std::exchange(last, r.machine->state_hash()), last);
  }
}

TEST(State, ThePlatformBelongsToTheHash) {
  fw::Platform p = fw::default_platform(u64{32} << 20);
  Console console;
  auto hash = [&] { Machine m(p, console); return m.state_hash(); };
  const std::string first = hash();
  EXPECT_EQ(hash(), first);
  p.cpu.features = {"-rdseed"};  // nothing in the machine is different before it is asked
  EXPECT_NE(hash(), first);
}

}  // namespace
}  // namespace vt::emu
