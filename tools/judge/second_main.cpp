// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/second_main.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include <fmt/format.h>

namespace vt::judge {

int second_main(const Second::Options& o, const std::string& resume) {
  Second second;
  if (!second.missing().empty()) {
    fmt::print(stderr, "left out: {}\n", second.missing());
    return 0;
  }
  if (!second.has_host()) fmt::print(stderr, "no host to say which of two is wrong\n");
  Tally tally;
  if (!resume.empty()) tally = read_tally(resume);
  ClassTally& t = tally["unicorn:sequences"];
  Second::Options part = o;
  if (!resume.empty() && t.seed == o.seed) part.first = std::max(o.first, t.cases);
  else if (!resume.empty())
    for (auto& [name, k] : tally) if (name.rfind("unicorn:", 0) == 0) k = {};
  const u64 last = o.first + o.cases;
  const auto start = std::chrono::steady_clock::now();
  SecondResult all;
  while (part.first < last) {
    part.cases = std::min<u64>(last - part.first, 10'000);
    const SecondResult r = second.run(part);
    part.first += part.cases;
    all.cases += r.cases, all.instructions += r.instructions, all.faults += r.faults, all.differences += r.differences, all.undecided += r.undecided;
    for (auto& [k, n] : r.explained) all.explained[k] += n;
    for (auto& [k, n] : r.by_name) all.by_name[k] += n;
    for (auto& text : r.reports) if (all.reports.size() < o.reports) { all.reports.push_back(text); fmt::print("{}\n", text); }
    if (resume.empty()) continue;
    auto add = [&](const std::string& name, u64 cases, u64 faults, u64 differences) {
      ClassTally& k = tally["unicorn:" + name];
      k.seed = o.seed, k.cases += cases, k.faults += faults, k.differences += differences;
    };
    add("sequences", r.cases, r.faults, r.differences), add("instructions", r.instructions, 0, 0);
    for (auto& [k, n] : r.explained) add("known:" + k, n, 0, 0);
    tally["unicorn:sequences"].skipped = Unicorn::version();
    write_tally(resume, tally);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("unicorn {}: {} sequences of {} instructions, {} faults, {} differences, {:.1f} s\n", Unicorn::version(), all.cases, all.instructions, all.faults, all.differences, seconds);
  for (auto& [k, n] : all.explained) fmt::print("  Unicorn's known fault {}: {}\n", k, n);
  if (all.undecided) fmt::print("  {} of these without a host to confirm them\n", all.undecided);
  for (auto& [k, n] : all.by_name) fmt::print("  {}: {}\n", k, n);
  return all.differences ? 1 : 0;
}

std::string second_doc(const Tally& t) {
  const auto get = [&](const std::string& name) {
    const auto it = t.find("unicorn:" + name);
    return it == t.end() ? ClassTally{} : it->second;
  };
  const ClassTally all = get("sequences");
  std::string out = fmt::format(
      "\n## Sequences against Unicorn\n\n`build/tools/judge --unicorn` runs random sequences of {} to {} integer instructions (the classes `integer`, `shift`, `muldiv`, `bit`, `string`, `bmi` and of\n"
      "`control` what stays inside: stack, SETcc, jumps and calls forward) in the model and in Unicorn {} from the same registers, flags, data and stack, and compares registers, defined\n"
      "flags, memory, the exception and where it was. No instruction of a sequence reads a flag that the manual leaves undefined. A difference is cut down to the shortest run that shows it,\n"
      "and the host says which of the two is wrong; behind one that is Unicorn's, both go on from the model's state.\n\n"
      "| sequences | instructions | that fault | differences |\n|---:|---:|---:|---:|\n| {} | {} | {} | {} |\n",
      kShortest, kLongest, all.skipped.empty() ? "(not run)" : all.skipped, all.cases, get("instructions").cases, all.faults, all.differences);
  out += "\n### Unicorn's known faults\n\nEach of them the host has confirmed: it does as the model.\n\n| instructions | what | why | seen |\n|---|---|---|---:|\n";
  for (const Known& k : known_faults()) out += fmt::format("| {} | {} | {} | {} |\n", k.names ? k.names : "any", k.what, k.why, get(std::string("known:") + k.key).cases);
  out += "\n### Not in sequences\n\n| instructions | why |\n|---|---|\n";
  for (const Exclusion& e : not_in_sequences()) out += fmt::format("| {}{}{} | {} |\n", e.names, e.opcode ? " " : "", e.opcode ? e.opcode : "", e.why);
  return out;
}

}  // namespace vt::judge
