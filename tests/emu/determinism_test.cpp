// SPDX-License-Identifier: GPL-2.0-or-later
/// A run is a pure function of its inputs: on real guests, however it is cut, watched, or its caches are dropped.
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "guest.hpp"

namespace vt::emu {
namespace {

namespace files = std::filesystem;

std::vector<Guest> small_guests() {
  return {bare("hello64", ~u64{0}, "one two"), bare("modes"), bare("exceptions"), bare("paging"), bare("segmentation"), bare("smc"), bare("strings"),
          bare("syscalls"), bare("fpu"), bare("vmx_basic"), bare("interrupts", 2'000'000), bare("vtd_dma"), bare("smp", 1'500'000, "", "smp4.json")};
}

/// With the timing models: what an instruction costs must not depend on any of this, either.
std::vector<Guest> timed_guests() {
  std::vector<Guest> all;
  for (timing::Model m : {timing::Model::events, timing::Model::core})
    for (Guest g : {bare("hello64", ~u64{0}, "one two"), bare("exceptions"), bare("paging"), bare("smc"), bare("strings", 600'000), bare("vmx_basic"), bare("interrupts", 600'000),
                    bare("vtd_dma"), bare("smp", 600'000, "", "smp4.json")}) {
      g.name += m == timing::Model::events ? "_events" : "_core";
      g.timing = m;
      all.push_back(g);
    }
  return all;
}

Outcome run(const Guest& g) {
  Booted b(g);
  b.machine->run(g.limit);
  return outcome(*b.machine, b.console);
}
/// The plain run, made once for all tests.
const Outcome& plain(const Guest& g) {
  static std::map<std::string, Outcome> known;
  auto it = known.find(g.name);
  if (it == known.end()) it = known.emplace(g.name, run(g)).first;
  return it->second;
}

class SmallGuests : public testing::TestWithParam<Guest> {
 protected:
  void SetUp() override {
    if (!there(GetParam())) GTEST_SKIP() << "no guest " << GetParam().kernel << ": guests/bare/build.py makes it";
  }
};
INSTANTIATE_TEST_SUITE_P(Determinism, SmallGuests, testing::ValuesIn(small_guests()), [](const auto& i) { return i.param.name; });

TEST_P(SmallGuests, TheSameInputsGiveTheSameRun) {
  const Outcome& o = plain(GetParam());
  EXPECT_GT(o.steps, 1000u);
  EXPECT_EQ(run(GetParam()), o);
}

INSTANTIATE_TEST_SUITE_P(Timed, SmallGuests, testing::ValuesIn(timed_guests()), [](const auto& i) { return i.param.name; });

/// Pieces of all sizes, single steps above all.
u64 piece(Choice& c) {
  switch (c.below(8)) {
    case 0: return 1 + c.below(20'000);
    case 1: return 1 + c.below(1000);
    case 2: case 3: return 1 + c.below(60);
    default: return 1 + c.below(4);
  }
}

TEST_P(SmallGuests, CutIntoRandomPieces) {
  const Outcome& o = plain(GetParam());
  Booted b(GetParam());
  Choice c(11);
  while (b.machine->steps() < o.steps && !b.machine->stop().requested()) b.machine->run(std::min(o.steps, b.machine->steps() + piece(c)));
  EXPECT_EQ(outcome(*b.machine, b.console), o);
  EXPECT_EQ(b.machine->retired(), o.retired);   // each iteration of a repeated instruction is one, however they are cut
}

TEST_P(SmallGuests, InSingleSteps) {
  const Outcome& o = plain(GetParam());
  constexpr u64 kFirst = 250'000, kLast = 150'000;   // and of a longer guest what it does at its end
  const u64 skip = o.steps > kFirst + kLast ? o.steps - kLast : 0;
  Booted b(GetParam());
  const auto step = [&](u64 until) { while (b.machine->steps() < until && !b.machine->stop().requested()) b.machine->run(b.machine->steps() + 1); };
  if (skip) step(kFirst), b.machine->run(skip);
  step(o.steps);
  EXPECT_EQ(outcome(*b.machine, b.console), o);
  EXPECT_EQ(b.machine->retired(), o.retired);
}

TEST_P(SmallGuests, DerivedStateDroppedAtRandomMoments) {
  const Outcome& o = plain(GetParam());
  for (u64 seed : {1, 2}) {
    Booted b(GetParam());
    Choice c(seed);
    const u64 mean = o.steps / 150 + 1;
    while (b.machine->steps() < o.steps && !b.machine->stop().requested()) {
      b.machine->run(std::min(o.steps, b.machine->steps() + (seed == 1 ? 1 + c.below(2 * mean) : piece(c) % (2 * mean) + mean)));
      b.machine->drop_derived();
      if (c.below(10) == 0) b.machine->state_hash();  // looking changes nothing
    }
    EXPECT_EQ(outcome(*b.machine, b.console), o);
  }
}

TEST_P(SmallGuests, Watched) {
  struct Counter final : EventSink {
    void on(const Event&) override { ++n; }
    u64 n = 0;
  } counter;
  const Outcome& o = plain(GetParam());
  Booted b(GetParam());
  b.machine->watch(&counter);
  b.machine->run(GetParam().limit);
  EXPECT_EQ(outcome(*b.machine, b.console), o);
  RecordProperty("events", static_cast<int>(counter.n));
}

TEST_P(SmallGuests, AskingForTheTimeLeavesNoTrace) {
  Booted b(GetParam());
  b.machine->run(plain(GetParam()).steps / 2);
  const std::string before = b.machine->state_hash();
  for (unsigned n = 0; n < b.machine->cpus(); ++n) b.machine->processor(n).tsc();
  EXPECT_EQ(b.machine->state_hash(), before);
}

TEST_P(SmallGuests, SavedAndLoadedAtRandomSteps) {
  const Outcome& o = plain(GetParam());
  Booted b(GetParam());
  Choice c(5);
  for (int n = 0; n < 8; ++n) {
    b.machine->run(c.below(o.steps));
    SaveAr save;
    b.machine->state(save);
    Booted fresh(GetParam());
    LoadAr load(save.out);
    fresh.machine->state(load);
    fresh.machine->run(GetParam().limit);
    EXPECT_TRUE(load.at_end());
    EXPECT_EQ(fresh.machine->state_hash(), o.hash);
    if (b.machine->stop().requested()) break;
  }
}

// --- in another process ---------------------------------------------------------------------------------------

/// Runs this program again: restores `checkpoint` on the platform, runs to `last` and says its state's hash.
std::string elsewhere(const std::string& checkpoint, const std::string& platform, u64 last) {
  int out[2];
  if (pipe(out) != 0) return "no pipe";
  const std::string steps = std::to_string(last);
  const pid_t child = fork();
  if (child == 0) {
    dup2(out[1], 1);
    close(out[0]);
    close(out[1]);
    execl("/proc/self/exe", "test_emu", "--continue", checkpoint.c_str(), platform.c_str(), steps.c_str(), nullptr);
    _exit(127);
  }
  close(out[1]);
  std::string text;
  char buffer[256];
  for (ssize_t n; (n = read(out[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  close(out[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? text : text + " (status " + std::to_string(status) + ")";
}

struct Directory {
  Directory() {
    std::string name = (files::temp_directory_path() / "vitrine-determinism-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
    path = name;
  }
  ~Directory() { files::remove_all(path); }
  std::string path;
};

/// `count` checkpoints at random steps, in order, of a run that is then compared with `want`.
void restore_elsewhere(const Guest& g, u64 first, u64 steps, unsigned count, const Outcome* want) {
  Directory d;
  Booted b(g);
  const std::string platform = d.path + "/platform.json", checkpoint = d.path + "/checkpoint";
  std::ofstream(platform) << fw::to_json(b.machine->platform());
  Choice c(42);
  std::vector<u64> at;
  for (unsigned n = 0; n < count; ++n) at.push_back(first + c.below(steps - first));
  std::sort(at.begin(), at.end());
  std::vector<std::string> hashes;
  std::string missing;
  for (u64 step : at) {
    b.machine->run(step);
    save_checkpoint(*b.machine, checkpoint + std::to_string(hashes.size()));
    hashes.push_back("");
  }
  b.machine->run(g.limit);
  const std::string end = b.machine->state_hash();
  if (want) {
    EXPECT_EQ(end, want->hash) << "saving changes nothing";
  }
  for (std::size_t n = 0; n < at.size(); ++n) {
    EXPECT_EQ(elsewhere(checkpoint + std::to_string(n), platform, b.machine->steps()), end) << "from step " << at[n] << " of " << g.name;
    files::remove(checkpoint + std::to_string(n));
  }
}

TEST(Determinism, RestoredInAnotherProcessAtTwentyRandomSteps) {
  for (const Guest& g : {bare("interrupts", 2'000'000), bare("paging"), bare("vmx_basic"), bare("smp", 1'500'000, "", "smp4.json")}) {
    if (!there(g)) GTEST_SKIP() << "no guest " << g.kernel;
    restore_elsewhere(g, 1, plain(g).steps, g.name == "interrupts" ? 20 : 5, &plain(g));
  }
}

// With the timing models: while it does DMA, which has counts of its own.
TEST(Determinism, ADmaGuestRestoredInAnotherProcess) {
  for (const Guest& g : timed_guests()) {
    if (g.name.rfind("vtd_dma", 0) != 0) continue;
    if (!there(g)) GTEST_SKIP() << "no guest " << g.kernel;
    restore_elsewhere(g, plain(g).steps - 150'000, plain(g).steps, 3, &plain(g));
  }
}

TEST(Determinism, OneByteOfInputChangesTheHash) {
  Guest g = bare("hello64", ~u64{0}, "one two");
  if (!there(g)) GTEST_SKIP() << "no guest " << g.kernel;
  Directory d;
  const std::string file = d.path + "/module";
  std::string bytes(100'000, 'x');
  std::ofstream(file) << bytes;
  g.modules = {{file, "arguments"}};
  const Outcome first = run(g);
  EXPECT_EQ(run(g), first);

  bytes[77'777] = 'y';
  std::ofstream(file) << bytes;
  EXPECT_NE(run(g).hash, first.hash) << "a byte of a module";
  bytes[77'777] = 'x';
  std::ofstream(file) << bytes;
  EXPECT_EQ(run(g), first);

  Guest other = g;
  other.append = "one twp";
  EXPECT_NE(run(other).hash, first.hash) << "the command line";
  other = g;
  other.modules[0].args = "argumentt";
  EXPECT_NE(run(other).hash, first.hash) << "a module's arguments";

  auto changed = [&](auto change) {
    fw::Platform p = platform_of(g);
    change(p);
    Booted b(fw::parse_platform(fw::to_json(p)), g);
    b.machine->run(g.limit);
    return b.machine->state_hash();
  };
  EXPECT_EQ(changed([](fw::Platform&) {}), first.hash);
  EXPECT_NE(changed([](fw::Platform& p) { p.rtc = "2024-01-01T00:00:01"; }), first.hash);
  EXPECT_NE(changed([](fw::Platform& p) { p.cpu.features = {"-rdseed"}; }), first.hash) << "which no guest has asked for";
  EXPECT_NE(changed([](fw::Platform& p) { p.drhds[0].iotlb_entries = 255; }), first.hash);
  EXPECT_NE(changed([](fw::Platform& p) { p.pci.back().revision ^= 1; }), first.hash);
}

// --- Xen ----------------------------------------------------------------------------------------------------------

/// As far as the first 150 million steps; XEN_STEPS in the environment goes further.
const u64 kXenSteps = std::getenv("XEN_STEPS") ? std::strtoull(std::getenv("XEN_STEPS"), nullptr, 10) : 150'000'000;

class Xen : public testing::Test {
 protected:
  void SetUp() override {
    if (!there(xen(0))) GTEST_SKIP() << "no Xen in " << build_directory() << "/guests: guests/fetch gets it";
  }
  const Guest g = xen(kXenSteps);
};

TEST_F(Xen, CutAndDroppedAtRandomMoments) {
  const Outcome& o = plain(g);
  EXPECT_LE(o.steps, kXenSteps);
  EXPECT_NE(o.console.find("Xen version"), std::string::npos);
  Booted b(g);
  Choice c(9);
  while (b.machine->steps() < o.steps && !b.machine->stop().requested()) {
    // Mostly long runs; now and then a thousand small pieces.
    if (c.below(4) == 0) for (int n = 0; n < 1000; ++n) b.machine->run(std::min(o.steps, b.machine->steps() + piece(c) % 300 + 1));
    b.machine->run(std::min(o.steps, b.machine->steps() + 1 + c.below(3'000'000)));
    b.machine->drop_derived();
  }
  EXPECT_EQ(outcome(*b.machine, b.console), o);
}

TEST_F(Xen, RestoredInAnotherProcess) { restore_elsewhere(g, 20'000'000, kXenSteps, 4, &plain(g)); }

}  // namespace
}  // namespace vt::emu
