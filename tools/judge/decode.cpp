// SPDX-License-Identifier: GPL-2.0-or-later
#include "judge/decode.hpp"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "cpu/block.hpp"
#include "cpu/rows.hpp"
#include "decoder.hpp"
#include "judge/classes.hpp"
#include "judge/operands.hpp"

namespace vt::judge {
namespace {

using cpu::mode_bit::protected_mode, cpu::mode_bit::x87_ok, cpu::mode_bit::vex_ok;

/// Names that differ for one and the same instruction, ours first.
constexpr std::pair<const char*, const char*> kAliases[] = {
    {"JAE", "JNB"}, {"JE", "JZ"}, {"JNE", "JNZ"}, {"JA", "JNBE"}, {"JGE", "JNL"}, {"JG", "JNLE"},
    {"SETAE", "SETNB"}, {"SETE", "SETZ"}, {"SETNE", "SETNZ"}, {"SETA", "SETNBE"}, {"SETGE", "SETNL"}, {"SETG", "SETNLE"},
    {"CMOVAE", "CMOVNB"}, {"CMOVE", "CMOVZ"}, {"CMOVNE", "CMOVNZ"}, {"CMOVA", "CMOVNBE"}, {"CMOVGE", "CMOVNL"}, {"CMOVG", "CMOVNLE"},
    {"MOVS", "MOVSB MOVSW MOVSD MOVSQ"}, {"CMPS", "CMPSB CMPSW CMPSD CMPSQ"}, {"STOS", "STOSB STOSW STOSD STOSQ"}, {"LODS", "LODSB LODSW LODSD LODSQ"},
    {"SCAS", "SCASB SCASW SCASD SCASQ"}, {"INS", "INSB INSW INSD"}, {"OUTS", "OUTSB OUTSW OUTSD"}, {"XLAT", "XLAT"},
    {"CBW", "CBW CWDE CDQE"}, {"CWD", "CWD CDQ CQO"}, {"JRCXZ", "JCXZ JECXZ JRCXZ"}, {"IRET", "IRET IRETD IRETQ"}, {"RET", "RET"}, {"RETF", "RET"},
    {"PUSHF", "PUSHF PUSHFD PUSHFQ"}, {"POPF", "POPF POPFD POPFQ"}, {"PUSHA", "PUSHA PUSHAD"}, {"POPA", "POPA POPAD"}, {"JMPF", "JMP"}, {"CALLF", "CALL"},
    {"CMPXCHG8B", "CMPXCHG8B CMPXCHG16B"}, {"SHL", "SHL SAL"}, {"FWAIT", "FWAIT"}, {"XCHG", "XCHG NOP"}, {"MOVQ2DQ", "MOVQ2DQ"},
    {"NOP", "NOP PREFETCHNTA PREFETCHT0 PREFETCHT1 PREFETCHT2 PREFETCHWT1 PREFETCH BNDMOV BNDLDX BNDSTX BNDCL BNDCU BNDCN BNDMK ENDBR32 ENDBR64 RDSSPD RDSSPQ CLDEMOTE"},
    {"PREFETCH", "PREFETCH PREFETCHNTA PREFETCHT0 PREFETCHT1 PREFETCHT2 NOP"}, {"FXSAVE", "FXSAVE FXSAVE64"}, {"FXRSTOR", "FXRSTOR FXRSTOR64"}, {"XSAVE", "XSAVE XSAVE64"}, {"XRSTOR", "XRSTOR XRSTOR64"},
    {"XSAVEOPT", "XSAVEOPT XSAVEOPT64"}, {"XSAVEC", "XSAVEC XSAVEC64"}, {"XSAVES", "XSAVES XSAVES64"}, {"XRSTORS", "XRSTORS XRSTORS64"},
    {"FNENI", "FNENI FENI8087_NOP FENI"}, {"FNDISI", "FNDISI FDISI8087_NOP FDISI"}, {"FNSETPM", "FNSETPM FSETPM287_NOP FSETPM"},
    {"FXCH4", "FXCH"}, {"FXCH7", "FXCH"}, {"FSTP8", "FSTP"}, {"FSTP9", "FSTP"}, {"FCOM2", "FCOM"}, {"FCOMP3", "FCOMP"}, {"FCOMP5", "FCOMP"}, {"FREEP", "FFREEP"},
    {"SYSRET", "SYSRET SYSRETQ"}, {"SYSEXIT", "SYSEXIT SYSEXITQ"}, {"LOOPNE", "LOOPNE LOOPNZ"}, {"LOOPE", "LOOPE LOOPZ"}, {"MOVSXD", "MOVSXD"}, {"UD1", "UD1"}, {"UD0", "UD0"},
    {"PUSH", "PUSH"}, {"MOVABS", "MOV"}, {"SALC", "SALC"}, {"INT1", "INT1"}, {"RSM", "RSM"}, {"VMPTRST", "VMPTRST"}, {"CMPSD", "CMPSD"}, {"MOVSD", "MOVSD"},
};

/// What the two may disagree about, and why.
struct Exception { const char *ours, *zydis, *why; };
constexpr const char* kAny = "*";
constexpr Exception kExceptions[] = {
    {"", "AMD", "AMD's and other makers' instructions"},
    {"", "NEW", "instructions of extensions that the model does not have"},
    {"MOV", "-", "segment, control and debug registers that do not exist are #UD when the instruction executes"},
    {"VPGATHERDD VPGATHERDQ VPGATHERQD VPGATHERQQ VGATHERDPS VGATHERDPD VGATHERQPS VGATHERQPD", "-", "destination, index and mask that are one register are #UD when the instruction executes"},
    {"NOP", "-", "MPX encodings with registers that do not exist: without MPX they are NOP all the same"},
    {"UD0", kAny, "UD0 takes a ModRM byte, or on older processors none"},
    {"PREFETCHW", "NOP PREFETCH PREFETCHWT1", "0F 0D is a hint in all its forms"},
};

bool same_name(const std::string& ours, const std::string& zydis);
/// Has the model this instruction in some form?
bool have(const std::string& zydis) {
  static std::map<std::string, bool> known;
  const auto [it, fresh] = known.emplace(zydis, false);
  if (fresh) for (auto& d : cpu::all_rows()) it->second |= same_name(d.name, zydis);
  return it->second;
}

const char* explain(const std::string& ours, const std::string& zydis, const ZydisDecodedInstruction* z) {
  for (const Exception& e : kExceptions)
    if (*e.ours && listed(e.ours, ours) && (e.zydis == kAny || listed(e.zydis, zydis.empty() ? "-" : zydis))) return e.why;
  if (!ours.empty() || !z || have(zydis)) return nullptr;
  switch (z->meta.isa_set) {
    case ZYDIS_ISA_SET_AMD: case ZYDIS_ISA_SET_AMD3DNOW: case ZYDIS_ISA_SET_AMD_INVLPGB: case ZYDIS_ISA_SET_SSE4A: case ZYDIS_ISA_SET_SVM: case ZYDIS_ISA_SET_XOP:
    case ZYDIS_ISA_SET_FMA4: case ZYDIS_ISA_SET_TBM: case ZYDIS_ISA_SET_CLZERO: case ZYDIS_ISA_SET_MCOMMIT: case ZYDIS_ISA_SET_RDPRU: case ZYDIS_ISA_SET_SNP: case ZYDIS_ISA_SET_MONITORX:
    case ZYDIS_ISA_SET_PADLOCK_ACE: case ZYDIS_ISA_SET_PADLOCK_PHE: case ZYDIS_ISA_SET_PADLOCK_PMM: case ZYDIS_ISA_SET_PADLOCK_RNG:
      return kExceptions[0].why;
    default: break;
  }
  return kExceptions[1].why;
}

bool same_name(const std::string& ours, const std::string& zydis) {
  if (ours == zydis) return true;
  for (auto& [a, b] : kAliases) if (ours == a && listed(b, zydis)) return true;
  for (std::size_t at = 0; at != std::string::npos;) {  // "MOVD/MOVQ"
    const std::size_t end = ours.find('/', at);
    if (ours.compare(at, (end == std::string::npos ? ours.size() : end) - at, zydis) == 0) return true;
    at = end == std::string::npos ? end : end + 1;
  }
  return false;
}

struct Pair {
  explicit Pair(unsigned code) : mode(static_cast<u16>(code | x87_ok | vex_ok | protected_mode)), model(cpu::make_model("server", {"+monitor", "+rdpid", "+umip"}, 1, 46, 1'000'000'000)) {
    ZydisDecoderInit(&zydis, code == 2 ? ZYDIS_MACHINE_MODE_LONG_64 : code == 1 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
                     code == 2 ? ZYDIS_STACK_WIDTH_64 : code == 1 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
  }
  /// Returns the length that a sweep goes on by.
  unsigned compare(const u8* bytes, unsigned n, DecodeResult& r) {
    ZydisDecodedInstruction z;
    const bool known = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&zydis, nullptr, bytes, std::min(n, 15u), &z));
    cpu::Insn i;
    bool ends;
    const cpu::Decoded got = cpu::decode(bytes, n, 0, mode, model, i, ends);
    const bool ours = got == cpu::Decoded::ok && i.row != cpu::kNoRow;
    const std::string name = ours ? cpu::all_rows()[i.row].name : "";
    std::string theirs = known ? ZydisMnemonicGetString(z.mnemonic) : "";
    for (char& ch : theirs) if (ch >= 'a' && ch <= 'z') ch = static_cast<char>(ch - 32);
    auto note = [&](const char* what) {
      if (const char* why = explain(name, theirs, known ? &z : nullptr)) { ++r.explained[why]; return false; }
      const std::string key = fmt::format("{}: {} / {}", what, name.empty() ? "-" : name, theirs.empty() ? "-" : theirs);
      ++r.unexplained[key];
      std::string& text = r.example[key];
      if (text.empty()) for (unsigned k = 0; k < std::min(n, 15u); ++k) text += fmt::format(" {:02x}", bytes[k]);
      return true;
    };
    if (!known && !ours) ++r.undefined;
    else if (!known) r.only_ours += note("only ours");
    else if (!ours) r.only_zydis += note("only Zydis");
    else {
      ++r.instructions;
      if (z.length != i.len) r.lengths += note("length");
      else if (!same_name(name, theirs)) r.names += note("name");
    }
    return known ? z.length : 1;
  }
  ZydisDecoder zydis;
  u16 mode;
  cpu::CpuModel model;
};

}  // namespace

void DecodeResult::add(const DecodeResult& r) {
  instructions += r.instructions, undefined += r.undefined, lengths += r.lengths, names += r.names, only_zydis += r.only_zydis, only_ours += r.only_ours;
  for (auto& [k, n] : r.explained) explained[k] += n;
  for (auto& [k, n] : r.unexplained) unexplained[k] += n;
  for (auto& [k, t] : r.example) example.emplace(k, t);
}

DecodeResult decode_random(unsigned code, u64 seed, u64 first, u64 count) {
  Pair p(code);
  DecodeResult r;
  for (u64 n = first; n < first + count; ++n) {
    Operands o(seed * 0x9e3779b97f4a7c15 ^ n * 0xd1342543de82ef95 ^ code);
    u8 bytes[16];
    for (unsigned k = 0; k < 16; k += 8) { const u64 v = o.bits(); std::memcpy(bytes + k, &v, 8); }
    switch (n % 8) {  // more of the maps that random bytes seldom reach
      case 0: bytes[0] = 0x0f; break;
      case 1: bytes[0] = 0x66, bytes[1] = 0x0f; break;
      case 2: bytes[0] = 0x0f, bytes[1] = bytes[1] & 2 ? 0x38 : 0x3a; break;
      case 3: bytes[0] = 0xc4, bytes[1] = static_cast<u8>((bytes[1] & 0xe0) | (1 + o.below(3))); break;
      case 4: bytes[0] = 0xc5; break;
      default: break;
    }
    p.compare(bytes, 16, r);
  }
  return r;
}

DecodeResult decode_tables(unsigned code) {
  Pair p(code);
  DecodeResult r;
  u8 bytes[16];
  const auto compare = [&](std::initializer_list<unsigned> head, bool all) {
    unsigned n = 0;
    for (unsigned b : head) if (b < 256) bytes[n++] = static_cast<u8>(b);
    for (unsigned k = n + 1; k < 16; ++k) bytes[k] = 0x12;
    for (unsigned modrm = 0; modrm < 256; ++modrm) {   // memory by one register, and every register form
      if ((modrm & 0xc0) == 0 ? (modrm & 7) != 0 : (modrm & 0xc0) != 0xc0 || (!all && (modrm & 7) != 1)) continue;
      bytes[n] = static_cast<u8>(modrm);
      p.compare(bytes, 16, r);
    }
  };
  constexpr unsigned kNone = 256;
  for (unsigned lock : {kNone, 0xf0u})
    for (unsigned prefix : {kNone, 0x66u, 0xf3u, 0xf2u})
      for (unsigned rex : {kNone, 0x48u}) {
        if (rex != kNone && code != 2) continue;
        if (lock != kNone && prefix != kNone && rex != kNone) continue;
        for (unsigned op = 0; op < 256; ++op) {
          const bool is_prefix = op == 0x0f || op == 0x26 || op == 0x2e || op == 0x36 || op == 0x3e || (op >= 0x64 && op <= 0x67) || op == 0xf0 || op == 0xf2 || op == 0xf3 || op == 0xc4 || op == 0xc5 || op == 0x62 ||
                                 (code == 2 && (op & 0xf0) == 0x40);
          if (!is_prefix) compare({lock, prefix, rex, op}, true);
          if (op != 0x38 && op != 0x3a) compare({lock, prefix, rex, 0x0f, op}, true);
          compare({lock, prefix, rex, 0x0f, 0x38, op}, false);
          compare({lock, prefix, rex, 0x0f, 0x3a, op}, false);
        }
      }
  for (unsigned map : {1u, 2u, 3u})
    for (unsigned last = 0; last < 16; ++last)   // W, and L and pp; no further operand, or one
      for (unsigned vvvv : {15u, 14u})
        for (unsigned op = 0; op < 256; ++op) compare({0xc4u, 0xe0 | map, (last >> 3) << 7 | vvvv << 3 | (last & 7), op}, false);
  return r;
}

DecodeResult decode_elf(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::vector<char> data{std::istreambuf_iterator<char>(in), {}};
  auto bad = [&](const char* what) { return std::runtime_error(file + ": " + what); };
  Elf64_Ehdr h;
  if (data.size() < sizeof h) throw bad("not an ELF file");
  std::memcpy(&h, data.data(), sizeof h);
  if (std::memcmp(h.e_ident, ELFMAG, 4) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != EM_X86_64) throw bad("not an ELF file for x86-64");
  DecodeResult r;
  Pair p(2);
  for (unsigned n = 0; n < h.e_shnum; ++n) {
    Elf64_Shdr s;
    const u64 at = h.e_shoff + u64{n} * h.e_shentsize;
    if (at + sizeof s > data.size()) throw bad("section headers lie beyond its end");
    std::memcpy(&s, data.data() + at, sizeof s);
    if (!(s.sh_flags & SHF_EXECINSTR) || s.sh_type == SHT_NOBITS) continue;
    if (s.sh_offset > data.size() || s.sh_size > data.size() - s.sh_offset) throw bad("a section lies beyond its end");
    const u8* bytes = reinterpret_cast<const u8*>(data.data()) + s.sh_offset;
    for (u64 k = 0; k + 15 <= s.sh_size;) k += p.compare(bytes + k, 15, r);
  }
  return r;
}

}  // namespace vt::judge
