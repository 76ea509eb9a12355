// SPDX-License-Identifier: GPL-2.0-or-later
#include "disasm.hpp"

#include <capstone/capstone.h>
#include <fmt/format.h>

#include "cpu/cpu.hpp"

namespace vt::cli {

Disassembler::~Disassembler() {
  for (unsigned n = 0; n < 3; ++n) if (open_[n]) cs_close(&handle_[n]);
}

std::string Disassembler::text(const cpu::Cpu& c, u64 at, std::span<const u8> bytes) {
  static_assert(sizeof(csh) == sizeof(std::size_t));
  const unsigned n = c.code64() ? 2 : c.protected_mode() && c.seg[cpu::CS].db() ? 1 : 0;
  static constexpr cs_mode kModes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
  if (!open_[n]) open_[n] = cs_open(CS_ARCH_X86, kModes[n], &handle_[n]) == CS_ERR_OK;
  cs_insn* i = nullptr;
  if (!open_[n] || !cs_disasm(handle_[n], bytes.data(), bytes.size(), at, 1, &i)) return "(no text)";
  std::string s = i->mnemonic;
  if (*i->op_str) s += std::string(" ") + i->op_str;
  if (i->size != bytes.size()) s += "  (?)";
  cs_free(i, 1);
  return s;
}

}  // namespace vt::cli
