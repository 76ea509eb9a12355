// SPDX-License-Identifier: GPL-2.0-or-later
#include "classes.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/rows.hpp"
#include "names.hpp"
#include "pattern.hpp"

namespace vt::cpu {
namespace {

using timing::OpClass;
using enum timing::OpClass;

struct Names { OpClass op; const char* names; };

/// Names of rows, VEX forms without their V. What depends on the operands is decided before, in `classify`.
constexpr Names kNames[] = {
    {nop, "NOP PREFETCH PREFETCHW ZEROUPPER"},
    {alu, "ADD OR AND SUB XOR CMP TEST INC DEC NOT NEG CBW CWD MOVZX MOVSX MOVSXD XLAT BOUND CLC STC CMC SALC"},
    {adc, "ADC SBB ADCX ADOX"},
    {load, "POP LDDQU MOVNTDQA"},
    {store, "PUSH MOVNTI MOVNTQ MOVNTPS MOVNTPD MOVNTDQ"},
    {lea, "LEA"},
    {xchg, "XCHG"},
    {bswap, "BSWAP MOVBE"},
    {xadd, "XADD"},
    {cmpxchg, "CMPXCHG CMPXCHG8B"},
    {enter_leave, "ENTER LEAVE PUSHA POPA"},
    {shift, "SHL SHR SAR ROL ROR SHLX SARX SHRX RORX"},
    {rotate_carry, "RCL RCR"},
    {shift_double, "SHLD SHRD"},
    {bit_test, "BT BTS BTR BTC"},
    {bit_scan, "BSF BSR TZCNT LZCNT"},
    {popcnt, "POPCNT"},
    {crc32, "CRC32"},
    {bmi, "ANDN BLSR BLSMSK BLSI BEXTR BZHI"},
    {pdep, "PEXT PDEP"},
    {mul64, "MULX"},
    {bcd, "DAA DAS AAA AAS AAM AAD"},
    {branch, "JMP"},
    {call, "CALL"},
    {ret, "RET"},
    {loop_, "LOOP LOOPE LOOPNE JRCXZ"},
    {far_transfer, "JMPF CALLF RETF"},
    {iret, "IRET RSM"},
    {software_interrupt, "INT INT1 INT3 INTO UD0 UD1 UD2"},
    {string, "MOVS CMPS STOS LODS SCAS"},
    {flags_, "CLD STD CLI STI PUSHF POPF LAHF SAHF CLAC STAC"},
    {pause, "PAUSE"},
    {hlt, "HLT MONITOR MWAIT"},
    {lfence, "LFENCE"},
    {mfence, "MFENCE"},
    {sfence, "SFENCE"},
    {clflush, "CLFLUSH CLFLUSHOPT CLWB"},
    {in_out, "IN OUT INS OUTS"},
    {rdmsr, "RDMSR"},
    {wrmsr, "WRMSR"},
    {rdtsc, "RDTSC RDTSCP RDPMC"},
    {cpuid, "CPUID"},
    {rdrand, "RDRAND RDSEED"},
    {system_read, "RDPID SMSW SGDT SIDT SLDT STR VERR VERW LAR LSL ARPL RDFSBASE RDGSBASE XGETBV"},
    {mov_cr, "CLTS LMSW"},
    {load_table, "LGDT LIDT LLDT LTR XSETBV"},
    {segment_load, "LES LDS LSS LFS LGS WRFSBASE WRGSBASE"},
    {swapgs, "SWAPGS"},
    {invlpg, "INVLPG"},
    {invpcid, "INVPCID"},
    {wbinvd, "INVD WBINVD"},
    {syscall, "SYSCALL SYSENTER"},
    {sysret, "SYSRET SYSEXIT"},
    {invept, "INVEPT"},
    {invvpid, "INVVPID"},
    {vmcall, "VMCALL"},
    {vmclear, "VMCLEAR"},
    {vmlaunch, "VMLAUNCH"},
    {vmptrld, "VMPTRLD"},
    {vmptrst, "VMPTRST"},
    {vmread, "VMREAD"},
    {vmresume, "VMRESUME"},
    {vmwrite, "VMWRITE"},
    {vmxon, "VMXON VMXOFF"},

    {x87_move, "FLD FST FSTP FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ FXCH FXCH4 FXCH7 FDECSTP FINCSTP FFREE FFREEP FCMOVB FCMOVE FCMOVBE FCMOVU "
               "FCMOVNB FCMOVNE FCMOVNBE FCMOVNU FSTPNCE FSTP8 FSTP9 FNOP FCHS FABS"},
    {x87_add, "FADD FSUB FSUBR FADDP FSUBP FSUBRP FIADD FISUB FISUBR FCOM FCOMP FCOMPP FCOM2 FCOMP3 FCOMP5 FUCOM FUCOMP FUCOMPP FUCOMI FCOMI FUCOMIP "
              "FCOMIP FICOM FICOMP FTST FXAM FILD FIST FISTP FISTTP FRNDINT FXTRACT"},
    {x87_mul, "FMUL FMULP FIMUL"},
    {x87_div, "FDIV FDIVR FDIVP FDIVRP FIDIV FIDIVR FPREM FPREM1"},
    {x87_sqrt, "FSQRT"},
    {x87_trans, "FSCALE F2XM1 FYL2X FPTAN FPATAN FYL2XP1 FSINCOS FSIN FCOS"},
    {x87_control, "FLDENV FLDCW FNSTENV FNSTCW FRSTOR FNSAVE FNSTSW FNENI FNDISI FNCLEX FNINIT FNSETPM FWAIT LDMXCSR STMXCSR"},
    {x87_load_store80, "FBLD FBSTP"},
    {emms, "EMMS ZEROALL"},
    {fxsave, "FXSAVE FXRSTOR"},
    {xsave, "XSAVE XRSTOR XSAVEOPT XSAVEC XSAVES XRSTORS"},

    {fp_move, "MOVUPS MOVUPD MOVAPS MOVAPD"},
    {fp_add, "ADDPS ADDPD ADDSS ADDSD SUBPS SUBPD SUBSS SUBSD ADDSUBPS ADDSUBPD"},
    {fp_mul, "MULPS MULPD MULSS MULSD"},
    {fp_div_s, "DIVPS DIVSS"},
    {fp_div_d, "DIVPD DIVSD"},
    {fp_sqrt_s, "SQRTPS SQRTSS"},
    {fp_sqrt_d, "SQRTPD SQRTSD"},
    {fp_approx, "RCPPS RCPSS RSQRTPS RSQRTSS"},
    {fp_hadd, "HADDPS HADDPD HSUBPS HSUBPD DPPS DPPD"},
    {fp_cmp, "CMPPS CMPPD CMPSS CMPSD UCOMISS UCOMISD COMISS COMISD MINPS MINPD MINSS MINSD MAXPS MAXPD MAXSS MAXSD"},
    {fp_convert, "CVTPI2PS CVTPI2PD CVTTPS2PI CVTTPD2PI CVTPS2PI CVTPD2PI CVTSI2SS CVTSI2SD CVTTSS2SI CVTTSD2SI CVTSS2SI CVTSD2SI CVTPS2PD CVTPD2PS "
                 "CVTSS2SD CVTSD2SS CVTDQ2PS CVTPS2DQ CVTTPS2DQ CVTTPD2DQ CVTDQ2PD CVTPD2DQ CVTPH2PS CVTPS2PH"},
    {fp_round, "ROUNDPS ROUNDPD ROUNDSS ROUNDSD"},

    {vec_move, "MOVDQA MOVDQU MOVQ"},
    {vec_logic, "PAND PANDN POR PXOR ANDPS ANDPD ANDNPS ANDNPD ORPS ORPD XORPS XORPD"},
    {vec_add, "PADDB PADDW PADDD PADDQ PADDSB PADDSW PADDUSB PADDUSW PSUBB PSUBW PSUBD PSUBQ PSUBSB PSUBSW PSUBUSB PSUBUSW PAVGB PAVGW PMINUB PMAXUB "
              "PMINSW PMAXSW PMINSB PMINSD PMINUW PMINUD PMAXSB PMAXSD PMAXUW PMAXUD PABSB PABSW PABSD PSIGNB PSIGNW PSIGND"},
    {vec_cmp, "PCMPEQB PCMPEQW PCMPEQD PCMPEQQ PCMPGTB PCMPGTW PCMPGTD PCMPGTQ"},
    {vec_mul, "PMULLW PMULHW PMULHUW PMULUDQ PMADDWD PMADDUBSW PMULHRSW PMULDQ"},
    {vec_mul32, "PMULLD"},
    {vec_shift, "PSRLW PSRLD PSRLQ PSRAW PSRAD PSLLW PSLLD PSLLQ PSRLVD PSRLVQ PSRAVD PSLLVD PSLLVQ"},
    {vec_sad, "PSADBW MPSADBW PHMINPOSUW PHADDW PHADDD PHADDSW PHSUBW PHSUBD PHSUBSW"},
    {vec_shuffle, "PUNPCKLBW PUNPCKLWD PUNPCKLDQ PUNPCKLQDQ PUNPCKHBW PUNPCKHWD PUNPCKHDQ PUNPCKHQDQ PACKSSWB PACKSSDW PACKUSWB PACKUSDW PSHUFB PSHUFW "
                  "PSHUFD PSHUFLW PSHUFHW PALIGNR PSRLDQ PSLLDQ UNPCKLPS UNPCKLPD UNPCKHPS UNPCKHPD SHUFPS SHUFPD INSERTPS MOVHLPS MOVLHPS MOVLPS MOVLPD "
                  "MOVHPS MOVHPD MOVDDUP MOVSLDUP MOVSHDUP MOVQ2DQ MOVDQ2Q BROADCASTSS BROADCASTSD BROADCASTF128 BROADCASTI128 PBROADCASTB PBROADCASTW "
                  "PBROADCASTD PBROADCASTQ INSERTF128 INSERTI128 EXTRACTF128 EXTRACTI128 PERM2F128 PERM2I128 PERMILPS PERMILPD PERMD PERMPS PERMQ PERMPD "
                  "PMOVSXBW PMOVSXBD PMOVSXBQ PMOVSXWD PMOVSXWQ PMOVSXDQ PMOVZXBW PMOVZXBD PMOVZXBQ PMOVZXWD PMOVZXWQ PMOVZXDQ"},
    {vec_blend, "PBLENDW BLENDPS BLENDPD PBLENDD PBLENDVB BLENDVPS BLENDVPD MOVSS MOVSD"},
    {vec_movmsk, "MOVMSKPS MOVMSKPD PMOVMSKB PTEST TESTPS TESTPD"},
    {movd, "MOVD"},
    {vec_extract, "PEXTRB PEXTRW PEXTRD EXTRACTPS"},
    {vec_insert, "PINSRB PINSRW PINSRD"},
    {vec_string, "PCMPESTRM PCMPESTRI PCMPISTRM PCMPISTRI"},
    {vec_gather, "PGATHERDD PGATHERDQ PGATHERQD PGATHERQQ GATHERDPS GATHERDPD GATHERQPS GATHERQPD"},
    {vec_mask_move, "MASKMOVQ MASKMOVDQU MASKMOVPS MASKMOVPD PMASKMOVD PMASKMOVQ"},
    {aes, "AESIMC AESENC AESENCLAST AESDEC AESDECLAST AESKEYGENASSIST"},
    {pclmul, "PCLMULQDQ"},
    {sha, "SHA1NEXTE SHA1MSG1 SHA1MSG2 SHA256MSG1 SHA256MSG2 SHA256RNDS2 SHA1RNDS4"},
};

/// MOV, by what it moves between.
OpClass classify_mov(std::string_view operands, bool memory) {
  if (operands == "Rd, Cd" || operands == "Cd, Rd") return mov_cr;
  if (operands == "Rd, Dd" || operands == "Dd, Rd") return mov_dr;
  if (operands == "Sw,Ew") return segment_load;
  if (operands == "Ev,Sw") return memory ? store : alu;
  if (operands[0] == 'O') return store;
  if (operands == "AL,Ob" || operands == "rAX,Ov") return load;
  if (!memory) return operands == "Ev,Gv" || operands == "Gv,Ev" ? move : alu;   // constants take a port, bytes are merged
  return operands[0] == 'E' ? store : load;
}

/// Moves between registers that with a memory operand are the access alone.
constexpr const char* kPlainLoads = "MOVZX MOVSX MOVSXD MOVUPS MOVUPD MOVAPS MOVAPD MOVDQA MOVDQU MOVQ MOVSS MOVSD MOVD MOVDDUP MOVSLDUP MOVSHDUP BROADCASTSS "
                                    "BROADCASTSD BROADCASTF128 BROADCASTI128 PBROADCASTD PBROADCASTQ";
constexpr const char* kPlainStores = "MOVUPS MOVUPD MOVAPS MOVAPD MOVDQA MOVDQU MOVQ MOVSS MOVSD MOVD MOVLPS MOVLPD MOVHPS MOVHPD EXTRACTF128 EXTRACTI128";

OpClass classify(const Def& d, const Pattern& p, bool memory) {
  const std::string_view name = plain_name(d), operands = d.operands;
  // Conditions are in the opcode's low four bits.   SDM 2D "Condition Codes"
  if (!p.vex && p.map == 0 && (p.opcode & 0xf0) == 0x70) return branch;
  if (!p.vex && p.map == 1 && (p.opcode & 0xf0) == 0x80) return branch;
  if (!p.vex && p.map == 1 && (p.opcode & 0xf0) == 0x90) return setcc;
  if (!p.vex && p.map == 1 && (p.opcode & 0xf0) == 0x40) return cmov;
  if (name == "MOV") return classify_mov(operands, memory);
  if (name == "POP" && operands.size() == 2 && operands[1] == 'S') return segment_load;
  if (p.vex && p.map == 2 && p.opcode >= 0x96 && p.opcode <= 0xbf) return fp_fma;
  if (listed("SHL SHR SAR ROL ROR", name) && operands.ends_with("CL")) return shift_cl;
  if (name == "MUL" || name == "IMUL") return operands == "Ev" ? mul64 : mul;   // the product of twice the width, or one register
  if (name == "DIV" || name == "IDIV") return operands == "Eb" ? div8 : div32;
  if (memory && (name == "FLD" || name == "FST" || name == "FSTP")) return operands == "Mt" ? x87_load_store80 : name == "FLD" ? load : store;
  const bool first_is_memory = memory && std::string_view("MEWQ").find(operands[0]) != std::string_view::npos;
  if (first_is_memory && listed(kPlainStores, name)) return store;
  if (memory && !first_is_memory && listed(kPlainLoads, name)) return load;
  for (const Names& n : kNames)
    if (listed(n.names, name)) return n.op;
  throw std::runtime_error(std::string(d.name) + " \"" + d.opcode + "\": no timing class; give it one in cpu/timing/classes.cpp");
}

}  // namespace

OpClass class_of(const Def& row, bool memory) { return classify(row, parse_pattern(row), memory); }

OpClass class_of(u16 row, bool memory) {
  static const std::vector<OpClass> table[2] = {[] {
    std::vector<OpClass> v;
    for (const Def& d : all_rows()) v.push_back(class_of(d, false));
    return v;
  }(), [] {
    std::vector<OpClass> v;
    for (const Def& d : all_rows()) v.push_back(class_of(d, true));
    return v;
  }()};
  return table[memory].at(row);
}

bool three_part_lea(const Insn& i) { return i.rm != kZeroReg && i.rm != kRipReg && i.index != kZeroReg && i.disp != 0; }

bool is_nop_90(const Insn& i) { return !i.mem() && i.reg == 0 && i.rm == 0 && class_of(i.row, false) == xchg && all_patterns()[i.row].plus_r; }

bool locks(const Insn& i) { return i.lock() || (i.mem() && class_of(i.row, true) == xchg); }

OpClass class_of(const Insn& i) {
  const OpClass op = class_of(i.row, i.mem());
  if (op == lea) {
    const bool scaled = i.index != kZeroReg && i.scale();
    return three_part_lea(i) ? scaled ? lea_slow_scaled : lea_slow : scaled ? lea_scaled : lea;
  }
  if (op == bswap && i.osz() == 2) return bswap64;
  if (op == div32 && i.osz() == 2) return div64;
  if (op == move && i.osz() == 0) return alu;   // 16 bits are merged into the register
  if (op == xchg && is_nop_90(i)) return nop;
  return op;
}

}  // namespace vt::cpu
