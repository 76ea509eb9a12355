// SPDX-License-Identifier: GPL-2.0-or-later
/// Which registers a row reads and writes: its operands' notation says which they are, the first one is read and written where no list
/// below says otherwise, the others are read. What an instruction uses without naming it is in kImplicit.   SDM 2, each instruction's page
#include <stdexcept>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "classes.hpp"
#include "cpu/rows.hpp"
#include "names.hpp"
#include "pattern.hpp"

namespace vt::cpu {
namespace {

using Kind = Role::Kind;

enum Gpr : u8 { rAX, rCX, rDX, rBX, rSP, rBP, rSI, rDI, r11 = 11 };

// ---- what happens to the first operand ----

/// Written without being read.
constexpr const char* kWriteOnly =
    "MOV MOVZX MOVSX MOVSXD LEA MOVBE MOVNTI POP TZCNT LZCNT POPCNT RDPID RDRAND RDSEED SMSW SLDT STR SGDT SIDT RDFSBASE RDGSBASE VMREAD VMPTRST LES LDS LSS "
    "LFS LGS IN LODS STOS MOVS INS FNSTSW FNSTCW FNSTENV FNSAVE FST FSTP FIST FISTP FISTTP FBSTP STMXCSR FXSAVE XSAVE XSAVEOPT XSAVEC XSAVES "
    "MOVUPS MOVUPD MOVAPS MOVAPD MOVDQA MOVDQU MOVQ MOVD LDDQU MOVNTPS MOVNTPD MOVNTDQ MOVNTDQA MOVNTQ MOVDDUP MOVSLDUP MOVSHDUP MOVQ2DQ MOVDQ2Q MOVMSKPS "
    "MOVMSKPD PMOVMSKB PEXTRB PEXTRW PEXTRD EXTRACTPS SQRTPS SQRTPD RCPPS RSQRTPS PABSB PABSW PABSD PSHUFD PSHUFLW PSHUFHW PSHUFW ROUNDPS ROUNDPD AESIMC "
    "AESKEYGENASSIST PHMINPOSUW PMOVSXBW PMOVSXBD PMOVSXBQ PMOVSXWD PMOVSXWQ PMOVSXDQ PMOVZXBW PMOVZXBD PMOVZXBQ PMOVZXWD PMOVZXWQ PMOVZXDQ CVTPI2PD "
    "CVTTPS2PI CVTTPD2PI CVTPS2PI CVTPD2PI CVTTSS2SI CVTTSD2SI CVTSS2SI CVTSD2SI CVTPS2PD CVTPD2PS CVTDQ2PS CVTPS2DQ CVTTPS2DQ CVTTPD2DQ CVTDQ2PD CVTPD2DQ";
/// Halves of a register that a store takes; the load forms keep the other half.
constexpr const char* kWriteOnlyInMemory = "MOVLPS MOVLPD MOVHPS MOVHPD MOVSS MOVSD";
/// Only read, as are all that follow.
constexpr const char* kReadOnly =
    "CMP TEST BT PUSH MUL DIV IDIV JMP CALL JMPF CALLF RET RETF BOUND OUT OUTS CMPS SCAS PREFETCH PREFETCHW NOP CLFLUSH CLFLUSHOPT CLWB INVLPG INVPCID INVEPT "
    "INVVPID LMSW LGDT LIDT LLDT LTR VERR VERW WRFSBASE WRGSBASE VMPTRLD VMCLEAR VMXON VMWRITE LDMXCSR FLDCW FLDENV FRSTOR FXRSTOR XRSTOR XRSTORS FLD FILD "
    "FBLD FIADD FIMUL FICOM FICOMP FISUB FISUBR FIDIV FIDIVR UCOMISS UCOMISD COMISS COMISD PTEST TESTPS TESTPD PCMPESTRM PCMPESTRI PCMPISTRM PCMPISTRI "
    "MASKMOVQ MASKMOVDQU UD0 UD1 AAM AAD INT";
/// The second one is written, too.
constexpr const char* kExchange = "XCHG XADD";

// ---- the flags ----

constexpr const char* kReadsFlags =
    "ADC SBB RCL RCR CMC LAHF PUSHF SALC ADCX ADOX DAA DAS AAA AAS INTO LOOPE LOOPNE FCMOVB FCMOVE FCMOVBE FCMOVU FCMOVNB FCMOVNE FCMOVNBE FCMOVNU SYSCALL INT "
    "INT1 INT3";
constexpr const char* kWritesFlags =
    "ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG ROL ROR RCL RCR SHL SHR SAR SHLD SHRD MUL IMUL DIV IDIV AAM AAD DAA DAS AAA AAS BT BTS BTR BTC BSF BSR TZCNT "
    "LZCNT POPCNT ANDN BLSR BLSMSK BLSI BEXTR BZHI ADCX ADOX XADD CMPXCHG CMPXCHG8B CMPS SCAS CLC STC CMC POPF SAHF IRET RSM SYSCALL SYSRET RDRAND RDSEED LAR LSL "
    "VERR VERW ARPL FCOMI FUCOMI FCOMIP FUCOMIP UCOMISS UCOMISD COMISS COMISD PTEST TESTPS TESTPD PCMPESTRM PCMPESTRI PCMPISTRM PCMPISTRI VMCALL VMCLEAR "
    "VMLAUNCH VMPTRLD VMPTRST VMREAD VMRESUME VMWRITE VMXOFF VMXON INVEPT INVVPID";

// ---- what no operand names ----

struct Implicit { const char* names; Role role; };
constexpr Role read(Kind k, u8 fixed = 0) { return {k, fixed, true, false}; }
constexpr Role written(Kind k, u8 fixed = 0) { return {k, fixed, false, true}; }
constexpr Role changed(Kind k, u8 fixed = 0) { return {k, fixed, true, true}; }

constexpr Implicit kImplicit[] = {
    {"PUSH POP CALL RET CALLF RETF IRET INT INT1 INT3 INTO ENTER LEAVE PUSHF POPF PUSHA POPA", changed(Kind::gpr_fixed, rSP)},
    {"PUSH CALL CALLF INT INT1 INT3 INTO ENTER PUSHF PUSHA", written(Kind::memory)},
    {"POP RET RETF IRET LEAVE POPF POPA", read(Kind::memory)},
    {"ENTER LEAVE", changed(Kind::gpr_fixed, rBP)},
    {"PUSHA", read(Kind::gpr_fixed, rAX)}, {"PUSHA", read(Kind::gpr_fixed, rCX)}, {"PUSHA", read(Kind::gpr_fixed, rDX)}, {"PUSHA", read(Kind::gpr_fixed, rBX)},
    {"PUSHA", read(Kind::gpr_fixed, rBP)}, {"PUSHA", read(Kind::gpr_fixed, rSI)}, {"PUSHA", read(Kind::gpr_fixed, rDI)},
    {"POPA", written(Kind::gpr_fixed, rAX)}, {"POPA", written(Kind::gpr_fixed, rCX)}, {"POPA", written(Kind::gpr_fixed, rDX)},
    {"POPA", written(Kind::gpr_fixed, rBX)}, {"POPA", written(Kind::gpr_fixed, rBP)}, {"POPA", written(Kind::gpr_fixed, rSI)},
    {"POPA", written(Kind::gpr_fixed, rDI)},
    {"CMPXCHG CMPXCHG8B DIV IDIV CBW XLAT LAHF AAM AAD DAA DAS AAA AAS MUL", changed(Kind::gpr_fixed, rAX)},
    {"SALC RDTSC RDTSCP RDMSR RDPMC XGETBV", written(Kind::gpr_fixed, rAX)},
    {"CWD SAHF WRMSR XSETBV XSAVE XSAVEOPT XSAVEC XSAVES XRSTOR XRSTORS MONITOR MWAIT PCMPESTRM PCMPESTRI", read(Kind::gpr_fixed, rAX)},
    {"CMPXCHG8B", changed(Kind::gpr_fixed, rDX)},
    {"CWD RDTSC RDTSCP RDMSR RDPMC XGETBV", written(Kind::gpr_fixed, rDX)},
    {"MULX WRMSR XSETBV XSAVE XSAVEOPT XSAVEC XSAVES XRSTOR XRSTORS MONITOR PCMPESTRM PCMPESTRI SYSEXIT", read(Kind::gpr_fixed, rDX)},
    {"XLAT CMPXCHG8B", read(Kind::gpr_fixed, rBX)},
    {"XLAT", read(Kind::memory)},
    {"LOOP LOOPE LOOPNE", changed(Kind::gpr_fixed, rCX)},
    {"CMPXCHG8B JRCXZ RDMSR WRMSR RDPMC XGETBV XSETBV MONITOR MWAIT SYSRET SYSEXIT", read(Kind::gpr_fixed, rCX)},
    {"SYSCALL RDTSCP PCMPESTRI PCMPISTRI", written(Kind::gpr_fixed, rCX)},
    {"SYSCALL", written(Kind::gpr_fixed, r11)},
    {"SYSRET", read(Kind::gpr_fixed, r11)},
    {"SYSENTER SYSEXIT", written(Kind::gpr_fixed, rSP)},
    {"CPUID", changed(Kind::gpr_fixed, rAX)}, {"CPUID", written(Kind::gpr_fixed, rBX)}, {"CPUID", changed(Kind::gpr_fixed, rCX)},
    {"CPUID", written(Kind::gpr_fixed, rDX)},
    {"MOVS LODS CMPS OUTS", changed(Kind::gpr_fixed, rSI)},
    {"MOVS STOS CMPS SCAS INS", changed(Kind::gpr_fixed, rDI)},
    {"MOVS STOS CMPS SCAS LODS INS OUTS", changed(Kind::gpr_repeat, rCX)},
    {"MASKMOVQ MASKMOVDQU", read(Kind::gpr_fixed, rDI)},
    {"MASKMOVQ MASKMOVDQU", written(Kind::memory)},
    {"PCMPESTRM PCMPISTRM", written(Kind::vec_fixed)},
    {"SHA256RNDS2", read(Kind::vec_fixed)},
};

// ---- x87 ----

struct Stack { const char* names; i8 pushes; std::initializer_list<Role> roles; };
/// Forms without a register operand and with one; memory operands come from the notation.
const Stack kStack[] = {
    {"FLD FILD FBLD FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ", 1, {written(Kind::st_top)}},
    {"FST FIST", 0, {read(Kind::st_top)}},
    {"FSTP FISTP FISTTP FBSTP FSTPNCE FSTP8 FSTP9", -1, {read(Kind::st_top)}},
    {"FXCH FXCH4 FXCH7 FCHS FABS FSQRT FRNDINT F2XM1 FSIN FCOS FADD FMUL FSUB FSUBR FDIV FDIVR FIADD FIMUL FISUB FISUBR FIDIV FIDIVR FCMOVB FCMOVE FCMOVBE "
     "FCMOVU FCMOVNB FCMOVNE FCMOVNBE FCMOVNU", 0, {changed(Kind::st_top)}},
    {"FPREM FPREM1 FSCALE", 0, {changed(Kind::st_top), read(Kind::st_fixed, 1)}},
    {"FYL2X FPATAN FYL2XP1", -1, {read(Kind::st_top), changed(Kind::st_fixed, 1)}},
    {"FXTRACT FPTAN FSINCOS", 1, {changed(Kind::st_top), written(Kind::st_fixed, 0)}},
    {"FCOM FCOM2 FUCOM FUCOMI FCOMI FICOM FTST FXAM", 0, {read(Kind::st_top)}},
    {"FCOMP FCOMP3 FCOMP5 FUCOMP FUCOMIP FCOMIP FICOMP FADDP FMULP FSUBP FSUBRP FDIVP FDIVRP", -1, {read(Kind::st_top)}},
    {"FCOMPP FUCOMPP", -2, {read(Kind::st_top), read(Kind::st_fixed, 1)}},
    {"FINCSTP FFREEP", -1, {}},
    {"FDECSTP", 1, {}},
};
constexpr const char* kWritesSti = "FST FSTP FSTPNCE FSTP8 FSTP9 FFREE FFREEP";
constexpr const char* kChangesSti = "FXCH FXCH4 FXCH7 FADDP FMULP FSUBP FSUBRP FDIVP FDIVRP";

class Maker {
 public:
  Maker(const Def& d, const Pattern& p, bool memory) : d_(d), p_(p), name_(plain_name(d)), memory_(memory) {
    if (d.attrs & attr::x87) x87();
    operands();
    implicit();
    flags();
  }
  Roles out;

