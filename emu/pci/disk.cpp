// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/disk.hpp"

#include <algorithm>
#include <cstring>

#include "base/check.hpp"

namespace vt::emu {
namespace {

/// All zeroes: one for everybody, since much of a disk is made zero at once.
const std::shared_ptr<Disk::Block>& zero_block() {
  static const auto kZero = std::make_shared<Disk::Block>();
  return kZero;
}
const std::shared_ptr<Disk::Chunk>& zero_chunk() {
  static const auto kZero = [] {
    auto c = std::make_shared<Disk::Chunk>();
    c->blocks.fill(zero_block());
    return c;
  }();
  return kZero;
}

}  // namespace

Disk::Disk(std::string name, u64 size, std::shared_ptr<DiskImage> image, Stop& stop)
    : name_(std::move(name)), size_(size), image_(std::move(image)), stop_(stop) {
  CHECK(size_ && size_ % kSector == 0);
}

bool Disk::from_image(u64 at, u8* to, std::size_t n) {
  // The last block may reach over the end of the disk.
  const std::size_t there = at < size_ ? static_cast<std::size_t>(std::min<u64>(n, size_ - at)) : 0;
  std::memset(to + there, 0, n - there);
  if (image_ && image_->read(at, to, there)) return true;
  std::memset(to, 0, there);
  stop_.request(StopReason::input_lost, image_ ? image_->what_failed() : name_ + ": its image is not there any more, and the run reads it; put the file back");
  return false;
}

const Disk::Block* Disk::find(u64 block) const {
  auto c = written_.find(block / kChunk);
  return c == written_.end() ? nullptr : c->second->blocks[block % kChunk].get();
}

std::shared_ptr<Disk::Block>* Disk::slot(u64 block) {
  auto& chunk = written_[block / kChunk];
  if (!chunk) chunk = std::make_shared<Chunk>();
  else if (chunk.use_count() > 1) chunk = std::make_shared<Chunk>(*chunk);
  return &chunk->blocks[block % kChunk];
}

/// The block as our own, with its present contents unless it will be written as a whole. Null: the host failed.
Disk::Block* Disk::writable(u64 block, bool whole) {
  std::shared_ptr<Block> fresh;
  if (!find(block)) {
    fresh = std::make_shared<Block>();
    if (!whole && !from_image(block * kBlock, fresh->data(), kBlock)) return nullptr;
  }
  auto& b = *slot(block);
  if (fresh) b = std::move(fresh);
  else if (b.use_count() > 1) b = std::make_shared<Block>(*b);
  return b.get();
}

void Disk::told(u64 block) {
  if (listener_) listener_->written(block, find(block)->data());
}

bool Disk::read(u64 sector, void* to, u64 count) {
  CHECK(sector <= sectors() && count <= sectors() - sector);
  auto* out = static_cast<u8*>(to);
  u64 at = sector * kSector, left = count * kSector;
  while (left) {
    const std::size_t run = static_cast<std::size_t>(std::min<u64>(left, kBlock - at % kBlock));
    if (const Block* b = find(at / kBlock)) std::memcpy(out, b->data() + at % kBlock, run);
    else if (!from_image(at, out, run)) return false;
    out += run, at += run, left -= run;
  }
  return true;
}

bool Disk::write(u64 sector, const void* from, u64 count) {
  CHECK(sector <= sectors() && count <= sectors() - sector);
  auto* in = static_cast<const u8*>(from);
  u64 at = sector * kSector, left = count * kSector;
  while (left) {
    const std::size_t run = static_cast<std::size_t>(std::min<u64>(left, kBlock - at % kBlock));
    Block* b = writable(at / kBlock, run == kBlock);
    if (!b) return false;
    std::memcpy(b->data() + at % kBlock, in, run);
    told(at / kBlock);
    in += run, at += run, left -= run;
  }
  return true;
}

bool Disk::zero(u64 sector, u64 count) {
  CHECK(sector <= sectors() && count <= sectors() - sector);
  u64 at = sector * kSector, left = count * kSector;
  while (left) {
    const u64 block = at / kBlock;
    if (at % kBlock == 0 && block % kChunk == 0 && left >= kChunk * kBlock) {
      written_[block / kChunk] = zero_chunk();
      for (u64 n = 0; listener_ && n < kChunk; ++n) told(block + n);
      at += kChunk * kBlock, left -= kChunk * kBlock;
      continue;
    }
    const u64 run = std::min<u64>(left, kBlock - at % kBlock);
    if (run == kBlock) {
      *slot(block) = zero_block();
    } else {
      Block* b = writable(block, false);
      if (!b) return false;
      std::memset(b->data() + at % kBlock, 0, static_cast<std::size_t>(run));
    }
    told(block);
    at += run, left -= run;
  }
  return true;
}

u64 Disk::written_blocks() const {
  u64 n = 0;
  for (auto& [at, chunk] : written_) n += static_cast<u64>(std::count_if(chunk->blocks.begin(), chunk->blocks.end(), [](auto& b) { return b != nullptr; }));
  return n;
}

/// Block numbers, ascending, each with its bytes.
void Disk::state(Ar& ar) {
  u64 n = written_blocks();
  ar(n);
  if (!ar.loading()) {
    for (auto& [at, chunk] : written_)
      for (u64 k = 0; k < kChunk; ++k)
        if (Block* b = chunk->blocks[k].get()) {
          u64 block = at * kChunk + k;
          ar(block);
          ar.bytes(b->data(), kBlock);
        }
    return;
  }
  written_.clear();
  for (u64 last = 0, k = 0; k < n; ++k) {
    u64 block = 0;
    ar(block);
    if (block >= (size_ + kBlock - 1) / kBlock || (k && block <= last)) throw std::runtime_error("damaged state: a block that " + name_ + " does not have");
    auto bytes = std::make_shared<Block>();
    ar.bytes(bytes->data(), kBlock);
    *slot(block) = *bytes == *zero_block() ? zero_block() : std::move(bytes);
    last = block;
  }
}

}  // namespace vt::emu
