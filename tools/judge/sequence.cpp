// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/sequence.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "pattern.hpp"

namespace vt::judge {
namespace {

using cpu::Imm, cpu::Pattern;
namespace fl = cpu::rflags;
constexpr u64 kNonCanonical = 0x8000'0000'0000;
constexpr const char* kStrings = "MOVS CMPS STOS LODS SCAS";
constexpr const char* kLoops = "LOOP LOOPE LOOPNE JRCXZ";

constexpr Exclusion kNot[] = {
    {"JMP", "FF /4", "indirect: a sequence stays within its own bytes"}, {"CALL", "FF /2", "indirect: a sequence stays within its own bytes"},
    {"RET", nullptr, "indirect: a sequence stays within its own bytes"},
    {"INT3 UD0 UD1 UD2", nullptr, "end a sequence: the native judge has them"},
    {"POPCNT MOVBE PREFETCHW CLFLUSHOPT CLWB", nullptr, "not in Unicorn 2.0.1: its CPUID shows the same few features whatever its processor"},
    {"TEST", "F6 /1 ib", "not in Unicorn 2.0.1, #UD"}, {"TEST", "F7 /1 iz", "not in Unicorn 2.0.1, #UD"},
    {"CLI STI HLT", nullptr, "privileged: Unicorn's user is a supervisor"},
    {"MOV", "8C /r", "shows selectors: Unicorn's are its own"}, {"PUSH", "0F A0", "shows selectors: Unicorn's are its own"}, {"PUSH", "0F A8", "shows selectors: Unicorn's are its own"},
};

struct Use { const char* names; u64 reads, writes; };
constexpr u64 kAll = fl::kArith;
constexpr Use kUses[] = {
    {"ADD SUB CMP NEG XADD CMPXCHG CMPS SCAS POPCNT", 0, kAll}, {"ADC SBB", fl::CF, kAll}, {"INC DEC", 0, kAll & ~fl::CF}, {"AND OR XOR TEST", 0, kAll & ~fl::AF},
    {"RCL RCR", fl::CF, 0}, {"MUL IMUL", 0, fl::CF | fl::OF}, {"BT BTS BTR BTC", 0, fl::CF}, {"BSF BSR CMPXCHG8B", 0, fl::ZF}, {"TZCNT LZCNT", 0, fl::CF | fl::ZF},
    {"ANDN BLSR BLSMSK BLSI BZHI", 0, fl::CF | fl::OF | fl::ZF | fl::SF}, {"BEXTR", 0, fl::CF | fl::OF | fl::ZF}, {"ADCX", fl::CF, fl::CF}, {"ADOX", fl::OF, fl::OF},
    {"CMC", fl::CF, fl::CF}, {"CLC STC", 0, fl::CF}, {"LAHF", kAll & ~fl::OF, 0}, {"SAHF", 0, kAll & ~fl::OF}, {"PUSHF", kAll, 0}, {"POPF", 0, kAll}, {"LOOPE LOOPNE", fl::ZF, 0},
};

/// SDM 2A "EFLAGS Condition Codes".
u64 condition(unsigned opcode) {
  constexpr u64 kReads[] = {fl::OF, fl::CF, fl::ZF, fl::CF | fl::ZF, fl::SF, fl::PF, fl::SF | fl::OF, fl::ZF | fl::SF | fl::OF};
  return kReads[opcode >> 1 & 7];
}
bool conditional(const Pattern& p) {
  return (p.map == 0 && (p.opcode & 0xf0) == 0x70) || (p.map == 1 && !p.vex && ((p.opcode & 0xf0) == 0x40 || (p.opcode & 0xe0) == 0x80) && (p.opcode & 0xf0) <= 0x90);
}
unsigned row_of(const char* name, const char* opcode) {
  const auto& rows = cpu::all_rows();
  for (unsigned n = 0; n < rows.size(); ++n) if (!std::strcmp(rows[n].name, name) && !std::strcmp(rows[n].opcode, opcode)) return n;
  throw std::logic_error(std::string("no row ") + name + " " + opcode);
}

class Maker {
 public:
  Maker(u64 seed, u64 number) : o_(seed * 0x9e3779b97f4a7c15 ^ 0x73657175656e6365 ^ number * 0xd1342543de82ef95) {}

