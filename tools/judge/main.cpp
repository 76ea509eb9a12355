// SPDX-License-Identifier: GPL-2.0-or-later
/// The native judge:
///   judge [--class NAME]... [--mode BITS] [--cases N] [--seed S] [--first N] [--exact] [--resume FILE]   host against model
///   judge --unicorn [--cases N] [--seed S] [--first N] [--resume FILE]                  Unicorn against model, in sequences
///   judge --list                                                                       classes, exclusions, masks
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include <fmt/format.h>

#include "judge/decode.hpp"
#include "judge/judge.hpp"
#include "judge/report.hpp"
#include "judge/second_main.hpp"

namespace vt::judge {
namespace {

constexpr const char* kUsage =
    "usage: judge [--class NAME]... [--mode 16|32|64] [--cases N] [--seed S] [--first N] [--reports N] [--exact] [--only 'NAME...'] [--resume FILE]\n"
    "       judge --decode [--cases N] [--seed S] [--first N] [--resume FILE] [ELF FILE]...      the decoder against Zydis: N random strings in each mode, or files\n"
    "       judge --unicorn [--cases N] [--seed S] [--first N] [--resume FILE]      the model against Unicorn: sequences of 5 to 50 integer instructions\n"
    "       judge --doc FILE      docs/conformance.md from what FILE (of --resume) holds\n"
    "       judge --list\n";

u64 number(const char* option, const char* text) {
  std::size_t used = 0;
  u64 v = 0;
  try { v = std::stoull(text, &used, 0); } catch (const std::exception&) { used = 0; }
  if (!used || text[used]) throw std::invalid_argument(fmt::format("{}: '{}' is not a number", option, text));
  return v;
}

/// One line of the tally for each, under the name "decode:WHAT": strings as cases, those explained as faults. Random strings go in pieces,
/// and on from where the tally ends.
int decode_main(const std::vector<std::string>& files, const Judge::Options& o, const std::string& resume) {
  Tally tally;
  if (!resume.empty()) tally = read_tally(resume);
  int status = 0;
  auto sum = [](const std::map<std::string, u64>& m) { u64 all = 0; for (auto& [k, n] : m) all += n; return all; };
  auto tell = [&](const std::string& name, const DecodeResult& r) {
    for (auto& [k, n] : r.unexplained) fmt::print("  {} {} e.g.{}\n", k, n, r.example.at(k)), status = 1;
    fmt::print("{}: {} instructions compared, {} refused by both, {} explained, {} differences\n", name, r.instructions, r.undefined, sum(r.explained), sum(r.unexplained));
    std::fflush(stdout);
  };
  auto record = [&](const std::string& name, u64 strings, const DecodeResult& r) {
    if (resume.empty()) return;
    ClassTally& t = tally["decode:" + name];
    t.seed = o.seed, t.cases += strings, t.faults += sum(r.explained), t.differences += sum(r.unexplained);
    write_tally(resume, tally);
  };
  constexpr u64 kPiece = 1'000'000;
  if (files.empty())
    for (unsigned code : {0u, 1u, 2u}) {
      const std::string name = fmt::format("random-{}-bit", 16u << code);
      u64 first = o.first;
      if (ClassTally& t = tally["decode:" + name]; !resume.empty() && t.seed == o.seed) first = std::max(first, t.cases);
      else t = {};
      DecodeResult all;
      while (first < o.first + o.cases) {
        const u64 n = std::min(kPiece, o.first + o.cases - first);
        const DecodeResult r = decode_random(code, o.seed, first, n);
        first += n;
        record(name, n, r), all.add(r);
      }
      tell(name, all);
    }
  for (auto& f : files) {
    const DecodeResult r = decode_elf(f);
    const std::string name = f.substr(f.rfind('/') + 1);
    tally["decode:" + name] = {};
    record(name, r.instructions + r.undefined + sum(r.explained) + sum(r.unexplained), r), tell(name, r);
  }
  return status;
}

int judge_main(int argc, char** argv) {
  std::vector<std::string> wanted;
  Judge::Options o;
  std::string resume, only;
  bool decode = false, unicorn = false;
  std::vector<unsigned> modes{2};
  std::vector<std::string> files;
  for (int k = 1; k < argc; ++k) {
    const std::string a = argv[k];
    auto value = [&]() -> const char* {
      if (k + 1 >= argc) throw std::invalid_argument(a + ": a value is missing");
      return argv[++k];
    };
    if (a == "--class") wanted.push_back(value());
    else if (a == "--cases") o.cases = number("--cases", value());
    else if (a == "--seed") o.seed = number("--seed", value());
    else if (a == "--first") o.first = number("--first", value());
    else if (a == "--reports") o.reports = static_cast<unsigned>(number("--reports", value()));
    else if (a == "--decode") decode = true;
    else if (decode && a[0] != '-') files.push_back(a);
    else if (a == "--unicorn") unicorn = true;
    else if (a == "--exact") o.exact = true;
    else if (a == "--mode") {
      const u64 bits = number("--mode", value());
      if (bits != 16 && bits != 32 && bits != 64) throw std::invalid_argument("--mode: 16, 32 or 64");
      modes = {bits == 16 ? 0u : bits == 32 ? 1u : 2u};
    }
    else if (a == "--only") only = value();
    else if (a == "--resume") resume = value();
    else if (a == "--doc") return std::fputs(conformance_doc(read_tally(value())).c_str(), stdout) < 0;
    else if (a == "--list") {
      for (unsigned code : {2u, 1u, 0u}) for (auto& c : classes(code)) fmt::print("{:10} {:5} rows  {}\n", c.name, c.rows.size(), c.title);
      return 0;
    } else throw std::invalid_argument(a + ": not understood");
  }
  if (decode) return decode_main(files, o, resume);
  if (unicorn) return second_main({.seed = o.seed, .first = o.first, .cases = o.cases, .reports = o.reports}, resume);
  std::vector<Class> all_classes;
  for (unsigned code : {2u, 1u, 0u}) all_classes.insert(all_classes.end(), classes(code).begin(), classes(code).end());
  for (auto& w : wanted)
    if (std::none_of(all_classes.begin(), all_classes.end(), [&](auto& c) { return c.name == w; })) throw std::invalid_argument("--class " + w + ": see --list");
  Judge judge;
  if (!judge.missing().empty()) {
    fmt::print(stderr, "skipped: {}\n", judge.missing());
    return 0;
  }
  if (!only.empty() && !resume.empty()) throw std::invalid_argument("--only: what it runs is not for the tally of --resume");
  Tally tally;
  if (!resume.empty()) tally = read_tally(resume);
  int status = 0;
  for (Class& c : all_classes) {
    if (wanted.empty() && std::find(modes.begin(), modes.end(), c.code) == modes.end()) continue;
    if (!only.empty()) std::erase_if(c.rows, [&](unsigned row) { return !listed(only.c_str(), cpu::all_rows()[row].name); });
    if (c.rows.empty()) continue;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), c.name) == wanted.end()) continue;
    Judge::Options part = o;
    if (const std::string why = judge.missing(c); !why.empty()) {
      fmt::print(stderr, "{}: skipped: {}\n", c.name, why);
      continue;
    }
    ClassTally& t = tally[c.name];
    if (!resume.empty() && t.seed == o.seed) part.first = std::max(o.first, t.cases);
    const u64 last = o.first + o.cases;
    const auto start = std::chrono::steady_clock::now();
    Result all;
    // In pieces, so that what is done is on record when it is interrupted.
    while (part.first < last) {
      part.cases = std::min<u64>(last - part.first, 50'000);
      Result r = judge.run(c, part);
      part.first += part.cases;
      all.cases += r.cases, all.faults += r.faults, all.differences += r.differences;
      for (auto& [name, n] : r.by_name) all.by_name[name] += n;
      for (auto& text : r.reports) if (all.reports.size() < o.reports) { all.reports.push_back(text); fmt::print("{}\n", text); }
      all.skipped = r.skipped;
      if (r.cases == 0) break;
      if (!resume.empty()) {
        if (t.seed != o.seed) t = {};
        t.seed = o.seed, t.cases += r.cases, t.faults += r.faults, t.differences += r.differences;
        t.skipped.clear();
        for (auto& s : r.skipped) t.skipped += (t.skipped.empty() ? "" : " ") + s;
        write_tally(resume, tally);
      }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::string skipped, names;
    for (auto& s : all.skipped) skipped += " " + s;
    for (auto& [name, n] : all.by_name) names += fmt::format(" {} {}", name, n);
    fmt::print("{}: {} cases, {} faults, {} differences, {:.1f} s{}{}{}\n", c.name, all.cases, all.faults, all.differences, seconds, skipped.empty() ? "" : "; the host lacks:", skipped, names.empty() ? "" : ";" + names);
    std::fflush(stdout);
    if (all.differences) status = 1;
  }
  return status;
}

}  // namespace
}  // namespace vt::judge

int main(int argc, char** argv) {
  try {
    return vt::judge::judge_main(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "judge: %s\n%s", e.what(), vt::judge::kUsage);
    return 2;
  }
}
