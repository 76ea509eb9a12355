// SPDX-License-Identifier: GPL-2.0-or-later
/// Runs one instruction on the host: registers and flags in, registers and flags out. Only where the host is an x86-64.
#pragma once
#include "base/types.hpp"

#if defined(__x86_64__) && defined(__linux__)
#define VT_NATIVE 1
#include <sys/mman.h>

#include <vector>

namespace vt::cpu {

struct NativeState {
  u64 r[10] = {};  ///< RAX RCX RDX RBX (RSP and RBP are not used) RSI RDI R8 R9
  u64 flags = 2;
};

class Native {
 public:
  Native() : page_(static_cast<u8*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
  ~Native() { if (ok()) munmap(page_, 4096); }
  Native(const Native&) = delete;
  Native& operator=(const Native&) = delete;
  bool ok() const { return page_ != MAP_FAILED; }

  void run(const std::vector<u8>& code, NativeState& s) {
    std::vector<u8> b = {0x53, 0x55, 0x41, 0x57, 0x49, 0x89, 0xff};  // push rbx, rbp, r15; mov r15, rdi
    auto add = [&](std::initializer_list<unsigned> bytes) { for (unsigned x : bytes) b.push_back(static_cast<u8>(x)); };
    add({0x41, 0xff, 0x77, 80, 0x9d});  // push [r15 + flags]; popf
    for (unsigned n = 0; n < 10; ++n) if (n != 4 && n != 5) add({n < 8 ? 0x49u : 0x4du, 0x8b, 0x47 | (n & 7) << 3, n * 8});
    b.insert(b.end(), code.begin(), code.end());
    for (unsigned n = 0; n < 10; ++n) if (n != 4 && n != 5) add({n < 8 ? 0x49u : 0x4du, 0x89, 0x47 | (n & 7) << 3, n * 8});
    add({0x9c, 0x41, 0x8f, 0x47, 80, 0xfc, 0x41, 0x5f, 0x5d, 0x5b, 0xc3});  // pushf; pop [r15 + flags]; cld; pop r15, rbp, rbx; ret
    std::memcpy(page_, b.data(), b.size());
    reinterpret_cast<void (*)(NativeState*)>(page_)(&s);
  }

 private:
  u8* page_;
};

}  // namespace vt::cpu
#endif