  Sequence make() {
    State& s = q_.start;
    for (u64& r : s.r) r = o_.integer();
    s.r[4] = kStack + 1024 + 8 * o_.below(static_cast<unsigned>((kStackSize - 2048) / 8));
    s.flags = 2 | (o_.bits() & kAll) | (o_.one_in(8) ? fl::DF : 0);
    at_ = s.rip = kCode + 0x1000 + o_.below(0x8000);
    const unsigned length = kShortest + o_.below(kLongest - kShortest + 1);
    while (q_.steps.size() < length) group(choose());
    if (q_.steps.size() > length) q_.undefined = kAll, q_.steps.resize(length);  // the last jump may lead past what is left
    else q_.undefined = undefined_;
    return std::move(q_);
  }

 private:
  unsigned choose() {
    static const struct { const char* name; unsigned weight; } kWeights[] = {{"integer", 40}, {"shift", 15}, {"muldiv", 8}, {"bit", 11}, {"string", 6}, {"control", 14}, {"bmi", 6}};
    for (;;) {
      unsigned n = o_.below(100);
      const char* name = nullptr;
      for (auto& w : kWeights) if (n < w.weight) { name = w.name; break; } else n -= w.weight;
      const auto& all = classes();
      const Class& c = *std::find_if(all.begin(), all.end(), [&](const Class& x) { return x.name == name; });
      const unsigned row = c.rows[o_.below(static_cast<unsigned>(c.rows.size()))];
      const cpu::Def& d = cpu::all_rows()[row];
      const bool left_out = std::any_of(std::begin(kNot), std::end(kNot), [&](const Exclusion& e) { return listed(e.names, d.name) && (!e.opcode || !std::strcmp(e.opcode, d.opcode)); });
      if (!left_out) return row;
    }
  }

  // --- one instruction with what it needs ----------------------------------------------------------------------------
  void group(unsigned row) {
    const Pattern& p = cpu::all_patterns()[row];
    if (p.imm != Imm::cb && p.imm != Imm::cz) return instruction(row);
    const FlagUse use = flag_use({0, {}, row, 0});
    define(use.reads);
    if (listed(kLoops, cpu::all_rows()[row].name) && o_.one_in(2)) load(1, o_.below(3));
    std::vector<u8> b;
    if (p.map) b.push_back(0x0f);
    b.push_back(p.opcode);
    const unsigned size = p.imm == Imm::cb ? 1 : 4;
    b.insert(b.end(), size, 0);
    emit(row, b);
    const std::size_t jump = q_.steps.size() - 1;
    const u64 from = at_, taken = undefined_;
    unsigned over = row;
    while (cpu::all_patterns()[over].imm == Imm::cb || cpu::all_patterns()[over].imm == Imm::cz) over = choose();
    if (!o_.one_in(8)) instruction(over);  // now and then a jump to what follows anyway
    u8* to = q_.steps[jump].bytes.data() + q_.steps[jump].bytes.size() - size;
    const u32 distance = static_cast<u32>(at_ - from);
    std::memcpy(to, &distance, size);
    undefined_ |= taken;
  }
  void emit(unsigned row, std::vector<u8> bytes) {
    Step s{at_, std::move(bytes), row, undefined_};
    const FlagUse use = flag_use(s);
    undefined_ = (undefined_ & ~use.writes) | use.undefined;
    at_ += s.bytes.size();
    q_.steps.push_back(std::move(s));
  }
  /// Nobody reads what is undefined: a comparison before it defines all.
  void define(u64 flags) {
    if (!(undefined_ & flags)) return;
    static const unsigned row = row_of("CMP", "39 /r");
    emit(row, {static_cast<u8>(0x48 | o_.below(2) | o_.below(2) << 2), 0x39, static_cast<u8>(0xc0 | o_.below(64))});
  }
  void load(unsigned reg, u64 v) {
    static const unsigned row = row_of("MOV", "B8 +r iv");
    std::vector<u8> b = {static_cast<u8>(0x48 | reg >> 3), static_cast<u8>(0xb8 | (reg & 7))};
    if (v >> 32 == 0 && reg < 8) b.erase(b.begin());
    const unsigned size = b.size() == 1 ? 4 : 8;
    for (unsigned k = 0; k < size; ++k) b.push_back(static_cast<u8>(v >> 8 * k));
    emit(row, std::move(b));
  }
  u64 place() {
    if (o_.one_in(100)) switch (o_.below(5)) {
      case 0: return kData + kDataSize - o_.below(66);
      case 1: return kData - o_.below(34);
      case 2: return kReadOnly + o_.below(static_cast<unsigned>(kPage)) / 4;
      case 3: return kRegion + o_.below(0x20000);
      default: return kNonCanonical + o_.below(0x1000);
    }
    if (o_.one_in(8)) return kData + kPage * (1 + o_.below(2)) - o_.below(18);
    return kData + 256 + o_.below(static_cast<unsigned>(kDataSize - 512));
  }
  unsigned reg(bool bytes = false) {  // the stack pointer seldom: what follows would fault
    for (;;) if (const unsigned r = o_.below(16); r != 4 || bytes || o_.one_in(100)) return r;
  }

