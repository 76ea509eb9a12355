// SPDX-License-Identifier: GPL-2.0-or-later
/// The decoder against Zydis: same length wherever both know the instruction, over random bytes in 16, 32 and 64-bit mode.
/// What Zydis knows and the model does not offer (AVX, AMX, CET ...) is #UD here and not compared.
#include <Zydis/Zydis.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "cpu/block.hpp"
#include "cpu/rows.hpp"
#include "decoder.hpp"
#include "pattern.hpp"

namespace vt::cpu {
namespace {

CpuModel everything() {
  CpuModel m = make_model("server", {}, 1, 46, 1'000'000'000);
  return m;
}

constexpr u16 kUnits = mode_bit::x87_ok | mode_bit::protected_mode;

TEST(rows, every_row_parses) {
  EXPECT_EQ(all_patterns().size(), all_rows().size());
  EXPECT_GT(all_rows().size(), 700u);
}

TEST(rows, no_two_rows_have_the_same_encoding) {
  std::map<std::string, std::string> seen;
  for (std::size_t n = 0; n < all_rows().size(); ++n) {
    const Def& d = all_rows()[n];
    const Pattern& p = all_patterns()[n];
    const std::string key = std::string(d.opcode) + (d.attrs & attr::no64 ? " no64" : d.attrs & attr::only64 ? " only64" : "") +
                            (p.memory_only ? " memory" : p.register_only ? " register" : "") + std::to_string(static_cast<int>(d.feature));
    auto [it, fresh] = seen.emplace(key, d.name);
    EXPECT_TRUE(fresh) << d.name << " and " << it->second << ": " << d.opcode;
  }
}

struct Judge {
  explicit Judge(unsigned code) : mode(static_cast<u16>(code | kUnits)), model(everything()) {
    ZydisDecoderInit(&zydis, code == 2 ? ZYDIS_MACHINE_MODE_LONG_64 : code == 1 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
                     code == 2 ? ZYDIS_STACK_WIDTH_64 : code == 1 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
  }
  ZydisDecoder zydis;
  u16 mode;
  CpuModel model;
};

TEST(decoder, agrees_with_zydis_on_random_bytes) {
  for (unsigned code : {0u, 1u, 2u}) {
    Judge j(code);
    std::mt19937_64 random(42 + code);
    unsigned compared = 0, different = 0;
    std::map<std::string, unsigned> unknown;
    for (unsigned n = 0; n < 400'000; ++n) {
      u8 bytes[16];
      const u64 a = random(), b = random();
      std::memcpy(bytes, &a, 8);
      std::memcpy(bytes + 8, &b, 8);
      if (n % 4 == 0) bytes[0] = 0x0f;
      if (n % 16 == 1) bytes[0] = 0x66, bytes[1] = 0x0f;
      ZydisDecodedInstruction z;
      const bool known = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&j.zydis, nullptr, bytes, 15, &z));
      Insn i;
      bool ends;
      const Decoded got = decode(bytes, 15, 0, j.mode, j.model, i, ends);
      const bool ours = got == Decoded::ok && i.row != kNoRow;
      if (known && ours) {
        ++compared;
        if (z.length != i.len && ++different < 10)
          ADD_FAILURE() << "code size " << code << ": " << ZydisMnemonicGetString(z.mnemonic) << " has " << int(z.length) << " bytes, " << all_rows()[i.row].name << " " << int(i.len);
      } else if (known && got == Decoded::ok) {
        ++unknown[ZydisMnemonicGetString(z.mnemonic)];
      }
    }
    EXPECT_GT(compared, 150'000u);
    EXPECT_EQ(different, 0u);
    if (std::getenv("VITRINE_LIST_UNKNOWN"))
      for (auto& [name, count] : unknown) std::printf("  %u-bit: %s %u\n", 16u << code, name.c_str(), count);
  }
}

}  // namespace
}  // namespace vt::cpu
