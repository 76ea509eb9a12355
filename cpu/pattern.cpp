// SPDX-License-Identifier: GPL-2.0-or-later
#include "pattern.hpp"

#include <stdexcept>

#include "cpu/rows.hpp"

namespace vt::cpu {
namespace {

std::vector<std::string> split(const std::string& s, const char* separators) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < s.size();) {
    std::size_t end = s.find_first_of(separators, at);
    if (end == std::string::npos) end = s.size();
    if (end > at) out.push_back(s.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

/// Bytes are written in capitals: "CB" is an opcode, "cb" a relative target.
bool is_hex(const std::string& t) {
  auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return t.size() >= 2 && digit(t[0]) && digit(t[1]) && (t.size() == 2 || t[2] == '+');
}
u8 hex(const std::string& t) { return static_cast<u8>(std::stoul(t.substr(0, 2), nullptr, 16)); }

Imm imm_kind(const std::string& t) {
  static constexpr std::pair<const char*, Imm> kKinds[] = {{"ib", Imm::ib}, {"iw", Imm::iw}, {"iz", Imm::iz}, {"iv", Imm::iv}, {"io", Imm::iv},
      {"id", Imm::id}, {"cb", Imm::cb}, {"cz", Imm::cz}, {"cw", Imm::cz}, {"cd", Imm::cz}, {"cp", Imm::cp}, {"mo", Imm::mo}};
  for (auto& [name, kind] : kKinds) if (t == name) return kind;
  return Imm::none;
}

void parse_vex(Pattern& p, const std::string& token, const Def& d) {
  p.vex = true;
  p.prefix = Pattern::Prefix::np;
  for (auto& t : split(token, ".")) {
    if (t == "VEX" || t == "NDS" || t == "NDD" || t == "DDS" || t == "LIG" || t == "WIG" || t == "NP") continue;
    else if (t == "128" || t == "LZ" || t == "L0") p.l = 0;
    else if (t == "256" || t == "L1") p.l = 1;
    else if (t == "66") p.prefix = Pattern::Prefix::p66;
    else if (t == "F3") p.prefix = Pattern::Prefix::pf3;
    else if (t == "F2") p.prefix = Pattern::Prefix::pf2;
    else if (t == "0F") p.map = 1;
    else if (t == "0F38") p.map = 2;
    else if (t == "0F3A") p.map = 3;
    else if (t == "W0") p.w = 0;
    else if (t == "W1") p.w = 1;
    else throw std::runtime_error(std::string(d.name) + ": VEX notation: " + t);
  }
}

void parse_operands(Pattern& p, const Def& d) {
  for (auto& t : split(d.operands, ", ")) {
    const char kind = t[0];
    const bool byte = t.size() == 2 && t[1] == 'b';
    if (kind == 'M') p.memory_only = true;
    if (kind == 'H' || kind == 'B') p.vvvv = true;
    if (t == "Mvsib") p.vsib = true;
    if (t.size() > 1 && (kind == 'R' || kind == 'U' || kind == 'N') && std::islower(t[1])) p.register_only = p.modrm && !(d.attrs & attr::cr_dr);
    if (byte && (kind == 'E' || kind == 'M' || kind == 'R')) p.byte_rm = true;
    if (byte && kind == 'G') p.byte_reg = true;
    if (byte && p.plus_r && (kind == 'Z' || kind == 'G' || kind == 'R' || kind == 'E')) p.byte_rm = p.byte_reg = true;
  }
}

}  // namespace

Pattern parse_pattern(const Def& d) {
  Pattern p;
  auto bad = [&](const std::string& t) { return std::runtime_error(std::string(d.name) + " \"" + d.opcode + "\": not understood: " + t); };
  auto tokens = split(d.opcode, " ");
  std::size_t k = 0;
  bool have_opcode = false;
  for (; k < tokens.size(); ++k) {
    const std::string& t = tokens[k];
    const bool more_hex = k + 1 < tokens.size() && (is_hex(tokens[k + 1]) || tokens[k + 1] == "REX.W" || tokens[k + 1] == "+" || tokens[k + 1] == "W0");
    if (t == "+") continue;
    if (t.rfind("VEX", 0) == 0) parse_vex(p, t, d);
    else if (t == "NP") p.prefix = Pattern::Prefix::np;
    else if (t == "NFx") p.prefix = Pattern::Prefix::nfx;
    else if (t == "REX.W") p.w = 1;
    else if (t == "W0") p.w = 0;
    else if (!have_opcode && is_hex(t)) {
      if (!p.vex && p.map == 0 && more_hex && t == "66") p.prefix = Pattern::Prefix::p66;
      else if (!p.vex && p.map == 0 && more_hex && t == "F3") p.prefix = Pattern::Prefix::pf3;
      else if (!p.vex && p.map == 0 && more_hex && t == "F2") p.prefix = Pattern::Prefix::pf2;
      else if (!p.vex && p.map == 0 && t == "0F" && more_hex) p.map = 1;
      else if (!p.vex && p.map == 1 && t == "38" && more_hex) p.map = 2;
      else if (!p.vex && p.map == 1 && t == "3A" && more_hex) p.map = 3;
      else { p.opcode = hex(t); p.plus_r = t.size() > 2; have_opcode = true; }
    } else if (have_opcode && is_hex(t)) {
      p.fixed = hex(t), p.fixed_r = t.size() > 2, p.modrm = true;
    } else if (t == "+r" || t == "+rb" || t == "+rw" || t == "+rd" || t == "+i") {
      if (p.fixed >= 0) p.fixed_r = true; else p.plus_r = true;
    } else if (t[0] == '/' && t.size() == 2) {
      p.modrm = true;
      if (t[1] >= '0' && t[1] <= '7') p.digit = static_cast<i8>(t[1] - '0');
      else if (t[1] != 'r') throw bad(t);
    } else if (Imm kind = imm_kind(t); kind != Imm::none) {
      if (p.imm == Imm::none) p.imm = kind; else p.imm2 = kind;
    } else throw bad(t);
  }
  if (!have_opcode) throw bad("no opcode");
  parse_operands(p, d);
  if (p.map == 0 && !p.vex && p.opcode >= 0xd8 && p.opcode <= 0xdf && p.fixed < 0) p.memory_only = true;  // x87: mod 3 rows are written out
  return p;
}

const std::vector<Def>& all_rows() {
  static const std::vector<Def> rows = [] {
    std::vector<Def> v;
    for (auto part : {alu_rows, move_rows, shift_rows, muldiv_rows, bit_rows, branch_rows, string_rows, flag_rows, io_rows, system_rows, vmx_rows,
                      x87_rows, mmx_rows, sse_rows, xsave_rows, avx_rows, crypto_rows})
      for (const Def& d : part()) v.push_back(d);
    return v;
  }();
  return rows;
}

const std::vector<Pattern>& all_patterns() {
  static const std::vector<Pattern> patterns = [] {
    std::vector<Pattern> v;
    for (const Def& d : all_rows()) v.push_back(parse_pattern(d));
    return v;
  }();
  return patterns;
}

}  // namespace vt::cpu
