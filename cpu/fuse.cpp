// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "cpu/rows.hpp"
#include "decoder.hpp"
#include "insn/forms.hpp"
#include "pattern.hpp"

namespace vt::cpu {
namespace {

template <int N>
void jcc_local(Cpu& c, const Insn* i) { return chain_local(c, i, condition<N>(c)); }
void jmp_local(Cpu& c, const Insn* i) { return chain_local(c, i, 1); }
void end_local(Cpu& c, const Insn* i) { return chain_local(c, i - 1, 0); }

constexpr auto kJccLocal = []<int... N>(std::integer_sequence<int, N...>) {
  return std::array<Fn, 16>{jcc_local<N>...};
}(std::make_integer_sequence<int, 16>{});

/// Condition of a Jcc row (0-15), 16 for JMP rel, -1 for anything else: by the row's opcode.
int branch_kind(u16 row) {
  static const std::vector<i8> kinds = [] {
    std::vector<i8> v;
    for (const Pattern& p : all_patterns()) {
      const bool relative = p.imm == Imm::cb || p.imm == Imm::cz;
      i8 kind = -1;
      if (relative && p.map == 0 && (p.opcode & 0xf0) == 0x70) kind = static_cast<i8>(p.opcode & 15);
      if (relative && p.map == 1 && (p.opcode & 0xf0) == 0x80) kind = static_cast<i8>(p.opcode & 15);
      if (relative && p.map == 0 && (p.opcode == 0xe9 || p.opcode == 0xeb)) kind = 16;
      v.push_back(kind);
    }
    return v;
  }();
  return row == kNoRow ? -1 : kinds[row];
}

bool in_page(i64 off) { return off >= 0 && off < static_cast<i64>(kPageSize); }

}  // namespace

void fuse(Insn* insns, unsigned n) {
  Insn& last = insns[n - 1];
  const bool goes_on = in_page(last.next_off());
  if (goes_on) insns[n].fn = end_local;
  const int kind = branch_kind(last.row);
  if (kind < 0 || !in_page(last.imm) || last.osz() == 0) return;
  if (kind == 16) { last.fn = jmp_local; return; }
  if (!goes_on) return;
  last.fn = kJccLocal[static_cast<unsigned>(kind)];
  if (n >= 2)
    if (Fn f = fused_with_jcc(insns[n - 2].fn, static_cast<unsigned>(kind))) insns[n - 2].fn = f;
}

}  // namespace vt::cpu