  void implicit(const std::string& name, const Pattern& p, bool repeat, bool w) {
    if (listed(kStrings, name)) {
      const u64 from = place();
      load(6, from), load(7, o_.one_in(6) ? from + o_.below(16) : place());
      if (repeat && !o_.one_in(64)) load(1, o_.below(24));
      if (o_.one_in(2)) load(0, o_.integer());
    }
    if (name == "XLAT") load(3, place());
    if (name == "LEAVE" || (name == "ENTER" && !o_.one_in(16))) load(5, kStack + 1024 + 8 * o_.below(512));
    if (name == "POPF") {
      static const unsigned row = row_of("PUSH", "68 iz");
      const u32 v = static_cast<u32>((o_.bits() & (kAll | fl::DF)) | fl::IF);  // IF as it is: Unicorn's user may change it
      emit(row, {0x68, static_cast<u8>(v), static_cast<u8>(v >> 8), static_cast<u8>(v >> 16), static_cast<u8>(v >> 24)});
    }
    if (name == "DIV" && !o_.one_in(8)) p.byte_rm ? load(0, o_.below(256)) : load(2, o_.below(4));
    if (name == "IDIV" && !o_.one_in(8)) {
      static const unsigned row = row_of("CWD", "99");
      p.byte_rm ? load(0, o_.below(128)) : w ? emit(row, {0x48, 0x99}) : emit(row, {0x99});
    }
  }

