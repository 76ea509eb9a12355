// SPDX-License-Identifier: GPL-2.0-or-later
/// libFuzzer: any bytes as an instruction, in any mode. An instruction is what it is however many bytes follow, and one that is cut off asks for more.
#include "base/check.hpp"
#include "cpu/block.hpp"
#include "decoder.hpp"

using namespace vt;
using namespace vt::cpu;

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
  static const CpuModel model = make_model("server", {"+umip", "+monitor", "+rdpid"}, 1, 46, 1'000'000'000);
  if (size < 3) return 0;
  const u16 mode = static_cast<u16>((data[0] | data[1] << 8) & 0x1ff);
  if ((mode & mode_bit::code_size) == 3) return 0;
  const u8* p = data + 2;
  const unsigned n = static_cast<unsigned>(std::min<std::size_t>(size - 2, 24));
  Insn whole;
  bool ends = false;
  const Decoded d = decode(p, n, 0, mode, model, whole, ends);
  if (d != Decoded::ok) return 0;
  CHECK(whole.len >= 1 && whole.len <= 15 && whole.len <= n, "a length that is none");
  for (unsigned avail = 1; avail <= whole.len; ++avail) {
    Insn part;
    bool part_ends = false;
    const Decoded how = decode(p, avail, 0, mode, model, part, part_ends);
    if (avail == whole.len) CHECK(how == Decoded::ok && part.len == whole.len && part.row == whole.row && part_ends == ends, "bytes behind an instruction change it");
    else CHECK(how == Decoded::need_more, "a part of an instruction is one");
  }
  return 0;
}
