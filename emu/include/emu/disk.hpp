// SPDX-License-Identifier: GPL-2.0-or-later
/// A disk: an image from outside, which is only read, and over it the blocks that the guest has written. Those are part of the machine's
/// state; what the image held is an input, named by its SHA-256 in the platform description.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <string>

#include "base/archive.hpp"
#include "base/stop.hpp"

namespace vt::emu {

/// Bytes of a raw image on the host.
class DiskImage {
 public:
  virtual ~DiskImage() = default;
  virtual u64 size() const = 0;
  /// False: the host could not give them; `what_failed` then says so, beginning with the file's name.
  virtual bool read(u64 at, void* to, std::size_t n) = 0;
  virtual std::string what_failed() const = 0;
};

/// Told of each block after it was written.
class DiskListener {
 public:
  virtual ~DiskListener() = default;
  virtual void written(u64 block, const u8* bytes) = 0;   ///< Disk::kBlock of them
};

class Disk {
 public:
  static constexpr u32 kSector = 512;
  static constexpr u32 kBlock = 4096;      ///< what is kept of a write: the blocks it touches
  static constexpr u64 kChunk = 512;       ///< blocks

  using Block = std::array<u8, kBlock>;
  struct Chunk { std::array<std::shared_ptr<Block>, kChunk> blocks; };
  /// What was written so far. A copy is cheap: it shares everything until one of the two is written again.
  using Written = std::map<u64, std::shared_ptr<Chunk>>;

  /// `size` in bytes, a multiple of 512. `image` may be null: reading what was not written then ends the run with a message, as any
  /// image does that fails. A failed read gives zeroes.
  Disk(std::string name, u64 size, std::shared_ptr<DiskImage> image, Stop& stop);
  Disk(const Disk&) = delete;

  const std::string& name() const { return name_; }   ///< "disk0"
  u64 sectors() const { return size_ / kSector; }
  /// The range must lie on the disk. False: the host failed, the run ends.
  bool read(u64 sector, void* to, u64 count);
  bool write(u64 sector, const void* from, u64 count);
  bool zero(u64 sector, u64 count);

  void listen(DiskListener* listener) { listener_ = listener; }
  const Written& written() const { return written_; }
  void restore(Written w) { written_ = std::move(w); }
  u64 written_blocks() const;

  void state(Ar& ar);

 private:
  const Block* find(u64 block) const;
  std::shared_ptr<Block>* slot(u64 block);
  Block* writable(u64 block, bool whole);
  bool from_image(u64 at, u8* to, std::size_t n);
  void told(u64 block);
  std::string name_;
  u64 size_;
  std::shared_ptr<DiskImage> image_;
  Stop& stop_;
  DiskListener* listener_ = nullptr;
  Written written_;
};

}  // namespace vt::emu
