// SPDX-License-Identifier: GPL-2.0-or-later
/// Disk images on the host: opened read-only, what the guest writes beside the run, and merging the two at the end.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "emu/backends.hpp"
#include "firmware/platform.hpp"

namespace vt::cli {

/// A raw image, read where it lies. Throws InputError where it is none.
class RawImage final : public emu::DiskImage {
 public:
  /// `sha256`: what it has to hold; it is looked at when the first byte is read. Empty: whatever it holds.
  explicit RawImage(std::string file, std::string sha256 = {});
  ~RawImage() override;
  RawImage(const RawImage&) = delete;

  const std::string& file() const { return file_; }
  const std::string& sha256();                       ///< of what it holds now, computed once
  u64 size() const override { return size_; }
  bool read(u64 at, void* to, std::size_t n) override;
  std::string what_failed() const override { return failed_; }
  /// Empty: as it was when it was opened. Else in words.
  std::string changed() const;
  int descriptor() const { return fd_; }

 private:
  std::string file_, sha256_, expected_, failed_;
  u64 size_ = 0;
  std::int64_t seconds_ = 0, nanoseconds_ = 0;       ///< of its last change
  int fd_ = -1;
};

/// FILE[,if=nvme|ahci]. Throws UsageError.
struct DiskOption { std::string file, interface; };
DiskOption parse_disk(const std::string& s);

/// Gives each image its place in the platform: an entry of `disks` that names it (by SHA-256, or by size alone), else the first free port of a controller
/// of that kind, else a new controller. Returns the images in the platform's order. Throws InputError, UsageError, fw::PlatformError.
std::vector<std::shared_ptr<RawImage>> attach_disks(fw::Platform& p, const std::vector<std::string>& options);

/// What was written to one disk, in the run directory: a line of JSON, a bitmap of blocks, and the blocks at their places in a sparse file. A block's bit
/// is set after its bytes, so that the file is good at any moment.   docs/formats.md
class Overlay final : public emu::DiskListener {
 public:
  static constexpr u64 kHeader = 4096;
  /// Throws std::runtime_error where it cannot be made.
  Overlay(std::string file, const std::string& image, u64 size, const std::string& sha256);
  ~Overlay() override;
  Overlay(const Overlay&) = delete;
  void written(u64 block, const u8* bytes) override;
  /// Everything anew: the machine has gone back on the way.
  void again(const emu::Disk& disk);
  const std::string& file() const { return file_; }
  u64 blocks() const { return blocks_written_; }
  bool complete() const { return !failed_; }

 private:
  bool put(const void* from, std::size_t n, u64 at);
  std::string file_;
  u64 blocks_, data_, blocks_written_ = 0;
  std::vector<u8> bitmap_;
  int fd_ = -1;
  bool failed_ = false;
};

/// Can a merged image be put in the place of this one? Throws UsageError where it cannot.
void check_commit(const RawImage& image);
/// Where that is done: the directory of the image itself, whatever links lead to it.
std::string commit_directory(const RawImage& image);
/// The image with what was written, made beside it and then put in its place at once: it is the old one or the new one, never half of each.
/// Throws std::runtime_error; the image is then as it was. Returns the SHA-256 of the new one.
std::string commit_disk(RawImage& image, const emu::Disk& disk);

}  // namespace vt::cli