  void instruction(unsigned row) {
    const cpu::Def& d = cpu::all_rows()[row];
    const Pattern& p = cpu::all_patterns()[row];
    const std::string name = d.name;
    define(flag_use({0, {}, row, 0}).reads);
    const bool memory = p.modrm && p.fixed < 0 && !p.register_only && (p.memory_only || o_.one_in(2));
    const bool w = p.w >= 0 ? p.w : o_.one_in(2), wide = w || d.attrs & (cpu::attr::def64 | cpu::attr::force64);
    const bool by_cl = p.imm == Imm::none && (name == "SHLD" || name == "SHRD");  // a count beyond 16 bits: the result is undefined
    const bool narrow = p.takes_66() && !p.vex && o_.one_in(4) && !by_cl && name != "BSWAP" && name != "POPF" && name != "LEAVE" && name != "ENTER";
    const bool lock = (d.attrs & cpu::attr::lockable) && memory && o_.one_in(8), repeat = listed(kStrings, name) && !o_.one_in(3);
    const bool short_address = (memory || listed(kStrings, name)) && o_.one_in(32);
    bool rex_r = false, rex_x = false, rex_b = false;
    implicit(name, p, repeat, w);

    std::vector<u8> tail;  // from ModRM on
    std::size_t relative = 0;
    u64 target = 0;
    if (p.modrm && p.fixed >= 0) tail.push_back(static_cast<u8>(p.fixed_r ? (p.fixed & 0xf8) | o_.below(8) : p.fixed));
    else if (p.modrm) {
      const unsigned full = p.digit >= 0 ? static_cast<unsigned>(p.digit) : reg(p.byte_reg);
      rex_r = full & 8;
      const unsigned mid = (full & 7) << 3;
      if (!memory) {
        const unsigned rm = reg(p.byte_rm);
        rex_b = rm & 8;
        tail.push_back(static_cast<u8>(0xc0 | mid | (rm & 7)));
        if (name == "CMPXCHG" && o_.one_in(2) && rm != 4) {  // equal, for once
          static const unsigned mov = row_of("MOV", "8B /r");
          emit(mov, {static_cast<u8>(0x48 | rm >> 3), 0x8b, static_cast<u8>(0xc0 | (rm & 7))});
        }
      } else {
        target = place();
        if (lock || name == "XCHG") target = kData + 64 * o_.below(static_cast<unsigned>(kDataSize / 64));  // hosts slow down locks across cache lines
        if (name == "CMPXCHG8B") target = kData + 16 * o_.below(static_cast<unsigned>(kDataSize / 16));
        const bool bit_string = listed("BT BTS BTR BTC", name) && p.digit < 0;
        if (bit_string) target = kData + kPage + 64 * o_.below(64), load(full, static_cast<u64>(static_cast<i64>(o_.below(16384)) - 8192));
        if (target < kNonCanonical && o_.one_in(3)) {
          const bool by_rip = o_.one_in(2);
          if (by_rip) tail = {static_cast<u8>(mid | 5)}, relative = 1;
          else tail = {static_cast<u8>(mid | 4), 0x25};
          for (unsigned k = 0; k < 4; ++k) tail.push_back(static_cast<u8>(target >> 8 * k));
        } else {
          const bool wild = name == "LEA" ? o_.one_in(2) : o_.one_in(200), indexed = o_.one_in(3);
          unsigned base, index;
          do base = reg(); while (base == 4 || (bit_string && base == full));
          do index = o_.below(16); while (index == 4 || index == base || (bit_string && index == full));
          const bool near = o_.one_in(2);
          const i64 disp = near ? static_cast<i8>(o_.bits()) : static_cast<i64>(o_.below(1u << 20)) - (1 << 19);
          const unsigned scale = o_.below(4);
          u64 offset = 0;
          if (indexed && !wild) { const u64 v = o_.one_in(2) ? o_.below(512) : o_.bits() & 0xffffff; load(index, v), offset = v << scale; }
          if (!wild) load(base, target - static_cast<u64>(disp) - offset);
          rex_b = base & 8;
          const unsigned mod = near ? 0x40 : 0x80;
          if (indexed) rex_x = index & 8, tail = {static_cast<u8>(mod | mid | 4), static_cast<u8>(scale << 6 | (index & 7) << 3 | (base & 7))};
          else if ((base & 7) == 4) tail = {static_cast<u8>(mod | mid | 4), static_cast<u8>(0x20 | (base & 7))};
          else tail = {static_cast<u8>(mod | mid | (base & 7))};
          for (unsigned k = 0; k < (near ? 1u : 4u); ++k) tail.push_back(static_cast<u8>(disp >> 8 * k));
        }
      }
    }
    const unsigned in_opcode = p.plus_r ? reg(p.byte_reg) : 0;
    if (p.plus_r) rex_b = in_opcode & 8;

    std::vector<u8> b;
    auto byte = [&](unsigned v) { b.push_back(static_cast<u8>(v)); };
    if (o_.one_in(32)) byte(0x2e + 0x10 * o_.below(2));
    if (short_address) byte(0x67);
    if (p.vex) {
      const unsigned vvvv = p.vvvv ? reg() : 0, l = p.l >= 0 ? static_cast<unsigned>(p.l) : 0;
      const unsigned pp = p.pp();
      byte(0xc4), byte((rex_r ? 0 : 0x80) | (rex_x ? 0 : 0x40) | (rex_b ? 0 : 0x20) | p.map), byte((w ? 0x80 : 0) | (~vvvv & 15) << 3 | l << 2 | pp);
    } else {
      if (narrow || p.prefix == Pattern::Prefix::p66) byte(0x66);
      if (const unsigned repeated = p.repeat_prefix()) byte(repeated);
      else if (repeat) byte(0xf2 + o_.below(2));
      if (lock) byte(0xf0);
      if (w || rex_r || rex_x || rex_b || o_.one_in(4)) byte(0x40 | (w ? 8 : 0) | (rex_r ? 4 : 0) | (rex_x ? 2 : 0) | (rex_b ? 1 : 0));
      if (p.map) byte(0x0f);
      if (p.map == 2) byte(0x38);
      if (p.map == 3) byte(0x3a);
    }
    byte(p.opcode | (in_opcode & 7));
    if (relative) relative += b.size();
    b.insert(b.end(), tail.begin(), tail.end());
    immediate(b, p, name, w, narrow, wide, short_address);
    if (relative) {
      const u32 disp = static_cast<u32>(target - (at_ + b.size()));
      std::memcpy(&b[relative], &disp, 4);
    }
    emit(row, std::move(b));
  }
  void immediate(std::vector<u8>& b, const Pattern& p, const std::string& name, bool w, bool narrow, bool, bool short_address) {
    u64 v = o_.integer();
    unsigned n = 0;
    switch (p.imm) {
      case Imm::ib:
        n = 1;
        if (o_.one_in(2)) v = o_.below(64);
        if ((name == "SHLD" || name == "SHRD") && narrow && !w) v = o_.below(17);
        break;
      case Imm::iw: n = 2, v = name == "ENTER" ? 8 * o_.below(8) : v; break;
      case Imm::id: n = 4; break;
      case Imm::iz: n = narrow && !w ? 2 : 4; break;
      case Imm::iv: n = w ? 8 : narrow ? 2 : 4; break;
      case Imm::mo: n = short_address ? 4 : 8, v = place(); break;
      default: break;
    }
    for (unsigned k = 0; k < n; ++k) b.push_back(static_cast<u8>(v >> 8 * k));
    if (p.imm2 == Imm::ib) b.push_back(static_cast<u8>(o_.below(4)));
  }

