// SPDX-License-Identifier: GPL-2.0-or-later
/// Compare-and-branch as one function: the comparison's own function, then the condition, then the jump within the page. Flags
/// are written as ever. In 64-bit mode only, where time goes.
#include <array>
#include <utility>

#include "alu.hpp"
#include "fuse.hpp"

namespace vt::cpu {
namespace {

using namespace alu;
using C = Cpu64;

template <Next (*F)(C&, const Insn&), bool Cur, int N>
void compare_and_branch(Cpu& c, const Insn* i) {
  if constexpr (Cur) c.cur = i;
  const Next n = F(static_cast<C&>(c), *i);
  if (VT_UNLIKELY(n != Next::seq)) {
    c.why = n;
    c.left_at = i;
    return;
  }
  return chain_local(c, i + 1, condition<N>(c));
}

struct Row { Fn first; std::array<Fn, 16> fused; };

template <Next (*F)(C&, const Insn&), bool Cur>
constexpr Row row() {
  return []<int... N>(std::integer_sequence<int, N...>) {
    return Row{run<C, F, Cur>, {compare_and_branch<F, Cur, N>...}};
  }(std::make_integer_sequence<int, 16>{});
}

constexpr Row kRows[] = {
    row<Alu<Cmp>::rm_reg<C, u8, false>, false>(),  row<Alu<Cmp>::rm_reg<C, u32, false>, false>(), row<Alu<Cmp>::rm_reg<C, u64, false>, false>(),
    row<Alu<Cmp>::rm_reg<C, u32, true>, true>(),   row<Alu<Cmp>::rm_reg<C, u64, true>, true>(),
    row<Alu<Cmp>::reg_rm<C, u32, false>, false>(), row<Alu<Cmp>::reg_rm<C, u64, false>, false>(),
    row<Alu<Cmp>::reg_rm<C, u32, true>, true>(),   row<Alu<Cmp>::reg_rm<C, u64, true>, true>(),
    row<Alu<Cmp>::rm_imm<C, u8, false>, false>(),  row<Alu<Cmp>::rm_imm<C, u16, false>, false>(),
    row<Alu<Cmp>::rm_imm<C, u32, false>, false>(), row<Alu<Cmp>::rm_imm<C, u64, false>, false>(),
    row<Alu<Cmp>::rm_imm<C, u8, true>, true>(),    row<Alu<Cmp>::rm_imm<C, u32, true>, true>(), row<Alu<Cmp>::rm_imm<C, u64, true>, true>(),
    row<Alu<Cmp>::acc_imm<C, u8, false>, false>(), row<Alu<Cmp>::acc_imm<C, u32, false>, false>(), row<Alu<Cmp>::acc_imm<C, u64, false>, false>(),
    row<Alu<Test>::rm_reg<C, u8, false>, false>(), row<Alu<Test>::rm_reg<C, u32, false>, false>(), row<Alu<Test>::rm_reg<C, u64, false>, false>(),
    row<Alu<Test>::rm_imm<C, u8, false>, false>(), row<Alu<Test>::rm_imm<C, u32, false>, false>(),
    row<Alu<Test>::rm_imm<C, u8, true>, true>(),   row<Alu<Test>::acc_imm<C, u8, false>, false>(), row<Alu<Test>::acc_imm<C, u32, false>, false>(),
    row<Alu<Sub>::rm_imm<C, u32, false>, false>(), row<Alu<Sub>::rm_imm<C, u64, false>, false>(),
    row<Alu<Sub>::rm_reg<C, u32, false>, false>(), row<Alu<Sub>::rm_reg<C, u64, false>, false>(),
    row<Alu<Add>::rm_imm<C, u32, false>, false>(), row<Alu<Add>::rm_imm<C, u64, false>, false>(),
    row<Alu<And>::rm_imm<C, u32, false>, false>(), row<Alu<And>::rm_imm<C, u64, false>, false>(),
    row<Unary<Dec>::rm<C, u32, false>, false>(),   row<Unary<Dec>::rm<C, u64, false>, false>(),
};

}  // namespace

Fn fused_with_jcc(Fn first, unsigned condition) {
  for (const Row& r : kRows) if (r.first == first) return r.fused[condition];
  return nullptr;
}

}  // namespace vt::cpu
