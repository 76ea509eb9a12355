// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/mman.h>

#include <algorithm>

#include "base/check.hpp"
#include "cpu/block.hpp"
#include "timing/timed_insn.hpp"

namespace vt::cpu {

BlockCache::BlockCache(PhysMem& mem, bool timed) : mem_(mem), reserved_((timed ? 1 + kTimedInsn : 1) * kReserved) {
  void* p = ::mmap(nullptr, reserved_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(p != MAP_FAILED, "cannot reserve address space for decoded code");
  base_ = static_cast<u8*>(p);
}
BlockCache::~BlockCache() { ::munmap(base_, reserved_); }

void* BlockCache::allocate(std::size_t n) {
  void* p = base_ + used_;
  used_ += align_up(n, 64);
  CHECK(used_ <= kReserved, "more decoded code than there is room for");
  return p;
}

/// 64-byte lines of `page` that block `b` has bytes in.
static u64 lines_of(Hpa page, const Block& b) {
  const u64 here = b.crosses ? kPageSize - b.first_off : b.bytes;
  u64 lines = 0;
  if (page == b.page && here) lines |= mask(static_cast<unsigned>((b.first_off + here - 1) >> 6), b.first_off >> 6);
  if (b.crosses && page == b.page2) lines |= mask(static_cast<unsigned>((b.bytes - here - 1) >> 6), 0);
  return lines;
}
/// Lines of one page that [at, at + n) lies in, as far as it lies in the page where it begins.
static u64 lines_of(Hpa at, std::size_t n) {
  const u64 off = at.v & ~kPageMask;
  return mask(static_cast<unsigned>(std::min<u64>((off + n - 1) >> 6, 63)), static_cast<unsigned>(off >> 6));
}

bool BlockCache::note(Hpa page, Block* b) {
  PageBlocks& p = pages_[page.v >> kPageShift];
  p.blocks.push_back(b);
  p.lines |= lines_of(page, *b);
  if (page.v >= mem_.top() || (mem_.flags(page) & page_flag::code)) return false;
  mem_.set_flag(page, page_flag::code);
  return true;
}

Block* BlockCache::insert(const Block& from, const Insn* insns, const Block::Observed* observed, const TimedInsn* timed, bool& newly_code) {
  auto* b = new (allocate(sizeof(Block))) Block(from);
  b->insns = static_cast<Insn*>(allocate((b->n + 1) * sizeof(Insn)));
  std::copy_n(insns, b->n + 1, b->insns);
  if (observed) {
    b->observed = static_cast<Block::Observed*>(allocate(b->n * sizeof(Block::Observed)));
    std::copy_n(observed, b->n, b->observed);
  }
  if (timed) std::copy_n(timed, b->n, timed_of(timed_at(), b->insns));
  newly_code = note(b->page, b);
  if (b->crosses) newly_code |= note(b->page2, b);
  Block*& head = bucket_[hash(b->page + b->first_off, b->mode)];
  b->next = head;
  head = b;
  return b;
}

bool BlockCache::overlaps(Hpa at, std::size_t n) const {
  auto it = pages_.find(at.v >> kPageShift);
  if (it == pages_.end() || n == 0) return false;
  if (!(it->second.lines & lines_of(at, n))) return false;
  return std::any_of(it->second.blocks.begin(), it->second.blocks.end(), [&](Block* b) { return b->touches(at, n); });
}

void BlockCache::kill(Hpa at, std::size_t n) {
  for (u64 page = at.v >> kPageShift; n && page <= (at.v + n - 1) >> kPageShift; ++page) {
    auto it = pages_.find(page);
    if (it == pages_.end()) continue;
    PageBlocks& p = it->second;
    auto hit = std::stable_partition(p.blocks.begin(), p.blocks.end(), [&](Block* b) { return !b->touches(at, n); });
    for (auto b = hit; b != p.blocks.end(); ++b) {
      if ((*b)->dead) continue;
      (*b)->dead = true;
      (*b)->n = Block::kDead;
      Block** link = &bucket_[hash((*b)->page + (*b)->first_off, (*b)->mode)];
      while (*link && *link != *b) link = &(*link)->next;
      if (*link) *link = (*b)->next;
    }
    p.blocks.erase(hit, p.blocks.end());
    p.lines = 0;
    std::erase_if(p.blocks, [](Block* b) { return b->dead; });
    for (Block* b : p.blocks) p.lines |= lines_of(Hpa{page << kPageShift}, *b);
  }
}

void BlockCache::clear() {
  std::fill(bucket_.begin(), bucket_.end(), nullptr);
  std::fill(jump_.begin(), jump_.end(), Jump{});
  pages_.clear();  // the pages' flags stay: they cost a slow write, no more
  ::madvise(base_, reserved_, MADV_DONTNEED);
  used_ = 0;
}

}  // namespace vt::cpu
