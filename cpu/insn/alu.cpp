// SPDX-License-Identifier: GPL-2.0-or-later
/// Rows of the two-operand arithmetic and logic instructions, TEST, INC, DEC, NEG, NOT.
#include "alu.hpp"

namespace vt::cpu {
namespace {

using namespace alu;
using C = Cpu;
using enum Feature;
using attr::lockable, attr::no64;

// The nine opcodes and the alias of one operation: 00-05, 80, 81, 82, 83.
#define ALU_ROWS(name, Op, o0, o1, o2, o3, o4, o5, digit, lock)                \
  {name, o0 " /r", "Eb,Gb", lock, always, VT_BMF(Alu<Op>::rm_reg)},              \
  {name, o1 " /r", "Ev,Gv", lock, always, VT_TMF(Alu<Op>::rm_reg)},              \
  {name, o2 " /r", "Gb,Eb", 0, always, VT_BMF(Alu<Op>::reg_rm)},                 \
  {name, o3 " /r", "Gv,Ev", 0, always, VT_TMF(Alu<Op>::reg_rm)},                 \
  {name, o4 " ib", "AL,Ib", 0, always, VT_BMF(Alu<Op>::acc_imm)},                \
  {name, o5 " iz", "rAX,Iz", 0, always, VT_TMF(Alu<Op>::acc_imm)},               \
  {name, "80 " digit " ib", "Eb,Ib", lock, always, VT_BMF(Alu<Op>::rm_imm)},     \
  {name, "81 " digit " iz", "Ev,Iz", lock, always, VT_TMF(Alu<Op>::rm_imm)},     \
  {name, "82 " digit " ib", "Eb,Ib", lock | no64, always, VT_BMF(Alu<Op>::rm_imm)}, \
  {name, "83 " digit " ib", "Ev,Ib", lock, always, VT_TMF(Alu<Op>::rm_imm)}

constexpr Def kRows[] = {
    ALU_ROWS("ADD", Add, "00", "01", "02", "03", "04", "05", "/0", lockable),
    ALU_ROWS("OR", Or, "08", "09", "0A", "0B", "0C", "0D", "/1", lockable),
    ALU_ROWS("ADC", Adc, "10", "11", "12", "13", "14", "15", "/2", lockable),
    ALU_ROWS("SBB", Sbb, "18", "19", "1A", "1B", "1C", "1D", "/3", lockable),
    ALU_ROWS("AND", And, "20", "21", "22", "23", "24", "25", "/4", lockable),
    ALU_ROWS("SUB", Sub, "28", "29", "2A", "2B", "2C", "2D", "/5", lockable),
    ALU_ROWS("XOR", Xor, "30", "31", "32", "33", "34", "35", "/6", lockable),
    ALU_ROWS("CMP", Cmp, "38", "39", "3A", "3B", "3C", "3D", "/7", 0),
    {"TEST", "84 /r", "Eb,Gb", 0, always, VT_BMF(Alu<Test>::rm_reg)},
    {"TEST", "85 /r", "Ev,Gv", 0, always, VT_TMF(Alu<Test>::rm_reg)},
    {"TEST", "A8 ib", "AL,Ib", 0, always, VT_BMF(Alu<Test>::acc_imm)},
    {"TEST", "A9 iz", "rAX,Iz", 0, always, VT_TMF(Alu<Test>::acc_imm)},
    {"TEST", "F6 /0 ib", "Eb,Ib", 0, always, VT_BMF(Alu<Test>::rm_imm)},
    {"TEST", "F6 /1 ib", "Eb,Ib", 0, always, VT_BMF(Alu<Test>::rm_imm)},
    {"TEST", "F7 /0 iz", "Ev,Iz", 0, always, VT_TMF(Alu<Test>::rm_imm)},
    {"TEST", "F7 /1 iz", "Ev,Iz", 0, always, VT_TMF(Alu<Test>::rm_imm)},
    {"INC", "40 +r", "Zv", no64, always, VT_TMF(Unary<Inc>::rm)},
    {"DEC", "48 +r", "Zv", no64, always, VT_TMF(Unary<Dec>::rm)},
    {"INC", "FE /0", "Eb", lockable, always, VT_BMF(Unary<Inc>::rm)},
    {"INC", "FF /0", "Ev", lockable, always, VT_TMF(Unary<Inc>::rm)},
    {"DEC", "FE /1", "Eb", lockable, always, VT_BMF(Unary<Dec>::rm)},
    {"DEC", "FF /1", "Ev", lockable, always, VT_TMF(Unary<Dec>::rm)},
    {"NOT", "F6 /2", "Eb", lockable, always, VT_BMF(Unary<Not>::rm)},
    {"NOT", "F7 /2", "Ev", lockable, always, VT_TMF(Unary<Not>::rm)},
    {"NEG", "F6 /3", "Eb", lockable, always, VT_BMF(Unary<Neg>::rm)},
    {"NEG", "F7 /3", "Ev", lockable, always, VT_TMF(Unary<Neg>::rm)},
};
#undef ALU_ROWS

}  // namespace

std::span<const Def> alu_rows() { return kRows; }

}  // namespace vt::cpu
