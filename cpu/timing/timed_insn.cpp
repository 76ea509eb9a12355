// SPDX-License-Identifier: GPL-2.0-or-later
#include "timing/timed_insn.hpp"

#include <string_view>

#include "cpu/rows.hpp"
#include "decoder.hpp"

namespace vt::cpu {
namespace {

using timing::OpClass;

/// Bytes of an operand in the notation of the opcode maps: a letter for the kind, then the type.   SDM 2D "Codes for Operand Type"
u16 size_of(std::string_view operand, const Insn& i) {
  const std::string_view t = operand.substr(1);
  const u16 v = i.osz() == 0 ? 2 : i.osz() == 1 ? 4 : 8;
  if (t.empty()) return 0;
  if (t == "b") return 1;
  if (t == "w") return 2;
  if (t == "d" || t == "ss") return 4;
  if (t == "q" || t == "sd") return 8;
  if (t == "t") return 10;
  if (t == "v") return v;
  if (t == "z") return i.osz() == 0 ? 2 : 4;
  if (t == "y") return i.osz() == 2 ? 8 : 4;
  if (t == "p") return static_cast<u16>(v + 2);
  if (t == "a") return static_cast<u16>(2 * v);
  if (t == "x" || t == "ps" || t == "pd") return i.vex_l() ? 32 : 16;
  if (t == "qq") return 32;
  if (t == "dq") return 16;
  if (t == "512") return 512;
  return 16;
}

/// The operand that ModRM gives, if that is memory.
u16 operand_size(const Def& d, const Insn& i) {
  std::string_view rest = d.operands;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    std::string_view one = rest.substr(0, comma);
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    if (!one.empty() && std::string_view("EMWQO").find(one.front()) != std::string_view::npos) return size_of(one, i);
    rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
  }
  return 0;
}

/// Elements of strings have the size that the destination or source is written with.
u16 element(const Def& d, const Insn& i) {
  const std::string_view o = d.operands;
  const std::size_t at = o.find_first_of("XY");
  if (at == o.npos) return 1;
  const std::size_t comma = o.find(',', at);
  return size_of(o.substr(at, comma == o.npos ? o.npos : comma - at), i);
}

/// Neither leaves its context nor asks for the time. Faults may come of it.
bool keeps_to_registers(OpClass c) {
  using enum OpClass;
  switch (c) {
    case nop: case move: case alu: case lea: case lea_scaled: case lea_slow: case lea_slow_scaled: case cmov: case setcc: case adc: case shift: case shift_cl: case rotate_carry: case shift_double:
    case bswap: case bswap64: case xchg: case bit_test: case bit_scan: case popcnt: case mul: case mul64: case div32: case div64: case div8: case bmi: case pdep: case crc32:
    case fp_move: case fp_add: case fp_mul: case fp_div_s: case fp_div_d: case fp_sqrt_s: case fp_sqrt_d: case fp_fma: case fp_cmp: case fp_convert:
    case fp_round: case fp_hadd: case fp_approx: case vec_move: case vec_logic: case vec_add: case vec_mul: case vec_mul32: case vec_shift: case vec_shuffle: case vec_blend:
    case vec_cmp: case vec_movmsk: case vec_extract: case vec_insert: case vec_sad: case aes: case pclmul: case sha:
      return true;
    default: return false;
  }
}

bool is_lea(OpClass c) { return c == OpClass::lea || c == OpClass::lea_scaled || c == OpClass::lea_slow || c == OpClass::lea_slow_scaled; }

bool untouched(OpClass c) {   // a memory operand that only names an address
  return is_lea(c) || c == OpClass::nop || c == OpClass::invlpg || c == OpClass::clflush;
}

/// The scoreboard's register of a role; -1: none. The x87 stack is one chain.
int slot_of(const Insn& i, const Role& r) {
  const auto gpr = [](u8 n) { return n >= 32 ? n - 32 : n & 15; };
  switch (r.kind) {
    case Role::gpr_reg: return gpr(i.reg);
    case Role::gpr_rm: return gpr(i.rm);
    case Role::gpr_vvvv: return i.vvvv & 15;
    case Role::gpr_fixed: return r.fixed & 15;
    case Role::gpr_repeat: return i.rep() || i.repne() ? r.fixed & 15 : -1;
    case Role::vec_reg: return slot::vec + (i.reg & 15);
    case Role::vec_rm: return slot::vec + (i.rm & 15);
    case Role::vec_vvvv: return slot::vec + (i.vvvv & 15);
    case Role::vec_fixed: return slot::vec + (r.fixed & 15);
    case Role::vec_imm: return slot::vec + static_cast<int>(i.imm >> 4 & 15);
    case Role::vec_index: return slot::vec + (i.index & 15);
    case Role::mmx_reg: return slot::mmx + (i.reg & 7);
    case Role::mmx_rm: return slot::mmx + (i.rm & 7);
    case Role::st_top: case Role::st_i: case Role::st_fixed: return slot::st;
    case Role::flags: return slot::flags;
    case Role::none: case Role::memory: break;
  }
  return -1;
}

/// XOR, SUB and the like with the same register twice: zero, whatever was in it.
bool zeroes(const Insn& i) {
  if (i.mem() || i.reg != i.rm) return false;
  const Def& d = all_rows()[i.row];
  if (std::string_view(d.operands).find_first_of("IAr") != std::string_view::npos) return false;   // an immediate, or the accumulator's forms
  for (const char* name : {"XOR", "SUB", "PXOR", "XORPS", "XORPD"}) if (name == std::string_view(d.name)) return true;
  for (const char* name : {"VPXOR", "VXORPS", "VXORPD"}) if (name == std::string_view(d.name)) return i.vvvv == i.rm;
  return false;
}

/// One register and a small constant: ADD, SUB, INC, DEC, or LEA with a displacement. Rename keeps the sum.
bool adds_constant(const Insn& i, OpClass op) {
  constexpr i64 kSmall = 1024;
  if (i.osz() == 0) return false;
  if (op == OpClass::lea) return i.rm < 16 && i.index == kZeroReg && i.disp > -kSmall && i.disp < kSmall;
  if (op != OpClass::alu || i.mem()) return false;
  const Def& d = all_rows()[i.row];
  const std::string_view name = d.name, operands = d.operands;
  if (name == "INC" || name == "DEC") return operands == "Ev" || operands == "Zv" || operands == "Gv";
  return (name == "ADD" || name == "SUB") && (operands == "Ev,Iz" || operands == "Ev,Ib" || operands == "rAX,Iz") && i.imm > -kSmall && i.imm < kSmall;
}

void registers(TimedInsn& x, const Insn& i, const Roles& roles, const timing::Profile& p) {
  for (unsigned n = 0; n < x.accesses; ++n) {
    x.modifies |= x.access[n].read && x.access[n].written;
    x.stack_engine |= x.access[n].at == TimedAccess::At::push || x.access[n].at == TimedAccess::At::pop;
  }
  const bool idiom = p.eliminate_zero_idioms && zeroes(i);
  x.eliminated = idiom || (p.eliminate_constants && adds_constant(i, x.op)) || (x.op == OpClass::move && p.eliminate_moves && !i.mem() && i.osz() >= 1);
  if (i.mem() && is_lea(x.op))
    for (u8 n : {i.rm, i.index}) if (n < 16) x.source[x.sources++] = n;
  for (const Role& r : roles) {
    const int n = slot_of(i, r);
    if (n < 0 || (x.stack_engine && n == 4)) continue;
    if (r.read && !idiom && x.sources < TimedInsn::kSources) x.source[x.sources++] = static_cast<u8>(n);
    if (r.written && x.results < TimedInsn::kResults) x.result[x.results++] = static_cast<u8>(n);
  }
  x.swaps = x.op == OpClass::xchg && !i.mem() && x.sources == 2 && x.results == 2;
  x.renames_load = p.rename_memory && !x.stack_engine && !(x.modifies && x.sources);
}

}  // namespace

