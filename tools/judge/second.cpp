// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/second.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace vt::judge {
namespace {

namespace fl = cpu::rflags;
constexpr const char* kNames[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"};
struct Area { u64 at, size; };
constexpr Area kAreas[] = {{kData, kDataSize}, {kStack, kStackSize}};

/// What stands before the opcode.
struct Prefixes { bool lock = false, osz = false, rex = false, w = false; std::size_t count = 0; };
Prefixes prefixes(const Step& s) {
  Prefixes p;
  for (u8 b : s.bytes) {
    if ((b & 0xf0) == 0x40) return p.rex = true, p.w = b & 8, ++p.count, p;
    if (b == 0x66) p.osz = true;
    else if (b == 0xf0) p.lock = true;
    else if (b != 0x67 && b != 0xf2 && b != 0xf3 && b != 0x2e && b != 0x3e) return p;
    ++p.count;
  }
  return p;
}
u8 modrm(const Step& s) {
  const std::size_t n = prefixes(s).count;
  return s.bytes[n + (s.bytes[n] == 0xc4 ? 4 : s.bytes[n] == 0x0f ? 2 : 1)];
}
bool rip_relative_immediate(const Step& s) {
  const std::size_t n = prefixes(s).count;
  return (modrm(s) & 0xc7) == 5 && (s.bytes[n] == 0xc4 || s.bytes[n + 1] == 0xa4 || s.bytes[n + 1] == 0xac);
}
bool of_32_bits(const Step& s) { const Prefixes p = prefixes(s); return !p.osz && !p.w; }
bool has_67(const Step& s) { return std::find(s.bytes.begin(), s.bytes.end(), 0x67) != s.bytes.end(); }
bool only_upper(const Difference& d) {
  for (unsigned n = 0; n < 16; ++n) if (static_cast<u32>(d.model.s.r[n]) != static_cast<u32>(d.unicorn.s.r[n])) return false;
  return true;
}
bool same_fault(const Difference& d) { return d.model.vector >= 12 && d.model.vector <= 14 && (d.unicorn.vector == 13 || d.unicorn.vector == 14) && d.model.s.rip == d.unicorn.s.rip; }

constexpr const char* kDies = "idiv-most-negative";
constexpr Known kKnown[] = {
    {"lahf-rex", "LAHF SAHF", [](const Difference& d) { return prefixes(d.step).rex; }, "with REX", "takes register 4 for SPL, as a byte operand's, where it is AH with REX or without"},
    {"lock-neg", "NEG", [](const Difference& d) { return prefixes(d.step).lock && d.only_flags; }, "with LOCK: flags", "they are not the result's"},
    {"cmpxchg-upper", "CMPXCHG", [](const Difference& d) { return of_32_bits(d.step) && d.only_registers; }, "32 bits: the upper half of RAX or of the destination",
     "clears that of the one that is not written"},
    {"bsf-zero", "BSF BSR", [](const Difference& d) { return of_32_bits(d.step) && d.only_registers; }, "32-bit source of zero: the destination's upper half", "clears it; processors leave the destination as it is"},
    {"rip-immediate", "SHLD SHRD RORX", [](const Difference& d) { return rip_relative_immediate(d.step); }, "RIP-relative with an immediate",
     "counts the displacement from before the immediate"},
    {"prefetch-register", "PREFETCH", [](const Difference& d) { return modrm(d.step) >= 0xc0 && d.unicorn.vector == 6; }, "0F 18 with a register", "#UD where processors have a NOP"},
    {"clflush", "CLFLUSH", [](const Difference& d) { return d.model.vector != 3 && d.unicorn.vector == 3; }, "where nothing is", "does not look at the address"},
    {"movsxd-66", "MOVSXD", [](const Difference& d) { return prefixes(d.step).osz && d.model.vector == 3 && d.unicorn.vector == 14; }, "66, at the end of what is there",
     "reads 32 bits where the operand has 16"},
    {"pdep-pext", "PDEP PEXT", [](const Difference& d) { return d.only_registers; }, "result", "takes the mask for the source and the source for the mask"},
    {"blsi-carry", "BLSI", [](const Difference& d) { return d.only_flags; }, "CF", "sets it for a source of zero, as BLSR does"},
    {"bzhi-wide", "BZHI", [](const Difference& d) { return d.model.vector == 3; }, "an index that is not below the width: result, SF, ZF", "clears the top bit"},
    {"bextr-length", "BEXTR", [](const Difference& d) { return d.model.vector == 3; }, "32 bits, or a length beyond the width: result, ZF", "takes bits from beyond the operand, and loses the top bit"},
    {"string-67", "MOVS CMPS STOS LODS SCAS", [](const Difference& d) { return d.only_registers && has_67(d.step) && only_upper(d); }, "67 and REP with a count of 0, or that faults: upper halves of registers",
     "leaves them, where a processor clears them"},
    {"split-store", nullptr, [](const Difference& d) { return d.only_memory && same_fault(d) && d.model.cr2 % kPage == 0; }, "a store across pages whose second faults: memory",
     "has written the first page's bytes by then"},
    {"repeat-flags", "CMPS SCAS", [](const Difference& d) { return d.only_flags && same_fault(d); }, "a repetition that faults: flags", "those of the last element that was there, where a processor gives back those from before"},
    {"fault-flags", nullptr, [](const Difference& d) { return d.only_flags && same_fault(d); }, "an access that faults in what reads flags: flags",
     "those of the instruction before, which it computes late, are not brought up to date"},
    {kDies, "IDIV", [](const Difference&) { return false; }, "32 bits, the most negative dividend by -1", "divides on the host, whose exception ends the process: it is not asked"},
};

/// The step at which the model has ended would end the process, if Unicorn made it.
const Step* deadly(const Sequence& q, const Outcome& m) {
  if (m.vector != 0 || static_cast<u32>(m.s.r[2]) != 0x80000000 || static_cast<u32>(m.s.r[0])) return nullptr;
  const auto it = std::find_if(q.steps.begin(), q.steps.end(), [&](const Step& s) { return s.at == m.s.rip; });
  return it != q.steps.end() && listed("IDIV", cpu::all_rows()[it->row].name) && of_32_bits(*it) ? &*it : nullptr;
}

}  // namespace

std::span<const Known> known_faults() { return kKnown; }

Second::Second() {
  Operands o(0x756e69636f726e);
  for (const Area& a : kAreas) for (u64 k = 0; k < a.size; k += 8) for (u64 v = o.integer(), n = 0; n < 8; ++n) template_.push_back(static_cast<u8>(v >> 8 * n));
}

void Second::load(const Start& from) {
  const u8* p = from.memory.data();
  for (const Area& a : kAreas) std::memcpy(model_.at(a.at), p, a.size), std::memcpy(unicorn_.at(a.at), p, a.size), p += a.size;
}
std::vector<u8> Second::memory_now() {
  std::vector<u8> m(kDataSize + kStackSize);
  u8* p = m.data();
  for (const Area& a : kAreas) std::memcpy(p, model_.at(a.at), a.size), p += a.size;
  return m;
}
void Second::place(const Sequence& q, std::size_t first, std::size_t last) {
  const u64 begin = q.steps[first].at, end = q.steps[last - 1].at + q.steps[last - 1].bytes.size();
  for (auto at : {model_.at(kRegion), unicorn_.at(kRegion)}) {
    if (placed_bytes_) std::memset(at + (placed_ - kRegion), 0xcc, placed_bytes_);
    for (std::size_t k = first; k < last; ++k) std::memcpy(at + (q.steps[k].at - kRegion), q.steps[k].bytes.data(), q.steps[k].bytes.size());
  }
  if (placed_bytes_) model_.cpu().code_written(Model::physical(placed_), placed_bytes_), unicorn_.code_written(placed_, placed_bytes_);
  model_.cpu().code_written(Model::physical(begin), end - begin), unicorn_.code_written(begin, end - begin);
  placed_ = begin, placed_bytes_ = end - begin;
}

std::string Second::compare(const Sequence& q, std::size_t first, const Outcome& m, const Outcome& u, const char* other, const std::function<const u8*(u64)>& at, bool exact_fault) {
  std::string what;
  auto differs = [&](const char* name, u64 a, u64 b) { if (a != b) what += fmt::format(" {} model {:x} {} {:x};", name, a, other, b); };
  // Unicorn knows no stack faults.
  const unsigned vector = !exact_fault && m.vector == 12 && u.vector == 13 ? 13 : m.vector;
  differs("exception", vector, u.vector);
  if (exact_fault && m.vector == u.vector) {
    differs("error code", m.error, u.error);
    if (m.vector == 14) differs("CR2", m.cr2, u.cr2);
  }
  for (unsigned n = 0; n < 16; ++n) differs(kNames[n], m.s.r[n], u.s.r[n]);
  differs("RIP", m.s.rip, u.s.rip);
  // Which flags are undefined where it ended.
  u64 undefined = fl::kArith;
  const u64 where = m.vector == 3 ? m.s.rip - 1 : m.s.rip;
  for (std::size_t k = first; k < q.steps.size(); ++k) {
    if (q.steps[k].at != where) continue;
    undefined = q.steps[k].undefined;
  }
  if (m.vector == 3 && where == q.end()) undefined = q.undefined;
  const u64 compared = (fl::kArith & ~undefined) | fl::DF;
  differs("flags", m.s.flags & compared, u.s.flags & compared);
  for (const Area& a : kAreas) {
    const u8 *x = model_.at(a.at), *y = at(a.at);
    if (std::memcmp(x, y, a.size) == 0) continue;
    const auto n = static_cast<u64>(std::mismatch(x, x + a.size, y).first - x);
    what += fmt::format(" memory at {:x} model {:02x} {} {:02x};", a.at + n, x[n], other, y[n]);
  }
  return what;
}

Second::Run Second::both(const Sequence& q, const Start& from, std::size_t first, std::size_t last) {
  Run r;
  load(from), place(q, first, last);
  State s = from.s;
  s.rip = q.steps[first].at;
  State for_model = s;
  if (change_model_) change_model_(for_model);
  if (!model_.run(for_model, 1, r.model)) {
    r.model_ok = false, r.what = " the model did not come to an end: " + model_.trouble();
    return r;
  }
  if (deadly(q, r.model)) {
    r.asked = false;
    return r;
  }
  if (change_unicorn_) change_unicorn_(s);
  if (!unicorn_.run(s, r.unicorn)) r.unicorn_ok = false, r.what = " " + unicorn_.trouble();
  else r.what = compare(q, first, r.model, r.unicorn, "Unicorn", [&](u64 a) { return unicorn_.at(a); }, false);
  return r;
}

Second::Verdict Second::ask_host(const Sequence& q, const Start& from, std::size_t first, std::size_t last, const Run& run) {
  Verdict v;
  const u8* p = from.memory.data();
  for (const Area& a : kAreas) std::memcpy(Host::at(a.at), p, a.size), p += a.size;
  for (std::size_t k = first; k < last; ++k) std::memcpy(Host::at(q.steps[k].at), q.steps[k].bytes.data(), q.steps[k].bytes.size());
  bool ran = false;
  host_.run([&](State& s) {
    if (ran) return false;
    s = from.s, s.rip = q.steps[first].at;
    return ran = true;
  }, [&](const Outcome& o) { v.host = o; });
  const u64 begin = q.steps[first].at;
  std::memset(Host::at(begin), 0xcc, q.steps[last - 1].at + q.steps[last - 1].bytes.size() - begin);
  const auto at = [](u64 a) { return Host::at(a); };
  Outcome shown = run.model;  // Linux shows programs a protection fault for all that is not theirs
  if (shown.vector == 14 && v.host.cr2 >= 0x7fff'ffff'f000) shown.error |= 1;
  v.model = compare(q, first, shown, v.host, "host", at, true);
  return v;
}

/// The host is asked alone.
void Second::without_unicorn(const Sequence& q, const Start& from, std::size_t first, std::size_t at, SecondResult& r) {
  Start there = from;
  if (at > first) {
    there.s = both(q, from, first, at).model.s, there.s.flags &= fl::kArith | fl::DF | 2;
    there.memory = memory_now();
  }
  const Run alone = both(q, there, at, at + 1);
  if (has_host() && !ask_host(q, there, at, at + 1, alone).model.empty()) return ++r.differences, void(++r.by_name["IDIV"]);
  ++r.explained[kDies];
  r.undecided += !has_host();
}

void Second::check(const Sequence& q, u64 number, const Options& o, SecondResult& r) {
  Start from{q.start, template_};
  std::size_t first = 0;
  std::size_t n = q.steps.size();
  bool counted = false;
  while (first < n) {
    Run whole = both(q, from, first, n);
    if (!counted) r.faults += whole.model.vector != 3, counted = true;
    if (!whole.asked) {
      n = static_cast<std::size_t>(deadly(q, whole.model) - q.steps.data());   // the two together as far as there
      without_unicorn(q, from, first, n, r);
      continue;
    }
    if (whole.what.empty()) return;
    // The shortest beginning that differs: its last step is the culprit.
    std::size_t k = first;
    Run shown;
    for (; k + 1 < n; ++k) if (shown = both(q, from, first, k + 1); !shown.what.empty()) break;
    if (k + 1 == n) shown = both(q, from, first, n);
    // The shortest end of that which differs still, from the model's own states.
    Start before = from;
    std::size_t j = first;
    for (std::size_t tried = k; tried > first; --tried) {
      const Run prefix = both(q, from, first, tried);
      if (prefix.model.vector != 3 || prefix.model.s.rip - 1 != q.steps[tried].at) continue;  // a jump leads over it
      Start there{prefix.model.s, {}};
      there.s.flags &= fl::kArith | fl::DF | 2;
      there.memory = memory_now();
      if (const Run cut = both(q, there, tried, k + 1); !cut.what.empty()) {
        j = tried, before = std::move(there), shown = cut;
        break;
      }
    }
    shown = both(q, before, j, k + 1);  // memory as it leaves it
    const Step& culprit = q.steps[k];
    const cpu::Def& d = cpu::all_rows()[culprit.row];
    std::string wrong = shown.model_ok ? "" : "model";
    if (wrong.empty() && has_host()) wrong = ask_host(q, before, j, k + 1, shown).model.empty() ? "Unicorn" : "model";
    const Difference seen{culprit, before.s, shown.model, shown.unicorn, shown.only("flags"), shown.only("memory"), shown.only_registers()};
    const Known* known = nullptr;
    for (const Known& x : kKnown) if ((!x.names || listed(x.names, d.name)) && x.when(seen)) { known = &x; break; }
    if (known && wrong != "model") {
      ++r.explained[known->key];
      r.undecided += wrong.empty();
    } else {
      ++r.differences, ++r.by_name[d.name];
      if (r.reports.size() < o.reports) {
        std::string t = fmt::format("{} ({}) sequence {}:{} steps {} to {}:{}\n  {}\n ", d.name, d.opcode, o.seed, number, j, k, shown.what,
                                    wrong.empty() ? "no host to ask" : wrong == "model" ? "the host differs from the model" : "the host does as the model");
        for (std::size_t step = j; step <= k; ++step) { t += " |"; for (u8 b : q.steps[step].bytes) t += fmt::format(" {:02x}", b); }
        t += fmt::format("\n  before: rip {:x} flags {:x}", q.steps[j].at, before.s.flags);
        for (unsigned reg = 0; reg < 16; ++reg) t += fmt::format(" r{} {:x}", reg, before.s.r[reg]);
        if (wrong == "model" && shown.model_ok) t += "\n  host:" + ask_host(q, before, j, k + 1, shown).model;
        r.reports.push_back(std::move(t));
      }
      if (!shown.model_ok) return;
    }
    if (shown.model.vector != 3) return;
    // Both go on from the model's state.
    const u64 next = shown.model.s.rip - 1;
    const auto it = std::find_if(q.steps.begin(), q.steps.end(), [&](const Step& s) { return s.at == next; });
    if (it == q.steps.end()) return;
    first = static_cast<std::size_t>(it - q.steps.begin());
    from.s = shown.model.s, from.s.flags &= fl::kArith | fl::DF | 2;
    from.memory = memory_now();
  }
}

SecondResult Second::run(const Options& o) {
  SecondResult r;
  for (u64 number = o.first; number < o.first + o.cases; ++number) {
    const Sequence q = make_sequence(o.seed, number);
    ++r.cases, r.instructions += q.steps.size();
    check(q, number, o, r);
  }
  return r;
}

}  // namespace vt::judge
