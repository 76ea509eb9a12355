// SPDX-License-Identifier: GPL-2.0-or-later
/// How instruction functions become rows. A function is `template <class C [, class T [, bool M]]> Next f(C&, const Insn&)`:
/// C the processor type, T the operand's integer type, M whether ModRM is a memory operand. The wrapper `run` makes it
/// chain to the next instruction by tail call, which is the replicated dispatch.
#pragma once
#include "cpu/block.hpp"
#include "cpu/cpu.hpp"
#include "cpu/cpu64.hpp"
#include "cpu/def.hpp"

namespace vt::cpu {

/// `P`: the processor type that F is instantiated for (Cpu or Cpu64). `NeedsCur`: it may ask which instruction executes.
template <class P, Next (*F)(P&, const Insn&), bool NeedsCur>
void run(Cpu& c, const Insn* i) {
  if constexpr (NeedsCur) c.cur = i;
  const Next n = F(static_cast<P&>(c), *i);
  if (VT_LIKELY(n == Next::seq)) {
    ++i;
    return i->fn(c, i);
  }
  if (n == Next::jump) return chain(c, i);
  c.why = n;
  c.left_at = i;
}

/// Out of line, so that it costs the hot path nothing.
template <Next (*Full)(Cpu64&, const Insn&)>
VT_NOINLINE __attribute__((cold)) void run_again(Cpu& c, const Insn* i) { return run<Cpu64, Full, true>(c, i); }

/// `Fast` is the function for the view P (Cpu64Fast or Cpu64FastBase), `Full` the same for Cpu64.
template <class P, Next (*Fast)(P&, const Insn&), Next (*Full)(Cpu64&, const Insn&)>
void run_fast(Cpu& c, const Insn* i) {
  const Next n = Fast(static_cast<P&>(c), *i);
  if (VT_LIKELY(n == Next::seq)) {
    ++i;
    return i->fn(c, i);
  }
  if (n == Next::jump) return chain(c, i);
  return run_again<Full>(c, i);
}

// One function for everything.
#define VT_1(f) {{run<C, f<C>, true>, run<C, f<C>, true>}, {run<C, f<C>, true>, run<C, f<C>, true>}, {run<C, f<C>, true>, run<C, f<C>, true>}}
// ... and once more for Cpu64.
#define VT_J(f) VT_1(f), {{run<Cpu64, f<Cpu64>, true>, run<Cpu64, f<Cpu64>, true>}, {run<Cpu64, f<Cpu64>, true>, run<Cpu64, f<Cpu64>, true>}, {run<Cpu64, f<Cpu64>, true>, run<Cpu64, f<Cpu64>, true>}}
// f<C, M>: register or memory form, any operand size.
#define VT_M_(P, f) {{run<P, f<P, false>, false>, run<P, f<P, true>, true>}, {run<P, f<P, false>, false>, run<P, f<P, true>, true>}, {run<P, f<P, false>, false>, run<P, f<P, true>, true>}}
#define VT_M(f) VT_M_(C, f), VT_M_(Cpu64, f)
// f<C, T>: T by operand size (u16, u32, u64).
#define VT_T_(P, f) {{run<P, f<P, u16>, true>, run<P, f<P, u16>, true>}, {run<P, f<P, u32>, true>, run<P, f<P, u32>, true>}, {run<P, f<P, u64>, true>, run<P, f<P, u64>, true>}}
#define VT_T(f) VT_T_(C, f), VT_T_(Cpu64, f)
// f<C, T, M>: T by operand size, M by form.
#define VT_TM_(P, f) {{run<P, f<P, u16, false>, false>, run<P, f<P, u16, true>, true>}, {run<P, f<P, u32, false>, false>, run<P, f<P, u32, true>, true>}, {run<P, f<P, u64, false>, false>, run<P, f<P, u64, true>, true>}}
#define VT_TM(f) VT_TM_(C, f), VT_TM_(Cpu64, f)
// f<C, u8, M>: byte operation.
#define VT_BM_(P, f) {{run<P, f<P, u8, false>, false>, run<P, f<P, u8, true>, true>}, {run<P, f<P, u8, false>, false>, run<P, f<P, u8, true>, true>}, {run<P, f<P, u8, false>, false>, run<P, f<P, u8, true>, true>}}
#define VT_BM(f) VT_BM_(C, f), VT_BM_(Cpu64, f)
// The same with the fast path for memory forms (VT_TF: for both): for functions that change nothing before their last access.
#define VT_FAST_(P, f, ...) run_fast<P, f<P, __VA_ARGS__>, f<Cpu64, __VA_ARGS__>>
#define VT_FORMS_(f, T) {run<Cpu64, f<Cpu64, T, false>, false>, VT_FAST_(Cpu64Fast, f, T, true), VT_FAST_(Cpu64FastBase, f, T, true)}
#define VT_TMF(f) VT_TM_(C, f), {VT_FORMS_(f, u16), VT_FORMS_(f, u32), VT_FORMS_(f, u64)}
#define VT_BMF(f) VT_BM_(C, f), {VT_FORMS_(f, u8), VT_FORMS_(f, u8), VT_FORMS_(f, u8)}
#define VT_TF(f) VT_T_(C, f), {{VT_FAST_(Cpu64Fast, f, u16), VT_FAST_(Cpu64Fast, f, u16)}, {VT_FAST_(Cpu64Fast, f, u32), VT_FAST_(Cpu64Fast, f, u32)}, {VT_FAST_(Cpu64Fast, f, u64), VT_FAST_(Cpu64Fast, f, u64)}}
// f<C, u8>
#define VT_B_(P, f) {{run<P, f<P, u8>, true>, run<P, f<P, u8>, true>}, {run<P, f<P, u8>, true>, run<P, f<P, u8>, true>}, {run<P, f<P, u8>, true>, run<P, f<P, u8>, true>}}
#define VT_B(f) VT_B_(C, f), VT_B_(Cpu64, f)

/// Each instruction file exports its rows for the processor type.
std::span<const Def> alu_rows();        // insn/alu.cpp: ADD..CMP, TEST, INC, DEC, NEG, NOT
std::span<const Def> move_rows();       // insn/move.cpp: MOV, LEA, XCHG, PUSH, POP, MOVZX, CMOV, BSWAP, XADD, CMPXCHG ...
std::span<const Def> shift_rows();      // insn/shift.cpp: shifts, rotates, SHLD, SHRD
std::span<const Def> muldiv_rows();     // insn/muldiv.cpp
std::span<const Def> bit_rows();        // insn/bit.cpp: BT.., BSF, POPCNT, LZCNT, CRC32, decimal adjust
std::span<const Def> branch_rows();     // insn/branch.cpp: JMP, Jcc, CALL, RET, LOOP, SETcc, far transfers, INT, IRET
std::span<const Def> string_rows();     // insn/string.cpp
std::span<const Def> flag_rows();       // insn/flag.cpp: CLC.., PUSHF, POPF, LAHF, STI, CLI, NOP, HLT, PAUSE
std::span<const Def> io_rows();         // insn/io.cpp: IN, OUT, INS, OUTS
std::span<const Def> system_rows();     // insn/system.cpp: MOV CR/DR, LGDT.., LTR, LAR, INVLPG, RDMSR, CPUID, RDTSC, SYSCALL, SYSENTER ...
std::span<const Def> vmx_rows();        // vmx/insns.cpp
std::span<const Def> x87_rows();        // insn/x87.cpp
std::span<const Def> mmx_rows();        // insn/mmx.cpp
std::span<const Def> sse_rows();        // insn/sse*.cpp: with their VEX forms
std::span<const Def> avx_rows();        // insn/avx*.cpp: what has no SSE form; FMA, F16C
std::span<const Def> crypto_rows();     // insn/aes.cpp, clmul.cpp, sha.cpp
std::span<const Def> xsave_rows();      // insn/xsave.cpp: FXSAVE, XSAVE, XGETBV, LDMXCSR, EMMS
/// All of them, in a fixed order: Insn::row indexes this.
const std::vector<Def>& all_rows();     // decoder.cpp

}  // namespace vt::cpu
