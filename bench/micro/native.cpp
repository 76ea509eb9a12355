// SPDX-License-Identifier: GPL-2.0-or-later
// The microbenchmarks as a program of Linux: on one processor, the minimum of many short repetitions, one JSON object a line.
//   native [--cpu N] [--seconds S] [--list] [NAME...]      S: for each row
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "rows.hpp"

namespace {
using namespace micro;
using Clock = std::chrono::steady_clock;

u8* pages(u64 size, bool large) {
  void* p = mmap(nullptr, size + 2 * kMiB, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) { std::perror("native: mmap"); std::exit(1); }
  u8* at = reinterpret_cast<u8*>((reinterpret_cast<u64>(p) + 2 * kMiB - 1) & ~(2 * kMiB - 1));
  madvise(at, size, large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return at;
}
/// Whether the kernel has really given 2 MiB pages there.
bool are_large(const u8* at) {
  std::FILE* f = std::fopen("/proc/self/smaps", "r");
  if (f == nullptr) return false;
  char line[512];
  bool here = false, yes = false;
  while (std::fgets(line, sizeof line, f) != nullptr) {
    unsigned long from, to;
    if (std::sscanf(line, "%lx-%lx ", &from, &to) == 2) here = from <= reinterpret_cast<u64>(at) && reinterpret_cast<u64>(at) < to;
    else if (unsigned long kib; here && std::sscanf(line, "AnonHugePages: %lu kB", &kib) == 1) yes = yes || kib * kKiB >= kArena;
  }
  std::fclose(f);
  return yes;
}
std::string processor() {
  std::FILE* f = std::fopen("/proc/cpuinfo", "r");
  std::string name, family, model;
  char line[4096];
  while (f != nullptr && std::fgets(line, sizeof line, f) != nullptr) {
    std::string s = line;
    const auto colon = s.find(':');
    if (colon == std::string::npos) break;                        // the first processor says it for all
    std::string key = s.substr(0, s.find_last_not_of("\t ", colon - 1) + 1), value = s.substr(std::min(colon + 2, s.size() - 1));
    value.erase(value.find_last_not_of("\n ") + 1);
    if (key == "model name") name = value;
    if (key == "cpu family") family = value;
    if (key == "model") model = value;
  }
  if (f != nullptr) std::fclose(f);
  return name + ", family " + family + " model " + model;
}

/// Ticks of the counter for 10,000 cycles: a chain of additions, one cycle each. The counter has a rate of its own, that of the core changes, and a
/// neighbour on the same core makes even this chain slower: never faster.
constexpr u64 kAdditions = 100;
constexpr double kSame = 0.0005;
double rate_now(double overhead) { return double(once(kRows[0], kAdditions)) - overhead; }
double overhead_of_a_look() {
  u64 one = ~u64{0}, two = ~u64{0};
  for (unsigned i = 0; i < 4000; ++i) {
    one = std::min(one, once(kRows[0], kAdditions / 4));
    two = std::min(two, once(kRows[0], kAdditions));
  }
  return (4.0 * double(one) - double(two)) / 3.0;
}
/// Core cycles of an operation. Each repetition stands between two looks at the rate, and those count where both are the best that was seen: the core was
/// at its fastest and alone. What disturbs makes times longer, so of those the shortest is taken. Where the best rate was not seen often, it may have been
/// that of a core that was never alone: then `quiet` is false.
double measure(const Row& r, double seconds, double overhead, double& rate, bool& quiet) {
  struct Repetition { double one, two, rate; };
  // Repetitions must be shorter than a neighbour's interruptions. A chain goes on where it was, so even few steps see all of it in time.
  const u64 n = r.run != run_chain ? r.n * 8 : elements(r) > 4096 ? r.n / 4 : r.n * 2, longer = 3;
  if (r.setup != nullptr) r.setup(r);
  r.run(warm_up(r) + 1, r);
  std::vector<Repetition> all;
  const auto begin = Clock::now();
  std::size_t good = 0;
  double best = 1e18;
  for (bool go_on = true; go_on;) {
    const double before = rate_now(overhead);
    const double a = double(once(r, n)), b = double(once(r, longer * n));
    const double worse = std::max(before, rate_now(overhead));
    if (worse < best * (1 - kSame)) good = 0;
    best = std::min(best, worse);
    good += worse <= best * (1 + kSame);
    all.push_back({a, b, worse});
    const double took = std::chrono::duration<double>(Clock::now() - begin).count();
    go_on = took < seconds || (good < 20 && took < 5 * seconds + 0.1);
  }
  std::sort(all.begin(), all.end(), [](auto& x, auto& y) { return x.rate < y.rate; });
  double one = 1e18, two = 1e18;
  for (std::size_t i = 0; i < all.size() && (i < 10 || all[i].rate <= best * (1 + kSame)); ++i)
    one = std::min(one, all[i].one / all[i].rate), two = std::min(two, all[i].two / all[i].rate);
  rate = best / (100.0 * kAdditions);
  quiet = good >= 20;
  return (two - one) * (100.0 * kAdditions) / double((longer - 1) * n * r.ops);
}
}  // namespace

int main(int argc, char** argv) {
  double seconds = 0.1;
  int cpu = -1;
  bool list = false;
  std::vector<std::string> only;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--list") list = true;
    else if (word == "--cpu" && i + 1 < argc) cpu = std::atoi(argv[++i]);
    else if (word == "--seconds" && i + 1 < argc) seconds = std::atof(argv[++i]);
    else if (!word.starts_with("-")) only.push_back(word);
    else {
      std::fprintf(stderr, "native: unknown option '%s'\nusage: native [--cpu N] [--seconds S] [--list] [NAME...]\n", word.c_str());
      return 2;
    }
  }
  if (list) {
    for (const Row& r : kRows) std::printf("{\"name\":\"%s\"}\n", r.name);
    return 0;
  }
  if (cpu < 0) cpu = sched_getcpu();
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) { std::fprintf(stderr, "native: no processor %d here\n", cpu); return 2; }

  memory = {pages(kArena, false), pages(kArena, true), pages(kScratch, true)};
  for (u8* window : {memory.small, memory.large})
    for (u64 i = 0; i < kArena; i += kPage) window[i] = 1;
  std::memset(memory.scratch, 0, kScratch);
  const bool large = are_large(memory.large);
  std::printf("{\"processor\":\"%s\",\"large_pages\":%s}\n", processor().c_str(), large ? "true" : "false");
  const double overhead = overhead_of_a_look();
  for (const Row& r : kRows) {
    if (!only.empty() && std::find(only.begin(), only.end(), r.name) == only.end()) continue;
    if (r.place != Place::anywhere || r.run == nullptr || (r.large && !large)) {
      std::printf("{\"name\":\"%s\",\"cycles\":null}\n", r.name);
      continue;
    }
    double rate = 1;
    bool quiet = false;
    const double cycles = measure(r, seconds, overhead, rate, quiet);
    std::printf("{\"name\":\"%s\",\"cycles\":%.3f,\"tsc_per_cycle\":%.4f,\"quiet\":%s}\n", r.name, cycles, rate, quiet ? "true" : "false");
    std::fflush(stdout);
  }
}
