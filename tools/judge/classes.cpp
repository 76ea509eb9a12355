// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/classes.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "pattern.hpp"

namespace vt::judge {
namespace {

using cpu::Feature;
namespace fl = cpu::rflags;

constexpr Exclusion kExclusions[] = {
    {"INT INT1", nullptr, "go to the host's kernel"},
    {"FXSAVE FXRSTOR", nullptr, "images hold state components and pointers of the host (tests/cpu/xsave_test.cpp)"},
    {"XSAVE XRSTOR XSAVEOPT XSAVEC XSAVES XRSTORS XGETBV XSETBV", nullptr, "the host has other state components (tests/cpu/xsave_test.cpp)"},
    {"FNSAVE FNSTENV FRSTOR FLDENV", nullptr, "images hold the instruction and data pointers, which processors keep differently (tests/cpu/x87_test.cpp)"},
    {"MONITOR MWAIT", nullptr, "wait"},
};

// SDM 2A, 2B: "Flags Affected" of each.
constexpr Mask kMasks[] = {
    {"AND OR XOR TEST", fl::AF, 0, 0, 0, false, "AF is undefined"},
    {"SHL SHR SAR", fl::AF, fl::OF | fl::CF, 0, 0, false, "AF is undefined; OF for counts other than 1; CF for counts beyond the operand's width"},
    {"ROL ROR RCL RCR", 0, fl::OF, 0, 0, false, "OF is undefined for counts other than 1"},
    {"SHLD SHRD", fl::AF, fl::kArith, 0, 0, false, "AF is undefined; OF for counts other than 1; all for counts beyond the operand's width"},
    {"MUL IMUL", fl::SF | fl::ZF | fl::AF | fl::PF, 0, 0, 0, false, "SF, ZF, AF, PF are undefined"},
    {"DIV IDIV", fl::kArith, 0, 0, 0, false, "all are undefined"},
    {"BT BTS BTR BTC", fl::OF | fl::SF | fl::AF | fl::PF, 0, 0, 0, false, "OF, SF, AF, PF are undefined"},
    {"BSF BSR", fl::kArith & ~fl::ZF, 0, 0, 0, false, "all but ZF are undefined"},
    {"AAA AAS", fl::PF | fl::ZF | fl::SF | fl::OF, 0, 0, 0, false, "OF, SF, ZF, PF are undefined"},
    {"DAA DAS", fl::OF, 0, 0, 0, false, "OF is undefined"},
    {"AAM AAD", fl::CF | fl::AF | fl::OF, 0, 0, 0, false, "OF, AF, CF are undefined"},
    {"TZCNT LZCNT", fl::OF | fl::SF | fl::AF | fl::PF, 0, 0, 0, false, "OF, SF, AF, PF are undefined"},
    {"ANDN BLSR BLSMSK BLSI BZHI", fl::AF | fl::PF, 0, 0, 0, false, "AF, PF are undefined"},
    {"BEXTR", fl::AF | fl::SF | fl::PF, 0, 0, 0, false, "AF, SF, PF are undefined"},
    {"RCPPS RCPSS RSQRTPS RSQRTSS VRCPPS VRCPSS VRSQRTPS VRSQRTSS", 0, 0, 0, 0, true, "the manual gives a bound on the error, not the result"},
    {"FYL2X FPTAN FPATAN FSIN FCOS FSINCOS", 0, 0, 0x82a0, 2, false, "the manual gives a bound on the error, not the result: C1 and PE follow the last bit, and UE PE where the result is denormal"},
    {"F2XM1 FYL2XP1", 0, 0, 0x82a0, 2, false, "as the other transcendentals; undefined for operands out of the manual's range", kDomain},
    {"VCVTPS2PH", 0, 0, 0, 0, false, "an unmasked overflow or underflow: whether PE comes with it is up to the processor", kPrecision},
};

bool in(std::span<const cpu::Def> part, const cpu::Def& d) {
  return std::any_of(part.begin(), part.end(), [&](const cpu::Def& x) { return x.name == d.name && x.opcode == d.opcode && x.fn[1][0] == d.fn[1][0] && x.fn[1][1] == d.fn[1][1]; });
}

}  // namespace

bool listed(const char* names, const std::string& name) {
  const char* p = names;
  while ((p = std::strstr(p, name.c_str()))) {
    const char end = p[name.size()];
    if ((p == names || p[-1] == ' ') && (end == 0 || end == ' ')) return true;
    ++p;
  }
  return false;
}
std::span<const Exclusion> exclusions() { return kExclusions; }
std::span<const Mask> masks() { return kMasks; }
bool excluded(const cpu::Def& d) {
  return std::any_of(std::begin(kExclusions), std::end(kExclusions), [&](const Exclusion& e) { return listed(e.names, d.name) && (!e.opcode || std::strcmp(e.opcode, d.opcode) == 0); });
}
const Mask* mask_of(const cpu::Def& d) {
  for (const Mask& m : kMasks) if (listed(m.names, d.name)) return &m;
  return nullptr;
}

namespace {

bool loads_segments(const cpu::Def& d) {
  if (listed("MOV", d.name)) return std::strcmp(d.opcode, "8E /r") == 0;
  if (listed("POP", d.name)) return listed("07 17 1F", d.opcode) || std::strcmp(d.opcode, "0F A1") == 0 || std::strcmp(d.opcode, "0F A9") == 0;
  return listed("JMPF CALLF RETF IRET LES LDS LSS LFS LGS ARPL LAR LSL VERR VERW", d.name);
}

bool runs_in(unsigned code, unsigned row) {
  const cpu::Def& d = cpu::all_rows()[row];
  if (excluded(d) || (d.attrs & (code == 2 ? cpu::attr::no64 : cpu::attr::only64))) return false;
  const cpu::Pattern& p = cpu::all_patterns()[row];
  return code == 2 || p.vex || p.w != 1;  // REX.W
}

std::vector<Class> make_classes(unsigned code) {
  std::vector<Class> v = {{"integer", "Integer arithmetic, logic and moves", {}}, {"shift", "Shifts and rotates", {}}, {"muldiv", "Multiplication and division", {}},
                          {"bit", "Bits, CRC32", {}}, {"string", "Strings", {}}, {"control", "Stack and control transfer", {}},
                          {"segment", "Segment registers, far transfers", {}}, {"x87", "x87", {}}, {"mmx", "MMX", {}},
                          {"sse", "SSE to SSE4.2", {}}, {"crypto", "AES, PCLMULQDQ, SHA", {}}, {"avx", "AVX", {}}, {"avx2", "AVX2", {}}, {"bmi", "BMI1, BMI2, LZCNT, ADX", {}},
                          {"fma", "FMA", {}}, {"f16c", "F16C", {}}};
  const auto& rows = cpu::all_rows();
  for (unsigned n = 0; n < rows.size(); ++n) {
    const cpu::Def& d = rows[n];
    if (!runs_in(code, n)) continue;
    std::string name;
    const std::string op = d.name;
    if (loads_segments(d)) name = "segment";
    else switch (d.feature) {
      case Feature::avx: name = "avx"; break;
      case Feature::avx2: name = "avx2"; break;
      case Feature::fma: name = "fma"; break;
      case Feature::f16c: name = "f16c"; break;
      case Feature::aes: case Feature::pclmulqdq: case Feature::sha: name = "crypto"; break;
      case Feature::bmi1: case Feature::bmi2: case Feature::abm: case Feature::adx: name = "bmi"; break;
      default:
        if (in(cpu::alu_rows(), d)) name = "integer";
        else if (in(cpu::move_rows(), d)) name = listed("PUSH POP PUSHA POPA ENTER LEAVE", op) ? "control" : "integer";
        else if (in(cpu::flag_rows(), d)) name = listed("PUSHF POPF", op) ? "control" : "integer";
        else if (in(cpu::shift_rows(), d)) name = "shift";
        else if (in(cpu::muldiv_rows(), d)) name = "muldiv";
        else if (in(cpu::bit_rows(), d)) name = "bit";
        else if (in(cpu::branch_rows(), d)) name = "control";
        else if (in(cpu::string_rows(), d)) name = "string";
        else if (in(cpu::x87_rows(), d)) name = "x87";
        else if (in(cpu::mmx_rows(), d)) name = "mmx";
        else if (in(cpu::sse_rows(), d) || listed("LDMXCSR STMXCSR", op)) name = "sse";
    }
    for (Class& c : v) if (c.name == name) c.rows.push_back(n);
  }
  for (Class& c : v) {
    c.code = code;
    if (code != 2) c.name = fmt::format("{}:{}", 16u << code, c.name);
  }
  return v;
}

}  // namespace

const std::vector<Class>& classes(unsigned code) {
  static const std::vector<Class> all[] = {make_classes(0), make_classes(1), make_classes(2)};
  return all[code];
}

}  // namespace vt::judge
