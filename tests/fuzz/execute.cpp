// SPDX-License-Identifier: GPL-2.0-or-later
/// libFuzzer: any code from any registers, in real-address, protected and 64-bit mode, and as the guest of a VMCS with any fields. Twice, which has to end
/// the same way.
#include "base/check.hpp"
#include "fuzz_input.hpp"
#include "vmx_machine.hpp"

using namespace vt;
using namespace vt::cpu;

namespace {

constexpr u64 kValues[] = {0, 1, 2, 7, 8, 0x0f, 0x10, 0x3f, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1'0000, 0x3'0000, 0x3'0ff8, 0x4'0000, 0x5'0000, 0x10'0000, 0x7fff'ffff,
                           0x8000'0000, 0xffff'ffff, 0x1'0000'0000, 0x7fff'ffff'ffff, 0x8000'0000'0000, ~u64{0} << 47, u64{1} << 63, ~u64{0} >> 1, ~u64{0} - 7, ~u64{0}};

u64 value(Input& in) {
  const u8 b = in.byte();
  return b < 0xc0 ? kValues[b % std::size(kValues)] + (b & 0x20 ? 1 : 0) : in.bytes(8);
}

template <class M>
std::string run(M& m, Input in, bool guest) {
  Cpu& c = *m.cpu;
  for (unsigned n = 0; n < 16; ++n) if (n != 4 || in.byte() & 1) c.r[n] = value(in);
  const u64 flags = value(in) & 0x27'7fd5;
  c.set_rflags(flags & ~rflags::VM);
  if constexpr (requires { m.fill(); }) {
    if (guest) {
      m.fill();
      for (unsigned n = in.byte() % 12; n; --n) m.set(static_cast<Field>(kFields[in.byte() % kFieldCount].encoding), value(in));
    }
  } else if (in.byte() & 1) {
    c.cr4 |= value(in) & (cr4::PAE | cr4::PSE | cr4::PGE | cr4::OSXSAVE | cr4::SMEP | cr4::SMAP | cr4::UMIP | cr4::FSGSBASE | cr4::VME | cr4::DE | cr4::TSD);
    c.update();
  }
  std::vector<u8> code(in.p, in.p + std::min<std::size_t>(in.n, 400));
  if constexpr (requires { m.fill(); }) {
    if (guest) m.launch(std::move(code));
    else m.run(std::move(code), 500);
  } else {
    m.run(std::move(code), 500);
  }
  HashAr h;
  c.state(h);
  return h.hex();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
  if (size < 20) return 0;
  const Input in{data + 1, size - 1};
  std::string hash[2];
  for (std::string& h : hash)
    switch (data[0] & 3) {
      case 0: { TestMachine m(TestMachine::Mode::real); h = run(m, in, false); break; }
      case 1: { TestMachine m(TestMachine::Mode::protected32); h = run(m, in, false); break; }
      case 2: { TestMachine m; h = run(m, in, false); break; }
      default: { VmxMachine m; h = run(m, in, data[0] & 4); break; }
    }
  CHECK(hash[0] == hash[1], "the same code from the same state ends differently");
  return 0;
}