 private:
  /// One entry for each register, and one for memory.
  void add(Role r) {
    if (r.kind == Kind::none) return;
    for (unsigned n = 0; n < out.count; ++n)
      if (out.role[n].kind == r.kind && out.role[n].fixed == r.fixed) {
        out.role[n].read |= r.read, out.role[n].written |= r.written;
        return;
      }
    CHECK(out.count < Roles::kMost);
    out.role[out.count++] = r;
  }

  Role kind_of(std::string_view t) const {
    switch (t[0]) {
      case 'E': return {memory_ ? Kind::memory : Kind::gpr_rm};
      case 'W': return {memory_ ? Kind::memory : Kind::vec_rm};
      case 'Q': return {memory_ ? Kind::memory : Kind::mmx_rm};
      case 'M': case 'O': case 'X': case 'Y': return {Kind::memory};
      case 'R': return {Kind::gpr_rm};
      case 'U': return {Kind::vec_rm};
      case 'N': return {Kind::mmx_rm};
      case 'G': case 'Z': return {Kind::gpr_reg};
      case 'V': return {Kind::vec_reg};
      case 'P': return {Kind::mmx_reg};
      case 'H': return {Kind::vec_vvvv};
      case 'B': return {Kind::gpr_vvvv};
      case 'L': return {Kind::vec_imm};
      case 'r': case 'e': return {Kind::gpr_fixed, rAX};
      case 'I': case 'J': case '1': return {};
      case 'C': return t == "CL" ? Role{Kind::gpr_fixed, rCX} : Role{};   // else a control register
      case 'D': return t == "DX" ? Role{Kind::gpr_fixed, rDX} : Role{};
      case 'A': return t == "AL" || t == "AX" ? Role{Kind::gpr_fixed, rAX} : Role{};   // else a far pointer
      case 'S': return t == "ST" ? Role{Kind::st_i} : Role{};
      default: throw std::runtime_error(std::string(d_.name) + ": operand not understood: " + std::string(t));
    }
  }

