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

using Fast = Cpu64Fast;
using Base = Cpu64FastBase;

template <Next (*F)(C&, const Insn&), int N>
void compare_and_branch(Cpu& c, const Insn* i) {
  F(static_cast<C&>(c), *i);  // registers only: cannot fault
  return chain_local(c, i + 1, condition<N>(c));
}
template <class P, Next (*F)(P&, const Insn&), Next (*Full)(C&, const Insn&), int N>
void load_compare_and_branch(Cpu& c, const Insn* i) {
  if (VT_UNLIKELY(F(static_cast<P&>(c), *i) != Next::seq)) return run_again<Full>(c, i);
  return chain_local(c, i + 1, condition<N>(c));
}

struct Row { Fn first; std::array<Fn, 16> fused; };

template <Next (*F)(C&, const Insn&)>
constexpr Row row() {
  return []<int... N>(std::integer_sequence<int, N...>) {
    return Row{run<C, F, false>, {compare_and_branch<F, N>...}};
  }(std::make_integer_sequence<int, 16>{});
}
template <class P, Next (*F)(P&, const Insn&), Next (*Full)(C&, const Insn&)>
constexpr Row load_row() {
  return []<int... N>(std::integer_sequence<int, N...>) {
    return Row{run_fast<P, F, Full>, {load_compare_and_branch<P, F, Full, N>...}};
  }(std::make_integer_sequence<int, 16>{});
}

constexpr Row kRows[] = {
    row<Alu<Cmp>::rm_reg<C, u8, false>>(),  row<Alu<Cmp>::rm_reg<C, u32, false>>(), row<Alu<Cmp>::rm_reg<C, u64, false>>(),
    load_row<Fast, Alu<Cmp>::rm_reg<Fast, u32, true>, Alu<Cmp>::rm_reg<C, u32, true>>(), load_row<Base, Alu<Cmp>::rm_reg<Base, u32, true>, Alu<Cmp>::rm_reg<C, u32, true>>(),   load_row<Fast, Alu<Cmp>::rm_reg<Fast, u64, true>, Alu<Cmp>::rm_reg<C, u64, true>>(), load_row<Base, Alu<Cmp>::rm_reg<Base, u64, true>, Alu<Cmp>::rm_reg<C, u64, true>>(),
    row<Alu<Cmp>::reg_rm<C, u32, false>>(), row<Alu<Cmp>::reg_rm<C, u64, false>>(),
    load_row<Fast, Alu<Cmp>::reg_rm<Fast, u32, true>, Alu<Cmp>::reg_rm<C, u32, true>>(), load_row<Base, Alu<Cmp>::reg_rm<Base, u32, true>, Alu<Cmp>::reg_rm<C, u32, true>>(),   load_row<Fast, Alu<Cmp>::reg_rm<Fast, u64, true>, Alu<Cmp>::reg_rm<C, u64, true>>(), load_row<Base, Alu<Cmp>::reg_rm<Base, u64, true>, Alu<Cmp>::reg_rm<C, u64, true>>(),
    row<Alu<Cmp>::rm_imm<C, u8, false>>(),  row<Alu<Cmp>::rm_imm<C, u16, false>>(),
    row<Alu<Cmp>::rm_imm<C, u32, false>>(), row<Alu<Cmp>::rm_imm<C, u64, false>>(),
    load_row<Fast, Alu<Cmp>::rm_imm<Fast, u8, true>, Alu<Cmp>::rm_imm<C, u8, true>>(), load_row<Base, Alu<Cmp>::rm_imm<Base, u8, true>, Alu<Cmp>::rm_imm<C, u8, true>>(),    load_row<Fast, Alu<Cmp>::rm_imm<Fast, u32, true>, Alu<Cmp>::rm_imm<C, u32, true>>(), load_row<Base, Alu<Cmp>::rm_imm<Base, u32, true>, Alu<Cmp>::rm_imm<C, u32, true>>(), load_row<Fast, Alu<Cmp>::rm_imm<Fast, u64, true>, Alu<Cmp>::rm_imm<C, u64, true>>(), load_row<Base, Alu<Cmp>::rm_imm<Base, u64, true>, Alu<Cmp>::rm_imm<C, u64, true>>(),
    row<Alu<Cmp>::acc_imm<C, u8, false>>(), row<Alu<Cmp>::acc_imm<C, u32, false>>(), row<Alu<Cmp>::acc_imm<C, u64, false>>(),
    row<Alu<Test>::rm_reg<C, u8, false>>(), row<Alu<Test>::rm_reg<C, u32, false>>(), row<Alu<Test>::rm_reg<C, u64, false>>(),
    row<Alu<Test>::rm_imm<C, u8, false>>(), row<Alu<Test>::rm_imm<C, u32, false>>(),
    load_row<Fast, Alu<Test>::rm_imm<Fast, u8, true>, Alu<Test>::rm_imm<C, u8, true>>(), load_row<Base, Alu<Test>::rm_imm<Base, u8, true>, Alu<Test>::rm_imm<C, u8, true>>(),   row<Alu<Test>::acc_imm<C, u8, false>>(), row<Alu<Test>::acc_imm<C, u32, false>>(),
    row<Alu<Sub>::rm_imm<C, u32, false>>(), row<Alu<Sub>::rm_imm<C, u64, false>>(),
    row<Alu<Sub>::rm_reg<C, u32, false>>(), row<Alu<Sub>::rm_reg<C, u64, false>>(),
    row<Alu<Add>::rm_imm<C, u32, false>>(), row<Alu<Add>::rm_imm<C, u64, false>>(),
    row<Alu<And>::rm_imm<C, u32, false>>(), row<Alu<And>::rm_imm<C, u64, false>>(),
    row<Unary<Dec>::rm<C, u32, false>>(),   row<Unary<Dec>::rm<C, u64, false>>(),
};

}  // namespace

Fn fused_with_jcc(Fn first, unsigned condition) {
  for (const Row& r : kRows) if (r.first == first) return r.fused[condition];
  return nullptr;
}

}  // namespace vt::cpu