TimedInsn timed_insn(const Insn& i, const timing::Profile& p) {
  using enum TimedAccess::At;
  TimedInsn x;
  if (i.row == kNoRow || i.row >= all_rows().size()) return x;   // undefined: it faults
  const Def& d = all_rows()[i.row];
  const std::string_view name = d.name;
  x.op = class_of(i);
  x.keeps_to_registers = keeps_to_registers(x.op);
  x.lock = locks(i);
  const Roles& roles = roles_of(i);
  const auto add = [&](TimedAccess::At at, bool read, bool written, unsigned size) {
    if (x.accesses < TimedInsn::kMost && size) x.access[x.accesses++] = {.at = at, .read = read, .written = written, .size = static_cast<u16>(size)};
  };
  const u16 word = i.osz() == 0 ? 2 : i.osz() == 1 ? 4 : 8;
  const bool strings = x.op == OpClass::string || name == "INS" || name == "OUTS";
  if (strings) {
    const u16 n = element(d, i);
    if (name != "STOS" && name != "SCAS" && name != "INS") add(si, true, false, n);
    if (name != "LODS" && name != "OUTS") add(di, name == "CMPS" || name == "SCAS", name != "CMPS" && name != "SCAS", n);
    x.kind = TimedKind::string;
    x.by_rep = i.rep() || i.repne();
    return x;
  }
  bool read = false, written = false;
  for (const Role& r : roles)
    if (r.kind == Role::memory) read |= r.read, written |= r.written;
  if (i.mem() && x.op == OpClass::clflush) add(operand, false, false, 1);
  if (i.mem() && !untouched(x.op)) {
    const bool moffs = i.rm == kZeroReg && i.index == kZeroReg && std::string_view(d.operands).find('O') != std::string_view::npos;
    if (read || written) add(moffs ? offset : operand, read, written, operand_size(d, i));
  }
  if (name == "PUSH" || name == "CALL" || name == "PUSHF") add(push, false, true, word);
  else if (name == "POP" || name == "RET" || name == "POPF") add(pop, true, false, word);
  else if (name == "LEAVE") add(frame, true, false, word);
  else if (name == "ENTER") add(push, false, true, word);
  else if (name == "PUSHA") add(push, false, true, 8u * word);
  else if (name == "POPA") add(pop, true, false, 8u * word);
  else if (name == "IRET") add(pop, true, false, 5u * word);
  switch (x.op) {
    case OpClass::branch:
      x.kind = TimedKind::branch;
      x.branch = name != "JMP" ? Predictor::Kind::conditional : d.operands[0] == 'J' ? Predictor::Kind::direct : Predictor::Kind::indirect;
      break;
    case OpClass::loop_: x.kind = TimedKind::branch, x.branch = Predictor::Kind::conditional; break;
    case OpClass::call: x.kind = TimedKind::branch, x.branch = d.operands[0] == 'J' ? Predictor::Kind::call : Predictor::Kind::indirect_call; break;
    case OpClass::ret: x.kind = TimedKind::branch, x.branch = Predictor::Kind::ret; break;
    case OpClass::clflush: case OpClass::wbinvd: case OpClass::in_out: case OpClass::vmptrld: case OpClass::vmread: case OpClass::vmwrite: case OpClass::vmlaunch: case OpClass::vmresume:
      x.kind = TimedKind::special;
      break;
    default: break;
  }
  registers(x, i, roles, p);
  return x;
}

}  // namespace vt::cpu