  /// A load of a part, a result in the low element, CMOV and the like keep what was there.
  bool first_is_read(std::string_view t, const Role& r) const {
    if (r.kind == Kind::memory && (listed(kWriteOnlyInMemory, name_) || setcc())) return false;
    if (listed(kWriteOnly, name_)) return (t == "AL" || (t.size() == 2 && t[1] == 'b')) && r.kind != Kind::memory;   // a byte merges into its register
    if (name_ == "IMUL" && std::string_view(d_.operands).ends_with(p_.imm == Imm::ib ? "Ib" : "Iz")) return p_.imm == Imm::none;
    if (p_.vex) return p_.map == 2 && p_.opcode >= 0x90 && p_.opcode <= 0xbf && r.kind != Kind::gpr_reg;   // gathers and FMA
    if ((name_ == "MOVSS" || name_ == "MOVSD") && memory_) return false;
    return true;
  }
  bool setcc() const { return !p_.vex && p_.map == 1 && (p_.opcode & 0xf0) == 0x90; }

  void operands() {
    const std::string_view all = d_.operands;
    const bool read_only = listed(kReadOnly, name_) || (name_ == "IMUL" && p_.digit == 5);
    unsigned n = 0;
    for (std::size_t at = 0; at < all.size(); ++n) {
      const std::size_t end = std::min(all.find_first_of(", ", at), all.size());
      const std::string_view t = all.substr(at, end - at);
      at = std::min(all.find_first_not_of(", ", end), all.size());
      if (t.size() == 2 && t[1] == 'S' && std::string_view("ECSDFG").find(t[0]) != t.npos) continue;   // a segment register
      Role r = kind_of(t);
      if (name_ == "NOP" || (r.kind == Kind::memory && listed("LEA INVLPG", name_))) continue;   // an address alone
      r.read = n > 0 || read_only || first_is_read(t, r);
      r.written = n == 0 ? !read_only : n == 1 && listed(kExchange, name_);
      if (r.kind == Kind::st_i) r.read = !listed(kWritesSti, name_), r.written = sti_written();
      if (d_.attrs & attr::x87 && r.kind == Kind::memory && !listed(kWriteOnly, name_)) r.written = false, r.read = true;
      if (n == 1 && name_ == "MULX") r.read = false, r.written = true;
      if (t == "Hx" && vsib()) r.written = true;                       // a gather clears its mask
      if (t == "Mvsib") add({Kind::vec_index, 0, true, false});
      add(r);
    }
  }
  bool vsib() const { return p_.vsib; }
  bool sti_written() const {
    if (listed(kWritesSti, name_) || listed(kChangesSti, name_)) return true;
    return p_.opcode == 0xdc && listed("FADD FMUL FSUB FSUBR FDIV FDIVR", name_);   // DC: the other way round
  }