  Operands o_;
  Sequence q_;
  u64 at_ = 0, undefined_ = 0;
};

}  // namespace

std::span<const Exclusion> not_in_sequences() { return kNot; }

FlagUse flag_use(const Step& s) {
  const cpu::Def& d = cpu::all_rows()[s.row];
  const Pattern& p = cpu::all_patterns()[s.row];
  FlagUse u;
  if (const Mask* m = mask_of(d)) u.undefined = m->flags | m->flags_of_count;
  for (auto& k : kUses) if (listed(k.names, d.name)) u.reads |= k.reads, u.writes |= k.writes;
  if (conditional(p)) u.reads |= condition(p.opcode);
  const bool repeated = std::any_of(s.bytes.begin(), s.bytes.end(), [](u8 b) { return b == 0xf2 || b == 0xf3; });
  if (listed(kStrings, d.name) && repeated) u.writes = 0;  // a count of 0 leaves all as they are
  if (!listed("SHL SHR SAR ROL ROR RCL RCR SHLD SHRD", d.name) || s.bytes.empty()) return u;
  // A count that stands in the instruction tells what is undefined.
  const bool shift = listed("SHL SHR SAR", d.name), rotate = listed("ROL ROR RCL RCR", d.name), one = rotate || shift ? (p.opcode & 0xfe) == 0xd0 : false;
  if (!one && p.imm != Imm::ib) return u;
  const std::size_t rex_at = static_cast<std::size_t>(std::find_if(s.bytes.begin(), s.bytes.end(), [](u8 b) { return b != 0x66 && b != 0x67 && b != 0xf0 && b != 0x2e && b != 0x3e; }) - s.bytes.begin());
  const bool w = (s.bytes[rex_at] & 0xf8) == 0x48, osz = std::find(s.bytes.begin(), s.bytes.begin() + static_cast<std::ptrdiff_t>(rex_at), 0x66) != s.bytes.begin() + static_cast<std::ptrdiff_t>(rex_at);
  const bool wide_byte = p.byte_rm;
  const unsigned width = wide_byte ? 8 : w ? 64 : osz ? 16 : 32, count = one ? 1 : s.bytes.back() & (width == 64 ? 63u : 31u);
  if (count == 0) return {u.reads, 0, 0};
  if (rotate) return {u.reads, fl::CF | (count == 1 ? fl::OF : 0), count == 1 ? 0 : fl::OF};
  const u64 of = count == 1 ? 0 : fl::OF, cf = (shift && count >= width && std::strcmp(d.name, "SAR") != 0) ? fl::CF : 0, undefined = fl::AF | of | cf;
  if (!shift && count > width) return {u.reads, 0, kAll};
  return {u.reads, kAll & ~undefined, undefined};
}

Sequence make_sequence(u64 seed, u64 number) { return Maker(seed, number).make(); }

}  // namespace vt::judge
