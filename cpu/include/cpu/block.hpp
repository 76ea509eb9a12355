// SPDX-License-Identifier: GPL-2.0-or-later
/// Decoded blocks: kept by physical page, offset and decode mode; they chain to their successors.
#pragma once
#include <memory>
#include <unordered_map>
#include <vector>

#include "cpu/cpu.hpp"
#include "cpu/def.hpp"

namespace vt::cpu {

/// Everything but the bytes that changes what a decoded instruction is.
namespace mode_bit {
inline constexpr u16 code_size = 3,      ///< 0: 16, 1: 32, 2: 64 bits
    flat = 4,                            ///< DS, ES and SS: base 0, limit 4 GiB, readable, writable, expand-up; CS: base 0, limit 4 GiB
    x87_ok = 8, mmx_ud = 0x10,           ///< CR0.TS = EM = 0; CR0.EM = 1
    sse_ud = 0x20, avx_ud = 0x40,        ///< CR0.EM or not OSFXSR; not OSXSAVE or XCR0
    protected_mode = 0x80,               ///< CR0.PE and not virtual-8086
    vex_ok = 0x100,                      ///< CR0.TS = 0: CR0.EM does not concern VEX-encoded instructions
    single = 0x8000;                     ///< a block of one instruction: stepping, shadows, devices, the end of a slice
}

/// Flat code segments only, which links and the look-up by rip take for granted.
inline bool rip_is_linear(const Cpu& c) { return c.code64_now || (c.mode & mode_bit::flat); }

extern Block kNoBlock;  ///< dead for ever: what an unmade link points to

struct TimedInsn;

struct Link {
  u64 rip = 0;        ///< target for which `to` was found
  Block* to = &kNoBlock;
  u64 valid = 0;      ///< Cpu::links_valid at that time
};

struct Block {
  static constexpr u32 kDead = ~0u >> 1;
  u32 n = 0;          ///< instructions (the end mark not counted); once dead, more than any budget, so that no link enters it
  u32 count = 0;      ///< instructions, for the account of steps
  u16 first_off = 0;  ///< page offset of the first
  u16 mode = 0;
  u16 bytes = 0;      ///< total length
  bool dead = false;  ///< its bytes have changed
  bool crosses = false;  ///< its only instruction runs into the next page
  Hpa page{}, page2{};
  Link link[2];       ///< 0: falls out of the end; 1: the branch at the end
  Insn* insns = nullptr;
  /// One per instruction where some are observed (cpu/observe.cpp): `fn` of those only tells and then goes on here.
  struct Observed { Fn fn = nullptr; u8 what = 0; };
  Observed* observed = nullptr;
  Block* next = nullptr;  ///< of the same hash

  bool touches(Hpa at, std::size_t size) const {
    const u64 begin = page.v + first_off, here = crosses ? kPageSize - first_off : bytes;
    if (at.v < begin + here && begin < at.v + size) return true;
    return crosses && at.v < page2.v + (bytes - here) && page2.v < at.v + size;
  }
};

/// The decoded blocks of one processor. Blocks whose bytes change are marked dead and unlinked from look-up; their memory
/// lives until the cache is emptied, which happens between blocks only.
class BlockCache {
 public:
  /// `timed`: with room for what a timing model keeps of each instruction.
  BlockCache(PhysMem& mem, bool timed);
  ~BlockCache();
  BlockCache(const BlockCache&) = delete;
  /// Null: not decoded yet. `at`: physical address of the first byte.
  Block* find(Hpa at, u16 mode) const {
    for (Block* b = bucket_[hash(at, mode)]; b; b = b->next)
      if (b->page.v + b->first_off == at.v && b->mode == mode) return b;
    return nullptr;
  }
  /// Takes over a decoded block (instructions and the end mark are copied). True: its page(s) newly hold code, and bare pointers
  /// to them have to go.
  /// `observed`, `timed`: an element per instruction, or null.
  Block* insert(const Block& b, const Insn* insns, const Block::Observed* observed, const TimedInsn* timed, bool& newly_code);
  bool overlaps(Hpa at, std::size_t n) const;
  void kill(Hpa at, std::size_t n);  ///< bytes have changed
  void clear();
  bool full() const { return used_ > kLimit; }
  /// For `timed_of` (timing/timed_insn.hpp).
  std::uintptr_t timed_at() const { const auto base = reinterpret_cast<std::uintptr_t>(base_); return base + kReserved - kTimedInsn * base; }
  static constexpr unsigned kTimedInsn = 2;   ///< of the size of an Insn

  /// By rip, for the running context: what indirect jumps and unlinked blocks look up first.
  struct Jump { u64 rip = 0; Block* to = nullptr; u64 valid = 0; u16 mode = 0; };
  Jump& jump(u64 rip) { return jump_[(rip ^ (rip >> 12)) & (kJumps - 1)]; }

 private:
  static constexpr unsigned kBuckets = 1 << 16, kJumps = 1 << 12;
  static constexpr std::size_t kLimit = std::size_t{192} << 20, kReserved = kLimit + (std::size_t{1} << 20);   ///< and the largest block
  static unsigned hash(Hpa at, u16 mode) { return static_cast<unsigned>((at.v * 0x9e3779b97f4a7c15ull >> 40) ^ mode) & (kBuckets - 1); }
  struct PageBlocks { std::vector<Block*> blocks; u64 lines = 0; };  ///< one bit per 64 bytes that hold code
  void* allocate(std::size_t n);
  bool note(Hpa page, Block* b);
  PhysMem& mem_;
  std::vector<Block*> bucket_ = std::vector<Block*>(kBuckets);
  std::vector<Jump> jump_ = std::vector<Jump>(kJumps);
  // Address space that fills with blocks and their instructions; behind it as often as large, what timing models keep of whatever is there.
  std::size_t reserved_, used_ = 0;
  u8* base_;
  std::unordered_map<u64, PageBlocks> pages_;  ///< looked up, never iterated
};

/// Enters `b` at linear rip `rip` by tail call.
VT_INLINE void enter(Cpu& c, Block* b, u64 rip) {
  c.block = b;
  c.budget -= b->n;
  c.r[kRipReg] = rip - b->first_off;
  return b->insns->fn(c, b->insns);
}

/// Continues within the page of the running block: nothing has to be asked, as the translation that the block is fetched by holds
/// for its neighbours (whatever drops it leaves the chain at once). `k`: the link; a Jcc has 0 for falling through, 1 for taken.
void chain_local_slow(Cpu& c, const Insn* i, unsigned k);
VT_INLINE void chain_local(Cpu& c, const Insn* i, unsigned k) {
  Block* to = c.block->link[k].to;
  if (VT_UNLIKELY(c.budget < static_cast<i64>(to->n))) return chain_local_slow(c, i, k);
  c.block = to;
  c.budget -= to->n;
  return to->insns->fn(c, to->insns);
}

VT_INLINE void chain(Cpu& c, const Insn* i) {
  Link& l = c.block->link[1];
  if (VT_LIKELY(l.rip == c.target && l.valid == c.links_valid && c.budget >= static_cast<i64>(l.to->n))) return enter(c, l.to, c.target);
  return chain_slow(c, i);
}

}  // namespace vt::cpu