  void x87() {
    for (const Stack& s : kStack)
      if (listed(s.names, name_)) {
        out.pushes = s.pushes;
        for (Role r : s.roles) {
          if (r.kind == Kind::st_top && r.written && r.read && p_.opcode == 0xdc && p_.fixed >= 0) r.written = false;
          add(r);
        }
      }
  }

  void implicit() {
    for (const Implicit& i : kImplicit) if (listed(i.names, name_)) add(i.role);
    // The product of twice the width, and what is divided; of bytes it is AX.
    if (p_.modrm && p_.digit >= 4 && !p_.vex && listed("MUL IMUL DIV IDIV", name_)) {
      add(changed(Kind::gpr_fixed, rAX));
      if (!p_.byte_rm) add({Kind::gpr_fixed, rDX, name_.ends_with("DIV"), true});
    }
    if (!p_.vex && listed("PBLENDVB BLENDVPS BLENDVPD", name_)) add(read(Kind::vec_fixed));
  }

  void flags() {
    // Jcc, SETcc, CMOVcc.   SDM 2D "Condition Codes"
    const unsigned group = p_.opcode & 0xf0u;
    const bool condition = !p_.vex && (p_.map == 0 ? group == 0x70 : p_.map == 1 && (group == 0x80 || group == 0x90 || group == 0x40));
    // A count of zero in CL leaves them as they are.   SDM 2B "SAL/SAR/SHL/SHR"
    const bool by_cl = std::string_view(d_.operands).ends_with("CL");
    const bool r = condition || by_cl || listed(kReadsFlags, name_);
    const bool w = !condition && listed(kWritesFlags, name_);
    if (r || w) add({Kind::flags, 0, r, w});
  }

  const Def& d_;
  const Pattern& p_;
  std::string_view name_;
  bool memory_;
};

}  // namespace

const Roles& roles_of(u16 row, bool memory) {
  static const std::vector<Roles> table = [] {
    std::vector<Roles> v;
    for (std::size_t n = 0; n < all_rows().size(); ++n)
      for (bool m : {false, true}) v.push_back(Maker(all_rows()[n], all_patterns()[n], m).out);
    return v;
  }();
  return table.at(2u * row + memory);
}

const Roles& roles_of(const Insn& i) {
  static constexpr Roles kNothing{};
  return is_nop_90(i) ? kNothing : roles_of(i.row, i.mem());
}

}  // namespace vt::cpu
